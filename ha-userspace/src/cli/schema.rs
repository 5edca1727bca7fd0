//! `xvrrp schema`: what the JSON of a command is made of, as JSON Schema (draft 2020-12).

use std::process::ExitCode;

use schemars::generate::SchemaSettings;
use schemars::transform::{Transform, transform_subschemas};
use schemars::{JsonSchema, Schema};
use serde_json::Value;

use super::json::{Failed, Unknown, Versioned};
use super::output::{print, print_json};
use super::ready::At;
use crate::config::report;
use crate::control::protocol::{Counters, Held, Preview, Reloaded, Status};
use crate::doctor::report::Report as Doctor;
use crate::events::Event;
use crate::events::story::Story;
use crate::notify::webhook::Document;

/// Options of `xvrrp schema`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Of which command; a list of them where none is named.
    #[arg(value_enum)]
    name: Option<Name>,
}

/// Commands that print JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Name {
    /// xvrrp status --json.
    Status,
    /// xvrrp ready --json.
    Ready,
    /// xvrrp counters --json.
    Counters,
    /// A line of xvrrp events --json, of the files, and of --log-format json.
    Events,
    /// xvrrp why --json.
    Why,
    /// xvrrp check --json.
    Check,
    /// xvrrp doctor --json.
    Doctor,
    /// xvrrp reload --json, also with --dry-run.
    Reload,
    /// xvrrp resign, prefer, freeze and release with --json.
    Hold,
    /// What notify_webhook posts.
    Webhook,
}

/// An answer, or that there is none.
#[derive(JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "never made: it stands for what is printed")]
enum Or<T, U> {
    Answer(T),
    Other(U),
}

type OrFailed<T> = Or<T, Versioned<Failed>>;

/// Prints one.
#[must_use]
pub fn run(args: &Args) -> ExitCode {
    match args.name {
        Some(name) => print_json(&schema(name)),
        None => print(&<Name as clap::ValueEnum>::value_variants().iter().map(listed).collect::<String>()),
    }
}

fn listed(name: &Name) -> String {
    let value = clap::ValueEnum::to_possible_value(name);
    value.map_or_else(String::new, |value| {
        format!(
            "{:<9} {}\n",
            value.get_name(),
            value.get_help().map_or_else(String::new, ToString::to_string)
        )
    })
}

/// The schema of what a command prints, or what is posted.
pub(super) fn schema(name: Name) -> Schema {
    match name {
        Name::Status => of::<Or<Status, Unknown>>("status"),
        Name::Ready => of::<Or<Versioned<At<'static>>, Unknown>>("ready"),
        Name::Counters => of::<OrFailed<Counters>>("counters"),
        Name::Events => of::<OrFailed<Event>>("events"),
        Name::Why => of::<OrFailed<Versioned<Story>>>("why"),
        Name::Check => of::<OrFailed<Or<report::Report, Vec<report::Report>>>>("check"),
        Name::Doctor => of::<OrFailed<Doctor>>("doctor"),
        Name::Reload => of::<OrFailed<Or<Versioned<Reloaded>, Versioned<Preview>>>>("reload"),
        Name::Hold => of::<OrFailed<Versioned<Held>>>("hold"),
        Name::Webhook => of::<Document>("webhook"),
    }
}

fn of<T: JsonSchema>(name: &str) -> Schema {
    let settings = SchemaSettings::draft2020_12().for_serialize().with_transform(Plain);
    let mut schema = settings.into_generator().into_root_schema_for::<T>();
    schema.insert("title".to_owned(), Value::from(format!("xvrrp {name}")));
    schema
}

/// Descriptions are those of the code: its links and its words for what JSON calls otherwise are taken out, and so are
/// values that a reader of an older daemon assumes.
#[derive(Clone, Debug)]
struct Plain;

impl Transform for Plain {
    fn transform(&mut self, schema: &mut Schema) {
        if let Some(Value::String(text)) = schema.get_mut("description") {
            *text = text.replace("[`", "`").replace("`]", "`").replace("`None`", "`null`").replace('\n', " ");
        }
        schema.remove("default");
        transform_subschemas(self, schema);
    }
}

#[cfg(test)]
mod tests;

//! `xvrrp why`: why an address moved, from the flight recorder's files. Needs no daemon.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::SystemTime;

use super::events::{Place, line, time};
use super::json::{Form, Versioned};
use super::output::{print, print_json};
use crate::events::story::{Outage, Story, story};
use crate::events::{Event, when};

/// Options of `xvrrp why`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Exit code 1 where there are no files, or no change of that instance in them.\n\
    Run it on both routers: each tells what it knew.")]
pub struct Args {
    /// Of which instance; may be left out where there is one.
    instance: Option<String>,
    /// The change that is nearest to this time: 03:12, 2h (ago), 2026-11-24 03:12 [default: the latest move].
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

/// Tells the story of one change.
#[must_use]
pub fn run(args: &Args) -> ExitCode {
    let at = match args.at.as_deref().map(|text| when::past(text, SystemTime::now())).transpose() {
        Ok(at) => at,
        Err(error) => {
            eprintln!("xvrrp: {error}");
            return ExitCode::from(2);
        }
    };
    let form = Form::of(args.json);
    let found = match args.place.read(form) {
        Ok(found) => found,
        Err(code) => return code,
    };
    let changed: BTreeSet<&str> = found
        .events
        .iter()
        .filter(|event| event.kind == "transition")
        .filter_map(|event| event.instance.as_deref())
        .collect();
    let names = changed.iter().copied().collect::<Vec<_>>().join(", ");
    let instance = match (&args.instance, changed.len()) {
        (Some(instance), _) => instance.as_str(),
        (None, 1) => changed.first().copied().unwrap_or_default(),
        (None, 0) => "",
        (None, _) => {
            return form.fail("not_found", &format!("of which instance? There are {names}"), 2);
        }
    };
    let Some(story) = story(&found.events, instance, at) else {
        let since = found
            .events
            .first()
            .map_or("no events at all".to_owned(), |event| format!("the events begin at {}", time(event)));
        let others = if names.is_empty() { String::new() } else { format!("; there are changes of {names}") };
        let text = format!("no change of {instance} is recorded ({since}){others}");
        return form.fail("not_found", &text, 1);
    };
    if args.json { print_json(&Versioned::new(&story)) } else { print(&render(&story)) }
}

fn render(story: &Story) -> String {
    let Story { change, before, after, next, outage } = story;
    let (name, to) = (change.instance.as_deref().unwrap_or("?"), change.to.as_deref().unwrap_or("?"));
    let from = change.from.as_deref().unwrap_or("?");
    let mut out = String::new();
    let _ = writeln!(out, "{name} became {to} at {}; it was {from}", time(change));
    let mut say = |label: &str, text: &str| {
        let _ = writeln!(out, "  {label:<10} {text}");
    };
    say(
        "because",
        change.why.as_deref().or(change.reason.as_deref()).unwrap_or("of something that is not recorded"),
    );
    if let Some(addresses) = change.addresses.as_deref().filter(|addresses| !addresses.is_empty()) {
        say("addresses", addresses);
    }
    if let Some(priority) = change.priority {
        say("priority", &priority.to_string());
    }
    if let Some(text) = clients(*outage, change) {
        say("clients", &text);
    }
    list(&mut out, "before", before);
    list(&mut out, "after", after);
    if let Some(next) = next {
        let _ = writeln!(out, "\nnext move\n  {}", line(next));
    }
    out
}

fn list(out: &mut String, title: &str, events: &[Event]) {
    if !events.is_empty() {
        let _ = writeln!(out, "\n{title}");
        for event in events {
            let _ = writeln!(out, "  {}", line(event));
        }
    }
}

fn clients(outage: Outage, change: &Event) -> Option<String> {
    let other = change.peer.as_deref().unwrap_or("another router");
    Some(match outage {
        Outage::None => return None,
        Outage::HandedOver => "no outage is expected: the role was handed over".to_owned(),
        Outage::About { ms } => {
            let span = if ms < 1000.0 { format!("{ms:.1} ms") } else { format!("{:.1} s", ms / 1000.0) };
            format!(
                "had no answer for about {span}: from the last sign of life of {other} until the addresses were here"
            )
        }
        Outage::Unheard => {
            format!(
                "may have been answered by {other} all the time, whose adverts were dropped here: see xvrrp status"
            )
        }
        Outage::Unknown => "this host does not know who answered before".to_owned(),
        Outage::AskTheOther => {
            format!("{other} knows: xvrrp why {} there", change.instance.as_deref().unwrap_or(""))
        }
    })
}

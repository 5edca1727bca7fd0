//! What is logged, before it has a form: a message for people, and fields for whoever reads events.

use std::fmt::Write as _;
use std::time::SystemTime;

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Level};
use tracing_log::NormalizeEvent;

/// Longer messages are cut: what a peer sends may end up in one.
const LONGEST_MESSAGE: usize = 8192;

/// One record.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) at: SystemTime,
    pub(crate) level: Level,
    /// For people.
    pub(crate) text: String,
    /// What the message is about, under the names of docs/events.md.
    pub(crate) fields: Map<String, Value>,
}

impl Record {
    /// Takes down an event of now.
    pub(super) fn of(event: &Event<'_>) -> Self {
        // Records of the `log` crate carry their level in another place.
        let normal = event.normalized_metadata();
        let level: Level = *normal.as_ref().map_or(event.metadata().level(), |metadata| metadata.level());
        let mut taken = Taken::default();
        event.record(&mut taken);
        Self { at: SystemTime::now(), level, text: shortened(taken.message), fields: taken.fields }
    }
}

fn shortened(mut message: String) -> String {
    if message.len() > LONGEST_MESSAGE {
        let end = (0..=LONGEST_MESSAGE).rev().find(|end| message.is_char_boundary(*end)).unwrap_or(0);
        message.truncate(end);
        message.push('…');
    }
    message
}

#[derive(Default)]
struct Taken {
    message: String,
    fields: Map<String, Value>,
}

impl Taken {
    fn keep(&mut self, field: &Field, value: Value) {
        if !field.name().starts_with("log.") {
            self.fields.insert(field.name().to_owned(), value);
        }
    }
}

impl Visit for Taken {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            // Writing to a String cannot fail.
            let _ = write!(self.message, "{value:?}");
        } else {
            self.keep(field, Value::String(format!("{value:?}")));
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.message.push_str(value);
        } else {
            self.keep(field, Value::String(value.to_owned()));
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.keep(field, Value::from(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.keep(field, Value::from(value));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.keep(field, Value::from(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.keep(field, Value::from(value));
    }
}

//! From a `tracing` event to a line in the queue. Never waits.

use std::fmt::Write as _;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_log::NormalizeEvent;
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use super::sink::{Line, Queue};

/// Longer messages are cut: what a peer sends may end up in one.
const LONGEST_MESSAGE: usize = 8192;

/// Puts every event into the queue.
pub(super) struct QueueLayer {
    queue: Queue,
}

impl QueueLayer {
    pub(super) const fn new(queue: Queue) -> Self {
        Self { queue }
    }
}

impl<S: Subscriber> Layer<S> for QueueLayer {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        // Records of the `log` crate carry their level in another place.
        let normal = event.normalized_metadata();
        let level: Level = *normal.as_ref().map_or(event.metadata().level(), |metadata| metadata.level());
        let mut text = Text::default();
        event.record(&mut text);
        self.queue.put(Line { at: std::time::SystemTime::now(), level, text: text.finish() });
    }
}

/// The message, then `name=value` for each further field.
#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Text {
    fn finish(mut self) -> String {
        self.message.push_str(&self.fields);
        if self.message.len() > LONGEST_MESSAGE {
            let end =
                (0..=LONGEST_MESSAGE).rev().find(|end| self.message.is_char_boundary(*end)).unwrap_or(0);
            self.message.truncate(end);
            self.message.push('…');
        }
        self.message
    }
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        // Writing to a String cannot fail.
        match field.name() {
            "message" => drop(write!(self.message, "{value:?}")),
            name if name.starts_with("log.") => {}
            name => drop(write!(self.fields, " {name}={value:?}")),
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => self.message.push_str(value),
            name if name.starts_with("log.") => {}
            name => drop(write!(self.fields, " {name}={value}")),
        }
    }
}

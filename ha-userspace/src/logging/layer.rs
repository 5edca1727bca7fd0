//! From a `tracing` event to a record in a queue. Never waits.

use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use super::record::Record;
use super::sink::Queue;
use crate::events::Recorder;

/// Puts every event into the queue of log lines.
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
        self.queue.put(Record::of(event));
    }
}

/// Has every event recorded.
pub(super) struct RecorderLayer {
    recorder: Recorder,
}

impl RecorderLayer {
    pub(super) const fn new(recorder: Recorder) -> Self {
        Self { recorder }
    }
}

impl<S: Subscriber> Layer<S> for RecorderLayer {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        self.recorder.record(Record::of(event));
    }
}

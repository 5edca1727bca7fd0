//! From start to end: what a run has taken over from the one before, and how it will end.

use ha_common::time::{Span, Time};

use super::handover::Handover;
use super::handover::figures::Figures;
use super::holds::Holds;

/// How a run of the daemon ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Gracefully, the addresses are handed over.
    Stopped,
    /// For a restart by the service manager; the role waits.
    Left,
    /// To be replaced by the program of now, with the same arguments; the role waits.
    Replace,
}

/// Where in its life the daemon is.
#[derive(Debug)]
pub(super) struct Lifecycle {
    pub(super) started: Time,
    /// What a restart has left for this run, while it starts.
    pub(super) handover: Option<Handover>,
    /// And of its statistics.
    pub(super) figures: Option<Figures>,
    /// How long this run's start took.
    pub(super) start_took: Span,
    pub(super) stopping: bool,
    pub(super) holds: Holds,
    /// A restart was asked for.
    pub(super) ending: Option<End>,
}

impl Lifecycle {
    /// A run that begins now.
    pub(super) fn begin(
        now: Time,
        handover: Option<Handover>,
        figures: Option<Figures>,
        holds: Holds,
    ) -> Self {
        Self { started: now, handover, figures, start_took: Span::ZERO, stopping: false, holds, ending: None }
    }

    /// The start is over; without what was silent before it, it took `took`.
    pub(super) fn end_start(&mut self, took: Span, now: Time) {
        // What the run before did not see of this one counts too.
        let left = self.handover.take().map(|left| now.span_since(left.left_at()));
        self.start_took = took.max(left.unwrap_or_default());
    }

    /// Whether the role waits for another run.
    pub(super) const fn is_restarting(&self) -> bool {
        matches!(self.ending, Some(End::Left | End::Replace))
    }
}

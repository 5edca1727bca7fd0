//! The last events of a run, kept cheaply and written out only when something broke.

use std::collections::VecDeque;
use std::fmt::Write as _;

use ha_common::machine::{Reason, State};
use ha_common::time::{Span, Time};

use super::scenario::Fault;

/// Events that a failure shows.
const KEEP: usize = 80;

/// One line of the timeline.
#[derive(Clone, Copy, Debug)]
pub(super) enum Note {
    Sent { node: usize, priority: u8 },
    Stamped { node: usize, from: usize, priority: u8 },
    Queued { node: usize, from: usize, priority: u8 },
    Overflowed { node: usize, from: usize },
    Judged { node: usize, from: usize, priority: u8, at: Time },
    TimerFired { node: usize, next: Time },
    Resumed { node: usize, held: usize },
    Tracks { node: usize, from: usize },
    Untracks { node: usize },
    State { node: usize, from: State, to: State, reason: Reason },
    Fault(Fault),
    Phase(&'static str),
}

/// A ring of notes.
#[derive(Debug, Default)]
pub(super) struct Timeline(VecDeque<(Time, Note)>);

impl Timeline {
    pub(super) fn note(&mut self, now: Time, note: Note) {
        if self.0.len() == KEEP {
            self.0.pop_front();
        }
        self.0.push_back((now, note));
    }

    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for (at, note) in &self.0 {
            let _ = writeln!(text, "  {:>14} {}", millis(Span(at.0)), line(*at, note));
        }
        text
    }
}

/// Milliseconds with the nanoseconds behind the point.
pub(super) fn millis(span: Span) -> String {
    format!("{}.{:06}", span.0 / 1_000_000, span.0 % 1_000_000)
}

fn line(at: Time, note: &Note) -> String {
    match *note {
        Note::Sent { node, priority } => format!("r{node} sends {priority}"),
        Note::Stamped { node, from, priority } => format!("r{node} XDP stamps r{from}'s {priority}"),
        Note::Queued { node, from, priority } => format!("r{node} queues r{from}'s {priority}"),
        Note::Overflowed { node, from } => format!("r{node} queue is full, r{from}'s advert is lost"),
        Note::Judged { node, from, priority, at: arrived } => {
            format!("r{node} judges r{from}'s {priority}, {} ms old", millis(at.span_since(arrived)))
        }
        Note::TimerFired { node, next } => {
            format!(
                "r{node} timer, next {}",
                if next == Time::NEVER { "never".into() } else { millis(Span(next.0)) }
            )
        }
        Note::Resumed { node, held } => format!("r{node} has the CPU again, {held} frames on its card"),
        Note::Tracks { node, from } => format!("r{node} tracks r{from}"),
        Note::Untracks { node } => format!("r{node} tracks nobody"),
        Note::State { node, from, to, reason } => format!("r{node} {from} -> {to}: {reason}"),
        Note::Fault(fault) => format!("** {fault:?}"),
        Note::Phase(name) => format!("== {name}"),
    }
}

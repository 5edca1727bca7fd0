//! The last events of a story, written only when it is told for the reader.

use std::collections::VecDeque;

use ha_common::time::{Span, Time};

use crate::sim::millis;

/// Lines that a failure shows.
const KEEP: usize = 120;

/// A ring of lines.
#[derive(Debug)]
pub(super) struct Log {
    telling: bool,
    lines: VecDeque<String>,
}

impl Log {
    pub(super) const fn new(telling: bool) -> Self {
        Self { telling, lines: VecDeque::new() }
    }

    pub(super) fn note(&mut self, now: Time, what: impl FnOnce() -> String) {
        if self.telling {
            if self.lines.len() == KEEP {
                self.lines.pop_front();
            }
            self.lines.push_back(format!("  {:>14} {}\n", millis(Span(now.0)), what()));
        }
    }

    pub(super) fn text(&self) -> String {
        self.lines.iter().map(String::as_str).collect()
    }
}

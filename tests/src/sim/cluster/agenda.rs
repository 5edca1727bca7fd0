//! What is going to happen, in the order of time; at the same time in the order in which it was planned.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use ha_common::time::Time;

/// Events to come.
#[derive(Debug)]
pub(super) struct Agenda<E> {
    events: BinaryHeap<Reverse<(Time, u64, E)>>,
    sequence: u64,
}

impl<E: Ord> Agenda<E> {
    pub(super) const fn new() -> Self {
        Self { events: BinaryHeap::new(), sequence: 0 }
    }

    pub(super) fn push(&mut self, at: Time, event: E) {
        self.sequence += 1;
        self.events.push(Reverse((at, self.sequence, event)));
    }

    /// Takes the next event, if it comes no later than `end`.
    pub(super) fn next_until(&mut self, end: Time) -> Option<(Time, E)> {
        let Reverse((at, ..)) = self.events.peek()?;
        if *at > end {
            return None;
        }
        self.events.pop().map(|Reverse((at, _, event))| (at, event))
    }
}

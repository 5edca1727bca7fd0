//! Probes that were sent and not answered: the witnesses.

use crate::time::{Span, Time};

/// Witnesses that are kept. The oldest ones count, so what no longer fits is left out.
const CAPACITY: usize = 64;

#[derive(Clone, Copy, Debug, Default)]
struct Sent {
    sequence: u64,
    asked: Time,
    at: Time,
}

/// Oldest first, in a fixed array.
#[derive(Clone, Debug)]
pub(super) struct Outstanding {
    items: [Sent; CAPACITY],
    head: usize,
    len: usize,
}

impl Outstanding {
    pub(super) fn new() -> Self {
        Self { items: [Sent::default(); CAPACITY], head: 0, len: 0 }
    }

    pub(super) const fn clear(&mut self) {
        self.len = 0;
    }

    /// `asked` was read before the probe was sent, `at` after it.
    pub(super) fn sent(&mut self, sequence: u64, asked: Time, at: Time) {
        if self.len < CAPACITY
            && let Some(item) = self.items.get_mut((self.head + self.len) % CAPACITY)
        {
            *item = Sent { sequence, asked, at };
            self.len += 1;
        }
    }

    /// When the `nth` oldest was sent, from 0.
    pub(super) fn nth(&self, nth: usize) -> Option<Time> {
        if nth >= self.len {
            return None;
        }
        self.items.get((self.head + nth) % CAPACITY).map(|sent| sent.at)
    }

    /// Takes out everything up to `sequence`; the round trip where that very probe was kept.
    pub(super) fn answered(&mut self, sequence: u64, at: Time) -> Option<Span> {
        let mut round_trip = None;
        while self.len > 0 {
            let Some(sent) = self.items.get(self.head) else { break };
            if sent.sequence > sequence {
                break;
            }
            if sent.sequence == sequence {
                // A software switch delivers the reply before the send call returns.
                let from = if at > sent.at { sent.at } else { sent.asked };
                round_trip = Some(at.span_since(from));
            }
            self.head = (self.head + 1) % CAPACITY;
            self.len -= 1;
        }
        round_trip
    }
}

//! What a router that has yielded tells the winner, until that one answers: it may hear nothing of what is sent to it.

use super::backup::SOON;
use super::io::Tracked;
use crate::time::{Span, Time};

/// How often.
const EVERY: Span = Span::from_millis(40);

/// And how many times at most.
const TIMES: u8 = 25;

/// When the winner is told next, and how often more.
#[derive(Clone, Copy, Debug)]
pub(super) struct LastWord(Option<(Time, u8)>);

impl LastWord {
    /// Nothing is left to say.
    pub(super) const NONE: Self = Self(None);

    /// A first word was said to `winner` now. One that advertises often is not taken for dead while its adverts come
    /// ([`SOON`]), and needs no other.
    pub(super) fn said(winner: &Tracked, now: Time) -> Self {
        Self((winner.interval > SOON).then(|| (now.after(EVERY), TIMES)))
    }

    pub(super) fn next(&self) -> Option<Time> {
        self.0.map(|(at, _)| at)
    }

    /// Whether it is to be said now.
    pub(super) fn due(&mut self, now: Time) -> bool {
        let Some((_, left)) = self.0.take_if(|(at, _)| *at <= now) else { return false };
        self.0 = (left > 1).then(|| (now.after(EVERY), left - 1));
        true
    }

    /// The winner, known as `winner` so far, advertised at `at`: sooner than it had to where that is an answer.
    pub(super) fn heard(&mut self, winner: &Tracked, at: Time) {
        let sooner = Span(winner.interval.0 / 4 * 3);
        if at > winner.last_seen && at.span_since(winner.last_seen) < sooner {
            self.0 = None;
        }
    }
}

//! What a router that has yielded tells the winner, until that one answers: it may hear nothing of what is sent to it.

use super::backup::SOON;
use super::io::Tracked;
use crate::time::{Span, Time};

/// How often.
const EVERY: Span = Span::from_millis(40);

/// And how many times at most.
const TIMES: u8 = 25;

/// When the winner is told next, how often more, and when it was told again last.
#[derive(Clone, Copy, Debug)]
pub(super) struct LastWord {
    next: Option<(Time, u8)>,
    again: Option<Time>,
}

impl LastWord {
    /// Nothing is left to say.
    pub(super) const NONE: Self = Self { next: None, again: None };

    /// A first word was said to `winner` now. One that advertises often is not taken for dead while its adverts come
    /// ([`SOON`]), and needs no other.
    pub(super) fn said(winner: &Tracked, now: Time) -> Self {
        Self { next: (winner.interval > SOON).then(|| (now.after(EVERY), TIMES)), again: None }
    }

    pub(super) fn next(&self) -> Option<Time> {
        self.next.map(|(at, _)| at)
    }

    /// Whether it is to be said now.
    pub(super) fn due(&mut self, now: Time) -> bool {
        let Some((_, left)) = self.next.take_if(|(at, _)| *at <= now) else { return false };
        self.next = (left > 1).then(|| (now.after(EVERY), left - 1));
        self.again = Some(now);
        true
    }

    /// The winner, known as `winner` so far, advertised at `at`: sooner than it had to where that is an answer. After the first
    /// word it may be a copy of the advert that was yielded to.
    pub(super) fn heard(&mut self, winner: &Tracked, at: Time) {
        let sooner = Span(winner.interval.0 / 4 * 3);
        let told = self.again.is_some_and(|again| at > again);
        if told && at > winner.last_seen && at.span_since(winner.last_seen) < sooner {
            self.next = None;
        }
    }
}

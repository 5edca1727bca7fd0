//! The order among several backups: how long each waits with a takeover.
//!
//! The peer counts those that probe it and tells each how many go before it ([`crate::rank`]). The first does not wait;
//! the others wait until they would have seen the takeover of those before them.

use super::{Answered, Settings};
use crate::probe::RANKED;
use crate::time::Span;
use crate::types::Priority;

/// By so much longer than the probe interval a backup waits for each that takes over before it: time for a turn of that
/// one's main loop, and for its advert. Two find a master dead within a probe interval of each other.
pub const ORDER: Span = Span::from_millis(1);

/// Where this node stands among those that would take over from a peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Precedence {
    /// How many go before it.
    pub rank: u8,
    /// The peer has told the others of this node as well ([`RANKED`]), so that no two go first.
    pub ranked: bool,
    /// By how much later than this node another may find the peer dead, whose window is still wide.
    pub patience: Span,
}

impl Precedence {
    /// As a reply has it.
    pub(super) const fn told(reply: &Answered, patience: Span) -> Self {
        Self { rank: reply.rank, ranked: reply.flags & RANKED != 0, patience }
    }

    /// The same for what the peer says of itself: everybody who probes it hears that at once.
    #[must_use]
    pub const fn at_its_word(self) -> Self {
        Self { patience: Span::ZERO, ..self }
    }
}

/// How long a backup waits with a takeover by verdict.
#[must_use]
pub fn takeover_wait(priority: Priority, settings: &Settings, order: Precedence) -> Span {
    let step = settings.interval.plus(ORDER);
    let skew = if order.ranked { Span::ZERO } else { fast_skew_time(priority, step) };
    match order.rank {
        0 => skew,
        rank => skew.plus(order.patience).plus(step.times(u64::from(rank))),
    }
}

/// The RFC's skew time, scaled to the time in which another's takeover is seen.
#[must_use]
pub fn fast_skew_time(priority: Priority, step: Span) -> Span {
    Span(step.times(256 - u64::from(priority.get())).0 / 256)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HUNDRED: Priority = Priority::DEFAULT;

    #[test]
    fn the_first_that_the_peer_has_ranked_does_not_wait() {
        let settings = Settings::default();
        let first = Precedence { ranked: true, patience: Span::from_millis(9), ..Precedence::default() };
        assert_eq!(takeover_wait(HUNDRED, &settings, first), Span::ZERO);
        let second = Precedence { rank: 1, ..first };
        assert_eq!(takeover_wait(HUNDRED, &settings, second), Span::from_millis(11));
        assert_eq!(takeover_wait(HUNDRED, &settings, second.at_its_word()), Span::from_millis(2));
    }

    #[test]
    fn whoever_is_not_ranked_waits_for_its_skew_time() {
        let settings = Settings::default();
        let wait = |priority| takeover_wait(priority, &settings, Precedence::default());
        assert_eq!(wait(HUNDRED), Span(2_000_000 * 156 / 256));
        assert!(wait(Priority::OWNER) < wait(HUNDRED));
    }
}

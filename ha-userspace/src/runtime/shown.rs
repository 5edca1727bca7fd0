//! What the main loop has handed out to be shown, and how long its turns take.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ha_common::time::{Span, Time};

use super::standby::Looks;
use crate::control::protocol::Counters;
use crate::control::snapshot::Snapshot;
use crate::logging::clock::rfc3339;
use crate::service_manager::ServiceManager;

/// A turn of the main loop, from when something woke it until it waited again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Turn {
    pub(super) took: Span,
    pub(super) ended: Time,
}

/// Turns moments of the monotonic clock into times of day, all by one reading of both clocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct WallClock {
    now: Time,
    wall: SystemTime,
}

impl WallClock {
    /// The clocks as they are.
    pub(super) fn read(now: Time) -> Self {
        Self { now, wall: SystemTime::now() }
    }

    /// RFC 3339. A clock that was set meanwhile is believed.
    pub(super) fn of(&self, at: Time) -> String {
        let ago = Duration::from_nanos(self.now.span_since(at).0);
        rfc3339(self.wall.checked_sub(ago).unwrap_or(SystemTime::UNIX_EPOCH))
    }
}

/// Kept for whoever asks.
#[derive(Debug, Default)]
pub(super) struct Shown {
    longest: Option<Turn>,
    /// The latest of each kind. Whoever asked has done with it before the next one is made, as a rule, so that it is
    /// freed here: another thread would free it under the lock of this thread's arena.
    snapshot: Option<Arc<Snapshot>>,
    counters: Option<Arc<Counters>>,
    /// When masters' standbys are looked at.
    pub(super) looks: Looks,
    pub(super) manager: ServiceManager,
}

impl Shown {
    /// Nothing yet.
    pub(super) fn new(manager: ServiceManager) -> Self {
        Self { manager, ..Self::default() }
    }

    /// A turn began and ended.
    pub(super) fn turn(&mut self, began: Time, ended: Time) {
        let took = ended.span_since(began);
        if self.longest.is_none_or(|longest| longest.took < took) {
            self.longest = Some(Turn { took, ended });
        }
    }

    /// The longest so far.
    pub(super) const fn longest(&self) -> Option<Turn> {
        self.longest
    }

    /// Keeps a snapshot, in the place of the one before.
    pub(super) fn keep(&mut self, snapshot: Snapshot) -> Arc<Snapshot> {
        Arc::clone(self.snapshot.insert(Arc::new(snapshot)))
    }

    /// The same for counters.
    pub(super) fn keep_counters(&mut self, counters: Counters) -> Arc<Counters> {
        Arc::clone(self.counters.insert(Arc::new(counters)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_turn_stays() {
        let mut shown = Shown::default();
        assert_eq!(shown.longest(), None);
        let at = |ms: u64| Time(ms * 1_000_000);
        let mut longest = |began, ended| {
            shown.turn(at(began), at(ended));
            shown.longest()
        };
        let five = Some(Turn { took: Span::from_millis(5), ended: at(15) });
        assert_eq!(longest(10, 15), five);
        assert_eq!(longest(20, 24), five);
        assert_eq!(longest(30, 35), five, "the first of two");
        assert_eq!(longest(40, 46), Some(Turn { took: Span::from_millis(6), ended: at(46) }));
    }
}

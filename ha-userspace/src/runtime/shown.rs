//! What the main loop has handed out to be shown, and how long its turns take.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ha_common::time::{Span, Time};

use super::standby::Looks;
use crate::control::protocol::{Counters, Histogram};
use crate::control::snapshot::Snapshot;
use crate::logging::clock::rfc3339;
use crate::service_manager::ServiceManager;

/// A turn of the main loop, from when something woke it until it waited again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Turn {
    pub(super) took: Span,
    pub(super) ended: Time,
}

/// Upper bounds of the buckets that turns are counted in, in microseconds.
const BOUNDS_US: [u32; 10] = [50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 100_000, 1_000_000];

/// How many turns took how long.
#[derive(Clone, Copy, Debug, Default)]
struct Turns {
    counts: [u64; BOUNDS_US.len()],
    beyond: u64,
    sum: Span,
}

impl Turns {
    fn add(&mut self, took: Span) {
        self.sum = Span(self.sum.0.saturating_add(took.0));
        let at = BOUNDS_US.iter().position(|bound| took.0 <= u64::from(*bound) * 1_000);
        let count = at.and_then(|at| self.counts.get_mut(at));
        *count.unwrap_or(&mut self.beyond) += 1;
    }

    fn histogram(&self) -> Histogram {
        let bounds = BOUNDS_US.iter().map(|bound| f64::from(*bound) / 1e6);
        Histogram {
            buckets: bounds.zip(self.counts).collect(),
            beyond: self.beyond,
            sum_s: Duration::from_nanos(self.sum.0).as_secs_f64(),
        }
    }
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
    turns: Turns,
    /// The latest of each kind. Whoever asked has done with it before the next one is made, as a rule, so that it is
    /// freed here: another thread would free it under the lock of this thread's arena.
    snapshot: Option<Arc<Snapshot>>,
    counters: Option<Arc<Counters>>,
    /// When masters' standbys are looked at.
    pub(super) looks: Looks,
    /// When those that stand by are looked at next.
    pub(super) standbys_at: Time,
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
        self.turns.add(took);
        if self.longest.is_none_or(|longest| longest.took < took) {
            self.longest = Some(Turn { took, ended });
        }
    }

    /// The longest so far.
    pub(super) const fn longest(&self) -> Option<Turn> {
        self.longest
    }

    /// How many took how long.
    pub(super) fn turns(&self) -> Histogram {
        self.turns.histogram()
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
    fn a_turn_counts_in_the_first_bucket_that_holds_it() {
        let mut shown = Shown::default();
        for us in [10, 50, 51, 3_000_000] {
            shown.turn(Time(0), Time(us * 1_000));
        }
        let Histogram { buckets, beyond, sum_s } = shown.turns();
        assert_eq!(buckets.first(), Some(&(0.000_05, 2)));
        assert_eq!(buckets.get(1), Some(&(0.000_1, 1)));
        assert_eq!(buckets.iter().map(|(_, count)| count).sum::<u64>(), 3);
        assert_eq!(beyond, 1);
        assert!((sum_s - 3.000_111).abs() < 1e-9, "{sum_s}");
    }

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

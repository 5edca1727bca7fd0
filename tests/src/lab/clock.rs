//! One time base for all observations: nanoseconds of `CLOCK_MONOTONIC`; and waiting on it.
//!
//! Kernel packet timestamps come in `CLOCK_REALTIME` and are converted here, so that everything the lab
//! reports can be subtracted from each other.

use std::fmt;
use std::time::Duration;

use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_gettime};

/// An instant on `CLOCK_MONOTONIC`, in nanoseconds. The daemon's own kernel stamps use the same clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(i64);

impl Moment {
    /// The present.
    #[must_use]
    pub fn now() -> Self {
        Self(read(ClockId::CLOCK_MONOTONIC))
    }

    /// The start of the clock, before anything that a lab observes.
    #[must_use]
    pub fn from_boot() -> Self {
        Self(0)
    }

    /// Nanoseconds since boot.
    #[must_use]
    pub fn nanos(self) -> i64 {
        self.0
    }

    /// Time from `earlier` to `self`; zero if `earlier` is in fact later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(u64::try_from(self.0 - earlier.0).unwrap_or(0))
    }

    /// Milliseconds from `origin` to `self`, negative if `self` is earlier.
    #[must_use]
    pub fn ms_after(self, origin: Self) -> f64 {
        (self.0 - origin.0) as f64 / 1e6
    }

    /// This moment, later by `by`.
    #[must_use]
    pub fn plus(self, by: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(by.as_nanos()).unwrap_or(i64::MAX)))
    }

    /// This moment, earlier by `by`.
    #[must_use]
    pub fn minus(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(by.as_nanos()).unwrap_or(i64::MAX)))
    }

    /// Converts a kernel packet timestamp (`SO_TIMESTAMPNS`). It is right as long as the wall clock is not
    /// stepped between the packet and this call.
    pub(super) fn from_packet_stamp(stamp: TimeSpec) -> Self {
        let offset = read(ClockId::CLOCK_REALTIME) - read(ClockId::CLOCK_MONOTONIC);
        Self(nanos(stamp) - offset)
    }

    pub(crate) fn timespec(self) -> TimeSpec {
        TimeSpec::new(self.0 / 1_000_000_000, self.0 % 1_000_000_000)
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.6}", self.0 as f64 / 1e9)
    }
}

/// Waits until `found` returns something, at most `timeout`. What a busy machine lets this thread oversleep does not
/// count: what it waits for is as late.
pub fn wait_for<T>(timeout: Duration, mut found: impl FnMut() -> Option<T>) -> Option<T> {
    let mut end = Moment::now().plus(timeout);
    loop {
        if let Some(value) = found() {
            return Some(value);
        }
        let now = Moment::now();
        if now >= end {
            return None;
        }
        std::thread::sleep(POLL);
        end = end.plus(Moment::now().since(now.plus(POLL)));
    }
}

/// Between two looks.
const POLL: Duration = Duration::from_millis(5);

fn read(clock: ClockId) -> i64 {
    // Both clocks exist on every Linux; a failure is impossible rather than unlikely.
    clock_gettime(clock).map_or(0, nanos)
}

fn nanos(time: TimeSpec) -> i64 {
    time.tv_sec() * 1_000_000_000 + time.tv_nsec()
}

//! The one clock: `CLOCK_MONOTONIC`, which is also what the XDP program stamps with.

use ha_common::time::Time;
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_gettime};

/// Reads `CLOCK_MONOTONIC`.
#[must_use]
pub fn now() -> Time {
    // clock_gettime(2) fails only for a clock that does not exist, and this one always does.
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Time::default(), to_time)
}

/// Reads `CLOCK_BOOTTIME`, which goes on while the machine sleeps: for what one run tells the next.
#[must_use]
pub fn boottime() -> Time {
    clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(Time::default(), to_time)
}

/// Nanoseconds of `CLOCK_REALTIME` since 1970: to convert a kernel receive stamp, for logs and for `auth_hmac`.
pub(crate) fn realtime_ns() -> u64 {
    clock_gettime(ClockId::CLOCK_REALTIME).map_or(0, |spec| to_time(spec).0)
}

/// A `timespec` as nanoseconds; negative ones, which no clock here returns, become zero.
pub(crate) fn to_time(spec: TimeSpec) -> Time {
    let seconds = u64::try_from(spec.tv_sec()).unwrap_or(0);
    let nanoseconds = u64::try_from(spec.tv_nsec()).unwrap_or(0);
    Time(seconds.saturating_mul(1_000_000_000).saturating_add(nanoseconds))
}

/// The opposite of [`to_time`].
pub(crate) fn to_timespec(time: Time) -> TimeSpec {
    let seconds = i64::try_from(time.0 / 1_000_000_000).unwrap_or(i64::MAX);
    let nanoseconds = i64::try_from(time.0 % 1_000_000_000).unwrap_or(0);
    TimeSpec::new(seconds, nanoseconds)
}

//! The timers of RFC 9568 section 6.1 and RFC 3768 section 6.1, as functions of their parameters.
//!
//! What must not live here: state. The machine and `xvrrp check` call these.

use crate::time::{Span, Time};
use crate::types::{Priority, Version};

/// The part of the interval by which an advert may come early while its phase is moved onto the common grid.
const PULL: u64 = 32;

/// The shortest interval that is believed, a tenth of the shortest that VRRPv3 can say: keeps deadlines apart.
pub(super) const MIN_INTERVAL: Span = Span::from_millis(1);
/// The longest interval that is believed, above the 255 s of VRRPv2: keeps sums far from overflow.
pub(super) const MAX_INTERVAL: Span = Span::from_secs(3600);

/// `Skew_Time` in nanoseconds, never zero.
///
/// VRRPv3: (256 − priority) × interval of the master / 256. VRRPv2: (256 − priority) / 256 seconds, whatever the
/// interval.
#[must_use]
pub fn skew_time(version: Version, priority: Priority, interval: Span) -> Span {
    let base = match version {
        Version::V2 => Span::SECOND,
        Version::V3 => interval,
    };
    let steps = 256 - u64::from(priority.get());
    Span((base.times(steps).0 / 256).max(1))
}

/// `Active_Down_Interval`: `adverts` (3 in the RFC) intervals of the master and the skew time.
#[must_use]
pub fn master_down_interval(version: Version, priority: Priority, interval: Span, adverts: u8) -> Span {
    interval.times(u64::from(adverts.max(1))).plus(skew_time(version, priority, interval))
}

/// When the next advert is due after one that was due at `due` and is sent at `now`.
///
/// The phase is kept: an advert that went out late does not shift those behind it. Only when (almost) a whole
/// interval was missed does the next one follow the last by an interval, so that there is never a burst.
///
/// So that a hundred virtual routers do not need a hundred wake-ups per interval, the phase moves onto multiples
/// of the interval, by at most a 32nd of it each time. After 32 adverts all instances with one interval share
/// their wake-ups. No gap is ever longer than the interval and the lateness of the caller, and the mean never
/// shorter than 31/32 of the interval.
#[must_use]
pub(super) fn next_advert(due: Time, now: Time, interval: Span) -> Time {
    let pull = (due.0 % interval.0.max(1)).min(interval.0 / PULL);
    let next = Time(due.after(interval).0 - pull);
    if next > now { next } else { now.after(interval) }
}

//! When a lease is renewed: by threads that do nothing else, as long as the main loop keeps its word.

use crate::time::{Span, Time};

/// How much later than it promised the main loop may be done with a turn before it counts as stuck.
pub const SLACK: Span = Span::from_millis(50);

/// Who probes again after a pause is noticed within this time, however long the lease.
const NOTICED: Span = Span::from_millis(34);

/// How often a thread looks whether a lease of this length is to be renewed: three renewals fit into it. It looks for those who
/// probe again, too, to whom hosts may send until this node announces.
#[must_use]
pub const fn pace(length: Span) -> Span {
    let third = Span(length.0 / 3);
    if third.0 < NOTICED.0 { third } else { NOTICED }
}

/// Until when a lease that ends at `until` is to be renewed at `now`, if it is. The main loop has promised to be done with
/// its next turn at `promised`.
///
/// A main loop that hangs is nobody to vouch for. What has run out is the main loop's to renew, after it has stepped down.
#[must_use]
pub fn renewal(until: Time, length: Span, promised: Time, now: Time) -> Option<Time> {
    let alive = now <= promised.after(SLACK);
    let due = until > now && until.span_since(now) <= Span(length.0 - length.0 / 3);
    (alive && due).then(|| now.after(length))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTH: Span = Span::from_millis(90);

    fn ms(ms: u64) -> Time {
        Time(ms * 1_000_000)
    }

    #[test]
    fn it_is_renewed_a_third_before_its_end_at_the_latest() {
        let at = |now| renewal(ms(190), LENGTH, Time::NEVER, ms(now));
        assert_eq!([at(100), at(129)], [None, None]);
        assert_eq!([at(130), at(189)], [Some(ms(220)), Some(ms(279))]);
    }

    #[test]
    fn what_has_run_out_is_not_renewed() {
        assert_eq!(renewal(ms(190), LENGTH, Time::NEVER, ms(190)), None);
    }

    #[test]
    fn nobody_vouches_for_a_main_loop_that_is_later_than_it_said() {
        let at = |now| renewal(ms(190), LENGTH, ms(100), ms(now));
        assert_eq!([at(150), at(151)], [Some(ms(240)), None]);
        assert_eq!(renewal(Time(u64::MAX - 1), LENGTH, Time::NEVER, Time(u64::MAX - 2)), Some(Time::NEVER));
    }
}

//! Judging times. What is right follows from the protocol (an interval, a skew time, a lease) or from a reference that
//! is measured in the same run; and what the machine itself withheld meanwhile ([`held_up`]) is nobody's fault.

use std::time::Duration;

use anyhow::{Result, ensure};
use ha_tests::lab::{Moment, held_up};

/// What the machine may have cost between two moments. Twice, because a step of a router waits at least twice: for the
/// lock of addresses, and for a packet.
pub(crate) fn allowance(from: Moment, to: Moment) -> Duration {
    held_up(from, to) * 2
}

/// Error unless `at` is within `limit` after `from`; how long it took.
pub(crate) fn within(what: &str, from: Moment, at: Moment, limit: Duration) -> Result<Duration> {
    let (took, more) = (at.since(from), allowance(from, at));
    ensure!(took <= limit + more, "{what}: {took:?}, wanted within {limit:?} and {more:?} of the machine's");
    Ok(took)
}

/// Error unless `at` is `wanted` after `from`, `grain` sooner or later.
pub(crate) fn on_time(what: &str, from: Moment, at: Moment, wanted: Duration, grain: Duration) -> Result<()> {
    // What held up the machine before it was due is over.
    let (took, more) = (at.since(from), allowance(from.plus(wanted), at));
    ensure!(
        took + grain >= wanted && took <= wanted + grain + more,
        "{what}: {took:?}, wanted {wanted:?} ± {grain:?} and {more:?} of the machine's"
    );
    Ok(())
}

/// Error unless no two neighbours of `times` are further apart than `pause`; the longest pause.
pub(crate) fn steady(what: &str, times: &[Moment], pause: Duration) -> Result<Duration> {
    ensure!(times.len() > 1, "{what}: seen {} times", times.len());
    for pair in times.windows(2) {
        within(what, pair[0], pair[1], pause)?;
    }
    Ok(times.windows(2).map(|pair| pair[1].since(pair[0])).max().unwrap_or_default())
}

//! How late a thread of real-time priority wakes up, by the kind of timer: what a takeover can lose in the kernel.
//!
//! Kernels with `PREEMPT_RT` expire a timerfd in a soft interrupt, which is a thread there, and the sleep of a real-time
//! thread in the interrupt itself.

use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use nix::time::{ClockId as Clock, ClockNanosleepFlags, clock_nanosleep};

use super::smoke::result;
use crate::lab::{Lab, Moment, Topology, realtime_thread};

const ROUNDS: usize = 400;
const SLEEP: Duration = Duration::from_micros(1_500);
/// The main loop's.
const PRIORITY: i32 = 51;

/// Measures on an idle machine and beside a stream of pings, which is what the soft interrupt is busy with.
pub(super) fn run() -> Result<()> {
    measure("idle")?;
    let lab = Lab::new(Topology::two_node())?;
    let r1 = lab.host("r1")?.spec().v4;
    let streams: Vec<_> = (0..4)
        .map(|_| lab.host("client")?.ping(r1.into(), Duration::from_micros(500), Duration::from_secs(60)))
        .collect::<Result<_>>()?;
    std::thread::sleep(Duration::from_millis(200));
    let measured = measure("pings");
    drop(streams);
    measured
}

fn measure(beside: &str) -> Result<()> {
    let thread = std::thread::spawn(|| -> Result<[Vec<Duration>; 2]> {
        realtime_thread(PRIORITY).context("real-time priority")?;
        let fd = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::empty())?;
        let mut late = [Vec::new(), Vec::new()];
        for _ in 0..ROUNDS {
            let at = Moment::now().plus(SLEEP);
            fd.set(Expiration::OneShot(at.timespec()), TimerSetTimeFlags::TFD_TIMER_ABSTIME)?;
            fd.wait()?;
            late[0].push(Moment::now().since(at));
            let at = Moment::now().plus(SLEEP);
            clock_nanosleep(Clock::CLOCK_MONOTONIC, ClockNanosleepFlags::TIMER_ABSTIME, &at.timespec())?;
            late[1].push(Moment::now().since(at));
        }
        Ok(late)
    });
    let late = thread.join().map_err(|_| anyhow::anyhow!("the measuring thread panicked"))??;
    for (kind, mut late) in ["timerfd", "nanosleep"].into_iter().zip(late) {
        late.sort_unstable();
        let us = |at: usize| late.get(at).map_or(0, Duration::as_micros);
        let text = format!("{} / {} / {} / {}", us(0), us(ROUNDS / 2), us(ROUNDS * 99 / 100), us(ROUNDS - 1));
        result(
            &format!("{kind}.{beside}"),
            &format!("{text} us late (min / median / 99 % / max of {ROUNDS})"),
        );
    }
    Ok(())
}

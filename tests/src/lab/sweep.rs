//! Many addresses asked at once: when each was first answered again.
//!
//! Only addresses without an answer are asked, in turn, so that the last ones are asked ever more often.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::Result;
use nix::time::{ClockId, ClockNanosleepFlags, clock_nanosleep};
use socket2::SockAddr;

use super::{Host, Moment, ping, sys};

/// A running sweep.
#[derive(Debug)]
pub struct Sweep {
    thread: std::thread::JoinHandle<Vec<Option<Moment>>>,
}

impl Host {
    /// Asks `targets` (of one family) in turn, one packet every `interval`, until each has answered, for at
    /// most `longest`.
    pub fn sweep(&self, targets: Vec<IpAddr>, interval: Duration, longest: Duration) -> Result<Sweep> {
        let first = targets.first().copied().unwrap_or(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST));
        let socket = self.inside(move || ping::open(first))??;
        let thread = std::thread::Builder::new().name("lab-sweep".to_owned()).spawn(move || {
            // Without the right to real-time scheduling the steps are less even.
            let _ordinary = sys::realtime_thread(20);
            let mut answered: Vec<Option<Moment>> = vec![None; targets.len()];
            let mut open: Vec<usize> = (0..targets.len()).collect();
            let mut tick = Moment::now();
            let end = tick.plus(longest);
            let mut turn = 0;
            while !open.is_empty() && tick < end {
                turn = if turn + 1 < open.len() { turn + 1 } else { 0 };
                let target = targets[open[turn]];
                let packet = ping::request(target, open[turn]);
                // It fails while the neighbour entry is unusable; that packet is lost like any other.
                let _failed = socket.send_to(&packet, &SockAddr::from(SocketAddr::new(target, 0)));
                ping::receive(&socket, first.is_ipv4(), |number, at| {
                    let target = usize::try_from(number).ok().and_then(|number| answered.get_mut(number));
                    if let Some(answered) = target {
                        answered.get_or_insert(at);
                    }
                });
                open.retain(|target| answered[*target].is_none());
                tick = tick.plus(interval).max(Moment::now());
                let _interrupted = clock_nanosleep(
                    ClockId::CLOCK_MONOTONIC,
                    ClockNanosleepFlags::TIMER_ABSTIME,
                    &tick.timespec(),
                );
            }
            answered
        })?;
        Ok(Sweep { thread })
    }
}

impl Sweep {
    /// Waits for its end. When each target was first answered, in the order in which they were given.
    #[must_use]
    pub fn finish(self) -> Vec<Option<Moment>> {
        self.thread.join().unwrap_or_default()
    }
}

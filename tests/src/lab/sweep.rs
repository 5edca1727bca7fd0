//! Many addresses asked at once: when each was first answered again.
//!
//! All that have not answered are asked in one system call, and after a pause again, so that no address waits for its
//! turn: what is measured is the answers, not the pace of the questions.

use std::io::IoSlice;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;
use std::time::Duration;

use anyhow::Result;
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrStorage, sendmmsg, setsockopt, sockopt};
use nix::time::{ClockId, ClockNanosleepFlags, clock_nanosleep};
use socket2::Socket;

use super::{Host, Moment, ping, sys};

/// Room for the answers of a whole burst.
const ROOM: usize = 1 << 20;

/// A running sweep.
#[derive(Debug)]
pub struct Sweep {
    thread: std::thread::JoinHandle<Swept>,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Swept {
    /// When each target was first answered, in the order in which they were given.
    pub answered: Vec<Option<Moment>>,
    /// The longest time from one question to the same address to the next: an answer is known that well.
    pub resolution: Duration,
}

impl Host {
    /// Asks all of `targets` (of one family) at once, again and again with `pause` in between, each until it has
    /// answered, for at most `longest`.
    pub fn sweep(&self, targets: Vec<IpAddr>, pause: Duration, longest: Duration) -> Result<Sweep> {
        let first = targets.first().copied().unwrap_or(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST));
        let socket = self.inside(move || ping::open(first))??;
        setsockopt(&socket, sockopt::RcvBufForce, &ROOM)?;
        setsockopt(&socket, sockopt::SndBufForce, &ROOM)?;
        let thread = std::thread::Builder::new().name("lab-sweep".to_owned()).spawn(move || {
            // Without the right to real-time scheduling the bursts are less even.
            let _ordinary = sys::realtime_thread(20);
            run(&socket, &targets, pause, longest)
        })?;
        Ok(Sweep { thread })
    }
}

fn run(socket: &Socket, targets: &[IpAddr], pause: Duration, longest: Duration) -> Swept {
    let mut swept = Swept { answered: vec![None; targets.len()], resolution: Duration::ZERO };
    let mut open: Vec<usize> = (0..targets.len()).collect();
    let v4 = targets.first().is_none_or(IpAddr::is_ipv4);
    let mut begun = Moment::now();
    let end = begun.plus(longest);
    while !open.is_empty() && begun < end {
        burst(socket, targets, &open);
        // Answers carry the time at which they came, so that it does not matter when they are read.
        let next = Moment::now().plus(pause);
        let _interrupted =
            clock_nanosleep(ClockId::CLOCK_MONOTONIC, ClockNanosleepFlags::TIMER_ABSTIME, &next.timespec());
        ping::receive(socket, v4, |number, at| {
            let target = usize::try_from(number).ok().and_then(|number| swept.answered.get_mut(number));
            if let Some(answered) = target {
                answered.get_or_insert(at);
            }
        });
        open.retain(|target| swept.answered[*target].is_none());
        let now = Moment::now();
        swept.resolution = swept.resolution.max(now.since(begun));
        begun = now;
    }
    swept
}

/// Asks those that are open.
fn burst(socket: &Socket, targets: &[IpAddr], open: &[usize]) {
    let packets: Vec<_> = open.iter().map(|&number| ping::request(targets[number], number)).collect();
    let parts: Vec<_> = packets.iter().map(|packet| [IoSlice::new(packet)]).collect();
    let to: Vec<_> =
        open.iter().map(|&number| Some(SockaddrStorage::from(SocketAddr::new(targets[number], 0)))).collect();
    let mut sent = 0;
    while let (Some(parts), Some(to)) = (parts.get(sent..), to.get(sent..))
        && !parts.is_empty()
    {
        let mut headers = MultiHeaders::preallocate(parts.len(), None);
        let count = sendmmsg(socket.as_raw_fd(), &mut headers, parts, to, [], MsgFlags::empty());
        // One fails while the neighbour entry is unusable; that packet is lost like any other.
        sent += count.map_or(0, Iterator::count).max(1);
    }
}

impl Sweep {
    /// Waits for its end.
    #[must_use]
    pub fn finish(self) -> Swept {
        self.thread.join().unwrap_or_default()
    }
}

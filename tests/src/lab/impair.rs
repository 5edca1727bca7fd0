//! A bad cable: frames to and from one host are lost, delayed, reordered and duplicated.
//!
//! The kernel here has no netem. The port of the host leaves the bridge, and a thread carries frames between
//! it and a veth pair that takes its place, through packet sockets. Checksums that a sender leaves to the
//! hardware (TCP, UDP) are not completed on this way; VRRP, ARP, ICMP and neighbour discovery are whole.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;
use socket2::{Domain, Protocol, Socket, Type};

use super::{Lab, Moment, sys};
use crate::rng::Rng;

/// What happens to every frame, in both directions.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Impairment {
    /// Share of frames that are lost, 0.0 to 1.0.
    pub loss: f64,
    /// Share of frames that arrive twice.
    pub duplicate: f64,
    /// Least delay.
    pub delay: Duration,
    /// Up to this much is added at random; frames overtake each other if it exceeds their distance.
    pub jitter: Duration,
}

/// A running bad cable. Dropped, the cable is good again.
#[derive(Debug)]
pub struct BadCable<'a> {
    lab: &'a Lab,
    host: String,
    how: Arc<Mutex<Impairment>>,
    stop: Arc<AtomicBool>,
    carrier: Option<JoinHandle<()>>,
}

/// Frames beyond this are lost, as in any queue.
const QUEUE: usize = 10_000;

impl Lab {
    /// Makes the cable of `host` a bad one. The same `seed` gives the same decisions for the same frames.
    pub fn impair(&self, host: &str, how: Impairment, seed: u64) -> Result<BadCable<'_>> {
        let (name, switch) = (self.host(host)?.name().to_owned(), self.switch());
        let inner = format!("{name}.i");
        let outer = format!("{name}.o");
        switch.output(&["ip", "link", "add", &inner, "type", "veth", "peer", "name", &outer])?;
        switch.output(&["ip", "link", "set", &inner, "up"])?;
        switch.output(&["ip", "link", "set", &outer, "master", "br0", "up"])?;
        let open = |device: String| -> Result<Socket> {
            switch.namespace.inside(move || open(&device))?.context("packet socket of a bad cable")
        };
        let ends = [open(name.clone())?, open(inner)?];
        switch.output(&["ip", "link", "set", &name, "nomaster"])?;
        let (how, stop) = (Arc::new(Mutex::new(how)), Arc::new(AtomicBool::new(false)));
        let (rules, ended) = (Arc::clone(&how), Arc::clone(&stop));
        let carrier = std::thread::Builder::new().name("lab-bad-cable".to_owned()).spawn(move || {
            // Without real-time scheduling delays are longer than asked for.
            let _ordinary = sys::realtime_thread(30);
            carry(&ends, &rules, &ended, seed);
        })?;
        Ok(BadCable { lab: self, host: name, how, stop, carrier: Some(carrier) })
    }
}

impl BadCable<'_> {
    /// Changes what happens to frames from now on.
    pub fn change(&self, how: Impairment) {
        *self.how.lock().unwrap_or_else(PoisonError::into_inner) = how;
    }
}

impl Drop for BadCable<'_> {
    fn drop(&mut self) {
        let switch = self.lab.switch();
        // Errors here mean that the lab is going away as well.
        let _restored = switch.output(&["ip", "link", "set", &self.host, "master", "br0"]);
        self.stop.store(true, Ordering::Relaxed);
        if let Some(carrier) = self.carrier.take() {
            let _panicked = carrier.join();
        }
        let _removed = switch.output(&["ip", "link", "del", &format!("{}.i", self.host)]);
    }
}

fn open(device: &str) -> io::Result<Socket> {
    const ALL_FRAMES: u16 = 0x0003;
    let index = nix::net::if_::if_nametoindex(device)?;
    let socket = Socket::new(Domain::PACKET, Type::RAW, Some(Protocol::from(0)))?;
    sys::ignore_outgoing(&socket)?;
    socket.bind(&sys::link_address(index, ALL_FRAMES)?)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// A frame on its way: due time, a number that keeps equal times in order, the end to send it from.
type InFlight = Reverse<(Moment, u64, usize, Vec<u8>)>;

fn carry(ends: &[Socket; 2], how: &Mutex<Impairment>, stop: &AtomicBool, seed: u64) {
    let _ordinary = sys::realtime_thread(20);
    let mut random = Rng::new(seed);
    let mut queue: BinaryHeap<InFlight> = BinaryHeap::new();
    let mut number = 0;
    let mut buffer = vec![0; 65_536];
    while !stop.load(Ordering::Relaxed) {
        let now = Moment::now();
        let idle = Duration::from_millis(50);
        let patience = queue.peek().map_or(idle, |Reverse((due, ..))| due.since(now).min(idle));
        let mut waiting = ends.each_ref().map(|end| PollFd::new(end.as_fd(), PollFlags::POLLIN));
        let _timeout = ppoll(&mut waiting, Some(TimeSpec::from_duration(patience)), None);
        let rules = *how.lock().unwrap_or_else(PoisonError::into_inner);
        for (end, socket) in ends.iter().enumerate() {
            while let Ok(length) = (&*socket).read(&mut buffer) {
                let copies = fate(rules, &mut random);
                for delay in copies.into_iter().flatten() {
                    if queue.len() >= QUEUE {
                        break;
                    }
                    number += 1;
                    let frame = buffer.get(..length).unwrap_or_default().to_vec();
                    queue.push(Reverse((Moment::now().plus(delay), number, 1 - end, frame)));
                }
            }
        }
        while let Some(Reverse((due, ..))) = queue.peek()
            && *due <= Moment::now()
            && let Some(Reverse((_, _, end, frame))) = queue.pop()
        {
            // A port that is down loses the frame.
            let _down = ends[end].send(&frame);
        }
    }
}

/// The delays of the copies of one frame: none, one or two.
fn fate(rules: Impairment, random: &mut Rng) -> [Option<Duration>; 2] {
    // Always the same number of draws, so that a change of one rule leaves the other decisions alone.
    let [lost, twice, first, second] = std::array::from_fn(|_| random.share());
    let delay = |share| rules.delay + rules.jitter.mul_f64(share);
    if lost < rules.loss {
        return [None, None];
    }
    [Some(delay(first)), (twice < rules.duplicate).then(|| delay(second))]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_kept() {
        let rules = Impairment { loss: 0.2, duplicate: 0.1, ..Impairment::default() };
        let mut random = Rng::new(1);
        let fates: Vec<_> = (0..10_000).map(|_| fate(rules, &mut random)).collect();
        let lost = fates.iter().filter(|copies| copies[0].is_none()).count();
        let twice = fates.iter().filter(|copies| copies[1].is_some()).count();
        assert!((1_850..2_150).contains(&lost), "{lost}");
        // A tenth of the four fifths that are not lost.
        assert!((700..900).contains(&twice), "{twice}");
    }

    #[test]
    fn the_same_seed_gives_the_same_fates() {
        let rules = Impairment { loss: 0.5, jitter: Duration::from_millis(5), ..Impairment::default() };
        let run = |seed| {
            let mut random = Rng::new(seed);
            (0..100).map(|_| fate(rules, &mut random)).collect::<Vec<_>>()
        };
        assert_eq!(run(7), run(7));
        assert_ne!(run(7), run(8));
    }
}

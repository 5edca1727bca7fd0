//! Puts frames on the wire of a host as they are, as an attacker or a broken router would.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_gettime};
use socket2::{Domain, Socket, Type};

use super::{Host, Switch, sys};

/// Sends frames from a host's interface, Ethernet header included; nothing is added or checked.
#[derive(Debug)]
pub struct Injector {
    socket: Socket,
}

impl Host {
    /// A sender of frames on the host's interface.
    pub fn injector(&self) -> Result<Injector> {
        let index = self.interface_index()?;
        Ok(Injector { socket: self.inside(move || open(index))?.context("opening a packet socket")? })
    }
}

impl Switch {
    /// A sender of frames to `host` alone. They do not pass the bridge, which keeps back some broken ones.
    pub fn injector(&self, host: &str) -> Result<Injector> {
        let port = self.ports.iter().find(|(_, name)| *name == host);
        let index = *port.with_context(|| format!("no port {host}"))?.0;
        let socket = self.namespace.inside(move || open(index))?;
        Ok(Injector { socket: socket.context("opening a packet socket")? })
    }
}

fn open(index: u32) -> std::io::Result<Socket> {
    // Protocol 0: it receives nothing.
    let socket = Socket::new(Domain::PACKET, Type::RAW, None)?;
    socket.bind(&sys::link_address(index, 0)?)?;
    Ok(socket)
}

impl Injector {
    /// Sends one frame.
    pub fn send(&self, frame: &[u8]) -> Result<()> {
        self.socket.send(frame).with_context(|| format!("sending a frame of {} bytes", frame.len()))?;
        Ok(())
    }

    /// Sends `frames` in turn, `per_second` frames in all or as many as the machine manages, until the
    /// result is dropped.
    pub fn flood(&self, frames: Vec<Vec<u8>>, per_second: u64) -> Result<Flood> {
        let socket = self.socket.try_clone()?;
        let (stop, count) = (Arc::new(AtomicBool::new(false)), Arc::new(Count::default()));
        let (ended, counts) = (Arc::clone(&stop), Arc::clone(&count));
        let sender = std::thread::Builder::new()
            .name("lab-flood".to_owned())
            .spawn(move || send_loop(&socket, &frames, per_second, &counts, &ended))?;
        Ok(Flood { stop, count, sender: Some(sender) })
    }
}

/// A stream of frames; ends when dropped.
#[derive(Debug)]
pub struct Flood {
    stop: Arc<AtomicBool>,
    count: Arc<Count>,
    sender: Option<JoinHandle<()>>,
}

/// What the sender did so far.
#[derive(Debug, Default)]
struct Count {
    sent: AtomicU64,
    cpu_ns: AtomicU64,
}

impl Flood {
    /// Frames sent so far.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.count.sent.load(Ordering::Relaxed)
    }

    /// Processor time of the sender so far, part of which is what its frames cost on the way to a socket or a program.
    #[must_use]
    pub fn cpu(&self) -> Duration {
        Duration::from_nanos(self.count.cpu_ns.load(Ordering::Relaxed))
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(sender) = self.sender.take() {
            let _panicked = sender.join();
        }
    }
}

fn send_loop(socket: &Socket, frames: &[Vec<u8>], per_second: u64, count: &Count, stop: &AtomicBool) {
    let start = Instant::now();
    let mut next = frames.iter().cycle();
    while !stop.load(Ordering::Relaxed) {
        // What is due by now; a sender that was held up makes up for at most a tenth of a second.
        let elapsed = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
        let due = (elapsed.saturating_mul(per_second) / 1_000_000)
            .saturating_sub(count.sent.load(Ordering::Relaxed));
        for frame in next.by_ref().take(usize::try_from(due.min(per_second / 10 + 1)).unwrap_or(1)) {
            // A full queue: the frame is lost, as on a real wire.
            let _full = socket.send(frame);
            count.sent.fetch_add(1, Ordering::Relaxed);
        }
        let used = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, TimeSpec::into);
        count.cpu_ns.store(u64::try_from(used.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
        std::thread::sleep(Duration::from_micros(500));
    }
}

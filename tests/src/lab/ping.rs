//! A stream of echo requests to a virtual address with send and receive time of every packet.
//!
//! One thread, one absolute sleep per packet; answers carry the kernel's receive timestamp, so they are
//! collected at the next tick without costing precision.

use std::io::IoSliceMut;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::libc;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt};
use nix::time::{ClockId, ClockNanosleepFlags, clock_nanosleep};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::ping_report::{Echo, PingReport};
use super::{Host, Moment, sys};

/// A running stream; ends when dropped.
#[derive(Debug)]
pub struct Pinger {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    target: IpAddr,
    echoes: Mutex<Vec<Echo>>,
    stop: AtomicBool,
}

impl Host {
    /// Starts a stream of echo requests to `target` from this host, one per `interval`, for at most
    /// `longest`.
    pub fn ping(&self, target: IpAddr, interval: Duration, longest: Duration) -> Result<Pinger> {
        let socket = self.inside(move || open(target))??;
        let echoes = Mutex::new(Vec::new());
        let shared = Arc::new(Shared { target, echoes, stop: AtomicBool::new(false) });
        let worker = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("lab-ping".to_owned()).spawn(move || {
            // Without the right to real-time scheduling the stream is less even, and the report shows it.
            let _ordinary = sys::realtime_thread(20);
            stream(&socket, &worker, interval, longest);
        })?;
        Ok(Pinger { shared, thread: Some(thread) })
    }
}

impl Pinger {
    /// What has been sent and answered so far. The newest packets may still be on their way.
    #[must_use]
    pub fn report(&self) -> PingReport {
        let echoes = self.shared.echoes.lock().unwrap_or_else(PoisonError::into_inner).clone();
        PingReport::new(echoes)
    }

    /// When the first answer to a packet sent at or after `from` came back, if one did.
    #[must_use]
    pub fn first_answer(&self, from: Moment) -> Option<Moment> {
        let echoes = self.shared.echoes.lock().unwrap_or_else(PoisonError::into_inner);
        let start = echoes.partition_point(|echo| echo.sent < from);
        echoes.iter().skip(start).filter_map(|echo| echo.answered).min()
    }

    /// Whether a packet sent within the last `window` has been answered.
    #[must_use]
    pub fn is_answered(&self, window: Duration) -> bool {
        let now = Moment::now();
        let echoes = self.shared.echoes.lock().unwrap_or_else(PoisonError::into_inner);
        echoes.iter().rev().take_while(|e| now.since(e.sent) <= window).any(|e| e.answered.is_some())
    }

    /// Stops sending, waits a moment for answers on their way, and reports.
    #[must_use]
    pub fn stop(mut self) -> PingReport {
        self.end();
        self.report()
    }

    fn end(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join();
        }
    }
}

impl Drop for Pinger {
    fn drop(&mut self) {
        self.end();
    }
}

pub(super) fn open(target: IpAddr) -> Result<Socket> {
    let (domain, protocol) = match target {
        IpAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4),
        IpAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6),
    };
    let socket = Socket::new(domain, Type::RAW, Some(protocol)).context("raw ICMP socket")?;
    socket.set_nonblocking(true)?;
    setsockopt(&socket, sockopt::ReceiveTimestampns, &true)?;
    Ok(socket)
}

/// Marks our own packets: the identifier of the echo request, and the first bytes of its payload.
const IDENTIFIER: u16 = 0x7872;

fn stream(socket: &Socket, shared: &Shared, interval: Duration, longest: Duration) {
    let target = SockAddr::from(SocketAddr::new(shared.target, 0));
    let mut book = Book::default();
    let mut tick = Moment::now();
    let end = tick.plus(longest);
    while !shared.stop.load(Ordering::Relaxed) && tick < end {
        let now = Moment::now();
        receive(socket, shared.target.is_ipv4(), |number, at| book.answer(number, at));
        let packet = request(shared.target, book.echoes.len());
        // It fails while the neighbour entry is unusable; that packet is lost like any other.
        let _failed = socket.send_to(&packet, &target);
        book.echoes.push(Echo { sent: now, answered: None });
        // Whoever holds the lock may be waiting for the processor; the stream does not wait for both.
        if let Ok(mut published) = shared.echoes.try_lock() {
            book.publish(&mut published);
        }
        // After a stall the missed ticks are left out rather than made up for by a burst.
        tick = tick.plus(interval).max(Moment::now());
        let _interrupted =
            clock_nanosleep(ClockId::CLOCK_MONOTONIC, ClockNanosleepFlags::TIMER_ABSTIME, &tick.timespec());
    }
    std::thread::sleep(Duration::from_millis(20));
    receive(socket, shared.target.is_ipv4(), |number, at| book.answer(number, at));
    book.publish(&mut shared.echoes.lock().unwrap_or_else(PoisonError::into_inner));
}

/// The sender's own list, copied to the readers from the first change on.
#[derive(Default)]
struct Book {
    echoes: Vec<Echo>,
    /// Everything before this index has been published as it is.
    published: usize,
}

impl Book {
    fn answer(&mut self, number: u64, at: Moment) {
        let index = usize::try_from(number).unwrap_or(usize::MAX);
        if let Some(echo) = self.echoes.get_mut(index) {
            echo.answered.get_or_insert(at);
            self.published = self.published.min(index);
        }
    }

    fn publish(&mut self, to: &mut Vec<Echo>) {
        to.truncate(self.published);
        to.extend_from_slice(self.echoes.get(self.published..).unwrap_or_default());
        self.published = self.echoes.len();
    }
}

/// An echo request that carries `number`.
pub(super) fn request(target: IpAddr, number: usize) -> [u8; 16] {
    let mut packet = [0; 16];
    packet[0] = if target.is_ipv4() { 8 } else { 128 };
    packet[4..6].copy_from_slice(&IDENTIFIER.to_be_bytes());
    let number = number as u64;
    packet[6..8].copy_from_slice(&number.to_be_bytes()[6..]);
    packet[8..].copy_from_slice(&number.to_be_bytes());
    if target.is_ipv4() {
        // ICMPv6 checksums are the kernel's job.
        let sum: u32 =
            packet.chunks_exact(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
        let folded = (sum & 0xffff) + (sum >> 16);
        let folded = (folded & 0xffff) + (folded >> 16);
        let checksum = !u16::try_from(folded).unwrap_or(0);
        packet[2..4].copy_from_slice(&checksum.to_be_bytes());
    }
    packet
}

/// Takes all answers that have come: the number in each, and when the kernel saw it.
pub(super) fn receive(socket: &Socket, v4: bool, mut answer: impl FnMut(u64, Moment)) {
    let mut packet = [0; 128];
    let mut control = nix::cmsg_space!(libc::timespec);
    loop {
        let mut parts = [IoSliceMut::new(&mut packet)];
        let Ok(message) =
            recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut parts, Some(&mut control), MsgFlags::empty())
        else {
            return;
        };
        let length = message.bytes;
        let stamp = message.cmsgs().ok().and_then(|mut list| {
            list.find_map(|item| match item {
                ControlMessageOwned::ScmTimestampns(stamp) => Some(Moment::from_packet_stamp(stamp)),
                _ => None,
            })
        });
        if let Some(number) = packet.get(..length).and_then(|bytes| reply_number(bytes, v4)) {
            answer(number, stamp.unwrap_or_else(Moment::now));
        }
    }
}

/// The number in an echo reply of ours. A raw IPv4 socket delivers the IP header as well.
fn reply_number(bytes: &[u8], v4: bool) -> Option<u64> {
    let (icmp, kind) =
        if v4 { (bytes.get(usize::from(bytes.first()? & 0x0f) * 4..)?, 0) } else { (bytes, 129) };
    let ours = *icmp.first()? == kind && icmp.get(4..6)? == IDENTIFIER.to_be_bytes();
    ours.then_some(u64::from_be_bytes(icmp.get(8..16)?.try_into().ok()?))
}

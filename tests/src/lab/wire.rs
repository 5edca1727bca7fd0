//! A witness on the switch: every VRRP advert, ARP packet, neighbour advertisement and ICMP unreachable
//! that enters or leaves a port, with the kernel's timestamp.
//!
//! Independent of the code under test on purpose: it has its own few lines of decoding, and it stands
//! where a network engineer would put the tap.

use std::collections::BTreeMap;
use std::io::IoSliceMut;
use std::net::IpAddr;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use anyhow::{Context, Result};
use nix::libc;
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType, recvmsg,
    setsockopt, socket, sockopt,
};
use nix::sys::time::TimeVal;
use socket2::Socket;

use super::Moment;
use super::frames::{Frame, decode, filter};
use super::switch::Switch;
use super::sys;

/// Which way a frame went, seen from the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The host sent it; it reached the switch.
    Sent,
    /// The switch delivered it to the host.
    Delivered,
}

/// One frame at one port.
#[derive(Clone, Debug)]
pub struct Sighting {
    /// When the kernel saw it.
    pub at: Moment,
    /// Host at the port.
    pub host: String,
    /// Which way.
    pub direction: Direction,
    /// Source of the Ethernet frame.
    pub source_mac: [u8; 6],
    /// Its content.
    pub frame: Frame,
}

/// A running witness; ends when dropped. Keeps the last 200,000 sightings.
#[derive(Debug)]
pub struct Wire {
    seen: Arc<Mutex<Vec<Sighting>>>,
    stop: Arc<AtomicBool>,
    reader: Option<JoinHandle<()>>,
}

const KEEP: usize = 200_000;

impl Switch {
    /// Starts a witness that does not look at liveness probes and their replies.
    pub fn watch(&self) -> Result<Wire> {
        self.start_witness(|| open(false))
    }

    /// The same, but it sees only what hosts send, not what is delivered to each: a burst of hundreds of broadcasts
    /// takes a fraction of the time beside it.
    pub fn watch_sent(&self) -> Result<Wire> {
        self.start_witness(|| {
            let socket = open(false)?;
            sys::ignore_outgoing(&socket).context("packet socket of a witness")?;
            Ok(socket)
        })
    }

    /// Starts a witness that sees them too. There may be thousands a second.
    pub fn watch_probes(&self) -> Result<Wire> {
        self.start_witness(|| open(true))
    }

    fn start_witness(&self, open: impl FnOnce() -> Result<Socket> + Send + 'static) -> Result<Wire> {
        let socket = self.namespace.inside(open)??;
        let ports = self.ports.clone();
        let (seen, stop) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (log, ended) = (Arc::clone(&seen), Arc::clone(&stop));
        let reader = std::thread::Builder::new()
            .name("lab-wire".to_owned())
            .spawn(move || read_loop(&socket, &ports, &log, &ended))?;
        Ok(Wire { seen, stop, reader: Some(reader) })
    }
}

impl Wire {
    /// A copy of what was seen that `keep` chooses, oldest first.
    pub fn filter(&self, keep: impl Fn(&Sighting) -> bool) -> Vec<Sighting> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.iter().filter(|sighting| keep(sighting)).cloned().collect()
    }

    /// The newest sighting that `keep` chooses.
    pub fn last(&self, keep: impl Fn(&Sighting) -> bool) -> Option<Sighting> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.iter().rev().find(|sighting| keep(sighting)).cloned()
    }

    /// The oldest sighting at or after `from` that `keep` chooses.
    pub fn first_since(&self, from: Moment, keep: impl Fn(&Sighting) -> bool) -> Option<Sighting> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.iter().find(|sighting| sighting.at >= from && keep(sighting)).cloned()
    }

    /// When `host` last sent an advert, and no later than `before`.
    #[must_use]
    pub fn last_advert_from(&self, host: &str, before: Moment) -> Option<Moment> {
        self.last(|s| s.at <= before && s.is_advert_from(host)).map(|s| s.at)
    }

    /// When an advert sent by `from` was last delivered to `to`, and no later than `before`.
    #[must_use]
    pub fn last_advert_delivered(&self, from_mac: [u8; 6], to: &str, before: Moment) -> Option<Moment> {
        self.last(|s| {
            s.at <= before
                && s.direction == Direction::Delivered
                && s.host == to
                && s.source_mac == from_mac
                && matches!(s.frame, Frame::Advert { .. })
        })
        .map(|s| s.at)
    }

    /// When `host` first sent an advert at or after `from`.
    #[must_use]
    pub fn first_advert_from(&self, host: &str, from: Moment) -> Option<Moment> {
        self.first_since(from, |s| s.is_advert_from(host)).map(|s| s.at)
    }

    /// When `host` first announced `address` at or after `from`, by gratuitous ARP or by an unsolicited
    /// neighbour advertisement.
    #[must_use]
    pub fn first_announcement(&self, host: &str, address: IpAddr, from: Moment) -> Option<Moment> {
        let announces = |frame: &Frame| match (frame, address) {
            (frame, IpAddr::V4(address)) => frame.is_gratuitous_for(address),
            (Frame::NeighbourAdvert { target, flags, .. }, IpAddr::V6(address)) => {
                *target == address && flags & 0x40 == 0
            }
            _ => false,
        };
        let seen = self
            .first_since(from, |s| s.direction == Direction::Sent && s.host == host && announces(&s.frame));
        seen.map(|sighting| sighting.at)
    }

    /// ICMP and ICMPv6 destination-unreachable messages that hosts sent. A daemon that receives unicast
    /// adverts without telling the kernel causes them.
    #[must_use]
    pub fn unreachables(&self) -> Vec<Sighting> {
        self.filter(|s| s.direction == Direction::Sent && matches!(s.frame, Frame::Unreachable { .. }))
    }
}

impl Sighting {
    /// Whether it is an advert on its way from `host`.
    #[must_use]
    pub fn is_advert_from(&self, host: &str) -> bool {
        self.direction == Direction::Sent && self.host == host && matches!(self.frame, Frame::Advert { .. })
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(reader) = self.reader.take() {
            let _panicked = reader.join();
        }
    }
}

fn open(probes: bool) -> Result<Socket> {
    let kind = (AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC);
    // It receives from here on; frames that come before the filter is attached are sorted out by `decode`.
    let socket = socket(kind.0, kind.1, kind.2, SockProtocol::EthAll).context("packet socket")?;
    let socket = Socket::from(socket);
    socket.attach_filter(&filter(probes)).context("packet filter")?;
    setsockopt(&socket, sockopt::ReceiveTimestampns, &true)?;
    setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::new(0, 100_000))?;
    // A second of a hundred routers with 10 ms, at every port: the reader shares the machine with others. More than
    // rmem_max needs the privilege that a lab needs anyway.
    setsockopt(&socket, sockopt::RcvBufForce, &(32 << 20))?;
    Ok(socket)
}

fn read_loop(socket: &Socket, ports: &BTreeMap<u32, String>, log: &Mutex<Vec<Sighting>>, stop: &AtomicBool) {
    let _ordinary = sys::realtime_thread(20);
    let mut frame = [0; 256];
    let mut control = nix::cmsg_space!(libc::timespec);
    while !stop.load(Ordering::Relaxed) {
        let mut parts = [IoSliceMut::new(&mut frame)];
        let Ok(message) =
            recvmsg::<LinkAddr>(socket.as_raw_fd(), &mut parts, Some(&mut control), MsgFlags::empty())
        else {
            continue;
        };
        let (length, from) = (message.bytes, message.address);
        let stamp = message.cmsgs().ok().and_then(|mut list| {
            list.find_map(|item| match item {
                ControlMessageOwned::ScmTimestampns(stamp) => Some(Moment::from_packet_stamp(stamp)),
                _ => None,
            })
        });
        let Some(from) = from else { continue };
        let direction =
            if from.pkttype() == libc::PACKET_OUTGOING { Direction::Delivered } else { Direction::Sent };
        let port = u32::try_from(from.ifindex()).ok().and_then(|index| ports.get(&index));
        if let (Some(host), Some((source_mac, content))) = (port, frame.get(..length).and_then(decode)) {
            let at = stamp.unwrap_or_else(Moment::now);
            let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
            if log.len() >= KEEP {
                log.drain(..KEEP / 4);
            }
            log.push(Sighting { at, host: host.clone(), direction, source_mac, frame: content });
        }
    }
}

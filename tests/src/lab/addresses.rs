//! When addresses and carriers came and went on the hosts, from the kernel's own notifications.

use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use anyhow::{Context, Result};
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, socket,
};

use super::{Host, Lab, Moment, Wire, sys};

/// What changed on a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// An address was added.
    Added(IpAddr),
    /// An address was removed.
    Removed(IpAddr),
    /// The lab's interface got its carrier.
    CarrierUp,
    /// The lab's interface lost its carrier or was set down.
    CarrierDown,
}

/// One change at one time.
#[derive(Clone, Debug)]
pub struct ChangeAt {
    /// When user space was told; some tens of microseconds after the kernel did it.
    pub at: Moment,
    /// Where.
    pub host: String,
    /// What.
    pub change: Change,
}

/// Watches all hosts; ends when dropped.
#[derive(Debug)]
pub struct Addresses {
    log: Arc<Mutex<Vec<ChangeAt>>>,
    stop: Arc<AtomicBool>,
    reader: Option<JoinHandle<()>>,
}

impl Lab {
    /// Starts watching addresses and carriers on all hosts. Addresses that are there already are logged as
    /// added now.
    pub fn watch_addresses(&self) -> Result<Addresses> {
        let mut sources = Vec::new();
        let mut log = Vec::new();
        for host in self.hosts() {
            let index = host.interface_index()?;
            sources.push(Source {
                host: host.name().to_owned(),
                socket: host.inside(open)??,
                index,
                up: true,
            });
            let at = Moment::now();
            let there = host.addresses()?.into_iter();
            log.extend(there.map(|ip| ChangeAt {
                at,
                host: host.name().to_owned(),
                change: Change::Added(ip),
            }));
        }
        let (log, stop) = (Arc::new(Mutex::new(log)), Arc::new(AtomicBool::new(false)));
        let (writer, ended) = (Arc::clone(&log), Arc::clone(&stop));
        let reader = std::thread::Builder::new()
            .name("lab-addresses".to_owned())
            .spawn(move || read_loop(sources, &writer, &ended))?;
        Ok(Addresses { log, stop, reader: Some(reader) })
    }
}

impl Host {
    /// Index of the host's interface.
    pub fn interface_index(&self) -> Result<u32> {
        let name = self.interface().to_owned();
        self.inside(move || nix::net::if_::if_nametoindex(name.as_str()))?.context("interface index")
    }
}

impl Addresses {
    /// Everything so far, oldest first.
    #[must_use]
    pub fn history(&self) -> Vec<ChangeAt> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The hosts that have `address` now, in no particular order.
    #[must_use]
    pub fn holders(&self, address: IpAddr) -> Vec<String> {
        self.holders_at(address, Moment::now())
    }

    /// The hosts that had `address` at `when`.
    #[must_use]
    pub fn holders_at(&self, address: IpAddr, when: Moment) -> Vec<String> {
        let mut holders: Vec<String> = Vec::new();
        for entry in self.log.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            if entry.at > when {
                break;
            }
            match entry.change {
                Change::Added(ip) if ip == address && !holders.contains(&entry.host) => {
                    holders.push(entry.host.clone());
                }
                Change::Removed(ip) if ip == address => holders.retain(|host| *host != entry.host),
                _ => {}
            }
        }
        holders
    }

    /// When `change` first happened on `host` at or after `from`.
    #[must_use]
    pub fn first(&self, host: &str, change: Change, from: Moment) -> Option<Moment> {
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.iter().find(|e| e.at >= from && e.host == host && e.change == change).map(|e| e.at)
    }

    /// When `host` took `address` at or after `from`, from the earlier of two witnesses: the kernel's
    /// notification, which a busy machine delivers late, and the announcement on the wire, which daemons
    /// send after they have added the address. `None` until the notification is there.
    #[must_use]
    pub fn taken(&self, wire: &Wire, host: &str, address: IpAddr, from: Moment) -> Option<Moment> {
        let added = self.first(host, Change::Added(address), from)?;
        Some(wire.first_announcement(host, address, from).map_or(added, |announced| announced.min(added)))
    }
}

impl Drop for Addresses {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(reader) = self.reader.take() {
            let _panicked = reader.join();
        }
    }
}

struct Source {
    host: String,
    socket: OwnedFd,
    index: u32,
    up: bool,
}

fn open() -> Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd = socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkRoute)?;
    let groups = libc::RTMGRP_LINK | libc::RTMGRP_IPV4_IFADDR | libc::RTMGRP_IPV6_IFADDR;
    bind(fd.as_raw_fd(), &NetlinkAddr::new(0, u32::try_from(groups)?)).context("binding a netlink socket")?;
    Ok(fd)
}

fn read_loop(mut sources: Vec<Source>, log: &Mutex<Vec<ChangeAt>>, stop: &AtomicBool) {
    // Times are taken here in user space, so this thread must not wait for the processor. Nor for the lock:
    // whoever holds it may be waiting for the processor.
    let _ordinary = sys::realtime_thread(20);
    let mut pending = Vec::new();
    let mut buffer = vec![0; 64 * 1024];
    while !stop.load(Ordering::Relaxed) {
        let mut waiting: Vec<PollFd<'_>> =
            sources.iter().map(|source| PollFd::new(source.socket.as_fd(), PollFlags::POLLIN)).collect();
        let patience = PollTimeout::from(if pending.is_empty() { 100_u8 } else { 1 });
        // A failure or a timeout leaves nothing to read.
        let _ready = poll(&mut waiting, patience);
        for source in &mut sources {
            while let Ok(length) = recv(source.socket.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
                let at = Moment::now();
                let changes = parse(buffer.get(..length).unwrap_or_default(), source.index, &mut source.up);
                let host = &source.host;
                pending.extend(changes.into_iter().map(|change| ChangeAt { at, host: host.clone(), change }));
            }
        }
        if let Ok(mut log) = log.try_lock() {
            log.append(&mut pending);
        }
    }
}

/// Reads netlink messages: header, then `ifaddrmsg` with attributes or `ifinfomsg`.
fn parse(mut bytes: &[u8], index: u32, up: &mut bool) -> Vec<Change> {
    let mut changes = Vec::new();
    while let (Some(length), Some(kind)) = (u32_at(bytes, 0), u16_at(bytes, 4)) {
        let length = usize::try_from(length).unwrap_or(0);
        let (Some(body), true) = (bytes.get(16..length), length >= 16) else { break };
        match kind {
            libc::RTM_NEWADDR => changes.extend(address(body).map(Change::Added)),
            libc::RTM_DELADDR => changes.extend(address(body).map(Change::Removed)),
            libc::RTM_NEWLINK if u32_at(body, 4) == Some(index) => {
                let flags = u32_at(body, 8).unwrap_or(0);
                let running = flags & u32::try_from(libc::IFF_RUNNING).unwrap_or(0) != 0;
                if running != *up {
                    *up = running;
                    changes.push(if running { Change::CarrierUp } else { Change::CarrierDown });
                }
            }
            _ => {}
        }
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    changes
}

/// The local address, or for IPv6, which has no peer here, the only one.
fn address(body: &[u8]) -> Option<IpAddr> {
    let mut attributes = body.get(8..)?;
    let mut found = None;
    while let (Some(length), Some(kind)) = (u16_at(attributes, 0), u16_at(attributes, 2)) {
        let length = usize::from(length);
        let value = attributes.get(4..length)?;
        let ip = match value.len() {
            4 => <[u8; 4]>::try_from(value).ok().map(IpAddr::from),
            16 => <[u8; 16]>::try_from(value).ok().map(IpAddr::from),
            _ => None,
        };
        match kind {
            libc::IFA_LOCAL => return ip,
            libc::IFA_ADDRESS => found = ip,
            _ => {}
        }
        attributes = attributes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    found
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

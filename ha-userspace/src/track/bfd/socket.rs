//! UDP sockets of BFD: one per family that receives, one per session that sends.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use ha_common::bfd::{FIRST_SOURCE_PORT, PORT};
use ha_common::time::Time;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt};
use socket2::{Domain, Protocol, Socket, Type};

use crate::net::advert_rx::ClockOffset;
use crate::net::clock;

/// Longer datagrams are cut: what follows a packet is of no interest.
const LONGEST: usize = 64;
/// Source ports that are tried.
const ATTEMPTS: u16 = 64;

/// A datagram as it arrived.
#[derive(Debug)]
pub(super) struct Datagram {
    pub(super) source: IpAddr,
    /// TTL or hop limit; `None` where the kernel did not tell.
    pub(super) ttl: Option<u8>,
    /// When the kernel received it.
    pub(super) at: Time,
    bytes: [u8; LONGEST],
    length: usize,
}

impl Datagram {
    #[cfg(test)]
    pub(super) fn new(source: IpAddr, ttl: Option<u8>, at: Time, payload: &[u8]) -> Self {
        let mut bytes = [0; LONGEST];
        bytes[..payload.len()].copy_from_slice(payload);
        Self { source, ttl, at, bytes, length: payload.len() }
    }

    pub(super) fn payload(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// Receives the control packets of one family.
#[derive(Debug)]
pub(super) struct Listener {
    socket: Socket,
    offset: ClockOffset,
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Listener {
    /// Binds to the port.
    ///
    /// # Errors
    /// Another BFD daemon has it.
    pub(super) fn open(v4: bool) -> io::Result<Self> {
        let (domain, any): (_, IpAddr) = if v4 {
            (Domain::IPV4, Ipv4Addr::UNSPECIFIED.into())
        } else {
            (Domain::IPV6, Ipv6Addr::UNSPECIFIED.into())
        };
        let socket = Socket::new(domain, Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
        setsockopt(&socket, sockopt::ReceiveTimestampns, &true)?;
        if v4 {
            setsockopt(&socket, sockopt::Ipv4RecvTtl, &true)?;
        } else {
            socket.set_only_v6(true)?;
            setsockopt(&socket, sockopt::Ipv6RecvHopLimit, &true)?;
        }
        socket.bind(&SocketAddr::new(any, PORT).into())?;
        Ok(Self { socket, offset: ClockOffset::read() })
    }

    /// The next datagram, if there is one.
    pub(super) fn receive(&mut self) -> Option<Datagram> {
        let mut bytes = [0; LONGEST];
        let mut parts = [IoSliceMut::new(&mut bytes)];
        let mut control = nix::cmsg_space!(libc::timespec, libc::c_int);
        let flags = MsgFlags::MSG_DONTWAIT;
        let message =
            recvmsg::<SockaddrStorage>(self.socket.as_raw_fd(), &mut parts, Some(&mut control), flags)
                .ok()?;
        let (mut ttl, mut stamp) = (None, None);
        for item in message.cmsgs().ok()? {
            match item {
                ControlMessageOwned::ScmTimestampns(time) => stamp = Some(clock::to_time(time).0),
                ControlMessageOwned::Ipv4Ttl(hops) | ControlMessageOwned::Ipv6HopLimit(hops) => {
                    ttl = u8::try_from(hops).ok();
                }
                _ => {}
            }
        }
        let address = message.address?;
        let v4 = address.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
        let source = v4.or_else(|| address.as_sockaddr_in6().map(|address| IpAddr::V6(address.ip())))?;
        let length = message.bytes;
        let at = self.offset.arrival(stamp);
        Some(Datagram { source, ttl, at, bytes, length })
    }
}

/// A socket that sends to one neighbour, from a port of its own (RFC 5881, section 4).
pub(super) fn sender(source: Option<IpAddr>, neighbor: IpAddr, ttl: u8, random: u16) -> io::Result<Socket> {
    let domain = if neighbor.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
    let socket = Socket::new(domain, Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
    if neighbor.is_ipv4() {
        socket.set_ttl_v4(u32::from(ttl))?;
        // Network control, as routing protocols have it.
        socket.set_tos_v4(0xc0)?;
    } else {
        socket.set_unicast_hops_v6(u32::from(ttl))?;
        socket.set_tclass_v6(0xc0)?;
    }
    let unspecified: IpAddr =
        if neighbor.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let from = source.unwrap_or(unspecified);
    let ports = u16::MAX - FIRST_SOURCE_PORT;
    let mut failure = io::Error::from(io::ErrorKind::AddrInUse);
    for attempt in 0..ATTEMPTS {
        let port = FIRST_SOURCE_PORT + random.wrapping_add(attempt) % ports;
        match socket.bind(&SocketAddr::new(from, port).into()) {
            Ok(()) => return Ok(socket),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => failure = error,
            Err(error) => return Err(error),
        }
    }
    Err(failure)
}

/// Where a neighbour listens.
pub(super) fn destination(neighbor: IpAddr) -> socket2::SockAddr {
    SocketAddr::new(neighbor, PORT).into()
}

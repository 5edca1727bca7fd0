//! Receives VRRP packets without XDP, and keeps the multicast membership that XDP needs.
//!
//! [`Membership`] joins the VRRP group so that the NIC and the switches deliver it, and drops every packet but replies: the
//! XDP program has seen them before. Its presence also keeps the kernel from answering unicast adverts with ICMP
//! "protocol unreachable". [`AdvertRx`] is the fallback: it delivers the packets with the kernel's time of
//! arrival. The caller judges them; here nothing is checked but what is needed to take a packet apart.
//!
//! Both stay bound to an interface index: make new ones when the interface was removed and created again.

use std::collections::VecDeque;
use std::io::{self, IoSliceMut};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, AsRawFd};
use std::task::{Context, Poll, ready};

use ha_common::classify::{Origin, parse_ip_packet};
use ha_common::packet::{Endpoints, ah};
use ha_common::probe::REPLY;
use ha_common::time::Time;
use ha_common::types::{Family, IPPROTO_VRRP, MULTICAST_V4, MULTICAST_V6};
use nix::errno::Errno;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt};
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, SockFilter, Socket, Type};
use tokio::io::unix::AsyncFd;

use super::advert_tx::bind_to_interface;
use super::clock;
use super::error::{SocketError, interface_name};
use super::sys;
use crate::descriptor::{Owned, watch_readable};

/// The longest VRRPv3 advert is 8 + 255 × 16 bytes, behind at most 60 bytes of IPv4 header.
const MAX_PACKET: usize = 4096 + 64;
/// Packets that are taken from the socket in one go.
const MAX_BATCH: usize = 64;
/// Enough for a second of 255 masters at 10 ms.
const RECEIVE_BUFFER: usize = 16 << 20;

/// Replies that are looked at in one go.
const QUEUED_REPLIES: usize = 512;

/// Membership of the VRRP group on one interface, in one family; lasts until it is dropped.
#[derive(Debug)]
pub struct Membership {
    socket: Socket,
}

impl Membership {
    /// Joins 224.0.0.18 or ff02::12 on `ifindex`.
    ///
    /// # Errors
    /// No permission, no such interface, no such address family.
    pub fn join(ifindex: u32, family: Family) -> Result<Self, SocketError> {
        Self::join_protocol(ifindex, family, IPPROTO_VRRP)
    }

    /// The same for IPv4 adverts behind an authentication header, which are another protocol.
    ///
    /// # Errors
    /// As [`Membership::join`].
    pub fn join_authenticated(ifindex: u32) -> Result<Self, SocketError> {
        Self::join_protocol(ifindex, Family::V4, ah::PROTOCOL)
    }

    fn join_protocol(ifindex: u32, family: Family, protocol: u8) -> Result<Self, SocketError> {
        let thing = format!("the VRRP multicast group on interface {}", interface_name(ifindex));
        let at = |step| SocketError::at(&thing, step);
        let socket = open(family, protocol).map_err(at("open a raw socket"))?;
        // Before the bind, so that nothing else slips in.
        socket.attach_filter(&reply_filter(family)).map_err(at("attach a filter"))?;
        bind_to_interface(&socket, family, ifindex).map_err(at("bind the socket"))?;
        join(&socket, ifindex, family).map_err(at("join"))?;
        Ok(Self { socket })
    }

    /// Whether a reply to a probe has come through to the stack since this was asked last: where an XDP program is
    /// attached, it takes those that are genuine. Forged ones come through, so that only the lack of any says something.
    #[must_use]
    pub fn heard_replies(&self) -> bool {
        let mut heard = false;
        let mut byte = [std::mem::MaybeUninit::uninit(); 1];
        // As many as the buffer can hold, and no more: a flood does not keep the caller here.
        for _ in 0..QUEUED_REPLIES {
            if self.socket.recv_with_flags(&mut byte, libc::MSG_DONTWAIT | libc::MSG_TRUNC).is_err() {
                break;
            }
            heard = true;
        }
        heard
    }
}

/// A VRRP packet as it came from the wire; nothing in it is trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// When the kernel took it from the driver.
    pub at: Time,
    /// Source and destination of the IP header.
    pub endpoints: Endpoints,
    /// TTL or hop limit.
    pub ttl: u8,
    /// What follows the IP header; the IP header's length decides where it ends.
    pub pdu: Vec<u8>,
    /// The whole IP packet, where an authentication header precedes the PDU.
    pub authenticated: Option<Vec<u8>>,
}

/// Receiver of VRRP packets on one interface, in one family.
#[derive(Debug)]
pub struct AdvertRx {
    socket: AsyncFd<Owned<Socket>>,
    inbox: Inbox,
}

impl AdvertRx {
    /// Joins the group on `ifindex` and receives it, as well as unicast packets that come in there. Must be called
    /// inside a tokio runtime.
    ///
    /// The kernel switches time stamps on in the background when the first socket of the machine asks for them; a
    /// packet that comes in before that bears the time of reading.
    ///
    /// # Errors
    /// No permission, no such interface, no such address family.
    pub fn open(ifindex: u32, family: Family) -> Result<Self, SocketError> {
        Self::open_protocol(ifindex, family, IPPROTO_VRRP)
    }

    /// The same for IPv4 adverts behind an authentication header, which nobody has checked.
    ///
    /// # Errors
    /// As [`AdvertRx::open`].
    pub fn open_authenticated(ifindex: u32) -> Result<Self, SocketError> {
        Self::open_protocol(ifindex, Family::V4, ah::PROTOCOL)
    }

    fn open_protocol(ifindex: u32, family: Family, protocol: u8) -> Result<Self, SocketError> {
        let thing = format!("receiving adverts on interface {}", interface_name(ifindex));
        let at = |step| SocketError::at(&thing, step);
        let socket = open(family, protocol).map_err(at("open a raw socket"))?;
        bind_to_interface(&socket, family, ifindex).map_err(at("bind the socket"))?;
        set_up(&socket, family).map_err(at("set the options"))?;
        join(&socket, ifindex, family).map_err(at("join the VRRP group"))?;
        let mut inbox = Inbox::new(family, protocol == ah::PROTOCOL);
        // Packets of other interfaces may have come in before the bind.
        while !inbox.fill(&socket).map_err(at("read"))? {}
        inbox.ready.clear();
        let socket = watch_readable(socket).map_err(at("watch the socket"))?;
        Ok(Self { socket, inbox })
    }

    /// The same ahead of the kernel's IP layer, through a packet socket.
    ///
    /// For interfaces that carry a macvlan with a virtual MAC address: frames from that address, the peers' adverts,
    /// are delivered to the macvlan alone. Join the group besides.
    ///
    /// # Errors
    /// No permission, no such interface.
    pub fn open_tap(ifindex: u32, family: Family) -> Result<Self, SocketError> {
        let thing = format!("receiving adverts on interface {}", interface_name(ifindex));
        let at = |step| SocketError::at(&thing, step);
        // packet(7): protocol zero receives nothing until the bind, which names one.
        let socket = Socket::new(Domain::PACKET, Type::DGRAM.nonblocking(), None)
            .map_err(at("open a packet socket"))?;
        socket.attach_filter(&tap_filter(family)).map_err(at("attach a filter"))?;
        set_stamps(&socket).map_err(at("set the options"))?;
        socket.bind(&sys::link_source(ifindex)).map_err(at("bind the socket"))?;
        let mut inbox = Inbox::new(family, false);
        inbox.tap = true;
        let socket = watch_readable(socket).map_err(at("watch the socket"))?;
        Ok(Self { socket, inbox })
    }

    /// Whether it is a packet socket.
    #[must_use]
    pub fn is_tap(&self) -> bool {
        self.inbox.tap
    }

    /// Family of the packets.
    #[must_use]
    pub fn family(&self) -> Family {
        self.inbox.family
    }

    /// Whether it is for adverts behind an authentication header.
    #[must_use]
    pub fn is_authenticated(&self) -> bool {
        self.inbox.authenticated
    }

    /// Ready when [`AdvertRx::try_recv`] may have something, for loops that watch several sockets. Only the latest
    /// caller's waker is kept.
    pub fn poll_readable(&self, context: &mut Context<'_>) -> Poll<()> {
        if !self.inbox.ready.is_empty() {
            return Poll::Ready(());
        }
        match ready!(self.socket.poll_read_ready(context)) {
            // Cleared before the socket is read: a packet that comes meanwhile makes it ready again.
            Ok(mut guard) => guard.clear_ready(),
            Err(_) => return Poll::Pending,
        }
        Poll::Ready(())
    }

    /// Waits for the next packet. Cancel-safe.
    ///
    /// # Errors
    /// The socket reports one; it stays usable.
    pub async fn recv(&mut self) -> io::Result<Received> {
        loop {
            if let Some(received) = self.inbox.ready.pop_front() {
                return Ok(received);
            }
            let mut guard = self.socket.readable().await?;
            if self.inbox.fill(guard.get_inner())? {
                guard.clear_ready();
            }
        }
    }

    /// The next packet where one is there: to judge all that is queued before a deadline is believed.
    ///
    /// # Errors
    /// The socket reports one; it stays usable.
    pub fn try_recv(&mut self) -> io::Result<Option<Received>> {
        if self.inbox.ready.is_empty() {
            self.inbox.fill(self.socket.get_ref())?;
        }
        Ok(self.inbox.ready.pop_front())
    }

    /// How many packets the kernel threw away because this socket was full, since the last call.
    ///
    /// Asked of the socket itself: `SO_RXQ_OVFL` tells of a loss only with the next packet, which a master that died
    /// meanwhile does not send.
    pub fn take_lost(&mut self) -> u32 {
        // No kernel that is new enough for the rest refuses.
        let total = sys::dropped(self.socket.get_ref().as_fd()).unwrap_or(self.inbox.dropped);
        total.wrapping_sub(std::mem::replace(&mut self.inbox.dropped, total))
    }
}

/// Packets that were read and not yet handed out, and what is needed to read more.
#[derive(Debug)]
struct Inbox {
    family: Family,
    authenticated: bool,
    ready: VecDeque<Received>,
    packet: Box<[u8; MAX_PACKET]>,
    control: Vec<u8>,
    offset: ClockOffset,
    /// From a packet socket: whole IP packets in either family.
    tap: bool,
    /// The kernel's count of dropped packets, which wraps.
    dropped: u32,
}

impl Inbox {
    fn new(family: Family, authenticated: bool) -> Self {
        Self {
            family,
            authenticated,
            ready: VecDeque::new(),
            packet: Box::new([0; MAX_PACKET]),
            control: nix::cmsg_space!(libc::timespec, libc::in6_pktinfo, libc::c_int),
            offset: ClockOffset::read(),
            tap: false,
            dropped: 0,
        }
    }

    /// Reads a bounded number of packets; true when the socket was seen empty.
    fn fill(&mut self, socket: &Socket) -> io::Result<bool> {
        for _ in 0..MAX_BATCH {
            match self.read_one(socket) {
                Ok(Some(received)) => self.ready.push_back(received),
                Ok(None) | Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return Ok(true),
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(false)
    }

    /// One packet; `None` where it makes no sense as an IP packet.
    fn read_one(&mut self, socket: &Socket) -> nix::Result<Option<Received>> {
        let mut vectors = [IoSliceMut::new(&mut self.packet[..])];
        let message = recvmsg::<SockaddrStorage>(
            socket.as_raw_fd(),
            &mut vectors,
            Some(&mut self.control),
            MsgFlags::MSG_DONTWAIT,
        )?;
        let (mut stamp, mut destination, mut hop_limit) = (None, None, None);
        for control in message.cmsgs()? {
            match control {
                ControlMessageOwned::ScmTimestampns(time) => stamp = Some(clock::to_time(time).0),
                ControlMessageOwned::Ipv6PacketInfo(info) => {
                    destination = Some(Ipv6Addr::from(info.ipi6_addr.s6_addr));
                }
                ControlMessageOwned::Ipv6HopLimit(limit) => hop_limit = u8::try_from(limit).ok(),
                _ => {}
            }
        }
        let source = message.address.as_ref().and_then(|address| address.as_sockaddr_in6()).map(|a| a.ip());
        let length = message.bytes;
        let at = self.offset.arrival(stamp);
        let bytes = self.packet.get(..length).unwrap_or(&[]);
        if self.tap {
            // Nobody has looked at the header before.
            let taken = parse_ip_packet(bytes, Origin::Xdp).ok().filter(|taken| !taken.packet.authenticated);
            return Ok(taken.map(|taken| Received {
                at,
                endpoints: taken.endpoints,
                ttl: taken.packet.ttl,
                pdu: taken.pdu.to_vec(),
                authenticated: None,
            }));
        }
        Ok(match self.family {
            Family::V4 if self.authenticated => parse_ip_packet(bytes, Origin::Socket)
                .ok()
                .filter(|packet| packet.packet.authenticated)
                .map(|packet| Received {
                    at,
                    endpoints: packet.endpoints,
                    ttl: packet.packet.ttl,
                    pdu: packet.pdu.to_vec(),
                    authenticated: bytes.get(..packet.packet.ip_len).map(<[u8]>::to_vec),
                }),
            Family::V4 => take_apart_v4(bytes).map(|(endpoints, ttl, pdu)| Received {
                at,
                endpoints,
                ttl,
                pdu: pdu.to_vec(),
                authenticated: None,
            }),
            Family::V6 => source.zip(destination).zip(hop_limit).map(|((source, destination), ttl)| {
                let endpoints = Endpoints::V6 { source, destination };
                Received { at, endpoints, ttl, pdu: bytes.to_vec(), authenticated: None }
            }),
        })
    }
}

/// Raw IPv4 sockets deliver the header too, raw IPv6 sockets do not (raw(7), RFC 3542 section 3).
fn take_apart_v4(packet: &[u8]) -> Option<(Endpoints, u8, &[u8])> {
    let (header, _) = packet.split_first_chunk::<20>()?;
    let header_length = usize::from(header[0] & 0x0f) * 4;
    if header[0] >> 4 != 4 || header_length < 20 {
        return None;
    }
    let total_length = usize::from(u16::from_be_bytes([header[2], header[3]]));
    let pdu = packet.get(header_length..total_length.min(packet.len()))?;
    let source = Ipv4Addr::new(header[12], header[13], header[14], header[15]);
    let destination = Ipv4Addr::new(header[16], header[17], header[18], header[19]);
    Some((Endpoints::V4 { source, destination }, header[8], pdu))
}

/// What lies between `CLOCK_REALTIME`, which the kernel stamps packets with, and `CLOCK_MONOTONIC`.
///
/// The offset changes only when somebody sets the clock (NTP slews both alike). A packet that is read after that
/// may have been stamped before it or after it, so then its stamp is worth nothing, and the time of reading is
/// taken instead: late, which never makes a live master look dead.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClockOffset {
    realtime_minus_monotonic: i128,
    now: Time,
}

/// Reading two clocks takes some nanoseconds, or a little longer when the thread is preempted in between.
const SAME_OFFSET_NS: u128 = 200_000;

impl ClockOffset {
    pub(crate) fn read() -> Self {
        let mut best: Option<(u64, Self)> = None;
        for _ in 0..3 {
            let before = clock::now();
            let realtime = clock::realtime_ns();
            let now = clock::now();
            let took = now.span_since(before).0;
            let offset = Self { realtime_minus_monotonic: i128::from(realtime) - i128::from(before.0), now };
            if took < 10_000 {
                return offset;
            }
            if best.is_none_or(|(shortest, _)| took < shortest) {
                best = Some((took, offset));
            }
        }
        best.map_or(Self { realtime_minus_monotonic: 0, now: clock::now() }, |(_, offset)| offset)
    }

    /// When a packet with this `CLOCK_REALTIME` stamp arrived, being read now.
    pub(crate) fn arrival(&mut self, stamp: Option<u64>) -> Time {
        let previous = std::mem::replace(self, Self::read());
        stamp.map_or(self.now, |stamp| self.convert(previous, stamp))
    }

    fn convert(self, previous: Self, stamp: u64) -> Time {
        let moved = self.realtime_minus_monotonic.abs_diff(previous.realtime_minus_monotonic);
        let monotonic = i128::from(stamp) - self.realtime_minus_monotonic;
        match u64::try_from(monotonic) {
            Ok(arrival) if moved <= SAME_OFFSET_NS => Time(arrival).min(self.now),
            _ => self.now,
        }
    }
}

fn open(family: Family, protocol: u8) -> io::Result<Socket> {
    let domain = match family {
        Family::V4 => Domain::IPV4,
        Family::V6 => Domain::IPV6,
    };
    Socket::new(domain, Type::RAW.nonblocking(), Some(Protocol::from(i32::from(protocol))))
}

fn join(socket: &Socket, ifindex: u32, family: Family) -> io::Result<()> {
    match family {
        Family::V4 => {
            // Only what this socket joined, not what any process joined on any interface (ip(7)).
            socket.set_multicast_all_v4(false)?;
            socket.join_multicast_v4_n(&MULTICAST_V4, &InterfaceIndexOrAddress::Index(ifindex))
        }
        Family::V6 => {
            socket.set_multicast_all_v6(false)?;
            socket.join_multicast_v6(&MULTICAST_V6, ifindex)
        }
    }
}

/// Keeps a byte of each reply to a probe, and nothing of anything else.
fn reply_filter(family: Family) -> [SockFilter; 5] {
    let code = |parts: u32| u16::try_from(parts).unwrap_or(0);
    // An IPv4 packet begins with its header, and an IPv6 one behind it.
    let load_header_len = match family {
        Family::V4 => libc::BPF_LDX | libc::BPF_B | libc::BPF_MSH,
        Family::V6 => libc::BPF_LDX | libc::BPF_W | libc::BPF_IMM,
    };
    let load_type = libc::BPF_LD | libc::BPF_B | libc::BPF_IND;
    [
        SockFilter::new(code(load_header_len), 0, 0, 0),
        SockFilter::new(code(load_type), 0, 0, 0),
        SockFilter::new(code(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K), 0, 1, REPLY.into()),
        SockFilter::new(code(libc::BPF_RET | libc::BPF_K), 0, 0, 1),
        SockFilter::new(code(libc::BPF_RET | libc::BPF_K), 0, 0, 0),
    ]
}

/// VRRP of one family that comes in, seen from the IP header on.
fn tap_filter(family: Family) -> [SockFilter; 8] {
    const LOAD_HALF: u16 = (libc::BPF_LD | libc::BPF_H | libc::BPF_ABS) as u16;
    const LOAD_BYTE: u16 = (libc::BPF_LD | libc::BPF_B | libc::BPF_ABS) as u16;
    const EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    // Loads from SKF_AD_OFF on are of what the kernel knows of the packet.
    const PACKET_TYPE: u32 = 0xffff_f000 + 4;
    const PROTOCOL: u32 = 0xffff_f000;
    const OUTGOING: u32 = 4;
    let (ethertype, next) = match family {
        Family::V4 => (0x0800, 9),
        Family::V6 => (0x86dd, 6),
    };
    [
        SockFilter::new(LOAD_HALF, 0, 0, PROTOCOL),
        SockFilter::new(EQUAL, 0, 5, ethertype),
        SockFilter::new(LOAD_BYTE, 0, 0, PACKET_TYPE),
        SockFilter::new(EQUAL, 3, 0, OUTGOING),
        SockFilter::new(LOAD_BYTE, 0, 0, next),
        SockFilter::new(EQUAL, 0, 1, IPPROTO_VRRP as u32),
        SockFilter::new(RETURN, 0, 0, u32::MAX),
        SockFilter::new(RETURN, 0, 0, 0),
    ]
}

fn set_stamps(socket: &Socket) -> io::Result<()> {
    setsockopt(socket, sockopt::ReceiveTimestampns, &true)?;
    if setsockopt(socket, sockopt::RcvBufForce, &RECEIVE_BUFFER).is_err() {
        // Without CAP_NET_ADMIN: as much as net.core.rmem_max allows.
        socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    }
    Ok(())
}

fn set_up(socket: &Socket, family: Family) -> io::Result<()> {
    set_stamps(socket)?;
    if family == Family::V6 {
        setsockopt(socket, sockopt::Ipv6RecvPacketInfo, &true)?;
        setsockopt(socket, sockopt::Ipv6RecvHopLimit, &true)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;

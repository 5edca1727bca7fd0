//! Sends VRRP adverts: raw sockets that take whole IP packets, many adverts in one system call.
//!
//! One [`AdvertTx`] per interface and family. The caller builds the PDU, checksum included, at the moment of
//! sending; this file adds the IP header. With the header included the kernel alters neither source, TTL nor
//! checksum, and the source may be an address that this host does not hold (`mcast_src_ip`).
//! A packet longer than the MTU is refused with `EMSGSIZE` rather than sent in fragments.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6};
use std::num::NonZeroU32;
use std::ops::Range;
use std::os::fd::AsFd;

use ha_common::checksum::Sum;
use ha_common::packet::Endpoints;
use ha_common::types::{Family, IPPROTO_VRRP};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::error::{SendFailure, SocketError, interface_name};
use super::sys;

/// Internet control, precedence 6 (RFC 9568 does not ask for it; keepalived sends it).
const TRAFFIC_CLASS: u8 = 0xc0;
/// `TC_PRIO_CONTROL`: the first band of pfifo_fast and of most multi-queue mappings.
pub(super) const PRIORITY_CONTROL: u32 = 7;
/// Room for a burst of 255 adverts of the largest kind.
pub(super) const SEND_BUFFER: usize = 4 << 20;
/// IP packets are at most this long, in both families (the IPv6 payload limit is a header longer).
const MAX_PACKET: usize = 65_535;

/// Sender of adverts on one interface, in one family. `T` is what the caller knows a packet by.
#[derive(Debug)]
pub struct AdvertTx<T> {
    socket: Socket,
    family: Family,
    ifindex: u32,
    /// Source MAC address of whole frames; `None` where the kernel makes the frames.
    mac: Option<[u8; 6]>,
    bytes: Vec<u8>,
    queue: Vec<Queued<T>>,
}

#[derive(Debug)]
struct Queued<T> {
    tag: T,
    bytes: Range<usize>,
    destination: SockAddr,
}

/// A packet that cannot be expressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueueError {
    /// The endpoints are of the other family than the socket.
    #[error("the advert's addresses are not of the socket's family")]
    Family,
    /// A frame with a MAC address of its own goes to a multicast group only.
    #[error("an advert from a virtual MAC address must be multicast")]
    Unicast,
    /// The PDU does not fit into an IP packet.
    #[error("the advert is too long for an IP packet")]
    TooLong,
}

impl<T: Copy> AdvertTx<T> {
    /// A socket that sends through `ifindex` only and receives nothing.
    ///
    /// It stays bound to that interface index: make a new one when the interface was removed and created again.
    ///
    /// # Errors
    /// No permission, no such interface, no such address family.
    pub fn open(ifindex: u32, family: Family) -> Result<Self, SocketError> {
        let thing = format!("sending adverts through interface {}", interface_name(ifindex));
        let at = |step| SocketError::at(&thing, step);
        let domain = match family {
            Family::V4 => Domain::IPV4,
            Family::V6 => Domain::IPV6,
        };
        // raw(7): IPPROTO_RAW implies that the header is included, and such a socket receives no protocol.
        let socket = Socket::new(domain, Type::RAW, Some(Protocol::from(libc::IPPROTO_RAW)))
            .map_err(at("open a raw socket"))?;
        bind_to_interface(&socket, family, ifindex).map_err(at("bind the socket"))?;
        match family {
            Family::V4 => socket.set_multicast_loop_v4(false),
            Family::V6 => {
                socket.set_multicast_loop_v6(false).and_then(|()| socket.set_multicast_if_v6(ifindex))
            }
        }
        .map_err(at("set the multicast options"))?;
        socket.set_priority(PRIORITY_CONTROL).map_err(at("set the priority"))?;
        enlarge_send_buffer(&socket);
        Ok(Self { socket, family, ifindex, mac: None, bytes: Vec::new(), queue: Vec::new() })
    }

    /// A socket that sends multicast frames through `ifindex` with a source MAC address of its own: the virtual one.
    ///
    /// They do not depend on the state of the macvlan that has this address.
    ///
    /// # Errors
    /// No permission.
    pub fn open_link(ifindex: u32, family: Family, mac: [u8; 6]) -> Result<Self, SocketError> {
        let thing = format!("sending adverts through interface {}", interface_name(ifindex));
        let at = |step| SocketError::at(&thing, step);
        // packet(7): protocol zero receives nothing.
        let socket = Socket::new(Domain::PACKET, Type::RAW, None).map_err(at("open a packet socket"))?;
        socket.set_priority(PRIORITY_CONTROL).map_err(at("set the priority"))?;
        enlarge_send_buffer(&socket);
        Ok(Self { socket, family, ifindex, mac: Some(mac), bytes: Vec::new(), queue: Vec::new() })
    }

    /// Source MAC address of the frames, where it is not the interface's.
    #[must_use]
    pub fn mac(&self) -> Option<[u8; 6]> {
        self.mac
    }

    /// Family of the socket.
    #[must_use]
    pub fn family(&self) -> Family {
        self.family
    }

    /// Interface of the socket.
    #[must_use]
    pub fn ifindex(&self) -> u32 {
        self.ifindex
    }

    /// Adds one advert to the queue; `tag` is what it is known by in [`SendFailure`]. Nothing is sent before
    /// [`AdvertTx::flush`].
    ///
    /// # Errors
    /// The advert cannot be expressed as a packet of this family. The queue is as before.
    pub fn queue(&mut self, tag: T, endpoints: Endpoints, ttl: u8, pdu: &[u8]) -> Result<(), QueueError> {
        let start = self.bytes.len();
        if let Some(mac) = self.mac {
            let (group, ethertype) = multicast_mac(endpoints).ok_or(QueueError::Unicast)?;
            self.bytes.extend_from_slice(&group);
            self.bytes.extend_from_slice(&mac);
            self.bytes.extend_from_slice(&ethertype);
        }
        let destination = match (self.family, endpoints) {
            (Family::V4, Endpoints::V4 { source, destination }) => {
                let mut header = header_v4(source, destination, ttl, pdu.len())?;
                if self.mac.is_some() {
                    // Here no kernel fills it in.
                    let sum = Sum::new().with(&header).checksum().to_be_bytes();
                    header[10..12].copy_from_slice(&sum);
                }
                self.bytes.extend_from_slice(&header);
                SockAddr::from(SocketAddrV4::new(destination, 0))
            }
            (Family::V6, Endpoints::V6 { source, destination }) => {
                self.bytes.extend_from_slice(&header_v6(source, destination, ttl, pdu.len())?);
                SockAddr::from(SocketAddrV6::new(destination, 0, 0, self.ifindex))
            }
            _ => return Err(QueueError::Family),
        };
        self.bytes.extend_from_slice(pdu);
        let destination = if self.mac.is_some() { sys::link_address(self.ifindex) } else { destination };
        self.queue.push(Queued { tag, bytes: start..self.bytes.len(), destination });
        Ok(())
    }

    /// Adds an IPv4 packet that is complete with its header, for `destination`.
    ///
    /// # Errors
    /// [`QueueError::Family`].
    pub fn queue_packet(&mut self, tag: T, destination: Ipv4Addr, packet: &[u8]) -> Result<(), QueueError> {
        if self.family != Family::V4 {
            return Err(QueueError::Family);
        }
        let start = self.bytes.len();
        self.bytes.extend_from_slice(packet);
        let destination = SockAddr::from(SocketAddrV4::new(destination, 0));
        self.queue.push(Queued { tag, bytes: start..self.bytes.len(), destination });
        Ok(())
    }

    /// Sends the whole queue, in order, with one system call where nothing is refused, and empties it.
    ///
    /// Never blocks and never retries; the packets that were refused are returned.
    pub fn flush(&mut self) -> Vec<SendFailure<T>> {
        let mut failures = Vec::new();
        let messages: Vec<sys::Message<'_>> = self
            .queue
            .iter()
            .map(|queued| (self.bytes.get(queued.bytes.clone()).unwrap_or(&[]), &queued.destination))
            .collect();
        sys::send_each(self.socket.as_fd(), &messages, |position, errno| {
            if let Some(queued) = self.queue.get(position) {
                failures.push(SendFailure { tag: queued.tag, errno });
            }
        });
        self.queue.clear();
        self.bytes.clear();
        failures
    }
}

/// The Ethernet address of a multicast group (RFC 1112 section 6.4, RFC 2464 section 7), and the EtherType.
fn multicast_mac(endpoints: Endpoints) -> Option<([u8; 6], [u8; 2])> {
    match endpoints {
        Endpoints::V4 { destination, .. } => {
            let [_, b, c, d] = destination.octets();
            destination.is_multicast().then_some(([0x01, 0, 0x5e, b & 0x7f, c, d], [0x08, 0x00]))
        }
        Endpoints::V6 { destination, .. } => {
            let [.., a, b, c, d] = destination.octets();
            destination.is_multicast().then_some(([0x33, 0x33, a, b, c, d], [0x86, 0xdd]))
        }
    }
}

/// Binds by index, which unlike a name cannot come to mean another interface in between (Linux 5.1).
pub(super) fn bind_to_interface(socket: &Socket, family: Family, ifindex: u32) -> std::io::Result<()> {
    // Index zero would remove the binding.
    let ifindex = NonZeroU32::new(ifindex).ok_or(nix::errno::Errno::ENODEV)?;
    match family {
        Family::V4 => socket.bind_device_by_index_v4(Some(ifindex)),
        Family::V6 => socket.bind_device_by_index_v6(Some(ifindex)),
    }
}

/// Past the system-wide limit where we may; a smaller buffer only means that a huge burst is refused in part.
pub(super) fn enlarge_send_buffer(socket: &Socket) {
    if nix::sys::socket::setsockopt(socket, nix::sys::socket::sockopt::SndBufForce, &SEND_BUFFER).is_err() {
        let _ = socket.set_send_buffer_size(SEND_BUFFER);
    }
}

/// An IPv4 header without options. The kernel fills in identification and checksum (raw(7)).
fn header_v4(
    source: Ipv4Addr,
    destination: Ipv4Addr,
    ttl: u8,
    payload: usize,
) -> Result<[u8; 20], QueueError> {
    let length = payload.checked_add(20).filter(|&length| length <= MAX_PACKET).ok_or(QueueError::TooLong)?;
    let [high, low] = u16::try_from(length).map_err(|_| QueueError::TooLong)?.to_be_bytes();
    let mut header = [0; 20];
    header[..10].copy_from_slice(&[0x45, TRAFFIC_CLASS, high, low, 0, 0, 0, 0, ttl, IPPROTO_VRRP]);
    header[12..16].copy_from_slice(&source.octets());
    header[16..].copy_from_slice(&destination.octets());
    Ok(header)
}

/// An IPv6 header with flow label zero.
fn header_v6(
    source: Ipv6Addr,
    destination: Ipv6Addr,
    hop_limit: u8,
    payload: usize,
) -> Result<[u8; 40], QueueError> {
    let [high, low] = u16::try_from(payload).map_err(|_| QueueError::TooLong)?.to_be_bytes();
    let mut header = [0; 40];
    let [class_high, class_low] = [0x60 | TRAFFIC_CLASS >> 4, TRAFFIC_CLASS << 4];
    header[..8].copy_from_slice(&[class_high, class_low, 0, 0, high, low, IPPROTO_VRRP, hop_limit]);
    header[8..24].copy_from_slice(&source.octets());
    header[24..].copy_from_slice(&destination.octets());
    Ok(header)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ipv4_header_is_as_rfc_791_draws_it() {
        let header =
            header_v4(Ipv4Addr::new(172, 16, 1, 2), Ipv4Addr::new(224, 0, 0, 18), 255, 16).expect("fits");
        assert_eq!(header, [0x45, 0xc0, 0, 36, 0, 0, 0, 0, 255, 112, 0, 0, 172, 16, 1, 2, 224, 0, 0, 18],);
    }

    #[test]
    fn the_ipv6_header_is_as_rfc_8200_draws_it() {
        let source = "fe80::1".parse().expect("address");
        let header = header_v6(source, "ff02::12".parse().expect("address"), 255, 24).expect("fits");
        assert_eq!(header[..8], [0x6c, 0, 0, 0, 0, 24, 112, 255]);
        assert_eq!(header[8..24], source.octets());
        assert_eq!(header[24..26], [0xff, 0x02]);
        assert_eq!(header[39], 0x12);
    }

    #[test]
    fn a_pdu_that_no_packet_can_hold_is_refused() {
        let any = Ipv4Addr::UNSPECIFIED;
        assert_eq!(header_v4(any, any, 255, 65_516), Err(QueueError::TooLong));
        assert_eq!(
            header_v6(Ipv6Addr::UNSPECIFIED, Ipv6Addr::UNSPECIFIED, 255, 65_536),
            Err(QueueError::TooLong)
        );
    }
}

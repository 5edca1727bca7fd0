//! The few frames that the witnesses understand. Only for observation: it trusts lengths no further than
//! the captured bytes, and it validates nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use socket2::SockFilter;

/// What a frame says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// A VRRP advertisement (IP protocol 112, type 1).
    Advert {
        /// VRRP version, 2 or 3.
        version: u8,
        /// Virtual router id.
        vrid: u8,
        /// Priority; 0 says that the master leaves.
        priority: u8,
        /// Advertisement interval as it is on the wire: seconds in v2, centiseconds in v3.
        interval: u16,
        /// Source address.
        source: IpAddr,
        /// Destination address.
        destination: IpAddr,
        /// TTL or hop limit.
        ttl: u8,
    },
    /// An ARP request or reply.
    Arp {
        /// 1 request, 2 reply.
        operation: u16,
        /// Hardware address of the sender.
        sender_mac: [u8; 6],
        /// Protocol address of the sender.
        sender: Ipv4Addr,
        /// Protocol address of the target.
        target: Ipv4Addr,
    },
    /// A neighbour advertisement.
    NeighbourAdvert {
        /// The address that is advertised.
        target: Ipv6Addr,
        /// The first byte of the flags: 0x80 router, 0x40 solicited, 0x20 override.
        flags: u8,
        /// Destination address.
        destination: IpAddr,
    },
    /// ICMP or ICMPv6 destination unreachable.
    Unreachable {
        /// ICMP code; 2 is protocol unreachable in IPv4.
        code: u8,
        /// Who says so.
        source: IpAddr,
    },
    /// Protocol 112, but not an advertisement: a probe, a reply or nonsense.
    OtherVrrp {
        /// Version and type nibbles.
        version_type: u8,
    },
}

impl Frame {
    /// Whether it is a gratuitous ARP for `address`: sender and target are the same.
    #[must_use]
    pub fn is_gratuitous_for(&self, address: Ipv4Addr) -> bool {
        matches!(self, Self::Arp { sender, target, .. } if *sender == address && *target == address)
    }
}

/// Source MAC and content, for the frames of interest.
pub(super) fn decode(frame: &[u8]) -> Option<([u8; 6], Frame)> {
    let mac = array(frame, 6)?;
    let body = frame.get(14..)?;
    let content = match array::<2>(frame, 12)? {
        [0x08, 0x06] => Frame::Arp {
            operation: u16::from_be_bytes(array(body, 6)?),
            sender_mac: array(body, 8)?,
            sender: Ipv4Addr::from(array::<4>(body, 14)?),
            target: Ipv4Addr::from(array::<4>(body, 24)?),
        },
        [0x08, 0x00] => {
            let header = usize::from(body.first()? & 0x0f) * 4;
            let source = IpAddr::from(array::<4>(body, 12)?);
            let destination = IpAddr::from(array::<4>(body, 16)?);
            let payload = body.get(header..)?;
            match body.get(9)? {
                112 => vrrp(payload, source, destination, *body.get(8)?)?,
                1 if *payload.first()? == 3 => Frame::Unreachable { code: *payload.get(1)?, source },
                _ => return None,
            }
        }
        [0x86, 0xdd] => {
            let source = IpAddr::from(array::<16>(body, 8)?);
            let destination = IpAddr::from(array::<16>(body, 24)?);
            let payload = body.get(40..)?;
            match (body.get(6)?, payload.first()?) {
                (112, _) => vrrp(payload, source, destination, *body.get(7)?)?,
                (58, 1) => Frame::Unreachable { code: *payload.get(1)?, source },
                (58, 136) => Frame::NeighbourAdvert {
                    target: Ipv6Addr::from(array::<16>(payload, 8)?),
                    flags: *payload.get(4)?,
                    destination,
                },
                _ => return None,
            }
        }
        _ => return None,
    };
    Some((mac, content))
}

fn vrrp(pdu: &[u8], source: IpAddr, destination: IpAddr, ttl: u8) -> Option<Frame> {
    let version_type = *pdu.first()?;
    let (version, kind) = (version_type >> 4, version_type & 0x0f);
    if kind != 1 {
        return Some(Frame::OtherVrrp { version_type });
    }
    let interval = match version {
        2 => u16::from(*pdu.get(5)?),
        _ => u16::from_be_bytes(array(pdu, 4)?) & 0x0fff,
    };
    let (vrid, priority) = (*pdu.get(1)?, *pdu.get(2)?);
    Some(Frame::Advert { version, vrid, priority, interval, source, destination, ttl })
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

/// A classic BPF program that lets through what [`decode`] understands and cuts it to 200 bytes, so that a
/// 1 ms stream of echo requests does not wake the witness. With `probes` also liveness probes and replies,
/// of which a pair of routers sends thousands a second.
pub(super) fn filter(probes: bool) -> Vec<SockFilter> {
    const LOAD_HALF: u16 = 0x28;
    const LOAD_BYTE: u16 = 0x30;
    const LOAD_BYTE_INDIRECT: u16 = 0x50;
    const IP_HEADER_TO_X: u16 = 0xb1;
    const AND: u16 = 0x54;
    const JUMP: u16 = 0x05;
    const IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    let op = SockFilter::new;
    vec![
        op(LOAD_HALF, 0, 0, 12),
        op(IF_EQUAL, 21, 0, 0x0806), // ARP: accept
        op(IF_EQUAL, 0, 6, 0x0800),  // not IPv4: look at IPv6
        op(IP_HEADER_TO_X, 0, 0, 14),
        op(LOAD_BYTE, 0, 0, 23),          // IPv4 protocol
        op(IF_EQUAL, 10, 0, 112),         // VRRP: look at its type
        op(IF_EQUAL, 0, 17, 1),           // not ICMP: drop
        op(LOAD_BYTE_INDIRECT, 0, 0, 14), // ICMP type
        op(IF_EQUAL, 14, 15, 3),          // unreachable: accept, else drop
        op(IF_EQUAL, 0, 14, 0x86dd),      // not IPv6: drop
        op(LOAD_BYTE, 0, 0, 20),          // IPv6 next header
        op(IF_EQUAL, 6, 0, 112),          // VRRP: look at its type
        op(IF_EQUAL, 0, 11, 58),          // not ICMPv6: drop
        op(LOAD_BYTE, 0, 0, 54),          // ICMPv6 type
        op(IF_EQUAL, 8, 0, 1),            // unreachable: accept
        op(IF_EQUAL, 7, 8, 136),          // neighbour advertisement: accept, else drop
        op(LOAD_BYTE_INDIRECT, 0, 0, 14), // VRRP in IPv4: version and type
        op(JUMP, 0, 0, 1),
        op(LOAD_BYTE, 0, 0, 54), // the same in IPv6
        op(AND, 0, 0, 0x0f),
        op(IF_EQUAL, 1, 0, 14),
        op(IF_EQUAL, 0, 1, 15), // neither probe nor reply: accept
        op(RETURN, 0, 0, if probes { 200 } else { 0 }),
        op(RETURN, 0, 0, 200),
        op(RETURN, 0, 0, 0),
    ]
}

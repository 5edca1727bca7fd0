//! What kind of frame is this, and which virtual router is it for?
//!
//! The XDP program and the host run the same functions over the same bytes; the test suite compares the verdicts.
//! Only lengths and identities are looked at. Whether a packet is acceptable is [`crate::validate`]'s job, except
//! that the checks which the kernel's IP layer makes after XDP are made up for in [`parse_ip_packet`].

use core::net::{Ipv4Addr, Ipv6Addr};

use crate::counter::Counter;
use crate::frame::Frame;
use crate::layout::{EVENT_DATA, EVENT_HEADERS};
use crate::packet::Endpoints;
use crate::siphash::SipHash;
use crate::types::{Family, IPPROTO_VRRP, Vrid};

pub(crate) const ETHERTYPE_IPV4: u16 = 0x0800;
pub(crate) const ETHERTYPE_IPV6: u16 = 0x86dd;
pub(crate) const ETHERTYPE_ARP: u16 = 0x0806;
/// Customer and service tags. (IEEE 802.1Q; 0x88a8 is 802.1ad.)
const ETHERTYPE_VLAN: u16 = 0x8100;
const ETHERTYPE_SERVICE_VLAN: u16 = 0x88a8;
const ETHERNET_HEADER: usize = 14;
/// Tags that are looked behind.
const MAX_TAGS: usize = 2;

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const DESTINATION_OPTIONS: u8 = 60;
/// IPv6 extension headers that are looked behind. RFC 8200 section 4.1 knows four that can precede an unfragmented
/// payload, one of them twice.
const MAX_EXTENSIONS: usize = 5;

const IPV4_HEADER: usize = 20;
const IPV6_HEADER: usize = 40;
/// The part of a VRRP PDU that every version and type has.
const MIN_PDU: usize = 8;

/// Where things are in a frame that carries VRRP. All of it lies inside the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Family of the IP header.
    pub family: Family,
    /// Virtual router.
    pub vrid: Vrid,
    /// Offset of the IP header in the frame.
    pub ip_at: usize,
    /// Bytes of the IP packet, header included, Ethernet padding not; at most [`EVENT_DATA`].
    pub ip_len: usize,
    /// Offset of the VRRP PDU from the IP header; a multiple of four and at most [`EVENT_HEADERS`].
    pub pdu_at: usize,
    /// Bytes of the VRRP PDU, at least eight.
    pub pdu_len: usize,
    /// TTL or hop limit.
    pub ttl: u8,
    /// An IP authentication header (RFC 2338 section 5.3.6.3) precedes the PDU. Nobody has checked it.
    pub authenticated: bool,
}

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Ordinary traffic.
    NotVrrp,
    /// VRRP, or something that pretends to be, that nobody needs to look at.
    Rejected(Counter),
    /// VRRP.
    Vrrp(Packet),
    /// VRID 0 in the length and the place of a liveness probe or a reply to one.
    Probe(ProbeAt),
}

/// Where a liveness probe or reply is in a frame. All of it lies inside the frame, directly behind an IP header
/// without options or extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProbeAt {
    /// Family of the IP header.
    pub family: Family,
    /// Offset of the IP header in the frame.
    pub ip_at: usize,
    /// TTL or hop limit.
    pub ttl: u8,
}

/// Bytes of a liveness probe behind its IP header.
const PROBE_LEN: usize = 80;

/// Classifies an Ethernet frame of an interface whose traffic carries the VLAN tag `vlan` (0: none).
#[inline(always)]
pub fn classify<F: Frame + ?Sized>(frame: &F, vlan: u16) -> Verdict {
    let Some(link) = link_layer(frame) else {
        return Verdict::NotVrrp;
    };
    let family = match link.ethertype {
        ETHERTYPE_IPV4 => Family::V4,
        ETHERTYPE_IPV6 => Family::V6,
        _ => return Verdict::NotVrrp,
    };
    let verdict = classify_ip(frame, link.at, family);
    if link.vid != vlan && verdict != Verdict::NotVrrp {
        Verdict::Rejected(Counter::OtherVlan)
    } else {
        verdict
    }
}

/// What lies under the network layer.
pub(crate) struct Link {
    /// Type of what follows.
    pub(crate) ethertype: u16,
    /// Where it starts.
    pub(crate) at: usize,
    /// VLAN; 0 for none, 0xffff (which is no VID) for VLANs in one another, which belong to nobody here.
    pub(crate) vid: u16,
}

/// Looks behind the Ethernet header and its tags. `None` where the frame ends there, or has too many of them.
#[inline(always)]
pub(crate) fn link_layer<F: Frame + ?Sized>(frame: &F) -> Option<Link> {
    let mut at = ETHERNET_HEADER - 2;
    let mut vid = frame.tag() & 0x0fff;
    let mut tags = 0;
    loop {
        let ethertype = read_u16(frame, at)?;
        at += 2;
        if !matches!(ethertype, ETHERTYPE_VLAN | ETHERTYPE_SERVICE_VLAN) {
            return Some(Link { ethertype, at, vid });
        }
        if tags == MAX_TAGS {
            return None;
        }
        let tag = read_u16(frame, at)?;
        at += 2;
        tags += 1;
        // VID 0 is a priority tag: it belongs to no VLAN.
        vid = match (vid, tag & 0x0fff) {
            (seen, 0) => seen,
            (0, vid) => vid,
            _ => 0xffff,
        };
    }
}

/// Classifies what starts at offset `at` of a frame, an IP header of `family` according to what precedes it.
#[inline(always)]
fn classify_ip<F: Frame + ?Sized>(frame: &F, at: usize, family: Family) -> Verdict {
    match family {
        Family::V4 => classify_ipv4(frame, at),
        Family::V6 => classify_ipv6(frame, at),
    }
}

#[inline(always)]
fn classify_ipv4<F: Frame + ?Sized>(frame: &F, at: usize) -> Verdict {
    let protocol = match read_u8(frame, at + 9) {
        Some(protocol @ (IPPROTO_VRRP | AUTHENTICATION)) => protocol,
        _ => return Verdict::NotVrrp,
    };
    let Some(header) = frame.read::<IPV4_HEADER>(at) else {
        return Verdict::Rejected(Counter::Truncated);
    };
    let header_len = usize::from(header[0] & 0x0f) * 4;
    let ip_len = usize::from(u16::from_be_bytes([header[2], header[3]]));
    // "More fragments", or an offset.
    let fragment = u16::from_be_bytes([header[6], header[7]]) & 0x3fff != 0;
    let ttl = header[8];

    let mut pdu_at = header_len;
    if protocol == AUTHENTICATION {
        // Other users of the authentication header are ordinary traffic, and so is what cannot be told.
        match read_extension(frame, at + pdu_at) {
            Some((IPPROTO_VRRP, len)) if !fragment => pdu_at += authentication_len(len),
            _ => return Verdict::NotVrrp,
        }
    }
    if header[0] >> 4 != 4 || header_len < IPV4_HEADER {
        return Verdict::Rejected(Counter::Truncated);
    }
    if fragment {
        return Verdict::Rejected(Counter::Fragment);
    }
    let authenticated = protocol == AUTHENTICATION;
    finish(frame, Parts { family: Family::V4, at, ip_len, pdu_at, ttl, authenticated })
}

#[inline(always)]
fn classify_ipv6<F: Frame + ?Sized>(frame: &F, at: usize) -> Verdict {
    let Some(mut next) = read_u8(frame, at + 6) else {
        return Verdict::NotVrrp;
    };
    let mut pdu_at = IPV6_HEADER;
    let mut authenticated = false;
    let mut extensions = 0;
    while next != IPPROTO_VRRP {
        if !matches!(next, HOP_BY_HOP | ROUTING | FRAGMENT | AUTHENTICATION | DESTINATION_OPTIONS) {
            return Verdict::NotVrrp;
        }
        if extensions == MAX_EXTENSIONS {
            return Verdict::Rejected(Counter::ExtensionHeaders);
        }
        let Some((following, len)) = read_extension(frame, at + pdu_at) else {
            return Verdict::NotVrrp;
        };
        if next == FRAGMENT {
            // Also an "atomic" fragment (RFC 6946), which is none: no router sends it.
            return match following {
                IPPROTO_VRRP => Verdict::Rejected(Counter::Fragment),
                _ => Verdict::NotVrrp,
            };
        }
        if next == AUTHENTICATION {
            authenticated = true;
            pdu_at += authentication_len(len);
        } else {
            pdu_at += (usize::from(len) + 1) * 8;
        }
        next = following;
        extensions += 1;
    }

    let Some(header) = frame.read::<8>(at) else {
        return Verdict::Rejected(Counter::Truncated);
    };
    if header[0] >> 4 != 6 {
        return Verdict::Rejected(Counter::Truncated);
    }
    let ip_len = IPV6_HEADER + usize::from(u16::from_be_bytes([header[4], header[5]]));
    finish(frame, Parts { family: Family::V6, at, ip_len, pdu_at, ttl: header[7], authenticated })
}

/// What is known of a packet before its lengths have been compared.
struct Parts {
    family: Family,
    at: usize,
    ip_len: usize,
    pdu_at: usize,
    ttl: u8,
    authenticated: bool,
}

#[inline(always)]
fn finish<F: Frame + ?Sized>(frame: &F, parts: Parts) -> Verdict {
    let Parts { family, at, ip_len, pdu_at, ttl, authenticated } = parts;
    if ip_len < pdu_at + MIN_PDU || at + ip_len > frame.size() {
        return Verdict::Rejected(Counter::Truncated);
    }
    if ip_len > EVENT_DATA {
        return Verdict::Rejected(Counter::Oversized);
    }
    if pdu_at > EVENT_HEADERS {
        return Verdict::Rejected(Counter::ExtensionHeaders);
    }
    let Some(vrid) = read_u8(frame, at + pdu_at + 1) else {
        return Verdict::Rejected(Counter::Truncated);
    };
    let pdu_len = ip_len - pdu_at;
    let Some(vrid) = Vrid::new(vrid) else {
        let header_len = match family {
            Family::V4 => IPV4_HEADER,
            Family::V6 => IPV6_HEADER,
        };
        if pdu_at == header_len && pdu_len == PROBE_LEN {
            return Verdict::Probe(ProbeAt { family, ip_at: at, ttl });
        }
        return Verdict::Rejected(Counter::UnknownVrid);
    };
    Verdict::Vrrp(Packet { family, vrid, ip_at: at, ip_len, pdu_at, pdu_len, ttl, authenticated })
}

#[inline(always)]
fn read_u8<F: Frame + ?Sized>(frame: &F, at: usize) -> Option<u8> {
    frame.read::<1>(at).map(|[byte]| byte)
}

#[inline(always)]
fn read_u16<F: Frame + ?Sized>(frame: &F, at: usize) -> Option<u16> {
    frame.read::<2>(at).map(u16::from_be_bytes)
}

/// The next header and the length field of an extension header.
#[inline(always)]
fn read_extension<F: Frame + ?Sized>(frame: &F, at: usize) -> Option<(u8, u8)> {
    frame.read::<2>(at).map(|[next, len]| (next, len))
}

/// Length of an authentication header in bytes (RFC 4302 section 2.2: in words, less two).
#[inline(always)]
fn authentication_len(field: u8) -> usize {
    (usize::from(field) + 2) * 4
}

/// The hash that fingerprints are made with.
pub type FingerprintHash = SipHash<1, 3>;

/// An IP packet as [`fingerprint`] reads it.
pub trait PacketWords {
    /// Bytes 4n to 4n + 7 of the packet as a little-endian number. Bytes behind the packet's end may be anything.
    fn pair(&self, n: usize) -> u64;

    /// Takes `count` pairs of words into the hash, from the `first` word on.
    #[inline(always)]
    fn absorb(&self, mut hash: FingerprintHash, first: usize, count: usize) -> FingerprintHash {
        for n in 0..count {
            hash = hash.word(self.pair(first + 2 * n));
        }
        hash
    }
}

/// The fingerprint of an advert: SipHash-1-3 over everything that judging it depends on, never zero.
///
/// That is both addresses (a multicast and a unicast copy differ), TTL or hop limit, and the whole PDU with its
/// length. The Internet checksum would not do: it does not see the order of words, so two passwords can share one.
#[inline(always)]
pub fn fingerprint<W: PacketWords + ?Sized>(key: [u64; 2], packet: &Packet, words: &W) -> u64 {
    let Packet { family, pdu_at, pdu_len, ttl, authenticated, .. } = *packet;

    // The first word fixes the layout of those that follow.
    let shape = u64::from(ttl)
        | (u64::from(authenticated) << 8)
        | (u64::from(family == Family::V6) << 16)
        | ((pdu_len as u64) << 32);
    let mut hash = FingerprintHash::new(key).word(shape);
    // Source and destination, which are neighbours in both headers.
    let addresses = match family {
        Family::V4 => {
            hash = hash.word(words.pair(3));
            8
        }
        Family::V6 => {
            hash = hash.word(words.pair(2)).word(words.pair(4)).word(words.pair(6)).word(words.pair(8));
            32
        }
    };

    hash = words.absorb(hash, pdu_at / 4, pdu_len / 8);
    let rest = pdu_len % 8;
    let tail = words.pair((pdu_at + pdu_len - rest) / 4) & ((1 << (rest * 8)) - 1);
    match hash.finish((8 + addresses + pdu_len) as u64, tail) {
        0 => 1,
        hash => hash,
    }
}

/// Whether the IPv4 header's checksum (RFC 791 section 3.1) is right; IPv6 has none.
///
/// The kernel looks after XDP has, and the fingerprint leaves out what may differ between two adverts.
#[inline(always)]
pub fn header_intact<W: PacketWords + ?Sized>(packet: &Packet, words: &W) -> bool {
    /// Words of the longest header.
    const LONGEST: usize = 15;
    if packet.family == Family::V6 {
        return true;
    }
    let length = (words.pair(0) & 0x0f) as usize;
    let mut sum = 0;
    for n in 0..LONGEST {
        if n < length {
            sum += words.pair(n) & 0xffff_ffff;
        }
    }
    // Ones' complement sums do not mind the order of bytes (RFC 1071 section 2). Fifteen words of 32 bits fold to 16
    // bits in three steps.
    sum = (sum & 0xffff) + ((sum >> 16) & 0xffff) + (sum >> 32);
    sum = (sum & 0xffff) + (sum >> 16);
    (sum & 0xffff) + (sum >> 16) == 0xffff
}

/// A packet on the host.
impl PacketWords for [u8] {
    fn pair(&self, n: usize) -> u64 {
        let mut pair = [0; 8];
        for (to, from) in pair.iter_mut().zip(self.iter().skip(n * 4)) {
            *to = *from;
        }
        u64::from_le_bytes(pair)
    }
}

/// Where an IP packet came from, which decides what the kernel has checked already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// From the XDP program, ahead of the kernel's IP layer: the IPv4 header checksum is checked here.
    Xdp,
    /// From a socket.
    Socket,
}

/// A VRRP packet taken apart, on the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IpPacket<'a> {
    /// Source and destination.
    pub endpoints: Endpoints,
    /// The VRRP PDU, without Ethernet padding.
    pub pdu: &'a [u8],
    /// Virtual router, TTL and the rest.
    pub packet: Packet,
}

/// Takes a packet apart that starts at its IP header.
///
/// # Errors
///
/// The counter of what is wrong with it; [`Counter::Truncated`] also for what is not VRRP at all.
pub fn parse_ip_packet(bytes: &[u8], origin: Origin) -> Result<IpPacket<'_>, Counter> {
    let family = match bytes.first().map(|byte| byte >> 4) {
        Some(4) => Family::V4,
        Some(6) => Family::V6,
        _ => return Err(Counter::Truncated),
    };
    let packet = match classify_ip(bytes, 0, family) {
        Verdict::Vrrp(packet) => packet,
        Verdict::Rejected(counter) => return Err(counter),
        Verdict::NotVrrp => return Err(Counter::Truncated),
        Verdict::Probe(_) => return Err(Counter::UnknownVrid),
    };
    let address = |at| bytes.read::<4>(at).ok_or(Counter::Truncated);
    let address6 = |at| bytes.read::<16>(at).ok_or(Counter::Truncated);
    let endpoints = match family {
        Family::V4 => {
            if origin == Origin::Xdp && !header_intact(&packet, bytes) {
                return Err(Counter::BadChecksum);
            }
            Endpoints::V4 { source: Ipv4Addr::from(address(12)?), destination: Ipv4Addr::from(address(16)?) }
        }
        Family::V6 => {
            Endpoints::V6 { source: Ipv6Addr::from(address6(8)?), destination: Ipv6Addr::from(address6(24)?) }
        }
    };
    let pdu = bytes.get(packet.pdu_at..packet.ip_len).ok_or(Counter::Truncated)?;
    Ok(IpPacket { endpoints, pdu, packet })
}

#[cfg(test)]
mod tests;

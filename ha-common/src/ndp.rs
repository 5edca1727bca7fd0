//! Unsolicited neighbour advertisements: the frames that move a virtual IPv6 address to this node in every
//! neighbour's cache.
//!
//! Called when an instance becomes master and at its repeats. Building only; nothing here reads a frame.

use core::net::Ipv6Addr;

use crate::checksum::Sum;
use crate::packet::Endpoints;

/// Bytes of the frame: Ethernet, IPv6, neighbour advertisement, target link-layer address option.
pub const FRAME_LEN: usize = 86;

const ETHERTYPE_IPV6: [u8; 2] = [0x86, 0xdd];
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const ALL_NODES_MAC: [u8; 6] = [0x33, 0x33, 0, 0, 0, 1];
const ICMPV6: u8 = 58;
/// Bytes of the ICMPv6 message.
const MESSAGE_LEN: u8 = 32;
const NEIGHBOUR_ADVERTISEMENT: u8 = 136;
/// Router and Override set, Solicited clear (RFC 9568 section 6.4.2).
const FLAGS: u8 = 0x80 | 0x20;
/// Target link-layer address, one unit of eight bytes.
const OPTION: [u8; 2] = [2, 1];

/// A whole Ethernet frame that says, to all nodes on the link, that `vip` is at `mac`.
///
/// `mac` is the interface's address, or the virtual router's where `use_vmac` is set. The packet's source is the
/// VIP itself, as keepalived and FRR have it: it is an address of this node by then, and it needs no other.
#[must_use]
pub fn unsolicited(mac: [u8; 6], vip: Ipv6Addr) -> [u8; FRAME_LEN] {
    let mut frame = [0; FRAME_LEN];
    frame[0..6].copy_from_slice(&ALL_NODES_MAC);
    frame[6..12].copy_from_slice(&mac);
    frame[12..14].copy_from_slice(&ETHERTYPE_IPV6);
    // IPv6: version, no traffic class or flow label, payload length, next header, hop limit. RFC 4861 section
    // 7.1.2: receivers drop a neighbour advertisement with a hop limit other than 255.
    frame[14..22].copy_from_slice(&[0x60, 0, 0, 0, 0, MESSAGE_LEN, ICMPV6, 255]);
    frame[22..38].copy_from_slice(&vip.octets());
    frame[38..54].copy_from_slice(&ALL_NODES.octets());
    // ICMPv6: type, code, checksum, flags.
    frame[54..62].copy_from_slice(&[NEIGHBOUR_ADVERTISEMENT, 0, 0, 0, FLAGS, 0, 0, 0]);
    frame[62..78].copy_from_slice(&vip.octets());
    frame[78..80].copy_from_slice(&OPTION);
    frame[80..86].copy_from_slice(&mac);

    let endpoints = Endpoints::V6 { source: vip, destination: ALL_NODES };
    let sum = Sum::pseudo_header(&endpoints, ICMPV6, MESSAGE_LEN.into()).with(&frame[54..86]);
    frame[56..58].copy_from_slice(&sum.checksum().to_be_bytes());
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FRR 8.4's vrrpd, captured with tcpdump on the far end of its link.
    const FRR: [u8; 86] = [
        0x33, 0x33, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x5e, 0x00, 0x02, 0x33, 0x86, 0xdd, 0x60, 0x00, 0x00,
        0x00, 0x00, 0x20, 0x3a, 0xff, 0xfd, 0x00, 0x00, 0x16, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x00, 0x25, 0xff, 0x02, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x01, 0x88, 0x00, 0x7b, 0xf4, 0xa0, 0x00, 0x00, 0x00, 0xfd, 0x00, 0x00, 0x16, 0x00, 0x00,
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x25, 0x02, 0x01, 0x00, 0x00, 0x5e, 0x00, 0x02,
        0x33,
    ];

    /// keepalived 2.2.7, captured likewise, on a host that does not forward: Router is clear there.
    const KEEPALIVED: [u8; 86] = [
        0x33, 0x33, 0x00, 0x00, 0x00, 0x01, 0x02, 0x00, 0x00, 0x00, 0x16, 0x0b, 0x86, 0xdd, 0x60, 0x00, 0x00,
        0x00, 0x00, 0x20, 0x3a, 0xff, 0xfe, 0x80, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x00, 0x51, 0xff, 0x02, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x01, 0x88, 0x00, 0x40, 0xf1, 0x20, 0x00, 0x00, 0x00, 0xfe, 0x80, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x51, 0x02, 0x01, 0x02, 0x00, 0x00, 0x00, 0x16,
        0x0b,
    ];

    #[test]
    fn s34_the_frame_is_what_frr_sends() {
        let vip = Ipv6Addr::new(0xfd00, 0x16, 0, 0, 0, 0, 0, 0x25);
        assert_eq!(unsolicited([0, 0, 0x5e, 0, 2, 0x33], vip), FRR);
    }

    #[test]
    fn s34_router_is_set_whether_or_not_the_host_forwards() {
        let vip = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x51);
        let mut expected = KEEPALIVED;
        expected[58] |= 0x80;
        // 0x8000 more in the flags is 0x8000 less in the checksum: 0x40f1 becomes 0xc0f0.
        expected[56..58].copy_from_slice(&[0xc0, 0xf0]);
        assert_eq!(unsolicited([2, 0, 0, 0, 0x16, 0x0b], vip), expected);
    }
}

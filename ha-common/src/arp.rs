//! Gratuitous ARP: the frames that move a virtual IPv4 address to this node in every neighbour's cache.
//!
//! Called when an instance becomes master and at its repeats. Building only; nothing here reads a frame.

use core::net::Ipv4Addr;

/// Bytes of the frame. Padding it to Ethernet's 60 bytes is left to the driver, as usual for packet sockets.
pub const FRAME_LEN: usize = 42;

const ETHERTYPE_ARP: [u8; 2] = [0x08, 0x06];
/// Ethernet, IPv4, six and four bytes of address.
const ETHERNET_IPV4: [u8; 6] = [0, 1, 0x08, 0x00, 6, 4];
const BROADCAST: [u8; 6] = [0xff; 6];

/// Hosts differ in which of the two forms they learn from, so both are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Request. Its target hardware address has no meaning (RFC 5944 section 4.6); it is all ones here, which is
    /// what keepalived and FRR send.
    Request,
    /// Reply. Its target hardware address is the sender's: RFC 5944 section 4.6, and Linux takes a reply as
    /// gratuitous only then.
    Reply,
}

/// A whole Ethernet frame that says, to everybody, that `vip` is at `mac`.
///
/// `mac` is the interface's address, or the virtual router's where `use_vmac` is set (RFC 9568 section 7.3).
#[must_use]
pub fn gratuitous(form: Form, mac: [u8; 6], vip: Ipv4Addr) -> [u8; FRAME_LEN] {
    let (operation, target_mac) = match form {
        Form::Request => ([0, 1], BROADCAST),
        Form::Reply => ([0, 2], mac),
    };
    let mut frame = [0; FRAME_LEN];
    frame[0..6].copy_from_slice(&BROADCAST);
    frame[6..12].copy_from_slice(&mac);
    frame[12..14].copy_from_slice(&ETHERTYPE_ARP);
    frame[14..20].copy_from_slice(&ETHERNET_IPV4);
    frame[20..22].copy_from_slice(&operation);
    frame[22..28].copy_from_slice(&mac);
    frame[28..32].copy_from_slice(&vip.octets());
    frame[32..38].copy_from_slice(&target_mac);
    frame[38..42].copy_from_slice(&vip.octets());
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    const VIP: Ipv4Addr = Ipv4Addr::new(172, 16, 1, 25);

    /// keepalived 2.2.7, captured with tcpdump on the far end of its link.
    const KEEPALIVED: [u8; 42] = [
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02, 0x00, 0x00, 0x00, 0x16, 0x0b, 0x08, 0x06, 0x00, 0x01, 0x08,
        0x00, 0x06, 0x04, 0x00, 0x01, 0x02, 0x00, 0x00, 0x00, 0x16, 0x0b, 0xac, 0x10, 0x01, 0x19, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xac, 0x10, 0x01, 0x19,
    ];

    /// FRR 8.4's vrrpd, captured likewise; it uses the virtual router's MAC.
    const FRR: [u8; 42] = [
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x5e, 0x00, 0x01, 0x33, 0x08, 0x06, 0x00, 0x01, 0x08,
        0x00, 0x06, 0x04, 0x00, 0x01, 0x00, 0x00, 0x5e, 0x00, 0x01, 0x33, 0xac, 0x10, 0x01, 0x19, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xac, 0x10, 0x01, 0x19,
    ];

    #[test]
    fn s33_the_request_is_what_keepalived_and_frr_send() {
        assert_eq!(gratuitous(Form::Request, [0x02, 0, 0, 0, 0x16, 0x0b], VIP), KEEPALIVED);
        assert_eq!(gratuitous(Form::Request, [0x00, 0, 0x5e, 0, 0x01, 0x33], VIP), FRR);
    }

    #[test]
    fn s33_the_reply_differs_in_operation_and_target_mac_only() {
        let mut expected = KEEPALIVED;
        expected[21] = 2;
        expected.copy_within(22..28, 32);
        assert_eq!(gratuitous(Form::Reply, [0x02, 0, 0, 0, 0x16, 0x0b], VIP), expected);
    }
}

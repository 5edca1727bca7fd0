//! The IPv4 header of an advert, for raw sockets with `IP_HDRINCL`.
//!
//! Not needed for IPv6: there the kernel writes the header and takes the hop limit as a socket option.

use core::net::Ipv4Addr;

use crate::checksum::Sum;
use crate::types::IPPROTO_VRRP;

/// Bytes of the header: no options.
pub const LEN: usize = 20;

/// DSCP CS6, "internetwork control", which keepalived and FRR use too.
const TOS: u8 = 0xc0;

/// The header of an advert with `payload_len` bytes of PDU.
///
/// No flags: like keepalived's, the packet may be fragmented, although no advert is long enough (1,036 bytes with
/// 255 addresses). Give each packet another `identification` (RFC 6864 section 4); the kernel replaces zero.
#[must_use]
pub fn header(
    source: Ipv4Addr,
    destination: Ipv4Addr,
    ttl: u8,
    identification: u16,
    payload_len: u16,
) -> [u8; LEN] {
    let [total_high, total_low] = payload_len.saturating_add(20).to_be_bytes();
    let [id_high, id_low] = identification.to_be_bytes();
    let [s0, s1, s2, s3] = source.octets();
    let [d0, d1, d2, d3] = destination.octets();
    #[rustfmt::skip]
    let mut header = [
        0x45, TOS, total_high, total_low,
        id_high, id_low, 0, 0,
        ttl, IPPROTO_VRRP, 0, 0,
        s0, s1, s2, s3,
        d0, d1, d2, d3,
    ];
    [header[10], header[11]] = Sum::new().with(&header).checksum().to_be_bytes();
    header
}

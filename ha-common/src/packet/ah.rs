//! The IP Authentication Header before a VRRPv2 advert (`auth_type AH`, RFC 2338 section 5.3.6.3, RFC 2402).
//!
//! ```text
//!  0 next header, 112        4 SPI: the source address       12 ICV, 12 bytes:
//!  1 length in words, less   8 sequence number                  HMAC-MD5-96 (RFC 2403)
//!    two: 4
//!  2 reserved, 0
//! ```
//!
//! The ICV covers the IP header, this header with a zero ICV, and the PDU. Of the fields that RFC 2402 section
//! 3.3.3.1.1.1 zeroes in the IP header, keepalived zeroes all but the TTL; what matters here is that it can be spoken
//! to. The key is the eight bytes of `auth_pass`.
//!
//! Only user space uses this. Like keepalived's, a node has one sequence number for each virtual router, which goes
//! on from the highest that it has heard: whoever takes over is believed by those who followed the master.

use core::net::Ipv4Addr;

use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;

use crate::checksum::Sum;
use crate::types::IPPROTO_VRRP;

/// Bytes of the header.
pub const LEN: usize = 24;
/// IP protocol number.
pub const PROTOCOL: u8 = 51;

/// Words of the header less two.
const WORDS: u8 = 4;
const ICV: core::ops::Range<usize> = 12..LEN;
const IP_HEADER: usize = super::ipv4::LEN;

/// Why a header is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Not the header of an advert.
    Form,
    /// Another key, or something was changed on the way.
    Icv,
    /// The sequence number has been used.
    Replay,
}

/// Checks an IPv4 packet, from its IP header to its end, and returns its sequence number.
///
/// `latest` is the highest sequence number that was heard or sent for this virtual router.
///
/// # Errors
/// [`Refused`].
pub fn check(key: &[u8; 8], packet: &[u8], latest: u32) -> Result<u32, Refused> {
    let (header, rest) = packet.split_first_chunk::<IP_HEADER>().ok_or(Refused::Form)?;
    let (ah, pdu) = rest.split_first_chunk::<LEN>().ok_or(Refused::Form)?;
    // Options would be covered in part; no router sends any.
    if header[0] != 0x45 || header[9] != PROTOCOL || ah[0] != IPPROTO_VRRP || ah[1] != WORDS {
        return Err(Refused::Form);
    }
    let mac = mac(key, header, ah, pdu);
    mac.verify_truncated_left(&ah[ICV]).map_err(|_| Refused::Icv)?;
    let sequence = u32::from_be_bytes([ah[8], ah[9], ah[10], ah[11]]);
    if sequence <= latest { Err(Refused::Replay) } else { Ok(sequence) }
}

/// Writes a whole IPv4 packet with an advert, `pdu`, into `buffer`, and returns its length; `None` where it does not
/// fit.
#[must_use]
pub fn emit(
    key: &[u8; 8],
    (source, destination): (Ipv4Addr, Ipv4Addr),
    ttl: u8,
    sequence: u32,
    pdu: &[u8],
    buffer: &mut [u8],
) -> Option<usize> {
    let len = IP_HEADER + LEN + pdu.len();
    let payload = u16::try_from(LEN + pdu.len()).ok()?;
    let whole = buffer.get_mut(..len)?;
    // The ICV covers the identification, which the kernel replaces where it is zero.
    let [.., high, low] = sequence.to_be_bytes();
    let identification = u16::from_be_bytes([high, low]).max(1);
    let mut header = super::ipv4::header(source, destination, ttl, identification, payload);
    header[9] = PROTOCOL;
    [header[10], header[11]] = [0, 0];
    [header[10], header[11]] = Sum::new().with(&header).checksum().to_be_bytes();

    let mut ah = [0; LEN];
    [ah[0], ah[1]] = [IPPROTO_VRRP, WORDS];
    ah[4..8].copy_from_slice(&source.octets());
    ah[8..12].copy_from_slice(&sequence.to_be_bytes());
    let digest = mac(key, &header, &ah, pdu).finalize().into_bytes();
    for (to, from) in ah[ICV].iter_mut().zip(digest) {
        *to = from;
    }
    let (front, body) = whole.split_at_mut(IP_HEADER + LEN);
    front[..IP_HEADER].copy_from_slice(&header);
    front[IP_HEADER..].copy_from_slice(&ah);
    body.copy_from_slice(pdu);
    Some(len)
}

/// HMAC-MD5 over what the ICV covers.
fn mac(key: &[u8; 8], header: &[u8; IP_HEADER], ah: &[u8; LEN], pdu: &[u8]) -> Hmac<Md5> {
    let mut covered = *header;
    // Type of service, flags with fragment offset, checksum.
    for mutable in [1, 6, 7, 10, 11] {
        covered[mutable] = 0;
    }
    let mut padded = [0; 64];
    padded[..key.len()].copy_from_slice(key);
    // A key of one block is used as it is, and zeros behind a shorter one change nothing (RFC 2104 section 2).
    let mut mac = Hmac::<Md5>::new(&padded.into());
    mac.update(&covered);
    mac.update(&ah[..ICV.start]);
    mac.update(&[0; ICV.end - ICV.start]);
    mac.update(pdu);
    mac
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::MULTICAST_V4;

    const KEY: [u8; 8] = *b"secret7x";

    /// keepalived 2.2.7: VRID 51, priority 100, `auth_type AH`, `auth_pass secret7x`, its first advert.
    const KEEPALIVED: [u8; 68] = [
        0x45, 0xc0, 0x00, 0x44, 0x00, 0x01, 0x00, 0x00, 0xff, 0x33, 0x2d, 0xa2, 0xac, 0x10, 0x01, 0x01, 0xe0,
        0x00, 0x00, 0x12, 0x70, 0x04, 0x00, 0x00, 0xac, 0x10, 0x01, 0x01, 0x00, 0x00, 0x00, 0x01, 0xf9, 0x0d,
        0x17, 0x52, 0x98, 0xa1, 0x81, 0x9c, 0x7f, 0xe2, 0x0d, 0x42, 0x21, 0x33, 0x64, 0x02, 0x02, 0x01, 0x1e,
        0x75, 0xac, 0x10, 0x01, 0x19, 0xac, 0x10, 0x01, 0x1a, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    ];

    #[test]
    fn keepalived_is_believed_and_spoken_to() {
        assert_eq!(check(&KEY, &KEEPALIVED, 0), Ok(1));
        let mut buffer = [0; 100];
        let endpoints = (Ipv4Addr::new(172, 16, 1, 1), MULTICAST_V4);
        let len = emit(&KEY, endpoints, 255, 1, &KEEPALIVED[44..], &mut buffer).expect("fits");
        assert_eq!(buffer[..len], KEEPALIVED);
        assert_eq!(emit(&KEY, endpoints, 255, 1, &KEEPALIVED[44..], &mut buffer[..67]), None);
    }

    #[test]
    fn a_used_number_is_a_replay() {
        assert_eq!(check(&KEY, &KEEPALIVED, 1), Err(Refused::Replay));
        assert_eq!(check(&KEY, &KEEPALIVED, u32::MAX), Err(Refused::Replay));
    }

    #[test]
    fn every_byte_counts_but_the_mutable_ones() {
        for at in 0..KEEPALIVED.len() {
            let mut changed = KEEPALIVED;
            changed[at] ^= 1;
            let mutable = [1, 6, 7, 10, 11].contains(&at);
            assert_eq!(check(&KEY, &changed, 0).is_ok(), mutable, "byte {at}");
        }
        assert_eq!(check(b"secret7y", &KEEPALIVED, 0), Err(Refused::Icv));
    }

    #[test]
    fn a_short_packet_has_no_form() {
        for len in 0..44 {
            assert_eq!(check(&KEY, &KEEPALIVED[..len], 0), Err(Refused::Form), "{len}");
        }
        assert!(check(&KEY, &KEEPALIVED[..44], 0).is_err());
    }
}

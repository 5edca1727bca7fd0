//! The HMAC trailer behind an advert (`auth_hmac`, draft-cassen-vrrp-auth-hmac-00 as keepalived 2.4.2 and later speak it).
//!
//! ```text
//! 0 type, 1          4 seconds since 1970       12 HMAC-SHA256, its first 16 bytes
//! 1 key id, 1..255   8 fraction, 1/65536 s
//! 2 reserved, 0     10 counter
//! ```
//!
//! The HMAC covers twenty bytes that say whom the advert is for and from (address family 4 or 6, VRRP version, VRID, a
//! zero, and the source address with zeros behind it up to 16 bytes), the PDU with a zero checksum, and the trailer with
//! a zero HMAC. The PDU's own checksum stands as it would without a trailer over IPv4, and covers the trailer over IPv6,
//! where the kernel computes it.
//!
//! Bytes 4 to 11 are one number, the [`Sequence`]: it is the sender's time and grows with every advert. A receiver
//! remembers the highest of each sender ([`Receiver`]), and with [`AntiReplay::Time`] believes none that is farther from
//! its own clock than the window. Sequences are compared as serial numbers (RFC 1982), so that the wrap of the seconds
//! in 2106 is none.
//!
//! Only user space uses this; times are arguments.

use core::net::IpAddr;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::{AUTH_LEN, Endpoints, HEADER_LEN, address_len};
use crate::checksum::Sum;
use crate::counter::Counter;
use crate::types::{Family, IPPROTO_VRRP};

mod sequence;
#[cfg(test)]
mod tests;

pub use sequence::{AntiReplay, Receiver, Sender, Sequence};

/// Bytes of the trailer.
pub const LEN: usize = 28;
/// Shortest key in bytes.
pub const MIN_KEY: usize = 32;
/// Longest key in bytes, which is SHA-256's block.
pub const MAX_KEY: usize = 64;

const TYPE: u8 = 1;
/// Where the HMAC begins in the trailer.
const TAG: usize = 12;

/// A key. It is never shown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Key([u8; MAX_KEY]);

impl Key {
    /// `None` where the length is not one of 32 to 64 bytes.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Option<Self> {
        let mut padded = [0; MAX_KEY];
        if bytes.len() < MIN_KEY {
            return None;
        }
        // Zeros behind a key that is shorter than a block change nothing (RFC 2104 section 2).
        padded.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(Self(padded))
    }
}

impl Key {
    /// The key of liveness probes that follows from this one: the first 16 bytes of HMAC-SHA256 under it over
    /// `xvrrp probe`, as two little-endian words.
    #[must_use]
    pub fn probe_key(&self) -> crate::probe::Key {
        let mut mac = Hmac::<Sha256>::new(&self.0.into());
        mac.update(b"xvrrp probe");
        let bytes: [u8; 32] = mac.finalize().into_bytes().into();
        let (words, _) = bytes.as_chunks::<8>();
        [0, 1].map(|n| u64::from_le_bytes(words[n]))
    }
}

impl core::fmt::Debug for Key {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Key(..)")
    }
}

/// A key with its number in the trailer.
pub type Numbered = (u8, Key);

/// What an instance sends and wants (`mode`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Signs, and drops what is not signed.
    #[default]
    Enforce,
    /// Signs, and takes what is not signed: the last step but one of a migration.
    Permissive,
    /// Does not sign, checks what is signed, and takes the rest: the first step of a migration.
    ReceiveOnly,
}

impl Mode {
    /// keepalived's word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Permissive => "permissive",
            Self::ReceiveOnly => "receive-only",
        }
    }

    /// Whether adverts are sent with a trailer.
    #[must_use]
    pub const fn signs(self) -> bool {
        !matches!(self, Self::ReceiveOnly)
    }

    /// Whether adverts without a trailer are dropped.
    #[must_use]
    pub const fn wants_trailer(self) -> bool {
        matches!(self, Self::Enforce)
    }
}

/// Why an advert is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Another type, or reserved bytes that are not zero.
    Malformed,
    /// A key id that is not configured.
    UnknownKey,
    /// Another key, or something was changed on the way.
    Invalid,
    /// The sender's clock and ours are farther apart than the window.
    Stale,
    /// The sequence is not greater than one that this sender has used.
    Replay,
}

impl From<Refused> for Counter {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Malformed => Self::HmacMalformed,
            Refused::UnknownKey => Self::HmacUnknownKey,
            Refused::Invalid => Self::HmacInvalid,
            Refused::Stale => Self::HmacStale,
            Refused::Replay => Self::HmacReplay,
        }
    }
}

/// The PDU, and the trailer behind it where the length says that there is one.
///
/// Any other length is left as it is: [`super::Packet::new_checked`] says what is wrong with it.
#[must_use]
pub fn split(bytes: &[u8], family: Family) -> (&[u8], Option<&[u8; LEN]>) {
    let Some([first, _, _, count, ..]) = bytes.first_chunk::<HEADER_LEN>() else { return (bytes, None) };
    let auth_len = if first >> 4 == 2 { AUTH_LEN } else { 0 };
    let len = HEADER_LEN + usize::from(*count) * address_len(family) + auth_len;
    match bytes.split_last_chunk::<LEN>() {
        Some((pdu, trailer)) if pdu.len() == len => (pdu, Some(trailer)),
        _ => (bytes, None),
    }
}

/// Puts a trailer behind the PDU in the first `len` bytes of `buffer`, and returns the length of both; `None` where it
/// does not fit. Over IPv6 the checksum of the PDU becomes one over both.
#[must_use]
pub fn seal(
    (id, key): &Numbered,
    sequence: Sequence,
    endpoints: &Endpoints,
    buffer: &mut [u8],
    len: usize,
) -> Option<usize> {
    let whole = buffer.get_mut(..len.checked_add(LEN)?)?;
    let (pdu, trailer) = whole.split_last_chunk_mut::<LEN>()?;
    *trailer = [0; LEN];
    [trailer[0], trailer[1]] = [TYPE, *id];
    trailer[4..TAG].copy_from_slice(&sequence.0.to_be_bytes());
    let digest = mac(key, endpoints.source(), pdu, trailer)?.finalize().into_bytes();
    for (to, from) in trailer[TAG..].iter_mut().zip(digest) {
        *to = from;
    }
    if endpoints.family() == Family::V6 {
        let field = pdu.get_mut(6..8)?;
        field.fill(0);
        let checksum = Sum::pseudo_header(endpoints, IPPROTO_VRRP, whole.len()).with(whole).checksum();
        whole.get_mut(6..8)?.copy_from_slice(&checksum.to_be_bytes());
    }
    Some(len + LEN)
}

/// Checks form, key and HMAC of a trailer; whether its sequence is fresh is [`Receiver::accept`]'s job.
///
/// # Errors
/// [`Refused::Malformed`], [`Refused::UnknownKey`] or [`Refused::Invalid`].
pub fn check(
    keys: &[Numbered],
    source: IpAddr,
    pdu: &[u8],
    trailer: &[u8; LEN],
) -> Result<Sequence, Refused> {
    if trailer[0] != TYPE || trailer[2..4] != [0, 0] {
        return Err(Refused::Malformed);
    }
    let (_, key) = keys.iter().find(|(id, _)| *id == trailer[1]).ok_or(Refused::UnknownKey)?;
    let mac = mac(key, source, pdu, trailer).ok_or(Refused::Malformed)?;
    mac.verify_truncated_left(&trailer[TAG..]).map_err(|_| Refused::Invalid)?;
    let (_, rest) = trailer.split_at(4);
    Ok(Sequence(u64::from_be_bytes(*rest.first_chunk().ok_or(Refused::Malformed)?)))
}

/// HMAC-SHA256 over what is covered; `None` where `pdu` is shorter than its header.
fn mac(key: &Key, source: IpAddr, pdu: &[u8], trailer: &[u8; LEN]) -> Option<Hmac<Sha256>> {
    let (header, addresses) = pdu.split_first_chunk::<HEADER_LEN>()?;
    let mut context = [0; 20];
    [context[1], context[2]] = [header[0] >> 4, header[1]];
    match source {
        IpAddr::V4(source) => {
            context[0] = 4;
            context[4..8].copy_from_slice(&source.octets());
        }
        IpAddr::V6(source) => {
            context[0] = 6;
            context[4..].copy_from_slice(&source.octets());
        }
    }
    let mut mac = Hmac::<Sha256>::new(&key.0.into());
    mac.update(&context);
    mac.update(&header[..6]);
    mac.update(&[0, 0]);
    mac.update(addresses);
    mac.update(&trailer[..TAG]);
    mac.update(&[0; LEN - TAG]);
    Some(mac)
}

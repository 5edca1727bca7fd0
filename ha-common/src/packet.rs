//! VRRP packets (the PDU behind the IP header), both ways and both versions.
//!
//! Shape only: whether a packet is acceptable to an instance is [`crate::validate`]'s job. [`Packet`] is the view of
//! a received PDU, [`Advert::emit`] writes one. [`ipv4`] has the IP header for sockets that want it built.
//!
//! ```text
//! VRRPv2 (RFC 3768 section 5.1)               VRRPv3 (RFC 9568 section 5.2)
//! 0 version 2, type 1                         0 version 3, type 1
//! 1 VRID                                      1 VRID
//! 2 priority                                  2 priority
//! 3 address count                             3 address count
//! 4 authentication type                       4 reserved (4 bits), interval (12 bits, centiseconds)
//! 5 interval (seconds)
//! 6 checksum                                  6 checksum
//! 8 addresses, 4 bytes each                   8 addresses, 4 or 16 bytes each
//! . authentication data, 8 bytes
//! ```

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::checksum::Sum;
use crate::counter::Counter;
use crate::types::{Centis, Family, IPPROTO_VRRP, Version, Vrid};

#[cfg(any(test, feature = "user"))]
pub mod ah;
mod emit;
#[cfg(any(test, feature = "user"))]
pub mod hmac;
pub mod ipv4;

pub use emit::EmitError;

#[cfg(test)]
pub(crate) mod captures;
#[cfg(test)]
pub(crate) mod generate;
#[cfg(test)]
mod tests;

/// Bytes in front of the addresses.
pub const HEADER_LEN: usize = 8;
/// Bytes of VRRPv2 authentication data.
pub const AUTH_LEN: usize = 8;
/// Bytes of the longest PDU, 255 IPv6 addresses: a buffer of this size is always enough for [`Advert::emit`].
pub const MAX_LEN: usize = HEADER_LEN + 255 * 16;

/// The only type that RFC 3768 and RFC 9568 know, ADVERTISEMENT.
const TYPE_ADVERTISEMENT: u8 = 1;

/// What an advert says, apart from its address list. The same for received adverts and for those to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advert {
    /// Virtual router.
    pub vrid: Vrid,
    /// Priority on the wire; zero means that the master resigns.
    pub priority: u8,
    /// Advertisement interval. VRRPv2 carries whole seconds, of which there is room for 40 here.
    pub interval: Centis,
    /// Version.
    pub version: Version,
    /// Family of the addresses, which is the family of the IP header.
    pub family: Family,
}

/// VRRPv2 authentication (RFC 2338 section 5.3.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Auth {
    /// Type 0.
    None,
    /// Type 1, a password of up to eight bytes, padded with zeros.
    Password([u8; 8]),
    /// Type 2, an IP Authentication Header before the advert, under this key (`packet::ah`).
    Header([u8; 8]),
}

impl Auth {
    /// The number in the packet.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Password(_) => 1,
            Self::Header(_) => 2,
        }
    }
}

/// Which checksum a VRRPv3 IPv4 advert carries. VRRPv2 and IPv6 have no choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChecksumForm {
    /// Over pseudo-header and message: keepalived's and FRR's default (RFC 5798 as they read it).
    PseudoHeader,
    /// Over the message only: RFC 9568, Cisco, Juniper, and keepalived's `v3_checksum_as_v2`.
    MessageOnly,
}

/// Source and destination of the IP header: needed for the pseudo-header and to decide unicast or multicast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "source and destination")]
pub enum Endpoints {
    V4 { source: Ipv4Addr, destination: Ipv4Addr },
    V6 { source: Ipv6Addr, destination: Ipv6Addr },
}

impl Endpoints {
    /// `None` where the two are not of one family.
    #[must_use]
    pub const fn new(source: IpAddr, destination: IpAddr) -> Option<Self> {
        match (source, destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => Some(Self::V4 { source, destination }),
            (IpAddr::V6(source), IpAddr::V6(destination)) => Some(Self::V6 { source, destination }),
            _ => None,
        }
    }

    /// Family of the IP header.
    #[must_use]
    pub const fn family(&self) -> Family {
        match self {
            Self::V4 { .. } => Family::V4,
            Self::V6 { .. } => Family::V6,
        }
    }

    /// Sender.
    #[must_use]
    pub const fn source(&self) -> IpAddr {
        match self {
            Self::V4 { source, .. } => IpAddr::V4(*source),
            Self::V6 { source, .. } => IpAddr::V6(*source),
        }
    }

    /// Where to.
    #[must_use]
    pub const fn destination(&self) -> IpAddr {
        match self {
            Self::V4 { destination, .. } => IpAddr::V4(*destination),
            Self::V6 { destination, .. } => IpAddr::V6(*destination),
        }
    }
}

/// Why bytes are not the PDU of an advert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// Shorter than the header.
    Header,
    /// Neither version 2 nor 3, or version 2 over IPv6.
    Version,
    /// Not an ADVERTISEMENT.
    Type,
    /// VRID zero.
    Vrid,
    /// Address count zero.
    NoAddresses,
    /// Shorter or longer than the address count says.
    Length,
}

impl From<Malformed> for Counter {
    fn from(malformed: Malformed) -> Self {
        match malformed {
            Malformed::Header | Malformed::Length => Self::BadLength,
            Malformed::Version => Self::BadVersion,
            Malformed::Type => Self::BadType,
            Malformed::Vrid => Self::UnknownVrid,
            Malformed::NoAddresses => Self::NoAddresses,
        }
    }
}

/// View of a received PDU whose length fits what it says. Neither checksum nor authentication has been checked.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    whole: &'a [u8],
    header: &'a [u8; HEADER_LEN],
    addresses: &'a [u8],
    auth_data: Option<&'a [u8; AUTH_LEN]>,
    vrid: Vrid,
    version: Version,
    family: Family,
}

impl<'a> Packet<'a> {
    /// Looks at version, type, VRID and length, in this order.
    ///
    /// `bytes` is what the IP header counts as payload, without Ethernet padding; `family` is that of the IP header.
    /// The length must be exact. VRRPv2 always ends in eight bytes of authentication data, also with authentication
    /// type 0 (RFC 3768 section 5.3.10, and what keepalived and FRR send); VRRPv3 never has them.
    ///
    /// # Errors
    /// [`Malformed`] says what is wrong; it turns into the [`Counter`] for it.
    pub const fn new_checked(bytes: &'a [u8], family: Family) -> Result<Self, Malformed> {
        let Some((header, body)) = bytes.split_first_chunk::<HEADER_LEN>() else {
            return Err(Malformed::Header);
        };
        let [version_and_type, vrid, _, count, ..] = *header;
        let version = match (version_and_type >> 4, family) {
            (2, Family::V4) => Version::V2,
            (3, _) => Version::V3,
            _ => return Err(Malformed::Version),
        };
        if version_and_type & 0x0f != TYPE_ADVERTISEMENT {
            return Err(Malformed::Type);
        }
        let Some(vrid) = Vrid::new(vrid) else { return Err(Malformed::Vrid) };
        if count == 0 {
            return Err(Malformed::NoAddresses);
        }
        let addresses_len = count as usize * address_len(family);
        let Some((addresses, rest)) = body.split_at_checked(addresses_len) else {
            return Err(Malformed::Length);
        };
        let auth_data = match (version, rest.first_chunk::<AUTH_LEN>()) {
            (Version::V2, Some(data)) if rest.len() == AUTH_LEN => Some(data),
            (Version::V3, _) if rest.is_empty() => None,
            _ => return Err(Malformed::Length),
        };
        Ok(Self { whole: bytes, header, addresses, auth_data, vrid, version, family })
    }

    /// Version.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.version
    }

    /// Family that the packet was read for.
    #[must_use]
    pub const fn family(&self) -> Family {
        self.family
    }

    /// Virtual router.
    #[must_use]
    pub const fn vrid(&self) -> Vrid {
        self.vrid
    }

    /// Priority; zero means that the master resigns.
    #[must_use]
    pub const fn priority(&self) -> u8 {
        self.header[2]
    }

    /// Number of addresses, never zero.
    #[must_use]
    pub const fn address_count(&self) -> u8 {
        self.header[3]
    }

    /// VRRPv2's authentication type as it came; `None` in VRRPv3.
    #[must_use]
    pub const fn auth_type(&self) -> Option<u8> {
        match self.version {
            Version::V2 => Some(self.header[4]),
            Version::V3 => None,
        }
    }

    /// VRRPv2's authentication data; `None` in VRRPv3.
    #[must_use]
    pub const fn auth_data(&self) -> Option<&'a [u8; AUTH_LEN]> {
        self.auth_data
    }

    /// Advertisement interval in centiseconds, as it came: zero is possible, and VRRPv2 reaches 25,500.
    ///
    /// The four reserved bits in front of VRRPv3's are ignored (RFC 9568 section 5.2.6).
    #[must_use]
    pub const fn interval_cs(&self) -> u16 {
        let [_, _, _, _, high, low, ..] = *self.header;
        match self.version {
            Version::V2 => low as u16 * 100,
            Version::V3 => u16::from_be_bytes([high & 0x0f, low]),
        }
    }

    /// The checksum field.
    #[must_use]
    pub const fn checksum(&self) -> u16 {
        let [.., high, low] = *self.header;
        u16::from_be_bytes([high, low])
    }

    /// The addresses, in the order of the packet.
    #[must_use]
    pub const fn addresses(&self) -> Addresses<'a> {
        Addresses { bytes: self.addresses, family: self.family }
    }

    /// The form of checksum that the packet carries; `None` where no form fits, i.e. the checksum is wrong.
    ///
    /// VRRPv2 covers the message (RFC 3768 section 5.3.8), VRRPv3 over IPv6 a pseudo-header and the message
    /// (RFC 9568 section 5.2.8). VRRPv3 over IPv4 exists in both forms and either is taken.
    #[must_use]
    pub fn checksum_form(&self, endpoints: &Endpoints) -> Option<ChecksumForm> {
        self.checksum_form_with(endpoints, &[])
    }

    /// The same for a packet with an authentication trailer behind it, which the checksum covers over IPv6.
    #[must_use]
    pub fn checksum_form_with(&self, endpoints: &Endpoints, trailer: &[u8]) -> Option<ChecksumForm> {
        let trailer = if self.family == Family::V6 { trailer } else { &[] };
        let len = self.whole.len() + trailer.len();
        let forms: &[ChecksumForm] = match (self.version, self.family) {
            (Version::V2, _) => &[ChecksumForm::MessageOnly],
            (Version::V3, Family::V4) => &[ChecksumForm::PseudoHeader, ChecksumForm::MessageOnly],
            (Version::V3, Family::V6) => &[ChecksumForm::PseudoHeader],
        };
        forms
            .iter()
            .copied()
            .find(|form| start(*form, endpoints, len).with(self.whole).with(trailer).is_valid())
    }
}

/// The addresses of a [`Packet`].
#[derive(Clone, Debug)]
pub struct Addresses<'a> {
    bytes: &'a [u8],
    family: Family,
}

impl Iterator for Addresses<'_> {
    type Item = IpAddr;

    fn next(&mut self) -> Option<IpAddr> {
        match self.family {
            Family::V4 => {
                let (octets, rest) = self.bytes.split_first_chunk::<4>()?;
                self.bytes = rest;
                Some(IpAddr::from(*octets))
            }
            Family::V6 => {
                let (octets, rest) = self.bytes.split_first_chunk::<16>()?;
                self.bytes = rest;
                Some(IpAddr::from(*octets))
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.bytes.len() / address_len(self.family);
        (left, Some(left))
    }
}

impl ExactSizeIterator for Addresses<'_> {}

/// What the checksum starts with, before the message.
fn start(form: ChecksumForm, endpoints: &Endpoints, len: usize) -> Sum {
    match form {
        ChecksumForm::PseudoHeader => Sum::pseudo_header(endpoints, IPPROTO_VRRP, len),
        ChecksumForm::MessageOnly => Sum::new(),
    }
}

/// Bytes of one address.
const fn address_len(family: Family) -> usize {
    match family {
        Family::V4 => 4,
        Family::V6 => 16,
    }
}

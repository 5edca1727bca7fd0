//! VRRP packets (the PDU behind the IP header), both ways and both versions.
//!
//! Shape only: whether a packet is acceptable to an instance is [`crate::validate`]'s job.

use core::net::{Ipv4Addr, Ipv6Addr};

use crate::types::{Centis, Family, Version, Vrid};

/// What an advert says, apart from its address list. The same for received adverts and for those to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advert {
    /// Virtual router.
    pub vrid: Vrid,
    /// Priority on the wire; zero means that the master resigns.
    pub priority: u8,
    /// Advertisement interval. VRRPv2 carries whole seconds.
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

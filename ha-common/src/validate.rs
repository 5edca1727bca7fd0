//! Is a received PDU an acceptable advert for one instance, and if not, why?
//!
//! Called by user space for every packet that the XDP program handed up or that the raw socket delivered. An advert
//! that passes may be tracked and fed to the [`crate::machine`]; one that fails refreshes nothing anywhere. The state
//! of the instance plays no part here.
//!
//! # Order
//!
//! The first check that fails gives the reason, so the order is from "what is this and whom is it for" to "what does
//! it say": a CARP packet is called CARP and not a wrong checksum, a neighbour's instance with another password is
//! an authentication failure and not a wrong interval.

use core::net::IpAddr;

use crate::checksum::Sum;
use crate::counter::Counter;
use crate::packet::{Advert, Auth, ChecksumForm, Endpoints, Packet};
use crate::types::{ADVERT_TTL, Centis, Family, IPPROTO_VRRP, MULTICAST_V4, MULTICAST_V6, Version, Vrid};

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

/// What an instance accepts.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'a> {
    /// Virtual router.
    pub vrid: Vrid,
    /// Family of the virtual router: that of the IP header.
    pub family: Family,
    /// Version; adverts of the other one are dropped.
    pub version: Version,
    /// The instance's own interval: VRRPv2 adverts must have the same.
    pub interval: Centis,
    /// VRRPv2 authentication; not looked at in VRRPv3.
    pub auth: Auth,
    /// Where adverts come from.
    pub transport: Transport<'a>,
    /// The addresses that the instance's own adverts list, each once, in any order.
    pub addresses: &'a [IpAddr],
    /// Take adverts whose addresses have nothing in common with these (`skip_check_adv_addr`).
    pub any_addresses: bool,
    /// The addresses that this node sends adverts from.
    pub own_addresses: &'a [IpAddr],
}

/// Where an instance's adverts come from.
#[derive(Clone, Copy, Debug)]
pub enum Transport<'a> {
    /// Sent to a multicast group.
    Multicast {
        /// [`standard_group`], unless the configuration names another.
        group: IpAddr,
        /// Drop adverts of others than these (`check_source`); empty where everybody on the link is heard.
        sources: &'a [IpAddr],
    },
    /// Sent to this node.
    Unicast {
        /// The other routers.
        peers: &'a [Peer],
        /// Drop adverts of others (`check_unicast_src`). A peer with TTL limits turns this on, as in keepalived:
        /// otherwise anybody who is not a peer would pass without a limit.
        check_source: bool,
    },
}

/// One of `unicast_peer`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Source of its adverts.
    pub address: IpAddr,
    /// Least TTL or hop limit; 0 for no limit.
    pub min_ttl: u8,
    /// Greatest TTL or hop limit; 255 for no limit.
    pub max_ttl: u8,
}

/// What the IP header of a received packet says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta {
    /// Source and destination.
    pub endpoints: Endpoints,
    /// TTL or hop limit.
    pub ttl: u8,
}

/// An advert that passed every check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judged {
    /// What it says.
    pub advert: Advert,
    /// Who sent it.
    pub source: IpAddr,
    /// False where the addresses differ from the instance's, but not all of them, or the rules take any: accepted all the
    /// same, to be logged and counted.
    pub addresses_match: bool,
    /// True where a VRRPv3 interval differs from the instance's: accepted and learned. Never true in VRRPv2.
    pub interval_differs: bool,
    /// The checksum that it carried.
    pub checksum: ChecksumForm,
}

/// Judges `pdu`, the payload of an IP packet with `meta` in its header, without Ethernet padding.
///
/// What comes from one of our own addresses is [`Counter::OwnPacket`], whatever it says: a loop in the network, or a
/// second router with our address.
///
/// An advert of which no address is one of ours is another service's that happens to use the same VRID: whichever of
/// the two has the higher priority would put the other one out of service. RFC 3768 section 7.1 leaves lists that differ
/// to the receiver; one that overlaps is the same service in the middle of a change.
///
/// VRRPv3 over IPv4 is accepted with either form of checksum. The price is that a damaged packet of one form can,
/// for about one pair of endpoints in 65,536 and one change each, pass as the other form.
///
/// # Errors
/// The reason for which the advert is dropped.
pub fn validate(rules: &Rules<'_>, meta: &Meta, pdu: &[u8]) -> Result<Judged, Counter> {
    validate_with_trailer(rules, meta, pdu, &[])
}

/// The same for a PDU that was taken off an authentication trailer (`packet::hmac`), which is the caller's to check.
///
/// # Errors
/// The reason for which the advert is dropped.
pub fn validate_with_trailer(
    rules: &Rules<'_>,
    meta: &Meta,
    pdu: &[u8],
    trailer: &[u8],
) -> Result<Judged, Counter> {
    let [first, vrid, ..] = *pdu else { return Err(Counter::BadLength) };
    if is_carp(meta, pdu) {
        return Err(Counter::Carp);
    }
    if vrid != rules.vrid.get() || meta.endpoints.family() != rules.family {
        return Err(Counter::UnknownVrid);
    }
    let source = meta.endpoints.source();
    if rules.own_addresses.contains(&source) {
        return Err(Counter::OwnPacket);
    }
    check_transport(&rules.transport, meta)?;
    if first >> 4 != rules.version.number() {
        return Err(Counter::BadVersion);
    }
    let packet = Packet::new_checked(pdu, rules.family)?;
    let checksum = packet.checksum_form_with(&meta.endpoints, trailer).ok_or(Counter::BadChecksum)?;
    if packet.version() == Version::V2 {
        check_auth(rules.auth, &packet)?;
    }
    let interval = check_interval(rules, &packet)?;
    let addresses_match = same_addresses(rules.addresses, &packet);
    if !addresses_match && !rules.any_addresses && nothing_in_common(rules.addresses, &packet) {
        return Err(Counter::AddressListMismatch);
    }
    Ok(Judged {
        advert: Advert {
            vrid: packet.vrid(),
            priority: packet.priority(),
            interval,
            version: packet.version(),
            family: packet.family(),
        },
        source,
        addresses_match,
        interval_differs: interval != rules.interval,
        checksum,
    })
}

/// Whether a packet with this destination was sent to a group.
#[must_use]
pub const fn is_multicast(destination: IpAddr) -> bool {
    destination.is_multicast()
}

/// 224.0.0.18 or ff02::12.
#[must_use]
pub const fn standard_group(family: Family) -> IpAddr {
    match family {
        Family::V4 => IpAddr::V4(MULTICAST_V4),
        Family::V6 => IpAddr::V6(MULTICAST_V6),
    }
}

/// CARP (OpenBSD's, FreeBSD's), which squats on protocol 112 and both VRRP groups.
///
/// ```text
/// 0 version 2, type 1    4 demotion (or padding)    8 counter, 8 bytes
/// 1 VHID                 5 advbase, seconds        16 SHA-1 HMAC, 20 bytes
/// 2 advskew              6 checksum over it all
/// 3 authlen, always 7
/// ```
/// Read as VRRPv2 it claims seven addresses and is eight bytes too short for them, which no VRRP packet is. With
/// another authlen it is still CARP where the checksum fits all 36 bytes, except for 5: that is the length of a
/// VRRPv2 advert with five addresses, and those are what VRRP says they are.
fn is_carp(meta: &Meta, pdu: &[u8]) -> bool {
    const LEN: usize = 36;
    const VERSION_AND_TYPE: u8 = 0x21;
    const AUTHLEN: u8 = 7;
    const VRRP_COUNT: u8 = 5;

    let Some([VERSION_AND_TYPE, _, _, authlen, ..]) = pdu.as_array::<LEN>() else { return false };
    match (*authlen, meta.endpoints.family()) {
        (AUTHLEN, _) => true,
        (VRRP_COUNT, Family::V4) => false,
        (_, Family::V4) => Sum::new().with(pdu).is_valid(),
        (_, Family::V6) => Sum::pseudo_header(&meta.endpoints, IPPROTO_VRRP, LEN).with(pdu).is_valid(),
    }
}

/// Source, destination and TTL.
fn check_transport(transport: &Transport<'_>, meta: &Meta) -> Result<(), Counter> {
    let destination = meta.endpoints.destination();
    match *transport {
        Transport::Multicast { .. } if !is_multicast(destination) => Err(Counter::UnicastAtMulticast),
        Transport::Multicast { group, .. } if destination != group => Err(Counter::OtherGroup),
        // RFC 9568 section 7.1: what was forwarded by a router did not come from this link.
        Transport::Multicast { .. } if meta.ttl != ADVERT_TTL => Err(Counter::BadTtl),
        Transport::Multicast { sources, .. } => {
            let known = sources.is_empty() || sources.contains(&meta.endpoints.source());
            if known { Ok(()) } else { Err(Counter::UnknownPeer) }
        }
        Transport::Unicast { .. } if is_multicast(destination) => Err(Counter::MulticastAtUnicast),
        Transport::Unicast { peers, check_source } => {
            let source = meta.endpoints.source();
            match peers.iter().find(|peer| peer.address == source) {
                Some(peer) if peer.min_ttl <= meta.ttl && meta.ttl <= peer.max_ttl => Ok(()),
                Some(_) => Err(Counter::BadTtl),
                None if check_source || peers.iter().any(Peer::has_limits) => Err(Counter::UnknownPeer),
                None => Ok(()),
            }
        }
    }
}

impl Peer {
    /// Whether there is a TTL that the peer's adverts may not have.
    const fn has_limits(&self) -> bool {
        self.min_ttl > 0 || self.max_ttl < u8::MAX
    }
}

/// VRRPv2 authentication (RFC 2338 section 5.3.6). Type 0's data is ignored.
fn check_auth(auth: Auth, packet: &Packet<'_>) -> Result<(), Counter> {
    /// RFC 2338's "IP Authentication Header". Whether there was a good one is the caller's to check.
    const HIGHEST: u8 = 2;
    match (packet.auth_type(), auth) {
        (Some(received), _) if received > HIGHEST => Err(Counter::InvalidAuthType),
        (Some(received), _) if received != auth.number() => Err(Counter::AuthTypeMismatch),
        // Passwords cross the network in clear: a comparison in constant time would hide nothing.
        (_, Auth::Password(password)) if packet.auth_data() != Some(&password) => Err(Counter::AuthFailure),
        _ => Ok(()),
    }
}

/// The interval, if it is one that the instance accepts.
fn check_interval(rules: &Rules<'_>, packet: &Packet<'_>) -> Result<Centis, Counter> {
    match packet.version() {
        // RFC 3768 section 7.1: the same as the locally configured, or discard.
        Version::V2 if packet.interval_cs() == rules.interval.get() => Ok(rules.interval),
        Version::V2 => Err(Counter::IntervalMismatch),
        Version::V3 => Centis::new(packet.interval_cs()).ok_or(Counter::BadInterval),
    }
}

/// Whether the packet lists exactly `ours`, in any order.
///
/// At most 255 × 255 comparisons, whatever arrives, and one pass where the order is the same, as it is when both
/// routers have the same file. One direction is enough: `ours` has no address twice and the counts agree.
fn same_addresses(ours: &[IpAddr], packet: &Packet<'_>) -> bool {
    if ours.len() != usize::from(packet.address_count()) {
        return false;
    }
    packet.addresses().eq(ours.iter().copied())
        || ours.iter().all(|address| packet.addresses().any(|received| received == *address))
}

/// Whether no address of the packet is one of `ours`. A list that is empty belongs to nobody else.
fn nothing_in_common(ours: &[IpAddr], packet: &Packet<'_>) -> bool {
    !ours.is_empty() && !packet.addresses().any(|received| ours.contains(&received))
}

//! Hosts by number: where they are, and where their virtual routers are.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ha_common::node::{InterfaceId, Router};
use ha_common::types::{Family, Vrid};

/// Hosts in a cluster, at most.
pub(super) const HOSTS: usize = 5;
/// Interfaces of a host.
pub(super) const INTERFACES: usize = 2;
/// The first of them.
pub(super) const ON: InterfaceId = InterfaceId(0);

/// Where a virtual router is.
pub(super) type Place = (InterfaceId, Family, Vrid);

pub(super) fn interfaces() -> impl Iterator<Item = InterfaceId> {
    (0..INTERFACES).filter_map(|on| u32::try_from(on).ok()).map(InterfaceId)
}

pub(super) const fn place_of(router: &Router) -> Place {
    (router.interface(), router.family(), router.vrid())
}

/// A virtual router in the timeline.
pub(super) fn label((on, family, vrid): Place) -> String {
    let family = if family == Family::V4 { "v4" } else { "v6" };
    format!("eth{}/{family}/{}", on.0, vrid.get())
}

/// Last byte of a host's address; it grows with its number.
pub(super) fn last_byte(id: usize) -> u8 {
    u8::try_from(id + 11).unwrap_or(u8::MAX)
}

/// The host with this last byte, if it is one of the cluster.
pub(super) fn host_with(last: u8) -> Option<usize> {
    (0..HOSTS).find(|&id| last_byte(id) == last)
}

/// The address on the network of the cluster that ends like this.
pub(super) fn address(last: u8, family: Family) -> IpAddr {
    match family {
        Family::V4 => IpAddr::V4(Ipv4Addr::new(172, 16, 1, last)),
        Family::V6 => IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, last.into())),
    }
}

/// A host's.
pub(super) fn address_of(id: usize, family: Family) -> IpAddr {
    address(last_byte(id), family)
}

//! Which address a virtual router's adverts come from, and what keeps it from running.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ha_common::types::Family;

use crate::config::model::Instance;
use crate::net::monitor::{Link, Links};

/// The source of the adverts: as configured, or the interface's own.
///
/// IPv4: the first address that is no virtual address. IPv6: the link-local address (RFC 9568 section 5.1.2.1),
/// except for unicast to peers that are not link-local.
pub(super) fn of(config: &Instance, link: &Link, virtual_addresses: &[IpAddr]) -> Option<IpAddr> {
    if config.source.is_some() {
        return config.source;
    }
    let v4: Vec<Ipv4Addr> = virtual_addresses.iter().filter_map(v4_of).collect();
    let v6: Vec<Ipv6Addr> = virtual_addresses.iter().filter_map(v6_of).collect();
    match config.family {
        Family::V4 => link.primary_v4(&v4).map(IpAddr::V4),
        Family::V6 if reaches_beyond_the_link(config) => link
            .v6
            .iter()
            .filter(|held| !held.ours && !held.tentative && !held.dad_failed && !v6.contains(&held.address))
            .find(|held| !held.address.is_unicast_link_local())
            .map(|held| IpAddr::V6(held.address)),
        Family::V6 => link.link_local_v6(&v6).map(IpAddr::V6),
    }
}

fn reaches_beyond_the_link(config: &Instance) -> bool {
    let link_local = |address: &IpAddr| matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local());
    config.unicast.as_ref().is_some_and(|unicast| !unicast.peers.iter().all(|peer| link_local(&peer.address)))
}

fn v4_of(address: &IpAddr) -> Option<Ipv4Addr> {
    match address {
        IpAddr::V4(v4) => Some(*v4),
        IpAddr::V6(_) => None,
    }
}

fn v6_of(address: &IpAddr) -> Option<Ipv6Addr> {
    match address {
        IpAddr::V4(_) => None,
        IpAddr::V6(v6) => Some(*v6),
    }
}

/// What keeps the virtual router in FAULT, as sentences; empty where nothing does.
pub(super) fn obstacles(config: &Instance, links: &Links, source: Option<IpAddr>) -> Vec<String> {
    let name = &config.interface;
    let Some(link) = links.by_name(name) else {
        return vec![links.missing(name)];
    };
    let mut obstacles = Vec::new();
    if config.fault_without_peers {
        obstacles.push("no unicast peer is left, and unicast_fault_no_peer is set".to_owned());
    }
    if config.track_primary && !link.up {
        obstacles.push(format!("interface {name} is down"));
    }
    if source.is_none() {
        obstacles.push(match config.family {
            Family::V4 => format!("interface {name} has no IPv4 address to send from"),
            Family::V6 => format!("interface {name} has no usable IPv6 address to send from"),
        });
    }
    obstacles
}

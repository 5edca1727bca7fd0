//! A route in netlink's terms, both ways. No socket.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ha_common::types::Family;
use netlink_packet_core::DefaultNla;
use netlink_packet_route::AddressFamily;
use netlink_packet_route::route::{
    MplsLabel, RouteAttribute, RouteFlags, RouteHeader, RouteIp6Tunnel, RouteIpTunnel, RouteLwEnCapType,
    RouteLwTunnelEncap, RouteMessage, RouteMetric as Rtax, RouteMplsIpTunnel, RouteMplsTtlPropagation,
    RouteNextHop, RouteNextHopFlags, RouteProtocol, RouteRealm, RouteScope, RouteType, RouteVia,
};

use super::MARK;
use crate::config::model::{Encap, NextHop, Prefix, Route, RouteKind, RouteMetric, RouteMetrics};

const TABLE_MAIN: u32 = 254;
const FEATURE_ECN: u32 = 1;
/// `ILA_ATTR_LOCATOR`.
const ILA_LOCATOR: u16 = 1;
/// `RTAX_MAX`, for metrics that are only counted.
const RTAX_LOCK_BITS: u32 = 32;

/// The route as netlink wants it, or the name of a device that is not there.
pub(super) fn message(
    route: &Route,
    device: Option<&str>,
    index: impl Fn(&str) -> Option<u32>,
) -> Result<RouteMessage, String> {
    let index = |name: &str| index(name).ok_or_else(|| name.to_owned());
    let mut message = RouteMessage::default();
    let table = route.table.unwrap_or(TABLE_MAIN);
    message.header = RouteHeader {
        address_family: family(route.family),
        destination_prefix_length: route.to.length,
        source_prefix_length: route.from.map_or(0, |from| from.length),
        tos: route.tos,
        table: u8::try_from(table).unwrap_or(0),
        // What is tracked must be recognised when it goes.
        protocol: RouteProtocol::from(route.protocol.filter(|_| route.no_track).unwrap_or(MARK)),
        scope: RouteScope::from(scope(route)),
        kind: RouteType::from(route.kind.number()),
        flags: RouteFlags::empty(),
    };
    message.attributes = attributes(route, table);
    let mut put = |attribute| message.attributes.push(attribute);
    match route.hops.as_slice() {
        [] => {}
        [hop] => {
            let name = hop.device.as_deref().or(device.filter(|_| hop.via.is_none()));
            if let Some(name) = name.filter(|_| carries_device(route.kind)) {
                put(RouteAttribute::Oif(index(name)?));
            }
            for attribute in hop_attributes(hop, route.family) {
                put(attribute);
            }
            message.header.flags = RouteFlags::from_bits_retain(u32::from(hop_flags(hop).bits()));
        }
        hops => {
            let ways = hops.iter().map(|hop| way(hop, route.family, device, index));
            put(RouteAttribute::MultiPath(ways.collect::<Result<_, _>>()?));
        }
    }
    Ok(message)
}

/// One of several ways.
fn way(
    hop: &NextHop,
    family: Family,
    device: Option<&str>,
    index: impl Fn(&str) -> Result<u32, String>,
) -> Result<RouteNextHop, String> {
    let mut way = RouteNextHop::default();
    way.flags = hop_flags(hop);
    way.hops = u8::try_from(hop.weight.clamp(1, 256) - 1).unwrap_or(u8::MAX);
    let name = hop.device.as_deref().or(device.filter(|_| hop.via.is_none()));
    way.interface_index = name.map_or(Ok(0), index)?;
    way.attributes = hop_attributes(hop, family);
    Ok(way)
}

/// What it says of itself, wherever it leads.
fn attributes(route: &Route, table: u32) -> Vec<RouteAttribute> {
    let mut attributes = Vec::new();
    let mut put = |attribute| attributes.push(attribute);
    if route.to.length > 0 {
        put(RouteAttribute::Destination(masked(route.to).into()));
    }
    if let Some(from) = route.from.filter(|from| from.length > 0) {
        put(RouteAttribute::Source(masked(from).into()));
    }
    put(RouteAttribute::Table(table));
    if let Some(source) = route.source {
        put(RouteAttribute::PrefSource(source.into()));
    }
    if let Some(metric) = route.metric {
        put(RouteAttribute::Priority(metric));
    }
    if let Some(realms) = route.realms {
        put(RouteAttribute::Realm(realm(realms)));
    }
    if let Some(preference) = route.preference {
        put(RouteAttribute::Preference(preference_of(preference)));
    }
    if let Some(seconds) = route.expires {
        put(RouteAttribute::Expires(seconds));
    }
    if let Some(propagate) = route.ttl_propagate {
        put(RouteAttribute::TtlPropagate(RouteMplsTtlPropagation::from(u8::from(propagate))));
    }
    let metrics = metrics(&route.metrics);
    if !metrics.is_empty() {
        put(RouteAttribute::Metrics(metrics));
    }
    attributes
}

/// A blackhole leads nowhere.
fn carries_device(kind: RouteKind) -> bool {
    !matches!(kind, RouteKind::Blackhole | RouteKind::Unreachable | RouteKind::Prohibit | RouteKind::Throw)
}

/// keepalived's default is global; the kernel refuses that for some types.
fn scope(route: &Route) -> u8 {
    let least = match route.kind {
        RouteKind::Local | RouteKind::Nat => 254,
        RouteKind::Broadcast | RouteKind::Anycast => 253,
        _ => 0,
    };
    route.scope.unwrap_or(least)
}

fn hop_attributes(hop: &NextHop, route: Family) -> Vec<RouteAttribute> {
    let mut attributes = Vec::new();
    if let Some(via) = hop.via {
        let same = via.is_ipv4() == (route == Family::V4);
        attributes.push(match same {
            true => RouteAttribute::Gateway(via.into()),
            false => RouteAttribute::Via(RouteVia::from(via)),
        });
    }
    if let Some(realms) = hop.realms {
        attributes.push(RouteAttribute::Realm(realm(realms)));
    }
    if let Some(encap) = &hop.encap {
        let (kind, parts) = encapsulation(encap);
        attributes.push(RouteAttribute::Encap(parts));
        attributes.push(RouteAttribute::EncapType(kind));
    }
    attributes
}

fn hop_flags(hop: &NextHop) -> RouteNextHopFlags {
    let mut flags = RouteNextHopFlags::empty();
    flags.set(RouteNextHopFlags::Onlink, hop.onlink);
    flags.set(RouteNextHopFlags::Pervasive, hop.pervasive);
    flags
}

fn encapsulation(encap: &Encap) -> (RouteLwEnCapType, Vec<RouteLwTunnelEncap>) {
    match encap {
        Encap::Mpls { labels, ttl } => {
            let last = labels.len().saturating_sub(1);
            let label = |(at, label): (usize, &u32)| MplsLabel {
                label: *label,
                traffic_class: 0,
                bottom_of_stack: at == last,
                ttl: 0,
            };
            let stack = labels.iter().enumerate().map(label).collect();
            let parts = [RouteMplsIpTunnel::Destination(stack)].into_iter();
            let parts = parts.chain(ttl.map(RouteMplsIpTunnel::Ttl));
            (RouteLwEnCapType::Mpls, parts.map(RouteLwTunnelEncap::Mpls).collect())
        }
        Encap::Ip { id, destination, source, tos, ttl, v6: true } => {
            let parts = [
                id.map(RouteIp6Tunnel::Id),
                v6(*destination).map(RouteIp6Tunnel::Destination),
                v6(*source).map(RouteIp6Tunnel::Source),
                ttl.map(RouteIp6Tunnel::Hoplimit),
                tos.map(RouteIp6Tunnel::Tc),
            ];
            (RouteLwEnCapType::Ip6, parts.into_iter().flatten().map(RouteLwTunnelEncap::Ip6).collect())
        }
        Encap::Ip { id, destination, source, tos, ttl, v6: false } => {
            let parts = [
                id.map(RouteIpTunnel::Id),
                v4(*destination).map(RouteIpTunnel::Destination),
                v4(*source).map(RouteIpTunnel::Source),
                ttl.map(RouteIpTunnel::Ttl),
                tos.map(RouteIpTunnel::Tos),
            ];
            (RouteLwEnCapType::Ip, parts.into_iter().flatten().map(RouteLwTunnelEncap::Ip).collect())
        }
        Encap::Ila { locator } => {
            let locator = DefaultNla::new(ILA_LOCATOR, locator.to_be_bytes().to_vec());
            (RouteLwEnCapType::Ila, vec![RouteLwTunnelEncap::Other(locator)])
        }
    }
}

fn v4(address: Option<IpAddr>) -> Option<Ipv4Addr> {
    match address {
        Some(IpAddr::V4(address)) => Some(address),
        _ => None,
    }
}

fn v6(address: Option<IpAddr>) -> Option<Ipv6Addr> {
    match address {
        Some(IpAddr::V6(address)) => Some(address),
        _ => None,
    }
}

fn metrics(metrics: &RouteMetrics) -> Vec<Rtax> {
    let locked = metrics.locked.iter().fold(0, |bits, metric| {
        bits | 1_u32.checked_shl(u32::from(*metric as u16).min(RTAX_LOCK_BITS)).unwrap_or(0)
    });
    let mut list = Vec::new();
    if locked != 0 {
        list.push(Rtax::Lock(locked));
    }
    list.extend(metrics.values.iter().map(|(metric, value)| match metric {
        RouteMetric::Mtu => Rtax::Mtu(*value),
        RouteMetric::Window => Rtax::Window(*value),
        RouteMetric::Rtt => Rtax::Rtt(*value),
        RouteMetric::RttVar => Rtax::RttVar(*value),
        RouteMetric::Ssthresh => Rtax::SsThresh(*value),
        RouteMetric::Cwnd => Rtax::Cwnd(*value),
        RouteMetric::Advmss => Rtax::Advmss(*value),
        RouteMetric::Reordering => Rtax::Reordering(*value),
        RouteMetric::Hoplimit => Rtax::Hoplimit(*value),
        RouteMetric::Initcwnd => Rtax::InitCwnd(*value),
        RouteMetric::RtoMin => Rtax::RtoMin(*value),
        RouteMetric::Initrwnd => Rtax::InitRwnd(*value),
        RouteMetric::Quickack => Rtax::QuickAck(*value),
        RouteMetric::FastopenNoCookie => Rtax::FastopenNoCookie(*value),
    }));
    if metrics.ecn {
        list.push(Rtax::Features(FEATURE_ECN));
    }
    list.extend(metrics.congctl.clone().map(Rtax::CcAlgo));
    list
}

fn preference_of(number: u8) -> netlink_packet_route::route::RoutePreference {
    use netlink_packet_route::route::RoutePreference;
    match number {
        0 => RoutePreference::Medium,
        1 => RoutePreference::High,
        3 => RoutePreference::Low,
        other => RoutePreference::Other(other),
    }
}

/// Source in the upper half.
pub(super) fn realm(realms: u32) -> RouteRealm {
    let [source_high, source_low, high, low] = realms.to_be_bytes();
    RouteRealm {
        source: u16::from_be_bytes([source_high, source_low]),
        destination: u16::from_be_bytes([high, low]),
    }
}

pub(super) fn family(family: Family) -> AddressFamily {
    match family {
        Family::V4 => AddressFamily::Inet,
        Family::V6 => AddressFamily::Inet6,
    }
}

/// The network's address: the kernel refuses host bits.
pub(super) fn masked(prefix: Prefix) -> IpAddr {
    let length = u32::from(prefix.length);
    match prefix.address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32 - length.min(32)).unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from_bits(address.to_bits() & mask))
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128 - length.min(128)).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & mask))
        }
    }
}

/// For a dump of the routes with our mark.
pub(super) fn request(family: AddressFamily) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = family;
    message.header.protocol = RouteProtocol::from(MARK);
    message
}

/// What the kernel said of a route, in the form in which it can be told to remove it.
pub(super) fn without_state(mut message: RouteMessage) -> RouteMessage {
    message.header.flags = RouteFlags::empty();
    message
        .attributes
        .retain(|attribute| !matches!(attribute, RouteAttribute::CacheInfo(_) | RouteAttribute::Expires(_)));
    for attribute in &mut message.attributes {
        if let RouteAttribute::MultiPath(ways) = attribute {
            ways.iter_mut().for_each(|way| way.flags = RouteNextHopFlags::empty());
        }
    }
    message
}

/// Where a route is, and where it leads to. An IPv6 route without a metric gets 1024 from the kernel.
type Key = (AddressFamily, u8, RouteType, u8, u32, Option<IpAddr>, u32, Vec<(u32, Option<IpAddr>)>);

fn key(message: &RouteMessage) -> Key {
    let header = &message.header;
    let v6 = header.address_family == AddressFamily::Inet6;
    let mut table = u32::from(header.table);
    let (mut to, mut metric, mut oif, mut via) = (None, if v6 { 1024 } else { 0 }, 0, None);
    let mut ways = Vec::new();
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Destination(address) => to = ip(address),
            RouteAttribute::Table(number) => table = *number,
            RouteAttribute::Priority(number) => metric = *number,
            RouteAttribute::Oif(index) => oif = *index,
            RouteAttribute::Gateway(address) => via = ip(address),
            RouteAttribute::Via(RouteVia::Inet6(address)) => via = Some(IpAddr::V6(*address)),
            RouteAttribute::Via(RouteVia::Inet(address)) => via = Some(IpAddr::V4(*address)),
            RouteAttribute::MultiPath(list) => {
                ways.extend(list.iter().map(|way| {
                    let gateway = way.attributes.iter().find_map(|attribute| match attribute {
                        RouteAttribute::Gateway(address) => ip(address),
                        _ => None,
                    });
                    (way.interface_index, gateway)
                }));
            }
            _ => {}
        }
    }
    if ways.is_empty() {
        ways.push((oif, via));
    }
    let length = header.destination_prefix_length;
    (header.address_family, length, header.kind, header.tos, table, to, metric, ways)
}

/// Whether two messages are about the same route. A device that the configuration leaves open matches any.
pub(super) fn same(a: &RouteMessage, b: &RouteMessage) -> bool {
    let (mut a, mut b) = (key(a), key(b));
    let (ways_a, ways_b) = (std::mem::take(&mut a.7), std::mem::take(&mut b.7));
    a == b
        && ways_a.len() == ways_b.len()
        && ways_a.iter().zip(&ways_b).all(|((oif, via), (other_oif, other_via))| {
            via == other_via && (oif == other_oif || *oif == 0 || *other_oif == 0)
        })
}

fn ip(address: &netlink_packet_route::route::RouteAddress) -> Option<IpAddr> {
    use netlink_packet_route::route::RouteAddress;
    match address {
        RouteAddress::Inet(address) => Some(IpAddr::V4(*address)),
        RouteAddress::Inet6(address) => Some(IpAddr::V6(*address)),
        _ => None,
    }
}

/// A route of the configuration in words.
pub(super) fn words(route: &Route) -> String {
    let mut text = String::new();
    if route.kind != RouteKind::Unicast {
        text = format!("{:?} ", route.kind).to_lowercase();
    }
    // Writing to a string cannot fail.
    let _ = write!(text, "{}/{}", route.to.address, route.to.length);
    for hop in &route.hops {
        if route.hops.len() > 1 {
            text += " nexthop";
        }
        if let Some(via) = hop.via {
            let _ = write!(text, " via {via}");
        }
        if let Some(device) = &hop.device {
            let _ = write!(text, " dev {device}");
        }
    }
    if let Some(table) = route.table.filter(|table| *table != TABLE_MAIN) {
        let _ = write!(text, " table {table}");
    }
    if let Some(metric) = route.metric {
        let _ = write!(text, " metric {metric}");
    }
    text
}

/// A route of the kernel in words.
pub(super) fn held_words(message: &RouteMessage) -> String {
    let (family, length, _, _, table, to, metric, ways) = key(message);
    let any = if family == AddressFamily::Inet { "0.0.0.0" } else { "::" };
    let mut text = to.map_or_else(|| any.to_owned(), |to| to.to_string());
    let _ = write!(text, "/{length}");
    for (index, via) in ways {
        if let Some(via) = via {
            let _ = write!(text, " via {via}");
        }
        if index != 0 {
            let _ = write!(text, " dev {}", crate::net::error::interface_name(index));
        }
    }
    if table != TABLE_MAIN {
        let _ = write!(text, " table {table}");
    }
    if metric != 0 {
        let _ = write!(text, " metric {metric}");
    }
    text
}

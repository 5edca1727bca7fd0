//! Why the addresses of a virtual router cannot be on its interface while it is backup (`hot_standby`), if they cannot.
//!
//! They must be silent whatever happens: nothing that comes in for them may be let through, also when the daemon is dead,
//! and the kernel must not send anything in their name of its own accord. What is not there by the daemon's hand stays the
//! operator's.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use ha_common::layout::VipSlot;

use super::vips::vips;
use crate::config::analysis::host::same_network;
use crate::config::model::{Instance, Vip};
use crate::net::monitor::{Link, Links};
use crate::net::sysctl;
use crate::xdp::XdpInterface;

/// What the interface and its program have against it now.
pub(super) fn obstacle(
    config: &Instance,
    links: &Links,
    xdp: Option<&XdpInterface>,
    is_ours: impl Fn(u32, IpAddr) -> bool,
) -> Option<String> {
    let Some(xdp) = xdp else { return Some("no XDP program is attached".to_owned()) };
    if !xdp.outlives() {
        return Some("the XDP program is not pinned: it would go with the daemon".to_owned());
    }
    let link = links.by_name(&config.interface)?;
    let taken = |vip: &&Vip| link.holds(vip.address) && !is_ours(link.index, vip.address);
    if let Some(vip) = vips(config).find(taken) {
        return Some(format!("{} is on {} by somebody else's hand", vip.address, link.name));
    }
    let vip = vips(config).find(|vip| brings_network(vip, link))?;
    Some(format!(
        "{}/{} lies in no network of {}'s own addresses, and this host would use it to talk to that network",
        vip.address, vip.prefix, link.name
    ))
}

/// Whether the program knows all addresses as those of this virtual router.
pub(super) fn unknown(config: &Instance, xdp: &XdpInterface) -> Option<String> {
    let ours = VipSlot::of(config.family, config.vrid);
    let is_ours = |vip: &&Vip| {
        xdp.vips.owner(vip.address).is_some_and(|slot| (slot.vrid, slot.family) == (ours.vrid, ours.family))
    };
    let other = vips(config).find(|vip| !is_ours(vip))?;
    Some(format!("the fence does not know {} as its address: another instance has it too", other.address))
}

/// An address that comes with a network in which this host has no other is the one that it talks to that network with, and
/// asks for MAC addresses with.
fn brings_network(vip: &Vip, link: &Link) -> bool {
    match vip.address {
        IpAddr::V4(address) if vip.prefix < 32 => {
            let same = |other: Ipv4Addr| same_network(other.into(), vip.address, vip.prefix);
            !link.v4.iter().any(|held| !held.ours && held.address != address && same(held.address))
        }
        // Deprecated, it is nobody's choice.
        IpAddr::V4(_) | IpAddr::V6(_) => false,
    }
}

/// What makes the kernel announce every address of an interface of its own accord.
pub(super) fn announces(link: &Link, links: &Links) -> Option<String> {
    for (family, parameter) in [("ipv4", "arp_notify"), ("ipv6", "ndisc_notify")] {
        for conf in ["all", &link.name] {
            let path = Path::new(family).join("conf").join(conf).join(parameter);
            if sysctl::read(&path).is_ok_and(|value| value != "0") {
                return Some(format!(
                    "{parameter} is on for {conf}: the kernel would announce the addresses when the link comes up"
                ));
            }
        }
    }
    let below = link.lower.and_then(|index| links.get(index));
    let announcing = |link: &&Link| match link.kind.as_str() {
        "bond" => {
            let file = Path::new("/sys/class/net").join(&link.name).join("bonding/num_grat_arp");
            std::fs::read_to_string(file).map_or(true, |value| value.trim() != "0")
        }
        "team" => true,
        _ => false,
    };
    let found = std::iter::once(link).chain(below).find(announcing)?;
    Some(format!("{} announces all addresses after a change of its members (num_grat_arp)", found.name))
}

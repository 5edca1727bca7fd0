//! Which interface a virtual address, a route or an advert belongs on, and which interfaces must be made for that.
//!
//! Pure: names only. Whoever wants an index asks [`Links`] for the name. [`resolve`] writes the names into the
//! configuration, so that nothing else in the runtime needs to know of virtual MAC addresses.

use std::net::IpAddr;

use ha_common::types::{Family, Vrid};

use crate::config::model::{Config, Instance, Ipvlan, Vip, VirtualLink, Vmac};
use crate::net::monitor::{Link, Links};
use crate::net::vmac::LinkKind;

/// An interface that the daemon makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LinkPlan {
    /// Name.
    pub(super) name: String,
    /// The interface below.
    pub(super) base: String,
    /// What it is.
    pub(super) kind: LinkKind,
}

impl LinkPlan {
    /// Whether an interface is what this one is to be.
    pub(super) fn fits(&self, link: &Link, base: &Link) -> bool {
        let same_mac = match self.kind {
            LinkKind::Macvlan(mac) => link.mac == Some(mac),
            LinkKind::Ipvlan(_) => true,
        };
        link.kind == self.kind.word() && link.lower == Some(base.index) && same_mac
    }
}

/// The interface that an instance's addresses and routes are on where they name none.
pub(super) fn of_instance(config: &Instance) -> &str {
    let made = match &config.link {
        Some(VirtualLink::Vmac(Vmac { name, .. }) | VirtualLink::Ipvlan(Ipvlan { name, .. })) => {
            name.as_deref()
        }
        None => None,
    };
    made.unwrap_or(&config.interface)
}

/// The virtual MAC address that adverts come from.
pub(super) fn advert_mac(config: &Instance) -> Option<[u8; 6]> {
    match &config.link {
        Some(VirtualLink::Vmac(Vmac { mac, xmit_base: false, .. })) => Some(*mac),
        _ => None,
    }
}

/// Names all interfaces that are to be made, and puts addresses on them.
///
/// An address of the instance's family that names no other interface is on the instance's; one of the other family, or
/// on another interface, where `use_vmac_addr` or its own `use_vmac` says so, on one that is made for it. `links` are
/// those of the moment: a name that something else has is not chosen.
pub(super) fn resolve(config: &mut Config, links: &Links) -> Vec<LinkPlan> {
    let mut making = Making::new(config, links);
    making.links_of_instances(config);
    for instance in &mut config.instances {
        making.place(instance);
    }
    making.plans
}

/// The interfaces that are to be made, as they are found one by one.
struct Making<'a> {
    links: &'a Links,
    prefix: String,
    address_prefix: String,
    /// Names that are taken within the configuration.
    used: Vec<String>,
    plans: Vec<LinkPlan>,
}

impl<'a> Making<'a> {
    fn new(config: &Config, links: &'a Links) -> Self {
        let prefix = config.global.vmac_prefix.clone().unwrap_or_else(|| "vrrp".to_owned());
        let address_prefix = config.global.vmac_addr_prefix.clone().unwrap_or_else(|| prefix.clone());
        // Names that are written down have precedence.
        let named = config.instances.iter().filter_map(|instance| match &instance.link {
            Some(VirtualLink::Vmac(Vmac { name, .. }) | VirtualLink::Ipvlan(Ipvlan { name, .. })) => {
                name.clone()
            }
            None => None,
        });
        Self { links, prefix, address_prefix, used: named.collect(), plans: Vec::new() }
    }

    /// Those that instances themselves are to have.
    fn links_of_instances(&mut self, config: &mut Config) {
        for instance in &mut config.instances {
            let Instance { link, interface, vrid, family, .. } = instance;
            let mut add = |name: &mut Option<String>, kind: LinkKind| {
                let name = name.get_or_insert_with(|| {
                    let prefix = &self.prefix;
                    choose(prefix, *family, *vrid, |name| self.is_unfit(name, interface, kind))
                });
                self.add(name.clone(), interface.clone(), kind);
            };
            match link {
                Some(VirtualLink::Vmac(Vmac { name, mac, .. })) => add(name, LinkKind::Macvlan(*mac)),
                Some(VirtualLink::Ipvlan(Ipvlan { name, address, mode })) => {
                    add(name, LinkKind::Ipvlan(*mode));
                    // Its own address is there from start to stop, like a static one, and the source of the adverts.
                    if let Some((address, length)) = *address {
                        instance.source.get_or_insert(address);
                        config.static_addresses.push(own_address(address, length, name.clone()));
                    }
                }
                None => {}
            }
        }
    }

    /// Puts the addresses of an instance on their interfaces.
    fn place(&mut self, instance: &mut Instance) {
        let own = of_instance(instance).to_owned();
        let made = instance.link.is_some();
        let Instance { vips, excluded, interface, family, vrid, vmac_addresses, .. } = instance;
        for vip in vips.iter_mut().chain(excluded) {
            let of_family = vip.address.is_ipv4() == (*family == Family::V4);
            let elsewhere = vip.device.as_ref().is_some_and(|device| device != interface);
            if made && of_family && !elsewhere {
                vip.device = Some(own.clone());
            } else if *vmac_addresses || vip.vmac {
                let base = vip.device.clone().unwrap_or_else(|| interface.clone());
                let family = if vip.address.is_ipv4() { Family::V4 } else { Family::V6 };
                vip.device = Some(self.for_addresses(base, family, *vrid));
            }
        }
    }

    /// The interface with the virtual MAC address for addresses on another interface.
    fn for_addresses(&mut self, base: String, family: Family, vrid: Vrid) -> String {
        let kind = LinkKind::Macvlan(virtual_mac(family, vrid));
        if let Some(plan) = self.plans.iter().find(|plan| plan.kind == kind && plan.base == base) {
            return plan.name.clone();
        }
        let prefix = &self.address_prefix;
        let name = choose(prefix, family, vrid, |name| self.is_unfit(name, &base, kind));
        self.add(name.clone(), base, kind);
        name
    }

    fn add(&mut self, name: String, base: String, kind: LinkKind) {
        self.used.push(name.clone());
        self.plans.push(LinkPlan { name, base, kind });
    }

    /// Whether another interface of the configuration, or something else, has the name.
    fn is_unfit(&self, name: &str, base: &str, kind: LinkKind) -> bool {
        self.used.iter().any(|other| other == name)
            || taken(self.links, &LinkPlan { name: name.to_owned(), base: base.to_owned(), kind })
    }
}

/// RFC 9568 section 7.3.
fn virtual_mac(family: Family, vrid: Vrid) -> [u8; 6] {
    [0, 0, 0x5e, 0, if family == Family::V4 { 1 } else { 2 }, vrid.get()]
}

/// A name as keepalived makes them: `vrrp.51`, else `vrrp6.51` for IPv6, else `vrrp1.51` and so on.
fn choose(prefix: &str, family: Family, vrid: Vrid, unfit: impl Fn(&str) -> bool) -> String {
    let name = |number: String| {
        let end = format!("{number}.{}", vrid.get());
        // IFNAMSIZ: 15 bytes.
        let start: String = prefix
            .chars()
            .scan(0, |length, c| {
                *length += c.len_utf8();
                (*length + end.len() <= 15).then_some(c)
            })
            .collect();
        start + &end
    };
    let six = (family == Family::V6).then(|| "6".to_owned());
    let numbers = (1..=255_u8).map(|number| number.to_string());
    let mut names = std::iter::once(String::new()).chain(six).chain(numbers).map(name);
    names.find(|name| !unfit(name)).unwrap_or_else(|| format!("{prefix}.{}", vrid.get()))
}

/// Whether something else has the name.
fn taken(links: &Links, plan: &LinkPlan) -> bool {
    links
        .by_name(&plan.name)
        .is_some_and(|link| links.by_name(&plan.base).is_none_or(|base| !plan.fits(link, base)))
}

fn own_address(address: IpAddr, prefix: u8, device: Option<String>) -> Vip {
    Vip { device, ..Vip::plain(address, prefix) }
}

/// Interfaces besides the instance's own that keep it in FAULT while they are down or not there, as sentences: those
/// of tracked addresses and routes, as keepalived has it.
pub(super) fn obstacles(config: &Instance, links: &Links) -> Vec<String> {
    let vips = config.vips.iter().chain(&config.excluded).filter(|vip| !vip.no_track);
    let hops = config.routes.iter().filter(|route| !route.no_track).flat_map(|route| &route.hops);
    let used = vips.map(|vip| &vip.device).chain(hops.map(|hop| &hop.device));
    let mut names: Vec<&str> = used.flatten().map(String::as_str).collect();
    names.sort_unstable();
    names.dedup();
    // With dont_track_primary what is on the primary interface is not tracked either.
    names.retain(|name| *name != config.interface && (config.track_primary || *name != of_instance(config)));
    let without_peers = config.fault_without_peers.then(|| "no unicast_peer is left".to_owned());
    let obstacle = |name: &str| match links.by_name(name) {
        None => Some(links.missing(name)),
        Some(link) if !link.up => Some(format!("interface {name} is down")),
        Some(_) => None,
    };
    names.into_iter().filter_map(obstacle).chain(without_peers).collect()
}

#[cfg(test)]
mod tests;

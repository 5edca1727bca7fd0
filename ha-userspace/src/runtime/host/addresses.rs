//! Virtual addresses: which are to be where, and adding and removing those of many virtual routers at once.
//!
//! When: the node ([`ha_common::node`]). How: [`crate::net::addresses`].

use std::collections::HashSet;
use std::net::IpAddr;

use ha_common::node::{Node, RouterId};

use super::Host;
use crate::config::model::{Config, Vip};
use crate::net::addresses::{AddressOutcome, AddressSpec, Removal};
use crate::net::clock;
use crate::net::monitor::Links;
use crate::runtime::note::Note;
use crate::runtime::router::Router;
use crate::runtime::routers::Routers;
use crate::runtime::vips::{specs, vips};

impl Host {
    /// Adds the addresses of these virtual routers in one netlink batch.
    pub(in crate::runtime) fn install(
        &mut self,
        ids: &[RouterId],
        routers: &mut Routers,
        notes: &mut Vec<Note>,
    ) -> Option<Note> {
        let now = clock::now();
        let (mut specs, mut owners) = (Vec::new(), Vec::new());
        for &n in ids {
            let Some(router) = routers.get_mut(n) else { continue };
            router.installed_at = now;
            let wanted = router_specs(router, self.links(), |missing| {
                notes.push(Note::NoDevice { router: n, device: missing.to_owned() });
            });
            router.untold = wanted.iter().map(|spec| (spec.ifindex, spec.address)).collect();
            router.placed.clone_from(&router.untold);
            specs.extend(wanted);
            owners.resize(specs.len(), n);
        }
        if specs.is_empty() {
            return None;
        }
        self.virtual_links.enable_ipv6(&specs);
        let start = clock::now();
        let outcomes = self.addresses.add(&specs);
        let took = clock::now().span_since(start);
        let (mut added, mut there, mut refused) = (0, HashSet::new(), Vec::new());
        for ((outcome, spec), n) in outcomes.into_iter().zip(&specs).zip(owners) {
            if !matches!(outcome, AddressOutcome::Failed(_)) {
                there.insert(n);
            }
            match outcome {
                AddressOutcome::Added => match routers.get_mut(n) {
                    Some(router) if router.lost.contains(&(spec.ifindex, spec.address)) => {
                        let entry = format!("{}/{}", spec.address, spec.prefix);
                        notes.push(Note::PutBack { router: Some(n), entry });
                    }
                    _ => added += 1,
                },
                AddressOutcome::AlreadyThere { ours: true } => {}
                AddressOutcome::AlreadyThere { ours: false } => {
                    notes.push(Note::ForeignAddress { router: n, address: spec.address });
                }
                AddressOutcome::Failed(error) => {
                    refused.push((n, error.to_string()));
                    notes.push(Note::Address { router: n, error });
                }
            }
        }
        for (n, why) in refused.into_iter().filter(|(n, _)| !there.contains(n)) {
            if let Some(router) = routers.get_mut(n) {
                router.refusal.refused(why, now);
            }
        }
        for n in there {
            if let Some(router) = routers.get_mut(n) {
                router.refusal.accepted();
            }
        }
        routers.iter_mut().for_each(|router| router.lost.clear());
        (added > 0).then_some(Note::Installed { added, took })
    }

    /// Whether an address is there by the daemon's hand.
    pub(in crate::runtime) fn is_ours(&self, index: u32, address: IpAddr) -> bool {
        let marked = self.links().get(index).is_some_and(|link| match address {
            IpAddr::V4(v4) => link.v4.iter().any(|held| held.address == v4 && held.ours),
            IpAddr::V6(v6) => link.v6.iter().any(|held| held.address == v6 && held.ours),
        });
        marked || self.addresses.has_added(index, address)
    }

    /// Removes the addresses of these virtual routers, and those that a reload has taken out of the configuration.
    pub(in crate::runtime) fn uninstall(
        &mut self,
        ids: &[RouterId],
        routers: &Routers,
        node: &Node,
        notes: &mut Vec<Note>,
    ) {
        let mut specs = std::mem::take(&mut self.obsolete);
        for router in ids.iter().filter_map(|id| routers.get(*id)) {
            specs.extend(router_specs(router, self.links(), |_| {}));
        }
        if !specs.is_empty() {
            // A reload may have moved an address to another instance that holds it now.
            let held = self.held_addresses(routers, node);
            self.virtual_links.disable_ipv6(&held);
            self.virtual_links.forward(&held);
            let held: HashSet<_> = held.iter().map(AddressSpec::key).collect();
            specs.retain(|spec| !held.contains(&spec.key()));
            self.remove_addresses(&specs, notes);
        }
    }

    /// Lets interfaces of ours pass packets on where they hold an address by now.
    pub(in crate::runtime) fn forward(&mut self, routers: &Routers, node: &Node) {
        let held = self.held_addresses(routers, node);
        self.virtual_links.forward(&held);
    }

    /// The addresses of all virtual routers that are master, or have them behind the fence.
    fn held_addresses(&self, routers: &Routers, node: &Node) -> Vec<AddressSpec> {
        let held = |router: &&Router| {
            let presence = node[router.id].presence();
            presence.is_kept() && presence.was_added()
        };
        let holders = routers.iter().filter(held);
        holders.flat_map(|router| router_specs(router, self.links(), |_| {})).collect()
    }

    /// Virtual addresses do not follow an interface to its new name, which the configuration does not know.
    pub(in crate::runtime) fn leave_renamed(
        &mut self,
        from: &str,
        index: u32,
        routers: &Routers,
        node: &Node,
    ) {
        for router in routers.iter().filter(|router| node[router.id].presence().was_added()) {
            let device = |vip: &Vip| router.config.device_of(vip) == from;
            let left = vips(&router.config).filter(|vip| device(vip));
            self.obsolete.extend(left.map(|vip| AddressSpec::new(index, vip)));
        }
    }

    /// Removes addresses that an earlier run added and could not remove, on the interfaces of this configuration.
    pub(in crate::runtime) fn remove_leftovers(&mut self, routers: &Routers, node: &Node, config: &Config) {
        let ours = match self.addresses.ours() {
            Ok(ours) => ours,
            Err(error) => {
                tracing::error!("leftover addresses of an earlier run cannot be listed: {error}");
                return;
            }
        };
        let leftover = |spec: &AddressSpec| self.is_leftover(spec, routers, node, config);
        let leftovers: Vec<AddressSpec> = ours.into_iter().filter(leftover).collect();
        for (removal, spec) in self.addresses.remove(&leftovers).into_iter().zip(&leftovers) {
            match removal {
                Removal::Removed => {
                    tracing::warn!("removed {}/{}, left by an earlier run", spec.address, spec.prefix);
                }
                Removal::Failed(error) => tracing::error!("{error}"),
                Removal::NotThere | Removal::Foreign => {}
            }
        }
    }

    fn is_leftover(&self, spec: &AddressSpec, routers: &Routers, node: &Node, config: &Config) -> bool {
        let Some(link) = self.links().get(spec.ifindex) else { return false };
        let mut used = false;
        for vip in &config.static_addresses {
            let on_link = vip.device.as_ref() == Some(&link.name);
            if on_link && (vip.address, vip.prefix) == (spec.address, spec.prefix) {
                return false;
            }
            used |= on_link;
        }
        for router in routers {
            let config = &router.config;
            let mut on_link = vips(config).filter(|vip| config.device_of(vip) == link.name);
            used |= config.interface == link.name;
            if let Some(vip) = on_link.find(|vip| vip.address == spec.address) {
                used = true;
                if node[router.id].presence().is_kept() && vip.prefix == spec.prefix {
                    return false;
                }
            }
        }
        used
    }
}

/// Every virtual address of a virtual router with the device that it belongs on; `missing` hears of devices that are
/// not there.
fn router_specs(router: &Router, links: &Links, missing: impl FnMut(&str)) -> Vec<AddressSpec> {
    let config = &router.config;
    specs(vips(config).map(|vip| (config.device_of(vip), vip)), links, missing)
}

//! Interfaces with virtual MAC addresses, from start to stop: made, taken over, made again, removed.
//!
//! What they are called and what is on them: [`crate::runtime::devices`].

use std::collections::BTreeSet;
use std::path::Path;

use super::Host;
use crate::config::model::Config;
use crate::net::monitor::Link;
use crate::net::vmac::{LinkKind, MARK, VmacSpec};
use crate::runtime::devices::LinkPlan;
use crate::runtime::note::Note;
use crate::runtime::vips::vips;
use crate::runtime::vmac::Ready;

impl Host {
    /// Takes the interfaces of a new configuration; those of the old one that it has no more go.
    pub(super) fn plan_links(&mut self, plans: Vec<LinkPlan>, config: &Config, notes: &mut Vec<Note>) {
        let before = std::mem::replace(&mut self.virtual_links.plans, plans);
        let gone = before.iter().filter(|plan| !self.virtual_links.plans.contains(plan));
        let gone: Vec<String> = gone.map(|plan| plan.name.clone()).collect();
        for name in gone {
            self.virtual_links.ready.retain(|ready| ready.name != name);
            if let Err(error) = self.virtual_links.vmacs.remove(&name) {
                tracing::error!("{error}");
            }
        }
        self.make_links(config, notes);
    }

    /// Makes what is missing, as soon as the interface below is there.
    pub(in crate::runtime) fn make_links(&mut self, config: &Config, notes: &mut Vec<Note>) {
        self.promote_secondaries(config);
        self.ask_as_oneself(config);
        let Self { virtual_links: made, monitor, .. } = self;
        let mut lacking = Vec::new();
        for at in 0..made.plans.len() {
            let plan = made.plans[at].clone();
            let links = monitor.links();
            let Some(base) = links.by_name(&plan.base).cloned() else { continue };
            let there = links.by_name(&plan.name);
            let known = |index: u32| {
                made.ready.iter().any(|ready| (ready.name.as_str(), ready.index) == (&plan.name, index))
            };
            if there.is_some_and(|link| plan.fits(link, &base) && known(link.index)) {
                continue;
            }
            let spec = VmacSpec { name: plan.name.clone(), parent: base.index, kind: plan.kind };
            if let LinkKind::Macvlan([.., 1, _]) = plan.kind {
                made.prepare_base(&plan.base, monitor.links());
            }
            let has = [
                there.is_some_and(|link| link.v4.iter().any(|held| held.ours)),
                there.is_some_and(|link| link.v6.iter().any(|held| held.ours)),
            ];
            let result = match there {
                Some(link) if plan.fits(link, &base) => made.vmacs.adopt(&spec, has),
                // What an earlier configuration, or an earlier base interface, has left behind.
                Some(link) if link.alias == MARK => {
                    made.vmacs.remove(&plan.name).and_then(|()| made.vmacs.make(&spec))
                }
                Some(_) => {
                    lacking.push(format!(
                        "interface {} is not the {} on {} that is wanted: choose another name or remove it",
                        plan.name,
                        plan.kind.word(),
                        plan.base
                    ));
                    continue;
                }
                None => made.vmacs.make(&spec),
            };
            made.ready.retain(|ready| ready.name != plan.name);
            match result {
                Ok(index) => {
                    let silent = matches!(plan.kind, LinkKind::Macvlan(_));
                    let [forwards, ipv6] = has;
                    made.ready.push(Ready { name: plan.name.clone(), index, silent, ipv6, forwards });
                    monitor.learn(link_of(&plan, index, &base));
                }
                Err(error) => lacking.push(error.to_string()),
            }
        }
        for text in lacking.iter().filter(|text| !made.lacking.contains(text)) {
            notes.push(Note::Lacks { router: None, text: text.clone() });
        }
        made.lacking = lacking;
    }

    /// The kernel keeps the other addresses of a subnet when the first one goes, where the configuration wants that.
    fn promote_secondaries(&mut self, config: &Config) {
        let Self { virtual_links: made, monitor, .. } = self;
        for instance in config.instances.iter().filter(|instance| instance.promote_secondaries) {
            let there = monitor.links().by_name(&instance.interface).is_some();
            if there {
                let path = Path::new("ipv4/conf").join(&instance.interface).join("promote_secondaries");
                made.sysctls.set(&path, "1");
            }
        }
    }

    /// A host asks for its neighbours' MAC addresses in its own name, wherever it may have a virtual address: who hears
    /// the question learns whose address the name is. A fence keeps answers in; a fenced host that asked in the name of
    /// a virtual address would turn its neighbours from the new master to itself.
    fn ask_as_oneself(&mut self, config: &Config) {
        let Self { virtual_links: made, monitor, .. } = self;
        let fast = config.instances.iter().filter(|instance| instance.fast.enabled);
        let on = fast.flat_map(|instance| {
            vips(instance).filter(|vip| vip.address.is_ipv4()).map(|vip| instance.device_of(vip))
        });
        // Hundreds of addresses are on few devices, and each look at a parameter is a file.
        let devices: BTreeSet<&str> = on.collect();
        for device in devices {
            // Where there is no other address there is no other name; the interface below asks for it.
            let virtual_one = made.plans.iter().any(|plan| plan.name == device);
            if !virtual_one && monitor.links().by_name(device).is_some() {
                let path = Path::new("ipv4/conf").join(device).join("arp_announce");
                made.sysctls.set(&path, "2");
            }
        }
    }

    /// Removes interfaces that an earlier run made and this configuration has no more.
    pub(in crate::runtime) fn remove_leftover_links(&mut self) {
        let Self { virtual_links: made, monitor, .. } = self;
        let leftovers = monitor
            .links()
            .iter()
            .filter(|link| link.alias == MARK && !made.plans.iter().any(|plan| plan.name == link.name));
        for link in leftovers {
            match made.vmacs.remove(&link.name) {
                Ok(()) => tracing::warn!("removed interface {}, left by an earlier run", link.name),
                Err(error) => tracing::error!("{error}"),
            }
        }
    }
}

/// What the kernel is about to tell of an interface that was made a moment ago.
fn link_of(plan: &LinkPlan, index: u32, base: &Link) -> Link {
    Link {
        index,
        name: plan.name.clone(),
        kind: plan.kind.word().to_owned(),
        up: base.up,
        mac: match plan.kind {
            LinkKind::Macvlan(mac) => Some(mac),
            LinkKind::Ipvlan(_) => base.mac,
        },
        mtu: base.mtu,
        alias: MARK.to_owned(),
        table: None,
        lower: Some(base.index),
        controller: None,
        v4: Vec::new(),
        v6: Vec::new(),
    }
}

//! Interfaces with virtual MAC addresses, from start to stop: made, taken over, made again, removed.
//!
//! What they are called and what is on them: [`super::devices`].

use std::path::{Path, PathBuf};

use super::devices::Plan;
use super::host::Host;
use super::links::vips;
use super::note::Note;
use crate::config::model::Config;
use crate::net::addresses::AddressSpec;
use crate::net::monitor::{Link, Links};
use crate::net::sysctl::{self, Changed};
use crate::net::vmac::{Kind, MARK, VmacSpec, Vmacs, set_forwarding, set_ipv6};

/// What the daemon keeps about the interfaces that it makes.
#[derive(Debug)]
pub(super) struct VirtualLinks {
    vmacs: Vmacs,
    plans: Vec<Plan>,
    /// Interfaces that are as they should be: name, index, and whether IPv6 is on.
    ready: Vec<Ready>,
    /// What was complained of and still is.
    lacking: Vec<String>,
    sysctls: Changed,
}

#[derive(Debug)]
struct Ready {
    name: String,
    index: u32,
    /// It has a MAC address that others may have as well, so that it says nothing as long as it has no address.
    silent: bool,
    ipv6: bool,
    /// It may pass IPv4 packets on, if the interface below does.
    forwards: bool,
}

impl VirtualLinks {
    /// `run_dir` has the file of kernel parameters that an earlier run has changed.
    pub(super) fn new(run_dir: &Path) -> Result<Self, crate::net::error::SocketError> {
        Ok(Self {
            vmacs: Vmacs::open()?,
            plans: Vec::new(),
            ready: Vec::new(),
            lacking: Vec::new(),
            sysctls: Changed::load(PathBuf::from(run_dir).join(sysctl::FILE)),
        })
    }

    /// The interface on which packets for an interface come in: the one below.
    pub(super) fn base<'a>(&'a self, device: &'a str) -> &'a str {
        self.plans.iter().find(|plan| plan.name == device).map_or(device, |plan| plan.base.as_str())
    }

    /// Whether interfaces are made on this one.
    pub(super) fn carries(&self, base: &str) -> bool {
        self.plans.iter().any(|plan| plan.base == base)
    }

    /// Switches IPv6 on where one of these addresses needs it: before they are added.
    pub(super) fn enable_ipv6(&mut self, specs: &[AddressSpec]) {
        for ready in self.ready.iter_mut().filter(|ready| ready.silent && !ready.ipv6) {
            if specs.iter().any(|spec| spec.ifindex == ready.index && spec.address.is_ipv6()) {
                // What goes wrong here is said when the address is refused.
                ready.ipv6 = set_ipv6(&ready.name, true).is_ok();
            }
        }
    }

    /// Switches IPv6 off where no address in `held` needs it, which takes the others away without a word. It comes before
    /// their removal: after that the kernel says farewell to their multicast groups from the virtual MAC address, a
    /// moment later, and the switch then sends the new master's packets here.
    pub(super) fn disable_ipv6(&mut self, held: &[AddressSpec]) {
        for ready in self.ready.iter_mut().filter(|ready| ready.silent && ready.ipv6) {
            if !held.iter().any(|spec| spec.ifindex == ready.index && spec.address.is_ipv6()) {
                let _ = set_ipv6(&ready.name, false);
                ready.ipv6 = false;
            }
        }
    }

    /// Lets an interface pass IPv4 packets on as the one below does while one of the addresses in `held` is on it, and only
    /// then. A write of the parameter waits for the kernel's lock, so that it comes after what clients wait for.
    pub(super) fn forward(&mut self, held: &[AddressSpec]) {
        for ready in self.ready.iter_mut().filter(|ready| ready.silent) {
            let on = held.iter().any(|spec| spec.ifindex == ready.index && spec.address.is_ipv4());
            if on == ready.forwards {
                continue;
            }
            ready.forwards = on;
            let base = self.plans.iter().find(|plan| plan.name == ready.name).map(|plan| plan.base.as_str());
            let path = |name: &str| Path::new("ipv4/conf").join(name).join("forwarding");
            let below = base.and_then(|base| sysctl::read(&path(base)).ok());
            if !on || below.is_some_and(|below| below.trim() == "1") {
                // Where the kernel does not let it be written, it is as it was.
                let _ = set_forwarding(&ready.name, on);
            }
        }
    }

    /// Kernel parameters without which the interface below answers for addresses of those above, or packets for them
    /// are dropped.
    fn prepare_base(&mut self, base: &str, links: &Links) {
        let conf = |name: &str, key: &str| Path::new("ipv4/conf").join(name).join(key);
        self.sysctls.set(&conf(base, "arp_ignore"), "1");
        self.sysctls.set(&conf(base, "arp_filter"), "1");
        // Not keepalived's, whose ARP requests for a client make the client learn the base interface's MAC address for
        // the virtual address that it has just asked.
        self.sysctls.set(&conf(base, "arp_announce"), "2");
        // The greater of `all` and the interface's own counts, so that `all` goes into each of them.
        let number =
            |path: &Path| sysctl::read(path).ok().and_then(|text| text.parse::<u8>().ok()).unwrap_or(0);
        let all = number(&conf("all", "rp_filter"));
        if all == 0 {
            return;
        }
        let names = links.iter().map(|link| link.name.as_str()).chain(["default"]);
        for name in names.filter(|name| !self.plans.iter().any(|plan| plan.name == **name)) {
            let path = conf(name, "rp_filter");
            let wanted = number(&path).max(all).to_string();
            self.sysctls.set(&path, &wanted);
        }
        self.sysctls.set(&conf("all", "rp_filter"), "0");
    }

    /// At the stop.
    pub(super) fn remove_all(&mut self) {
        for ready in std::mem::take(&mut self.ready) {
            if let Err(error) = self.vmacs.remove(&ready.name) {
                tracing::error!("{error}");
            }
        }
        self.sysctls.restore();
    }
}

impl Host {
    /// Takes the interfaces of a new configuration; those of the old one that it has no more go.
    pub(super) fn plan_links(&mut self, plans: Vec<Plan>, config: &Config, notes: &mut Vec<Note>) {
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
    pub(super) fn make_links(&mut self, config: &Config, notes: &mut Vec<Note>) {
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
            if let Kind::Macvlan([.., 1, _]) = plan.kind {
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
                    let silent = matches!(plan.kind, Kind::Macvlan(_));
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
        for instance in config.instances.iter().filter(|instance| instance.fast.enabled) {
            let on = vips(instance).filter(|vip| vip.address.is_ipv4()).map(|vip| instance.device_of(vip));
            for device in on {
                // Where there is no other address there is no other name; the interface below asks for it.
                let virtual_one = made.plans.iter().any(|plan| plan.name == device);
                if !virtual_one && monitor.links().by_name(device).is_some() {
                    let path = Path::new("ipv4/conf").join(device).join("arp_announce");
                    made.sysctls.set(&path, "2");
                }
            }
        }
    }

    /// Removes interfaces that an earlier run made and this configuration has no more.
    pub(super) fn remove_leftover_links(&mut self) {
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
fn link_of(plan: &Plan, index: u32, base: &Link) -> Link {
    Link {
        index,
        name: plan.name.clone(),
        kind: plan.kind.word().to_owned(),
        up: base.up,
        mac: match plan.kind {
            Kind::Macvlan(mac) => Some(mac),
            Kind::Ipvlan(_) => base.mac,
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

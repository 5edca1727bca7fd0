//! Interfaces with virtual MAC addresses: which of them there are, and the kernel parameters that they need.
//!
//! What they are called and what is on them: [`super::devices`].

use std::path::{Path, PathBuf};

use super::devices::LinkPlan;
use crate::net::addresses::AddressSpec;
use crate::net::monitor::Links;
use crate::net::sysctl::{self, Changed};
use crate::net::vmac::{Vmacs, set_forwarding, set_ipv6};

/// What the daemon keeps about the interfaces that it makes.
#[derive(Debug)]
pub(super) struct VirtualLinks {
    pub(super) vmacs: Vmacs,
    pub(super) plans: Vec<LinkPlan>,
    /// Interfaces that are as they should be: name, index, and whether IPv6 is on.
    pub(super) ready: Vec<Ready>,
    /// What was complained of and still is.
    pub(super) lacking: Vec<String>,
    pub(super) sysctls: Changed,
}

#[derive(Debug)]
pub(super) struct Ready {
    pub(super) name: String,
    pub(super) index: u32,
    /// It has a MAC address that others may have as well, so that it says nothing as long as it has no address.
    pub(super) silent: bool,
    pub(super) ipv6: bool,
    /// It may pass IPv4 packets on, if the interface below does.
    pub(super) forwards: bool,
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
    pub(super) fn prepare_base(&mut self, base: &str, links: &Links) {
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

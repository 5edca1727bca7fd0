//! The fence: what the XDP program knows of this node's virtual routers and addresses, and what a lease that ran out
//! means.
//!
//! docs/liveness.md has the rules, and the program applies them, also when this daemon is frozen or dead. Here the
//! maps follow the machines: what opens a fence is written after its reason has come true, and what closes one before.

use ha_common::layout::{VIP_NO_ACCEPT, VipSlot};
use ha_common::machine::{Input, State};
use ha_common::time::{Span, Time};
use ha_common::types::Priority;

use super::daemon::Daemon;
use super::interface::Interface;
use super::links::vips;
use super::note::Note;
use super::router::Router;
use crate::config::model::{Fast as FastConfig, Firewall, Instance};
use crate::net::clock;
use crate::net::firewall::Refusal;

/// Who probed within this time is there to take over.
pub(super) const PROBED: Span = Span(ha_common::fence::PROBED_NS);

impl Daemon {
    /// Tells the XDP programs which addresses their fences are about: all of the configuration, so that a takeover
    /// has nothing to add. A node that holds none of them is not probed, and its fence stays open.
    pub(super) fn update_fences(&mut self) {
        self.take_part();
        let Self { routers, interfaces, resuming, links, .. } = self;
        let resuming = *resuming;
        for interface in interfaces {
            let name = interface.name.clone();
            let Some(xdp) = interface.xdp_mut() else { continue };
            // One with fast failover makes its interface's program vouch for all that run there.
            let takes_part = |at: usize| {
                routers
                    .iter()
                    .any(|router| router.interface == at && router.config.fast.enabled && !router.retired)
            };
            let fenced = routers.iter().filter(|router| takes_part(router.interface) && !router.retired);
            let runs_on = |device: &str| fenced.clone().any(|router| router.config.interface == device);
            let on_it = fenced.clone().flat_map(|router| {
                let config = &router.config;
                // What is said of a virtual router is in the map of the interface that it runs on.
                let mut slot = if config.interface == name {
                    VipSlot::of(config.family, config.vrid)
                } else {
                    VipSlot::default()
                };
                // Where the program does not know whether the addresses are here, packets that pass through are not to
                // be dropped: there the rules of nftables alone refuse.
                if refuses(config) && slot.vrid != 0 {
                    slot.flags |= VIP_NO_ACCEPT;
                }
                vips(config)
                    .filter(|vip| {
                        let device = links.base(config.device_of(vip));
                        // An address on an interface without a program, such as `lo`, also answers on this one.
                        device == name || config.interface == name && !runs_on(device)
                    })
                    .map(move |vip| (vip.address, slot))
            });
            // At start the addresses that an earlier run added are still there.
            let before: Vec<_> = if resuming { xdp.vips.iter().collect() } else { Vec::new() };
            if let Err(error) = xdp.vips.set(on_it.chain(before)) {
                tracing::error!("{name}: the fence does not know all addresses: {error}");
            }
            xdp.lease.set_refusing(xdp.vips.iter().any(|(_, slot)| slot.flags & VIP_NO_ACCEPT != 0));
        }
    }

    /// Whether any virtual router of an interface has fast failover is told to whoever probes: the silence of one that had
    /// it before would be judged. Replies go on saying for what this node is master; a lease comes before what it vouches
    /// for.
    fn take_part(&self) {
        let now = clock::now();
        for (at, interface) in self.interfaces.iter().enumerate() {
            let Some(xdp) = interface.xdp() else { continue };
            let on_it = || self.routers.iter().filter(|router| router.interface == at);
            // Those that a reload has taken out are no reason to change one's word.
            let apart = !on_it().any(|router| router.config.fast.enabled && !router.retired)
                && on_it().any(|router| !router.retired);
            if xdp.lease.is_apart() == apart {
                continue;
            }
            if !apart {
                xdp.lease.renew(now.after(self.lease_length(at)));
            }
            xdp.lease.set_apart(apart);
            for n in (0..self.routers.len()).filter(|&n| self.routers[n].interface == at) {
                self.show(n);
            }
        }
    }

    /// Tells nftables which addresses of the configuration take no packets.
    pub(super) fn update_firewall(&mut self) {
        let addresses = self
            .config
            .instances
            .iter()
            .filter(|config| refuses(config))
            .flat_map(|config| vips(config).map(|vip| (config.device_of(vip).to_owned(), vip.address)));
        let Firewall { table, priority, counters } = self.config.global.firewall.clone();
        self.firewall.apply(Refusal { table, priority, counters, addresses: addresses.collect() });
    }

    /// Before anything else in a turn: a lease that has run out while somebody probed means that somebody else has
    /// taken over by now. So does an advert of another router that came while nobody vouched for this node, even if
    /// the lease has been renewed since: the program has closed the fence, and opens it when the addresses are gone.
    pub(super) fn guard_leases(&mut self) {
        let now = clock::now();
        for at in 0..self.interfaces.len() {
            let Some(xdp) = self.interfaces[at].xdp() else { continue };
            let until = xdp.lease.until();
            let ran_out = now >= until;
            let superseded = xdp.lease.any_superseded();
            if xdp.lease.is_apart()
                || !(ran_out || superseded)
                || !self.routers.iter().any(|router| holds(router, at))
            {
                continue;
            }
            let probed = ran_out && xdp.lease.last_probe().is_some_and(|probe| probe.after(PROBED) > until);
            let concerned = |router: &Router| {
                let (family, vrid) = (router.config.family, router.config.vrid);
                holds(router, at)
                    && (probed && xdp.lease.is_wanted(family, vrid)
                        || superseded && xdp.lease.is_superseded(family, vrid))
            };
            let lost: Vec<_> = (0..self.routers.len()).filter(|&n| concerned(&self.routers[n])).collect();
            if ran_out {
                self.fast.renewals.push(at);
            }
            if lost.is_empty() {
                continue;
            }
            self.notes.push(Note::LeaseRanOut { interface: at, late: now.span_since(until), superseded });
            for n in lost {
                self.feed(n, Input::StepDown, now, None);
            }
        }
    }

    pub(super) fn renew_lease(&self, interface: usize) {
        if let Some(xdp) = self.interfaces[interface].xdp() {
            xdp.lease.renew(clock::now().after(self.lease_length(interface)));
        }
    }

    pub(super) fn lease_length(&self, interface: usize) -> Span {
        let mut on = self.routers.iter().filter(|router| router.interface == interface);
        Span::from(on.next().map_or(FastConfig::default().lease, |router| router.config.fast.lease))
    }

    /// The addresses of routers that do not hold them any more have been removed: their fences open.
    pub(super) fn released(&self, released: &[usize]) {
        for &n in released {
            self.show(n);
        }
    }

    /// Brings what the program knows of a router up to date.
    pub(super) fn show(&self, n: usize) {
        let router = &self.routers[n];
        let place = |router: &Router| (router.interface, router.slot());
        // While one router takes the place of another, as when its version changes, the one with addresses counts.
        let mut others = self.routers.iter().enumerate().filter(|(other, _)| *other != n);
        let other = others.any(|(_, that)| place(that) == place(router) && that.has_addresses());
        if router.has_addresses() || !other {
            show(router, &self.interfaces[router.interface]);
        }
    }
}

/// Whether packets for the addresses of an instance are dropped: `no_accept`, unless it is their owner.
pub(super) fn refuses(config: &Instance) -> bool {
    !config.accept && config.priority != Priority::OWNER
}

/// A router has entered the state that it is in, or the program has been attached anew.
pub(super) fn enter(router: &Router, interface: &Interface, now: Time) {
    if router.machine.state() == State::Master {
        claim(router, interface, now);
    } else {
        show(router, interface);
    }
}

/// A router has become master. The lease comes first: nobody may see a master without one, and an advert that comes
/// from now on is judged by the machine. Then its fence opens, before there is anything to answer for.
fn claim(router: &Router, interface: &Interface, now: Time) {
    let Some(xdp) = interface.xdp() else { return };
    if !xdp.lease.is_apart() {
        xdp.lease.renew(now.after(Span::from(router.config.fast.lease)));
        xdp.lease.clear_superseded(router.config.family, router.config.vrid);
    }
    show(router, interface);
}

/// Tells the program whether a router's addresses may be here, whose job it is to answer questions for them, and
/// whether it is master.
pub(super) fn show(router: &Router, interface: &Interface) {
    let Some(xdp) = interface.xdp() else { return };
    let (family, vrid, lease) = (router.config.family, router.config.vrid, &xdp.lease);
    // Of several on one interface, some with fast failover, all are vouched for and fenced.
    let enabled = !lease.is_apart();
    let master = router.machine.state() == State::Master;
    if master && let Some(source) = router.source {
        xdp.adverts.own(router.slot(), source);
        router.describe(&xdp.adverts);
    }
    if enabled && router.has_addresses() {
        lease.set_held(family, vrid, true);
        // Before a reply says that this node has resigned: its successor answers from then on.
        let muted = !router.machine.answers();
        if muted != lease.is_muted(family, vrid) {
            lease.set_muted(family, vrid, muted);
        }
        lease.set_master(family, vrid, master);
    } else {
        lease.set_master(family, vrid, master);
        lease.set_held(family, vrid, false);
        lease.clear_superseded(family, vrid);
        if lease.is_muted(family, vrid) {
            lease.set_muted(family, vrid, false);
        }
    }
}

/// Whether a router answers for addresses that a lease of this interface must vouch for.
pub(super) fn holds(router: &Router, interface: usize) -> bool {
    router.interface == interface && router.machine.state().holds_addresses()
}

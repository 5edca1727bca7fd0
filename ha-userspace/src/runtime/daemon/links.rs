//! What the daemon does when interfaces, addresses or trackers change.

use std::net::IpAddr;

use ha_common::machine::{Input, State};
use ha_common::node::{Fitness, Presence, RouterId};
use ha_common::packet::Auth;
use ha_common::time::{Span, Time};
use ha_common::types::{Family, Vrid};

use super::Daemon;
use crate::net::clock;
use crate::net::monitor::{Change, Link, Links, What};
use crate::runtime::devices;
use crate::runtime::loading::{AttachPlan, RESTART_PATIENCE, START_PATIENCE};
use crate::runtime::router::Router;
use crate::runtime::source;
use crate::runtime::vips::vips;
use crate::track::Seen;
use crate::track::priority::{Tracker, effective};
use crate::xdp::{Slot, Travel};

/// An address that was added is in the kernel's notifications after this.
pub(super) const SETTLED: Span = Span::from_millis(200);

impl Daemon {
    /// Takes notice of changed links, then looks at everything that depends on them.
    pub(super) fn links_changed(&mut self, changes: &[Change]) {
        for change in changes {
            if let What::Renamed { from } = &change.what {
                self.host.leave_renamed(from, change.index, &self.routers, &self.node);
            }
            let used = self.interfaces.iter().any(|interface| interface.name == change.name);
            if !used {
                continue;
            }
            tell(change);
        }
        let appeared =
            |change: &Change| matches!(change.what, What::Appeared | What::Gone | What::Renamed { .. });
        let dropped = |change: &Change| matches!(change.what, What::Up | What::Addresses);
        if changes.iter().any(appeared) {
            self.host.forget_routes(&mut self.routers);
        } else if changes.iter().any(dropped) {
            // The kernel drops IPv4 routes of an interface that goes down, or of an address that goes, without a word.
            self.host.mark_routes_dirty(&mut self.routers);
        }
        self.host.make_links(&self.configuration.in_force, &mut self.notes);
        self.host.statics.mark_dirty();
        self.notice_missing_addresses();
        let new = |change: &&Change| matches!(change.what, What::Appeared | What::Renamed { .. });
        let appeared: Vec<&str> = changes.iter().filter(new).map(|change| change.name.as_str()).collect();
        self.notice_new_devices(&appeared);
        self.reconsider();
    }

    /// Addresses with `no_track` on devices that have just appeared: nobody waits for these, and the takeover could not
    /// add them.
    fn notice_new_devices(&mut self, appeared: &[&str]) {
        let now = clock::now();
        let mut again = Vec::new();
        let Self { routers, node, .. } = self;
        for router in routers.iter().filter(|router| node[router.id].presence() == Presence::Present) {
            let config = &router.config;
            let mut devices = vips(config).filter(|vip| vip.no_track).map(|vip| config.device_of(vip));
            if devices.any(|device| appeared.contains(&device)) {
                again.push(router.id);
            }
        }
        again.into_iter().for_each(|id| self.node.add_addresses_again(id, now));
    }

    /// Opens and closes interfaces, recomputes priorities and sources, and tells the machines.
    ///
    /// Cheap enough to be done for everything whenever anything changes, and so nothing can be forgotten.
    pub(super) fn reconsider(&mut self) {
        let virtual_addresses = self.routers.virtual_addresses();
        self.bar_standbys();
        self.refresh_interfaces(&virtual_addresses);
        self.update_fences();
        self.allow_standbys();
        self.node.mark_peers_dirty();
        let now = clock::now();
        let view = self.host.delayed_links(now);
        for id in self.routers.ids() {
            let fitness = self.fitness(id, view.as_ref(), &virtual_addresses);
            self.node.set_fitness(id, fitness, now);
        }
        self.with_kernel(|node, kernel| node.settle_fitness(now, kernel));
        self.perform();
        for id in self.routers.ids() {
            let held_back = self.held_back(id).filter(|_| self.node[id].fitness() == Input::Ready(true));
            let noted = &mut self.routers[id].noted;
            noted.held_back = held_back.is_some();
            if let Some(why) = held_back {
                noted.fault = vec![why];
            }
        }
    }

    /// What a virtual router is fit for, by its trackers and its interface; why it is not, is noted.
    fn fitness(&mut self, id: RouterId, view: Option<&Links>, virtual_addresses: &[IpAddr]) -> Fitness {
        let Self { routers, node, workers, host, configuration, .. } = self;
        let (router, core) = (&mut routers[id], &node[id]);
        let links = view.unwrap_or(host.links());
        let link = links.by_name(&router.config.interface);
        router.source = link.and_then(|link| source::of(&router.config, link, virtual_addresses));
        // Was master in an earlier run and still is: trackers count as good until their first result.
        let resumes = core.is_resumed() || node.is_resuming();
        // A script that a reload brings must not put a virtual router that runs into FAULT before its first result.
        let runs = !matches!(core.machine().state(), State::Init | State::Fault);
        let known = |seen: Seen| match seen {
            // Until its first result a thing is what it was before the restart.
            Seen::Pending if resumes => Seen::Good,
            Seen::Pending if runs => Seen::Ignored,
            seen => seen,
        };
        let tracked: Vec<_> = workers.seen(&router.trackers, links).collect();
        let waits = tracked.iter().any(|tracker| tracker.is_fatal() && tracker.seen == Seen::Pending);
        let tracked = tracked.into_iter().map(|tracker| Tracker { seen: known(tracker.seen), ..tracker });
        router.effective = effective(router.config.priority, tracked);
        let mut obstacles = source::obstacles(&router.config, links, router.source);
        if router.config.track_source
            && let Some(address) = router.config.source.filter(|address| !links.hold(*address))
        {
            obstacles.push(format!("the source address {address} is not on this host"));
        }
        obstacles.extend(devices::obstacles(&router.config, links));
        let groups = configuration.in_force.track_groups.iter();
        for group in groups.filter(|group| group.members.contains(&router.config.name)) {
            obstacles.extend(host.statics.lacking(&group.name).map(str::to_owned));
        }
        let refused = host.refusal().or_else(|| router.refusal.standing(clock::now()));
        let unfit = router.effective.fault.is_some() || refused.is_some();
        let fitness = match (unfit, obstacles.is_empty()) {
            (false, ready) => Input::Ready(ready),
            (true, true) => Input::Unfit,
            (true, false) => Input::Ready(false),
        };
        obstacles.extend(refused.map(str::to_owned));
        let trackers = router.effective.fault.iter().flatten().cloned();
        router.noted.fault = obstacles.into_iter().chain(trackers).collect();
        Fitness {
            fitness,
            waits: fitness == Input::Unfit && waits,
            priority: router.effective.priority,
            source: router.source,
        }
    }

    /// Gives back interfaces that a reload has taken out of the configuration.
    pub(super) fn close_unused(&mut self) {
        for at in 0..self.interfaces.len() {
            if self.interfaces[at].index.is_some() && !self.routers.use_interface(at) {
                self.interfaces.close(at);
            }
        }
    }

    /// Opens what is needed on each interface, and closes what nobody needs.
    fn refresh_interfaces(&mut self, virtual_addresses: &[IpAddr]) {
        for at in 0..self.interfaces.len() {
            let plan = self.plan(at);
            let used = self.routers.use_interface(at);
            let name = &self.interfaces[at].name;
            let Some(link) = self.host.links().by_name(name).filter(|_| used).cloned() else {
                if self.interfaces[at].index.is_some() {
                    self.interfaces.close(at);
                }
                continue;
            };
            if self.interfaces[at].index != Some(link.index) {
                self.begin_interface(at, &link, plan);
            }
            let families = self.routers.families(at);
            let interface = &mut self.interfaces[at];
            let fresh = interface.take_fresh();
            for line in interface.open(&link, plan, &families) {
                tracing::info!("{line}");
            }
            interface.follow(&link, virtual_addresses);
            let macs = self.routers.on(at);
            for (family, mac) in macs.filter_map(|router| Some((router.config.family, router.virtual_mac?))) {
                if let Err(error) = interface.open_sender(family, mac) {
                    tracing::error!("{}: {error}", interface.name);
                }
            }
            if fresh && let Some(xdp) = interface.xdp() {
                all_slots().for_each(|slot| xdp.adverts.configure(slot, Some(Travel::Multicast)));
                for router in self.routers.on(at) {
                    router.describe(&xdp.adverts);
                }
                self.begin_counting(at);
            }
        }
    }

    /// The program is new to this run: what it has counted before was another run's, or nothing.
    fn begin_counting(&mut self, at: usize) {
        let Self { routers, interfaces, .. } = self;
        let Some(xdp) = interfaces[at].xdp() else { return };
        for router in routers.iter_mut().filter(|router| router.interface == at) {
            router.stamped_before = xdp.adverts.last_seen(router.slot()).count;
        }
    }

    /// How an interface is wanted.
    fn plan(&self, at: usize) -> AttachPlan {
        let mut on_it = self.routers.on(at);
        AttachPlan {
            mode: self.xdp_mode(at),
            probe_keys: self.probe_keys(at),
            tap: self.host.virtual_links.carries(&self.interfaces[at].name),
            authenticated: on_it.clone().any(|router| matches!(router.config.auth, Auth::Header(_))),
            fast: on_it.any(|router| router.config.fast.enabled),
        }
    }

    /// Orders the program for an interface that has appeared. While a role may be resumed, it is waited for.
    fn begin_interface(&mut self, at: usize, link: &Link, plan: AttachPlan) {
        let Self { interfaces, routers, life, .. } = self;
        let on_it = routers.on(at).map(|router| (router.slot(), router.travel())).collect();
        let roles = life.handover.as_ref().map(|left| left.on(&interfaces[at].name)).unwrap_or_default();
        interfaces.begin(at, link.index, plan, on_it, roles);
        if self.node.is_resuming() {
            let restarted = self.life.handover.is_some();
            let patience = if restarted { RESTART_PATIENCE } else { START_PATIENCE };
            self.interfaces[at].take_program(Some(patience));
        }
    }

    /// The XDP programs hand up adverts for every VRID, until each was seen once.
    pub(super) fn listen_to_unknown(&mut self) {
        for (at, interface) in self.interfaces.iter_mut().enumerate() {
            interface.unknown.clear();
            interface.foreign.forget();
            let Some(xdp) = interface.xdp() else { continue };
            for slot in all_slots() {
                let mut on_it = self.routers.on(at);
                let ours = on_it.any(|router| !self.node[router.id].is_retired() && router.slot() == slot);
                if !ours {
                    xdp.adverts.configure(slot, Some(Travel::Multicast));
                }
            }
        }
    }

    /// Those that advertise an address of ours are listened to again: whether they go on.
    pub(super) fn listen_to_foreign(&self) {
        for interface in self.interfaces.iter() {
            let Some(xdp) = interface.xdp() else { continue };
            for advert in interface.foreign.iter() {
                xdp.adverts.configure(Slot::of(advert.family, advert.vrid), Some(Travel::Multicast));
            }
        }
    }

    /// Now and then, those that advertised no address of ours are listened to again: their file may have changed.
    pub(super) fn listen_to_unknown_again(&mut self, now: Time) {
        for interface in &mut self.interfaces {
            if !interface.foreign.is_due(now) {
                continue;
            }
            let Some(xdp) = interface.xdp() else { continue };
            for &(family, vrid) in &interface.unknown {
                xdp.adverts.configure(Slot::of(family, vrid), Some(Travel::Multicast));
            }
        }
    }

    /// A virtual address that somebody removed, or that went with an interface, is put back and announced by the
    /// next turn.
    fn notice_missing_addresses(&mut self) {
        let now = clock::now();
        let Self { routers, node, host, .. } = self;
        let links = host.links();
        let mut again = Vec::new();
        for router in routers.iter_mut().filter(|router| is_all_there(node[router.id].presence())) {
            // The kernel tells of IPv6 addresses some time after they were added, so that those which it has not told
            // of yet are missing only after a while.
            let settled = router.installed_at.after(SETTLED) <= now;
            let Router { config, untold, lost, placed, .. } = &mut *router;
            let mut missing = false;
            for vip in vips(config).filter(|vip| !vip.no_track) {
                let device = config.device_of(vip);
                let Some(link) = links.by_name(device) else { continue };
                let there = match vip.address {
                    IpAddr::V4(address) => link.v4.iter().any(|held| held.address == address),
                    IpAddr::V6(address) => link.v6.iter().any(|held| held.address == address),
                };
                let place = (link.index, vip.address);
                if there {
                    untold.retain(|added| *added != place);
                }
                if there || (!settled && untold.contains(&place)) {
                    continue;
                }
                missing = true;
                // What went with its interface, or when that went down, was removed by nobody.
                if link.up && placed.contains(&place) {
                    lost.push(place);
                }
            }
            if missing {
                again.push(router.id);
            }
        }
        again.into_iter().for_each(|id| self.node.add_addresses_again(id, now));
    }
}

/// Whether every address should be there.
const fn is_all_there(presence: Presence) -> bool {
    matches!(presence, Presence::Present | Presence::Behind { all: true })
}

fn all_slots() -> impl Iterator<Item = Slot> {
    let vrids = || (1..=u8::MAX).filter_map(Vrid::new);
    let of = move |family| vrids().map(move |vrid| Slot::of(family, vrid));
    of(Family::V4).chain(of(Family::V6))
}

/// A link has changed: for the log.
fn tell(change: &Change) {
    let (name, index) = (change.name.as_str(), change.index);
    let (reason, text) = match &change.what {
        What::Appeared => ("appeared", format!("{name}: appeared (index {index})")),
        What::Gone => ("gone", format!("{name}: is gone")),
        What::Up => ("up", format!("{name}: up")),
        What::Down => ("down", format!("{name}: down")),
        What::Renamed { from } => ("renamed", format!("{from} is called {name} now")),
        What::Mac | What::Mtu | What::Addresses => return,
    };
    if matches!(change.what, What::Gone | What::Down) {
        tracing::warn!(kind = "link", interface = name, reason = reason, "{text}");
    } else {
        tracing::info!(kind = "link", interface = name, reason = reason, "{text}");
    }
}

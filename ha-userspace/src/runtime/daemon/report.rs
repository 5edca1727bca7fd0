//! What `xvrrp status` and `xvrrp counters` show.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use ha_common::machine::State;
use ha_common::node::Group;
use ha_common::time::Time;
use ha_common::types::{Family, Version, Vrid};

use super::{Daemon, observe};
use crate::config::model::Instance;
use crate::control::dump;
use crate::control::protocol::{
    Counters, FORMAT, GroupStatus, InstanceMeasured, InstanceStats, InstanceStatus, InterfaceStatus,
    MasterStatus, MemberStatus, PriorityChange, PriorityStatus, Status, TrackerStatus,
};
use crate::control::snapshot::Snapshot;
use crate::liveness::Inquiry;
use crate::net::clock;
use crate::realtime;
use crate::runtime::configuration::Configuration;
use crate::runtime::interface::Interface;
use crate::runtime::router::{Router, interface_id};
use crate::runtime::shown::WallClock;
use crate::runtime::statuses::{
    age_ms, counters, family, fence, hmac, interface_status, millis, milliseconds, peer,
};
use crate::runtime::vips::vips;

impl Daemon {
    /// A copy of the state. Nothing here waits: the liveness thread is asked, but its answer, and the locks of what is
    /// tracked, are for whoever completes the snapshot to wait for.
    pub(super) fn snapshot(&mut self) -> Arc<Snapshot> {
        let now = clock::now();
        self.listen_to_unknown_again(now);
        self.note_standbys(now);
        let known = self.known(now);
        let tracked = self.workers.statuses();
        let inquiry = self.fast.inquire();
        let complaints = self.workers.complaints();
        let rest = move |status: &mut Status| {
            let (scripts, watched) = tracked();
            status.warnings.extend(complaints());
            status.scripts = scripts;
            status.trackers.splice(0..0, watched);
            let peers = inquiry.map(Inquiry::peers).unwrap_or_default();
            let now = clock::now();
            for interface in &mut status.interfaces {
                let on = peers.iter().filter(|peer| peer.key.0 == interface.index);
                interface.peers = on.map(|found| peer(found, now)).collect();
            }
        };
        self.shown.keep(Snapshot::new(known, Box::new(rest)))
    }

    /// What is known here.
    fn known(&self, now: Time) -> Status {
        let wall = WallClock::read(now);
        let longest = self.shown.longest();
        Status {
            format: FORMAT,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            at: wall.of(now),
            started_ms_ago: millis(now.span_since(self.life.started)),
            started: wall.of(self.life.started),
            realtime: realtime::has_priority(),
            config: self.configuration.file.display().to_string(),
            longest_turn_ms: longest.map_or(0.0, |turn| milliseconds(turn.took)),
            longest_turn_ms_ago: longest.map_or(0, |turn| millis(now.span_since(turn.ended))),
            turns: self.shown.turns(),
            instances: self
                .in_file_order()
                .into_iter()
                .map(|router| self.instance(router, now, &wall))
                .collect(),
            groups: self.node.groups().iter().filter_map(|group| self.group(group)).collect(),
            interfaces: self.interface_statuses(now),
            trackers: self.tracked_interfaces(),
            warnings: self.all_warnings(),
            ..Status::default()
        }
    }

    fn instance(&self, router: &Router, now: Time, wall: &WallClock) -> InstanceStatus {
        let on = &self.interfaces[router.interface];
        let config = &router.config;
        let machine = self.node[router.id].machine();
        let stamped = on.xdp().map(|xdp| xdp.adverts.last_seen(router.slot()));
        let since = self.state_since(router);
        let (missing, held) = self.misplaced(router, now);
        InstanceStatus {
            missing,
            held,
            hot_standby: self.hot_standby_status(router),
            competing: self.competing(router, now),
            foreign: self.foreign(router, now),
            standby: self.standby(router, now, wall),
            interval_ms: millis(config.interval.span()),
            master_down_ms: milliseconds(machine.master_down_interval()),
            fast_takeover_ms: config
                .fast
                .enabled
                .then(|| observe::fast_takeover_ms(router, machine.priority())),
            fast: config.fast.enabled,
            unicast_peers: unicast_peers(config),
            name: config.name.clone(),
            interface: config.interface.clone(),
            vrid: config.vrid.get(),
            family: family(config.family).to_owned(),
            vrrp_version: config.version.number(),
            state: machine.state().word().to_owned(),
            since_ms: millis(now.span_since(since)),
            since: wall.of(since),
            reason: machine.reason().word().to_owned(),
            priority: priority(router, machine.priority().get()),
            fault: if machine.state() == State::Fault { router.noted.fault.clone() } else { Vec::new() },
            hold: self.hold_status(router, now),
            master: machine.master().map(|master| {
                let seen = stamped.map_or(master.last_seen, |seen| seen.at.max(master.last_seen));
                MasterStatus {
                    address: master.address.to_string(),
                    priority: master.priority,
                    interval_ms: millis(master.interval),
                    last_advert_age_ms: age_ms(now, seen),
                }
            }),
            vips: vips(config).map(|vip| format!("{}/{}", vip.address, vip.prefix)).collect(),
            receive: on.receive.word().to_owned(),
            hmac: config.hmac.on().map(|settings| hmac(settings, router.unsigned)),
            stats: self.statistics(router),
            measured: measured(router),
        }
    }

    /// keepalived's statistics of an instance, with the adverts that the program has counted.
    pub(super) fn statistics(&self, router: &Router) -> InstanceStats {
        let xdp = self.interfaces[router.interface].xdp();
        let counted = xdp.map_or(0, |xdp| xdp.adverts.last_seen(router.slot()).count);
        let mut stats = router.stats;
        // A new program counts from zero.
        stats.advert_rcvd += counted.checked_sub(router.stamped_before).unwrap_or(counted);
        stats
    }

    /// Since when it is in its state: a planned restart changes none.
    pub(super) fn state_since(&self, router: &Router) -> Time {
        let machine = self.node[router.id].machine();
        match router.before {
            Some((state, since)) if state == machine.state() => since,
            _ => machine.since(),
        }
    }

    fn group(&self, group: &Group) -> Option<GroupStatus> {
        let members = || group.members().iter().filter_map(|&id| self.routers.get(id));
        let state = |router: &Router| self.node[router.id].machine().state();
        let own = |router: &&Router| state(router) == State::Fault && !router.noted.held_back;
        let fault = |router: &Router| {
            let name = router.config.name.clone();
            router.noted.fault.iter().map(move |fault| format!("{name}: {fault}")).collect::<Vec<_>>()
        };
        Some(GroupStatus {
            name: self.configuration.group(group.id())?.name.clone(),
            state: group.state().map_or("INIT", State::word).to_owned(),
            members: members()
                .map(|router| MemberStatus {
                    name: router.config.name.clone(),
                    state: state(router).word().to_owned(),
                })
                .collect(),
            fault: members().filter(own).flat_map(fault).collect(),
        })
    }

    /// Every counter of every interface.
    pub(super) fn counters(&mut self) -> Arc<Counters> {
        let interfaces = self.used_interfaces().map(|(_, on)| counters(on)).collect();
        self.shown.keep_counters(Counters { format: FORMAT, interfaces })
    }

    /// SIGUSR1, SIGUSR2 and keepalived's JSON signal: a file with the state, written on another thread.
    pub(super) fn dump(&mut self, kind: dump::DumpKind) {
        let snapshot = self.snapshot();
        let config = self.configuration.in_force.clone();
        let sources = self.in_file_order().into_iter().map(|router| router.source).collect();
        let group = |group: &Group| group.state().map_or("INIT", State::word);
        let groups = self.node.groups().iter().map(group).collect();
        let at = std::time::SystemTime::now();
        tokio::task::spawn_blocking(move || {
            let content = dump::Content { status: snapshot.complete(), config, sources, groups, at };
            match dump::write(kind, &content) {
                Ok(path) => tracing::info!("wrote {}", path.display()),
                Err(error) => tracing::error!("{error}"),
            }
        });
    }

    /// STATS_CLEAR: statistics start anew.
    pub(super) fn clear_statistics(&mut self) {
        for router in &mut self.routers {
            let xdp = self.interfaces[router.interface].xdp();
            let stamped = xdp.map_or(0, |xdp| xdp.adverts.last_seen(router.slot()).count);
            router.stats = InstanceStats::default();
            router.stamped_before = stamped;
        }
    }

    /// A reload adds instances in any place of the file; those that leave come last.
    pub(super) fn in_file_order(&self) -> Vec<&Router> {
        let instances = self.configuration.in_force.instances.iter().enumerate();
        let places: HashMap<_, _> = instances.map(|(at, config)| (identity(config), at)).rev().collect();
        let place = |router: &&Router| match places.get(&identity(&router.config)) {
            Some(position) => Place::At(*position),
            None => Place::Leaving,
        };
        let mut routers: Vec<&Router> = self.routers.iter().collect();
        routers.sort_by_cached_key(place);
        routers
    }
}

fn measured(router: &Router) -> InstanceMeasured {
    let Instance { excluded, garp, fast, .. } = &router.config;
    InstanceMeasured {
        excluded: excluded.len(),
        garp_delay_s: garp.delay.as_secs_f64(),
        window_s: fast.window.as_secs_f64(),
        transitions: router.transitions.clone(),
    }
}

fn unicast_peers(config: &Instance) -> Vec<String> {
    let peers = config.unicast.iter().flat_map(|unicast| &unicast.peers);
    peers.map(|peer| peer.address.to_string()).collect()
}

fn priority(router: &Router, effective: u8) -> PriorityStatus {
    let changes = router.effective.changes.iter();
    PriorityStatus {
        effective,
        configured: router.config.priority.get(),
        changes: changes
            .map(|change| PriorityChange { by: change.by.clone(), weight: change.weight })
            .collect(),
    }
}

/// What makes an instance the virtual router that it is.
fn identity(config: &Instance) -> (&str, Vrid, Family, Version) {
    (&config.interface, config.vrid, config.family, config.version)
}

/// Where a virtual router is in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    At(usize),
    Leaving,
}

impl Daemon {
    /// What was refused at start, and what interfaces lack now.
    fn all_warnings(&self) -> Vec<String> {
        let lacking = self.used_interfaces().filter_map(|(_, interface)| interface.complaint());
        let master = |router: &&Router| self.node[router.id].machine().state() == State::Master;
        let masters = self.routers.iter().filter(master);
        let alone: BTreeSet<_> = masters.map(|router| router.interface).collect();
        let deaf = alone.into_iter().filter_map(|at| self.interfaces[at].deafened_by());
        let Configuration { warnings, unfenced, .. } = &self.configuration;
        let of_interfaces = lacking.map(str::to_owned).chain(deaf);
        let standbys = self.standby_warnings();
        let unfenced = unfenced.iter().cloned();
        warnings.iter().cloned().chain(of_interfaces).chain(unfenced).chain(standbys).collect()
    }

    /// Those of the configuration in force.
    fn used_interfaces(&self) -> impl Iterator<Item = (usize, &Interface)> {
        self.interfaces.iter().enumerate().filter(|(at, _)| self.routers.use_interface(*at))
    }

    /// The interfaces that are tracked, each once.
    fn tracked_interfaces(&self) -> Vec<TrackerStatus> {
        let tracked = self.routers.iter().flat_map(|router| &router.config.track_interfaces);
        let mut told = BTreeSet::new();
        let names = tracked.map(|track| &track.interface).filter(|name| told.insert(*name));
        let status = |name: &String| {
            let (state, detail) = match self.host.links().by_name(name) {
                Some(link) if link.up => ("good", "up"),
                Some(_) => ("bad", "down"),
                None => ("bad", "not there"),
            };
            TrackerStatus {
                kind: "interface".to_owned(),
                name: name.clone(),
                state: state.to_owned(),
                detail: detail.to_owned(),
                ..TrackerStatus::default()
            }
        };
        names.map(status).collect()
    }

    fn interface_statuses(&self, now: Time) -> Vec<InterfaceStatus> {
        let on = |at: usize, interface: &Interface| {
            let mut status = interface_status(interface);
            let mut routers = self.routers.on(at);
            if routers.any(|router| router.config.fast.enabled) {
                let master = self.node.needs_lease(interface_id(at));
                status.fence = interface.xdp().map(|xdp| fence(xdp, master, now));
            }
            status
        };
        self.used_interfaces().map(|(at, interface)| on(at, interface)).collect()
    }
}

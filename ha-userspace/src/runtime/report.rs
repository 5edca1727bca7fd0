//! What `xvrrp status` and `xvrrp counters` show.

use std::collections::BTreeSet;

use ha_common::counter::Counter;
use ha_common::machine::State;
use ha_common::node::Group;
use ha_common::packet::hmac::AntiReplay;
use ha_common::time::{Span, Time};
use ha_common::types::Family;

use super::daemon::Daemon;
use super::interface::Interface;
use super::links::vips;
use super::reload::same;
use super::router::{Router, interface_id};
use crate::config::analysis::alone;
use crate::config::model::Hmac;
use crate::control::dump;
use crate::control::protocol::{
    CounterValue, Counters, FORMAT, FenceStatus, GroupStatus, HmacStatus, InstanceStats, InstanceStatus,
    InterfaceCounters, InterfaceStatus, MasterStatus, MemberStatus, PeerStatus, PriorityChange,
    PriorityStatus, Status, TrackerStatus,
};
use crate::liveness::{self, Liveness};
use crate::net::clock;
use crate::xdp::XdpInterface;

impl Daemon {
    /// The whole state.
    pub(super) fn status(&self) -> Status {
        let now = clock::now();
        Status {
            format: FORMAT,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            started_ms_ago: millis(now.span_since(self.life.started)),
            config: self.configuration.file.display().to_string(),
            instances: self.in_file_order().into_iter().map(|router| self.instance(router, now)).collect(),
            groups: self.node.groups().iter().filter_map(|group| self.group(group)).collect(),
            interfaces: self.interface_statuses(now),
            scripts: self.workers.runner.status(),
            trackers: self.tracker_statuses(),
            warnings: self.all_warnings(),
        }
    }

    fn instance(&self, router: &Router, now: Time) -> InstanceStatus {
        let on = &self.interfaces[router.interface];
        let config = &router.config;
        let machine = self.node[router.id].machine();
        let stamped = on.xdp().map(|xdp| xdp.adverts.last_seen(router.slot()));
        let mut stats = router.stats;
        let counted = stamped.map_or(0, |seen| seen.count);
        // A new program counts from zero.
        stats.advert_rcvd += counted.checked_sub(router.stamped_before).unwrap_or(counted);
        InstanceStatus {
            name: config.name.clone(),
            interface: config.interface.clone(),
            vrid: config.vrid.get(),
            family: family(config.family).to_owned(),
            vrrp_version: config.version.number(),
            state: machine.state().word().to_owned(),
            since_ms: millis(now.span_since(machine.since())),
            reason: machine.reason().word().to_owned(),
            priority: PriorityStatus {
                effective: machine.priority().get(),
                configured: config.priority.get(),
                changes: router
                    .effective
                    .changes
                    .iter()
                    .map(|change| PriorityChange { by: change.by.clone(), weight: change.weight })
                    .collect(),
            },
            fault: if machine.state() == State::Fault { router.noted.fault.clone() } else { Vec::new() },
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
            stats,
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
    pub(super) fn counters(&self) -> Counters {
        Counters { format: FORMAT, interfaces: self.used_interfaces().map(|(_, on)| counters(on)).collect() }
    }

    /// SIGUSR1, SIGUSR2 and keepalived's JSON signal: a file with the state, written on another thread.
    pub(super) fn dump(&self, kind: dump::Kind) {
        let group = |group: &Group| group.state().map_or("INIT", State::word);
        let snapshot = dump::Snapshot {
            status: self.status(),
            config: self.configuration.in_force.clone(),
            sources: self.in_file_order().into_iter().map(|router| router.source).collect(),
            groups: self.node.groups().iter().map(group).collect(),
            at: std::time::SystemTime::now(),
        };
        tokio::task::spawn_blocking(move || match dump::write(kind, &snapshot) {
            Ok(path) => tracing::info!("wrote {}", path.display()),
            Err(error) => tracing::error!("{error}"),
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
    fn in_file_order(&self) -> Vec<&Router> {
        let instances = &self.configuration.in_force.instances;
        let place = |router: &&Router| match instances.iter().position(|new| same(&router.config, new)) {
            Some(position) => Place::At(position),
            None => Place::Leaving,
        };
        let mut routers: Vec<&Router> = self.routers.iter().collect();
        routers.sort_by_cached_key(place);
        routers
    }
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
        let unfenced = self.configuration.in_force.instances.iter().flat_map(|instance| {
            let below = |device| self.host.virtual_links.base(device);
            let name = &instance.name;
            alone::unfenced(&self.configuration.in_force.instances, instance, below).into_iter().map(move |(address, device)| {
                format!(
                    "({name}) {address} on {device}: no fence, because no virtual router with fast failover runs there; \
                     this host goes on answering for it when the daemon dies"
                )
            })
        });
        let lacking = self.used_interfaces().filter_map(|(_, interface)| interface.complaint());
        let master = |router: &&Router| self.node[router.id].machine().state() == State::Master;
        let masters = self.routers.iter().filter(master);
        let alone: BTreeSet<_> = masters.map(|router| router.interface).collect();
        let deaf = alone.into_iter().filter_map(|at| self.interfaces[at].deafened_by());
        self.configuration
            .warnings
            .iter()
            .cloned()
            .chain(lacking.map(str::to_owned))
            .chain(deaf)
            .chain(unfenced)
            .collect()
    }

    /// Those of the configuration in force.
    fn used_interfaces(&self) -> impl Iterator<Item = (usize, &Interface)> {
        self.interfaces.iter().enumerate().filter(|(at, _)| self.is_used(*at))
    }

    /// What is watched natively, then the interfaces that are tracked.
    fn tracker_statuses(&self) -> Vec<TrackerStatus> {
        let mut statuses = self.workers.watchers.status();
        let tracked = self.routers.iter().flat_map(|router| &router.config.track_interfaces);
        for name in tracked.map(|track| &track.interface) {
            if statuses.iter().any(|status| status.kind == "interface" && status.name == *name) {
                continue;
            }
            let (state, detail) = match self.host.links().by_name(name) {
                Some(link) if link.up => ("good", "up"),
                Some(_) => ("bad", "down"),
                None => ("bad", "not there"),
            };
            statuses.push(TrackerStatus {
                kind: "interface".to_owned(),
                name: name.clone(),
                state: state.to_owned(),
                detail: detail.to_owned(),
                ..TrackerStatus::default()
            });
        }
        statuses
    }

    fn interface_statuses(&self, now: Time) -> Vec<InterfaceStatus> {
        let probed = self.fast.liveness.as_ref().map(Liveness::status).unwrap_or_default();
        let on = |at: usize, interface: &Interface| {
            let mut status = interface_status(interface);
            let mut routers = self.routers.iter().filter(|router| router.interface == at);
            if routers.any(|router| router.config.fast.enabled) {
                let master = self.node.needs_lease(interface_id(at));
                status.fence = interface.xdp().map(|xdp| fence(xdp, master, now));
            }
            let peers = probed.iter().filter(|peer| interface.index == Some(peer.key.0));
            status.peers = peers.map(|status| peer(status, now)).collect();
            status
        };
        self.used_interfaces().map(|(at, interface)| on(at, interface)).collect()
    }
}

fn hmac(settings: &Hmac, unsigned: u64) -> HmacStatus {
    let (anti_replay, time_window_s) = match settings.anti_replay {
        AntiReplay::Time(window) => ("time", Some(window)),
        AntiReplay::Monotonic => ("monotonic", None),
    };
    HmacStatus {
        mode: settings.mode.word().to_owned(),
        active_key: settings.active.0,
        keys: settings.keys.iter().map(|(id, _)| *id).collect(),
        anti_replay: anti_replay.to_owned(),
        time_window_s,
        unsigned,
    }
}

fn fence(xdp: &XdpInterface, master: bool, now: Time) -> FenceStatus {
    let lease = &xdp.lease;
    let state = if lease.any_superseded() {
        "superseded"
    } else if master && lease.guard().closed(now.0) {
        "closed"
    } else if lease.any_muted() {
        "handing over"
    } else {
        "open"
    };
    FenceStatus {
        now: state.to_owned(),
        state: if xdp.pin_directory().is_some() { "armed" } else { "not pinned" }.to_owned(),
        lease_left_ms: master.then(|| milliseconds(xdp.lease.until().span_since(now))),
        probed_ms_ago: xdp.lease.last_probe().map(|at| age_ms(now, at)),
    }
}

fn peer(peer: &liveness::PeerStatus, now: Time) -> PeerStatus {
    PeerStatus {
        address: peer.key.1.to_string(),
        fast: peer.fast,
        verdict: peer.verdict.map(|(verdict, _)| verdict.word().to_owned()),
        paused_ms: peer.paused_until.map(|until| millis(until.span_since(now))),
        user_space: peer.user_space,
        apart: peer.apart,
        sent: peer.counts.sent,
        answered: peer.counts.answered,
        verdicts: peer.counts.verdicts,
        wrong: peer.counts.wrong,
        last_reply_ms_ago: peer.last_reply.map(|at| age_ms(now, at)),
        rtt_median_us: milliseconds(peer.round_trips.median) * 1000.0,
        rtt_p99_us: milliseconds(peer.round_trips.p99) * 1000.0,
        rtt_max_us: milliseconds(peer.round_trips.max) * 1000.0,
        late_median_us: milliseconds(peer.lateness.median) * 1000.0,
        late_p99_us: milliseconds(peer.lateness.p99) * 1000.0,
        late_max_us: milliseconds(peer.lateness.max) * 1000.0,
        stalls: peer.counts.stalls,
    }
}

fn interface_status(interface: &Interface) -> InterfaceStatus {
    InterfaceStatus {
        name: interface.name.clone(),
        index: interface.index.unwrap_or(0),
        up: interface.up,
        xdp: interface.xdp().map_or("none", |xdp| xdp.attached().word()).to_owned(),
        xdp_reason: interface.reason(),
        lost: interface.lost().iter().map(|lost| lost.word().to_owned()).collect(),
        ..InterfaceStatus::default()
    }
}

fn counters(interface: &Interface) -> InterfaceCounters {
    let value = |(counter, value): (Counter, u64)| CounterValue { name: counter.word().to_owned(), value };
    InterfaceCounters {
        interface: interface.name.clone(),
        counters: interface.receive.counters().into_iter().map(value).collect(),
    }
}

fn family(family: Family) -> &'static str {
    match family {
        Family::V4 => "ipv4",
        Family::V6 => "ipv6",
    }
}

fn millis(span: Span) -> u64 {
    span.0 / 1_000_000
}

/// Milliseconds with a fraction; a stamp that is newer than `now` has age zero.
fn age_ms(now: Time, seen: Time) -> f64 {
    milliseconds(now.span_since(seen))
}

fn milliseconds(span: Span) -> f64 {
    std::time::Duration::from_nanos(span.0).as_secs_f64() * 1000.0
}

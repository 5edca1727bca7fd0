//! Fast failover: which peers are probed, and what the liveness thread reports.
//!
//! docs/liveness.md has the rules. Here they are connected: verdicts go to the machines. What this node says of
//! itself is [`super::fence`]'s.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use ha_common::counter::Counter;
use ha_common::fence::virtual_mac;
use ha_common::judge::{Event, Verdict};
use ha_common::node::InterfaceId;
use ha_common::packet::Endpoints;
use ha_common::probe::{self, Addresses, Answer, Body, Keys};
use ha_common::time::Time;
use ha_common::types::Family;

use super::daemon::Daemon;
use super::interface::Packet;
use super::note::Note;
use super::receive::Frame;
use super::router::interface_id;
use super::settings::judge_settings;
use crate::config::model::Fast as FastConfig;
use crate::liveness::{LeaseSpec, Liveness, PeerKey, PeerSpec, Report};
use crate::net::clock;
use crate::xdp::PeerIndex;

/// What the daemon keeps about its peers.
#[derive(Debug, Default)]
pub(super) struct Fast {
    /// `None` where the thread could not be started: then there are only the RFC's timers.
    pub(super) liveness: Option<Liveness>,
    /// The kernel is still finding out the MAC address of a master.
    unresolved: bool,
    peers: Vec<Known>,
}

/// A peer that was followed at some time: somebody's master, also one that is about to be preempted. It is kept when it
/// no longer is: its fence stays closed while it is probed, and a wrong verdict on it is remembered.
#[derive(Clone, Debug)]
struct Known {
    interface: usize,
    key: PeerKey,
    index: PeerIndex,
    mac: [u8; 6],
    source: IpAddr,
    config: FastConfig,
    followed: bool,
}

impl Fast {
    pub(super) fn new(liveness: Option<Liveness>) -> Self {
        Self { liveness, ..Self::default() }
    }
}

impl Daemon {
    /// After a turn's work: the liveness thread hears what changed and how long this loop may sleep.
    pub(super) fn settle_fast(&mut self, next: Option<Time>) {
        if self.node.take_peers_changed() || self.fast.unresolved {
            self.update_keys();
            self.update_peers();
            self.update_leases();
            self.update_own_addresses();
        }
        if let Some(liveness) = &self.fast.liveness {
            liveness.promise(next.unwrap_or(Time::NEVER));
        }
    }

    /// Works out which peers are to be probed, and tells the thread.
    fn update_peers(&mut self) {
        let Self { routers, interfaces, fast, host, node, .. } = self;
        let Some(liveness) = &fast.liveness else { return };
        fast.unresolved = false;
        for known in &mut fast.peers {
            known.followed = false;
        }
        fast.peers.retain(|known| interfaces[known.interface].index == Some(known.key.0));
        for router in routers.iter().filter(|router| router.config.fast.enabled) {
            let (interface, core) = (&interfaces[router.interface], &node[router.id]);
            let (Some(watched), Some((address, mac)), Some(source), Some(ifindex)) =
                (core.machine().watched(), core.master_mac(), router.source, interface.index)
            else {
                continue;
            };
            if interface.xdp().is_none() || watched.address != address {
                continue;
            }
            let key = (ifindex, address);
            // A virtual MAC address moves with the role; the probe is for the router.
            let resolved = match virtual_mac(mac) {
                None => Some(mac),
                Some(_) => host.neighbours.resolve(ifindex, address),
            };
            let Some(mac) = resolved else {
                fast.unresolved = true;
                continue;
            };
            let at = fast.peers.iter().position(|known| known.key == key).or_else(|| {
                let index = free_index(&fast.peers, router.interface)?;
                let config = router.config.fast;
                let known =
                    Known { interface: router.interface, key, index, mac, source, config, followed: true };
                fast.peers.retain(|old| old.interface != router.interface || old.index != index);
                fast.peers.push(known);
                Some(fast.peers.len() - 1)
            });
            if let Some(at) = at {
                let known = &mut fast.peers[at];
                (known.mac, known.source, known.config, known.followed) =
                    (mac, source, router.config.fast, true);
            }
        }
        let specs = fast.peers.iter().filter_map(|known| {
            let interface = &interfaces[known.interface];
            let probes = |on: InterfaceId| interfaces[on.0 as usize].xdp().is_some();
            let (wanted, priority) = node.wanted(interface_id(known.interface), known.key.1, probes);
            Some(PeerSpec {
                key: known.key,
                follow: known.followed,
                link_up: interface.up,
                macs: (interface.mac?, known.mac),
                source: known.source,
                settings: judge_settings(&known.config),
                keys: interface.keys?,
                wanted,
                priority,
                index: known.index,
                peers: interface.xdp()?.peers.clone(),
            })
        });
        liveness.set_peers(specs.collect());
    }

    /// Takes the keys of the configuration, and tells the programs.
    fn update_keys(&mut self) {
        let now = clock::now();
        for at in 0..self.interfaces.len() {
            let wanted = self.probe_keys(at);
            let interface = &mut self.interfaces[at];
            let before = interface.xdp().map_or(interface.keys, |xdp| xdp.lease.keys());
            let keys = before.map_or(wanted, |keys| keys.followed_by(wanted, now));
            if let Some(xdp) = interface.xdp().filter(|_| before != Some(keys)) {
                xdp.lease.set_keys(&keys);
            }
            interface.keys = Some(keys);
        }
    }

    /// Tells the programs where probes are sent: to where our adverts come from.
    fn update_own_addresses(&self) {
        for (at, interface) in self.interfaces.iter().enumerate() {
            let Some(xdp) = interface.xdp() else { continue };
            let sources =
                || self.routers.iter().filter(move |router| router.interface == at).flat_map(|r| r.source);
            // Several addresses are taken for any.
            let only = |family: Family| {
                let first = sources().find(|address| Family::of(*address) == family)?;
                sources()
                    .filter(|address| Family::of(*address) == family)
                    .all(|other| other == first)
                    .then_some(first)
            };
            let v4 = match only(Family::V4) {
                Some(IpAddr::V4(address)) => Some(address),
                _ => None,
            };
            let v6 = match only(Family::V6) {
                Some(IpAddr::V6(address)) => Some(address),
                _ => None,
            };
            xdp.lease.set_own(v4, v6);
        }
    }

    /// Only masters need a vouched lease, so that a backup is not woken for one.
    fn update_leases(&mut self) {
        let Some(liveness) = &self.fast.liveness else { return };
        let leases = (0..self.interfaces.len()).filter_map(|at| {
            let xdp = self.interfaces[at].xdp()?;
            let needed = !xdp.lease.is_apart() && self.node.needs_lease(interface_id(at));
            let ifindex = self.interfaces[at].index?;
            let told = Arc::new(AtomicU64::new(xdp.lease.resumed().0));
            let (lease, length) = (xdp.lease.clone(), self.node.lease_length(interface_id(at)));
            needed.then(|| LeaseSpec { lease, length, ifindex, told, over: Arc::default() })
        });
        liveness.set_leases(&leases.collect::<Vec<_>>());
    }

    /// Takes a report of the liveness thread.
    pub(super) fn hear_report(&mut self, report: Report) {
        let now = clock::now();
        let (peer, event, rank) = match report {
            Report::Peer { peer, event, rank } => (peer, event, rank),
            Report::ProbesResumed { ifindex } => {
                if let Some(at) = self.interfaces.with_index(ifindex) {
                    self.node.probes_resumed(interface_id(at), now);
                }
                return;
            }
            // The turn that this begins has looked at the leases already.
            Report::LeaseRanOut => return,
        };
        let (ifindex, source) = peer;
        let Some(at) = self.interfaces.with_index(ifindex) else { return };
        let known = self.fast.peers.iter().find(|known| known.key == peer);
        // An affirmation is for the machines only, and that a peer which nobody follows is master for nothing is no
        // news: a backup has neither a lease nor a bit in its bitmap.
        let silent = match event {
            Event::Lost { at, affirmed, .. } if affirmed > at => true,
            Event::Lost { verdict: Verdict::Expired, .. } | Event::Resigned { .. } => {
                !known.is_some_and(|known| known.followed)
            }
            _ => false,
        };
        if !silent {
            let keyed = known.is_some_and(|known| known.config.key.is_some());
            self.notes.push(Note::Liveness { interface: at, source, event, keyed });
        }
        self.with_kernel(|node, kernel| node.report(interface_id(at), source, event, rank, now, kernel));
        self.perform();
    }

    /// Answers a probe that came through a socket, for lack of XDP; the reply says so. True where there was one.
    ///
    /// The rules are those of the XDP program, except for the destination's MAC address, which the kernel has checked.
    /// There is no fence without XDP; but a daemon that is dead or frozen answers no probes either.
    pub(super) fn answer_probe(&mut self, interface: usize, frame: &Frame) -> bool {
        let Some(bytes) = frame.pdu.as_array::<{ probe::LEN }>() else { return false };
        let body = &Body::from(*bytes);
        let routers = self.routers.iter().filter(|router| router.interface == interface);
        let family = frame.endpoints.family();
        let masters = self.node.masters(interface_id(interface), family);
        // Who takes no part says so: its silence would be judged, if it took part before.
        let (mut asked, mut apart) = (false, true);
        for router in routers {
            asked = true;
            apart &= !router.config.fast.enabled;
        }
        let addresses = match frame.endpoints {
            Endpoints::V4 { source, destination } => {
                Addresses::V4 { source: source.octets(), destination: destination.octets() }
            }
            Endpoints::V6 { source, destination } => {
                Addresses::V6 { source: source.octets(), destination: destination.octets() }
            }
        };
        let on = &mut self.interfaces[interface];
        let (from, to) = (frame.endpoints.source(), frame.endpoints.destination());
        if !asked || !probe::is_probe(body) || frame.ttl != probe::HOP_LIMIT || !on.own.contains(&to) {
            on.receive.count(Counter::ProbeRejected);
            return true;
        }
        let now = clock::now();
        let keys = on.keys.unwrap_or(Keys::NONE);
        let (current, other) = keys.of_format(body[probe::AT_FORMAT], now);
        let fits = |key: &Option<probe::Key>| probe::is_sealed(body, *key, &addresses);
        let Some(key) = [Some(current), other].into_iter().flatten().find(fits) else {
            on.receive.count(Counter::ProbeTag);
            return true;
        };
        let rank = match body[probe::AT_PRIORITY] {
            0 => 0,
            priority => on.rank(from, priority, now),
        };
        let mut reply = *body;
        let lease_ns = self.node.lease_length(interface_id(interface)).0;
        let responder = self.interfaces.setup.incarnation;
        let flags = match (apart, self.life.is_restarting()) {
            (true, _) => probe::TAKES_NO_PART,
            (false, true) => probe::USER_SPACE | probe::RESTARTING,
            (false, false) if key != current && keys.is_farewell(now) => probe::TAKES_NO_PART,
            (false, false) => probe::USER_SPACE,
        };
        probe::turn_round(&mut reply, &Answer { flags, responder, lease_ns, masters, rank });
        probe::seal(&mut reply, key, &addresses.swapped());
        let on = &mut self.interfaces[interface];
        on.receive.count(Counter::ProbeAnswered);
        if let Some(endpoints) = Endpoints::new(to, from) {
            on.queue(Packet::Reply, None, endpoints, probe::HOP_LIMIT, &*reply);
        }
        true
    }

    /// Answers all probes that are queued in sockets, and judges nothing.
    pub(super) fn answer_probes(&mut self) {
        for at in 0..self.interfaces.len() {
            if self.interfaces[at].xdp().is_some() {
                continue;
            }
            let frames = self.interfaces.drain(at);
            for frame in frames.iter().filter(|frame| frame.pdu.first() == Some(&probe::PROBE)) {
                self.answer_probe(at, frame);
            }
            self.interfaces.done_with(frames);
        }
        self.send_adverts();
    }

    /// An advert of a peer that is not followed any more may show that a verdict on it was wrong.
    pub(super) fn heard_peer(&self, interface: usize, source: IpAddr, at: Time) {
        let Some(ifindex) = self.interfaces[interface].index else { return };
        let key = (ifindex, source);
        if let Some(liveness) = &self.fast.liveness
            && self.fast.peers.iter().any(|known| known.key == key && !known.followed)
        {
            liveness.heard(key, at);
        }
    }
}

/// An entry of `HA_PEERS` that is free, or else one of a peer that is not followed.
fn free_index(peers: &[Known], interface: usize) -> Option<PeerIndex> {
    let mut indices = (0..).map_while(PeerIndex::new);
    let used =
        |index: &PeerIndex| peers.iter().any(|known| known.interface == interface && known.index == *index);
    indices.find(|index| !used(index)).or_else(|| {
        let mut idle = peers.iter().filter(|known| known.interface == interface && !known.followed);
        idle.next().map(|known| known.index)
    })
}

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
use ha_common::node::{Followed, InterfaceId, Node};
use ha_common::packet::Endpoints;
use ha_common::probe::{self, Addresses, Answer, Body, Keys};
use ha_common::time::Time;

use super::daemon::Daemon;
use super::interfaces::Interfaces;
use super::note::Note;
use super::receive::Frame;
use super::router::{Router, interface_id};
use super::routers::Routers;
use super::senders::Packet;
use super::settings::judge_settings;
use crate::config::model::Fast as FastConfig;
use crate::liveness::{Inquiry, LeaseSpec, Liveness, PeerKey, PeerSpec, Report};
use crate::net::clock;
use crate::net::neighbours::Neighbours;
use crate::xdp::PeerIndex;

/// What the daemon keeps about its peers.
#[derive(Debug, Default)]
pub(super) struct Fast {
    /// `None` where the thread could not be started: then there are only the RFC's timers.
    liveness: Option<Liveness>,
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

    /// Asks the thread what it knows, where there is one.
    pub(super) fn inquire(&self) -> Option<Inquiry> {
        self.liveness.as_ref().map(Liveness::inquire)
    }

    /// Another priority for the threads.
    pub(super) fn schedule(&self, priority: u8) {
        if let Some(liveness) = &self.liveness {
            liveness.schedule(priority);
        }
    }

    /// The loop sleeps until then at the latest.
    fn promise(&self, next: Time) {
        if let Some(liveness) = &self.liveness {
            liveness.promise(next);
        }
    }

    /// Works out which peers are to be probed, and tells the thread.
    fn update_peers(
        &mut self,
        routers: &Routers,
        interfaces: &Interfaces,
        node: &Node,
        neighbours: &mut Neighbours,
    ) {
        if self.liveness.is_none() {
            return;
        }
        self.unresolved = false;
        for known in &mut self.peers {
            known.followed = false;
        }
        self.peers.retain(|known| interfaces[known.interface].index == Some(known.key.0));
        for followed in node.followed() {
            self.follow(&followed, &routers[followed.router], interfaces, neighbours);
        }
        let specs = self.peers.iter().filter_map(|known| known.spec(interfaces, node)).collect();
        if let Some(liveness) = &self.liveness {
            liveness.set_peers(specs);
        }
    }

    /// Follows the master of a virtual router, if it can be probed.
    fn follow(
        &mut self,
        followed: &Followed,
        router: &Router,
        interfaces: &Interfaces,
        neighbours: &mut Neighbours,
    ) {
        let Followed { peer, mac, source, .. } = *followed;
        let interface = &interfaces[router.interface];
        let Some(ifindex) = interface.index.filter(|_| interface.xdp().is_some()) else { return };
        let key = (ifindex, peer);
        // A virtual MAC address moves with the role; the probe is for the router.
        let resolved = match virtual_mac(mac) {
            None => Some(mac),
            Some(_) => neighbours.resolve(ifindex, peer),
        };
        let Some(mac) = resolved else {
            self.unresolved = true;
            return;
        };
        let config = router.config.fast;
        if let Some(known) = self.peers.iter_mut().find(|known| known.key == key) {
            (known.mac, known.source, known.config, known.followed) = (mac, source, config, true);
        } else if let Some(index) = free_index(&self.peers, router.interface) {
            let interface = router.interface;
            self.peers.retain(|old| old.interface != interface || old.index != index);
            self.peers.push(Known { interface, key, index, mac, source, config, followed: true });
        }
    }

    /// Only masters need a vouched lease, so that a backup is not woken for one.
    fn update_leases(&self, interfaces: &Interfaces, node: &Node) {
        let Some(liveness) = &self.liveness else { return };
        let leases = interfaces.iter().enumerate().filter_map(|(at, interface)| {
            let xdp = interface.xdp()?;
            let needed = !xdp.lease.is_apart() && node.needs_lease(interface_id(at));
            let ifindex = interface.index?;
            let told = Arc::new(AtomicU64::new(xdp.lease.resumed().0));
            let (lease, length) = (xdp.lease.clone(), node.lease_length(interface_id(at)));
            needed.then(|| LeaseSpec { lease, length, ifindex, told, over: Arc::default() })
        });
        liveness.set_leases(&leases.collect::<Vec<_>>());
    }

    /// An advert of a peer that is not followed any more may show that a verdict on it was wrong.
    pub(super) fn heard(&self, peer: PeerKey, at: Time) {
        if let Some(liveness) = &self.liveness
            && self.peers.iter().any(|known| known.key == peer && !known.followed)
        {
            liveness.heard(peer, at);
        }
    }
}

impl Known {
    /// What the thread is told of it.
    fn spec(&self, interfaces: &Interfaces, node: &Node) -> Option<PeerSpec> {
        let interface = &interfaces[self.interface];
        let probes = |on: InterfaceId| interfaces[on.0 as usize].xdp().is_some();
        let (wanted, priority) = node.wanted(interface_id(self.interface), self.key.1, probes);
        Some(PeerSpec {
            key: self.key,
            follow: self.followed,
            link_up: interface.up,
            macs: (interface.mac?, self.mac),
            source: self.source,
            settings: judge_settings(&self.config),
            keys: interface.keys?,
            wanted,
            priority,
            index: self.index,
            peers: interface.xdp()?.peers.clone(),
        })
    }
}

impl Daemon {
    /// After a turn's work: the liveness thread hears what changed and how long this loop may sleep.
    pub(super) fn settle_fast(&mut self, next: Option<Time>) {
        if self.node.take_peers_changed() || self.fast.unresolved {
            self.update_keys();
            let Self { fast, routers, interfaces, host, node, .. } = self;
            fast.update_peers(routers, interfaces, node, &mut host.neighbours);
            fast.update_leases(interfaces, node);
            for (at, interface) in interfaces.iter().enumerate() {
                interface.tell_sources(routers.on(at).filter_map(|router| router.source));
            }
        }
        self.fast.promise(next.unwrap_or(Time::NEVER));
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
        let routers = self.routers.on(interface);
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
        let farewell = key != current && keys.is_farewell(now);
        let flags = probe::flags_of_daemon(apart, self.life.is_restarting(), farewell);
        probe::reflect(&mut reply, &Answer { flags, responder, lease_ns, masters, rank });
        probe::seal(&mut reply, key, &addresses.swapped());
        let on = &mut self.interfaces[interface];
        on.receive.count(Counter::ProbeAnswered);
        if let Some(endpoints) = Endpoints::new(to, from) {
            on.senders.queue(Packet::Reply, None, endpoints, probe::HOP_LIMIT, &*reply);
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

//! Fast failover: which peers are probed, and which leases renewed, as the liveness threads are told.
//!
//! docs/liveness.md has the rules.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use ha_common::fence::virtual_mac;
use ha_common::node::{Followed, InterfaceId, Node};
use ha_common::time::Time;
use ha_common::types::Family;

use super::interfaces::Interfaces;
use super::reasons::Judgement;
use super::router::{Router, interface_id};
use super::routers::Routers;
use crate::config::model::Fast as FastConfig;
use crate::liveness::{Inquiry, LeaseSpec, Liveness, PeerKey, PeerSpec, judge_settings};
use crate::net::neighbours::Neighbours;
use crate::xdp::PeerIndex;

/// Verdicts that are kept to explain what followed; more peers than that are not probed.
const MOST_JUDGEMENTS: usize = 256;

/// What the daemon keeps about its peers.
#[derive(Debug, Default)]
pub(super) struct Fast {
    /// `None` where the thread could not be started: then there are only the RFC's timers.
    liveness: Option<Liveness>,
    /// The kernel is still finding out the MAC address of a master.
    unresolved: bool,
    peers: Vec<Known>,
    /// The latest verdict on each of them, for whoever explains what followed.
    judgements: BTreeMap<IpAddr, Judgement>,
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
    /// It has answered probes, and takes part.
    answers: bool,
}

impl Fast {
    pub(super) fn new(liveness: Option<Liveness>) -> Self {
        Self { liveness, ..Self::default() }
    }

    /// A verdict was passed on a peer.
    pub(super) fn judge(&mut self, peer: IpAddr, judgement: Judgement) {
        if self.judgements.len() >= MOST_JUDGEMENTS && !self.judgements.contains_key(&peer) {
            self.judgements.clear();
        }
        self.judgements.insert(peer, judgement);
    }

    /// The latest verdict on a peer.
    pub(super) fn judgement(&self, peer: IpAddr) -> Option<Judgement> {
        self.judgements.get(&peer).copied()
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
    pub(super) fn promise(&self, next: Time) {
        if let Some(liveness) = &self.liveness {
            liveness.promise(next);
        }
    }

    /// Works out which peers are to be probed, and tells the thread.
    pub(super) fn update_peers(
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
            self.peers.push(Known {
                interface,
                key,
                index,
                mac,
                source,
                config,
                followed: true,
                answers: false,
            });
        }
    }

    /// Only masters need a vouched lease, so that a backup is not woken for one.
    pub(super) fn update_leases(&self, interfaces: &Interfaces, node: &Node) {
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

    /// Whether the kernel is still finding out the MAC address of a master.
    pub(super) const fn is_unresolved(&self) -> bool {
        self.unresolved
    }

    /// It answers probes, or takes no part any more.
    pub(super) fn answers(&mut self, peer: PeerKey, answers: bool) {
        if let Some(known) = self.peers.iter_mut().find(|known| known.key == peer) {
            known.answers = answers;
        }
    }

    /// Whether a router on this interface was master at some time and answered probes: it could be again.
    pub(super) fn knows(&self, ifindex: u32, family: Family) -> bool {
        self.peers
            .iter()
            .any(|known| known.answers && known.key.0 == ifindex && Family::of(known.key.1) == family)
    }

    /// Whether a peer is some virtual router's master.
    pub(super) fn is_followed(&self, peer: PeerKey) -> bool {
        self.known(peer).is_some_and(|known| known.followed)
    }

    /// Whether a peer is probed with a `fast_key`.
    pub(super) fn is_keyed(&self, peer: PeerKey) -> bool {
        self.known(peer).is_some_and(|known| known.config.key.is_some())
    }

    fn known(&self, peer: PeerKey) -> Option<&Known> {
        self.peers.iter().find(|known| known.key == peer)
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

//! Which routers are probed, and what for.

use core::net::IpAddr;

use super::Node;
use super::io::{InterfaceId, RouterId};
use super::router::Router;
use crate::machine::State;
use crate::probe::Masters;
use crate::types::Family;

/// A master that is probed because a virtual router watches it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Followed {
    /// Which virtual router watches it.
    pub router: RouterId,
    /// Where.
    pub interface: InterfaceId,
    /// Its address.
    pub peer: IpAddr,
    /// Where its adverts come from; a virtual MAC address where it has one.
    pub mac: [u8; 6],
    /// Our own address, that of our adverts.
    pub source: IpAddr,
}

impl Node {
    /// The masters that are to be probed, where probing is possible: of every virtual router with fast failover the one that
    /// it watches, whether or not it would yield to it.
    pub fn followed(&self) -> impl Iterator<Item = Followed> {
        self.routers.iter().filter(|router| router.settings.fast).filter_map(|router| {
            let (watched, source) = (router.machine.watched()?, router.source?);
            let (peer, mac) = router.master_mac.filter(|(peer, _)| *peer == watched.address)?;
            Some(Followed { router: router.id, interface: router.interface(), peer, mac, source })
        })
    }

    /// The virtual routers that this node would take over from a peer, or has: when nobody runs the peer, their addresses
    /// are not answered there any more, and no others. With the highest priority with which it would take one over.
    /// `probes` says on which interfaces this node can probe.
    #[must_use]
    pub fn wanted(
        &self,
        on: InterfaceId,
        peer: IpAddr,
        probes: impl Fn(InterfaceId) -> bool,
    ) -> (Masters, u8) {
        let (mut wanted, mut priority) = (Masters::NONE, 0);
        let family = Family::of(peer);
        for router in &self.routers {
            let theirs = router.interface() == on
                && router.settings.fast
                && router.family() == family
                && !router.retired;
            let takes = match router.machine.state() {
                State::Master => true,
                // A sync group moves when all of its members can.
                State::Backup => {
                    let in_group = |other: &&Router| router.group.is_some() && other.group == router.group;
                    router.machine.watched().is_some_and(|watched| watched.address == peer)
                        && self
                            .routers
                            .iter()
                            .filter(in_group)
                            .all(|other| other.settings.fast && probes(other.interface()))
                }
                State::Init | State::Fault | State::Leaving => false,
            };
            if theirs && takes {
                wanted.set(router.vrid(), true);
                if router.machine.state() == State::Backup {
                    priority = priority.max(router.machine.priority().get());
                }
            }
        }
        (wanted, priority)
    }
}

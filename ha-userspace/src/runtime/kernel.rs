//! The maps of all interfaces, as the node reads and writes them.

use std::net::IpAddr;
use std::time::Duration;

use ha_common::node::{Inherited, InterfaceId, Kernel, LeaseView, Mark, Stamp, Write};
use ha_common::time::Time;
use ha_common::types::{Family, Vrid};

use super::fast::Fast;
use super::handover::Handover;
use super::interface::Interface;
use super::interfaces::Interfaces;
use super::routers::Routers;
use crate::net::clock;
use crate::xdp::{Slot, XdpInterface};

/// What a node reads here.
pub(super) struct Maps<'a> {
    pub(super) interfaces: &'a mut Interfaces,
    pub(super) handover: Option<&'a Handover>,
    pub(super) fast: &'a Fast,
    pub(super) routers: &'a Routers,
}

impl Maps<'_> {
    fn xdp(&self, on: InterfaceId) -> Option<&XdpInterface> {
        self.interfaces.get(on.0 as usize)?.xdp()
    }

    /// How long the replies of a router that is probed are to be listened for, where a takeover has nothing else to wait
    /// for: twice the time between two probes of one that is silent.
    fn listening(&self, on: InterfaceId) -> Option<Duration> {
        let interface = self.interfaces.get(on.0 as usize)?;
        let stands_by = interface.xdp().is_some_and(|xdp| xdp.lease.any_standby());
        let index = interface.index?;
        let probed = [Family::V4, Family::V6].into_iter().any(|family| self.fast.knows(index, family));
        (stands_by && probed).then(|| {
            let hot = self.routers.iter().filter(|router| router.config.hot_standby);
            hot.map(|router| router.config.fast.probe_interval).fold(SHORTEST_PACE, Duration::max)
        })
    }
}

/// Of a peer that answers within less.
const SHORTEST_PACE: Duration = Duration::from_millis(1);

impl Kernel for Maps<'_> {
    fn lease(&self, on: InterfaceId) -> Option<LeaseView> {
        let lease = &self.xdp(on)?.lease;
        Some(LeaseView {
            until: lease.until(),
            apart: lease.is_apart(),
            any_superseded: lease.any_superseded(),
            last_probe: lease.last_probe(),
        })
    }

    fn is_superseded(&self, on: InterfaceId, family: Family, vrid: Vrid) -> bool {
        self.xdp(on).is_some_and(|xdp| xdp.lease.is_superseded(family, vrid))
    }

    fn is_wanted(&self, on: InterfaceId, family: Family, vrid: Vrid) -> bool {
        self.xdp(on).is_some_and(|xdp| xdp.lease.is_wanted(family, vrid))
    }

    fn stamp(&self, on: InterfaceId, family: Family, vrid: Vrid) -> Option<Stamp> {
        let seen = self.xdp(on)?.adverts.last_seen(Slot::of(family, vrid));
        Some(Stamp { at: seen.at, other_at: seen.other_at })
    }

    fn inherited(&self, on: InterfaceId, family: Family, vrid: Vrid) -> Option<Inherited> {
        let inherited = self.xdp(on)?.inherited()?;
        Some(Inherited {
            at: inherited.at,
            was_master: inherited.was_master(family, vrid),
            was_wanted: inherited.was_wanted(family, vrid),
            is_unbroken: inherited.is_unbroken(),
            orphaned: inherited.lease.orphaned != 0,
            lease_until: Time(inherited.lease.lease_until_ns),
        })
    }

    fn left_at(&self, on: InterfaceId, family: Family, vrid: Vrid) -> Option<Time> {
        let name = &self.interfaces.get(on.0 as usize)?.name;
        self.handover.filter(|left| left.role(name, family, vrid).is_some()).map(Handover::left_at)
    }

    fn frames_lost(&mut self, on: InterfaceId) -> u64 {
        self.interfaces.get_mut(on.0 as usize).map_or(0, |interface| interface.receive.lost_frames())
    }

    fn is_deaf(&mut self, on: InterfaceId, urgent: bool) -> bool {
        let listen = if urgent { self.listening(on) } else { None };
        self.interfaces.is_deaf(on, urgent, listen, clock::now())
    }
}

/// Carries out a write of the node's.
pub(super) fn write(interface: &Interface, routers: &Routers, write: Write) {
    let Some(xdp) = interface.xdp() else { return };
    let lease = &xdp.lease;
    match write {
        Write::Renew { until } => lease.renew(until),
        Write::Apart(apart) => lease.set_apart(apart),
        Write::RestartWindow { until } => lease.open_restart_window(until),
        Write::Own(id) => {
            if let Some((slot, source)) = routers.get(id).and_then(|of| Some((of.slot(), of.source?))) {
                xdp.adverts.own(slot, source);
            }
        }
        Write::Describe(id) => {
            if let Some(router) = routers.get(id) {
                router.describe(&xdp.adverts);
            }
        }
        Write::Held(family, vrid, held) => lease.set_held(family, vrid, held),
        Write::Master(family, vrid, master) => lease.set_master(family, vrid, master),
        Write::Suppressed(family, vrid, suppressed) => {
            if lease.is_suppressed(family, vrid) != suppressed {
                lease.set_suppressed(family, vrid, suppressed);
            }
        }
        Write::Standby(family, vrid, standby) => {
            if lease.is_standby(family, vrid) != standby {
                lease.set_standby(family, vrid, standby);
            }
        }
        Write::ClearSuperseded(family, vrid) => lease.clear_superseded(family, vrid),
    }
}

/// From now on the program stamps adverts like the one that came `at` this time.
pub(super) fn track(xdp: &XdpInterface, slot: Slot, mark: Mark, at: Time, source: IpAddr) {
    match mark {
        Mark::None => {}
        Mark::Fingerprint(fingerprint) => xdp.adverts.track(slot, fingerprint, at, source),
        Mark::Sender => xdp.adverts.follow(slot, at, source),
    }
}

/// Whatever an earlier run left in the maps for other virtual routers than these is void.
pub(super) fn forget_others(interface: &Interface, kept: &[(Family, Vrid)]) {
    let Some(xdp) = interface.xdp() else { return };
    for family in [Family::V4, Family::V6] {
        for vrid in (1..=u8::MAX).filter_map(Vrid::new).filter(|vrid| !kept.contains(&(family, *vrid))) {
            xdp.lease.set_master(family, vrid, false);
            xdp.lease.set_held(family, vrid, false);
            xdp.lease.clear_superseded(family, vrid);
            if xdp.lease.is_suppressed(family, vrid) {
                xdp.lease.set_suppressed(family, vrid, false);
            }
            if xdp.lease.is_standby(family, vrid) {
                xdp.lease.set_standby(family, vrid, false);
            }
        }
    }
}

//! The kernel of a host, as far as it outlives the daemon: programs with their maps, addresses, and what waits in a queue.

use std::collections::{BTreeMap, BTreeSet};

use ha_common::fence::Guard;
use ha_common::node::{self, Inherited, InterfaceId, LeaseView, Stamp, Write};
use ha_common::time::Time;
use ha_common::types::{Family, Vrid};

use super::cast::Place;
use super::world::Frame;

/// Frames that a ring or a socket holds.
const QUEUE: usize = 40;

/// What a program knows of one virtual router.
#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    held: bool,
    master: bool,
    superseded: bool,
    standby: bool,
    fingerprint: Option<Frame>,
    stamp: Time,
    other_at: Time,
    /// The run before was master, as the present one found it.
    was_master: bool,
}

/// A program on an interface.
#[derive(Debug, Default)]
struct Program {
    apart: bool,
    orphaned: bool,
    lease_until: Time,
    restart_until: Time,
    slots: BTreeMap<(Family, Vrid), Slot>,
    /// What the present run found: when, whether replies had never changed their word, orphaned, and the lease.
    found: Option<(Time, bool, bool, Time)>,
}

impl Program {
    fn guard(&self) -> Guard {
        Guard {
            orphaned: self.orphaned,
            lease_until_ns: self.lease_until.0,
            restart_until_ns: self.restart_until.0,
            // Nobody probes here.
            last_probe_ns: 0,
        }
    }
}

/// A host's.
#[derive(Debug, Default)]
pub(super) struct Kernel {
    programs: BTreeMap<InterfaceId, Program>,
    pub(super) addresses: BTreeSet<Place>,
    /// A daemon listens.
    pub(super) attended: bool,
    pub(super) queue: Vec<(Frame, Time)>,
    lost: u64,
    /// Programs that somebody has taken off, and the daemon has not noticed.
    pub(super) deaf: BTreeSet<InterfaceId>,
    /// The file with which a run without programs leaves its roles.
    pub(super) left: BTreeMap<Place, Time>,
}

impl Kernel {
    /// A daemon runs the programs from now on, and finds what an earlier run has left in the maps.
    pub(super) fn begin(&mut self, interfaces: impl Iterator<Item = InterfaceId>, now: Time) {
        for on in interfaces {
            let fresh = !self.programs.contains_key(&on);
            let program = self.programs.entry(on).or_default();
            for slot in program.slots.values_mut() {
                (slot.was_master, slot.fingerprint) = (slot.master, None);
            }
            let unbroken = program.restart_until > now || (!program.orphaned && program.lease_until > now);
            let found = (now, unbroken, program.orphaned, program.lease_until);
            program.found = (!fresh).then_some(found);
            program.orphaned = false;
        }
        self.queue.clear();
        self.deaf.clear();
        self.attended = true;
    }

    /// Somebody takes a program off, with its maps.
    pub(super) fn detach(&mut self, on: InterfaceId) {
        if self.programs.remove(&on).is_some() && self.attended {
            self.deaf.insert(on);
        }
    }

    /// The daemon has noticed, and attaches a new one.
    pub(super) fn attach(&mut self, on: InterfaceId) {
        self.deaf.remove(&on);
        self.programs.insert(on, Program::default());
    }

    /// Detaches everything: a daemon that has stopped.
    pub(super) fn end(&mut self) {
        self.programs.clear();
        self.queue.clear();
        self.attended = false;
    }

    /// A frame comes in. True if the daemon is to be woken.
    pub(super) fn receive(&mut self, frame: Frame, now: Time) -> bool {
        if self.deaf.contains(&frame.place.0) {
            return false;
        }
        let (on, family, vrid) = frame.place;
        if let Some(program) = self.programs.get_mut(&on) {
            program.orphaned = !self.attended;
            let unattended = program.guard().unattended(now.0);
            let slot = program.slots.entry((family, vrid)).or_default();
            if unattended && slot.held && frame.priority > 0 {
                slot.superseded = true;
            }
            if slot.fingerprint == Some(frame) {
                slot.stamp = now;
                return false;
            }
            slot.other_at = now;
        }
        if !self.attended {
            return false;
        }
        if self.queue.len() >= QUEUE {
            self.lost += 1;
        } else {
            self.queue.push((frame, now));
        }
        true
    }

    /// Whether this host answers for the addresses of a virtual router.
    pub(super) fn answers(&self, place: Place) -> bool {
        let (on, family, vrid) = place;
        let slot = self.programs.get(&on).and_then(|program| program.slots.get(&(family, vrid)));
        self.addresses.contains(&place) && !slot.is_some_and(|slot| slot.superseded || slot.standby)
    }

    /// Whether the fence knows that addresses may be here; without one, nobody has to.
    pub(super) fn may_hold(&self, (on, family, vrid): Place) -> bool {
        self.programs.get(&on).is_none_or(|program| {
            let knows = |slot: &Slot| slot.held || slot.standby;
            program.apart || program.slots.get(&(family, vrid)).is_some_and(knows)
        })
    }

    /// Whether a program is attached.
    pub(super) fn has_program(&self, on: InterfaceId) -> bool {
        self.programs.contains_key(&on)
    }

    /// Whether the program keeps the addresses of a virtual router silent.
    pub(super) fn is_silent(&self, (on, family, vrid): Place) -> bool {
        let slot = self.programs.get(&on).and_then(|program| program.slots.get(&(family, vrid)));
        slot.is_some_and(|slot| slot.standby)
    }

    pub(super) fn track(&mut self, frame: Frame, at: Time) {
        let (on, family, vrid) = frame.place;
        if let Some(program) = self.programs.get_mut(&on) {
            let slot = program.slots.entry((family, vrid)).or_default();
            let same = slot.fingerprint.is_some_and(|old| old.from == frame.from);
            slot.fingerprint = Some(frame);
            slot.stamp = if same { slot.stamp.max(at) } else { at };
        }
    }

    pub(super) fn untrack(&mut self, (on, family, vrid): Place) {
        if let Some(slot) = self.programs.get_mut(&on).and_then(|of| of.slots.get_mut(&(family, vrid))) {
            slot.fingerprint = None;
        }
    }

    pub(super) fn forget_others(&mut self, on: InterfaceId, kept: &[(Family, Vrid)]) {
        if let Some(program) = self.programs.get_mut(&on) {
            for (_, slot) in program.slots.iter_mut().filter(|(place, _)| !kept.contains(place)) {
                (slot.held, slot.master, slot.superseded, slot.standby) = (false, false, false, false);
            }
        }
    }

    /// Carries out a write of the node's; `own` is the place of a router that it names.
    pub(super) fn write(
        &mut self,
        on: InterfaceId,
        write: Write,
        own: impl Fn(node::RouterId) -> Option<Place>,
    ) {
        if let Write::Own(id) = write {
            if let Some(place) = own(id) {
                self.untrack(place);
            }
            return;
        }
        let Some(program) = self.programs.get_mut(&on) else { return };
        match write {
            Write::Renew { until } => program.lease_until = program.lease_until.max(until),
            Write::Apart(apart) => program.apart = apart,
            Write::RestartWindow { until } => program.restart_until = until,
            Write::Held(family, vrid, held) => program.slots.entry((family, vrid)).or_default().held = held,
            Write::Master(family, vrid, master) => {
                program.slots.entry((family, vrid)).or_default().master = master;
            }
            Write::Standby(family, vrid, standby) => {
                program.slots.entry((family, vrid)).or_default().standby = standby;
            }
            Write::ClearSuperseded(family, vrid) => {
                program.slots.entry((family, vrid)).or_default().superseded = false;
            }
            Write::Suppressed(..) | Write::Describe(_) | Write::Own(_) => {}
        }
    }

    /// The end of an interface's lease, for who renews it.
    pub(super) fn lease_mut(&mut self, on: InterfaceId) -> Option<&mut Time> {
        self.programs.get_mut(&on).map(|program| &mut program.lease_until)
    }
}

impl node::Kernel for Kernel {
    fn lease(&self, on: InterfaceId) -> Option<LeaseView> {
        self.programs.get(&on).map(|program| LeaseView {
            until: program.lease_until,
            apart: program.apart,
            any_superseded: program.slots.values().any(|slot| slot.superseded),
            last_probe: None,
        })
    }

    fn is_superseded(&self, on: InterfaceId, family: Family, vrid: Vrid) -> bool {
        let slot = self.programs.get(&on).and_then(|program| program.slots.get(&(family, vrid)));
        slot.is_some_and(|slot| slot.superseded)
    }

    fn is_wanted(&self, _on: InterfaceId, _family: Family, _vrid: Vrid) -> bool {
        false
    }

    fn stamp(&self, on: InterfaceId, family: Family, vrid: Vrid) -> Option<Stamp> {
        let program = self.programs.get(&on)?;
        let slot = program.slots.get(&(family, vrid)).copied().unwrap_or_default();
        Some(Stamp { at: slot.stamp, other_at: slot.other_at })
    }

    fn inherited(&self, on: InterfaceId, family: Family, vrid: Vrid) -> Option<Inherited> {
        let program = self.programs.get(&on)?;
        let (at, is_unbroken, orphaned, lease_until) = program.found?;
        let was_master = program.slots.get(&(family, vrid)).is_some_and(|slot| slot.was_master);
        Some(Inherited { at, was_master, was_wanted: false, is_unbroken, orphaned, lease_until })
    }

    fn left_at(&self, on: InterfaceId, family: Family, vrid: Vrid) -> Option<Time> {
        self.left.get(&(on, family, vrid)).copied()
    }

    fn is_deaf(&mut self, on: InterfaceId, _urgent: bool) -> bool {
        self.deaf.contains(&on)
    }

    fn frames_lost(&mut self, _on: InterfaceId) -> u64 {
        self.lost
    }
}

//! The kernel of a host, as far as it outlives the daemon: programs with their maps, addresses, and what waits in queues.
//!
//! What a program decides is [`ha_common::fence`]'s, [`ha_common::rank`]'s and [`ha_common::rate`]'s; the maps around that are
//! modelled.

mod program;

use std::collections::{BTreeMap, BTreeSet};

use ha_common::fence::{AddressUse, Ban};
use ha_common::judge::Answered;
use ha_common::node::{self, Effect, Inherited, InterfaceId, LeaseView, Mark, RouterId, Stamp, Write};
use ha_common::rate::Window;
use ha_common::time::Time;
use ha_common::types::{Family, Vrid};

use super::letter::{Description, Letter};
use super::place::{INTERFACES, Place, label};
use program::Slot;

pub(super) use program::{PROBERS, Probed, Program, proof};

/// Frames that a ring or a socket holds.
const QUEUE: usize = 48;

/// What becomes of an advert that comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// By the program: the tracked master has spoken.
    Stamped,
    Queued,
    /// The program has seen it, and hands up no more for the moment; or the queue is full.
    Lost,
    /// Nobody is there to hear it.
    Unheard,
}

/// A host's.
#[derive(Clone, Debug, Default)]
pub(super) struct Kernel {
    programs: [Option<Program>; INTERFACES],
    addresses: BTreeSet<Place>,
    /// A daemon has its sockets open.
    attended: bool,
    /// Its half of the programs is reached: the kernel takes its time to close the descriptors of a dead one.
    alive: bool,
    /// Adverts for the daemon, and when they came.
    queue: Vec<(Letter, Time)>,
    lost: u64,
    /// Adverts by the numbers that stand for their fingerprints.
    letters: Vec<Letter>,
    pub(super) replies: [Option<Answered>; PROBERS],
    /// Programs that somebody has taken off, and the daemon has not noticed.
    deaf: BTreeSet<InterfaceId>,
    /// The file with which a run without programs leaves its roles.
    pub(super) left: BTreeMap<Place, Time>,
}

impl Kernel {
    pub(super) fn program(&self, on: InterfaceId) -> Option<&Program> {
        self.programs.get(on.0 as usize)?.as_ref()
    }

    pub(super) fn program_mut(&mut self, on: InterfaceId) -> Option<&mut Program> {
        self.programs.get_mut(on.0 as usize)?.as_mut()
    }

    fn slot(&self, (on, family, vrid): Place) -> Option<&Slot> {
        self.program(on)?.slot((family, vrid))
    }

    fn slot_mut(&mut self, (on, family, vrid): Place) -> Option<&mut Slot> {
        Some(self.program_mut(on)?.slot_mut((family, vrid)))
    }

    /// A daemon begins, and runs programs on these interfaces.
    pub(super) fn begin(
        &mut self,
        interfaces: impl Iterator<Item = InterfaceId>,
        incarnation: u64,
        now: Time,
    ) {
        for on in interfaces {
            match self.program_mut(on) {
                Some(program) => program.begin(incarnation, now),
                None => self.programs[on.0 as usize] = Some(Program::new(incarnation)),
            }
        }
        self.replies = Default::default();
        self.deaf.clear();
        (self.attended, self.alive) = (true, true);
    }

    /// The daemon is dead: its sockets are closed, and what has a program goes on.
    pub(super) fn abandon(&mut self) {
        self.attended = false;
        let programs = &self.programs;
        self.queue.retain(|(letter, _)| programs[letter.place.0.0 as usize].is_some());
    }

    /// The kernel has closed the descriptors of a dead daemon.
    pub(super) const fn empty(&mut self) {
        self.alive = false;
    }

    /// A daemon that has stopped detaches everything.
    pub(super) fn end(&mut self) {
        self.programs = Default::default();
        self.queue.clear();
        (self.attended, self.alive) = (false, false);
    }

    /// Somebody takes a program off, with its maps.
    pub(super) fn detach(&mut self, on: InterfaceId) {
        if self.programs[on.0 as usize].take().is_some() && self.attended {
            self.deaf.insert(on);
        }
    }

    /// A new program, of the daemon that runs.
    pub(super) fn attach(&mut self, on: InterfaceId, incarnation: u64) {
        self.deaf.remove(&on);
        self.programs[on.0 as usize] = Some(Program::new(incarnation));
    }

    /// An advert comes in.
    pub(super) fn receive(&mut self, letter: Letter, now: Time) -> Arrival {
        let (on, family, vrid) = letter.place;
        if self.deaf.contains(&on) {
            return Arrival::Unheard;
        }
        let alive = self.alive;
        if let Some(program) = self.program_mut(on) {
            program.orphaned = !alive;
            let unattended = program.guard().unattended(now.0);
            let restarting = now < program.restart_until;
            let slot = program.slot_mut((family, vrid));
            let superseded = |of: &Description| letter.supersedes(of, restarting, &slot.known);
            if unattended && slot.held && slot.described.as_ref().is_some_and(superseded) {
                slot.superseded = true;
            }
            if slot.fingerprint == Some(letter) {
                slot.stamp = now;
                return Arrival::Stamped;
            }
            slot.other_at = now;
            // Not every one of a flood is kept.
            let tracked = slot.fingerprint.is_some_and(|known| known.source == letter.source);
            let window = slot.window.unwrap_or(Window { start_ns: 0, used: 0 });
            let Some(window) = window.admit(now.0, tracked) else { return Arrival::Lost };
            slot.window = Some(window);
        } else if !self.attended {
            return Arrival::Unheard;
        }
        if self.queue.len() >= QUEUE {
            self.lost += 1;
            return Arrival::Lost;
        }
        self.queue.push((letter, now));
        if self.attended { Arrival::Queued } else { Arrival::Unheard }
    }

    /// What waits for the daemon.
    pub(super) fn take_queue(&mut self) -> Vec<(Letter, Time)> {
        std::mem::take(&mut self.queue)
    }

    /// The daemon has accepted an advert. The number that stands for its fingerprint.
    pub(super) fn accept(&mut self, letter: Letter) -> u64 {
        if let Some(slot) = self.slot_mut(letter.place)
            && !slot.known.contains(&letter.source)
        {
            slot.known.push(letter.source);
        }
        let at = self.letters.iter().position(|known| *known == letter).unwrap_or_else(|| {
            self.letters.push(letter);
            self.letters.len() - 1
        });
        at as u64 + 1
    }

    /// A probe comes in; the answer that goes out.
    pub(super) fn reflect(&mut self, on: InterfaceId, probe: Probed, now: Time) -> Option<Answered> {
        let alive = self.alive;
        let program = self.program_mut(on)?;
        program.orphaned = !alive;
        program.reflect(probe, now)
    }

    /// Whether ARP for the address of a virtual router is answered.
    pub(super) fn answers(&self, place: Place, now: Time) -> bool {
        self.lets_in(place, true, now)
    }

    /// Whether packets to it are taken.
    pub(super) fn takes(&self, place: Place, now: Time) -> bool {
        self.lets_in(place, false, now)
    }

    fn lets_in(&self, place: Place, solicitation: bool, now: Time) -> bool {
        if !self.addresses.contains(&place) {
            return false;
        }
        let Some(program) = self.program(place.0) else { return true };
        let Some(slot) = program.slot((place.1, place.2)) else { return true };
        let ban = Ban {
            closed: program.guard().closed(now.0),
            superseded: slot.superseded,
            standby: slot.standby,
            suppressed: slot.suppressed,
            refused: false,
        };
        !ban.keeps_out(&AddressUse { address: [0, 1], solicitation, answer: false })
    }

    /// The address of a virtual router is here, whoever hears of it.
    pub(super) fn has_address(&self, place: Place) -> bool {
        self.addresses.contains(&place)
    }

    /// Leftovers of an earlier run go.
    pub(super) fn keep_addresses(&mut self, kept: impl Fn(&Place) -> bool) {
        self.addresses.retain(kept);
    }

    /// Whether the fence knows that addresses may be here; without one, nobody has to.
    fn may_hold(&self, place: Place) -> bool {
        let knows = |slot: &Slot| slot.held || slot.standby;
        self.program(place.0).is_none_or(|program| program.apart || self.slot(place).is_some_and(knows))
    }

    /// Whether the program keeps the addresses of a virtual router silent.
    pub(super) fn is_silent(&self, place: Place) -> bool {
        self.slot(place).is_some_and(|slot| slot.standby)
    }

    /// The tracked advert of a virtual router, and when it last came.
    pub(super) fn tracked(&self, place: Place) -> Option<(Letter, Time)> {
        let slot = self.slot(place)?;
        Some((slot.fingerprint?, slot.stamp))
    }

    fn track(&mut self, number: u64, at: Time) -> Result<(), String> {
        let letter = number.checked_sub(1).and_then(|n| self.letters.get(usize::try_from(n).ok()?).copied());
        let letter = letter.ok_or("tracks an advert that nobody accepted")?;
        if let Some(slot) = self.slot_mut(letter.place) {
            let same_source = slot.fingerprint.is_some_and(|old| old.source == letter.source);
            slot.fingerprint = Some(letter);
            slot.stamp = if same_source { slot.stamp.max(at) } else { at };
        }
        Ok(())
    }

    fn untrack(&mut self, place: Place) {
        if let Some(slot) = self.slot_mut(place) {
            slot.fingerprint = None;
        }
    }

    fn forget_others(&mut self, on: InterfaceId, kept: &[(Family, Vrid)]) {
        if let Some(program) = self.program_mut(on) {
            for (_, slot) in program.slots.iter_mut().filter(|(place, _)| !kept.contains(place)) {
                (slot.held, slot.master, slot.superseded) = (false, false, false);
                (slot.suppressed, slot.standby) = (false, false);
            }
        }
    }

    /// Carries out what concerns the kernel, and looks at its order; gives back what does not. `spoke`: virtual routers
    /// that have advertised since the node was last drained, and whose replies do not say that they are master.
    pub(super) fn carry_out(
        &mut self,
        effect: Effect,
        spoke: &mut Vec<Place>,
        describe: impl Fn(RouterId) -> Option<Description>,
        now: Time,
    ) -> Result<Option<Effect>, String> {
        let place = |id| describe(id).map(|of| of.terms.place).ok_or("something is done for nobody");
        match effect {
            Effect::Write(_, Write::Own(id)) => self.untrack(place(id)?),
            Effect::Write(_, Write::Describe(id)) => {
                let described = describe(id);
                if let Some(slot) = self.slot_mut(place(id)?) {
                    slot.described = described;
                }
            }
            Effect::Write(on, write) => self.write(on, write, spoke, now)?,
            Effect::Track { mark: Mark::Fingerprint(number), at, .. } => self.track(number, at)?,
            // Only where there is no program.
            Effect::Track { .. } => {}
            Effect::Untrack(id) => self.untrack(place(id)?),
            Effect::AddBehind(id) => {
                let place = place(id)?;
                // That somebody has taken the program off is noticed later.
                if !self.is_silent(place) && !self.deaf.contains(&place.0) {
                    return Err(format!("39: adds {}, which its fence does not keep silent", label(place)));
                }
                self.addresses.insert(place);
            }
            Effect::AddAddresses(id) => {
                let place = place(id)?;
                if !self.may_hold(place) {
                    return Err(format!("39: adds {}, of which its fence does not know", label(place)));
                }
                self.addresses.insert(place);
            }
            Effect::RemoveAddresses(id) => {
                let place = place(id)?;
                if !self.may_hold(place) {
                    return Err(format!("39: the fence opens before {} is gone", label(place)));
                }
                self.addresses.remove(&place);
            }
            Effect::ForgetOthers(on, kept) => self.forget_others(on, &kept),
            Effect::Advert { router, priority } => {
                let place = place(router)?;
                if priority > 0 && self.slot(place).is_some_and(|slot| !slot.master) {
                    spoke.push(place);
                }
                return Ok(Some(effect));
            }
            Effect::Announce { .. } | Effect::Event(_) => return Ok(Some(effect)),
        }
        Ok(None)
    }

    /// What the daemon writes into the maps.
    fn write(&mut self, on: InterfaceId, write: Write, spoke: &[Place], now: Time) -> Result<(), String> {
        let Some(program) = self.program_mut(on) else { return Ok(()) };
        match write {
            Write::Renew { until } => program.lease_until = program.lease_until.max(until),
            Write::Apart(apart) => program.apart = apart,
            Write::RestartWindow { until } => program.restart_until = until,
            Write::Held(family, vrid, held) => program.slot_mut((family, vrid)).held = held,
            Write::Master(family, vrid, master) => {
                // Before somebody is known who probes, nobody is told of a lease.
                let vouched = program.apart || program.lease_until > now || program.last_probe.is_none();
                let slot = program.slot_mut((family, vrid));
                let was = std::mem::replace(&mut slot.master, master);
                let place = (on, family, vrid);
                // Only a router that has yielded says anything without being master.
                if master && !was && (spoke.contains(&place) || !vouched) {
                    return Err(format!("39: {} is master before its fence knows", label(place)));
                }
            }
            Write::Suppressed(family, vrid, suppressed) => {
                program.slot_mut((family, vrid)).suppressed = suppressed;
            }
            Write::Standby(family, vrid, standby) => program.slot_mut((family, vrid)).standby = standby,
            Write::ClearSuperseded(family, vrid) => program.slot_mut((family, vrid)).superseded = false,
            Write::Own(_) | Write::Describe(_) => {}
        }
        Ok(())
    }
}

impl node::Kernel for Kernel {
    fn lease(&self, on: InterfaceId) -> Option<LeaseView> {
        self.program(on).map(|program| LeaseView {
            until: program.lease_until,
            apart: program.apart,
            any_superseded: program.slots.iter().any(|(_, slot)| slot.superseded),
            last_probe: program.last_probe,
        })
    }

    fn is_superseded(&self, on: InterfaceId, family: Family, vrid: Vrid) -> bool {
        self.slot((on, family, vrid)).is_some_and(|slot| slot.superseded)
    }

    fn is_wanted(&self, on: InterfaceId, _family: Family, _vrid: Vrid) -> bool {
        // Whoever probes would take any of them.
        self.program(on).is_some_and(|program| program.last_probe.is_some())
    }

    fn stamp(&self, on: InterfaceId, family: Family, vrid: Vrid) -> Option<Stamp> {
        let program = self.program(on)?;
        let slot = program.slot((family, vrid));
        Some(slot.map_or(Stamp { at: Time(0), other_at: Time(0) }, |slot| Stamp {
            at: slot.stamp,
            other_at: slot.other_at,
        }))
    }

    fn inherited(&self, on: InterfaceId, family: Family, vrid: Vrid) -> Option<Inherited> {
        let program = self.program(on)?;
        let was_master = program.slot((family, vrid)).is_some_and(|slot| slot.was_master);
        Some(Inherited { was_master, ..program.found? })
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

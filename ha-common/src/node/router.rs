//! One virtual router of a node: its machine, its settings, where its addresses are, when it announces them.

use core::net::IpAddr;

use super::groups::GroupId;
use super::hold::Hold;
use super::io::{Fitness, InterfaceId, RouterId};
use crate::announce::{self, Bursts};
use crate::judge;
use crate::machine::{Input, Machine, Params};
use crate::time::{Span, Time};
use crate::types::{Family, Priority, Vrid};

/// What the configuration says of a virtual router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The interface that it runs on.
    pub interface: InterfaceId,
    /// For its machine. `grouped` is the node's to say.
    pub params: Params,
    /// Configured priority.
    pub priority: Priority,
    /// It takes part in fast failover.
    pub fast: bool,
    /// For the judges of its masters.
    pub judge: judge::Settings,
    /// How long its lease lasts.
    pub lease: Span,
    /// When addresses are announced.
    pub announce: announce::Settings,
    /// After a claim by a router that must yield: how much later the last burst comes, and rounds of each
    /// (`garp_lower_prio_delay`, `garp_lower_prio_repeat`).
    pub again: (Span, u32),
    /// Its addresses have a virtual MAC address.
    pub virtual_mac: bool,
    /// As backup it has its addresses behind the fence (`hot_standby`), where [`super::Node::allow_standby`] says that it
    /// can.
    pub hot_standby: bool,
    /// As owner it does not listen to adverts (`owner_ignore_adverts`).
    pub owner_ignores_adverts: bool,
}

/// Where the virtual addresses of a router are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// Not on the interface.
    Absent,
    /// Some may be there from an earlier run.
    Leftover,
    /// To be added; `some` of them may be there.
    Wanted {
        /// Some may be there.
        some: bool,
    },
    /// All are there, as far as is known.
    Present,
    /// To be removed.
    Unwanted,
    /// On the interface of a backup, behind the fence.
    Behind {
        /// All are there, as far as is known; otherwise they are to be added.
        all: bool,
    },
    /// Behind the fence, which is to be opened for them.
    Opening,
    /// There, and the fence is to be closed for them.
    Closing,
}

impl Presence {
    /// Whether some address may be on the interface.
    #[must_use]
    pub const fn may_be_there(self) -> bool {
        !matches!(self, Self::Absent)
    }

    /// Whether the addresses should be there.
    #[must_use]
    pub const fn is_wanted(self) -> bool {
        matches!(self, Self::Wanted { .. } | Self::Present | Self::Opening)
    }

    /// Whether they are, or are to be, behind the fence.
    #[must_use]
    pub const fn is_behind(self) -> bool {
        matches!(self, Self::Behind { .. })
    }

    /// Whether what is there stays there.
    #[must_use]
    pub const fn is_kept(self) -> bool {
        self.is_wanted() || matches!(self, Self::Behind { .. } | Self::Closing)
    }

    /// Whether some have been added, and not removed since.
    #[must_use]
    pub const fn was_added(self) -> bool {
        !matches!(self, Self::Absent | Self::Leftover | Self::Wanted { some: false })
    }
}

/// A virtual router, running.
#[derive(Clone, Debug)]
pub struct Router {
    pub(super) id: RouterId,
    pub(super) settings: Settings,
    pub(super) machine: Machine,
    pub(super) presence: Presence,
    /// The fence can be closed for its addresses alone.
    pub(super) can_stand_by: bool,
    /// The program has been told to let nothing for them through.
    pub(super) closed: bool,
    pub(super) arp: Bursts,
    pub(super) na: Bursts,
    /// Source of its adverts.
    pub(super) source: Option<IpAddr>,
    /// Address and MAC address from which the watched master's adverts come.
    pub(super) master_mac: Option<(IpAddr, [u8; 6])>,
    pub(super) group: Option<GroupId>,
    /// It has not been in its group's state yet.
    pub(super) newcomer: bool,
    /// What it would be fed if it were in no group.
    pub(super) fitness: Input,
    /// That has changed since it was last fed.
    pub(super) fitness_changed: bool,
    /// Nothing but trackers without a first result keeps it from running; with its group's, the second.
    pub(super) waits: bool,
    pub(super) awaits_trackers: bool,
    /// What an operator holds it to.
    pub(super) hold: Option<Hold>,
    /// What it was last said to be fit for, without that.
    pub(super) given: Option<Fitness>,
    /// Its role is that of an earlier run.
    pub(super) resumed: bool,
    /// No longer in the configuration: it leaves, and is forgotten once it has left.
    pub(super) retired: bool,
    /// Its master gave a sign of life since the last turn, and frames that had been lost before that.
    pub(super) alive: bool,
    pub(super) lost: u64,
    /// Its stamp in the map may be another master's: what is tracked has changed in this turn.
    pub(super) stamp_is_old: bool,
}

impl Router {
    pub(super) fn new(id: RouterId, settings: Settings, leftover: bool, now: Time) -> Self {
        Self {
            id,
            machine: Machine::new(settings.params, settings.priority, now),
            presence: if leftover { Presence::Leftover } else { Presence::Absent },
            can_stand_by: false,
            closed: false,
            arp: Bursts::new(settings.announce),
            na: Bursts::new(settings.announce),
            source: None,
            master_mac: None,
            group: None,
            newcomer: true,
            fitness: Input::Ready(false),
            fitness_changed: true,
            waits: false,
            awaits_trackers: false,
            hold: None,
            given: None,
            resumed: false,
            retired: false,
            alive: false,
            lost: 0,
            stamp_is_old: false,
            settings,
        }
    }

    /// Its id.
    #[must_use]
    pub const fn id(&self) -> RouterId {
        self.id
    }

    /// Its state machine.
    #[must_use]
    pub const fn machine(&self) -> &Machine {
        &self.machine
    }

    /// Settings in force.
    #[must_use]
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The interface that it runs on.
    #[must_use]
    pub const fn interface(&self) -> InterfaceId {
        self.settings.interface
    }

    /// Where its addresses are.
    #[must_use]
    pub const fn presence(&self) -> Presence {
        self.presence
    }

    /// Its sync group.
    #[must_use]
    pub const fn group(&self) -> Option<GroupId> {
        self.group
    }

    /// Address and MAC address from which the adverts of the master that it watches come.
    #[must_use]
    pub const fn master_mac(&self) -> Option<(IpAddr, [u8; 6])> {
        self.master_mac
    }

    /// What it is by itself, without its group.
    #[must_use]
    pub const fn fitness(&self) -> Input {
        self.fitness
    }

    /// Whether its role is that of an earlier run.
    #[must_use]
    pub const fn is_resumed(&self) -> bool {
        self.resumed
    }

    /// Whether it is no longer in the configuration.
    #[must_use]
    pub const fn is_retired(&self) -> bool {
        self.retired
    }

    /// Whether it, or its group, waits for the first results of trackers.
    #[must_use]
    pub const fn awaits_trackers(&self) -> bool {
        self.awaits_trackers
    }

    /// Its VRID.
    #[must_use]
    pub const fn vrid(&self) -> Vrid {
        self.settings.params.vrid
    }

    /// Its family.
    #[must_use]
    pub const fn family(&self) -> Family {
        self.settings.params.family
    }

    /// Settings of its machine.
    pub(super) fn params(&self) -> Params {
        let params = self.settings.params;
        Params { grouped: self.group.is_some(), preempt: params.preempt && !self.is_frozen(), ..params }
    }

    /// Whether it answers for addresses that a lease of this interface must vouch for.
    pub(super) fn holds_on(&self, on: InterfaceId) -> bool {
        self.settings.interface == on && self.machine.state().holds_addresses()
    }

    /// Hosts may have learned another router's MAC address for its addresses.
    pub(super) fn announce_again(&mut self, now: Time) {
        let (after, rounds) = self.settings.again;
        self.arp.contested(now, after, rounds);
        self.na.contested(now, after, rounds);
    }

    /// Some of its addresses are not there any more, or others are to be there: all are added and announced by the next
    /// turn.
    pub(super) fn add_again(&mut self, now: Time) {
        match self.presence {
            Presence::Present => self.presence = Presence::Wanted { some: true },
            Presence::Wanted { .. } => {}
            Presence::Behind { .. } => {
                self.presence = Presence::Behind { all: false };
                return;
            }
            Presence::Opening => self.presence = Presence::Wanted { some: true },
            Presence::Absent | Presence::Leftover | Presence::Unwanted | Presence::Closing => return,
        }
        let rounds = self.settings.announce.repeat;
        self.arp.again(now, Span::ZERO, rounds);
        self.na.again(now, Span::ZERO, rounds);
    }

    pub(super) fn next_deadline(&self) -> Time {
        let rounds = [self.arp.next(), self.na.next()].into_iter().flatten().min().unwrap_or(Time::NEVER);
        let hold = self.hold.map_or(Time::NEVER, |hold| hold.until);
        rounds.min(self.machine.next_deadline()).min(hold)
    }
}

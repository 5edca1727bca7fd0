//! What goes into a [`super::Node`], what it reads, and what comes out of it.

use core::net::IpAddr;

use super::groups::GroupId;
use crate::machine::{Evidence, Input, Reason, State};
use crate::time::{Span, Time};
use crate::types::{Family, Priority, Vrid};

/// Names a virtual router for as long as the node lives; no other one ever has the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouterId(pub u32);

/// Names an interface; chosen by the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InterfaceId(pub u32);

/// The lease of an interface whose adverts an XDP program reads, as the program sees it now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseView {
    /// Until when this node is vouched for.
    pub until: Time,
    /// Probes are told that no virtual router here takes part in fast failover.
    pub apart: bool,
    /// Another router has taken some virtual router over while nobody vouched for this node.
    pub any_superseded: bool,
    /// When a known router last probed.
    pub last_probe: Option<Time>,
}

/// Stamps of a virtual router's adverts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    /// The tracked master's latest.
    pub at: Time,
    /// The latest of any other.
    pub other_at: Time,
}

/// What an earlier run has left in the maps of an interface, about one virtual router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inherited {
    /// When it was found.
    pub at: Time,
    /// That run was master.
    pub was_master: bool,
    /// A router that probed would have taken it over.
    pub was_wanted: bool,
    /// Replies said all the time that this node is master.
    pub is_unbroken: bool,
    /// A frame has found that nobody runs the program.
    pub orphaned: bool,
    /// The end of that run's lease.
    pub lease_until: Time,
}

/// What a node reads of the kernel. Two implementations: mapped BPF maps, and the simulated kernel.
pub trait Kernel {
    /// The lease of an interface; `None` where no program is attached.
    fn lease(&self, on: InterfaceId) -> Option<LeaseView>;
    /// Whether another router has taken this one over while nobody vouched for this node.
    fn is_superseded(&self, on: InterfaceId, family: Family, vrid: Vrid) -> bool;
    /// Whether a router that probes would take this one over.
    fn is_wanted(&self, on: InterfaceId, family: Family, vrid: Vrid) -> bool;
    /// Stamps of a virtual router's adverts; `None` where no program is attached.
    fn stamp(&self, on: InterfaceId, family: Family, vrid: Vrid) -> Option<Stamp>;
    /// What an earlier run has left in maps; `None` where it left none.
    fn inherited(&self, on: InterfaceId, family: Family, vrid: Vrid) -> Option<Inherited>;
    /// When an earlier run wrote down that it leaves this virtual router, as master, for a restart.
    fn left_at(&self, on: InterfaceId, family: Family, vrid: Vrid) -> Option<Time>;
    /// Whether the program of an interface has been taken off it, so that nothing is heard there. Asked while timers are
    /// due; `urgent` where a master may be declared dead, and the answer may be waited for.
    fn is_deaf(&mut self, on: InterfaceId, urgent: bool) -> bool;
    /// Frames that were ever lost on the way to user space. May cost a system call.
    fn frames_lost(&mut self, on: InterfaceId) -> u64;
}

/// How the XDP program can know an advert of the same kind again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// It did not come through the program.
    None,
    /// By its fingerprint.
    Fingerprint(u64),
    /// No two are alike: by its sender only, to let it through.
    Sender,
}

/// An advert that was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heard {
    /// For which virtual router.
    pub router: RouterId,
    /// Sender's address.
    pub source: IpAddr,
    /// Sender's MAC address, where it is known.
    pub mac: Option<[u8; 6]>,
    /// Priority, zero for a resigning master.
    pub priority: u8,
    /// The sender's interval.
    pub interval: Span,
    /// Kernel time of arrival.
    pub at: Time,
    /// How the program knows it again.
    pub mark: Mark,
    /// It came before this run had the program, and after the run before had it: it counts for a role that is resumed, and
    /// for nobody else.
    pub unheard: bool,
}

/// What allows a virtual router to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fitness {
    /// What it is by itself: [`Input::Ready`] or [`Input::Unfit`].
    pub fitness: Input,
    /// Nothing but trackers without a first result keeps it from running.
    pub waits: bool,
    /// Effective priority.
    pub priority: Priority,
    /// Primary address of its interface.
    pub source: Option<IpAddr>,
}

/// A write into the maps of an interface. Where no program is attached it is void.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    /// Vouches for this node until then. Never shortens the lease.
    Renew {
        /// The end of the lease.
        until: Time,
    },
    /// Whether probes are told that no virtual router takes part in fast failover.
    Apart(bool),
    /// Until then replies say that this node is being restarted; [`Time`] 0 ends that.
    RestartWindow {
        /// The end of the window.
        until: Time,
    },
    /// Where our own adverts come from.
    Own(RouterId),
    /// What adverts of others are judged by while nobody vouches for this node.
    Describe(RouterId),
    /// Whether addresses of a virtual router may be on the interface.
    Held(Family, Vrid, bool),
    /// Whether replies say that this node is master.
    Master(Family, Vrid, bool),
    /// Whether solicitations for its addresses are left to a successor.
    Suppressed(Family, Vrid, bool),
    /// Whether its addresses are here for a takeover to come, and nothing for them is let through.
    Standby(Family, Vrid, bool),
    /// The fence of a virtual router that was superseded opens.
    ClearSuperseded(Family, Vrid),
}

/// Something that the driver must do, in the order given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Write into the maps of an interface.
    Write(InterfaceId, Write),
    /// The program stamps adverts like this one from now on.
    Track {
        /// Whose master sent it.
        router: RouterId,
        /// How it is known.
        mark: Mark,
        /// When it came.
        at: Time,
        /// Who sent it.
        source: IpAddr,
    },
    /// The program stamps nothing for this virtual router.
    Untrack(RouterId),
    /// Send an advert with this priority.
    Advert {
        /// Of whom.
        router: RouterId,
        /// Priority on the wire.
        priority: u8,
    },
    /// Add the addresses, those that are there already too.
    AddAddresses(RouterId),
    /// Add the addresses behind the fence, those that are there already too: nobody is to hear of them.
    AddBehind(RouterId),
    /// One round of announcements.
    Announce {
        /// Of whom.
        router: RouterId,
        /// Gratuitous ARP is due.
        arp: bool,
        /// Unsolicited neighbour advertisements are due.
        na: bool,
    },
    /// Remove the addresses.
    RemoveAddresses(RouterId),
    /// Replies speak for these virtual routers alone from now on; whatever else an earlier run left in the maps is void.
    ForgetOthers(InterfaceId, alloc::vec::Vec<(Family, Vrid)>),
    /// Something to be told.
    Event(Event),
}

/// What has happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A virtual router's state changed.
    Transition {
        /// Whose.
        router: RouterId,
        /// State before.
        from: State,
        /// State now.
        to: State,
        /// Why.
        reason: Reason,
        /// Effective priority.
        priority: Priority,
        /// Who was master before, as far as this router knew.
        master: Option<IpAddr>,
        /// What it rests on.
        evidence: Evidence,
    },
    /// The role of an earlier run goes on.
    Resumed(RouterId),
    /// A virtual router has another effective priority.
    Priority(RouterId),
    /// What an operator held it to is over.
    HoldEnded(RouterId),
    /// All members of a sync group have this state.
    GroupState {
        /// Which.
        group: GroupId,
        /// Their state.
        state: State,
    },
    /// The trackers have answered, and the fault is real.
    FaultAfterAll(RouterId),
    /// Another router sends from this one's address.
    DuplicateAddress(RouterId),
    /// A router that must yield claims the addresses.
    Contested(RouterId),
    /// The program of an interface has been taken off it: it is to be attached again.
    Deaf(InterfaceId),
    /// Adverts were lost on the way to user space, and masters get another interval to be heard.
    FramesLost(InterfaceId),
    /// An own lease has run out while somebody probed or took over.
    LeaseRanOut {
        /// Where.
        on: InterfaceId,
        /// How long ago.
        late: Span,
        /// Another router has said that it is master.
        superseded: bool,
    },
}

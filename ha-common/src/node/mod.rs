//! The node: all virtual routers of one host, and what it decides about them.
//!
//! What lives here: the order of a turn, step-down, resume, sync groups, what verdicts mean for each virtual router, what
//! the XDP program is told and when, when announcements are due, who is to be probed, and what a new configuration keeps,
//! changes and takes out. What must not: a clock, a socket, a thread, a file,
//! or the bytes of a packet. The daemon's loop and the simulated clusters drive it, so that what is simulated is what
//! runs.
//!
//! # Contract
//!
//! A [`Node`] is a value. Whoever drives it
//!
//! 1. lets it [`Node::listen`], then tells it what happened: [`Node::heard`] for an advert that was judged, [`Node::report`] for a verdict,
//!    [`Node::set_fitness`] and [`Node::settle_fitness`] for trackers and links, and so on;
//! 2. calls [`Node::turn`] whenever it wakes up, for whatever reason;
//! 3. after each call of either kind drains [`Node::poll_effect`] until it returns `None` and carries out each
//!    [`Effect`] before the next one;
//! 4. sleeps until [`Node::next_deadline`] at the latest.
//!
//! Time is monotonic and comes in as an argument. The same calls give the same effects. What the node reads of the kernel
//! comes through [`Kernel`]; it never caches what the XDP program may change.
//!
//! # The order of a turn
//!
//! 1. An own lease that has run out is looked at before anything else: nothing may be sent for addresses that somebody
//!    else has by now.
//! 2. Stamps, then adverts that were heard, then stamps again, then timers: the order that
//!    [`crate::machine`] asks for.
//! 3. Sync groups settle, so that whatever moved one member moves the others in the same turn.
//!
//! # The order of effects
//!
//! [`Node::turn`] gives, in this order:
//!
//! 1. writes into maps, as they follow from the inputs: the lease before the bit that says master, the bit that says
//!    that addresses may be here before the addresses;
//! 2. addresses that move with a virtual MAC address, of which switches learn by the advert;
//! 3. adverts: the old master must let go before hosts learn the new MAC address;
//! 4. the fence opens for addresses that are there already (`hot_standby`), the other addresses, then announcements;
//! 5. addresses for which the fence closes, and that are removed; after that what says that they are gone, and only then a
//!    lease that had run out is renewed;
//! 6. addresses that are put behind the fence;
//! 7. events, for logs and notifications: writing them may take longer than the whole takeover.

mod effects;
mod fence;
mod groups;
mod hold;
mod io;
pub mod lease;
mod peers;
mod reached;
mod reload;
mod reports;
mod resume;
mod router;
mod standby;
mod turn;

#[cfg(test)]
mod tests;

use alloc::vec::Vec;

use core::net::IpAddr;

use effects::Effects;
pub use groups::{Group, GroupId};
pub use hold::{Hold, HoldKind};
pub use io::{
    Effect, Event, Fitness, Heard, Inherited, InterfaceId, Kernel, LeaseView, Mark, RouterId, Stamp, Write,
};
pub use peers::Followed;
pub use reached::Reached;
pub use reload::{Fate, Reload};
pub use resume::{LONGEST_WINDOW, patience, restart_window};
pub use router::{Presence, Router, Settings};

use crate::judge::Precedence;
use crate::machine::Input;
use crate::time::Time;

/// All virtual routers of one host. The module's documentation has the contract.
#[derive(Clone, Debug, Default)]
pub struct Node {
    /// By id, which only grows.
    routers: Vec<Router>,
    interfaces: Vec<Interface>,
    groups: Vec<Group>,
    heard: Vec<Heard>,
    effects: Effects,
    /// Interfaces whose lease ran out, to be renewed once the addresses are gone.
    renewals: Vec<InterfaceId>,
    next_id: u32,
    /// Nothing starts before (`vrrp_startup_delay`).
    start_at: Option<Time>,
    /// What an earlier run has left may be taken over.
    resuming: bool,
    /// It has been told to stop: what is added now does not start.
    stopping: bool,
    /// Who is to be probed may have changed.
    peers_changed: bool,
    /// Peers that answer probes, and how many others would take over from each before this node.
    answering: Vec<(InterfaceId, IpAddr, Precedence)>,
    reached: Reached,
}

/// What the node remembers of an interface.
#[derive(Clone, Copy, Debug)]
struct Interface {
    id: InterfaceId,
    /// None of its virtual routers takes part in fast failover: probes are told so.
    apart: bool,
    /// Frames lost on the way to user space when it was last asked; those of an earlier run count too.
    lost: Option<u64>,
    /// When a backup with addresses behind its fence looks for its program.
    look_at: Time,
}

impl Node {
    /// A node without virtual routers, that may take over what an earlier run has left until [`Node::end_start`].
    #[must_use]
    pub fn new() -> Self {
        Self { resuming: true, ..Self::default() }
    }

    /// Takes a virtual router of a new configuration. It starts when it is fit.
    pub fn add(&mut self, settings: Settings, now: Time) -> RouterId {
        let id = RouterId(self.next_id);
        self.next_id += 1;
        if !self.interfaces.iter().any(|interface| interface.id == settings.interface) {
            // What the program says before it was told anything is the driver's choice.
            self.interfaces.push(Interface {
                id: settings.interface,
                apart: false,
                lost: None,
                look_at: now,
            });
        }
        self.routers.push(Router::new(id, settings, self.resuming, now));
        self.count_apart(settings.interface);
        if self.stopping {
            self.feed(self.routers.len() - 1, Input::Stop, now, None);
        }
        id
    }

    /// A virtual router by its id.
    #[must_use]
    pub fn router(&self, id: RouterId) -> Option<&Router> {
        self.position(id).and_then(|at| self.routers.get(at))
    }

    /// All virtual routers, the oldest first.
    #[must_use]
    pub fn routers(&self) -> &[Router] {
        &self.routers
    }

    /// All sync groups.
    #[must_use]
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// Nothing but what is resumed starts before this.
    pub const fn delay_start(&mut self, until: Time) {
        self.start_at = Some(until);
    }

    /// Which inputs its virtual routers have had, and in which states.
    #[must_use]
    pub const fn reached(&self) -> Reached {
        self.reached
    }

    /// The next effect. To be drained after each call, see the contract.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.poll()
    }

    /// When [`Node::turn`] is wanted at the latest; [`Time::NEVER`] for not at all.
    #[must_use]
    pub fn next_deadline(&self) -> Time {
        let routers = self.routers.iter().map(Router::next_deadline).min().unwrap_or(Time::NEVER);
        routers.min(self.start_at.unwrap_or(Time::NEVER)).min(self.next_look())
    }

    /// Whether the peers that are to be probed may have changed since this was asked last.
    pub const fn take_peers_changed(&mut self) -> bool {
        core::mem::replace(&mut self.peers_changed, false)
    }

    /// Who is to be probed may have changed for a reason of the driver's.
    pub const fn mark_peers_dirty(&mut self) {
        self.peers_changed = true;
    }

    /// The virtual routers of an interface.
    pub fn on(&self, interface: InterfaceId) -> impl Iterator<Item = &Router> {
        self.routers.iter().filter(move |router| router.interface() == interface)
    }

    fn position(&self, id: RouterId) -> Option<usize> {
        self.routers.binary_search_by_key(&id, |router| router.id).ok()
    }

    fn ids(&self) -> Vec<RouterId> {
        self.routers.iter().map(|router| router.id).collect()
    }

    fn interface(&self, id: InterfaceId) -> Option<&Interface> {
        self.interfaces.iter().find(|interface| interface.id == id)
    }

    fn interface_mut(&mut self, id: InterfaceId) -> Option<&mut Interface> {
        self.interfaces.iter_mut().find(|interface| interface.id == id)
    }
}

impl core::ops::Index<RouterId> for Node {
    type Output = Router;

    /// # Panics
    ///
    /// Where the node has no such virtual router: ids are forgotten only by [`Node::forget_retired`], which names them.
    fn index(&self, id: RouterId) -> &Router {
        self.router(id).expect("a router that is in use")
    }
}

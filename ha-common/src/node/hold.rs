//! What an operator holds a virtual router to for some time: to give its role away, to take it, or to change nothing.
//!
//! A hold changes what a virtual router is said to be fit for, and nothing else: its machine decides as ever. So a router
//! that resigns without anybody there to take over stays master, with the lowest priority that there is, and nobody is
//! left without an answer.

use alloc::vec::Vec;

use super::Node;
use super::io::{Event, Fitness, Kernel, RouterId};
use super::router::Router;
use crate::machine::{Input, State};
use crate::time::Time;
use crate::types::Priority;

/// What for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HoldKind {
    /// Whoever else can takes over: the lowest priority.
    Resigned,
    /// It takes over: the highest priority that is not an owner's.
    Preferred,
    /// Roles stay, unless a master dies: no tracker counts, and nobody is preempted.
    Frozen,
}

impl HoldKind {
    /// The word in logs, output and files.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Resigned => "resigned",
            Self::Preferred => "preferred",
            Self::Frozen => "frozen",
        }
    }
}

/// A hold, and when it ends by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    /// What for.
    pub kind: HoldKind,
    /// Its end.
    pub until: Time,
}

impl Node {
    /// Holds a virtual router, in the place of an earlier hold, or lets it go. Not an owner's priority: the addresses are
    /// its own. Whether it was done.
    pub fn hold<K: Kernel + ?Sized>(
        &mut self,
        id: RouterId,
        hold: Option<Hold>,
        now: Time,
        kernel: &K,
    ) -> bool {
        let Some(at) = self.position(id) else { return false };
        let moves = hold.is_some_and(|hold| hold.kind != HoldKind::Frozen);
        if moves && self.routers[at].settings.priority == Priority::OWNER {
            return false;
        }
        self.routers[at].hold = hold;
        self.apply_hold(at, now, kernel);
        true
    }

    /// Gives a role away by priority 0 where nobody preempts it (`nopreempt` on the other routers). Whether there was one.
    pub fn give_away(&mut self, id: RouterId, now: Time) -> bool {
        let Some(at) = self.position(id) else { return false };
        let master = self.routers[at].machine.state() == State::Master;
        if master {
            self.feed(at, Input::Yield, now, None);
        }
        master
    }

    /// Ends the holds whose time is over.
    pub(super) fn end_holds<K: Kernel + ?Sized>(&mut self, now: Time, kernel: &K) {
        let over = |router: &Router| router.hold.is_some_and(|hold| hold.until <= now);
        let ended: Vec<usize> = (0..self.routers.len()).filter(|&at| over(&self.routers[at])).collect();
        for &at in &ended {
            self.routers[at].hold = None;
            self.effects.event(Event::HoldEnded(self.routers[at].id));
            self.apply_hold(at, now, kernel);
        }
    }

    fn apply_hold<K: Kernel + ?Sized>(&mut self, at: usize, now: Time, kernel: &K) {
        let router = &self.routers[at];
        let (id, params, given) = (router.id, router.params(), router.given);
        self.feed(at, Input::Reconfigure(params), now, None);
        // What is not known to be fit for anything yet is not started, or failed, by this.
        if let Some(fitness) = given {
            self.set_fitness(id, fitness, now);
            self.feed_fitness(at, now, kernel);
        }
    }
}

impl Router {
    /// What it is held to.
    #[must_use]
    pub const fn hold(&self) -> Option<Hold> {
        self.hold
    }

    pub(super) fn is_frozen(&self) -> bool {
        self.hold.is_some_and(|hold| hold.kind == HoldKind::Frozen)
    }

    /// What it is fit for, as it is held.
    pub(super) fn held(&self, given: Fitness) -> Fitness {
        let owner = given.priority == Priority::OWNER;
        let with = |priority: Priority| Fitness { priority, ..given };
        match self.hold.map(|hold| hold.kind) {
            Some(HoldKind::Resigned) if !owner => with(Priority::LOWEST),
            Some(HoldKind::Preferred) if !owner => with(Priority::HIGHEST),
            Some(HoldKind::Frozen) => {
                // A link that is down is no tracker's opinion.
                let ran = given.fitness == Input::Unfit && self.fitness == Input::Ready(true);
                let fitness = if ran { Input::Ready(true) } else { given.fitness };
                Fitness { fitness, priority: self.machine.priority(), ..given }
            }
            Some(HoldKind::Resigned | HoldKind::Preferred) | None => given,
        }
    }
}

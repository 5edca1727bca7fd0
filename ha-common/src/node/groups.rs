//! Sync groups of a node: which routers share a state, and what that makes of their fitness.
//!
//! What the members must do is [`crate::group`]'s decision; it is asked at the end of every turn, so that whatever moved
//! one member moves the others with the same batch of adverts and addresses.

use alloc::vec::Vec;

use super::Node;
use super::io::{Event, Fitness, Kernel, RouterId};
use super::router::Router;
use crate::group::{self, Member};
use crate::machine::{Input, State};
use crate::time::Time;

/// An order can call for another one: members that took over may have to be joined by a newcomer.
const MOST_ORDERS: usize = 3;

/// Names a sync group; chosen by the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId(pub u32);

/// A sync group, running.
#[derive(Clone, Debug)]
pub struct Group {
    pub(super) id: GroupId,
    /// What was last told of it; `None` before the first time.
    pub(super) state: Option<State>,
    /// In the file's order.
    pub(super) members: Vec<RouterId>,
    /// The member that became ready to take over last: it leads.
    pub(super) leads: Option<RouterId>,
}

impl Group {
    /// Its id.
    #[must_use]
    pub const fn id(&self) -> GroupId {
        self.id
    }

    /// What was last told of it; `None` before the first time.
    #[must_use]
    pub const fn state(&self) -> Option<State> {
        self.state
    }

    /// Its members, in the file's order.
    #[must_use]
    pub fn members(&self) -> &[RouterId] {
        &self.members
    }
}

impl Node {
    /// The groups of the configuration, with their members. What was told of a group that stays is remembered.
    pub fn regroup(&mut self, groups: impl IntoIterator<Item = (GroupId, Vec<RouterId>)>, now: Time) {
        let old = core::mem::take(&mut self.groups);
        for (id, members) in groups {
            let state = old.iter().find(|group| group.id == id).and_then(|group| group.state);
            self.groups.push(Group { id, state, members, leads: None });
        }
        for at in 0..self.routers.len() {
            let Self { routers, groups, .. } = self;
            let router = &mut routers[at];
            let group = groups.iter().find(|group| group.members.contains(&router.id) && !router.retired);
            let regrouped = router.group.is_some() != group.is_some();
            router.group = group.map(|group| group.id);
            if regrouped {
                router.newcomer = true;
                let params = router.params();
                self.feed(at, Input::Reconfigure(params), now, None);
            }
        }
    }

    /// Makes all members of every group do what one of them has begun.
    pub(super) fn settle_groups(&mut self, now: Time) {
        for n in 0..self.groups.len() {
            let mut order: Vec<_> =
                self.groups[n].members.iter().filter_map(|member| self.position(*member)).collect();
            // Who leads goes first, as in keepalived.
            let leader =
                self.groups[n].leads.and_then(|id| order.iter().position(|&at| self.routers[at].id == id));
            if let Some(leader) = leader {
                order[..=leader].rotate_right(1);
            }
            for _ in 0..MOST_ORDERS {
                let Some(decided) = group::order(self.views(&order).into_iter()) else { break };
                for &at in &order {
                    self.feed(at, decided.input(), now, None);
                }
            }
            self.tell_common_state(n, &order);
        }
    }

    fn views(&self, members: &[usize]) -> Vec<Member> {
        let view = |at: &usize| {
            let router = &self.routers[*at];
            Member {
                state: router.machine.state(),
                ready: router.machine.is_ready_to_take_over(),
                newcomer: router.newcomer && router.machine.master().is_none(),
            }
        };
        members.iter().map(view).collect()
    }

    /// A group's state is told once all members have it.
    fn tell_common_state(&mut self, n: usize, members: &[usize]) {
        let ended = |view: &Member| matches!(view.state, State::Init | State::Leaving);
        let views = self.views(members);
        let state = if !views.is_empty() && views.iter().all(ended) {
            Some(State::Init)
        } else {
            group::common_state(views.into_iter())
        };
        let Some(state) = state else { return };
        for &at in members {
            self.routers[at].newcomer = false;
        }
        let before = self.groups[n].state;
        // Neither what has not started yet nor what only waits for its trackers is told of.
        let silent = before.is_none()
            && (state == State::Init || members.iter().any(|&at| self.routers[at].awaits_trackers));
        if silent || before == Some(state) {
            return;
        }
        self.groups[n].state = Some(state);
        let event = Event::GroupState { group: self.groups[n].id, state };
        let ids: Vec<_> = members.iter().map(|&at| self.routers[at].id).collect();
        let of_member =
            |event: &Event| matches!(event, Event::Transition { router, .. } if ids.contains(router));
        // keepalived tells of the group first when it starts, of all instances first when they stop, and of the members
        // first in between.
        let events = self.effects.events();
        let place = if before.is_none() {
            events.iter().position(of_member)
        } else if state == State::Init {
            None
        } else {
            events.iter().rposition(of_member).map(|last| last + 1)
        };
        events.insert(place.unwrap_or(events.len()), event);
    }

    /// What a router is fit for now. [`Node::settle_fitness`] follows, once all have been told.
    pub fn set_fitness(&mut self, id: RouterId, fitness: Fitness, now: Time) {
        let Some(at) = self.position(id) else { return };
        let router = &mut self.routers[at];
        router.given = Some(fitness);
        let Fitness { fitness, waits, priority, source } = router.held(fitness);
        router.fitness_changed |= router.fitness != fitness;
        (router.fitness, router.waits, router.source) = (fitness, waits, source);
        let changed = priority != router.machine.priority();
        if let Some(address) = source {
            self.feed(at, Input::SetAddress(address), now, None);
        }
        self.feed(at, Input::SetPriority(priority), now, None);
        if changed {
            self.effects.event(Event::Priority(id));
        }
    }

    /// Tells the machines what they are fit for, with their groups.
    pub fn settle_fitness<K: Kernel + ?Sized>(&mut self, now: Time, kernel: &K) {
        // Those first with which something has changed.
        let changed = |at: &usize| self.routers[*at].group.is_some() && self.routers[*at].fitness_changed;
        let (mut order, rest): (Vec<usize>, Vec<usize>) = (0..self.routers.len()).partition(changed);
        order.extend(rest);
        self.routers.iter_mut().for_each(|router| router.fitness_changed = false);
        for at in order {
            self.feed_fitness(at, now, kernel);
        }
    }

    pub(super) fn feed_fitness<K: Kernel + ?Sized>(&mut self, at: usize, now: Time, kernel: &K) {
        if self.waits_outside(&self.routers[at]) {
            return;
        }
        let id = self.routers[at].id;
        let held_back = self.held_back(id);
        let router = &mut self.routers[at];
        let (fitness, awaits) = match (router.fitness, held_back) {
            (Input::Ready(true), Some((_, waits))) => (Input::Unfit, waits),
            (fitness, _) => (fitness, router.waits),
        };
        let known = core::mem::replace(&mut router.awaits_trackers, awaits) && !awaits;
        if known && fitness != Input::Ready(true) && router.machine.state() == State::Fault {
            self.effects.event(Event::FaultAfterAll(id));
        }
        if fitness == Input::Ready(true) {
            self.resume(at, now, kernel);
        }
        // What was resumed runs already.
        if self.start_at.is_none() || self.routers[at].machine.state() != State::Init {
            self.feed(at, fitness, now, None);
            self.show(id);
        }
    }

    /// The other member of its group that keeps a router from running, and whether that is only that its trackers have no
    /// results yet.
    #[must_use]
    pub fn held_back(&self, id: RouterId) -> Option<(RouterId, bool)> {
        let router = self.router(id)?;
        let group = router.group?;
        let runs = runs(router);
        let unfit = |other: &&Router| {
            other.id != id && other.group == Some(group) && other.fitness != Input::Ready(true)
        };
        let others = self.routers.iter().filter(unfit).filter(|other| !(runs && self.waits_outside(other)));
        others.min_by_key(|other| other.waits).map(|other| (other.id, other.waits))
    }

    /// Whether a router that a reload has brought into a running group still waits for its trackers. Until they have
    /// results it does not start, and the group goes on without it.
    fn waits_outside(&self, router: &Router) -> bool {
        let in_group = |other: &&Router| router.group.is_some() && other.group == router.group;
        router.waits
            && router.machine.state() == State::Init
            && self.routers.iter().filter(in_group).any(runs)
    }
}

fn runs(router: &Router) -> bool {
    matches!(router.machine.state(), State::Backup | State::Master)
}

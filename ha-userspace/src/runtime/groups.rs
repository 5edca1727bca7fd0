//! Sync groups: which routers share a state, and what that makes of their trackers.
//!
//! What the members must do is [`ha_common::group`]'s decision; it is asked at the end of every turn, so that whatever
//! moved one member moves the others with the same batch of adverts and addresses.

use ha_common::group::{self, Member};
use ha_common::machine::{Input, State};
use ha_common::time::Time;

use super::daemon::Daemon;
use super::note::Note;
use super::router::Router;
use crate::config::model::{SyncGroup, Trackers, Weight};

/// An order can call for another one: members that took over may have to be joined by a newcomer.
const MOST_ORDERS: usize = 3;

/// A sync group of the configuration, running.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) config: SyncGroup,
    /// What was last told of it; `None` before the first time.
    pub(super) state: Option<State>,
    /// Positions of its routers, in the file's order.
    pub(super) members: Vec<usize>,
    /// The member that became ripe last: it leads.
    pub(super) ripened: Option<usize>,
}

impl Daemon {
    /// After a configuration has come into force: who is in which group, and what is tracked.
    pub(super) fn regroup(&mut self, now: Time) {
        let old = std::mem::take(&mut self.groups);
        for config in &self.config.sync_groups {
            let state =
                old.iter().find(|group| group.config.name == config.name).and_then(|group| group.state);
            self.groups.push(Group { config: config.clone(), state, members: Vec::new(), ripened: None });
        }
        for n in 0..self.routers.len() {
            let Self { routers, groups, .. } = self;
            let router = &mut routers[n];
            let member = |group: &Group| group.config.members.contains(&router.config.name);
            let group = groups.iter().position(member).filter(|_| !router.retired);
            let regrouped = router.group.is_some() != group.is_some();
            router.group = group;
            router.trackers = trackers(router, group.map(|at| &groups[at].config));
            if regrouped {
                router.newcomer = true;
                let params = router.params();
                self.feed(n, Input::Reconfigure(params), now, None);
            }
        }
        self.find_members();
    }

    /// After routers have come or gone: where those of each group are.
    pub(super) fn find_members(&mut self) {
        let Self { routers, groups, .. } = self;
        for (at, group) in groups.iter_mut().enumerate() {
            let find = |name: &String| {
                routers.iter().position(|router| router.group == Some(at) && router.config.name == *name)
            };
            group.members = group.config.members.iter().filter_map(find).collect();
            group.ripened = None;
        }
    }

    /// Makes all members of every group do what one of them has begun.
    pub(super) fn settle_groups(&mut self, now: Time) {
        for at in 0..self.groups.len() {
            let mut order = self.groups[at].members.clone();
            // Who leads goes first, as in keepalived.
            let leader = self.groups[at].ripened.and_then(|n| order.iter().position(|member| *member == n));
            if let Some(leader) = leader {
                order[..=leader].rotate_right(1);
            }
            for _ in 0..MOST_ORDERS {
                let Some(decided) = group::order(self.views(&order).into_iter()) else { break };
                for &n in &order {
                    self.feed(n, decided.input(), now, None);
                }
            }
            self.note_common_state(at, &order);
        }
    }

    fn views(&self, members: &[usize]) -> Vec<Member> {
        let view = |n: &usize| {
            let router = &self.routers[*n];
            Member {
                state: router.machine.state(),
                ripe: router.machine.is_ripe(),
                newcomer: router.newcomer && router.machine.master().is_none(),
            }
        };
        members.iter().map(view).collect()
    }

    /// A group's state is told once all members have it.
    fn note_common_state(&mut self, at: usize, members: &[usize]) {
        let ended = |view: &Member| matches!(view.state, State::Init | State::Leaving);
        let views = self.views(members);
        let state = if !views.is_empty() && views.iter().all(ended) {
            Some(State::Init)
        } else {
            group::common_state(views.into_iter())
        };
        let Some(state) = state else { return };
        for &n in members {
            self.routers[n].newcomer = false;
        }
        let before = self.groups[at].state;
        // Neither what has not started yet nor what only waits for its scripts is told of.
        let silent = before.is_none()
            && (state == State::Init || members.iter().any(|&n| self.routers[n].awaits_scripts));
        if silent || before == Some(state) {
            return;
        }
        self.groups[at].state = Some(state);
        let note = Note::GroupState { group: self.groups[at].config.name.clone(), state };
        let of_member =
            |note: &Note| matches!(note, Note::Transition { router, .. } if members.contains(router));
        // keepalived tells of the group first when it starts, of all instances first when they stop, and of the members
        // first in between.
        let at = if before.is_none() {
            self.notes.iter().position(of_member)
        } else if state == State::Init {
            None
        } else {
            self.notes.iter().rposition(of_member).map(|last| last + 1)
        };
        self.notes.insert(at.unwrap_or(self.notes.len()), note);
    }

    /// What keeps another member of the group from running, which keeps this one from it too, and whether that is only
    /// that its scripts have not answered yet.
    pub(super) fn held_back(&self, n: usize) -> Option<(String, bool)> {
        let group = self.routers[n].group?;
        let runs = runs(&self.routers[n]);
        let others = self.routers.iter().enumerate().filter(|(at, other)| {
            let unfit = *at != n && other.group == Some(group) && other.fitness != Input::Ready(true);
            unfit && !(runs && self.waits_outside(*at))
        });
        let (_, other) = others.min_by_key(|(_, other)| other.waits)?;
        let name = &self.groups[group].config.name;
        let why = other.noted.fault.first().map_or("it cannot run", String::as_str);
        Some((format!("sync group {name}, {}: {why}", other.config.name), other.waits))
    }

    /// Whether a router that a reload has brought into a running group still waits for its scripts. Until they have
    /// answered it does not start, and the group goes on without it.
    pub(super) fn waits_outside(&self, n: usize) -> bool {
        let router = &self.routers[n];
        let group_runs =
            |group: usize| self.groups[group].members.iter().any(|&member| runs(&self.routers[member]));
        router.waits && router.machine.state() == State::Init && router.group.is_some_and(group_runs)
    }

    /// Routers in the order in which their fitness is to be fed: those first with which something has changed.
    pub(super) fn by_change(&self, before: &[Input]) -> Vec<usize> {
        let changed =
            |n: &usize| self.routers[*n].group.is_some() && before.get(*n) != Some(&self.routers[*n].fitness);
        let (mut order, rest): (Vec<usize>, Vec<usize>) = (0..self.routers.len()).partition(changed);
        order.extend(rest);
        order
    }
}

fn runs(router: &Router) -> bool {
    matches!(router.machine.state(), State::Backup | State::Master)
}

/// What is tracked for an instance: its own and its group's. Members of a group must not differ in what they lose, so
/// their own weights are zero unless the group says otherwise (keepalived.conf(5), vrrp_sync_group).
fn trackers(router: &Router, group: Option<&SyncGroup>) -> Trackers {
    let mut own = super::trackers::of(&router.config);
    let Some(group) = group else { return own };
    if !group.tracking_weight {
        let plain = |weight: &mut Weight| weight.value = 0;
        own.scripts.iter_mut().for_each(|tracker| plain(&mut tracker.weight));
        own.interfaces.iter_mut().for_each(|tracker| plain(&mut tracker.weight));
        own.files.iter_mut().for_each(|tracker| tracker.weight.value = 0);
        for tracker in own.processes.iter_mut().chain(&mut own.bfd).chain(&mut own.checks) {
            plain(&mut tracker.weight);
        }
    }
    let shared = group.trackers.clone();
    own.scripts.extend(shared.scripts);
    own.interfaces.extend(shared.interfaces);
    own.files.extend(shared.files);
    own.processes.extend(shared.processes);
    own.bfd.extend(shared.bfd);
    own.checks.extend(shared.checks);
    own
}

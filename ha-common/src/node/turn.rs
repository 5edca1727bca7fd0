//! One turn: leases, stamps, adverts, timers, groups; then what follows from them.

use alloc::vec::Vec;
use core::net::IpAddr;

use super::io::{Effect, Event, Heard, InterfaceId, Kernel, Mark, RouterId};
use super::router::{Presence, Router, Settings};
use super::{Node, fence};
use crate::judge::{Precedence, takeover_wait};
use crate::machine::{self, Action, FAST_HANDOVER, Input, Params, State};
use crate::time::Time;
use crate::types::Priority;

impl Node {
    /// An advert was accepted. It counts from the next [`Node::listen`] or [`Node::turn`] on.
    pub fn heard(&mut self, heard: Heard) {
        self.heard.push(heard);
    }

    /// Does everything that is due now.
    pub fn turn<K: Kernel + ?Sized>(&mut self, now: Time, kernel: &mut K) {
        if self.start_at.take_if(|at| *at <= now).is_some() {
            self.settle_fitness(now, kernel);
        }
        self.listen(now, kernel);
        self.end_holds(now, kernel);
        self.read_stamps_again(now, kernel);
        self.serve_timers(now, kernel);
        self.settle_groups(now);
        self.carry_out(now);
    }

    /// Looks at own leases, at stamps and at the adverts that were heard, and at nothing else. To be called before the node
    /// is told of anything that changes what they mean: an advert is judged by the settings under which it came.
    pub fn listen<K: Kernel + ?Sized>(&mut self, now: Time, kernel: &K) {
        self.guard_leases(now, kernel);
        // Before the adverts too: a master that resigned and came back while this node was stalled is alive.
        self.read_stamps(now, kernel);
        for heard in core::mem::take(&mut self.heard) {
            self.hear(&heard, now);
        }
    }

    fn hear(&mut self, heard: &Heard, now: Time) {
        let Some(at) = self.position(heard.router) else { return };
        let router = &self.routers[at];
        // Whoever does not go on with a role of the run before listens from now on: old adverts say nothing of now.
        if router.retired || (heard.unheard && router.machine.state() != State::Master) {
            return;
        }
        if router.settings.owner_ignores_adverts && router.machine.priority() == Priority::OWNER {
            return;
        }
        let Heard { source, priority, interval, at: came, .. } = *heard;
        self.feed(at, Input::Advert { source, priority, interval, at: came }, now, Some(heard));
        if priority != 0 {
            self.hear_of_fall(at, source, came, now);
        }
    }

    /// A master that this node probes, and that answers, lets go as soon as it hears a better advert.
    fn hear_of_fall(&mut self, at: usize, source: IpAddr, came: Time, now: Time) {
        let Self { routers, answering, .. } = self;
        let router = &routers[at];
        let same =
            |peer: &&(InterfaceId, IpAddr, Precedence)| peer.0 == router.interface() && peer.1 == source;
        if !router.settings.fast || router.machine.state() != State::Backup {
            return;
        }
        let Some((_, _, order)) = answering.iter().find(same) else { return };
        let wait = takeover_wait(router.machine.priority(), &router.settings.judge, *order);
        self.feed(at, Input::MasterLowered { source, at: came, wait }, now, None);
    }

    /// Deadlines of all backups move on together, however many there are, so that one wake-up serves them all.
    pub(super) fn read_stamps<K: Kernel + ?Sized>(&mut self, now: Time, kernel: &K) {
        // What was tracked since has been carried out.
        self.routers.iter_mut().for_each(|router| router.stamp_is_old = false);
        self.read_stamps_again(now, kernel);
    }

    fn read_stamps_again<K: Kernel + ?Sized>(&mut self, now: Time, kernel: &K) {
        for at in 0..self.routers.len() {
            let router = &self.routers[at];
            let follows = router.machine.state() == State::Backup && router.machine.master().is_some();
            if follows
                && !router.stamp_is_old
                && let Some(stamp) = kernel.stamp(router.interface(), router.family(), router.vrid())
            {
                self.feed(at, Input::Seen(stamp.at), now, None);
            }
        }
    }

    fn serve_timers<K: Kernel + ?Sized>(&mut self, now: Time, kernel: &mut K) {
        self.look_for_programs(now, kernel);
        self.count_losses(now, kernel);
        for at in 0..self.routers.len() {
            if self.routers[at].machine.next_deadline() <= now {
                self.feed(at, Input::Timer, now, None);
            }
        }
    }

    /// Before a master is declared dead, and now and then while adverts are sent: silence and unanswered probes say nothing
    /// if it is our own program that is gone.
    fn look_for_programs<K: Kernel + ?Sized>(&mut self, now: Time, kernel: &mut K) {
        for n in 0..self.interfaces.len() {
            let on = self.interfaces[n].id;
            let due = self.on(on).filter(|router| router.machine.next_deadline() <= now);
            let urgent =
                due.map(|router| router.machine.state() == State::Backup).reduce(|one, other| one || other);
            let deaf = urgent.is_some_and(|urgent| kernel.is_deaf(on, urgent));
            if deaf || self.has_lost_fence(n, now, kernel) {
                self.was_deaf(on, now);
                self.lose_fence(on);
                self.effects.event(Event::Deaf(on));
            }
        }
    }

    /// A backup whose master may have been heard by nobody but the queue that ran over waits for another interval. What was
    /// lost before the latest sign of life does not matter; between two turns nobody knows which came first.
    fn count_losses<K: Kernel + ?Sized>(&mut self, now: Time, kernel: &mut K) {
        for n in 0..self.interfaces.len() {
            let on = self.interfaces[n].id;
            let backup =
                |router: &Router| router.interface() == on && router.machine.state() == State::Backup;
            if self.interfaces[n].lost.is_some() && !self.routers.iter().any(backup) {
                continue;
            }
            let lost = kernel.frames_lost(on);
            // What was lost before its first turn says nothing of the masters that it waits for.
            let before = self.interfaces[n].lost.replace(lost).unwrap_or(lost);
            let mut told = false;
            for at in 0..self.routers.len() {
                if !backup(&self.routers[at]) {
                    continue;
                }
                let router = &mut self.routers[at];
                if core::mem::replace(&mut router.alive, false) {
                    router.lost = before;
                }
                if router.machine.next_deadline() <= now && core::mem::replace(&mut router.lost, lost) != lost
                {
                    told = true;
                    self.feed(at, Input::FramesLost, now, None);
                }
            }
            if told {
                self.effects.event(Event::FramesLost(on));
            }
        }
    }

    /// Feeds one machine and takes what it wants done. `heard` is the advert that is being judged.
    pub(super) fn feed(&mut self, at: usize, input: Input, now: Time, heard: Option<&Heard>) {
        let Self { routers, interfaces, groups, effects, reached, .. } = self;
        let router = &mut routers[at];
        reached.note(router.machine.state(), &input);
        let id = router.id;
        let apart = interfaces.iter().any(|on| on.id == router.interface() && on.apart);
        let watched = router.machine.watched().map(|master| master.address);
        let master = router.machine.master().map(|master| master.address).or(watched);
        let (ready, deadline) = (router.machine.is_ready_to_take_over(), router.machine.next_deadline());
        router.machine.handle(input, now);
        if matches!(input, Input::Advert { .. } | Input::Seen(_)) {
            router.alive |= router.machine.next_deadline() != deadline;
        }
        if !ready
            && router.machine.is_ready_to_take_over()
            && let Some(group) = groups.iter_mut().find(|group| Some(group.id) == router.group)
        {
            group.leads = Some(id);
        }
        while let Some(action) = router.machine.poll_action() {
            match action {
                Action::SendAdvert { priority } => effects.advert(id, priority),
                Action::Transition { from, to, reason } => {
                    transition(router, from, to, now);
                    // It has been waiting for nobody until now.
                    router.alive |= to == State::Backup;
                    self.peers_changed = true;
                    fence::enter(router, apart, effects, now);
                    let priority = router.machine.priority();
                    let evidence = *router.machine.evidence();
                    let change =
                        Event::Transition { router: id, from, to, reason, priority, master, evidence };
                    effects.event(change);
                }
                Action::Track => {
                    if let Some(heard) = heard
                        && heard.mark != Mark::None
                    {
                        let Heard { mark, at, source, .. } = *heard;
                        effects.now(Effect::Track { router: id, mark, at, source });
                    }
                    router.stamp_is_old = true;
                }
                Action::Untrack => {
                    effects.now(Effect::Untrack(id));
                    router.stamp_is_old = true;
                }
                Action::DuplicateAddress => effects.event(Event::DuplicateAddress(id)),
                Action::Yielded => router.announce_again(now),
                Action::Contested => {
                    router.announce_again(now);
                    effects.event(Event::Contested(id));
                }
            }
        }
        self.peers_changed |= watch(router, heard);
        // Whoever resigned is watched on: its word that it did may still be under way.
        let now_watched = router.machine.watched().map(|master| master.address);
        self.peers_changed |= now_watched.is_some() && now_watched != watched;
        // The successor may have been heard, and answer from now on.
        if router.machine.state() == State::Leaving {
            fence::show(router, apart, effects);
        }
    }

    /// Adverts first: the old master must let go before hosts learn the new MAC address. Where the address moves with a
    /// virtual MAC address, the switch learns from the advert: the addresses come first, or packets would arrive that a
    /// router then forwards, and the question that it asks for that is answered by the old master, to whom the switch
    /// then turns back.
    fn carry_out(&mut self, now: Time) {
        let early = self
            .routers
            .iter()
            .any(|router| router.settings.virtual_mac && matches!(router.presence, Presence::Wanted { .. }));
        if early {
            self.add_addresses();
        }
        self.effects.release_adverts();
        self.open();
        if !early {
            self.add_addresses();
        }
        for router in &mut self.routers {
            let (arp, na) = (router.arp.due(now), router.na.due(now));
            if router.presence.is_wanted() && (arp || na) {
                self.effects.now(Effect::Announce { router: router.id, arp, na });
            }
        }
        self.close_up();
        let unwanted = |router: &&mut Router| router.presence == Presence::Unwanted;
        let mut released = Vec::new();
        for router in self.routers.iter_mut().filter(unwanted) {
            router.presence = Presence::Absent;
            self.effects.now(Effect::RemoveAddresses(router.id));
            released.push(router.id);
        }
        // What opens a fence is written after its reason has come true.
        for id in released {
            self.show(id);
        }
        for on in core::mem::take(&mut self.renewals) {
            self.renew(on, now);
        }
        self.add_behind(now);
        self.effects.release_events();
    }

    fn add_addresses(&mut self) {
        for router in &mut self.routers {
            if matches!(router.presence, Presence::Wanted { .. }) {
                router.presence = Presence::Present;
                self.effects.now(Effect::AddAddresses(router.id));
            }
        }
    }

    /// Lets adverts go out that a machine wants sent before the next turn.
    pub fn release_adverts(&mut self) {
        self.effects.release_adverts();
    }

    /// Some addresses of a router are not there any more, or others are to be there: the next turn adds and announces
    /// them.
    pub fn add_addresses_again(&mut self, id: RouterId, now: Time) {
        if let Some(at) = self.position(id) {
            self.routers[at].add_again(now);
        }
    }

    /// New settings of a router that goes on, with its state, timers and announcements.
    pub fn configure(&mut self, id: RouterId, settings: Settings, now: Time) {
        let Some(at) = self.position(id) else { return };
        let router = &mut self.routers[at];
        router.arp.configure(settings.announce);
        router.na.configure(settings.announce);
        router.settings = settings;
        router.place();
        let (on, params) = (router.interface(), router.params());
        self.count_apart(on);
        // What was accepted under the old settings may fail under the new ones: it is judged again.
        self.effects.now(Effect::Untrack(id));
        self.effects.write(on, super::Write::Describe(id));
        self.routers[at].stamp_is_old = true;
        self.feed(at, Input::Reconfigure(params), now, None);
    }

    /// Lets a router leave gracefully that is no longer in the configuration. Nothing is heard for it from now on, so
    /// that there is no successor to wait for.
    pub fn retire(&mut self, id: RouterId, now: Time) {
        let Some(at) = self.position(id) else { return };
        self.routers[at].retired = true;
        self.count_apart(self.routers[at].interface());
        let was_behind = self.routers[at].presence.is_behind();
        self.feed(at, Input::Stop, now, None);
        if self.routers[at].machine.state() == State::Leaving {
            self.feed(at, Input::Stop, now, None);
        }
        self.remove_exposed(at, was_behind);
    }

    /// Forgets those that have left, and returns their ids.
    pub fn forget_retired(&mut self) -> Vec<RouterId> {
        let gone = |router: &Router| {
            router.retired && router.machine.state() == State::Init && !router.presence.was_added()
        };
        let ids: Vec<_> = self.routers.iter().filter(|router| gone(router)).map(|router| router.id).collect();
        self.routers.retain(|router| !ids.contains(&router.id));
        for group in &mut self.groups {
            group.members.retain(|member| !ids.contains(member));
        }
        ids
    }

    /// Graceful stop of all; asked for twice, at once. Whoever probes a router is its successor, and needs no time to take
    /// the addresses.
    pub fn stop<K: Kernel + ?Sized>(&mut self, now: Time, kernel: &K) {
        self.stopping = true;
        for at in 0..self.routers.len() {
            let router = &self.routers[at];
            if router.settings.fast && fence::is_probed_for(router, now, kernel) {
                let params = Params { handover: FAST_HANDOVER, ..router.params() };
                self.feed(at, Input::Reconfigure(params), now, None);
            }
            self.feed(at, Input::Stop, now, None);
        }
    }

    /// Whether a graceful stop is over.
    #[must_use]
    pub fn has_stopped(&self) -> bool {
        self.routers.iter().all(|router| router.machine.state() == State::Init)
    }
}

fn transition(router: &mut Router, from: State, to: State, now: Time) {
    match machine::Effect::of(from, to) {
        machine::Effect::TakeOver => {
            router.presence = match router.presence {
                Presence::Absent => Presence::Wanted { some: false },
                Presence::Leftover | Presence::Unwanted | Presence::Behind { all: false } => {
                    Presence::Wanted { some: true }
                }
                Presence::Behind { all: true } => Presence::Opening,
                Presence::Closing => Presence::Present,
                wanted => wanted,
            };
            router.arp.start(now);
            router.na.start(now);
        }
        machine::Effect::Release => {
            router.place();
            router.arp.stop();
            router.na.stop();
        }
        // The addresses are still here, but who asks for them is to hear of the successor.
        machine::Effect::Keep if to == State::Leaving => {
            router.arp.stop();
            router.na.stop();
        }
        machine::Effect::Keep => router.place(),
    }
}

/// Notes where adverts of the watched master come from, whether or not it is followed. True where that is news.
fn watch(router: &mut Router, heard: Option<&Heard>) -> bool {
    let Some(heard) = heard else { return false };
    let (Some(watched), Some(mac)) = (router.machine.watched(), heard.mac) else { return false };
    let seen: Option<(IpAddr, [u8; 6])> = Some((watched.address, mac));
    watched.address == heard.source && core::mem::replace(&mut router.master_mac, seen) != seen
}

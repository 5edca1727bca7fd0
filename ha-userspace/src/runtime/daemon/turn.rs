//! One turn of the loop: what arrived goes to the node, and what it wants done is carried out.
//!
//! The order is the node's ([`ha_common::node`]). What is alike and comes together is done together: all adverts of an
//! interface in one system call, all addresses in one netlink batch, all announcements in one system call, then routes and
//! rules in another netlink batch, then removals, then log lines.
//! A hundred virtual routers that lose their master at once cost little more than one.

use ha_common::machine::Reason;
use ha_common::node::{Effect, Event, InterfaceId, Node, RouterId};
use ha_common::time::Time;

use super::Daemon;
use crate::net::clock;
use crate::runtime::kernel::{self, Maps};
use crate::runtime::note::{Note, Scene};
use crate::runtime::senders::Packet;
use crate::runtime::tell;

/// What is carried out together, once the last of its kind has come.
#[derive(Debug, Default)]
struct Batch {
    added: Vec<RouterId>,
    announced: Vec<(RouterId, bool, bool)>,
    removed: Vec<RouterId>,
    /// To be added behind the fence.
    behind: Vec<RouterId>,
    adverts: bool,
    /// How the addresses were added.
    taken: Option<Note>,
    /// Announcements, static addresses and routes have had their turn.
    settled: bool,
}

impl Daemon {
    /// Does everything that is due now and arms the timer for what is due next.
    pub(super) fn turn(&mut self) {
        // Deadlines are judged at a time before everything that speaks for a master is read: whatever stalls this
        // turn, an advert that came in time is seen.
        let now = clock::now();
        if self.host.delays.next().is_some_and(|at| at <= now) {
            self.reconsider();
        }
        self.judge_frames(now);
        self.decide(now);
        let attached = self.interfaces.attach_again();
        let news = self.host.statics.take_news();
        // All are asked: news is told once.
        let refused =
            self.routers.iter_mut().map(|router| router.refusal.take_news(now)).filter(|news| *news).count()
                > 0;
        if attached || news || refused {
            self.reconsider();
            self.decide(now);
        }
        let standbys = [self.look_around(now), self.look_after_standbys(now)].into_iter().flatten().min();
        let extra = self.routers.iter().filter_map(|router| router.extra);
        let others = extra
            .chain(self.host.delays.next())
            .chain(self.routers.iter().filter_map(|router| router.refusal.next(now)))
            .chain(self.announcements.next())
            .chain(standbys)
            .min()
            .unwrap_or(Time::NEVER);
        let next = Some(self.node.next_deadline().min(others)).filter(|at| *at != Time::NEVER);
        self.settle_fast(next);
        // For a takeover to come.
        self.host.prepare_routes(&mut self.routers, &self.configuration.in_force);
        if let Err(error) = self.timer.arm(next) {
            tracing::error!("the timer cannot be armed: {error}");
        }
    }

    /// Lets the node do something, with the kernel to look at.
    pub(super) fn with_kernel<R>(&mut self, act: impl FnOnce(&mut Node, &mut Maps<'_>) -> R) -> R {
        let Self { node, interfaces, life, fast, routers, .. } = self;
        act(node, &mut Maps { interfaces, handover: life.handover.as_ref(), fast, routers })
    }

    /// Carries out what the node has decided since the last turn, before anything else is decided.
    pub(super) fn perform(&mut self) {
        let mut batch = Batch { settled: true, ..Batch::default() };
        while let Some(effect) = self.node.poll_effect() {
            self.carry_out(effect, &mut batch);
        }
        self.finish(&mut batch);
    }

    /// Lets the node do a whole turn, carries it out, and tells what happened once its work has been done.
    fn decide(&mut self, now: Time) {
        self.with_kernel(|node, kernel| node.turn(now, kernel));
        let mut batch = Batch::default();
        while let Some(effect) = self.node.poll_effect() {
            self.carry_out(effect, &mut batch);
        }
        self.settle(&mut batch);
        self.finish(&mut batch);
        self.host.uninstall(&[], &self.routers, &self.node, &mut self.notes);
        self.notes.extend(batch.taken);
        for note in std::mem::take(&mut self.notes) {
            let Self { routers, interfaces, node, fast, workers, .. } = self;
            let scene = Scene { routers, interfaces, node, fast };
            if let Some(event) = tell::event(&note, scene) {
                workers.tell(event);
            }
            note.log(scene);
        }
    }

    fn carry_out(&mut self, effect: Effect, batch: &mut Batch) {
        match effect {
            Effect::Advert { router, priority } => {
                if !batch.added.is_empty() {
                    self.finish(batch);
                }
                batch.adverts = true;
                if let Some(router) = self.routers.get_mut(router) {
                    self.interfaces[router.interface].senders.queue_advert(router, priority);
                }
            }
            Effect::AddAddresses(router) => {
                if batch.adverts {
                    self.finish(batch);
                }
                batch.added.push(router);
            }
            Effect::Announce { router, arp, na } => {
                self.finish(batch);
                batch.announced.push((router, arp, na));
            }
            Effect::RemoveAddresses(router) => {
                self.settle(batch);
                batch.removed.push(router);
            }
            Effect::AddBehind(router) => {
                self.settle(batch);
                batch.behind.push(router);
            }
            Effect::Write(on, write) => {
                self.finish(batch);
                let Self { interfaces, routers, .. } = self;
                if let Some(interface) = interfaces.get(on.0 as usize) {
                    kernel::write(interface, routers, write);
                }
            }
            Effect::Track { router, mark, at, source } => {
                if let Some(xdp) = self.routers.get(router).and_then(|of| self.interfaces[of.interface].xdp())
                {
                    kernel::track(xdp, self.routers[router].slot(), mark, at, source);
                }
            }
            Effect::Untrack(router) => {
                if let Some(xdp) = self.routers.get(router).and_then(|of| self.interfaces[of.interface].xdp())
                {
                    xdp.adverts.untrack(self.routers[router].slot());
                }
            }
            Effect::ForgetOthers(on, kept) => {
                if let Some(interface) = self.interfaces.get(on.0 as usize) {
                    kernel::forget_others(interface, &kept);
                }
            }
            Effect::Event(event) => self.take_event(event),
        }
    }

    /// Does what is collected, in the order of the node's effects.
    fn finish(&mut self, batch: &mut Batch) {
        if std::mem::take(&mut batch.adverts) {
            self.send_adverts();
        }
        if !batch.added.is_empty() {
            let added = std::mem::take(&mut batch.added);
            let taken = self.host.install(&added, &mut self.routers, &mut self.notes);
            if taken.is_some() {
                batch.taken = taken;
            }
        }
        if !batch.removed.is_empty() {
            let removed = std::mem::take(&mut batch.removed);
            self.host.uninstall(&removed, &self.routers, &self.node, &mut self.notes);
        }
        if !batch.behind.is_empty() {
            let behind = std::mem::take(&mut batch.behind);
            let placed = self.host.install(&behind, &mut self.routers, &mut self.notes);
            self.notes.extend(placed.map(Note::behind));
        }
    }

    /// Between what is added and what is removed: announcements, then what is static, then routes.
    fn settle(&mut self, batch: &mut Batch) {
        if batch.settled {
            return;
        }
        batch.settled = true;
        self.finish(batch);
        self.announce(&batch.announced);
        let Self { host, routers, node, configuration, notes, .. } = self;
        if batch.taken.is_some() {
            host.forward(routers, node);
        }
        host.install_static_addresses(&configuration.in_force, notes);
        host.install_routes(routers, node, &configuration.in_force, notes);
        host.uninstall_routes(routers, node, notes);
    }

    /// What the node tells becomes a line for the log, and more.
    fn take_event(&mut self, event: Event) {
        let now = clock::now();
        let note = match event {
            Event::Transition { router: id, from, to, reason, priority, evidence, .. } => {
                let Some(router) = self.routers.get_mut(id) else { return };
                router.count_transition(from, to, reason);
                let fault =
                    if reason == Reason::NotReady { router.noted.fault.join("; ") } else { String::new() };
                Note::Transition { router: id, from, to, reason, priority, evidence, at: now, fault }
            }
            Event::Resumed(router) => Note::Resumed { router },
            Event::Priority(router) => Note::Priority { router },
            Event::HoldEnded(router) => {
                if let Some(router) = self.routers.get(router) {
                    // It is none for the next run either.
                    self.life.holds.remove(&router.config.name);
                }
                Note::HoldEnded { router }
            }
            Event::GroupState { group, state } => {
                let Some(config) = self.configuration.group(group) else { return };
                Note::GroupState { group: config.name.clone(), state }
            }
            Event::FaultAfterAll(router) => Note::FaultAfterAll { router },
            Event::DuplicateAddress(id) => {
                let Some(router) = self.routers.get_mut(id) else { return };
                if std::mem::replace(&mut router.noted.duplicate, true) {
                    return;
                }
                Note::Duplicate { router: id }
            }
            Event::Contested(id) => {
                let Some(router) = self.routers.get_mut(id) else { return };
                if !tell::lower_priority(router, now) {
                    return;
                }
                Note::LowerPriority { router: id }
            }
            Event::FramesLost(InterfaceId(at)) => Note::FramesLost { interface: at as usize },
            Event::LeaseRanOut { on, late, superseded } => {
                Note::LeaseRanOut { interface: on.0 as usize, late, superseded }
            }
            Event::Deaf(on) => {
                self.interfaces.found_deaf(on);
                return;
            }
        };
        self.notes.push(note);
    }

    /// Sends the adverts and replies that are queued; a refusal that is new is noted.
    pub(super) fn send_adverts(&mut self) {
        for interface in &mut self.interfaces {
            for failure in interface.senders.flush() {
                let Packet::Advert(id) = failure.tag else { continue };
                let Some(router) = self.routers.get_mut(id) else { continue };
                if router.noted.send_failure.replace(failure.errno) != Some(failure.errno) {
                    self.notes.push(Note::SendFailure { router: id, failure });
                }
            }
        }
    }
}

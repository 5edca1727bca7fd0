//! One turn of the loop: what arrived goes to the node, and what it wants done is carried out.
//!
//! The order is the node's ([`ha_common::node`]). What is alike and comes together is done together: all adverts of an
//! interface in one system call, all addresses in one netlink batch, all announcements in one system call, then routes and
//! rules in another netlink batch, then removals, then log lines.
//! A hundred virtual routers that lose their master at once cost little more than one.

use std::collections::HashSet;

use ha_common::counter::Counter;
use ha_common::machine::{Reason, State};
use ha_common::node::{Effect, Event, Heard, InterfaceId, RouterId};
use ha_common::probe;
use ha_common::time::Time;
use ha_common::validate::{Meta, is_multicast};

use super::daemon::Daemon;
use super::interface::{Frame, Interface};
use super::kernel;
use super::links::vips;
use super::note::Note;
use super::router::{Accepted, Outgoing, Router, interface_id};
use super::tell;
use crate::config::model::Vip;
use crate::net::addresses::{AddressSpec, Outcome, Removal};
use crate::net::clock;
use crate::net::monitor::Links;

/// What is carried out together, once the last of its kind has come.
#[derive(Debug, Default)]
struct Batch {
    added: Vec<RouterId>,
    announced: Vec<(RouterId, bool, bool)>,
    removed: Vec<RouterId>,
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
        if self.delays.next().is_some_and(|at| at <= now) {
            self.reconsider();
        }
        self.judge_frames(now);
        self.decide(now);
        let attached = self.attach_again();
        let news = self.statics.take_news();
        if attached || news {
            self.reconsider();
            self.decide(now);
        }
        let extra = self.routers.iter().filter_map(|router| router.extra);
        let others = extra.chain(self.delays.next()).chain(self.lanes.next()).min().unwrap_or(Time::NEVER);
        let next = Some(self.node.next_deadline().min(others)).filter(|at| *at != Time::NEVER);
        self.settle_fast(next);
        // For a takeover to come.
        self.prepare_routes();
        if let Err(error) = self.timer.arm(next) {
            tracing::error!("the timer cannot be armed: {error}");
        }
    }

    /// Takes notice of what has arrived, before something changes what it means.
    pub(super) fn listen(&mut self) {
        let now = clock::now();
        self.judge_frames(now);
        self.with_kernel(|node, kernel| node.listen(now, kernel));
        self.perform();
    }

    pub(super) fn judge_frames(&mut self, now: Time) {
        let mut frames = std::mem::take(&mut self.frames);
        for at in 0..self.interfaces.len() {
            self.interfaces[at].drain(&mut frames);
            for frame in frames.drain(..) {
                self.judge(at, &frame, now);
            }
        }
        self.frames = frames;
    }

    fn judge(&mut self, interface: usize, frame: &Frame, now: Time) {
        if frame.pdu.first() == Some(&probe::PROBE) && self.answer_probe(interface, frame) {
            return;
        }
        let Self { routers, interfaces, notes, monitor, node, .. } = self;
        let on = &mut interfaces[interface];
        let found = frame.router().and_then(|(family, vrid)| {
            node.on(interface_id(interface))
                .find(|router| (router.family(), router.vrid()) == (family, vrid) && !router.is_retired())
        });
        let Some(core) = found else {
            on.count(Counter::UnknownVrid);
            self.notice_unknown(interface, frame);
            return;
        };
        let n = core.id();
        let router = &mut routers[n];
        // It would not be taken.
        if frame.unheard && core.machine().state() != State::Master {
            return;
        }
        let meta = Meta { endpoints: frame.endpoints, ttl: frame.ttl };
        // Of the frames that the kernel would not deliver to a socket, XDP sees this kind too.
        let destination = frame.endpoints.destination();
        let judged = if !is_multicast(destination) && !monitor.links().hold(destination) {
            Err(Counter::OtherDestination)
        } else {
            // When it arrived counts, not when this loop comes to it: a stall here makes nobody's advert stale.
            let arrived = || clock::realtime_ns().saturating_sub(clock::now().span_since(frame.at).0);
            router.judge(&meta, &frame.pdu, &on.own, frame.authenticated.as_deref(), arrived)
        };
        let Accepted { judged, unsigned, skew } = match judged {
            Ok(accepted) => accepted,
            Err(reason) => {
                on.count(reason);
                let source = frame.endpoints.source();
                if router.noted.rejected.replace((source, reason)) != Some((source, reason))
                    && let Some(quiet) = router.noted.rejections.allow(now)
                {
                    notes.push(Note::Rejected { router: n, source, reason, quiet });
                }
                return;
            }
        };
        on.count(Counter::Accepted);
        if router.know(judged.source)
            && let Some(xdp) = on.xdp()
        {
            router.describe(&xdp.adverts);
        }
        if judged.advert.priority == 0 {
            on.count(Counter::PriorityZero);
        }
        if !judged.addresses_match {
            on.count(Counter::AddressListMismatch);
        }
        if unsigned {
            on.count(Counter::HmacUnsigned);
            router.unsigned += 1;
        }
        let unsigned = unsigned.then_some(judged.source);
        if std::mem::replace(&mut router.noted.unsigned, unsigned) != unsigned && unsigned.is_some() {
            notes.push(Note::Unsigned { router: n, source: judged.source });
        }
        let skewed = skew.map(|_| judged.source);
        if std::mem::replace(&mut router.noted.skewed, skewed) != skewed
            && let Some(skew) = skew
        {
            notes.push(Note::ClockSkew { router: n, source: judged.source, skew });
        }
        let differs = (!judged.addresses_match).then_some(judged.source);
        if std::mem::replace(&mut router.noted.addresses_differ, differs) != differs && differs.is_some() {
            notes.push(Note::AddressesDiffer { router: n, source: judged.source });
        }
        if judged.interval_differs {
            on.count(Counter::IntervalLearned);
        }
        let learned = judged.interval_differs.then(|| (judged.source, judged.advert.interval.get()));
        if std::mem::replace(&mut router.noted.interval_differs, learned) != learned && learned.is_some() {
            notes.push(Note::IntervalLearned {
                router: n,
                source: judged.source,
                interval: judged.advert.interval,
            });
        }
        if judged.advert.priority > 0 {
            self.heard_peer(interface, judged.source, frame.at);
        }
        self.node.heard(Heard {
            router: n,
            source: judged.source,
            mac: frame.source_mac,
            priority: judged.advert.priority,
            interval: judged.advert.interval.span(),
            at: frame.at,
            mark: self.routers[n].mark(frame),
            unheard: frame.unheard,
        });
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
        self.uninstall(&[]);
        self.notes.extend(batch.taken);
        for note in std::mem::take(&mut self.notes) {
            if let Some(event) = tell::event(&note, &self.routers, &self.node) {
                self.notifier.tell(event);
            }
            note.log(&self.routers, &self.interfaces, &self.node);
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
                    queue_advert(router, &mut self.interfaces[router.interface], priority);
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
            let taken = self.install(&added);
            if taken.is_some() {
                batch.taken = taken;
            }
        }
        if !batch.removed.is_empty() {
            let removed = std::mem::take(&mut batch.removed);
            self.uninstall(&removed);
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
        if batch.taken.is_some() {
            let held = self.held_addresses();
            self.links.forward(&held);
        }
        self.install_static_addresses();
        self.install_routes();
        self.uninstall_routes();
    }

    /// What the node tells becomes a line for the log, and more.
    fn take_event(&mut self, event: Event) {
        let now = clock::now();
        let note = match event {
            Event::Transition { router: id, from, to, reason, priority, .. } => {
                let Some(router) = self.routers.get_mut(id) else { return };
                router.count_transition(from, to);
                // What the log adds to the machine's word.
                let cause =
                    if reason == Reason::NotReady { router.noted.fault.join("; ") } else { String::new() };
                Note::Transition { router: id, from, to, reason, priority, cause }
            }
            Event::Resumed(router) => Note::Resumed { router },
            Event::Priority(router) => Note::Priority { router },
            Event::GroupState { group, state } => {
                let Some(config) = self.group_config(group) else { return };
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
                self.deaf.push(on);
                return;
            }
        };
        self.notes.push(note);
    }

    pub(super) fn send_adverts(&mut self) {
        for interface in &mut self.interfaces {
            for failure in interface.flush() {
                let id = router_of(failure.tag);
                let Some(router) = self.routers.get_mut(id) else { continue };
                if router.noted.send_failure.replace(failure.errno) != Some(failure.errno) {
                    self.notes.push(Note::SendFailure { router: id, failure });
                }
            }
        }
    }

    /// Adds the addresses of these routers in one netlink batch.
    fn install(&mut self, ids: &[RouterId]) -> Option<Note> {
        let now = clock::now();
        let Self { routers, addresses, monitor, notes, links, .. } = self;
        let (mut specs, mut owners) = (Vec::new(), Vec::new());
        for &n in ids {
            let Some(router) = routers.get_mut(n) else { continue };
            router.installed_at = now;
            let wanted = router_specs(router, monitor.links(), |missing| {
                notes.push(Note::NoDevice { router: n, device: missing.to_owned() });
            });
            router.untold = wanted.iter().map(|spec| (spec.ifindex, spec.address)).collect();
            router.placed.clone_from(&router.untold);
            specs.extend(wanted);
            owners.resize(specs.len(), n);
        }
        if specs.is_empty() {
            return None;
        }
        links.enable_ipv6(&specs);
        let start = clock::now();
        let outcomes = addresses.add(&specs);
        let took = clock::now().span_since(start);
        let mut added = 0;
        for ((outcome, spec), n) in outcomes.into_iter().zip(&specs).zip(owners) {
            match outcome {
                Outcome::Added => match routers.get_mut(n) {
                    Some(router) if router.lost.contains(&(spec.ifindex, spec.address)) => {
                        let entry = format!("{}/{}", spec.address, spec.prefix);
                        notes.push(Note::PutBack { router: Some(n), entry });
                    }
                    _ => added += 1,
                },
                Outcome::AlreadyThere { ours: true } => {}
                Outcome::AlreadyThere { ours: false } => {
                    notes.push(Note::ForeignAddress { router: n, address: spec.address });
                }
                Outcome::Failed(error) => notes.push(Note::Address { router: n, error }),
            }
        }
        routers.iter_mut().for_each(|router| router.lost.clear());
        (added > 0).then_some(Note::Installed { added, took })
    }

    /// The addresses of all routers that are master.
    fn held_addresses(&self) -> Vec<AddressSpec> {
        let links = self.monitor.links();
        let held = |router: &&Router| {
            let presence = self.node[router.id].presence();
            presence.is_wanted() && presence.was_added()
        };
        let holders = self.routers.iter().filter(held);
        holders.flat_map(|router| router_specs(router, links, |_| {})).collect()
    }

    /// Removes the addresses of these routers, and those that a reload has taken out of the configuration.
    fn uninstall(&mut self, ids: &[RouterId]) {
        let mut specs = std::mem::take(&mut self.obsolete);
        let links = self.monitor.links();
        for router in ids.iter().filter_map(|id| self.routers.get(*id)) {
            specs.extend(router_specs(router, links, |_| {}));
        }
        if !specs.is_empty() {
            // A reload may have moved an address to another instance that holds it now.
            let held = self.held_addresses();
            self.links.disable_ipv6(&held);
            self.links.forward(&held);
            let held: HashSet<_> = held.iter().map(AddressSpec::key).collect();
            specs.retain(|spec| !held.contains(&spec.key()));
            for removal in self.addresses.remove(&specs) {
                if let Removal::Failed(error) = removal {
                    self.notes.push(Note::NotRemoved { error });
                }
            }
        }
    }
}

/// Queues an advert, one packet for each destination.
pub(super) fn queue_advert(router: &mut Router, interface: &mut Interface, priority: u8) {
    let (mac, tag) = (router.virtual_mac, router.id.0 as usize);
    router.adverts(priority, |advert| match advert {
        Outgoing::Pdu { endpoints, ttl, pdu } => interface.queue(tag, mac, endpoints, ttl, pdu),
        Outgoing::Packet { destination, packet } => interface.queue_packet(tag, destination, packet),
    });
}

/// The virtual router that an advert was queued for.
pub(super) fn router_of(tag: usize) -> RouterId {
    RouterId(u32::try_from(tag).unwrap_or(u32::MAX))
}

/// Every virtual address of a router with the device that it belongs on; `missing` hears of devices that are not there.
fn router_specs(router: &Router, links: &Links, missing: impl FnMut(&str)) -> Vec<AddressSpec> {
    let config = &router.config;
    specs(vips(config).map(|vip| (config.device_of(vip), vip)), links, missing)
}

/// Addresses on their devices.
pub(super) fn specs<'a>(
    vips: impl Iterator<Item = (&'a str, &'a Vip)>,
    links: &Links,
    mut missing: impl FnMut(&str),
) -> Vec<AddressSpec> {
    vips.filter_map(|(device, vip)| {
        let link = links.by_name(device);
        if link.is_none() {
            missing(device);
        }
        link.map(|link| AddressSpec::new(link.index, vip))
    })
    .collect()
}

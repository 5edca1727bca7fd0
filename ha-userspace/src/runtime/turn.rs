//! One turn of the loop: judge what arrived, read the stamps, serve the timers, then carry out what follows.
//!
//! The order is the contract of [`ha_common::machine`]. What follows is collected first and carried out together:
//! all adverts, then all addresses in one netlink batch, then all announcements in one system call, then routes and
//! rules in another netlink batch, then removals, then log lines.
//! A hundred virtual routers that lose their master at once cost little more than one.

use std::collections::HashSet;

use ha_common::counter::Counter;
use ha_common::machine::{Action, Effect, Input, Reason, State};
use ha_common::probe;
use ha_common::time::Time;
use ha_common::types::Priority;
use ha_common::validate::{Meta, is_multicast};

use super::daemon::Daemon;
use super::fence;
use super::interface::{Frame, Interface};
use super::links::vips;
use super::note::Note;
use super::router::{Accepted, Outgoing, Router};
use super::tell;
use crate::config::model::Vip;
use crate::net::addresses::{AddressSpec, Outcome, Removal};
use crate::net::clock;
use crate::net::monitor::Links;

impl Daemon {
    /// Does everything that is due now and arms the timer for what is due next.
    pub(super) fn turn(&mut self) {
        // Deadlines are judged at a time before everything that speaks for a master is read: whatever stalls this
        // turn, an advert that came in time is seen.
        let now = clock::now();
        let started = self.start_at.take_if(|at| *at <= now).is_some();
        if started || self.delays.next().is_some_and(|at| at <= now) {
            self.reconsider();
        }
        self.guard_leases();
        // Before the queued frames too: a master that resigned and came back while this daemon was stalled is alive.
        self.read_stamps(now);
        self.judge_frames(now);
        self.read_stamps(now);
        self.serve_timers(now);
        self.settle_groups(now);
        self.carry_out();
        if self.statics.take_news() {
            self.reconsider();
            self.carry_out();
        }
        let timers = self.routers.iter().map(Router::next_deadline);
        let next = timers.chain(self.delays.next()).chain(self.lanes.next()).chain(self.start_at).min();
        self.settle_fast(next);
        // For a takeover to come.
        self.prepare_routes();
        if let Err(error) = self.timer.arm(next) {
            tracing::error!("the timer cannot be armed: {error}");
        }
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
        let Self { routers, interfaces, notes, monitor, .. } = self;
        let on = &mut interfaces[interface];
        let found = frame.router().and_then(|id| {
            routers.iter().position(|router| {
                router.interface == interface
                    && (router.config.family, router.config.vrid) == id
                    && !router.retired
            })
        });
        let Some(n) = found else {
            on.count(Counter::UnknownVrid);
            self.notice_unknown(interface, frame);
            return;
        };
        let router = &mut routers[n];
        // Whoever does not go on with a role of the run before listens from now on: old adverts say nothing of now.
        if frame.unheard && router.machine.state() != State::Master {
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
        let input = Input::Advert {
            source: judged.source,
            priority: judged.advert.priority,
            interval: judged.advert.interval.span(),
            at: frame.at,
        };
        if router.config.owner_ignore_adverts && router.machine.priority() == Priority::OWNER {
            return;
        }
        if judged.advert.priority > 0 {
            self.heard_peer(interface, judged.source, frame.at);
        }
        self.feed(n, input, now, Some(frame));
    }

    /// Deadlines of all backups move on together, however many there are, so that one wake-up serves them all.
    pub(super) fn read_stamps(&mut self, now: Time) {
        for n in 0..self.routers.len() {
            let router = &self.routers[n];
            if router.machine.state() == State::Backup
                && router.machine.master().is_some()
                && let Some(xdp) = self.interfaces[router.interface].xdp()
            {
                let stamp = xdp.adverts.last_seen(router.slot()).at;
                self.feed(n, Input::Seen(stamp), now, None);
            }
        }
    }

    fn serve_timers(&mut self, now: Time) {
        self.look_for_programs(now);
        let overdue = |router: &Router| {
            router.machine.state() == State::Backup && router.machine.next_deadline() <= now
        };
        for at in 0..self.interfaces.len() {
            if !self.routers.iter().any(|router| router.interface == at && overdue(router)) {
                continue;
            }
            // Only now that a master may be declared dead is it worth asking whether its advert was lost here.
            let lost = self.interfaces[at].lost_frames();
            if std::mem::replace(&mut self.interfaces[at].lost_before, lost) == lost {
                continue;
            }
            self.notes.push(Note::FramesLost { interface: at });
            for n in 0..self.routers.len() {
                if self.routers[n].interface == at {
                    self.feed(n, Input::FramesLost, now, None);
                }
            }
        }
        for n in 0..self.routers.len() {
            if self.routers[n].machine.next_deadline() <= now {
                self.feed(n, Input::Timer, now, None);
            }
        }
    }

    /// Feeds one machine and takes what it wants done. `frame` is the packet being judged.
    pub(super) fn feed(&mut self, n: usize, input: Input, now: Time, frame: Option<&Frame>) {
        let Self { routers, interfaces, groups, notes, fast, .. } = self;
        let router = &mut routers[n];
        let interface = &mut interfaces[router.interface];
        let watched = router.machine.watched().map(|master| master.address);
        let ripe = router.machine.is_ripe();
        router.machine.handle(input, now);
        if let Some(group) = router.group
            && !ripe
            && router.machine.is_ripe()
        {
            groups[group].ripened = Some(n);
        }
        while let Some(action) = router.machine.poll_action() {
            match action {
                Action::SendAdvert { priority } => {
                    let mac = router.virtual_mac;
                    router.adverts(priority, |advert| match advert {
                        Outgoing::Pdu { endpoints, ttl, pdu } => interface.queue(n, mac, endpoints, ttl, pdu),
                        Outgoing::Packet { destination, packet } => {
                            interface.queue_packet(n, destination, packet)
                        }
                    });
                }
                Action::Transition { from, to, reason } => {
                    transition(router, from, to, now);
                    fast.stale = true;
                    fence::enter(router, interface, now);
                    let priority = router.machine.priority();
                    notes.push(Note::Transition {
                        router: n,
                        from,
                        to,
                        reason,
                        priority,
                        cause: cause(router, reason),
                    });
                }
                Action::Track => track(router, interface, frame),
                Action::Untrack => {
                    if let Some(xdp) = interface.xdp() {
                        xdp.adverts.untrack(router.slot());
                    }
                }
                Action::DuplicateAddress => {
                    if !std::mem::replace(&mut router.noted.duplicate, true) {
                        notes.push(Note::Duplicate { router: n });
                    }
                }
                Action::Yielded => router.announce_again(now),
                Action::Contested => {
                    router.announce_again(now);
                    if tell::lower_priority(router, now) {
                        notes.push(Note::LowerPriority { router: n });
                    }
                }
            }
        }
        fast.stale |= watch(router, frame);
        // Whoever resigned is watched on: its word that it did may still be under way.
        let now_watched = router.machine.watched().map(|master| master.address);
        fast.stale |= now_watched.is_some() && now_watched != watched;
        // The successor may have been heard, and answer from now on.
        if router.machine.state() == State::Leaving {
            fence::show(router, interface);
        }
    }

    /// Adverts first: the old master must let go before hosts learn the new MAC address. Where the address moves with a
    /// virtual MAC address, the switch learns from the advert: the addresses come first, or packets would arrive that a
    /// router then forwards, and the question that it asks for that is answered by the old master, to whom the switch
    /// then turns back.
    fn carry_out(&mut self) {
        let virtual_mac =
            |router: &Router| router.holding && !router.complete && router.virtual_mac.is_some();
        let early = if self.routers.iter().any(virtual_mac) { self.install() } else { None };
        self.send_adverts();
        let taken = early.or_else(|| self.install());
        self.announce();
        if taken.is_some() {
            let held = self.held_addresses();
            self.links.forward(&held);
        }
        self.install_static_addresses();
        self.install_routes();
        self.uninstall_routes();
        self.uninstall();
        if let Some(took) = taken {
            self.notes.push(took);
        }
        for note in std::mem::take(&mut self.notes) {
            if let Some(event) = tell::event(&note, &self.routers) {
                self.notifier.tell(event);
            }
            note.log(&self.routers, &self.interfaces);
        }
    }

    pub(super) fn send_adverts(&mut self) {
        for interface in &mut self.interfaces {
            for failure in interface.flush() {
                let Some(router) = self.routers.get_mut(failure.tag) else { continue };
                if router.noted.send_failure.replace(failure.errno) != Some(failure.errno) {
                    self.notes.push(Note::SendFailure { router: failure.tag, failure });
                }
            }
        }
    }

    fn install(&mut self) -> Option<Note> {
        let now = clock::now();
        let Self { routers, addresses, monitor, notes, links, .. } = self;
        let (mut specs, mut owners) = (Vec::new(), Vec::new());
        for (n, router) in routers.iter_mut().enumerate() {
            if router.holding && !router.complete {
                router.installed = true;
                router.complete = true;
                router.installed_at = now;
                let wanted = router_specs(router, monitor.links(), |missing| {
                    notes.push(Note::NoDevice { router: n, device: missing.to_owned() });
                });
                router.untold = wanted.iter().map(|spec| (spec.ifindex, spec.address)).collect();
                router.placed.clone_from(&router.untold);
                specs.extend(wanted);
                owners.resize(specs.len(), n);
            }
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
        let holders = self.routers.iter().filter(|router| router.holding && router.installed);
        holders.flat_map(|router| router_specs(router, links, |_| {})).collect()
    }

    fn uninstall(&mut self) {
        let mut specs = std::mem::take(&mut self.obsolete);
        let links = self.monitor.links();
        let mut released = Vec::new();
        for (n, router) in self.routers.iter_mut().enumerate() {
            if !router.holding && router.installed {
                router.installed = false;
                router.complete = false;
                released.push(n);
                specs.extend(router_specs(router, links, |_| {}));
            }
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
        self.released(&released);
    }
}

fn transition(router: &mut Router, from: State, to: State, now: Time) {
    router.count_transition(from, to);
    router.holding = to.holds_addresses();
    match Effect::of(from, to) {
        Effect::TakeOver => {
            router.arp.start(now);
            router.na.start(now);
        }
        Effect::Release => {
            router.arp.stop();
            router.na.stop();
        }
        // The addresses are still here, but who asks for them is to hear of the successor.
        Effect::Keep if to == State::Leaving => {
            router.arp.stop();
            router.na.stop();
        }
        Effect::Keep => {}
    }
}

/// What the log adds to the machine's word.
fn cause(router: &Router, reason: Reason) -> String {
    if reason == Reason::NotReady { router.noted.fault.join("; ") } else { String::new() }
}

fn track(router: &Router, interface: &Interface, frame: Option<&Frame>) {
    let (Some(frame), Some(xdp)) = (frame, interface.xdp()) else { return };
    let source = frame.endpoints.source();
    // Two signed adverts are never alike, and what looks like one before is a replay: the program has nothing to compare.
    if router.config.hmac.on().is_some() || frame.authenticated.is_some() {
        xdp.adverts.follow(router.slot(), frame.at, source);
    } else if frame.fingerprint != 0 {
        xdp.adverts.track(router.slot(), frame.fingerprint, frame.at, source);
    }
}

/// Notes where adverts of the watched master come from, whether or not it is followed. True where that is news.
fn watch(router: &mut Router, frame: Option<&Frame>) -> bool {
    let Some(frame) = frame else { return false };
    let (Some(watched), Some(mac)) = (router.machine.watched(), frame.source_mac) else { return false };
    let seen = Some((watched.address, mac));
    watched.address == frame.endpoints.source() && std::mem::replace(&mut router.master_mac, seen) != seen
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

#[cfg(test)]
mod tests;

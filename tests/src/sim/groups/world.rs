//! The wires between the hosts, and the virtual clock.

use std::collections::VecDeque;

use ha_common::machine::State;
use ha_common::node::InterfaceId;
use ha_common::time::{Span, Time};

use super::GroupStats;
use super::cast::{HOSTS, INTERFACES, Instance, Place};
use super::faults::Fault;
use super::host::{Host, Sinks, label};
use crate::rng::Rng;
use crate::sim::agenda::Agenda;
use crate::sim::check::Expect;
use crate::sim::shrink::Spared;
use crate::sim::timeline::millis;

/// Lines that a failure shows.
const KEEP: usize = 100;
/// Two masters at once, in calm: the wire, and a process that comes late.
const OVERLAP: Span = Span::from_millis(10);
/// How often leases are looked at.
const RENEW: Span = Span::from_millis(33);

/// An advert on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) place: Place,
    pub(super) from: usize,
    pub(super) priority: u8,
    pub(super) interval: Span,
    pub(super) password: u8,
}

impl Frame {
    /// Stands for its fingerprint: all that tells it from others of the same virtual router.
    pub(super) const fn print(&self) -> u64 {
        (self.interval.0 / 1_000_000) << 24
            | (self.from as u64) << 16
            | (self.priority as u64) << 8
            | self.password as u64
    }

    /// The advert with this fingerprint.
    pub(super) const fn of(place: Place, print: u64) -> Self {
        let [password, priority, from, ..] = print.to_le_bytes();
        let interval = Span::from_millis(print >> 24);
        Self { place, from: from as usize, priority, interval, password }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrive { to: usize, frame: usize },
    Main { host: usize },
    Renew { host: usize },
    Thaw { host: usize },
    Fault { fault: usize },
    End { fault: usize },
}

/// A cluster.
pub(super) struct World {
    pub(super) now: Time,
    /// For what befalls the cluster; the wires have their own, so that a fault less leaves the others what they are.
    pub(super) rng: Rng,
    noise: Rng,
    pub(super) hosts: Vec<Host>,
    /// What all files say when nothing has been changed in them.
    pub(super) files: Vec<Vec<Instance>>,
    pub(super) expect: Expect,
    pub(super) stats: GroupStats,
    /// On each interface, hosts whose bits are equal hear each other.
    pub(super) sides: [u8; INTERFACES],
    pub(super) loss: u64,
    pub(super) delay: Span,
    /// Faults so far, and those that do not come about.
    pub(super) faults: u32,
    pub(super) spared: Spared,
    pub(super) telling: bool,
    notes: VecDeque<String>,
    agenda: Agenda<Event>,
    frames: Vec<Frame>,
    planned: Vec<Fault>,
    two_since: Option<Time>,
    /// When the latest frame arrives that one host sent to another.
    latest: [[Time; HOSTS]; HOSTS],
}

impl World {
    pub(super) fn new(rng: Rng, hosts: Vec<Host>, spared: Spared, telling: bool) -> Self {
        let files = hosts.iter().map(|host| host.file.clone()).collect();
        let noise = Rng::new(rng.clone().next());
        let mut world = Self {
            now: Time(1_000_000_000),
            rng,
            noise,
            hosts,
            files,
            expect: Expect::Anything,
            stats: GroupStats::default(),
            sides: [0; INTERFACES],
            loss: 0,
            delay: Span::ZERO,
            faults: 0,
            spared,
            telling,
            notes: VecDeque::new(),
            agenda: Agenda::new(),
            frames: Vec::new(),
            planned: Vec::new(),
            two_since: None,
            latest: Default::default(),
        };
        for host in 0..world.hosts.len() {
            let phase = world.rng.span(Span::ZERO, RENEW);
            world.agenda.push(world.now.after(phase), Event::Renew { host });
        }
        world
    }

    pub(super) fn note(&mut self, what: impl FnOnce() -> String) {
        if self.telling {
            if self.notes.len() == KEEP {
                self.notes.pop_front();
            }
            self.notes.push_back(format!("  {:>14} {}\n", millis(Span(self.now.0)), what()));
        }
    }

    pub(super) fn timeline(&self) -> String {
        self.notes.iter().map(String::as_str).collect()
    }

    /// Something that will befall the cluster.
    pub(super) fn plan(&mut self, at: Time, fault: Fault) {
        self.planned.push(fault);
        self.agenda.push(at, Event::Fault { fault: self.planned.len() - 1 });
    }

    /// What ends a fault; no story is spared that.
    pub(super) fn plan_end(&mut self, at: Time, fault: Fault) {
        self.planned.push(fault);
        self.agenda.push(at, Event::End { fault: self.planned.len() - 1 });
    }

    pub(super) fn phase(&mut self, expect: Expect, name: &'static str) {
        self.note(|| format!("== {name}"));
        self.expect = expect;
        self.two_since = None;
    }

    pub(super) fn pass(&mut self, span: Span) -> Result<(), String> {
        let end = self.now.after(span);
        while let Some((at, event)) = self.agenda.next_until(end) {
            self.now = at;
            self.stats.steps += 1;
            let transitions = self.stats.transitions;
            self.step(event)?;
            self.check(self.stats.transitions != transitions)?;
        }
        self.now = end;
        self.check(false)
    }

    fn step(&mut self, event: Event) -> Result<(), String> {
        match event {
            Event::Arrive { to, frame } => self.arrive(to, self.frames[frame]),
            Event::Main { host } => {
                if self.hosts[host].wake_at == Some(self.now) {
                    self.hosts[host].wake_at = None;
                    self.drive(host)?;
                }
            }
            Event::Renew { host } => {
                let now = self.now;
                if self.hosts[host].frozen_until <= now && self.hosts[host].renew(now) {
                    self.wake_soon(host);
                }
                self.agenda.push(now.after(RENEW), Event::Renew { host });
            }
            Event::Thaw { host } => {
                for frame in std::mem::take(&mut self.hosts[host].card) {
                    self.arrive(host, frame);
                }
                self.wake_soon(host);
            }
            Event::Fault { fault } => self.befall(self.planned[fault])?,
            Event::End { fault } => self.strike(self.planned[fault])?,
        }
        Ok(())
    }

    fn arrive(&mut self, to: usize, frame: Frame) {
        let now = self.now;
        let host = &mut self.hosts[to];
        if !host.powered || !host.carrier[frame.place.0.0 as usize] {
            return;
        }
        if host.frozen_until > now {
            host.card.push(frame);
        } else if host.kernel.receive(frame, now) {
            self.wake_soon(to);
        }
    }

    /// Lets a host do something, and carries what it says.
    pub(super) fn act(
        &mut self,
        id: usize,
        what: impl FnOnce(&mut Host, &mut Sinks<'_>) -> Result<(), String>,
    ) -> Result<(), String> {
        let mut sinks = Sinks {
            now: self.now,
            notes: Vec::new(),
            telling: self.telling,
            frames: Vec::new(),
            transitions: 0,
            resumed: 0,
            moves: 0,
            coverage: &mut self.stats.coverage,
        };
        let done = what(&mut self.hosts[id], &mut sinks);
        let Sinks { notes, frames, transitions, resumed, moves, .. } = sinks;
        self.stats.transitions += transitions;
        self.stats.resumed += resumed;
        self.stats.group_moves += moves;
        for note in notes {
            self.note(|| note);
        }
        for frame in frames {
            self.broadcast(frame);
        }
        done
    }

    fn drive(&mut self, id: usize) -> Result<(), String> {
        let host = &self.hosts[id];
        if host.daemon.is_none() {
            return Ok(());
        }
        if host.stalled_until > self.now || host.frozen_until > self.now {
            self.wake(id, self.now);
            return Ok(());
        }
        self.act(id, Host::main)?;
        let deadline = self.hosts[id].daemon.as_ref().map(|daemon| daemon.node.next_deadline());
        if let Some(deadline) = deadline.filter(|at| *at != Time::NEVER) {
            let late = self.latency();
            self.wake(id, deadline.after(late));
        }
        Ok(())
    }

    fn broadcast(&mut self, frame: Frame) {
        let on = frame.place.0.0 as usize;
        let (place, from, priority) = (frame.place, frame.from, frame.priority);
        self.note(|| format!("h{from} {} sends {priority}", label(Some(place))));
        if !self.hosts[from].carrier[on] {
            return;
        }
        let side = |id: usize| (self.sides[on] >> id) & 1;
        let hearers: Vec<usize> =
            (0..self.hosts.len()).filter(|&to| to != from && side(to) == side(from)).collect();
        self.frames.push(frame);
        let frame = self.frames.len() - 1;
        for to in hearers {
            if self.noise.chance(self.loss) {
                continue;
            }
            let wire = self.noise.span(Span::from_micros(50), Span::from_micros(300));
            let delay = self.noise.span(Span::ZERO, self.delay);
            let mut at = self.now.after(wire).after(delay);
            if self.delay == Span::ZERO {
                // A switch in good health keeps the order.
                at = at.max(self.latest[from][to]);
                self.latest[from][to] = at;
            }
            self.agenda.push(at, Event::Arrive { to, frame });
        }
    }

    pub(super) fn thaw_at(&mut self, host: usize, at: Time) {
        self.agenda.push(at, Event::Thaw { host });
    }

    pub(super) fn wake_soon(&mut self, host: usize) {
        let late = self.latency();
        self.wake(host, self.now.after(late));
    }

    fn wake(&mut self, id: usize, at: Time) {
        let host = &mut self.hosts[id];
        let at = at.max(host.stalled_until.max(host.frozen_until).after(Span(1)));
        if host.wake_at.is_none_or(|planned| at < planned) {
            host.wake_at = Some(at);
            self.agenda.push(at, Event::Main { host: id });
        }
    }

    fn latency(&mut self) -> Span {
        if self.noise.chance(2) {
            self.noise.span(Span::from_millis(1), Span::from_millis(4))
        } else {
            self.noise.span(Span::from_micros(10), Span::from_micros(300))
        }
    }

    /// Every virtual router, with its group.
    pub(super) fn places(&self) -> impl Iterator<Item = (Place, Option<u32>)> {
        self.files[0].iter().map(|instance| (instance.place(), instance.group))
    }

    pub(super) fn masters(&self, place: Place) -> impl Iterator<Item = usize> {
        self.hosts.iter().filter(move |host| host.state(place) == State::Master).map(|host| host.id)
    }

    fn check(&mut self, changed: bool) -> Result<(), String> {
        match self.expect {
            Expect::Anything => return Ok(()),
            Expect::Answered => {
                let unanswered = self
                    .places()
                    .find(|(place, _)| !self.hosts.iter().any(|host| host.kernel.answers(*place)));
                return match unanswered {
                    Some((place, _)) => Err(format!("38: nobody answers for {}", label(Some(place)))),
                    None => Ok(()),
                };
            }
            Expect::Unchanged if changed => return Err("38: a state changed without a reason".to_owned()),
            Expect::OneMaster | Expect::Unchanged => {}
        }
        let mut two = false;
        let mut leaders: Vec<(u32, usize)> = Vec::new();
        for (place, group) in self.places() {
            let mut masters = self.masters(place);
            let Some(first) = masters.next() else {
                // A master that is being restarted on purpose.
                if self.hosts.iter().any(|host| host.daemon.is_none() && host.kernel.answers(place)) {
                    continue;
                }
                return Err(format!("38: {} has no master", label(Some(place))));
            };
            two |= masters.next().is_some();
            if let Some(group) = group {
                two |= leaders.iter().any(|(of, host)| *of == group && *host != first);
                leaders.push((group, first));
            }
        }
        if two {
            let since = *self.two_since.get_or_insert(self.now);
            if self.now.span_since(since) > OVERLAP {
                return Err("38: two masters, or a group on two hosts".to_owned());
            }
        } else {
            self.two_since = None;
        }
        Ok(())
    }

    pub(super) const fn interface(at: usize) -> InterfaceId {
        InterfaceId(at as u32)
    }
}

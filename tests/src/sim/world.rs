//! The routers, the wire between them, and the virtual clock.

use ha_common::machine::{Input, State};
use ha_common::time::{Span, Time};

use super::Stats;
use super::agenda::Agenda;
use super::check::Expect;
use super::driver::{Frame, Node, Sinks};
use super::scenario::Fault;
use super::shrink::Spared;
use super::timeline::{Note, Timeline, millis};
use crate::rng::Rng;

/// The slowest way from one process to another in calm: the wire, and twice a sleepy scheduler.
const OVERLAP: Span = Span::from_millis(10);

/// A card hands over what it held within this time after its host runs again: less than a machine's grace.
const CARD_DELAY: Span = Span::from_millis(3);

/// What the network does to frames.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Weather {
    pub(super) loss: u64,
    pub(super) duplication: u64,
    pub(super) delay: Span,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrive { to: usize, index: usize, counted: bool },
    Wake { node: usize },
    Resume { node: usize },
    Fault { index: usize },
}

/// A cluster of one virtual router.
pub(super) struct World {
    pub(super) now: Time,
    /// For what befalls the cluster; the wires have their own, so that a fault less leaves the others what they are.
    pub(super) rng: Rng,
    noise: Rng,
    spared: Spared,
    pub(super) nodes: Vec<Node>,
    pub(super) expect: Expect,
    pub(super) log: Timeline,
    pub(super) stats: Stats,
    pub(super) weather: Weather,
    /// Routers whose bits are equal hear each other.
    pub(super) partition: u8,
    agenda: Agenda<Event>,
    frames: Vec<Frame>,
    faults: Vec<Fault>,
    two_since: Option<Time>,
}

impl World {
    pub(super) fn new(rng: Rng, nodes: Vec<Node>, spared: Spared) -> Self {
        Self {
            now: Time(1_000_000_000),
            noise: Rng::new(rng.clone().next()),
            rng,
            spared,
            nodes,
            expect: Expect::Anything,
            log: Timeline::default(),
            stats: Stats::default(),
            weather: Weather::default(),
            partition: 0,
            agenda: Agenda::new(),
            frames: Vec::new(),
            faults: Vec::new(),
            two_since: None,
        }
    }

    /// Something that will befall the cluster.
    pub(super) fn plan(&mut self, at: Time, fault: Fault) {
        self.faults.push(fault);
        self.agenda.push(at, Event::Fault { index: self.faults.len() - 1 });
    }

    /// How many faults have been planned so far.
    pub(super) fn planned(&self) -> u32 {
        u32::try_from(self.faults.len()).unwrap_or(u32::MAX)
    }

    pub(super) fn phase(&mut self, expect: Expect, name: &'static str) {
        self.log.note(self.now, Note::Phase(name));
        self.expect = expect;
        self.two_since = None;
    }

    pub(super) fn masters(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|node| node.running() && node.state == State::Master)
    }

    /// Lets time pass; every event is a step, and after every step the invariants are looked at.
    pub(super) fn run_until(&mut self, end: Time) -> Result<(), String> {
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
            Event::Arrive { to, index, counted } => {
                let frame = self.frames[index];
                let node = &mut self.nodes[to];
                if counted {
                    node.undelivered = node.undelivered.saturating_sub(1);
                }
                if node.arrive(frame, self.now, &mut self.log) {
                    self.wake_soon(to);
                }
            }
            Event::Wake { node } => {
                if self.nodes[node].wake_at == Some(self.now) {
                    self.nodes[node].wake_at = None;
                    self.drive(node)?;
                }
            }
            Event::Resume { node } => self.resume(node),
            Event::Fault { index } => {
                let fault = self.faults[index];
                if u32::try_from(index).is_ok_and(|number| self.spared.contains(number)) {
                    return Ok(());
                }
                self.log.note(self.now, Note::Fault(fault));
                self.befall(fault);
            }
        }
        Ok(())
    }

    fn drive(&mut self, id: usize) -> Result<(), String> {
        let now = self.now;
        let mut sent = Vec::new();
        let node = &mut self.nodes[id];
        if node.stalled_until > now || !node.running() {
            return Ok(());
        }
        let mut sinks = Sinks { log: &mut self.log, stats: &mut self.stats, sent: &mut sent };
        node.drive(now, &mut sinks)?;
        let deadline = node.next_deadline();
        if deadline != Time::NEVER {
            let late = self.latency();
            self.wake(id, deadline.after(late));
        }
        for frame in sent {
            self.broadcast(frame);
        }
        Ok(())
    }

    fn broadcast(&mut self, frame: Frame) {
        let side = |id: usize| (self.partition >> id) & 1;
        let hearers: Vec<usize> =
            (0..self.nodes.len()).filter(|&to| to != frame.from && side(to) == side(frame.from)).collect();
        self.frames.push(frame);
        let index = self.frames.len() - 1;
        for to in hearers {
            if self.noise.chance(self.weather.loss) {
                continue;
            }
            let copies = 1 + u64::from(self.noise.chance(self.weather.duplication));
            for _ in 0..copies {
                let wire = self.noise.span(Span::from_micros(50), Span::from_micros(500));
                let delay = wire.plus(self.noise.span(Span::ZERO, self.weather.delay));
                let mut at = self.now.after(delay);
                if self.weather.delay == Span::ZERO {
                    // A switch in good health keeps the order.
                    at = at.max(self.nodes[to].latest[frame.from].after(Span(1)));
                    self.nodes[to].latest[frame.from] = at;
                }
                self.agenda.push(at, Event::Arrive { to, index, counted: false });
            }
        }
    }

    /// A daemon or a host gets no CPU for a while.
    pub(super) fn stall(&mut self, id: usize, span: Span, whole_host: bool) {
        let until = self.now.after(span);
        let node = &mut self.nodes[id];
        if node.stalled_until > self.now {
            return;
        }
        node.stalled_until = until;
        node.frozen = whole_host;
        self.agenda.push(until, Event::Resume { node: id });
    }

    fn resume(&mut self, id: usize) {
        let node = &mut self.nodes[id];
        self.log.note(self.now, Note::Resumed { node: id, held: node.card.len() });
        if node.frozen {
            node.frozen = false;
            let held: Vec<Frame> = node.card.drain(..).collect();
            // Interrupts run before processes; only where the timer, too, is overdue it is anybody's race.
            let deadline = node.next_deadline();
            let race = deadline.after(CARD_DELAY) < self.now;
            let delay = if race { self.noise.span(Span::ZERO, CARD_DELAY) } else { Span::ZERO };
            // One after the other, as the kernel's time stamps are.
            for (frame, nth) in held.into_iter().zip(0..) {
                let counted = self.nodes[id].respects(&frame);
                self.nodes[id].undelivered += usize::from(counted);
                self.frames.push(frame);
                let index = self.frames.len() - 1;
                self.agenda
                    .push(self.now.after(delay.plus(Span(nth))), Event::Arrive { to: id, index, counted });
            }
        }
        self.wake_soon(id);
    }

    /// Tells a daemon something; it reads that when it has the CPU.
    pub(super) fn tell(&mut self, id: usize, input: Input) {
        if self.nodes[id].running() {
            self.nodes[id].pending.push(input);
            self.wake_soon(id);
        }
    }

    pub(super) fn wake_soon(&mut self, id: usize) {
        let late = self.latency();
        self.wake(id, self.now.after(late));
    }

    fn wake(&mut self, id: usize, at: Time) {
        let node = &mut self.nodes[id];
        let at = at.max(node.stalled_until.after(Span(1)));
        if node.wake_at.is_none_or(|planned| at < planned) {
            node.wake_at = Some(at);
            self.agenda.push(at, Event::Wake { node: id });
        }
    }

    /// How late a process runs: mostly little.
    fn latency(&mut self) -> Span {
        if self.noise.chance(2) {
            self.noise.span(Span::from_millis(1), Span::from_millis(4))
        } else {
            self.noise.span(Span::from_micros(10), Span::from_micros(300))
        }
    }

    fn check(&mut self, changed: bool) -> Result<(), String> {
        let now = self.now;
        match self.expect {
            Expect::Anything => return Ok(()),
            Expect::Answered => {
                if !self.nodes.iter().any(|node| node.running() && node.addresses) {
                    return Err("a planned stop left the addresses unanswered".into());
                }
                return Ok(());
            }
            Expect::Unchanged if changed => return Err("38, 41: a state changed without a reason".into()),
            Expect::OneMaster | Expect::Unchanged => {}
        }
        match self.masters().count() {
            0 => Err("38: no master".into()),
            1 => {
                self.two_since = None;
                Ok(())
            }
            _ => {
                let since = *self.two_since.get_or_insert(now);
                if now.span_since(since) > OVERLAP {
                    return Err(format!("38: two masters for {} ms", millis(now.span_since(since))));
                }
                Ok(())
            }
        }
    }
}

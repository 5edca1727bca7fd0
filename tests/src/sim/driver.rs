//! One router: a node, as the daemon has it, and a model of the kernel around it.
//!
//! With XDP, adverts of the tracked fingerprint are stamped and everything else is queued; without, everything is queued
//! with its arrival time. The queue is finite. The kernel part runs while the daemon is stalled.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr};

use ha_common::announce;
use ha_common::judge;
use ha_common::machine::{Input, Machine, Params, Reason, State};
use ha_common::node::{
    self, Effect, Event, Fitness, Heard, Inherited, InterfaceId, Kernel, LeaseView, Mark, RouterId, Stamp,
};
use ha_common::time::{Span, Time};
use ha_common::types::{Family, Priority, Version, Vrid};

use super::Stats;
use super::check::Witness;
use super::effects::Coverage;
use super::timeline::{Note, Timeline};

/// Frames that a ring buffer or a socket queue holds.
const QUEUE: usize = 48;

/// Frames that the card of a frozen host holds.
const CARD: usize = 256;

/// The one virtual router of a node.
const ROUTER: RouterId = RouterId(0);

/// Routers in a cluster, at most.
pub(super) const ROUTERS: usize = 5;

/// An advert on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) from: usize,
    pub(super) priority: u8,
    pub(super) interval: Span,
}

/// A router. Its address grows with its number.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) id: usize,
    pub(super) params: Params,
    pub(super) priority: Priority,
    /// Adverts are stamped by XDP; otherwise they all go through the socket.
    pub(super) xdp: bool,
    /// The daemon; `None` while it does not run.
    daemon: Option<node::Node>,
    /// What it was last told to be fit for.
    fit: Fitness,
    /// State that the transitions so far add up to.
    pub(super) state: State,
    /// Whether the addresses are on the interface. A crash leaves them there.
    pub(super) addresses: bool,
    pub(super) link_up: bool,
    /// No CPU for the daemon until this time.
    pub(super) stalled_until: Time,
    /// No CPU for the whole host.
    pub(super) frozen: bool,
    pub(super) card: VecDeque<Frame>,
    /// Adverts that a master of ours sent and that the card has not delivered yet.
    pub(super) undelivered: usize,
    /// What the operator or netlink told the daemon and it has not read yet.
    pub(super) pending: Vec<Input>,
    pub(super) wake_at: Option<Time>,
    /// Latest arrival from each other router, in good weather.
    pub(super) latest: [Time; ROUTERS],
    queue: VecDeque<(Frame, Time)>,
    /// Its priority before this turn.
    priority_before: u8,
    /// It has been master in this turn.
    mastered: bool,
    /// Frames for which there was no room, ever.
    frames_lost: u64,
    fingerprint: Option<Frame>,
    last_seen: Time,
    witness: Witness,
    pub(super) coverage: Coverage,
}

/// Where a step writes what it did.
pub(super) struct Sinks<'a> {
    pub(super) log: &'a mut Timeline,
    pub(super) stats: &'a mut Stats,
    pub(super) sent: &'a mut Vec<Frame>,
}

impl Node {
    pub(super) fn new(id: usize, params: Params, priority: Priority, xdp: bool) -> Self {
        Self {
            id,
            params,
            priority,
            xdp,
            daemon: None,
            fit: Fitness { fitness: Input::Ready(true), waits: false, priority, source: Some(address(id)) },
            state: State::Init,
            addresses: false,
            link_up: true,
            stalled_until: Time(0),
            frozen: false,
            card: VecDeque::new(),
            undelivered: 0,
            pending: Vec::new(),
            wake_at: None,
            latest: [Time(0); ROUTERS],
            queue: VecDeque::new(),
            priority_before: 0,
            mastered: false,
            frames_lost: 0,
            fingerprint: None,
            last_seen: Time(0),
            witness: Witness::default(),
            coverage: Coverage::default(),
        }
    }

    pub(super) fn running(&self) -> bool {
        self.daemon.is_some()
    }

    fn machine(&self) -> Option<&Machine> {
        self.daemon.as_ref().map(|daemon| daemon[ROUTER].machine())
    }

    /// When the daemon wants the CPU.
    pub(super) fn next_deadline(&self) -> Time {
        self.daemon.as_ref().map_or(Time::NEVER, node::Node::next_deadline)
    }

    /// Starts the daemon, which removes the leftovers of an earlier run.
    pub(super) fn start(&mut self, now: Time) {
        self.clear();
        let mut daemon = node::Node::new();
        daemon.add(self.settings(), now);
        daemon.end_start(now);
        self.daemon = Some(daemon);
        self.state = State::Init;
        self.addresses = false;
        self.fit.priority = self.priority;
        self.pending = vec![Input::Ready(self.link_up)];
    }

    /// kill -9: the addresses stay.
    pub(super) fn crash(&mut self) {
        self.daemon = None;
        self.clear();
    }

    fn clear(&mut self) {
        self.queue.clear();
        self.fingerprint = None;
        self.pending.clear();
        self.undelivered = 0;
    }

    /// Whether an advert is one that this router, as backup, must respect.
    pub(super) fn respects(&self, frame: &Frame) -> bool {
        self.machine().is_some_and(|machine| {
            frame.priority > 0 && (frame.priority >= machine.priority().get() || !machine.params().preempt)
        })
    }

    /// Statement 25: whether a master must yield.
    fn outranked_by(&self, frame: &Frame, ours: u8) -> bool {
        (frame.priority, frame.from) > (ours, self.id)
    }

    /// The kernel gets a frame. True if the daemon is to be woken.
    pub(super) fn arrive(&mut self, frame: Frame, now: Time, log: &mut Timeline) -> bool {
        let Some(machine) = self.machine() else { return false };
        if !self.link_up {
            return false;
        }
        let Frame { from, priority, interval } = frame;
        let node = self.id;
        if self.frozen {
            if self.card.len() < CARD {
                self.card.push_back(frame);
            }
            return false;
        }
        if machine.params().version == Version::V2 && interval != machine.params().interval {
            return false;
        }
        let ours = (machine.priority().get(), *machine.params());
        let stamped = self.xdp && self.fingerprint == Some(frame);
        let lost = !stamped && self.queue.len() >= QUEUE;
        self.witness.arrived(from, priority, interval, now, lost, (ours.0, &ours.1));
        if stamped {
            self.last_seen = now;
            log.note(now, Note::Stamped { node, from, priority });
            return false;
        }
        if lost {
            self.frames_lost += 1;
            log.note(now, Note::Overflowed { node, from });
        } else {
            self.queue.push_back((frame, now));
            log.note(now, Note::Queued { node, from, priority });
        }
        true
    }

    /// The daemon has the CPU.
    pub(super) fn drive(&mut self, now: Time, sinks: &mut Sinks<'_>) -> Result<(), String> {
        let Some(mut daemon) = self.daemon.take() else { return Ok(()) };
        let before = daemon[ROUTER].machine().state();
        let mut view = View { stamp: self.stamp(), lost: self.frames_lost };
        self.mastered = before == State::Master;
        self.priority_before = daemon[ROUTER].machine().priority().get();
        let heard: Vec<(Frame, Time)> = self.queue.drain(..).collect();
        for (index, (frame, at)) in heard.iter().enumerate() {
            let Frame { from, priority, interval } = *frame;
            sinks.log.note(now, Note::Judged { node: self.id, from, priority, at: *at });
            daemon.heard(Heard {
                router: ROUTER,
                source: address(from),
                mac: None,
                priority,
                interval,
                at: *at,
                mark: Mark::Fingerprint(index as u64),
                unheard: false,
            });
        }
        let pending = std::mem::take(&mut self.pending);
        if !pending.is_empty() {
            daemon.listen(now, &view);
            self.perform(&mut daemon, &heard, now, sinks)?;
            view.stamp = self.stamp();
        }
        for input in pending {
            // With another priority the card's adverts may be of no concern.
            self.undelivered = 0;
            self.tell(&mut daemon, input, now, &view);
            self.perform(&mut daemon, &heard, now, sinks)?;
            let state = daemon[ROUTER].machine().state();
            if matches!(input, Input::Ready(false)) && !matches!(state, State::Fault | State::Init) {
                return Err(format!("29: r{} without a link is {state}", self.id));
            }
        }
        // Every 16th step or so, the same calls must give the same effects.
        let mut twin = now.0.is_multiple_of(16).then(|| daemon.clone());
        let due = daemon[ROUTER].machine().next_deadline() <= now;
        daemon.turn(now, &mut view);
        if let Some(twin) = &mut twin {
            twin.turn(now, &mut view);
            let mut other = daemon.clone();
            while let Some(effect) = other.poll_effect() {
                if twin.poll_effect().as_ref() != Some(&effect) {
                    return Err(format!("40: r{} does not repeat {effect:?}", self.id));
                }
            }
        }
        self.perform(&mut daemon, &heard, now, sinks)?;
        let machine = daemon[ROUTER].machine();
        let next = machine.next_deadline();
        if due {
            sinks.log.note(now, Note::TimerFired { node: self.id, next });
        }
        if next <= now {
            return Err(format!("40: r{}: after a turn the deadline is not ahead", self.id));
        }
        if machine.state() != self.state {
            return Err(format!("r{} is {}, its transitions say {}", self.id, machine.state(), self.state));
        }
        if self.addresses != machine.state().holds_addresses() {
            return Err(format!("36: r{} is {}, addresses: {}", self.id, machine.state(), self.addresses));
        }
        if machine.stopped() && machine.state() == State::Init {
            self.clear();
        } else {
            self.daemon = Some(daemon);
        }
        Ok(())
    }

    fn stamp(&self) -> Option<Stamp> {
        self.xdp.then_some(Stamp { at: self.last_seen, other_at: Time(0) })
    }

    /// What the operator or netlink says.
    fn tell(&mut self, daemon: &mut node::Node, input: Input, now: Time, view: &View) {
        match input {
            Input::Ready(_) => self.fit.fitness = input,
            Input::SetPriority(priority) => self.fit.priority = priority,
            Input::Reconfigure(params) => {
                self.params = params;
                daemon.configure(ROUTER, self.settings(), now);
                return;
            }
            _ => {
                daemon.stop(now, view);
                return;
            }
        }
        daemon.set_fitness(ROUTER, self.fit, now);
        daemon.settle_fitness(now, view);
    }

    fn settings(&self) -> node::Settings {
        let quiet =
            announce::Settings { repeat: 0, delay: Span::ZERO, refresh: Span::ZERO, refresh_repeat: 0 };
        node::Settings {
            interface: InterfaceId(0),
            params: self.params,
            priority: self.priority,
            fast: false,
            judge: judge::Settings::default(),
            lease: Span::from_millis(100),
            announce: quiet,
            again: (Span::ZERO, 0),
            virtual_mac: false,
            hot_standby: false,
            owner_ignores_adverts: false,
        }
    }

    /// Carries out what the node wants done, and looks at it. `heard` is what it was told of in this turn.
    fn perform(
        &mut self,
        daemon: &mut node::Node,
        heard: &[(Frame, Time)],
        now: Time,
        sinks: &mut Sinks<'_>,
    ) -> Result<(), String> {
        let mut sent = Vec::new();
        self.coverage.inputs(daemon.reached());
        while let Some(effect) = daemon.poll_effect() {
            self.coverage.effect(&effect);
            match effect {
                Effect::Advert { priority, .. } => sent.push(priority),
                Effect::AddAddresses(_) => self.addresses = true,
                Effect::RemoveAddresses(_) => self.addresses = false,
                Effect::Track { mark: Mark::Fingerprint(index), at, .. } => {
                    let found = usize::try_from(index).ok().and_then(|index| heard.get(index));
                    let (frame, _) = found.ok_or_else(|| format!("r{} tracks without an advert", self.id))?;
                    self.fingerprint = Some(*frame);
                    self.last_seen = self.last_seen.max(at);
                    sinks.log.note(now, Note::Tracks { node: self.id, from: frame.from });
                }
                Effect::Untrack(_) => {
                    self.fingerprint = None;
                    sinks.log.note(now, Note::Untracks { node: self.id });
                }
                Effect::Event(Event::Transition { from, to, reason, .. }) => {
                    let machine = daemon[ROUTER].machine();
                    // It may have been given another priority since.
                    let ours = machine.priority().get().min(self.priority_before);
                    let outranked = heard.iter().any(|(frame, _)| self.outranked_by(frame, ours));
                    if (from, to) == (State::Master, State::Backup) && !outranked {
                        return Err(format!("25: r{} yields to none of {heard:?}", self.id));
                    }
                    self.change(machine, from, to, reason, now, sinks)?;
                }
                Effect::Event(Event::DuplicateAddress(_)) => {
                    return Err(format!("26: r{} heard itself", self.id));
                }
                _ => {}
            }
        }
        let machine = daemon[ROUTER].machine();
        for priority in sent {
            // `higher_prio_send_advert`: a master's last word.
            let allowed = match priority {
                0 => machine.stopped(),
                _ => self.mastered || machine.state() == State::Master,
            };
            if !allowed {
                return Err(format!("r{} sent {priority} as {}", self.id, machine.state()));
            }
            if self.link_up {
                sinks.log.note(now, Note::Sent { node: self.id, priority });
                sinks.sent.push(Frame { from: self.id, priority, interval: machine.interval() });
            }
        }
        Ok(())
    }

    fn change(
        &mut self,
        machine: &Machine,
        from: State,
        to: State,
        reason: Reason,
        now: Time,
        sinks: &mut Sinks<'_>,
    ) -> Result<(), String> {
        let node = self.id;
        sinks.log.note(now, Note::State { node, from, to, reason });
        sinks.stats.transitions += 1;
        if from != self.state {
            return Err(format!("r{node} goes from {from}, was {}", self.state));
        }
        self.state = to;
        self.mastered |= to == State::Master;
        match (from, to) {
            (State::Init | State::Fault, State::Backup) => self.witness.start(now),
            (State::Backup, State::Master) if reason != Reason::Owner => {
                sinks.stats.takeovers += 1;
                if self.undelivered > 0 {
                    return Err(format!("41: r{node} took over while its card held the master's adverts"));
                }
                if let Some(why) = self.witness.objection(machine.priority().get(), machine.params(), now) {
                    return Err(format!("r{node}: {why}"));
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// What the node reads of the kernel.
#[derive(Clone, Copy, Debug)]
struct View {
    stamp: Option<Stamp>,
    lost: u64,
}

impl Kernel for View {
    fn lease(&self, _on: InterfaceId) -> Option<LeaseView> {
        None
    }

    fn is_superseded(&self, _on: InterfaceId, _family: Family, _vrid: Vrid) -> bool {
        false
    }

    fn is_wanted(&self, _on: InterfaceId, _family: Family, _vrid: Vrid) -> bool {
        false
    }

    fn stamp(&self, _on: InterfaceId, _family: Family, _vrid: Vrid) -> Option<Stamp> {
        self.stamp
    }

    fn inherited(&self, _on: InterfaceId, _family: Family, _vrid: Vrid) -> Option<Inherited> {
        None
    }

    fn left_at(&self, _on: InterfaceId, _family: Family, _vrid: Vrid) -> Option<Time> {
        None
    }

    fn is_deaf(&mut self, _on: InterfaceId, _urgent: bool) -> bool {
        false
    }

    fn frames_lost(&mut self, _on: InterfaceId) -> u64 {
        self.lost
    }
}

/// 172.16.1.1 and up.
fn address(id: usize) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(172, 16, 1, u8::try_from(id + 1).unwrap_or(u8::MAX)))
}

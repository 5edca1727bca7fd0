//! One router: a state machine, and a model of the driver and the kernel around it.
//!
//! The model keeps the contract of [`ha_common::machine`]: stamp, queue, loss, stamp, timer. With XDP, adverts of
//! the tracked fingerprint are stamped and everything else is queued; without, everything is queued with its
//! arrival time. The queue is finite. The kernel part runs while the daemon is stalled.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr};

use ha_common::machine::{Action, Effect, Input, Machine, Params, Reason, State};
use ha_common::time::{Span, Time};
use ha_common::types::{Priority, Version};

use super::Stats;
use super::check::Witness;
use super::timeline::{Note, Timeline};

/// Frames that a ring buffer or a socket queue holds.
const QUEUE: usize = 48;

/// Frames that the card of a frozen host holds.
const CARD: usize = 256;

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
    pub(super) machine: Option<Machine>,
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
    queue_lost: bool,
    fingerprint: Option<Frame>,
    last_seen: Time,
    witness: Witness,
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
            machine: None,
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
            queue_lost: false,
            fingerprint: None,
            last_seen: Time(0),
            witness: Witness::default(),
        }
    }

    pub(super) fn address(&self) -> IpAddr {
        address(self.id)
    }

    pub(super) fn running(&self) -> bool {
        self.machine.is_some()
    }

    /// Starts the daemon, which removes the leftovers of an earlier run.
    pub(super) fn start(&mut self, now: Time) {
        self.clear();
        self.machine = Some(Machine::new(self.params, self.priority, now));
        self.state = State::Init;
        self.addresses = false;
        self.pending = vec![Input::SetAddress(self.address()), Input::Ready(self.link_up)];
    }

    /// kill -9: the addresses stay.
    pub(super) fn crash(&mut self) {
        self.machine = None;
        self.clear();
    }

    fn clear(&mut self) {
        self.queue.clear();
        self.queue_lost = false;
        self.fingerprint = None;
        self.pending.clear();
        self.undelivered = 0;
    }

    /// Whether an advert is one that this router, as backup, must respect.
    pub(super) fn respects(&self, frame: &Frame) -> bool {
        self.machine.as_ref().is_some_and(|machine| {
            frame.priority > 0 && (frame.priority >= machine.priority().get() || !machine.params().preempt)
        })
    }

    /// Statement 25: whether a master must yield.
    fn outranked_by(&self, frame: &Frame, machine: &Machine) -> bool {
        (frame.priority, frame.from) > (machine.priority().get(), self.id)
    }

    /// The kernel gets a frame. True if the daemon is to be woken.
    pub(super) fn arrive(&mut self, frame: Frame, now: Time, log: &mut Timeline) -> bool {
        let Some(machine) = &self.machine else { return false };
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
        let ours = (machine.priority().get(), machine.params());
        let stamped = self.xdp && self.fingerprint == Some(frame);
        let lost = !stamped && self.queue.len() >= QUEUE;
        self.witness.arrived(from, priority, interval, now, lost, ours);
        if stamped {
            self.last_seen = now;
            log.note(now, Note::Stamped { node, from, priority });
            return false;
        }
        if lost {
            self.queue_lost = true;
            log.note(now, Note::Overflowed { node, from });
        } else {
            self.queue.push_back((frame, now));
            log.note(now, Note::Queued { node, from, priority });
        }
        true
    }

    /// The daemon has the CPU.
    pub(super) fn drive(&mut self, now: Time, sinks: &mut Sinks<'_>) -> Result<(), String> {
        self.feed_stamp(now, sinks)?;
        while let Some((frame, at)) = self.queue.pop_front() {
            let Frame { from, priority, interval } = frame;
            sinks.log.note(now, Note::Judged { node: self.id, from, priority, at });
            let advert = Input::Advert { source: address(from), priority, interval, at };
            self.feed(advert, Some((frame, at)), now, sinks)?;
        }
        if std::mem::take(&mut self.queue_lost) {
            sinks.log.note(now, Note::FramesLost { node: self.id });
            self.feed(Input::FramesLost, None, now, sinks)?;
        }
        self.feed_stamp(now, sinks)?;
        for input in std::mem::take(&mut self.pending) {
            // With another priority the card's adverts may be of no concern.
            self.undelivered = 0;
            self.feed(input, None, now, sinks)?;
        }
        let Some(machine) = &self.machine else { return Ok(()) };
        if now >= machine.next_deadline() {
            self.feed(Input::Timer, None, now, sinks)?;
        }
        if let Some(machine) = &self.machine
            && machine.stopped()
            && machine.state() == State::Init
        {
            self.machine = None;
            self.clear();
        }
        Ok(())
    }

    fn feed_stamp(&mut self, now: Time, sinks: &mut Sinks<'_>) -> Result<(), String> {
        if self.fingerprint.is_some() {
            self.feed(Input::Seen(self.last_seen), None, now, sinks)?;
        }
        Ok(())
    }

    /// One input, all its actions, and what must hold afterwards.
    fn feed(
        &mut self,
        input: Input,
        frame: Option<(Frame, Time)>,
        now: Time,
        sinks: &mut Sinks<'_>,
    ) -> Result<(), String> {
        let Some(mut machine) = self.machine.take() else { return Ok(()) };
        // Every 16th step or so, the same inputs must give the same actions.
        let mut twin = now.0.is_multiple_of(16).then(|| machine.clone());
        let (before, deadline) = (machine.state(), machine.next_deadline());
        let mut sent = Vec::new();
        machine.handle(input, now);
        if let Some(twin) = &mut twin {
            twin.handle(input, now);
        }
        while let Some(action) = machine.poll_action() {
            if twin.as_mut().is_some_and(|twin| twin.poll_action() != Some(action)) {
                return Err(format!("40: r{} does not repeat {action:?} for {input:?}", self.id));
            }
            match action {
                Action::SendAdvert { priority } => sent.push(priority),
                Action::Transition { from, to, reason } => {
                    let outranked = frame.is_some_and(|(frame, _)| self.outranked_by(&frame, &machine));
                    if (from, to) == (State::Master, State::Backup) && !outranked {
                        return Err(format!("25: r{} yields to {frame:?}", self.id));
                    }
                    self.change(&machine, from, to, reason, now, sinks)?;
                }
                Action::Track => {
                    let (frame, at) =
                        frame.ok_or_else(|| format!("r{} tracks without an advert", self.id))?;
                    self.fingerprint = Some(frame);
                    self.last_seen = self.last_seen.max(at);
                    sinks.log.note(now, Note::Tracks { node: self.id, from: frame.from });
                }
                Action::Untrack => {
                    self.fingerprint = None;
                    sinks.log.note(now, Note::Untracks { node: self.id });
                }
                Action::DuplicateAddress => return Err(format!("26: r{} heard itself", self.id)),
                Action::Contested | Action::Yielded => {}
            }
        }
        for priority in sent {
            // `higher_prio_send_advert`: a master's last word.
            let allowed = match priority {
                0 => machine.state() == State::Leaving,
                _ => before == State::Master || machine.state() == State::Master,
            };
            if !allowed {
                return Err(format!("r{} sent {priority} as {}", self.id, machine.state()));
            }
            if self.link_up {
                sinks.log.note(now, Note::Sent { node: self.id, priority });
                sinks.sent.push(Frame { from: self.id, priority, interval: machine.interval() });
            }
        }
        let next = machine.next_deadline();
        if matches!(input, Input::Timer) {
            sinks.log.note(now, Note::TimerFired { node: self.id, next });
            if next <= now {
                return Err(format!("40: r{}: after the timer the deadline is not ahead", self.id));
            }
        }
        if matches!(input, Input::Ready(false)) && !matches!(machine.state(), State::Fault | State::Init) {
            return Err(format!("29: r{} without a link is {}", self.id, machine.state()));
        }
        if matches!(input, Input::Seen(_)) && next < deadline {
            return Err(format!("40: r{}: a stamp moved the deadline back", self.id));
        }
        if machine.state() != self.state {
            return Err(format!("r{} is {}, its transitions say {}", self.id, machine.state(), self.state));
        }
        if self.addresses != machine.state().holds_addresses() {
            return Err(format!("36: r{} is {}, addresses: {}", self.id, machine.state(), self.addresses));
        }
        self.machine = Some(machine);
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
        match Effect::of(from, to) {
            Effect::Keep => {}
            Effect::TakeOver => self.addresses = true,
            Effect::Release => self.addresses = false,
        }
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

/// 172.16.1.1 and up.
fn address(id: usize) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(172, 16, 1, u8::try_from(id + 1).unwrap_or(u8::MAX)))
}

//! The VRRP state machine of one virtual router (RFC 9568 section 6.4).
//!
//! What lives here: which state the router is in, when that changes, and which adverts are due. What must not: a
//! clock, packets, addresses on interfaces. The daemon's driver and the cluster simulation call it.
//!
//! # Contract
//!
//! A [`Machine`] is a value. The driver feeds it with [`Machine::handle`], then drains [`Machine::poll_action`]
//! until it returns `None`, then arms one timer for [`Machine::next_deadline`]. Time is monotonic and comes in as
//! an argument. A timer that fires early or twice is a no-op, and after [`Input::Timer`] the next deadline lies
//! ahead of `now`. The same inputs give the same actions.
//!
//! Liveness is lazy. While a master is tracked, the XDP program stamps its adverts into a map and nobody is woken.
//! Whenever the driver wakes up it must, in this order:
//!
//! 1. read the stamp from the map ([`Input::Seen`]), before any queued frame changes what is tracked: a master
//!    that resigned and came back, both while the driver was stalled, is alive;
//! 2. judge every frame that is already queued ([`Input::Advert`]);
//! 3. say so if the queue had overflowed ([`Input::FramesLost`]);
//! 4. read the stamp again, and only then, if a deadline has passed, feed [`Input::Timer`].
//!
//! Reading a stamp costs nothing, so a driver with many machines feeds `Seen` to all of them whenever it wakes
//! up: their deadlines then move on together, and a hundred machines cost the wake-ups of one.
//!
//! Silence is measured between times that the kernel took. A driver that runs late finds the evidence of the
//! meantime in its queue or in the map; that the kernel itself may have been late is what the grace period is for.
//!
//! A master that was frozen is still master when it runs again. It judges what was queued first, as above, and so
//! yields to a better router before it has sent anything.
//!
//! # Where this differs from RFC 9568
//!
//! - Priority 0 from another router than the tracked master is ignored: its master is somebody else, alive.
//! - Priority 0 never postpones the takeover of a router that would have taken over sooner.
//! - A master that changes its interval advertises at once, so that the backups' patience is for the new one.
//! - An advert that arrived before our own latest one went out is not answered again. Otherwise a master that
//!   was frozen would answer every advert of the meantime.
//! - A verdict of the judge on the watched master replaces the down timer (`docs/liveness.md`), and a master whose
//!   own lease has run out goes back to backup.
//! - A master whose priority falls advertises at once, eight times in an interval at most, and a backup that it has fallen below takes over as after a verdict
//!   where it preempts and its driver knows that the master runs this program ([`Input::MasterLowered`]).
//! - A router that becomes owner (priority 255) by a reload does not wait for the down timer.

mod backup;
mod evidence;
mod io;
mod last_word;
mod queue;
mod state;
mod timers;
mod view;

#[cfg(test)]
mod tests;

use core::net::IpAddr;

pub use backup::SOON;
pub use evidence::Evidence;
pub use io::{Action, Input, Params, Tracked};
pub use state::{Effect, Reason, State};
pub use timers::{master_down_interval, skew_time};

use crate::time::{Span, Time};
use crate::types::{Priority, Version};
use backup::{Backup, Loss};
use queue::Queue;
use timers::{MAX_INTERVAL, MIN_INTERVAL, next_advert};

/// What a leaving master waits for beyond the slowest successor's skew time: the delivery of its priority 0, the
/// successor's wake-up and the delivery of its first advert.
pub const LEAVE_MARGIN: Span = Span::from_millis(50);

/// What a leaving master waits for after its successor's first advert. Adverts go out first, so at that moment the
/// successor has neither the addresses nor the hosts' attention; whatever is sent to the old master until then is
/// lost if it has let go. keepalived needs a few milliseconds on a busy machine.
pub const HANDOVER: Span = Span::from_millis(50);

/// The same for a successor that probes, and so is prompt: the shorter the time in which both answer, the better.
pub const FAST_HANDOVER: Span = Span::from_millis(1);

/// Adverts that a priority which keeps falling may cost in an interval.
const FALLS_PER_INTERVAL: u64 = 8;

/// How much newer than the driver's time a stamp may be: the driver may lose its CPU between the two readings.
const NEWEST: Span = Span::SECOND;

/// A kernel time that is believed: no stamp from the far future may keep a dead master alive.
fn near(at: Time, now: Time) -> Time {
    at.min(now.after(NEWEST))
}

/// A state and what belongs to it.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::large_enum_variant, reason = "no allocator here, and one value for each virtual router")]
enum Phase {
    Init,
    Fault,
    Backup(Backup),
    Master {
        /// When the next advert is due.
        due: Time,
        /// When the latest one was sent.
        sent: Time,
    },
    Leaving {
        /// When priority 0 was sent.
        resigned: Time,
        /// When to stop waiting for a successor, or for it to be ready.
        until: Time,
        /// The successor was heard.
        succeeded: bool,
    },
}

/// An advert, taken apart.
#[derive(Clone, Copy, Debug)]
struct Heard {
    source: IpAddr,
    priority: u8,
    interval: Span,
    at: Time,
}

/// One virtual router's state machine. The module's documentation has the contract.
#[derive(Clone, Debug)]
pub struct Machine {
    params: Params,
    priority: Priority,
    address: Option<IpAddr>,
    phase: Phase,
    since: Time,
    reason: Reason,
    evidence: Evidence,
    /// The priority before the latest change of it, and when that was.
    own_before: Option<(Priority, Time)>,
    /// Set by [`Input::Stop`]; nothing starts the machine again.
    stopped: bool,
    actions: Queue,
}

impl Machine {
    /// A machine in [`State::Init`]. It starts with `Ready(true)`.
    #[must_use]
    pub fn new(params: Params, priority: Priority, now: Time) -> Self {
        Self {
            params: believable(params),
            priority,
            address: None,
            phase: Phase::Init,
            since: now,
            reason: Reason::Started,
            evidence: Evidence::default(),
            own_before: None,
            stopped: false,
            actions: Queue::default(),
        }
    }

    /// The machine of a router that was master before its daemon was restarted, and whose addresses are still on the
    /// interface. `address` is the interface's primary one, as in [`Input::SetAddress`].
    ///
    /// It is master at once, without a transition, and the first action is an advert. Whether the role may be
    /// resumed is the driver's question (`docs/liveness.md`, "Restart"). Adverts that came while nobody ran the router
    /// are fed afterwards, with the times at which they came: a router that must respect one yields, and claims of
    /// those that must yield are contested although they are older than our latest advert.
    #[must_use]
    pub fn resume_master(params: Params, priority: Priority, address: IpAddr, now: Time) -> Self {
        let mut machine = Self::new(params, priority, now);
        machine.address = Some(address);
        machine.reason = Reason::Resumed;
        machine.send(now);
        machine
    }

    /// Takes one input. `now` is the driver's clock; it never runs backwards.
    pub fn handle(&mut self, input: Input, now: Time) {
        if self.stopped && !matches!(self.phase, Phase::Leaving { .. }) {
            return;
        }
        match input {
            Input::Ready(true) => self.ready(now),
            Input::Ready(false) => self.not_ready(now),
            Input::Unfit => {
                if matches!(self.phase, Phase::Master { .. }) {
                    self.actions.push(Action::SendAdvert { priority: 0 });
                }
                self.not_ready(now);
            }
            Input::Advert { source, priority, interval, at } => {
                let interval = match self.params.version {
                    Version::V2 => self.params.interval,
                    Version::V3 if interval == Span::ZERO => self.params.interval,
                    Version::V3 => interval.clamp(MIN_INTERVAL, MAX_INTERVAL),
                };
                self.advert(Heard { source, priority, interval, at: near(at, now) }, now);
            }
            Input::Seen(stamp) => {
                if let Phase::Backup(backup) = &mut self.phase {
                    backup.seen(near(stamp, now), &self.params, self.priority, now);
                }
            }
            Input::Timer => self.timer(now),
            Input::FramesLost => {
                if let Phase::Backup(backup) = &mut self.phase {
                    backup.frames_lost(now);
                }
            }
            Input::SetPriority(priority) => self.set_priority(priority, now),
            Input::Reconfigure(params) => self.reconfigure(params, now),
            Input::SetAddress(address) => self.address = Some(address),
            Input::Stop => self.stop(now),
            Input::MasterLost { source, verdict, at, affirmed, wait } => {
                self.lost(Loss { source, at, wait, reason: verdict.into(), affirmed });
            }
            Input::MasterResigned { source, at, wait } => {
                self.lost(Loss { source, at, wait, reason: Reason::MasterResigned, affirmed: at });
            }
            Input::MasterLowered { source, at, wait } => {
                if let Phase::Backup(backup) = &self.phase
                    && backup.has_fallen(source, &self.params, self.priority)
                {
                    self.lost(Loss { source, at, wait, reason: Reason::MasterLowered, affirmed: at });
                }
            }
            Input::MasterAlive { source, at } => {
                if let Phase::Backup(backup) = &mut self.phase {
                    backup.alive(source, at);
                }
            }
            Input::StepDown => self.step_down(now),
            Input::TakeOver => {
                if let Phase::Backup(backup) = self.phase
                    && let Some(reason) = backup.ready()
                {
                    self.become_master(reason, now);
                }
            }
            Input::Yield => {
                if matches!(self.phase, Phase::Master { .. }) {
                    self.actions.push(Action::SendAdvert { priority: 0 });
                    self.enter(Phase::Backup(Backup::new(now)), Reason::Group, now);
                }
            }
        }
    }

    /// The next thing that the driver must do. To be drained after each input.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop()
    }

    /// When [`Input::Timer`] is wanted; [`Time::NEVER`] where it is not.
    #[must_use]
    pub fn next_deadline(&self) -> Time {
        match &self.phase {
            Phase::Init | Phase::Fault => Time::NEVER,
            Phase::Backup(backup) => backup.next_deadline(&self.params, self.priority),
            Phase::Master { due, .. } => *due,
            Phase::Leaving { until, .. } => *until,
        }
    }

    /// RFC 9568 section 6.4.1.
    fn ready(&mut self, now: Time) {
        let reason = match self.phase {
            Phase::Init => Reason::Started,
            Phase::Fault => Reason::Recovered,
            Phase::Backup(_) | Phase::Master { .. } | Phase::Leaving { .. } => return,
        };
        if self.priority != Priority::OWNER {
            self.enter(Phase::Backup(Backup::new(now)), reason, now);
        } else if self.params.grouped {
            let mut backup = Backup::new(now);
            backup.become_ready(Reason::Owner, now);
            self.enter(Phase::Backup(backup), reason, now);
        } else {
            self.become_master(Reason::Owner, now);
        }
    }

    fn not_ready(&mut self, now: Time) {
        match self.phase {
            Phase::Fault => {}
            Phase::Init | Phase::Backup(_) | Phase::Master { .. } => {
                self.enter(Phase::Fault, Reason::NotReady, now)
            }
            Phase::Leaving { .. } => self.enter(Phase::Init, Reason::NotReady, now),
        }
    }

    fn stop(&mut self, now: Time) {
        self.stopped = true;
        match self.phase {
            Phase::Init => {}
            Phase::Fault | Phase::Backup(_) | Phase::Leaving { .. } => {
                self.enter(Phase::Init, Reason::Stopped, now)
            }
            Phase::Master { .. } => {
                // "If a Shutdown event is received, then: [...] Send an ADVERTISEMENT with Priority = 0" (6.4.3).
                self.actions.push(Action::SendAdvert { priority: 0 });
                let slowest = Priority::new(1).unwrap_or(Priority::DEFAULT);
                let wait = skew_time(self.params.version, slowest, self.params.interval).plus(LEAVE_MARGIN);
                let leaving = Phase::Leaving { resigned: now, until: now.after(wait), succeeded: false };
                self.enter(leaving, Reason::Stopped, now);
            }
        }
    }

    /// A verdict or a resignation by the bitmap.
    fn lost(&mut self, loss: Loss) {
        if let Phase::Backup(mut backup) = self.phase {
            let verdict = backup.lost(loss);
            self.phase = Phase::Backup(backup);
            self.tracking(verdict);
        }
    }

    /// Whoever took over answers priority 0 with an advert at once, and backups that did not probe learn of it. If nobody
    /// did, this router waits no longer than they do.
    fn step_down(&mut self, now: Time) {
        match self.phase {
            Phase::Init | Phase::Fault | Phase::Backup(_) => {}
            Phase::Master { .. } => {
                self.actions.push(Action::SendAdvert { priority: 0 });
                self.enter(Phase::Backup(Backup::after_resignation(now)), Reason::LeaseExpired, now);
            }
            Phase::Leaving { .. } => self.enter(Phase::Init, Reason::LeaseExpired, now),
        }
    }

    fn advert(&mut self, heard: Heard, now: Time) {
        if self.address == Some(heard.source) {
            self.actions.push(Action::DuplicateAddress);
        }
        match self.phase {
            Phase::Init | Phase::Fault => {}
            Phase::Backup(mut backup) => {
                let verdict = backup.advert(&heard, &self.params, self.priority, now);
                self.phase = Phase::Backup(backup);
                self.tracking(verdict);
            }
            Phase::Master { sent, .. } => self.advert_as_master(&heard, sent, now),
            Phase::Leaving { resigned, succeeded: false, .. } => {
                // What arrived before our resignation is not its answer.
                if heard.priority > 0 && heard.at > resigned {
                    self.phase =
                        Phase::Leaving { resigned, until: now.after(self.params.handover), succeeded: true };
                }
            }
            Phase::Leaving { .. } => {}
        }
    }

    /// RFC 9568 section 6.4.3.
    fn advert_as_master(&mut self, heard: &Heard, sent: Time, now: Time) {
        let ours = self.priority.get();
        let higher_address = self.address.is_none_or(|address| heard.source > address);
        let reason = if heard.priority > ours {
            Some(Reason::HigherPriority)
        } else if heard.priority == ours && higher_address {
            Some(Reason::HigherAddress)
        } else {
            None
        };
        if let Some(reason) = reason {
            let mut backup = Backup::watching(heard);
            if self.params.higher_prio_send_advert {
                self.actions.push(Action::SendAdvert { priority: ours });
                // Perhaps because it hears nothing.
                if self.reason == Reason::MasterUnreachable {
                    backup.insist(now);
                }
            }
            self.enter(Phase::Backup(backup), reason, now);
            self.actions.push(Action::Track);
            return;
        }
        // Two routers with one address and one priority would answer each other for ever.
        let duplicate = self.address == Some(heard.source);
        if duplicate {
            return;
        }
        if heard.at <= sent {
            // Our advert answered it, but whoever claims the addresses announces them too.
            if heard.priority > 0 {
                self.actions.push(Action::Contested);
            }
            return;
        }
        if heard.priority > 0 {
            self.actions.push(Action::Contested);
            if self.params.lower_prio_no_advert {
                return;
            }
        } else {
            self.actions.push(Action::Yielded);
        }
        self.send(now);
    }

    fn timer(&mut self, now: Time) {
        match self.phase {
            Phase::Init | Phase::Fault => {}
            Phase::Backup(mut backup) => {
                let insists = backup.insists(now);
                let verdict = backup.timer(&self.params, self.priority, now);
                self.phase = Phase::Backup(backup);
                self.tracking(verdict);
                if let backup::Verdict::Dead(reason) = verdict {
                    self.succeed(backup, reason, now);
                } else if insists {
                    self.actions.push(Action::SendAdvert { priority: self.priority.get() });
                }
            }
            Phase::Master { due, .. } if now >= due => {
                self.actions.push(Action::SendAdvert { priority: self.priority.get() });
                self.phase = Phase::Master { due: next_advert(due, now, self.params.interval), sent: now };
            }
            Phase::Leaving { until, succeeded, .. } if now >= until => {
                let reason = if succeeded { Reason::SuccessorHeard } else { Reason::SuccessorTimeout };
                self.enter(Phase::Init, reason, now);
            }
            Phase::Master { .. } | Phase::Leaving { .. } => {}
        }
    }

    fn set_priority(&mut self, priority: Priority, now: Time) {
        if priority == self.priority {
            return;
        }
        let before = core::mem::replace(&mut self.priority, priority);
        self.own_before = Some((before, now));
        if priority < before {
            self.tell_fall(now);
        }
        if let Phase::Backup(mut backup) = self.phase {
            if priority == Priority::OWNER {
                self.succeed(backup, Reason::Owner, now);
                return;
            }
            backup.forget_ownership();
            let verdict = backup.reassess(&self.params, priority, now);
            self.phase = Phase::Backup(backup);
            self.tracking(verdict);
        }
    }

    /// Whoever may be better by now hears of it at once, or soon where the priority goes up and down all the time.
    fn tell_fall(&mut self, now: Time) {
        let Phase::Master { due, sent } = self.phase else { return };
        let soon = sent.after(Span(self.params.interval.0 / FALLS_PER_INTERVAL));
        if soon <= now {
            self.send(now);
        } else {
            self.phase = Phase::Master { due: due.min(soon), sent };
        }
    }

    fn reconfigure(&mut self, params: Params, now: Time) {
        let params = believable(params);
        let interval_changed = params.interval != self.params.interval;
        self.params = params;
        match self.phase {
            // Left its sync group.
            Phase::Backup(backup) if !self.params.grouped && backup.ready().is_some() => {
                self.become_master(backup.ready().unwrap_or(Reason::MasterDown), now);
            }
            Phase::Backup(mut backup) => {
                let verdict = backup.reassess(&self.params, self.priority, now);
                self.phase = Phase::Backup(backup);
                self.tracking(verdict);
            }
            Phase::Master { .. } if interval_changed => self.send(now),
            Phase::Init | Phase::Fault | Phase::Master { .. } | Phase::Leaving { .. } => {}
        }
    }

    /// "Send an ADVERTISEMENT", "Set the Adver_Timer to Advertisement_Interval".
    fn send(&mut self, now: Time) {
        self.actions.push(Action::SendAdvert { priority: self.priority.get() });
        self.phase = Phase::Master { due: next_advert(now, now, self.params.interval), sent: now };
    }

    /// Nothing but a sync group keeps the backup from being master.
    fn succeed(&mut self, mut backup: Backup, reason: Reason, now: Time) {
        if self.params.grouped {
            let verdict = backup.become_ready(reason, now);
            self.phase = Phase::Backup(backup);
            self.tracking(verdict);
        } else {
            self.become_master(reason, now);
        }
    }

    /// The advert comes first: the old master must let go before hosts learn the new MAC address.
    fn become_master(&mut self, reason: Reason, now: Time) {
        let from = self.phase;
        self.send(now);
        let master = self.phase;
        self.phase = from;
        self.enter(master, reason, now);
        if let Phase::Backup(backup) = from
            && backup.is_contested(now)
        {
            self.actions.push(Action::Yielded);
        }
    }

    /// Passes a backup's change of mind on to whoever holds the fingerprint.
    fn tracking(&mut self, verdict: backup::Verdict) {
        match verdict {
            backup::Verdict::Nothing | backup::Verdict::Dead(_) => {}
            backup::Verdict::Track => self.actions.push(Action::Track),
            backup::Verdict::Untrack => self.actions.push(Action::Untrack),
        }
    }

    fn enter(&mut self, phase: Phase, reason: Reason, now: Time) {
        let from = self.state();
        let tracked = self.master().is_some();
        let evidence = match (&self.phase, &phase) {
            (Phase::Backup(before), _) => before.evidence(),
            (_, Phase::Backup(after)) => after.evidence(),
            _ => Evidence::default(),
        };
        self.evidence = Evidence { own_before: self.own_before, ..evidence };
        self.phase = phase;
        self.since = now;
        self.reason = reason;
        self.actions.push(Action::Transition { from, to: self.state(), reason });
        if tracked {
            self.actions.push(Action::Untrack);
        }
    }
}

/// `params` with an interval that timers can work with, and at least one advert to miss.
fn believable(params: Params) -> Params {
    Params {
        interval: params.interval.clamp(MIN_INTERVAL, MAX_INTERVAL),
        down_timer_adverts: params.down_timer_adverts.max(1),
        ..params
    }
}

//! The daemon half of a host: the main loop around the machine, and the liveness thread around the judges.
//!
//! The model keeps the contracts of [`ha_common::machine`], [`ha_common::judge`] and of the fence in
//! `docs/liveness.md`.

use std::net::{IpAddr, Ipv4Addr};

use ha_common::judge::{Event as Judged, PeerJudge, Settings, fast_skew_time};
use ha_common::machine::{Action, Effect, FAST_HANDOVER, Input, Machine, Params, Reason, State};
use ha_common::time::{Span, Time};
use ha_common::types::Priority;

use super::kernel::{Kernel, vrid};
use super::world::{Frame, HOSTS};

/// A host. Its address grows with its number.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) id: usize,
    pub(super) params: Params,
    pub(super) priority: Priority,
    pub(super) settings: Settings,
    pub(super) lease: Span,
    /// It probes its masters. One that does not has the RFC's timers, like stock keepalived.
    pub(super) probes: bool,
    pub(super) powered: bool,
    /// Nothing runs, not even the kernel, until this time.
    pub(super) frozen_until: Time,
    pub(super) card: Vec<Frame>,
    pub(super) kernel: Kernel,
    pub(super) daemon: Option<Daemon>,
    /// When the latest advert was sent: kept in a map.
    pub(super) last_advert: Time,
}

/// A running daemon.
#[derive(Debug)]
pub(super) struct Daemon {
    pub(super) machine: Machine,
    pub(super) judges: Vec<PeerJudge>,
    pub(super) incarnation: u64,
    /// What the liveness thread tells the main loop.
    pub(super) mail: Vec<(usize, Judged)>,
    pub(super) inputs: Vec<Input>,
    pub(super) main_at: Time,
    pub(super) live_at: Time,
    /// No CPU for the main loop, for the liveness thread.
    pub(super) main_stalled: Time,
    pub(super) live_stalled: Time,
    /// When the main loop last made progress.
    pub(super) progress: Time,
    /// SIGSTOP: the kernel's timers go on, both stand still.
    pub(super) stopped: bool,
}

/// What a step of the daemon did.
#[derive(Debug, Default)]
pub(super) struct Output {
    pub(super) adverts: Vec<u8>,
    pub(super) transitions: Vec<(State, State, Reason, Option<usize>)>,
    pub(super) probes: Vec<(usize, u64)>,
    pub(super) verdicts: Vec<(usize, Judged)>,
    pub(super) wake_main: bool,
    pub(super) wake_live: bool,
}

pub(super) fn address(id: usize) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(172, 16, 1, u8::try_from(id + 11).unwrap_or(u8::MAX)))
}

fn number(address: IpAddr) -> usize {
    match address {
        IpAddr::V4(address) => usize::from(address.octets()[3]) - 11,
        IpAddr::V6(_) => HOSTS,
    }
}

impl Host {
    pub(super) fn new(
        id: usize,
        params: Params,
        priority: Priority,
        settings: Settings,
        lease: Span,
        probes: bool,
    ) -> Self {
        Self {
            id,
            params,
            priority,
            settings,
            lease,
            probes,
            powered: true,
            frozen_until: Time(0),
            card: Vec::new(),
            kernel: Kernel::new(),
            daemon: None,
            last_advert: Time(0),
        }
    }

    pub(super) fn state(&self) -> State {
        self.daemon.as_ref().map_or(State::Init, |daemon| daemon.machine.state())
    }

    pub(super) fn answers(&self, now: Time) -> bool {
        self.powered && self.frozen_until <= now && self.kernel.answers(now)
    }

    /// Starts the daemon. It resumes an earlier run's role if the restart was planned and is in time, or if nobody
    /// can have noticed; otherwise it removes what that run left behind. True if it resumes.
    pub(super) fn start(&mut self, incarnation: u64, peers: usize, now: Time) -> (bool, Output) {
        let kernel = &mut self.kernel;
        let planned = now < kernel.restart_until;
        let patience = now.span_since(self.last_advert) < self.params.interval.times(2);
        let resume = kernel.program
            && kernel.addresses
            && kernel.master
            && !kernel.superseded
            && (planned || (!kernel.probed(now) && patience));
        let mut output = Output::default();
        let machine = if resume {
            Machine::resume_master(self.params, self.priority, address(self.id), now)
        } else {
            kernel.release();
            kernel.master = false;
            Machine::new(self.params, self.priority, now)
        };
        kernel.queue.clear();
        kernel.replies = Default::default();
        kernel.fingerprint = None;
        kernel.program = true;
        kernel.responder = incarnation;
        kernel.lease_until = now.after(self.lease);
        kernel.run();
        kernel.restart_until = Time(0);
        let inputs =
            if resume { Vec::new() } else { vec![Input::SetAddress(address(self.id)), Input::Ready(true)] };
        let mut daemon = Daemon {
            machine,
            judges: (0..peers).map(|_| PeerJudge::new(self.settings, now)).collect(),
            incarnation,
            mail: Vec::new(),
            inputs,
            main_at: Time::NEVER,
            live_at: Time::NEVER,
            main_stalled: Time(0),
            live_stalled: Time(0),
            progress: now,
            stopped: false,
        };
        while let Some(action) = daemon.machine.poll_action() {
            if let Action::SendAdvert { priority } = action {
                self.last_advert = now;
                output.adverts.push(priority);
            }
        }
        (output.wake_main, output.wake_live) = (true, true);
        self.daemon = Some(daemon);
        (resume, output)
    }

    /// The main loop has the CPU.
    pub(super) fn main(&mut self, now: Time) -> Result<Output, String> {
        let mut output = Output::default();
        let Some(mut daemon) = self.daemon.take() else { return Ok(output) };
        // "A daemon that finds its own lease expired steps down before it renews it."
        if self.must_step_down(now) && daemon.machine.state().holds_addresses() {
            self.feed(&mut daemon, Input::StepDown, None, now, &mut output)?;
        }
        daemon.progress = now;
        self.feed_stamp(&mut daemon, now, &mut output)?;
        for (from, priority, at) in std::mem::take(&mut self.kernel.queue) {
            if priority > 0 {
                daemon.judges[from].heard(at, now);
            }
            let advert =
                Input::Advert { source: address(from), priority, interval: self.params.interval, at };
            self.feed(&mut daemon, advert, Some((from, priority, at)), now, &mut output)?;
        }
        self.feed_stamp(&mut daemon, now, &mut output)?;
        for input in std::mem::take(&mut daemon.inputs) {
            // Whoever probes is its successor, and needs no time to take the addresses.
            if input == Input::Stop && self.kernel.probed(now) {
                let prompt = Params { handover: FAST_HANDOVER, ..self.params };
                self.feed(&mut daemon, Input::Reconfigure(prompt), None, now, &mut output)?;
            }
            self.feed(&mut daemon, input, None, now, &mut output)?;
        }
        for (peer, event) in std::mem::take(&mut daemon.mail) {
            let source = address(peer);
            let wait = fast_skew_time(self.priority, self.settings.window);
            let input = match event {
                Judged::Lost { verdict, at, affirmed } => {
                    Input::MasterLost { source, verdict, at, affirmed, wait }
                }
                Judged::Resigned { vrids, at } if vrids.has(vrid()) => {
                    Input::MasterResigned { source, at, wait }
                }
                Judged::Alive { at } => Input::MasterAlive { source, at },
                _ => continue,
            };
            self.feed(&mut daemon, input, None, now, &mut output)?;
        }
        if now >= daemon.machine.next_deadline() {
            self.feed(&mut daemon, Input::Timer, None, now, &mut output)?;
        }
        let followed = daemon.machine.watched().map(|master| number(master.address));
        for (peer, judge) in daemon.judges.iter_mut().enumerate() {
            let before = judge.next_deadline();
            judge.follow(followed == Some(peer), now);
            output.wake_live |= judge.next_deadline() < before;
        }
        let gone = daemon.machine.stopped() && daemon.machine.state() == State::Init;
        if !gone {
            self.daemon = Some(daemon);
        } else {
            // A daemon that has left detaches its program.
            self.kernel = Kernel::new();
        }
        Ok(output)
    }

    fn feed_stamp(&mut self, daemon: &mut Daemon, now: Time, output: &mut Output) -> Result<(), String> {
        if let Some((from, _)) = self.kernel.fingerprint {
            daemon.judges[from].heard(self.kernel.stamp, now);
            self.feed(daemon, Input::Seen(self.kernel.stamp), None, now, output)?;
        }
        Ok(())
    }

    fn feed(
        &mut self,
        daemon: &mut Daemon,
        input: Input,
        advert: Option<(usize, u8, Time)>,
        now: Time,
        output: &mut Output,
    ) -> Result<(), String> {
        // A verdict may be about another than the lower-priority master that is ignored by now.
        let accused = |peer: &usize| daemon.judges[*peer].verdict().is_some();
        let ignored = daemon.machine.watched().map(|master| number(master.address)).filter(accused);
        let tracked = daemon.machine.master().map(|master| number(master.address)).or(ignored);
        daemon.machine.handle(input, now);
        let master = daemon.machine.state() == State::Master;
        // The bit is set before the first advert.
        self.kernel.master |= master;
        while let Some(action) = daemon.machine.poll_action() {
            match action {
                Action::SendAdvert { priority } => {
                    self.last_advert = now;
                    output.adverts.push(priority);
                }
                Action::Transition { from, to, reason } => {
                    match Effect::of(from, to) {
                        Effect::Keep => {}
                        Effect::TakeOver => {
                            self.kernel.lease_until = self.kernel.lease_until.max(now.after(self.lease));
                            (self.kernel.superseded, self.kernel.addresses) = (false, true);
                        }
                        Effect::Release => self.kernel.release(),
                    }
                    output.transitions.push((from, to, reason, tracked));
                }
                Action::Track => {
                    let (from, priority, at) = advert.ok_or("tracks without an advert")?;
                    if self.kernel.fingerprint.replace((from, priority)) != Some((from, priority)) {
                        self.kernel.stamp = at;
                    }
                }
                Action::Untrack => self.kernel.fingerprint = None,
                Action::DuplicateAddress => return Err(format!("h{} heard itself", self.id)),
                Action::Contested | Action::Yielded => {}
            }
        }
        self.kernel.muted = self.kernel.addresses && !daemon.machine.answers();
        self.kernel.master = master;
        if matches!(input, Input::Timer) && daemon.machine.next_deadline() <= now {
            return Err(format!("40: h{}'s machine stands still", self.id));
        }
        Ok(())
    }

    /// The liveness thread has the CPU.
    pub(super) fn live(&mut self, now: Time) -> Result<Output, String> {
        let mut output = Output::default();
        let Some(daemon) = &mut self.daemon else { return Ok(output) };
        for (peer, judge) in daemon.judges.iter_mut().enumerate() {
            if let Some(reply) = &self.kernel.replies[peer] {
                judge.answered(reply, now);
            }
            if let Some(sequence) = judge.tick(now)
                && self.probes
            {
                output.probes.push((peer, sequence));
                judge.sent(sequence, now);
            }
            if judge.next_deadline() <= now {
                return Err(format!("40: h{}'s judge of h{peer} stands still", self.id));
            }
            while let Some(event) = judge.poll_event() {
                daemon.mail.push((peer, event));
                output.verdicts.push((peer, event));
                output.wake_main = true;
            }
        }
        let progress = now.span_since(daemon.progress) < Span(self.lease.0 / 2);
        if self.kernel.addresses && self.must_step_down(now) {
            output.wake_main = true;
        } else if progress {
            self.kernel.lease_until = now.after(self.lease);
        }
        Ok(output)
    }

    /// Somebody else has taken over by now: who was told to, or who says so.
    fn must_step_down(&self, now: Time) -> bool {
        self.kernel.superseded || (now >= self.kernel.lease_until && self.kernel.probed(now))
    }

    /// When the main loop wants the CPU.
    pub(super) fn main_due(&self) -> Time {
        self.daemon.as_ref().map_or(Time::NEVER, |daemon| {
            daemon.machine.next_deadline().min(daemon.progress.after(Span(self.lease.0 / 4)))
        })
    }

    /// When the liveness thread wants the CPU.
    pub(super) fn live_due(&self, now: Time) -> Time {
        self.daemon.as_ref().map_or(Time::NEVER, |daemon| {
            let judges = daemon.judges.iter().map(PeerJudge::next_deadline).min();
            judges.unwrap_or(Time::NEVER).min(now.after(Span(self.lease.0 / 4)))
        })
    }
}

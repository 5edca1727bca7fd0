//! The daemon half of a host: the main loop around the machine, and the liveness thread around the judges.
//!
//! The model keeps the contracts of [`ha_common::machine`], [`ha_common::judge`] and of the fence in
//! `docs/liveness.md`.

use std::net::{IpAddr, Ipv4Addr};

use ha_common::announce::Bursts;
use ha_common::judge::{Event as Judged, PeerJudge, Settings, takeover_wait};
use ha_common::machine::{Action, Effect, FAST_HANDOVER, Input, Machine, Params, Reason, State};
use ha_common::rank::bid;
use ha_common::time::{Span, Time};
use ha_common::types::Priority;

use super::kernel::{Kernel, vrid};
use super::letter::{Letter, Ways, source};
use super::switch::Mac;
use super::world::{Frame, HOSTS};

/// A host. Its address grows with its number.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) id: usize,
    pub(super) params: Params,
    pub(super) priority: Priority,
    pub(super) settings: Settings,
    pub(super) lease: Span,
    pub(super) ways: Ways,
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
    /// When announcements are due.
    bursts: Bursts,
    /// When the lease thread looks next, and the latest resumption of probes that it has told.
    look_at: Time,
    told: Time,
    /// It has told the main loop.
    resumed: bool,
}

/// What a step of the daemon did.
#[derive(Debug, Default)]
pub(super) struct Output {
    pub(super) adverts: Vec<u8>,
    pub(super) transitions: Vec<(State, State, Reason, Option<usize>)>,
    pub(super) probes: Vec<(usize, u64)>,
    pub(super) verdicts: Vec<(usize, Judged)>,
    /// One round of gratuitous ARP.
    pub(super) announce: bool,
    pub(super) wake_main: bool,
    pub(super) wake_live: bool,
}

pub(super) fn address(id: usize) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(172, 16, 1, source(id)))
}

/// The host with this address, if it is one of the cluster.
fn number(from: IpAddr) -> Option<usize> {
    (0..HOSTS).find(|&id| address(id) == from)
}

impl Host {
    pub(super) fn new(
        id: usize,
        params: Params,
        priority: Priority,
        settings: Settings,
        lease: Span,
        ways: Ways,
        probes: bool,
    ) -> Self {
        Self {
            id,
            params,
            priority,
            settings,
            lease,
            ways,
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

    /// What its probes say: as backup it would take over.
    pub(super) fn bid(&self) -> u64 {
        let end = u32::from(source(self.id));
        if self.state() == State::Backup { bid(self.priority.get(), end) } else { 0 }
    }

    pub(super) fn answers(&self, now: Time) -> bool {
        self.powered && self.frozen_until <= now && self.kernel.answers(now)
    }

    /// Where its adverts, and what is sent for the virtual address, come from.
    pub(super) const fn mac(&self) -> Mac {
        if self.ways.virtual_mac { Mac::VIRTUAL } else { Mac(self.id) }
    }

    /// Another router's advert comes in, whether or not somebody is there to judge it. True if the daemon is to be woken.
    pub(super) fn hear(&mut self, letter: Letter, now: Time) -> bool {
        self.kernel.orphaned = !self.kernel.alive;
        let judged_here = !self.kernel.guard().unattended(now.0);
        if self.kernel.program
            && self.kernel.addresses
            && !judged_here
            && letter.supersedes(self, &self.kernel.known, now)
        {
            self.kernel.superseded = true;
        }
        if self.daemon.is_none() {
            return false;
        }
        if self.kernel.fingerprint == Some(letter) {
            self.kernel.stamp = now;
            return false;
        }
        self.kernel.hand_up(letter, now);
        true
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
        let vouched = kernel.lease_until.0.saturating_sub(self.lease.0);
        let unheard = resume && kernel.last_other.0 > vouched;
        let mut output = Output::default();
        let machine = if resume {
            Machine::resume_master(self.params, self.priority, address(self.id), now)
        } else {
            kernel.release();
            kernel.master = false;
            Machine::new(self.params, self.priority, now)
        };
        kernel.queue.clear();
        kernel.known.clear();
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
            bursts: Bursts::new(self.ways.garp),
            look_at: now,
            told: kernel.resumed,
            resumed: unheard,
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
        for (letter, at) in std::mem::take(&mut self.kernel.queue) {
            let Some(judged) = letter.judged(self) else { continue };
            if !self.kernel.known.contains(&letter.source) {
                self.kernel.known.push(letter.source);
            }
            let priority = judged.advert.priority;
            if priority > 0 && letter.sender() < daemon.judges.len() {
                daemon.judges[letter.sender()].heard(at, now);
            }
            let interval = judged.advert.interval.span();
            let advert = Input::Advert { source: judged.source, priority, interval, at };
            self.feed(&mut daemon, advert, Some((letter, at)), now, &mut output)?;
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
            let wait = takeover_wait(self.priority, &self.settings, daemon.judges[peer].rank());
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
        // A router that did not probe for a while may have taken the addresses meanwhile.
        if std::mem::take(&mut daemon.resumed) && daemon.machine.state() == State::Master {
            let (after, rounds) = self.ways.again;
            daemon.bursts.contested(now, after, rounds);
        }
        output.announce = daemon.bursts.due(now) && daemon.machine.state().holds_addresses();
        let followed = daemon.machine.watched().and_then(|master| number(master.address));
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
        if let Some(letter) = self.kernel.fingerprint {
            if let Some(judge) = daemon.judges.get_mut(letter.sender()) {
                judge.heard(self.kernel.stamp, now);
            }
            self.feed(daemon, Input::Seen(self.kernel.stamp), None, now, output)?;
        }
        Ok(())
    }

    fn feed(
        &mut self,
        daemon: &mut Daemon,
        input: Input,
        advert: Option<(Letter, Time)>,
        now: Time,
        output: &mut Output,
    ) -> Result<(), String> {
        // A verdict may be about another than the lower-priority master that is ignored by now.
        let accused = |peer: &usize| daemon.judges[*peer].verdict().is_some();
        let ignored = daemon.machine.watched().and_then(|master| number(master.address)).filter(accused);
        let tracked = daemon.machine.master().and_then(|master| number(master.address)).or(ignored);
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
                            daemon.bursts.start(now);
                        }
                        Effect::Release => {
                            self.kernel.release();
                            daemon.bursts.stop();
                        }
                    }
                    // Who asks is to hear of the successor.
                    if to == State::Leaving {
                        daemon.bursts.stop();
                    }
                    output.transitions.push((from, to, reason, tracked));
                }
                Action::Track => {
                    let (letter, at) = advert.ok_or("tracks without an advert")?;
                    if self.kernel.fingerprint.replace(letter) != Some(letter) {
                        self.kernel.stamp = at;
                    }
                }
                Action::Untrack => self.kernel.fingerprint = None,
                Action::DuplicateAddress => return Err(format!("h{} heard itself", self.id)),
                Action::Contested | Action::Yielded => {
                    let (after, rounds) = self.ways.again;
                    daemon.bursts.contested(now, after, rounds);
                }
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
        if daemon.look_at <= now {
            daemon.look_at = now.after(Span(self.lease.0 / 3));
            if std::mem::replace(&mut daemon.told, self.kernel.resumed) != self.kernel.resumed {
                (daemon.resumed, output.wake_main) = (true, true);
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
            let announcement = daemon.bursts.next().unwrap_or(Time::NEVER);
            let next = daemon.machine.next_deadline().min(announcement);
            next.min(daemon.progress.after(Span(self.lease.0 / 4)))
        })
    }

    /// When the liveness thread wants the CPU.
    pub(super) fn live_due(&self, now: Time) -> Time {
        self.daemon.as_ref().map_or(Time::NEVER, |daemon| {
            let judges = daemon.judges.iter().map(PeerJudge::next_deadline).min();
            judges.unwrap_or(Time::NEVER).min(now.after(Span(self.lease.0 / 4))).min(daemon.look_at)
        })
    }
}

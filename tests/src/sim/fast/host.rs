//! The daemon half of a host: the node as the main loop drives it, and the liveness thread around the judges.
//!
//! What is decided is [`ha_common::node`]'s, as in the daemon; here its effects come about. The model keeps the contracts of
//! the node and of [`ha_common::judge`].

use std::net::{IpAddr, Ipv4Addr};

use ha_common::judge::{Event as Judged, PeerJudge, Settings};
use ha_common::machine::{Input, Machine, Params, Reason, State};
use ha_common::node::{self, Effect, Event, Fitness, Heard, InterfaceId, Mark, Node, RouterId, Write, lease};
use ha_common::rank::bid;
use ha_common::time::{Span, Time};
use ha_common::types::Priority;

use super::kernel::Kernel;
use super::letter::{Letter, Ways, source};
use super::switch::Mac;
use super::world::{Frame, HOSTS};
use crate::sim::effects::Coverage;

/// The one interface of a host.
pub(super) const ON: InterfaceId = InterfaceId(0);

/// A host. Its address grows with its number.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) id: usize,
    pub(super) params: Params,
    pub(super) priority: Priority,
    /// What its trackers take from that.
    pub(super) minus: u8,
    pub(super) settings: Settings,
    pub(super) lease: Span,
    pub(super) ways: Ways,
    /// It probes its masters. One that does not has the RFC's timers, like stock keepalived.
    pub(super) probes: bool,
    /// As backup it has the address behind its fence.
    pub(super) hot_standby: bool,
    pub(super) powered: bool,
    /// Nothing runs, not even the kernel, until this time.
    pub(super) frozen_until: Time,
    pub(super) card: Vec<Frame>,
    pub(super) kernel: Kernel,
    pub(super) daemon: Option<Daemon>,
    pub(super) coverage: Coverage,
}

/// A running daemon.
#[derive(Debug)]
pub(super) struct Daemon {
    node: Node,
    id: RouterId,
    pub(super) judges: Vec<PeerJudge>,
    pub(super) incarnation: u64,
    /// What the liveness thread tells the main loop.
    mail: Vec<(usize, Judged)>,
    /// It has been told to stop.
    pub(super) stop: bool,
    /// A tracker has changed.
    pub(super) reweigh: bool,
    pub(super) main_at: Time,
    pub(super) live_at: Time,
    /// No CPU for the main loop, for the liveness thread.
    pub(super) main_stalled: Time,
    pub(super) live_stalled: Time,
    /// When the main loop will be done with its next turn at the latest.
    pub(super) promised: Time,
    /// SIGSTOP: the kernel's timers go on, both stand still.
    pub(super) stopped: bool,
    /// When its program was attached.
    began: Time,
    /// When the lease thread looks next, the latest resumption of probes that it has told, and the end of the lease of
    /// which it has told that it ran out.
    look_at: Time,
    told: Time,
    over: Time,
    /// It has told the main loop.
    resumed: bool,
}

impl Daemon {
    pub(super) fn machine(&self) -> &Machine {
        self.node[self.id].machine()
    }

    pub(super) fn is_leaving(&self) -> bool {
        self.stop || self.machine().stopped()
    }
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
            minus: 0,
            settings,
            lease,
            ways,
            probes,
            hot_standby: false,
            powered: true,
            frozen_until: Time(0),
            card: Vec::new(),
            kernel: Kernel::new(),
            daemon: None,
            coverage: Coverage::default(),
        }
    }

    pub(super) fn state(&self) -> State {
        self.daemon.as_ref().map_or(State::Init, |daemon| daemon.machine().state())
    }

    /// Its priority as its trackers have it.
    pub(super) fn effective(&self) -> Priority {
        self.priority.weighted(-i32::from(self.minus))
    }

    fn fit(&self) -> Fitness {
        Fitness {
            fitness: Input::Ready(true),
            waits: false,
            priority: self.effective(),
            source: Some(address(self.id)),
        }
    }

    /// What its probes say: as backup it would take over.
    pub(super) fn bid(&self) -> u64 {
        let end = u32::from(source(self.id));
        if self.state() == State::Backup { bid(self.effective().get(), end) } else { 0 }
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
            && self.kernel.held
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

    fn settings(&self) -> node::Settings {
        node::Settings {
            interface: ON,
            params: self.params,
            priority: self.priority,
            fast: true,
            judge: self.settings,
            lease: self.lease,
            announce: self.ways.garp,
            again: self.ways.again,
            virtual_mac: self.ways.virtual_mac,
            hot_standby: self.hot_standby,
            owner_ignores_adverts: false,
        }
    }

    /// Starts the daemon. True if it resumes the role of an earlier run.
    pub(super) fn start(
        &mut self,
        incarnation: u64,
        peers: usize,
        now: Time,
    ) -> Result<(bool, Output), String> {
        let kernel = &mut self.kernel;
        kernel.begin(incarnation, now);
        let told = kernel.resumed;
        let mut output = Output::default();
        let mut node = Node::new();
        let id = node.add(self.settings(), now);
        let mut daemon = Daemon {
            node,
            id,
            judges: (0..peers).map(|_| PeerJudge::new(self.settings, now)).collect(),
            incarnation,
            mail: Vec::new(),
            stop: false,
            reweigh: false,
            main_at: Time::NEVER,
            live_at: Time::NEVER,
            main_stalled: Time(0),
            live_stalled: Time(0),
            promised: now,
            stopped: false,
            began: now,
            look_at: now,
            told,
            over: Time(0),
            resumed: false,
        };
        let fit = self.fit();
        daemon.node.take_part(now, &self.kernel);
        daemon.node.allow_standby(id);
        self.perform(&mut daemon, now, &mut output)?;
        daemon.node.set_fitness(id, fit, now);
        daemon.node.settle_fitness(now, &self.kernel);
        self.perform(&mut daemon, now, &mut output)?;
        let resumes = daemon.node[id].is_resumed();
        // Leftovers of the earlier run.
        self.kernel.addresses &= daemon.node[id].presence().is_kept();
        daemon.node.end_start(now);
        self.perform(&mut daemon, now, &mut output)?;
        daemon.node.close_restart_windows();
        self.perform(&mut daemon, now, &mut output)?;
        // It goes to sleep only after a first turn.
        (output.wake_main, output.wake_live) = (true, true);
        self.daemon = Some(daemon);
        Ok((resumes, output))
    }

    /// The daemon leaves for a planned restart, of which the start took so long.
    pub(super) fn leave(&mut self, start: Span, now: Time) -> Result<Output, String> {
        let mut output = Output::default();
        if let Some(mut daemon) = self.daemon.take() {
            daemon.node.leave(start, now);
            daemon.node.say_goodbye();
            self.perform(&mut daemon, now, &mut output)?;
            self.daemon = Some(daemon);
        }
        Ok(output)
    }

    /// The main loop has the CPU.
    pub(super) fn main(&mut self, now: Time) -> Result<Output, String> {
        let mut output = Output::default();
        let Some(mut daemon) = self.daemon.take() else { return Ok(output) };
        let had_lease = daemon.node.needs_lease(ON);
        let tracked = self.kernel.fingerprint.filter(|_| daemon.machine().state() == State::Backup);
        if let Some(judge) = tracked.and_then(|letter| daemon.judges.get_mut(letter.sender())) {
            judge.heard(self.kernel.stamp, now);
        }
        self.judge(&mut daemon, now);
        daemon.node.listen(now, &self.kernel);
        self.perform(&mut daemon, now, &mut output)?;
        for (peer, event) in std::mem::take(&mut daemon.mail) {
            let order = daemon.judges[peer].precedence();
            daemon.node.report(ON, address(peer), event, order, now, &self.kernel);
            self.perform(&mut daemon, now, &mut output)?;
        }
        // A router that did not probe for a while may have taken the addresses meanwhile.
        if std::mem::take(&mut daemon.resumed) {
            daemon.node.probes_resumed(ON, now);
        }
        if std::mem::take(&mut daemon.reweigh) {
            let id = daemon.id;
            daemon.node.set_fitness(id, self.fit(), now);
            daemon.node.settle_fitness(now, &self.kernel);
            self.perform(&mut daemon, now, &mut output)?;
        }
        if std::mem::take(&mut daemon.stop) {
            daemon.node.stop(now, &self.kernel);
            self.perform(&mut daemon, now, &mut output)?;
        }
        daemon.node.turn(now, &mut self.kernel);
        self.perform(&mut daemon, now, &mut output)?;
        if daemon.machine().next_deadline() <= now {
            return Err(format!("40: h{}'s machine stands still", self.id));
        }
        let followed = daemon.node.followed().next().and_then(|master| number(master.peer));
        for (peer, judge) in daemon.judges.iter_mut().enumerate() {
            let before = judge.next_deadline();
            judge.follow(followed == Some(peer), now);
            output.wake_live |= judge.next_deadline() < before;
        }
        daemon.promised = daemon.node.next_deadline();
        // The thread that vouches is told of the lease.
        output.wake_live |= daemon.node.needs_lease(ON) && !had_lease;
        let gone = daemon.machine().stopped() && daemon.node.has_stopped();
        if !gone {
            self.daemon = Some(daemon);
        } else {
            // A daemon that has left detaches its program.
            self.kernel = Kernel::new();
        }
        Ok(output)
    }

    /// Judges what is queued, and tells the node.
    fn judge(&mut self, daemon: &mut Daemon, now: Time) {
        for (letter, at) in std::mem::take(&mut self.kernel.queue) {
            let Some(judged) = letter.judged(self) else { continue };
            if !self.kernel.known.contains(&letter.source) {
                self.kernel.known.push(letter.source);
            }
            let priority = judged.advert.priority;
            if priority > 0 && letter.sender() < daemon.judges.len() {
                daemon.judges[letter.sender()].heard(at, now);
            }
            daemon.node.heard(Heard {
                router: daemon.id,
                source: judged.source,
                mac: Some([letter.source; 6]),
                priority,
                interval: judged.advert.interval.span(),
                at,
                mark: Mark::Fingerprint(self.kernel.fingerprint_of(letter)),
                unheard: at < daemon.began,
            });
        }
    }

    /// Carries out what the node wants done.
    fn perform(&mut self, daemon: &mut Daemon, now: Time, output: &mut Output) -> Result<(), String> {
        // Only a router that has yielded says anything without being master.
        let mut spoke = false;
        self.coverage.inputs(daemon.node.reached());
        while let Some(effect) = daemon.node.poll_effect() {
            self.coverage.effect(&effect);
            match effect {
                Effect::Write(_, write) => {
                    let claims = matches!(write, Write::Master(.., true)) && !self.kernel.master;
                    if claims && (spoke || self.kernel.lease_until <= now) {
                        return Err(format!("h{} is master before its fence knows", self.id));
                    }
                    self.kernel.write(write);
                }
                Effect::Track { mark: Mark::Fingerprint(print), at, .. } => self.kernel.track(print, at),
                Effect::Track { .. } => return Err("an advert without a fingerprint is tracked".to_owned()),
                Effect::Untrack(_) => self.kernel.fingerprint = None,
                Effect::Advert { priority, .. } => {
                    spoke |= priority > 0 && !self.kernel.master;
                    output.adverts.push(priority);
                }
                Effect::AddBehind(_) => {
                    if !self.kernel.standby {
                        return Err(format!(
                            "h{} adds addresses that its fence does not keep silent",
                            self.id
                        ));
                    }
                    self.kernel.addresses = true;
                }
                Effect::AddAddresses(_) => {
                    if !self.kernel.held {
                        return Err(format!("h{} adds addresses that its fence does not know", self.id));
                    }
                    self.kernel.addresses = true;
                }
                Effect::Announce { .. } => output.announce = true,
                Effect::RemoveAddresses(_) => {
                    if !self.kernel.held && !self.kernel.standby {
                        return Err(format!("the fence of h{} opens before its addresses are gone", self.id));
                    }
                    self.kernel.addresses = false;
                }
                Effect::ForgetOthers(_, kept) => {
                    if kept.is_empty() {
                        self.kernel.forget();
                    }
                }
                Effect::Event(Event::Transition { from, to, reason, master, .. }) => {
                    output.transitions.push((from, to, reason, master.and_then(number)));
                }
                Effect::Event(Event::DuplicateAddress(_)) => {
                    return Err(format!("h{} heard itself", self.id));
                }
                Effect::Event(_) => {}
            }
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
        // Only a master's lease is looked after.
        if daemon.look_at <= now && daemon.node.needs_lease(ON) {
            daemon.look_at = now.after(lease::pace(self.lease));
            if let Some(until) = lease::renewal(self.kernel.lease_until, self.lease, daemon.promised, now) {
                self.kernel.lease_until = until;
            }
            if std::mem::replace(&mut daemon.told, self.kernel.resumed) != self.kernel.resumed {
                (daemon.resumed, output.wake_main) = (true, true);
            }
            let until = self.kernel.lease_until;
            if until <= now && std::mem::replace(&mut daemon.over, until) != until {
                output.wake_main = true;
            }
        }
        Ok(output)
    }

    /// When the main loop wants the CPU.
    pub(super) fn main_due(&self) -> Time {
        self.daemon.as_ref().map_or(Time::NEVER, |daemon| daemon.node.next_deadline())
    }

    /// When the liveness thread wants the CPU.
    pub(super) fn live_due(&self, now: Time) -> Time {
        self.daemon.as_ref().map_or(Time::NEVER, |daemon| {
            let judges = daemon.judges.iter().map(PeerJudge::next_deadline).min().unwrap_or(Time::NEVER);
            let look = if daemon.node.needs_lease(ON) { daemon.look_at.max(now) } else { Time::NEVER };
            judges.min(look)
        })
    }
}

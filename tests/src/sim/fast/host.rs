//! The daemon half of a host: the node as the main loop drives it, and the liveness thread around the judges.
//!
//! What is decided is [`ha_common::node`]'s, as in the daemon; here its effects come about. The model keeps the contracts of
//! the node and of [`ha_common::judge`].

use std::net::IpAddr;

use ha_common::announce;
use ha_common::judge::Settings;
use ha_common::machine::{Input, Machine, Params, Reason, State};
use ha_common::node::{self, Effect, Event, Fitness, Heard, Mark, Node, RouterId};
use ha_common::packet::Auth;
use ha_common::probe::Secret;
use ha_common::rank::bid;
use ha_common::time::{Span, Time};
use ha_common::types::{Family, Priority, Version, Vrid};

use super::switch::Mac;
use super::world::Frame;
use crate::sim::effects::Coverage;
use crate::sim::kernel::{Arrival, Kernel, Program};
use crate::sim::letter::{Description, Letter, OURS, Terms};
use crate::sim::liveness::{Liveness, Looked};
use crate::sim::place::{HOSTS, ON, Place, address_of, last_byte};

/// The virtual router of the cluster.
pub(super) fn vrid() -> Vrid {
    Vrid::new(25).expect("not zero")
}

/// How the routers of a cluster speak.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ways {
    pub(super) version: Version,
    pub(super) auth: Auth,
    /// Only adverts of the cluster's hosts count (`check_source`).
    pub(super) listed: bool,
    /// What the key of probes comes from.
    pub(super) secret: Option<Secret>,
    /// Adverts and addresses have the virtual MAC address.
    pub(super) virtual_mac: bool,
    pub(super) garp: announce::Settings,
    /// After a claim: the last burst comes so much later, and how many rounds each has.
    pub(super) again: (Span, u32),
}

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
    pub(super) liveness: Liveness,
    pub(super) incarnation: u64,
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
    /// One round of gratuitous ARP.
    pub(super) announce: bool,
    pub(super) wake_main: bool,
    pub(super) wake_live: bool,
}

fn address(id: usize) -> IpAddr {
    address_of(id, Family::V4)
}

/// The host with this address, if it is one of the cluster.
fn number(from: IpAddr) -> Option<usize> {
    (0..HOSTS).find(|&id| address(id) == from)
}

/// Where the virtual router is.
pub(super) fn place() -> Place {
    (ON, Family::V4, vrid())
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
            kernel: Kernel::default(),
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
        let end = u32::from(last_byte(self.id));
        if self.state() == State::Backup { bid(self.effective().get(), end) } else { 0 }
    }

    pub(super) fn answers(&self, now: Time) -> bool {
        self.powered && self.frozen_until <= now && self.kernel.answers(place(), now)
    }

    /// Where its adverts, and what is sent for the virtual address, come from.
    pub(super) const fn mac(&self) -> Mac {
        if self.ways.virtual_mac { Mac::VIRTUAL } else { Mac(self.id) }
    }

    /// Its program, if one is attached.
    pub(super) fn program(&self) -> Option<&Program> {
        self.kernel.program(ON)
    }

    /// How it speaks, and what it accepts.
    pub(super) fn terms(&self) -> Terms {
        let Ways { version, auth, listed, .. } = self.ways;
        Terms { place: place(), version, interval: self.params.interval, auth, listed, address: OURS }
    }

    /// Another router's advert comes in, whether or not somebody is there to judge it. True if the daemon is to be woken.
    pub(super) fn hear(&mut self, letter: Letter, now: Time) -> bool {
        matches!(self.kernel.receive(letter, now), Arrival::Queued | Arrival::Lost)
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
        self.kernel.begin(std::iter::once(ON), incarnation, now);
        let mut output = Output::default();
        let mut node = Node::new();
        let id = node.add(self.settings(), now);
        let mut daemon = Daemon {
            node,
            id,
            liveness: Liveness::new(ON, self.settings, self.lease, peers, &self.kernel, now),
            incarnation,
            stop: false,
            reweigh: false,
            main_at: Time::NEVER,
            live_at: Time::NEVER,
            main_stalled: Time(0),
            live_stalled: Time(0),
            promised: now,
            stopped: false,
            began: now,
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
        let kept = daemon.node[id].presence().is_kept();
        self.kernel.keep_addresses(|_| kept);
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
        let is_backup = daemon.machine().state() == State::Backup;
        if let Some((letter, at)) = self.kernel.tracked(place()).filter(|_| is_backup) {
            daemon.liveness.heard(letter.sender(), at, now);
        }
        self.judge(&mut daemon, now);
        daemon.node.listen(now, &self.kernel);
        self.perform(&mut daemon, now, &mut output)?;
        while daemon.liveness.report(&mut daemon.node, &self.kernel, address, now) {
            self.perform(&mut daemon, now, &mut output)?;
        }
        daemon.liveness.tell_resumption(&mut daemon.node, now);
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
        output.wake_live |= daemon.liveness.follow(followed, now);
        daemon.promised = daemon.node.next_deadline();
        // The thread that vouches is told of the lease.
        output.wake_live |= daemon.node.needs_lease(ON) && !had_lease;
        let gone = daemon.machine().stopped() && daemon.node.has_stopped();
        if !gone {
            self.daemon = Some(daemon);
        } else {
            // A daemon that has left detaches its program.
            self.kernel.end();
        }
        Ok(output)
    }

    /// Judges what is queued, and tells the node.
    fn judge(&mut self, daemon: &mut Daemon, now: Time) {
        for (letter, at) in self.kernel.take_queue() {
            let Some(judged) = letter.judged(&self.terms(), self.id) else { continue };
            let fingerprint = self.kernel.accept(letter);
            let priority = judged.advert.priority;
            let unheard = at < daemon.began;
            if priority > 0 && !unheard {
                daemon.liveness.heard(letter.sender(), at, now);
            }
            daemon.node.heard(Heard {
                router: daemon.id,
                source: judged.source,
                mac: Some([letter.source; 6]),
                priority,
                interval: judged.advert.interval.span(),
                at,
                mark: Mark::Fingerprint(fingerprint),
                unheard,
            });
        }
    }

    /// Carries out what the node wants done.
    fn perform(&mut self, daemon: &mut Daemon, now: Time, output: &mut Output) -> Result<(), String> {
        let mut spoke = Vec::new();
        self.coverage.inputs(daemon.node.reached());
        let description = Description { terms: self.terms(), id: self.id, priority: self.effective().get() };
        while let Some(effect) = daemon.node.poll_effect() {
            self.coverage.effect(&effect);
            let done = self.kernel.carry_out(effect, &mut spoke, |_| Some(description), now);
            match done.map_err(|what| format!("{what}: h{}", self.id))? {
                Some(Effect::Advert { priority, .. }) => output.adverts.push(priority),
                Some(Effect::Announce { .. }) => output.announce = true,
                Some(Effect::Event(Event::Transition { from, to, reason, master, .. })) => {
                    output.transitions.push((from, to, reason, master.and_then(number)));
                }
                Some(Effect::Event(Event::DuplicateAddress(_))) => {
                    return Err(format!("26: h{} heard itself", self.id));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The liveness thread has the CPU.
    pub(super) fn live(&mut self, now: Time) -> Result<Looked, String> {
        let Some(Daemon { node, liveness, promised, .. }) = &mut self.daemon else {
            return Ok(Looked::default());
        };
        let looked = liveness.look(node, &mut self.kernel, self.probes, *promised, now);
        looked.map_err(|what| format!("{what}: h{}", self.id))
    }

    /// When the main loop wants the CPU.
    pub(super) fn main_due(&self) -> Time {
        self.daemon.as_ref().map_or(Time::NEVER, |daemon| daemon.node.next_deadline())
    }

    /// When the liveness thread wants the CPU.
    pub(super) fn live_due(&self, now: Time) -> Time {
        self.daemon.as_ref().map_or(Time::NEVER, |daemon| daemon.liveness.due(&daemon.node, now))
    }
}

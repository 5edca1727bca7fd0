//! A host: its kernel, its file, and the life of its daemon.

use std::collections::{BTreeMap, BTreeSet};

use ha_common::judge;
use ha_common::machine::{Input, State};
use ha_common::node::{Fate, Fitness, GroupId, Hold, InterfaceId, Node, Router, RouterId, restart_window};
use ha_common::time::{Span, Time};
use ha_common::types::Priority;

use super::check::Witness;
use super::file::{Instance, LEASE};
use super::log::Log;
use crate::sim::Stats;
use crate::sim::kernel::{Arrival, Kernel};
use crate::sim::letter::{Description, Letter};
use crate::sim::liveness::Liveness;
use crate::sim::place::{INTERFACES, Place, address_of, interfaces, label, place_of};

/// Adverts that the card of a frozen host holds.
const CARD: usize = 256;

/// What a tracker says of a virtual router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sim) enum Tracked {
    Good,
    /// It may not run.
    Unfit,
    /// Its priority is that much lower.
    Weight(u8),
}

/// What the daemon is told when it next has the CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// Links or trackers have changed.
    Reconsider,
    Reload,
    Hold(Option<Hold>),
    Stop,
}

/// A host. Its address grows with its number.
#[derive(Debug)]
pub(in crate::sim) struct Host {
    pub(in crate::sim) id: usize,
    pub(in crate::sim) file: Vec<Instance>,
    /// Its daemon uses XDP; otherwise adverts all go through the socket.
    pub(super) xdp: bool,
    pub(super) powered: bool,
    pub(super) kernel: Kernel,
    pub(in crate::sim) daemon: Option<Daemon>,
    pub(super) carrier: [bool; INTERFACES],
    pub(super) tracked: BTreeMap<Place, Tracked>,
    /// No CPU for the main loop; for anything.
    pub(super) stalled_until: Time,
    pub(super) frozen_until: Time,
    pub(super) card: Vec<Letter>,
    /// Adverts that its machines must respect, and that its card still holds.
    held: BTreeMap<Place, usize>,
    pub(super) witnesses: BTreeMap<Place, Witness>,
    pub(super) wake_at: Option<Time>,
    /// The window of its latest planned restart.
    window: Time,
    /// When its latest advert went out, with its interval.
    pub(super) sent: BTreeMap<Place, (Time, Span)>,
    /// The same when its daemon was last started, with the longer of that interval and the new one, and when that was.
    silent: BTreeMap<Place, (Time, Span)>,
    pub(super) started: Time,
    /// How often its daemon has been started.
    pub(super) incarnation: u64,
}

/// A running daemon.
#[derive(Debug)]
pub(in crate::sim) struct Daemon {
    pub(super) node: Node,
    pub(super) instances: BTreeMap<RouterId, Instance>,
    /// As the transitions add up.
    pub(super) states: BTreeMap<RouterId, State>,
    /// Groups of which all members have been in one state since the latest reload.
    pub(super) agreed: Vec<GroupId>,
    pub(super) told: Vec<Told>,
    /// Of each interface; nobody is probed.
    pub(super) liveness: Vec<Liveness>,
    pub(super) promised: Time,
    pub(super) stopping: bool,
    /// What its operator wants, until when.
    pub(super) hold: Option<Hold>,
    /// Interfaces whose program it has found gone.
    pub(super) deaf: Vec<InterfaceId>,
    /// What it was told of in this turn.
    pub(super) heard: Vec<Letter>,
    /// Who has been master in this turn, and with which priority it began.
    pub(super) mastered: BTreeSet<RouterId>,
    pub(super) priorities: BTreeMap<RouterId, u8>,
}

impl Daemon {
    fn new(kernel: &Kernel, now: Time) -> Self {
        Self {
            node: Node::new(),
            instances: BTreeMap::new(),
            states: BTreeMap::new(),
            agreed: Vec::new(),
            told: Vec::new(),
            liveness: interfaces()
                .map(|on| Liveness::new(on, judge::Settings::default(), LEASE, 0, kernel, now))
                .collect(),
            promised: now,
            stopping: false,
            hold: None,
            deaf: Vec::new(),
            heard: Vec::new(),
            mastered: BTreeSet::new(),
            priorities: BTreeMap::new(),
        }
    }

    /// What a program judges adverts by while nobody runs it.
    pub(super) fn describe(&self, id: RouterId, host: usize) -> Option<Description> {
        let terms = self.instances.get(&id)?.terms();
        let priority = self.node.router(id).map_or(0, |router| router.machine().priority().get());
        Some(Description { terms, id: host, priority })
    }

    /// The virtual router here, unless it is on its way out.
    pub(super) fn router_at(&self, place: Place) -> Option<&Router> {
        self.node.routers().iter().find(|router| !router.is_retired() && place_of(router) == place)
    }
}

/// Where a step writes what it did.
#[derive(Debug)]
pub(super) struct Sinks<'a> {
    pub(super) now: Time,
    pub(super) log: &'a mut Log,
    pub(super) stats: &'a mut Stats,
    pub(super) letters: Vec<Letter>,
}

impl Sinks<'_> {
    pub(super) fn note(&mut self, what: impl FnOnce() -> String) {
        self.log.note(self.now, what);
    }
}

impl Host {
    pub(in crate::sim) fn new(id: usize, file: Vec<Instance>, xdp: bool) -> Self {
        Self {
            id,
            file,
            xdp,
            powered: true,
            kernel: Kernel::default(),
            daemon: None,
            carrier: [true; INTERFACES],
            tracked: BTreeMap::new(),
            stalled_until: Time(0),
            frozen_until: Time(0),
            card: Vec::new(),
            held: BTreeMap::new(),
            witnesses: BTreeMap::new(),
            wake_at: None,
            window: Time(0),
            sent: BTreeMap::new(),
            silent: BTreeMap::new(),
            started: Time(0),
            incarnation: 0,
        }
    }

    /// Who it is, for a failure's report.
    pub(super) fn introduction(&self) -> String {
        let way = if self.xdp { "XDP" } else { "socket" };
        let line = |of: &Instance| {
            let p = &of.params;
            format!(
                "  h{}: {way}, {}, v{}, priority {}, {} ms, preempt {} after {} ms: {}\n",
                self.id,
                label(of.place()),
                p.version.number(),
                of.priority,
                p.interval.0 / 1_000_000,
                p.preempt,
                p.preempt_delay.0 / 1_000_000,
                if self.daemon.is_some() { self.state(of.place()).word() } else { "not running" },
            )
        };
        self.file.iter().map(line).collect()
    }

    /// The state of a virtual router; INIT where the daemon does not run.
    pub(in crate::sim) fn state(&self, place: Place) -> State {
        let router = self.daemon.as_ref().and_then(|daemon| daemon.router_at(place));
        router.map_or(State::Init, |router| router.machine().state())
    }

    /// When the main loop wants the CPU.
    pub(super) fn next_deadline(&self) -> Time {
        self.daemon.as_ref().map_or(Time::NEVER, |daemon| daemon.node.next_deadline())
    }

    /// The timers of its virtual routers are overdue by more than `span`, or run for longer.
    pub(super) fn is_long_overdue(&self, now: Time, span: Span) -> bool {
        let routers = self.daemon.iter().flat_map(|daemon| daemon.node.routers());
        let mut deadlines = routers.map(|router| router.machine().next_deadline());
        let long_ago = |at: Time| at.after(span) < now;
        self.next_deadline().after(span) < now && deadlines.all(|at| long_ago(at) || at > now.after(span))
    }

    /// Its main loop gets no CPU.
    pub(super) fn stands_still(&self, now: Time) -> bool {
        self.frozen_until.max(self.stalled_until) > now
    }

    /// Its daemon was left on purpose, and the next one is on its way.
    pub(super) fn is_restarting(&self, now: Time) -> bool {
        self.daemon.is_none() && self.window >= now
    }

    pub(super) fn tell(&mut self, what: Told) {
        if let Some(daemon) = &mut self.daemon {
            daemon.told.push(what);
        }
    }

    /// An advert comes in; `held`: the card had it. True if the daemon is to be woken.
    pub(super) fn arrive(&mut self, letter: Letter, held: bool, now: Time, log: &mut Log) -> bool {
        let place = letter.place;
        if held && let Some(held) = self.held.get_mut(&place) {
            *held = held.saturating_sub(1);
        }
        if !self.powered || !self.carrier[place.0.0 as usize] {
            return false;
        }
        if self.frozen_until > now {
            if self.card.len() < CARD {
                self.card.push(letter);
            }
            return false;
        }
        let arrival = self.kernel.receive(letter, now);
        self.witness(&letter, arrival, now);
        log.note(now, || {
            let Letter { source, priority, .. } = letter;
            format!("h{} {} gets {priority} of .{source}: {arrival:?}", self.id, label(place))
        });
        matches!(arrival, Arrival::Queued | Arrival::Lost)
    }

    fn witness(&mut self, letter: &Letter, arrival: Arrival, now: Time) {
        if arrival == Arrival::Unheard {
            return;
        }
        if let Some(router) = self.judge_of(letter) {
            let machine = router.machine();
            let ours = (machine.priority().get(), *machine.params());
            let witness = self.witnesses.entry(letter.place).or_default();
            witness.arrived(letter, now, arrival == Arrival::Lost, ours);
        }
    }

    /// Who would accept it.
    fn judge_of(&self, letter: &Letter) -> Option<&Router> {
        let daemon = self.daemon.as_ref()?;
        let router = daemon.router_at(letter.place)?;
        let instance = daemon.instances.get(&router.id())?;
        letter.judged(&instance.terms(), self.id)?;
        Some(router)
    }

    /// The card of a host that runs again holds this. It counts, if the machine must respect it.
    pub(super) fn count_held(&mut self, letter: &Letter) {
        let priority = letter.priority;
        let respects = |router: &Router| {
            let machine = router.machine();
            priority > 0 && (priority >= machine.priority().get() || !machine.params().preempt)
        };
        let counts = self.judge_of(letter).is_some_and(respects);
        *self.held.entry(letter.place).or_default() += usize::from(counts);
    }

    /// With another file or priority, what the card holds may be of no concern.
    pub(super) fn forget_card(&mut self) {
        self.held.clear();
    }

    /// Statement 41: why no timer may make a backup of this priority master now.
    pub(super) fn objection(&self, router: &Router, priority: Priority, now: Time) -> Option<String> {
        let (place, machine) = (place_of(router), router.machine());
        if self.held.get(&place).is_some_and(|held| *held > 0) {
            return Some("took over while its card held the master's adverts".to_owned());
        }
        self.witnesses.get(&place)?.objection(priority.get(), machine.params(), now)
    }

    /// For how long it was silent before its daemon was started, and its interval; none within a restart's window.
    pub(super) fn silence(&self, place: Place) -> Option<(Span, Span)> {
        let (at, interval) = self.silent.get(&place).copied().unwrap_or_default();
        (self.started >= self.window).then_some((self.started.span_since(at), interval))
    }

    /// Starts the daemon.
    pub(super) fn start(&mut self, sinks: &mut Sinks<'_>) -> Result<(), String> {
        let now = sinks.now;
        self.silent.clone_from(&self.sent);
        for instance in &self.file {
            if let Some((_, interval)) = self.silent.get_mut(&instance.place()) {
                *interval = instance.params.interval.max(*interval);
            }
        }
        self.started = now;
        self.incarnation += 1;
        let used = interfaces().filter(|_| self.xdp);
        self.kernel.begin(used, self.incarnation, now);
        // A start removes what an earlier run has left on interfaces that the file does not use.
        let unused = |on: &InterfaceId| !self.file.iter().any(|instance| instance.on == *on);
        for on in interfaces().filter(unused).filter(|_| self.xdp) {
            self.kernel.attach(on, self.incarnation);
        }
        let mut daemon = Daemon::new(&self.kernel, now);
        self.reload(&mut daemon, sinks)?;
        daemon.node.take_part(now, &self.kernel);
        self.perform(&mut daemon, sinks)?;
        self.reconsider(&mut daemon, sinks)?;
        let wanted: Vec<Place> =
            daemon.node.routers().iter().filter(|router| router.presence().is_kept()).map(place_of).collect();
        self.kernel.keep_addresses(|place| wanted.contains(place));
        daemon.node.end_start(now);
        self.perform(&mut daemon, sinks)?;
        daemon.node.close_restart_windows();
        self.perform(&mut daemon, sinks)?;
        self.kernel.left.clear();
        self.daemon = Some(daemon);
        // It goes to sleep only after a first turn.
        self.main(sinks)
    }

    /// Leaves every role for the next run.
    pub(super) fn leave(&mut self, sinks: &mut Sinks<'_>) -> Result<(), String> {
        let Some(mut daemon) = self.daemon.take() else { return Ok(()) };
        Self::begin_turn(&mut daemon);
        self.window = sinks.now.after(restart_window(Span::ZERO));
        daemon.node.leave(Span::ZERO, sinks.now);
        self.perform(&mut daemon, sinks)?;
        let before = sinks.letters.len();
        daemon.node.say_goodbye();
        self.perform(&mut daemon, sinks)?;
        let left = sinks.letters[before..].iter().filter(|letter| letter.priority > 0);
        self.kernel.left = left.map(|letter| (letter.place, sinks.now)).collect();
        self.end(&daemon, sinks);
        Ok(())
    }

    /// kill -9: the addresses stay.
    pub(super) fn kill(&mut self, sinks: &mut Sinks<'_>) -> Result<(), String> {
        if let Some(daemon) = self.daemon.take() {
            self.end(&daemon, sinks);
        }
        Ok(())
    }

    /// The power fails.
    pub(super) fn die(&mut self, sinks: &mut Sinks<'_>) -> Result<(), String> {
        self.kernel = Kernel::default();
        self.powered = false;
        self.card.clear();
        self.sent.clear();
        self.kill(sinks)
    }

    pub(super) fn end(&mut self, daemon: &Daemon, sinks: &mut Sinks<'_>) {
        sinks.stats.coverage.inputs(daemon.node.reached());
        self.kernel.abandon();
        self.kernel.empty();
        (self.wake_at, self.stalled_until) = (None, Time(0));
        self.forget_card();
    }

    /// The file comes into force.
    pub(super) fn reload(&mut self, daemon: &mut Daemon, sinks: &mut Sinks<'_>) -> Result<(), String> {
        let now = sinks.now;
        let before: Vec<_> = daemon
            .node
            .routers()
            .iter()
            .filter(|router| !router.is_retired())
            .map(|router| (router.id(), daemon.instances[&router.id()], router.machine().state()))
            .collect();
        let wanted: Vec<_> = self.file.iter().map(Instance::settings).collect();
        let differs = |n: usize, old: Option<&Instance>| {
            old.is_some_and(|old: &Instance| old.address != self.file[n].address)
        };
        let Daemon { node, instances, .. } = daemon;
        let reload = node.reload(&wanted, |n, id| differs(n, instances.get(&id)), now);
        for (n, (fate, instance)) in reload.fates.iter().zip(&self.file).enumerate() {
            let old = instances.insert(fate.id(), *instance);
            // What arrived before is judged by the new file; and a member may have been due by the old one, and kept from it by
            // its group alone.
            let due = |old: &Instance| old.group.is_some() && old.params.interval < instance.params.interval;
            if differs(n, old.as_ref()) || old.as_ref().is_some_and(due) {
                self.witnesses.remove(&instance.place());
            }
            if let Fate::Added(id) = fate {
                daemon.states.insert(*id, State::Init);
            }
        }
        let find = |group: u32| {
            let members = reload.fates.iter().zip(&self.file).filter(move |(_, of)| of.group == Some(group));
            members.map(|(fate, _)| fate.id()).collect::<Vec<_>>()
        };
        let mut groups: Vec<u32> = self.file.iter().filter_map(|instance| instance.group).collect();
        groups.sort_unstable();
        groups.dedup();
        daemon.node.regroup(groups.into_iter().map(|group| (GroupId(group), find(group))), now);
        daemon.agreed.clear();
        self.perform(daemon, sinks)?;
        // Whoever is in both files goes on. One that only its group kept from taking over is free outside of it.
        for (id, old, state) in before {
            let identity = |of: &Instance| (of.place(), of.params.version, of.group);
            let stays = |new: &&Instance| identity(new) == identity(&old);
            if let Some(new) = self.file.iter().find(stays) {
                let still = daemon.node.router(id).filter(|router| !router.is_retired());
                let now = still.map(|router| router.machine().state());
                if now != Some(state) {
                    let (me, place) = (self.id, label(new.place()));
                    return Err(format!(
                        "reload: h{me} {place} was {state}, is {now:?}, and stays in the file"
                    ));
                }
            }
        }
        Ok(())
    }

    /// What links and trackers say comes into force.
    pub(super) fn reconsider(&mut self, daemon: &mut Daemon, sinks: &mut Sinks<'_>) -> Result<(), String> {
        for (&id, instance) in &daemon.instances {
            if daemon.node.router(id).is_none_or(|router| router.is_retired()) {
                continue;
            }
            let up = self.carrier[instance.on.0 as usize];
            let tracked = self.tracked.get(&instance.place()).copied().unwrap_or(Tracked::Good);
            let (fitness, minus) = match tracked {
                Tracked::Good => (Input::Ready(up), 0),
                Tracked::Unfit => (if up { Input::Unfit } else { Input::Ready(false) }, 0),
                Tracked::Weight(minus) => (Input::Ready(up), minus),
            };
            let priority = instance.priority.get().saturating_sub(minus).max(1);
            let priority = Priority::new(priority).unwrap_or(Priority::DEFAULT);
            let lower = daemon.node.router(id).is_some_and(|router| priority < router.machine().priority());
            if instance.group.is_some() && lower {
                // It may have been due by the old one, and kept from it by its group alone.
                self.witnesses.remove(&instance.place());
            }
            let source = Some(address_of(self.id, instance.params.family));
            daemon.node.set_fitness(id, Fitness { fitness, waits: false, priority, source }, sinks.now);
        }
        self.judge_fences(daemon);
        daemon.node.settle_fitness(sinks.now, &self.kernel);
        self.perform(daemon, sinks)?;
        for router in daemon.node.routers().iter().filter(|router| !router.is_retired()) {
            let (place, state) = (place_of(router), router.machine().state());
            if !self.carrier[place.0.0 as usize] && !matches!(state, State::Fault | State::Init) {
                return Err(format!("29: h{} {} without a link is {state}", self.id, label(place)));
            }
        }
        Ok(())
    }

    /// Which addresses can be kept silent on a backup.
    pub(super) fn judge_fences(&self, daemon: &mut Daemon) {
        for (&id, instance) in &daemon.instances {
            if self.xdp && !daemon.node.is_apart(instance.on) {
                daemon.node.allow_standby(id);
            } else {
                daemon.node.bar_standby(id);
            }
        }
    }

    /// The threads that renew leases have the CPU. True if the main loop is to be woken.
    pub(super) fn renew(&mut self, now: Time) -> Result<bool, String> {
        let Some(Daemon { node, liveness, promised, .. }) = &mut self.daemon else { return Ok(false) };
        let mut wake_main = false;
        for liveness in liveness {
            wake_main |= liveness.look(node, &mut self.kernel, false, *promised, now)?.wake_main;
        }
        Ok(wake_main)
    }
}

//! A host: its kernel, its file, and the daemon, which drives the node as the real one does.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ha_common::machine::{Input, State};
use ha_common::node::{
    Effect, Event, Fate, Fitness, GroupId, Heard, Hold, InterfaceId, Mark, Node, Router, RouterId, lease,
    restart_window,
};
use ha_common::time::{Span, Time};
use ha_common::types::{Family, Priority};

use super::cast::{INTERFACES, Instance, Place};
use super::kernel::Kernel;
use super::world::Frame;
use crate::sim::effects::Coverage;

/// How long silence may have lasted when a role goes on after a crash. Nobody is patient for longer than three intervals
/// and the skew, and the last advert is up to an interval older than the last sign of life.
const RESUMES_WITHIN: u64 = 4;
/// An advert is late by so much, and by what a main loop that stands still is vouched for.
const LATE: Span = Span::from_millis(10);

/// What a tracker says of a virtual router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tracked {
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
pub(super) struct Host {
    pub(super) id: usize,
    pub(super) file: Vec<Instance>,
    /// Its daemon uses XDP.
    pub(super) xdp: bool,
    pub(super) powered: bool,
    pub(super) kernel: Kernel,
    pub(super) daemon: Option<Daemon>,
    pub(super) carrier: [bool; INTERFACES],
    pub(super) tracked: BTreeMap<Place, Tracked>,
    /// No CPU for the main loop; for anything.
    pub(super) stalled_until: Time,
    pub(super) frozen_until: Time,
    pub(super) card: Vec<Frame>,
    pub(super) wake_at: Option<Time>,
    /// The window of its latest planned restart.
    window: Time,
    /// When its latest advert went out, with its interval.
    sent: BTreeMap<Place, (Time, Span)>,
    /// The same when its daemon was last started, with the longer of that interval and the new one, and when that was.
    silent: BTreeMap<Place, (Time, Span)>,
    started: Time,
}

/// A running daemon.
#[derive(Debug)]
pub(super) struct Daemon {
    pub(super) node: Node,
    instances: BTreeMap<RouterId, Instance>,
    /// As the transitions add up.
    states: BTreeMap<RouterId, State>,
    /// Groups of which all members have been in one state since the latest reload.
    agreed: Vec<GroupId>,
    pub(super) told: Vec<Told>,
    promised: Time,
    stopping: bool,
}

/// Where a step writes what it did.
#[derive(Debug)]
pub(super) struct Sinks<'a> {
    pub(super) now: Time,
    pub(super) notes: Vec<String>,
    pub(super) telling: bool,
    pub(super) frames: Vec<Frame>,
    pub(super) transitions: u64,
    pub(super) resumed: u64,
    pub(super) moves: u64,
    pub(super) coverage: &'a mut Coverage,
}

impl Sinks<'_> {
    fn note(&mut self, what: impl FnOnce() -> String) {
        if self.telling {
            self.notes.push(what());
        }
    }
}

fn place_of(router: &Router) -> Place {
    (router.interface(), router.family(), router.vrid())
}

fn address(id: usize, family: Family) -> IpAddr {
    let last = u8::try_from(id + 1).unwrap_or(u8::MAX);
    match family {
        Family::V4 => IpAddr::V4(Ipv4Addr::new(192, 0, 2, last)),
        Family::V6 => IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, last.into())),
    }
}

fn interfaces() -> impl Iterator<Item = InterfaceId> {
    (0..INTERFACES).filter_map(|on| u32::try_from(on).ok()).map(InterfaceId)
}

impl Host {
    pub(super) fn new(id: usize, file: Vec<Instance>, xdp: bool) -> Self {
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
            wake_at: None,
            window: Time(0),
            sent: BTreeMap::new(),
            silent: BTreeMap::new(),
            started: Time(0),
        }
    }

    /// The state of a virtual router; INIT where the daemon does not run.
    pub(super) fn state(&self, place: Place) -> State {
        let Some(daemon) = &self.daemon else { return State::Init };
        let mut here = daemon.node.routers().iter().filter(|router| !router.is_retired());
        here.find(|router| place_of(router) == place).map_or(State::Init, |router| router.machine().state())
    }

    pub(super) fn tell(&mut self, what: Told) {
        if let Some(daemon) = &mut self.daemon {
            daemon.told.push(what);
        }
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
        let used = interfaces().filter(|_| self.xdp);
        self.kernel.begin(used, now);
        // A start removes what an earlier run has left on interfaces that the file does not use.
        let unused = |on: &InterfaceId| !self.file.iter().any(|instance| instance.on == *on);
        for on in interfaces().filter(unused).filter(|_| self.xdp) {
            self.kernel.attach(on);
        }
        let mut daemon = Daemon {
            node: Node::new(),
            instances: BTreeMap::new(),
            states: BTreeMap::new(),
            agreed: Vec::new(),
            told: Vec::new(),
            promised: now,
            stopping: false,
        };
        self.reload(&mut daemon, sinks)?;
        daemon.node.take_part(now, &self.kernel);
        self.perform(&mut daemon, sinks)?;
        self.reconsider(&mut daemon, sinks)?;
        let wanted: Vec<Place> =
            daemon.node.routers().iter().filter(|router| router.presence().is_kept()).map(place_of).collect();
        self.kernel.addresses.retain(|place| wanted.contains(place));
        daemon.node.end_start(now);
        self.perform(&mut daemon, sinks)?;
        daemon.node.close_restart_windows();
        self.perform(&mut daemon, sinks)?;
        self.kernel.left.clear();
        self.daemon = Some(daemon);
        Ok(())
    }

    /// Leaves every role for the next run.
    pub(super) fn leave(&mut self, sinks: &mut Sinks<'_>) -> Result<(), String> {
        let Some(mut daemon) = self.daemon.take() else { return Ok(()) };
        self.window = sinks.now.after(restart_window(Span::ZERO));
        daemon.node.leave(Span::ZERO, sinks.now);
        self.perform(&mut daemon, sinks)?;
        let before = sinks.frames.len();
        daemon.node.say_goodbye();
        self.perform(&mut daemon, sinks)?;
        let left = sinks.frames[before..].iter().filter(|frame| frame.priority > 0);
        self.kernel.left = left.map(|frame| (frame.place, sinks.now)).collect();
        self.end(daemon, sinks);
        Ok(())
    }

    /// kill -9.
    pub(super) fn kill(&mut self, sinks: &mut Sinks<'_>) {
        if let Some(daemon) = self.daemon.take() {
            self.end(daemon, sinks);
        }
    }

    /// The power fails.
    pub(super) fn die(&mut self, sinks: &mut Sinks<'_>) {
        self.kill(sinks);
        self.kernel = Kernel::default();
        self.powered = false;
        self.card.clear();
        self.sent.clear();
    }

    fn end(&mut self, daemon: Daemon, sinks: &mut Sinks<'_>) {
        sinks.coverage.inputs(daemon.node.reached());
        self.kernel.attended = false;
        self.kernel.queue.clear();
        self.wake_at = None;
    }

    /// The file comes into force.
    fn reload(&mut self, daemon: &mut Daemon, sinks: &mut Sinks<'_>) -> Result<(), String> {
        let now = sinks.now;
        let before: Vec<_> = daemon
            .node
            .routers()
            .iter()
            .filter(|router| !router.is_retired())
            .map(|router| (router.id(), daemon.instances[&router.id()], router.machine().state()))
            .collect();
        let wanted: Vec<_> = self.file.iter().map(Instance::settings).collect();
        let Daemon { node, instances, .. } = daemon;
        let differs = |n: usize, id| {
            instances.get(&id).is_some_and(|old: &Instance| old.password != self.file[n].password)
        };
        let reload = node.reload(&wanted, differs, now);
        for (fate, instance) in reload.fates.iter().zip(&self.file) {
            daemon.instances.insert(fate.id(), *instance);
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
                    return Err(format!(
                        "reload: h{} {:?} was {state}, is {now:?}, and the file still has it",
                        self.id,
                        new.place()
                    ));
                }
            }
        }
        Ok(())
    }

    fn reconsider(&mut self, daemon: &mut Daemon, sinks: &mut Sinks<'_>) -> Result<(), String> {
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
            let source = Some(address(self.id, instance.params.family));
            daemon.node.set_fitness(id, Fitness { fitness, waits: false, priority, source }, sinks.now);
        }
        self.judge_fences(daemon);
        daemon.node.settle_fitness(sinks.now, &self.kernel);
        self.perform(daemon, sinks)
    }

    /// Which addresses can be kept silent on a backup.
    fn judge_fences(&self, daemon: &mut Daemon) {
        for instance in daemon.instances.iter().map(|(id, of)| (*id, of.on)).collect::<Vec<_>>() {
            let (id, on) = instance;
            if self.xdp && !daemon.node.is_apart(on) {
                daemon.node.allow_standby(id);
            } else {
                daemon.node.bar_standby(id);
            }
        }
    }

    /// The main loop has the CPU.
    pub(super) fn main(&mut self, sinks: &mut Sinks<'_>) -> Result<(), String> {
        let Some(mut daemon) = self.daemon.take() else { return Ok(()) };
        let now = sinks.now;
        self.judge(&mut daemon);
        let told = std::mem::take(&mut daemon.told);
        if !told.is_empty() {
            daemon.node.listen(now, &self.kernel);
            self.perform(&mut daemon, sinks)?;
        }
        for what in told {
            match what {
                Told::Reconsider => self.reconsider(&mut daemon, sinks)?,
                Told::Reload => {
                    self.reload(&mut daemon, sinks)?;
                    daemon.node.take_part(now, &self.kernel);
                    self.perform(&mut daemon, sinks)?;
                    self.reconsider(&mut daemon, sinks)?;
                }
                Told::Hold(hold) => {
                    let ids: Vec<_> = daemon.node.routers().iter().map(Router::id).collect();
                    for id in ids {
                        daemon.node.hold(id, hold, now, &self.kernel);
                    }
                    self.perform(&mut daemon, sinks)?;
                }
                Told::Stop => {
                    daemon.stopping = true;
                    daemon.node.stop(now, &self.kernel);
                    self.perform(&mut daemon, sinks)?;
                }
            }
        }
        daemon.node.turn(now, &mut self.kernel);
        self.perform(&mut daemon, sinks)?;
        for on in std::mem::take(&mut self.kernel.deaf) {
            self.kernel.attach(on);
            daemon.node.attached(on, now);
            self.perform(&mut daemon, sinks)?;
            daemon.node.take_part(now, &self.kernel);
            self.judge_fences(&mut daemon);
            self.perform(&mut daemon, sinks)?;
            daemon.node.turn(now, &mut self.kernel);
            self.perform(&mut daemon, sinks)?;
        }
        for id in daemon.node.forget_retired() {
            daemon.instances.remove(&id);
            daemon.states.remove(&id);
        }
        self.agree(&mut daemon)?;
        if daemon.node.next_deadline() <= now {
            return Err(format!("40: h{} stands still", self.id));
        }
        daemon.promised = daemon.node.next_deadline();
        if daemon.stopping && daemon.node.has_stopped() {
            self.end(daemon, sinks);
            self.kernel.end();
        } else {
            self.daemon = Some(daemon);
        }
        Ok(())
    }

    /// Judges what is queued, and tells the node.
    fn judge(&mut self, daemon: &mut Daemon) {
        let frames = std::mem::take(&mut self.kernel.queue);
        for (frame, at) in &frames {
            let goes_on =
                |id: &&RouterId| daemon.node.router(**id).is_some_and(|router| !router.is_retired());
            let mut running = daemon.instances.iter().filter(|(id, _)| goes_on(id));
            let Some((&router, _)) =
                running.find(|(_, of)| of.place() == frame.place && of.password == frame.password)
            else {
                continue;
            };
            daemon.node.heard(Heard {
                router,
                source: address(frame.from, frame.place.1),
                mac: None,
                priority: frame.priority,
                interval: frame.interval,
                at: *at,
                mark: if self.xdp { Mark::Fingerprint(frame.print()) } else { Mark::None },
                unheard: false,
            });
        }
    }

    /// What must hold after every turn: addresses follow the states, and the members of a group share theirs.
    fn agree(&self, daemon: &mut Daemon) -> Result<(), String> {
        for router in daemon.node.routers() {
            let place = place_of(router);
            let state = router.machine().state();
            let there = self.kernel.addresses.contains(&place);
            let behind = router.presence().is_behind();
            if !router.is_retired() && there != (behind || state.holds_addresses()) {
                return Err(format!("36: h{} {place:?} is {state}, addresses: {there}", self.id));
            }
            if behind != self.kernel.is_silent(place) && self.kernel.has_program(place.0) {
                return Err(format!("36: h{} {place:?} is {state}, behind its fence: {behind}", self.id));
            }
        }
        let Daemon { node, agreed, .. } = daemon;
        for group in node.groups() {
            let states: Vec<_> = group.members().iter().map(|id| node[*id].machine().state()).collect();
            if states.windows(2).all(|pair| pair[0] == pair[1]) {
                if !agreed.contains(&group.id()) {
                    agreed.push(group.id());
                }
            } else if agreed.contains(&group.id())
                && !states.iter().any(|state| matches!(state, State::Init | State::Leaving))
            {
                return Err(format!("group: the members of h{}'s {:?} are {states:?}", self.id, group.id()));
            }
        }
        Ok(())
    }

    /// Carries out what the node wants done.
    fn perform(&mut self, daemon: &mut Daemon, sinks: &mut Sinks<'_>) -> Result<(), String> {
        let me = self.id;
        while let Some(effect) = daemon.node.poll_effect() {
            sinks.coverage.effect(&effect);
            let place = |id: RouterId| daemon.instances.get(&id).map(Instance::place);
            match effect {
                Effect::Write(on, write) => self.kernel.write(on, write, place),
                Effect::Track { mark: Mark::Fingerprint(print), at, router, .. } => {
                    let place = place(router).ok_or("tracks for nobody")?;
                    self.kernel.track(Frame::of(place, print), at);
                }
                Effect::Track { .. } => {}
                Effect::Untrack(id) => {
                    if let Some(place) = place(id) {
                        self.kernel.untrack(place);
                    }
                }
                Effect::Advert { router, priority } => {
                    let instance = daemon.instances.get(&router).ok_or("an advert of nobody")?;
                    let (place, interval) = (instance.place(), instance.params.interval);
                    self.sent.insert(place, (sinks.now, interval));
                    sinks.frames.push(Frame {
                        place,
                        from: me,
                        priority,
                        interval,
                        password: instance.password,
                    });
                }
                Effect::AddBehind(id) => {
                    let place = place(id).ok_or("addresses of nobody")?;
                    if !self.kernel.is_silent(place) {
                        return Err(format!(
                            "39: h{me} adds {place:?}, which its fence does not keep silent"
                        ));
                    }
                    self.kernel.addresses.insert(place);
                }
                Effect::AddAddresses(id) => {
                    let place = place(id).ok_or("addresses of nobody")?;
                    if !self.kernel.may_hold(place) {
                        return Err(format!("39: h{me} adds {place:?}, of which its fence does not know"));
                    }
                    self.kernel.addresses.insert(place);
                }
                Effect::RemoveAddresses(id) => {
                    let place = place(id).ok_or("addresses of nobody")?;
                    if !self.kernel.may_hold(place) {
                        return Err(format!("39: the fence of h{me} opens before {place:?} is gone"));
                    }
                    self.kernel.addresses.remove(&place);
                }
                Effect::ForgetOthers(on, kept) => self.kernel.forget_others(on, &kept),
                Effect::Announce { .. } => {}
                Effect::Event(event) => self.event(daemon, event, sinks)?,
            }
        }
        Ok(())
    }

    fn event(&self, daemon: &mut Daemon, event: Event, sinks: &mut Sinks<'_>) -> Result<(), String> {
        let me = self.id;
        match event {
            Event::Transition { router, from, to, reason, .. } => {
                let place = daemon.instances.get(&router).map(Instance::place);
                sinks.note(|| format!("h{me} {} {from} -> {to}: {reason}", label(place)));
                // A start alone changes nothing for anybody.
                sinks.transitions += u64::from((from, to) != (State::Init, State::Backup));
                sinks.moves += u64::from(to == State::Master && daemon.node[router].group().is_some());
                let before = daemon.states.insert(router, to);
                if before != Some(from) {
                    return Err(format!("h{me} {} goes from {from}, was {before:?}", label(place)));
                }
            }
            Event::Resumed(id) => {
                let instance = daemon.instances[&id];
                let place = instance.place();
                sinks.note(|| format!("h{me} {} goes on as MASTER", label(Some(place))));
                sinks.resumed += 1;
                daemon.states.insert(id, State::Master);
                let (at, interval) = self.silent.get(&place).copied().unwrap_or_default();
                let silence = self.started.span_since(at);
                let limit = interval.times(RESUMES_WITHIN).plus(lease::SLACK).plus(LATE);
                if self.started >= self.window && silence > limit {
                    return Err(format!(
                        "resume: h{me} {} goes on after {} ms of silence",
                        label(Some(place)),
                        crate::sim::timeline::millis(silence)
                    ));
                }
            }
            Event::DuplicateAddress(_) => return Err(format!("26: h{me} heard itself")),
            _ => {}
        }
        Ok(())
    }

    /// The threads that renew leases have the CPU. True if the main loop is to be woken.
    pub(super) fn renew(&mut self, now: Time) -> bool {
        let Some(daemon) = &self.daemon else { return false };
        let mut over = false;
        for on in interfaces() {
            if !daemon.node.needs_lease(on) {
                continue;
            }
            let length = daemon.node.lease_length(on);
            let Some(until) = self.kernel.lease_mut(on) else { continue };
            if let Some(later) = lease::renewal(*until, length, daemon.promised, now) {
                *until = later;
            }
            over |= *until <= now;
        }
        over
    }
}

/// A virtual router in the timeline.
pub(super) fn label(place: Option<Place>) -> String {
    place.map_or_else(
        || "?".to_owned(),
        |(on, family, vrid)| {
            let family = if family == Family::V4 { "v4" } else { "v6" };
            format!("eth{}/{family}/{}", on.0, vrid.get())
        },
    )
}

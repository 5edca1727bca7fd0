//! The hosts, the virtual clock, and what is to be seen at every instant.

use ha_common::machine::State;
use ha_common::time::{Span, Time};

use super::agenda::Agenda;
use super::check::Expect;
use super::faults::Fault;
use super::file::Instance;
use super::host::{Host, Sinks};
use super::log::Log;
use super::wire::Wires;
use crate::rng::Rng;
use crate::sim::letter::Letter;
use crate::sim::place::{Place, label};
use crate::sim::shrink::Spared;
use crate::sim::{Stats, millis};

/// Two masters at once, in calm: the wire, and a process that comes late.
const OVERLAP: Span = Span::from_millis(10);
/// How often leases are looked at.
const RENEW: Span = Span::from_millis(34);
/// A card hands over what it held within this time after its host runs again: less than a machine's grace.
const CARD_DELAY: Span = Span::from_millis(3);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Event {
    /// `held`: by the card of a host that was frozen.
    Arrive {
        to: usize,
        letter: usize,
        held: bool,
    },
    Main {
        host: usize,
    },
    Renew {
        host: usize,
    },
    Thaw {
        host: usize,
    },
    Fault {
        fault: usize,
    },
    End {
        fault: usize,
    },
}

/// A cluster.
pub(in crate::sim) struct World {
    pub(in crate::sim) now: Time,
    /// For what befalls the cluster; the wires have their own, so that a fault less leaves the others what they are.
    pub(in crate::sim) rng: Rng,
    pub(super) noise: Rng,
    pub(in crate::sim) hosts: Vec<Host>,
    /// What all files say when nothing has been changed in them.
    pub(in crate::sim) files: Vec<Vec<Instance>>,
    pub(super) expect: Expect,
    pub(in crate::sim) stats: Stats,
    pub(super) wires: Wires,
    /// Faults so far, and those that do not come about.
    pub(in crate::sim) faults: u32,
    pub(super) spared: Spared,
    pub(super) log: Log,
    agenda: Agenda<Event>,
    letters: Vec<Letter>,
    planned: Vec<Fault>,
    two_since: Option<Time>,
}

impl World {
    /// `telling`: the timeline is wanted.
    pub(in crate::sim) fn new(rng: Rng, hosts: Vec<Host>, spared: Spared, telling: bool) -> Self {
        let files = hosts.iter().map(|host| host.file.clone()).collect();
        let noise = Rng::new(rng.clone().next());
        let mut world = Self {
            now: Time(1_000_000_000),
            rng,
            noise,
            hosts,
            files,
            expect: Expect::Anything,
            stats: Stats::default(),
            wires: Wires::default(),
            faults: 0,
            spared,
            log: Log::new(telling),
            agenda: Agenda::new(),
            letters: Vec::new(),
            planned: Vec::new(),
            two_since: None,
        };
        if world.files.iter().flatten().any(|of| of.fast) {
            for host in 0..world.hosts.len() {
                let phase = world.rng.span(Span::ZERO, RENEW);
                world.push(world.now.after(phase), Event::Renew { host });
            }
        }
        world
    }

    pub(super) fn note(&mut self, what: impl FnOnce() -> String) {
        self.log.note(self.now, what);
    }

    /// Who the hosts are, and what happened last.
    pub(in crate::sim) fn timeline(&self) -> String {
        let cast: String = self.hosts.iter().map(Host::introduction).collect();
        cast + &self.log.text()
    }

    /// What the nodes of running daemons have met.
    pub(in crate::sim) fn count_reached(&mut self) {
        let reached = self.hosts.iter().filter_map(|host| Some(host.daemon.as_ref()?.node.reached()));
        reached.for_each(|reached| self.stats.coverage.inputs(reached));
    }

    pub(super) fn push(&mut self, at: Time, event: Event) {
        self.agenda.push(at, event);
    }

    /// The number of an advert on its way.
    pub(super) fn keep(&mut self, letter: Letter) -> usize {
        self.letters.push(letter);
        self.letters.len() - 1
    }

    /// Something that will befall the cluster.
    pub(in crate::sim) fn plan(&mut self, at: Time, fault: Fault) {
        self.planned.push(fault);
        self.push(at, Event::Fault { fault: self.planned.len() - 1 });
    }

    /// What ends a fault; no story is spared that.
    pub(in crate::sim) fn plan_end(&mut self, at: Time, fault: Fault) {
        self.planned.push(fault);
        self.push(at, Event::End { fault: self.planned.len() - 1 });
    }

    pub(in crate::sim) fn phase(&mut self, expect: Expect, name: &'static str) {
        self.note(|| format!("== {name}"));
        self.expect = expect;
        self.two_since = None;
    }

    /// Lets time pass; every event is a step, and after every step the invariants are looked at.
    pub(in crate::sim) fn pass(&mut self, span: Span) -> Result<(), String> {
        let end = self.now.after(span);
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
        let now = self.now;
        match event {
            Event::Arrive { to, letter, held } => {
                if self.hosts[to].arrive(self.letters[letter], held, now, &mut self.log) {
                    self.wake_soon(to);
                }
            }
            Event::Main { host } => {
                if self.hosts[host].wake_at == Some(now) {
                    self.hosts[host].wake_at = None;
                    self.drive(host)?;
                }
            }
            Event::Renew { host } => {
                if self.hosts[host].frozen_until <= now && self.hosts[host].renew(now)? {
                    self.wake_soon(host);
                }
                self.push(now.after(RENEW), Event::Renew { host });
            }
            Event::Thaw { host } => self.thaw(host),
            Event::Fault { fault } => self.befall(self.planned[fault])?,
            Event::End { fault } => self.strike(self.planned[fault])?,
        }
        Ok(())
    }

    /// Lets a host do something, and carries what it says.
    pub(super) fn act(
        &mut self,
        id: usize,
        what: impl FnOnce(&mut Host, &mut Sinks<'_>) -> Result<(), String>,
    ) -> Result<(), String> {
        let (stats, log) = (&mut self.stats, &mut self.log);
        let mut sinks = Sinks { now: self.now, log, stats, letters: Vec::new() };
        let done = what(&mut self.hosts[id], &mut sinks);
        for letter in sinks.letters {
            self.broadcast(id, letter);
        }
        done
    }

    fn drive(&mut self, id: usize) -> Result<(), String> {
        let host = &self.hosts[id];
        if host.daemon.is_none() {
            return Ok(());
        }
        if host.stands_still(self.now) {
            self.wake(id, self.now);
            return Ok(());
        }
        self.act(id, Host::main)?;
        let deadline = self.hosts[id].next_deadline();
        if deadline != Time::NEVER {
            let late = self.latency();
            self.wake(id, deadline.after(late));
        }
        Ok(())
    }

    pub(super) fn freeze(&mut self, id: usize, span: Span) {
        let until = self.now.after(span);
        let host = &mut self.hosts[id];
        host.frozen_until = host.frozen_until.max(until);
        self.push(until, Event::Thaw { host: id });
    }

    fn thaw(&mut self, id: usize) {
        let now = self.now;
        let host = &mut self.hosts[id];
        if host.frozen_until > now {
            return;
        }
        let held = std::mem::take(&mut host.card);
        for letter in &held {
            host.count_held(letter);
        }
        let late = host.is_long_overdue(now, CARD_DELAY);
        self.note(|| format!("h{id} runs again, {} frames on its card", held.len()));
        // Where the timer, too, is overdue it is anybody's race.
        let delay = if late { self.noise.span(Span::ZERO, CARD_DELAY) } else { Span::ZERO };
        // One after the other, as the kernel's time stamps are.
        for (letter, nth) in held.into_iter().zip(0..) {
            let letter = self.keep(letter);
            self.push(now.after(delay.plus(Span(nth))), Event::Arrive { to: id, letter, held: true });
        }
        self.wake_soon(id);
    }

    pub(super) fn wake_soon(&mut self, host: usize) {
        let late = self.latency();
        self.wake(host, self.now.after(late));
    }

    fn wake(&mut self, id: usize, at: Time) {
        let host = &mut self.hosts[id];
        // Interrupts run before processes.
        let frozen_until = host.frozen_until.after(Span::from_micros(1));
        let at = at.max(host.stalled_until.after(Span(1))).max(frozen_until);
        if host.wake_at.is_none_or(|planned| at < planned) {
            host.wake_at = Some(at);
            self.push(at, Event::Main { host: id });
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

    /// Every virtual router, with its group.
    pub(in crate::sim) fn places(&self) -> impl Iterator<Item = (Place, Option<u32>)> {
        self.files[0].iter().map(|instance| (instance.place(), instance.group))
    }

    pub(in crate::sim) fn masters(&self, place: Place) -> impl Iterator<Item = usize> {
        self.hosts.iter().filter(move |host| host.state(place) == State::Master).map(|host| host.id)
    }

    fn check(&mut self, changed: bool) -> Result<(), String> {
        let now = self.now;
        match self.expect {
            Expect::Anything => return Ok(()),
            Expect::Answered => {
                let answers = |host: &Host, place| host.daemon.is_some() && host.kernel.takes(place, now);
                let mut places = self.places();
                let unanswered =
                    places.find(|(place, _)| !self.hosts.iter().any(|host| answers(host, *place)));
                return match unanswered {
                    Some((place, _)) => Err(format!("38: nobody answers for {}", label(place))),
                    None => Ok(()),
                };
            }
            Expect::Unchanged if changed => {
                return Err("38, 41: a state changed without a reason".to_owned());
            }
            Expect::OneMaster | Expect::Unchanged => {}
        }
        let mut two = false;
        let mut leaders: Vec<(u32, usize)> = Vec::new();
        for (place, group) in self.places() {
            let mut masters = self.masters(place);
            let Some(first) = masters.next() else {
                if self.hosts.iter().any(|host| host.is_restarting(now) && host.kernel.takes(place, now)) {
                    continue;
                }
                return Err(format!("38: {} has no master", label(place)));
            };
            two |= masters.next().is_some();
            if let Some(group) = group {
                two |= leaders.iter().any(|(of, host)| *of == group && *host != first);
                leaders.push((group, first));
            }
        }
        if two {
            let since = *self.two_since.get_or_insert(self.now);
            let span = self.now.span_since(since);
            if span > OVERLAP {
                return Err(format!("38: two masters, or a group on two hosts: for {} ms", millis(span)));
            }
        } else {
            self.two_since = None;
        }
        Ok(())
    }
}

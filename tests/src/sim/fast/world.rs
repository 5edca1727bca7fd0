//! The hosts, the wire between them, and the virtual clock.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use ha_common::judge::Answered;
use ha_common::time::{Span, Time};

use super::FastStats;
use super::check::Check;
use super::client::{Arp, Client};
use super::faults::Fault;
use super::host::{Host, Output};
use super::hostile::Stranger;
use super::reach::Reach;
use super::switch::{Mac, PORTS, Switch, To};
use super::wire::Link;
use crate::rng::Rng;
use crate::sim::letter::Letter;
use crate::sim::millis;
use crate::sim::shrink::Spared;

/// Hosts in a cluster, at most.
pub(super) const HOSTS: usize = 4;

/// Lines of a failure's timeline.
const KEEP: usize = 120;

/// A frame on the wire.
#[derive(Clone, Copy, Debug)]
pub(super) enum Frame {
    Advert {
        letter: Letter,
    },
    Probe {
        from: usize,
        bid: u64,
        sequence: u64,
        prober: u64,
    },
    Reply {
        from: usize,
        prober: u64,
        answer: Answered,
    },
    /// A probe of the stranger's, by its number.
    Foreign {
        probe: usize,
    },
    /// ARP for the virtual address; the sender's MAC address is said to be this.
    Arp {
        kind: Arp,
        from: usize,
        mac: Mac,
    },
    /// A client's packet to the virtual address.
    Data {
        from: usize,
        sent: Time,
    },
}

/// What happens.
#[derive(Clone, Copy, Debug)]
pub(super) enum Event {
    Arrive {
        to: usize,
        frame: Frame,
    },
    /// A frame that was held reaches the switch.
    Enter {
        from: usize,
        mac: Mac,
        to: To,
        frame: Frame,
    },
    /// A client sends.
    Client {
        id: usize,
    },
    /// The stranger sends.
    Stranger,
    Main {
        host: usize,
    },
    Live {
        host: usize,
    },
    /// The kernel has closed the descriptors of a dead daemon.
    Emptied {
        host: usize,
        incarnation: u64,
    },
    Start {
        host: usize,
    },
    Resume {
        host: usize,
    },
    /// Somebody must answer by now.
    Deadline {
        died: Time,
        bound: Span,
    },
    Fault(Fault),
}

/// What the network does.
#[derive(Clone, Copy, Debug)]
pub(super) struct Weather {
    pub(super) latency: Span,
    /// Per mille of frames that come late, and how late at most: switches and softirqs.
    pub(super) late: (u64, Span),
    /// Per mille.
    pub(super) loss: u64,
    pub(super) duplication: u64,
    /// Per mille of wake-ups that are late, and how late at most.
    pub(super) sleepy: (u64, Span),
}

pub(super) struct World {
    pub(super) now: Time,
    /// For what befalls the cluster; the network and the processors have their own, so that a fault less leaves the others
    /// what they are.
    pub(super) rng: Rng,
    pub(super) noise: Rng,
    /// Faults so far, and those that do not come about.
    pub(super) faults: u32,
    pub(super) spared: Spared,
    pub(super) hosts: Vec<Host>,
    pub(super) weather: Weather,
    pub(super) links: [[Link; PORTS]; PORTS],
    pub(super) switch: Switch,
    pub(super) clients: Vec<Client>,
    pub(super) stranger: Stranger,
    pub(super) check: Check,
    pub(super) reach: Reach,
    pub(super) stats: FastStats,
    events: BinaryHeap<Reverse<(Time, u64, Slot)>>,
    slab: Vec<Event>,
    free: Vec<usize>,
    sequence: u64,
    incarnations: u64,
    log: std::collections::VecDeque<(Time, Note)>,
}

/// A line of the timeline, kept cheaply.
#[derive(Clone, Debug)]
enum Note {
    Arrive(usize, Frame),
    Text(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Slot(usize);

impl World {
    pub(super) fn new(
        rng: Rng,
        hosts: Vec<Host>,
        clients: Vec<Client>,
        weather: Weather,
        spared: Spared,
    ) -> Self {
        let check = Check::new(hosts.len());
        Self {
            now: Time(10_000_000_000),
            noise: Rng::new(rng.clone().next()),
            rng,
            faults: 0,
            spared,
            hosts,
            weather,
            links: Default::default(),
            switch: Switch::default(),
            clients,
            stranger: Stranger::default(),
            check,
            reach: Reach::default(),
            stats: FastStats::default(),
            events: BinaryHeap::new(),
            slab: Vec::new(),
            free: Vec::new(),
            sequence: 0,
            incarnations: 0,
            log: std::collections::VecDeque::new(),
        }
    }

    pub(super) fn push(&mut self, at: Time, event: Event) {
        let slot = if let Some(slot) = self.free.pop() {
            self.slab[slot] = event;
            slot
        } else {
            self.slab.push(event);
            self.slab.len() - 1
        };
        self.sequence += 1;
        self.events.push(Reverse((at, self.sequence, Slot(slot))));
    }

    pub(super) fn note(&mut self, text: String) {
        self.keep(Note::Text(text));
    }

    pub(super) fn note_arrival(&mut self, to: usize, frame: Frame) {
        self.keep(Note::Arrive(to, frame));
    }

    fn keep(&mut self, note: Note) {
        if self.log.len() == KEEP {
            self.log.pop_front();
        }
        self.log.push_back((self.now, note));
    }

    pub(super) fn timeline(&self) -> String {
        let line = |(at, note): &(Time, Note)| {
            let text = match note {
                Note::Arrive(to, frame) => format!("p{to} <- {frame:?}"),
                Note::Text(text) => text.clone(),
            };
            format!("  {:>14} {text}\n", millis(Span(at.0)))
        };
        self.log.iter().map(line).collect()
    }

    /// Lets time pass.
    pub(super) fn run_until(&mut self, end: Time) -> Result<(), String> {
        while let Some(Reverse((at, _, slot))) = self.events.peek().copied() {
            if at > end {
                break;
            }
            self.events.pop();
            self.free.push(slot.0);
            self.now = at;
            self.stats.steps += 1;
            let event = self.slab[slot.0];
            self.step(event)
                .and_then(|()| self.look())
                .map(|()| self.watch_masters())
                .map_err(|what| format!("{what} (at {})", millis(Span(at.0))))?;
        }
        self.now = end;
        Ok(())
    }

    fn step(&mut self, event: Event) -> Result<(), String> {
        let now = self.now;
        match event {
            Event::Arrive { to, frame } => self.arrive(to, frame),
            Event::Enter { from, mac, to, frame } => self.enter(from, mac, to, frame),
            Event::Client { id } => return self.client(id),
            Event::Stranger => self.strange(),
            Event::Main { host } => return self.main(host),
            Event::Live { host } => return self.live(host),
            Event::Emptied { host, incarnation } => {
                let host = &mut self.hosts[host];
                let same = host.program().is_some_and(|program| program.answers_for(incarnation));
                if host.daemon.is_none() && same {
                    host.kernel.empty();
                }
            }
            Event::Start { host } => {
                if self.hosts[host].powered && self.hosts[host].daemon.is_none() {
                    self.start(host);
                }
            }
            Event::Resume { host } => {
                for frame in std::mem::take(&mut self.hosts[host].card) {
                    let late = self.noise.span(Span::ZERO, Span::from_micros(900));
                    self.push(now.after(late), Event::Arrive { to: host, frame });
                }
                self.wake(host);
            }
            Event::Deadline { died, bound } => {
                if !self.hosts.iter().any(|host| host.answers(now)) && self.check.undisturbed(died, now) {
                    return Err(format!("detection: nobody answers {} ms after a death", millis(bound)));
                }
            }
            Event::Fault(fault) => self.undergo(fault),
        }
        Ok(())
    }

    pub(super) fn start(&mut self, id: usize) {
        self.incarnations += 1;
        let (now, peers) = (self.now, self.hosts.len());
        if self.hosts[id].program().is_none() {
            // Until a probe that was sent in vain is a matter of the past.
            for prober in 0..peers {
                self.check.silence(prober, id, now.after(Span::from_millis(40)));
            }
        }
        let (resumed, output) = match self.hosts[id].start(self.incarnations, peers, now) {
            Ok(started) => started,
            Err(what) => {
                self.check.wrong = Some(what);
                return;
            }
        };
        self.check.started(id);
        self.stats.resumed += u64::from(resumed);
        self.note(format!("h{id} starts{}", if resumed { " and resumes" } else { "" }));
        self.carry_out(id, output);
    }

    fn main(&mut self, id: usize) -> Result<(), String> {
        let now = self.now;
        let host = &mut self.hosts[id];
        let Some(daemon) = &mut host.daemon else { return Ok(()) };
        if daemon.main_at != now || daemon.stopped || daemon.main_stalled > now || host.frozen_until > now {
            return Ok(());
        }
        daemon.main_at = Time::NEVER;
        let output = host.main(now)?;
        self.carry_out(id, output);
        let due = self.hosts[id].main_due();
        if due != Time::NEVER {
            self.wake_main_at(id, due);
        }
        let transitions = std::mem::take(&mut self.check.transitions);
        for (id, from, to, reason, tracked) in transitions {
            self.note(format!("h{id} {from} -> {to}: {reason}, was tracking {tracked:?}"));
            self.transition(id, to, reason, tracked)?;
        }
        Ok(())
    }

    fn live(&mut self, id: usize) -> Result<(), String> {
        let now = self.now;
        let host = &mut self.hosts[id];
        let Some(daemon) = &mut host.daemon else { return Ok(()) };
        if daemon.live_at != now || daemon.stopped || daemon.live_stalled > now || host.frozen_until > now {
            return Ok(());
        }
        daemon.live_at = Time::NEVER;
        let stalls = |host: &Host| host.daemon.as_ref().map_or(0, |daemon| daemon.liveness.stalls());
        let before = stalls(host);
        let looked = host.live(now)?;
        self.stats.stalls += stalls(host) - before;
        for &(peer, event) in &looked.verdicts {
            self.note(format!("h{id} judges h{peer}: {event:?}"));
            self.judged(id, peer, event)?;
        }
        let prober = self.hosts[id].daemon.as_ref().map_or(0, |daemon| daemon.incarnation);
        let bid = self.hosts[id].bid();
        for (to, sequence) in looked.probes {
            self.stats.probes += 1;
            self.send(id, Mac(id), To::One(Mac(to)), Frame::Probe { from: id, bid, sequence, prober });
        }
        if looked.wake_main {
            self.wake_main(id);
        }
        let due = self.hosts[id].live_due(now);
        self.wake_live_at(id, due);
        Ok(())
    }

    pub(super) fn carry_out(&mut self, id: usize, output: Output) {
        let mac = self.hosts[id].mac();
        for priority in output.adverts {
            let letter = Letter::of(&self.hosts[id].terms(), id, priority);
            self.send(id, mac, To::All, Frame::Advert { letter });
        }
        if output.announce {
            self.note(format!("h{id} announces"));
            // As a request and as a reply.
            for _ in 0..2 {
                self.send(id, mac, To::All, Frame::Arp { kind: Arp::Gratuitous, from: id, mac });
            }
        }
        for (from, to, reason, tracked) in output.transitions {
            self.check.transitions.push((id, from, to, reason, tracked));
        }
        if output.wake_main {
            self.wake_main(id);
        }
        if output.wake_live {
            self.wake_live_at(id, self.now);
        }
    }

    /// Both threads look whether there is something to do.
    pub(super) fn wake(&mut self, id: usize) {
        self.wake_main(id);
        self.wake_live_at(id, self.now);
    }

    pub(super) fn wake_main(&mut self, id: usize) {
        self.wake_main_at(id, self.now);
    }

    fn lateness(&mut self) -> Span {
        let (chance, most) = self.weather.sleepy;
        if self.noise.below(1000) < chance {
            self.noise.span(Span::ZERO, most)
        } else {
            self.noise.span(Span::from_micros(2), Span::from_micros(40))
        }
    }

    fn wake_main_at(&mut self, id: usize, at: Time) {
        let late = self.lateness();
        let host = &mut self.hosts[id];
        let frozen = host.frozen_until;
        let Some(daemon) = &mut host.daemon else { return };
        let at = at.max(self.now).after(late).max(daemon.main_stalled).max(frozen);
        if at < daemon.main_at || daemon.main_at <= self.now {
            daemon.main_at = at;
            self.push(at, Event::Main { host: id });
        }
    }

    fn wake_live_at(&mut self, id: usize, at: Time) {
        let late = self.lateness();
        let host = &mut self.hosts[id];
        let frozen = host.frozen_until;
        let Some(daemon) = &mut host.daemon else { return };
        let at = at.max(self.now).after(late).max(daemon.live_stalled).max(frozen);
        if at < daemon.live_at || daemon.live_at <= self.now {
            daemon.live_at = at;
            self.push(at, Event::Live { host: id });
        }
    }
}

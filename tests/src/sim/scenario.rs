//! The story of a seed: who the routers are, what befalls them, and what is expected when.

use std::cell::Cell;

use ha_common::machine::{Input, Params, State};
use ha_common::time::{Span, Time};
use ha_common::types::{Family, Priority, Version, Vrid};

use super::check::Expect;
use super::driver::{Node, ROUTERS};
use super::shrink::{Spared, shrink};
use super::world::{Weather, World};
use super::{Failure, Stats};
use crate::rng::Rng;

/// Rounds of trouble and calm.
const ROUNDS: u32 = 3;

/// Something that befalls the cluster.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    Stall {
        node: usize,
        span: Span,
        whole_host: bool,
    },
    Crash {
        node: usize,
    },
    Start {
        node: usize,
    },
    Stop {
        node: usize,
    },
    LinkDown {
        node: usize,
    },
    LinkUp {
        node: usize,
    },
    Partition {
        sides: u8,
    },
    Weather(Weather),
    SetPriority {
        node: usize,
        priority: Priority,
    },
    /// All routers for VRRPv2, where intervals must agree.
    SetInterval {
        node: Option<usize>,
        interval: Span,
    },
    SetPreempt {
        node: usize,
        preempt: bool,
    },
}

/// Runs one seed to its end.
///
/// # Errors
///
/// The first broken invariant, with the fewest faults that break it.
pub fn run(seed: u64) -> Result<Stats, Box<Failure>> {
    let faults = Cell::new(0);
    let told = |spared: &Spared| {
        let mut story = Story::new(seed, spared.clone());
        let outcome = story.tell();
        faults.set(story.world.planned());
        let failure = |what| {
            let what = format!("{what} (at {} ms)", super::timeline::millis(Span(story.world.now.0)));
            Failure { seed, cluster: "rfc", what, timeline: story.cast() + &story.world.log.text() }
        };
        outcome.map_err(failure)?;
        let mut stats = story.world.stats;
        story.world.nodes.iter().for_each(|node| stats.coverage.add(&node.coverage));
        Ok(stats)
    };
    told(&Spared::default())
        .map_err(|failure| Box::new(shrink(failure, faults.get(), |spared| told(spared).err())))
}

struct Story {
    world: World,
    version: Version,
    /// Intervals that the routers use.
    intervals: Vec<Span>,
    /// Longest `preempt_delay`.
    delay: Span,
}

impl Story {
    fn new(seed: u64, spared: Spared) -> Self {
        let mut rng = Rng::new(seed);
        let version = if rng.chance(25) { Version::V2 } else { Version::V3 };
        let base = match version {
            Version::V2 => Span::SECOND,
            Version::V3 => Span::from_millis(rng.pick(&[10, 10, 20, 50, 100, 250, 1000])),
        };
        let mut intervals = vec![base];
        if rng.chance(30) {
            intervals.push(base.times(2));
        }
        if rng.chance(10) {
            intervals.push(base.times(5));
        }
        let equal = rng.chance(15);
        let delayed = rng.chance(20);
        let mut longest = Span::ZERO;
        let mut nodes = Vec::new();
        for id in 0..2 + rng.index(ROUTERS - 1) {
            let priority = any_priority(&mut rng, equal);
            let delay = if delayed && rng.chance(60) { rng.span(base, base.times(12)) } else { Span::ZERO };
            longest = longest.max(delay);
            let interval = if version == Version::V2 { base } else { rng.pick(&intervals) };
            let vrid = Vrid::new(25).unwrap_or_else(|| unreachable!("25 is a VRID"));
            let params = Params {
                interval,
                preempt: !rng.chance(15),
                preempt_delay: delay,
                lower_prio_no_advert: rng.chance(10),
                higher_prio_send_advert: rng.chance(10),
                ..Params::new(vrid, Family::V4, version)
            };
            let xdp = rng.chance(60);
            nodes.push(Node::new(id, params, priority, xdp));
        }
        Self { world: World::new(rng, nodes, spared), version, intervals, delay: longest }
    }

    /// The settings, for a failure's report.
    fn cast(&self) -> String {
        let line = |node: &Node| {
            let way = if node.xdp { "XDP" } else { "socket" };
            let now = if node.running() { node.state.word() } else { "not running" };
            let p = &node.params;
            format!(
                "  r{}: {way}, v{}, priority {}, {} ms, preempt {} after {} ms: {now}\n",
                node.id,
                p.version.number(),
                node.priority,
                p.interval.0 / 1_000_000,
                p.preempt,
                p.preempt_delay.0 / 1_000_000
            )
        };
        self.world.nodes.iter().map(line).collect()
    }

    fn longest_interval(&self) -> Span {
        self.intervals.iter().copied().max().unwrap_or(Span::SECOND)
    }

    /// The master-down interval of the slowest router imaginable here: priority 1, the longest interval.
    fn patience(&self) -> Span {
        let interval = self.longest_interval();
        interval.times(3).plus(if self.version == Version::V2 { Span::SECOND } else { interval })
    }

    fn pass(&mut self, span: Span) -> Result<(), String> {
        self.world.run_until(self.world.now.after(span))
    }

    fn tell(&mut self) -> Result<(), String> {
        for node in 0..self.world.nodes.len() {
            let within = self.patience();
            let at = self.world.now.after(self.world.rng.span(Span::ZERO, within));
            self.world.plan(at, Fault::Start { node });
        }
        for _ in 0..ROUNDS {
            self.trouble()?;
            self.calm()?;
            self.steady()?;
        }
        Ok(())
    }

    fn trouble(&mut self) -> Result<(), String> {
        self.world.phase(Expect::Anything, "trouble");
        let length = self.patience().times(2 + self.world.rng.below(3));
        let start = self.world.now;
        for _ in 0..=self.world.rng.below(7) {
            let at = start.after(self.world.rng.span(Span::ZERO, length));
            self.misfortune(at);
        }
        self.world.run_until(start.after(length))
    }

    /// One fault, and for some of them its end.
    fn misfortune(&mut self, at: Time) {
        let patience = self.patience();
        let interval = self.longest_interval();
        let world = &mut self.world;
        let node = world.rng.index(world.nodes.len());
        let later = at.after(world.rng.span(Span(1), patience.times(2)));
        match world.rng.below(12) {
            0 | 1 => {
                let span = world.rng.span(Span::from_millis(1), patience.times(2));
                let whole_host = world.rng.chance(40);
                world.plan(at, Fault::Stall { node, span, whole_host });
            }
            2 => {
                world.plan(at, Fault::Crash { node });
                world.plan(later, Fault::Start { node });
            }
            3 => {
                world.plan(at, Fault::Stop { node });
                world.plan(later, Fault::Start { node });
            }
            4 => {
                world.plan(at, Fault::LinkDown { node });
                world.plan(later, Fault::LinkUp { node });
            }
            5 | 6 => {
                let sides = world.rng.next().to_le_bytes()[0];
                world.plan(at, Fault::Partition { sides });
                world.plan(later, Fault::Partition { sides: 0 });
            }
            7 | 8 => {
                let weather = Weather {
                    loss: world.rng.below(70),
                    duplication: world.rng.below(40),
                    delay: world.rng.span(Span::ZERO, interval.times(2)),
                };
                world.plan(at, Fault::Weather(weather));
            }
            9 => {
                let priority = any_priority(&mut world.rng, false);
                world.plan(at, Fault::SetPriority { node, priority });
            }
            10 => {
                let interval = world.rng.pick(&self.intervals);
                let node = (self.version == Version::V3).then_some(node);
                world.plan(at, Fault::SetInterval { node, interval });
            }
            _ => {
                let preempt = world.rng.chance(70);
                world.plan(at, Fault::SetPreempt { node, preempt });
            }
        }
    }

    /// Heals everything and waits for statement 38.
    fn calm(&mut self) -> Result<(), String> {
        // What was planned for later belongs to the trouble: the end of a stall, then perhaps a planned stop.
        let rest = self.patience().times(3).plus(self.longest_interval()).plus(Span::from_millis(100));
        self.pass(rest)?;
        let world = &mut self.world;
        world.weather = Weather::default();
        world.partition = 0;
        for id in 0..world.nodes.len() {
            let stays_away = id > 0 && world.rng.chance(20);
            world.befall(Fault::LinkUp { node: id });
            if !stays_away {
                world.befall(Fault::Start { node: id });
            }
        }
        world.phase(Expect::Anything, "healed");
        // Frames that bad weather still delays.
        self.pass(self.longest_interval().times(2))?;
        // One master-down interval without disturbance, and the time that late processes and graces need.
        self.pass(self.patience().plus(Span::from_millis(30)))?;
        self.world.phase(Expect::OneMaster, "one master");
        // A preemption: the delay, counted from an advert, then the silence of one master-down interval.
        self.pass(self.delay.plus(self.patience().times(2)).plus(Span::from_millis(60)))
    }

    fn steady(&mut self) -> Result<(), String> {
        let masters: Vec<usize> = self.world.masters().map(|node| node.id).collect();
        let &[master] = masters.as_slice() else { return Err(format!("38: masters {masters:?}")) };
        let running = |node: &&Node| node.running() && node.state != State::Fault;
        let all_preempt = self.world.nodes.iter().filter(running).all(|node| node.params.preempt);
        let best = self.world.nodes.iter().filter(running).map(|node| node.priority).max();
        if all_preempt && best != Some(self.world.nodes[master].priority) {
            return Err(format!("38: r{master} is master, and a better router may preempt"));
        }
        self.world.phase(Expect::Unchanged, "steady");
        let backups: Vec<usize> =
            self.world.nodes.iter().filter(running).map(|node| node.id).filter(|&id| id != master).collect();
        self.pass(self.longest_interval().times(4))?;
        if backups.is_empty() {
            return Ok(());
        }
        match self.world.rng.below(7) {
            0 | 1 => {
                let backup = self.world.rng.pick(&backups);
                self.stall_a_backup(backup)
            }
            2 | 3 => self.planned_stop(master),
            4 => self.another_interval(master),
            5 => self.death_among_the_starved(master, &backups),
            _ => Ok(()),
        }
    }

    /// A reload of the master's interval reaches the backups before their patience ends.
    fn another_interval(&mut self, master: usize) -> Result<(), String> {
        if self.version == Version::V3 {
            let interval = self.world.rng.pick(&self.intervals);
            self.world.plan(self.world.now, Fault::SetInterval { node: Some(master), interval });
        }
        self.pass(self.patience().times(2))
    }

    /// Backups that never have the CPU for as long as a grace still find out that their master is dead.
    fn death_among_the_starved(&mut self, master: usize, backups: &[usize]) -> Result<(), String> {
        self.world.phase(Expect::Anything, "starvation");
        self.world.plan(self.world.now, Fault::Crash { node: master });
        let (span, run) = (Span::from_millis(40), Span::from_millis(4).plus(Span::from_micros(500)));
        let end = self.world.now.after(self.patience()).after(span.plus(run).times(6));
        while self.world.now < end {
            for &node in backups {
                self.world.plan(self.world.now, Fault::Stall { node, span, whole_host: false });
            }
            self.pass(span.plus(run))?;
        }
        match self.world.masters().next() {
            Some(_) => Ok(()),
            None => Err("38: nobody noticed a death".into()),
        }
    }

    /// Statement 41: the master's adverts arrive, the backup gets no CPU: nothing changes.
    fn stall_a_backup(&mut self, node: usize) -> Result<(), String> {
        let patience = self.patience();
        let whole_host = self.world.rng.chance(40);
        let (times, run) = if self.world.rng.chance(50) {
            (1, patience)
        } else {
            (12, Span::from_millis(150).times(1 + self.world.rng.below(2)))
        };
        let span = match times {
            1 => self.world.rng.span(patience, patience.times(if patience < Span::SECOND { 30 } else { 4 })),
            _ => Span::from_millis(50).times(1 + self.world.rng.below(3)),
        };
        for _ in 0..times {
            let at = self.world.now;
            self.world.plan(at, Fault::Stall { node, span, whole_host });
            self.pass(span.plus(run))?;
            self.world.stats.stalls += 1;
        }
        Ok(())
    }

    /// The master resigns, and somebody answers at every instant.
    fn planned_stop(&mut self, node: usize) -> Result<(), String> {
        self.world.phase(Expect::Answered, "planned stop");
        let at = self.world.now;
        self.world.plan(at, Fault::Stop { node });
        self.world.stats.handovers += 1;
        self.pass(self.patience().times(2))
    }
}

fn any_priority(rng: &mut Rng, equal: bool) -> Priority {
    let value = if equal {
        100
    } else {
        match rng.below(10) {
            0 => 255,
            1 => 254,
            2 => 1,
            _ => 1 + rng.below(254),
        }
    };
    u8::try_from(value).ok().and_then(Priority::new).unwrap_or(Priority::DEFAULT)
}

impl World {
    /// Does it.
    pub(super) fn befall(&mut self, fault: Fault) {
        match fault {
            Fault::Stall { node, span, whole_host } => self.stall(node, span, whole_host),
            Fault::Crash { node } => self.nodes[node].crash(),
            Fault::Start { node } => {
                if !self.nodes[node].running() {
                    self.nodes[node].start(self.now);
                    self.wake_soon(node);
                }
            }
            Fault::Stop { node } => self.tell(node, Input::Stop),
            Fault::LinkDown { node } => self.link(node, false),
            Fault::LinkUp { node } => self.link(node, true),
            Fault::Partition { sides } => self.partition = sides,
            Fault::Weather(weather) => self.weather = weather,
            Fault::SetPriority { node, priority } => {
                self.nodes[node].priority = priority;
                self.tell(node, Input::SetPriority(priority));
            }
            Fault::SetInterval { node, interval } => {
                let only = |id: &usize| node.is_none_or(|node| node == *id);
                for id in (0..self.nodes.len()).filter(only) {
                    self.nodes[id].params.interval = interval;
                    self.tell(id, Input::Reconfigure(self.nodes[id].params));
                }
            }
            Fault::SetPreempt { node, preempt } => {
                self.nodes[node].params.preempt = preempt;
                self.tell(node, Input::Reconfigure(self.nodes[node].params));
            }
        }
    }

    fn link(&mut self, node: usize, up: bool) {
        if self.nodes[node].link_up != up {
            self.nodes[node].link_up = up;
            self.tell(node, Input::Ready(up));
        }
    }
}

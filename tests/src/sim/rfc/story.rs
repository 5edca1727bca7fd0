//! The story of a seed: who the routers are, what befalls them, and what is expected when.

use ha_common::machine::{Params, State};
use ha_common::time::{Span, Time};
use ha_common::types::{Family, Priority, Version, Vrid};

use crate::rng::Rng;
use crate::sim::cluster::{Change, Expect, Fault, Host, Instance, Weather, World};
use crate::sim::place::{HOSTS, ON, Place};
use crate::sim::shrink::Spared;

/// Rounds of trouble and calm.
const ROUNDS: u32 = 3;

pub(super) struct Story {
    pub(super) world: World,
    version: Version,
    /// Intervals that the routers use.
    intervals: Vec<Span>,
    /// Longest `preempt_delay`.
    delay: Span,
}

impl Story {
    pub(super) fn new(seed: u64, spared: Spared, telling: bool) -> Self {
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
        let mut hosts = Vec::new();
        for id in 0..2 + rng.index(HOSTS - 1) {
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
            let instance = Instance {
                on: ON,
                params,
                priority,
                fast: false,
                virtual_mac: false,
                hot_standby: false,
                group: None,
                address: 0,
            };
            hosts.push(Host::new(id, vec![instance], rng.chance(60)));
        }
        Self { world: World::new(rng, hosts, spared, telling), version, intervals, delay: longest }
    }

    /// The one virtual router.
    fn place(&self) -> Place {
        self.world.files[0][0].place()
    }

    /// What a router's file says now.
    fn instance(&self, id: usize) -> &Instance {
        &self.world.hosts[id].file[0]
    }

    /// Routers that take part.
    fn running(&self) -> impl Iterator<Item = usize> {
        let place = self.place();
        let runs = move |host: &&Host| host.daemon.is_some() && host.state(place) != State::Fault;
        self.world.hosts.iter().filter(runs).map(|host| host.id)
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
        self.world.pass(span)
    }

    pub(super) fn tell(&mut self) -> Result<(), String> {
        for host in 0..self.world.hosts.len() {
            let within = self.patience();
            let at = self.world.now.after(self.world.rng.span(Span::ZERO, within));
            self.world.plan_end(at, Fault::Start { host });
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
        self.pass(length)
    }

    /// One fault, and for some of them its end.
    fn misfortune(&mut self, at: Time) {
        let patience = self.patience();
        let interval = self.longest_interval();
        let version = self.version;
        let world = &mut self.world;
        let host = world.rng.index(world.hosts.len());
        let later = at.after(world.rng.span(Span(1), patience.times(2)));
        match world.rng.below(12) {
            0 | 1 => {
                let span = world.rng.span(Span::from_millis(1), patience.times(2));
                let whole_host = world.rng.chance(40);
                world.plan(at, stall(host, span, whole_host));
            }
            2 => {
                world.plan(at, Fault::Kill { host });
                world.plan_end(later, Fault::Start { host });
            }
            3 => {
                world.plan(at, Fault::Stop { host });
                world.plan_end(later, Fault::Start { host });
            }
            4 => {
                world.plan(at, Fault::Carrier { host, on: 0, up: false });
                world.plan_end(later, Fault::Carrier { host, on: 0, up: true });
            }
            5 | 6 => {
                let sides = world.rng.next().to_le_bytes()[0];
                world.plan(at, Fault::Partition { on: 0, sides });
                world.plan_end(later, Fault::Partition { on: 0, sides: 0 });
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
                let change = Change::Priority(any_priority(&mut world.rng, false).get());
                world.plan(at, Fault::Reload { host, change });
            }
            10 => {
                let change = Change::Interval(world.rng.pick(&self.intervals));
                // VRRPv2 has one for all.
                let all = 0..world.hosts.len();
                for host in all.filter(|id| version == Version::V2 || *id == host) {
                    world.plan(at, Fault::Reload { host, change });
                }
            }
            _ => {
                let change = Change::Preempt(world.rng.chance(70));
                world.plan(at, Fault::Reload { host, change });
            }
        }
    }

    /// Heals everything and waits for statement 38.
    fn calm(&mut self) -> Result<(), String> {
        // What was planned for later belongs to the trouble: the end of a stall, then perhaps a planned stop.
        let rest = self.patience().times(3).plus(self.longest_interval()).plus(Span::from_millis(100));
        self.pass(rest)?;
        let world = &mut self.world;
        world.strike(Fault::Weather(Weather::default()))?;
        world.strike(Fault::Partition { on: 0, sides: 0 })?;
        for host in 0..world.hosts.len() {
            let stays_away = host > 0 && world.rng.chance(20);
            world.strike(Fault::Carrier { host, on: 0, up: true })?;
            if !stays_away {
                world.strike(Fault::Start { host })?;
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
        let masters: Vec<usize> = self.world.masters(self.place()).collect();
        let &[master] = masters.as_slice() else { return Err(format!("38: masters {masters:?}")) };
        let all_preempt = self.running().all(|id| self.instance(id).params.preempt);
        let best = self.running().map(|id| self.instance(id).priority).max();
        if all_preempt && best != Some(self.instance(master).priority) {
            return Err(format!("38: h{master} is master, and a better router may preempt"));
        }
        self.world.phase(Expect::Unchanged, "steady");
        let backups: Vec<usize> = self.running().filter(|&id| id != master).collect();
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
            let change = Change::Interval(self.world.rng.pick(&self.intervals));
            self.world.plan(self.world.now, Fault::Reload { host: master, change });
        }
        self.pass(self.patience().times(2))
    }

    /// Backups that never have the CPU for as long as a grace still find out that their master is dead.
    fn death_among_the_starved(&mut self, master: usize, backups: &[usize]) -> Result<(), String> {
        self.world.phase(Expect::Anything, "starvation");
        self.world.plan(self.world.now, Fault::Kill { host: master });
        let (span, run) = (Span::from_millis(40), Span::from_millis(4).plus(Span::from_micros(500)));
        let end = self.world.now.after(self.patience()).after(span.plus(run).times(6));
        while self.world.now < end {
            for &host in backups {
                self.world.plan(self.world.now, Fault::Stall { host, span });
            }
            self.pass(span.plus(run))?;
        }
        match self.world.masters(self.place()).next() {
            Some(_) => Ok(()),
            None => Err("38: nobody noticed a death".into()),
        }
    }

    /// Statement 41: the master's adverts arrive, the backup gets no CPU: nothing changes.
    fn stall_a_backup(&mut self, host: usize) -> Result<(), String> {
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
            self.world.plan(self.world.now, stall(host, span, whole_host));
            self.pass(span.plus(run))?;
            self.world.stats.stalls += 1;
        }
        Ok(())
    }

    /// The master resigns, and somebody answers at every instant.
    fn planned_stop(&mut self, host: usize) -> Result<(), String> {
        self.world.phase(Expect::Answered, "planned stop");
        self.world.plan(self.world.now, Fault::Stop { host });
        self.world.stats.handovers += 1;
        self.pass(self.patience().times(2))
    }
}

/// No CPU for a router's daemon, or for its whole host.
fn stall(host: usize, span: Span, whole_host: bool) -> Fault {
    if whole_host { Fault::Freeze { host, span } } else { Fault::Stall { host, span } }
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

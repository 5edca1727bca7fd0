//! One seed, one story.

use std::cell::Cell;

use ha_common::announce;
use ha_common::judge::{LEARNING, PeerJudge, Settings, takeover_wait};
use ha_common::machine::{FAST_HANDOVER, HANDOVER, Params, State};
use ha_common::node::restart_window;
use ha_common::packet::Auth;
use ha_common::probe::{Secret, derived_key, key};
use ha_common::time::{Span, Time};
use ha_common::types::{Family, Priority, Version};

use super::FastStats;
use super::client::Client;
use super::faults::Fault;
use super::host::{Daemon, Host, Ways, vrid};
use super::hostile::harmless;
use super::switch::CLIENTS;
use super::world::{Event, Weather, World};
use super::{hostile_rounds, stalls};
use crate::rng::Rng;
use crate::sim::Failure;
use crate::sim::shrink::{Spared, shrink};

/// Lives through the story of a seed.
///
/// # Errors
/// The invariant that broke, and the events that led there, with the fewest faults that break it.
pub fn run(seed: u64) -> Result<FastStats, Box<Failure>> {
    let faults = Cell::new(0);
    let story = |spared: &Spared| {
        let mut rng = Rng::new(seed ^ 0x0fa5_7000_0000_0000);
        let mut world = cluster(&mut rng, spared.clone());
        let outcome = tell(&mut world);
        faults.set(world.faults);
        let failure = |what| Failure { seed, what, timeline: world.timeline(), cluster: "probes" };
        outcome.map_err(failure)?;
        let mut stats = world.stats;
        world.hosts.iter().for_each(|host| stats.coverage.add(&host.coverage));
        Ok(stats)
    };
    story(&Spared::default())
        .map_err(|failure| Box::new(shrink(failure, faults.get(), |spared| story(spared).err())))
}

/// How the routers of a cluster speak.
fn ways(rng: &mut Rng) -> Ways {
    const PASSWORD: [u8; 8] = *b"secret\0\0";
    // VRRPv2 counts in seconds, which makes a long story.
    let version = if rng.chance(2) { Version::V2 } else { Version::V3 };
    let (auth, secret) = match version {
        Version::V2 => (Auth::Password(PASSWORD), Some(Secret::Derived(derived_key(*b"PASS", PASSWORD)))),
        Version::V3 if rng.chance(30) => (Auth::None, Some(Secret::Configured(key(b"fast key")))),
        Version::V3 => (Auth::None, None),
    };
    let repeat = rng.pick(&[1, 3, 5]);
    let delay = rng.pick(&[Span::ZERO, Span::from_secs(5)]);
    Ways {
        version,
        auth,
        listed: rng.chance(30),
        secret,
        virtual_mac: rng.chance(25),
        garp: announce::Settings { repeat, delay, refresh: Span::ZERO, refresh_repeat: 1 },
        again: (delay, repeat),
    }
}

fn cluster(rng: &mut Rng, spared: Spared) -> World {
    let ways = ways(rng);
    let (count, interval) = match ways.version {
        Version::V2 => (2, Span::SECOND),
        Version::V3 => {
            (2 + rng.index(3).min(rng.index(3)), Span::from_millis(rng.pick(&[50, 100, 200, 200])))
        }
    };
    let lease = Span::from_millis(rng.pick(&[50, 100, 100, 100, 200]));
    let mut settings = Settings { user_space_window: lease, ..Settings::default() };
    if rng.chance(40) {
        settings.interval = Span::from_micros(rng.pick(&[250, 500, 1000, 2000, 5000]));
        settings.misses = rng.pick(&[2, 3, 3, 5]);
        settings.window.ceiling = Span::from_micros(rng.pick(&[2500, 5000, 10_000]));
        settings.window.fixed = rng.chance(30);
    }
    settings.window.learning = rng.pick(&[Span::ZERO, Span::ZERO, Span::SECOND, LEARNING]);
    let mut priorities: Vec<u8> = Vec::new();
    for _ in 0..count {
        priorities.push(rng.pick(&[60, 90, 100, 100, 101, 150, 200, 254]));
    }
    let nopreempt = rng.chance(20);
    let lower_prio_no_advert = rng.chance(15);
    let quiet = rng.chance(30);
    let hot_standby = rng.chance(40) && !ways.virtual_mac;
    let hosts = priorities.into_iter().enumerate().map(|(id, priority)| {
        let params = Params {
            interval,
            preempt: !nopreempt,
            lower_prio_no_advert,
            // As the daemon has it.
            higher_prio_send_advert: !ways.virtual_mac,
            handover: if ways.virtual_mac { FAST_HANDOVER } else { HANDOVER },
            ..Params::new(vrid(), Family::V4, ways.version)
        };
        // Beside it, or it alone, a router that does not probe: stock keepalived, or fast failover is off.
        let probes = !quiet || rng.chance(30);
        let priority = Priority::new(priority).unwrap_or(Priority::DEFAULT);
        let host = Host::new(id, params, priority, settings, lease, ways, probes);
        Host { hot_standby: hot_standby && !rng.chance(20), ..host }
    });
    let hosts = hosts.collect();
    let weather = Weather {
        latency: Span::from_micros(rng.pick(&[20, 40, 40, 100, 300])),
        late: rng.pick(&[(0, Span::ZERO), (10, Span::from_micros(100)), (10, Span::from_micros(300))]),
        loss: 0,
        duplication: rng.pick(&[0, 0, 5, 50]),
        sleepy: rng.pick(&[
            (0, Span::from_micros(40)),
            (10, Span::from_micros(200)),
            (10, Span::from_micros(800)),
        ]),
    };
    let clients = (0..1 + rng.index(CLIENTS)).map(|_| {
        let pace = Span::from_millis(rng.pick(&[2, 5, 10]));
        let delay = Span::from_millis(rng.pick(&[300, 1_000, 5_000]));
        Client::new(pace, delay, Span::from_secs(rng.pick(&[1, 30])))
    });
    let clients = clients.collect();
    World::new(rng.clone(), hosts, clients, weather, spared)
}

fn tell(world: &mut World) -> Result<(), String> {
    let priorities: Vec<u8> = world.hosts.iter().map(|host| host.priority.get()).collect();
    world.note(format!(
        "priorities {priorities:?}, {:?}, {:?}, {:?}",
        world.hosts[0].settings, world.hosts[0].params, world.weather
    ));
    for host in 0..world.hosts.len() {
        world.start(host);
    }
    for id in 0..world.clients.len() {
        let phase = world.rng.span(Span::ZERO, world.clients[id].pace);
        world.push(world.now.after(phase), Event::Client { id });
    }
    pass(world, calm(world))?;
    settled(world)?;
    let rounds = if world.hosts[0].ways.version == Version::V2 { 1 } else { 3 };
    for _ in 0..1 + world.rng.below(rounds) {
        if world.rng.chance(20) {
            let attack = world.rng.pick(&harmless(&world.hosts[0].ways));
            let span = world.rng.span(Span::ZERO, Span::from_millis(800));
            world.attack(attack, span);
        }
        round(world)?;
        heal(world)?;
        pass(world, calm(world))?;
        settled(world)?;
    }
    Ok(())
}

/// Until everything that follows from something has happened.
pub(super) fn calm(world: &World) -> Span {
    world.hosts[0].params.interval.times(5).plus(Span::from_millis(50))
}

pub(super) fn pass(world: &mut World, span: Span) -> Result<(), String> {
    let end = world.now.after(span);
    world.run_until(end)
}

pub(super) fn settled(world: &mut World) -> Result<(), String> {
    let masters = world.hosts.iter().filter(|host| host.state() == State::Master).count();
    let answering = world.hosts.iter().filter(|host| host.answers(world.now)).count();
    if masters == 1 && answering == 1 {
        world.release_excused();
        return Ok(());
    }
    Err(format!("38: {masters} masters, {answering} answer, after all is well"))
}

/// Everything works, everybody runs.
pub(super) fn heal(world: &mut World) -> Result<(), String> {
    world.undergo(Fault::ClearUp);
    let now = world.now.max(world.stranger.until);
    let ports = world.switch.ports.iter().map(|port| port.inward.over().max(port.outward.over()));
    let cuts = world.links.iter().flatten().map(|link| link.cut_until.max(link.held_until));
    let stalls = world.hosts.iter().map(|host| {
        let daemon = host.daemon.as_ref();
        host.frozen_until.max(daemon.map_or(now, |daemon| daemon.main_stalled.max(daemon.live_stalled)))
    });
    let well = cuts.chain(stalls).chain(ports).max().map_or(now, |at| at.max(now));
    world.run_until(well)?;
    for host in 0..world.hosts.len() {
        world.undergo(Fault::Thaw { host });
    }
    // Who is leaving leaves.
    let leaving = |host: &Host| host.daemon.as_ref().is_some_and(Daemon::is_leaving);
    while world.hosts.iter().any(leaving) {
        pass(world, Span::from_millis(1))?;
    }
    let well = world.now;
    let peace = world.at_peace(well);
    for until in world.check.apart.iter_mut().chain(&mut world.check.silent).flatten() {
        *until = (*until).min(peace);
    }
    world.check.unchanged = false;
    world.check.died = None;
    for host in 0..world.hosts.len() {
        for fault in [Fault::Boot { host }, Fault::Start { host }] {
            world.undergo(fault);
        }
    }
    Ok(())
}

pub(super) fn master(world: &World) -> usize {
    world.hosts.iter().position(|host| host.state() == State::Master).unwrap_or(0)
}

fn round(world: &mut World) -> Result<(), String> {
    let host = master(world);
    let backup = (host + 1 + world.rng.index(world.hosts.len() - 1)) % world.hosts.len();
    let now = world.now;
    let timed = true;
    // Of those with a password, which take long, some are to meet everything that a stranger does.
    let kind = match world.hosts[0].ways.version {
        Version::V2 if world.rng.chance(50) => world.rng.pick(&[18, 19]),
        _ => world.rng.below(22),
    };
    match kind {
        0 | 1 => world.befall(Fault::Die { host, timed }),
        2 | 3 => world.befall(Fault::Kill { host, timed }),
        4 => {
            world.befall(Fault::Freeze { host, timed });
            let thaw = world.rng.span(Span::from_millis(1), Span::from_millis(400));
            world.push(now.after(thaw), Event::Fault(Fault::Thaw { host }));
        }
        5 => {
            // Whoever yielded has said so for the last time.
            pass(world, Span::SECOND)?;
            let host = master(world);
            world.check.unchanged = true;
            // Within the patience that the RFC's timers have.
            let longest = Span(world.hosts[host].params.interval.0 * 3 / 2).min(Span::from_millis(900));
            let takes = world.rng.span(Span::from_millis(5), longest);
            world.befall(Fault::Restart { host, start: Span::ZERO, takes });
            pass(world, takes.plus(Span::from_millis(20)))?;
            world.check.unchanged = false;
        }
        6 => {
            // The window ends before the daemon is back.
            let takes =
                restart_window(Span::ZERO).plus(world.rng.span(Span::from_millis(1), Span::from_millis(200)));
            world.befall(Fault::Restart { host, start: Span::ZERO, takes });
            pass(world, takes)?;
        }
        7 => world.befall(Fault::Stop { host }),
        8 | 9 => hiccups(world, backup)?,
        10 => doubts(world)?,
        11 => {
            let span = world.rng.span(Span::from_millis(100), Span::from_millis(500));
            world.befall(Fault::StallMain { host, span });
        }
        12 => {
            // Longer than the fence stays closed by itself.
            let fault = if world.rng.chance(50) {
                Fault::Kill { host, timed }
            } else {
                Fault::Freeze { host, timed }
            };
            world.befall(fault);
            let span = world.rng.span(Span::from_millis(1300), Span::from_millis(2000));
            pass(world, span)?;
        }
        13..=17 => stalls::stalls(world)?,
        18 => hostile_rounds::live(world)?,
        19 => hostile_rounds::alone(world)?,
        _ => chaos(world)?,
    }
    let span = world.rng.span(Span::from_millis(20), Span::from_millis(450));
    pass(world, span)
}

/// Nothing of this may lead to a verdict.
fn hiccups(world: &mut World, backup: usize) -> Result<(), String> {
    let settings = world.hosts[backup].settings;
    for _ in 0..1 + world.rng.below(8) {
        // The window may follow from what was seen meanwhile.
        let tolerated = tolerated(world, &settings);
        let span = world.rng.span(Span::ZERO, tolerated);
        let stall = world.rng.span(Span::ZERO, Span::from_millis(60));
        let fault = match world.rng.below(6) {
            0 => Fault::Drop { span },
            1 => Fault::Hold { span },
            2 => Fault::StallLive { host: backup, span: stall },
            3 => Fault::StallMain { host: backup, span: stall },
            4 => Fault::Stall { host: backup, span: stall },
            _ => Fault::FreezeHost { host: backup, span: stall },
        };
        world.befall(fault);
        // One after the other.
        let gap = world.rng.span(Span::from_millis(8), Span::from_millis(70));
        pass(world, span.plus(gap))?;
    }
    Ok(())
}

/// A hiccup that may lead to a verdict, but is over before anybody acts on it.
fn doubts(world: &mut World) -> Result<(), String> {
    let settings = world.hosts[0].settings;
    // A probe after the hiccup must get through, and its reply must be read, before the wait is over.
    let noise = world.weather.latency.0 * 2 + world.weather.late.1.0 * 2 + world.weather.sleepy.1.0 * 2;
    let wait = shortest_wait(world);
    let span = Span((tolerated(world, &settings).0 + wait.0).saturating_sub(settings.interval.0 + noise));
    world.check.doubt = world.now.after(span).after(settings.window.ceiling);
    world.befall(Fault::Drop { span });
    pass(world, Span::from_millis(60))
}

/// How long the network may be silent without a verdict.
fn tolerated(world: &World, settings: &Settings) -> Span {
    let noise = world.weather.latency.0 * 2 + world.weather.late.1.0 * 2 + world.weather.sleepy.1.0;
    // A window that needs no time to learn is narrow after the first replies.
    let narrow = |(_, judge): (&Host, &PeerJudge)| {
        let new = judge.window().count < 100 && settings.window.learning < LEARNING && !settings.window.fixed;
        if new { settings.interval } else { judge.window().span }
    };
    let window = judges(world).map(narrow).min().unwrap_or(settings.window.ceiling);
    Span(window.0.saturating_sub(settings.interval.0 * 3 / 2 + noise))
}

/// How long a backup waits with a takeover, at least.
fn shortest_wait(world: &World) -> Span {
    let waits = judges(world)
        .filter(|(host, judge)| host.state() == State::Backup && judge.is_fast())
        .map(|(host, judge)| takeover_wait(host.effective(), &host.settings, judge.precedence()));
    waits.min().unwrap_or(Span::ZERO)
}

fn judges(world: &World) -> impl Iterator<Item = (&Host, &PeerJudge)> {
    world.hosts.iter().flat_map(|host| {
        host.daemon
            .iter()
            .flat_map(move |daemon| daemon.liveness.judges.iter().map(move |judge| (host, judge)))
    })
}

/// Anything, at any time.
fn chaos(world: &mut World) -> Result<(), String> {
    if world.rng.chance(30) {
        world.weather.loss = world.rng.span(Span(1), Span(200)).0;
        let until = Time::NEVER;
        for a in 0..world.hosts.len() {
            for b in 0..world.hosts.len() {
                world.check.excuse(a, b, until);
                world.check.silence(a, b, until);
            }
        }
    }
    for _ in 0..1 + world.rng.below(10) {
        let host = world.rng.index(world.hosts.len());
        let other = (host + 1 + world.rng.index(world.hosts.len() - 1)) % world.hosts.len();
        let span = world.rng.span(Span::from_micros(100), Span::from_millis(200));
        let timed = false;
        let fault = match world.rng.below(16) {
            0 => Fault::Die { host, timed },
            1 => Fault::Boot { host },
            2 => Fault::Kill { host, timed },
            3 => Fault::Start { host },
            4 => Fault::Freeze { host, timed },
            5 => Fault::Thaw { host },
            6 => Fault::FreezeHost { host, span },
            7 => Fault::Cut { from: host, to: other, span },
            8 => {
                world.befall(Fault::Cut { from: other, to: host, span });
                Fault::Cut { from: host, to: other, span }
            }
            9 => Fault::Restart { host, start: Span::ZERO, takes: span },
            10 => Fault::Stop { host },
            11 => Fault::StallMain { host, span },
            12 => Fault::Port {
                port: host,
                ways: world.rng.pick(&[[true, true], [true, false], [false, true]]),
                lost: world.rng.chance(50),
                span,
            },
            13 | 14 => Fault::Weigh { host, minus: world.rng.pick(&[0, 1, 60, 253]) },
            _ => Fault::Stall { host, span },
        };
        world.befall(fault);
        let gap = world.rng.span(Span::ZERO, Span::from_millis(60));
        pass(world, gap)?;
    }
    world.undergo(Fault::ClearUp);
    Ok(())
}

//! The story of a seed.

use ha_common::node::{HoldKind, InterfaceId};
use ha_common::time::Span;

use super::cast::files;
use crate::rng::Rng;
use crate::sim::cluster::{Change, Expect, Fault, Host, Tracked, Weather, World};
use crate::sim::place::INTERFACES;
use crate::sim::shrink::Spared;

/// Rounds of trouble and calm.
const ROUNDS: u32 = 3;

/// The cluster of a seed.
pub(super) fn cluster(seed: u64, spared: Spared, telling: bool) -> World {
    let mut rng = Rng::new(seed ^ 0x6709_0000_0000_0000);
    let mut hosts = Vec::new();
    for (id, file) in files(&mut rng).into_iter().enumerate() {
        hosts.push(Host::new(id, file, rng.chance(75)));
    }
    World::new(rng, hosts, spared, telling)
}

/// Lives through it.
pub(super) fn tell(world: &mut World) -> Result<(), String> {
    world.phase(Expect::Anything, "start");
    for host in 0..world.hosts.len() {
        let at = world.now.after(world.rng.span(Span::ZERO, patience(world)));
        world.plan_end(at, Fault::Start { host });
    }
    for _ in 0..ROUNDS {
        trouble(world)?;
        calm(world)?;
        steady(world)?;
    }
    Ok(())
}

fn interval(world: &World) -> Span {
    world.files[0][0].params.interval
}

/// The master-down interval of the slowest router imaginable here, whose master may have had twice the interval.
fn patience(world: &World) -> Span {
    interval(world).times(8)
}

fn trouble(world: &mut World) -> Result<(), String> {
    world.phase(Expect::Anything, "trouble");
    let length = patience(world).times(1 + world.rng.below(2));
    let start = world.now;
    for _ in 0..=world.rng.below(8) {
        let at = start.after(world.rng.span(Span::ZERO, length));
        let fault = misfortune(world);
        world.plan(at, fault);
        if let Some(end) = end(world, fault) {
            let later = at.after(world.rng.span(Span(1), patience(world)));
            world.plan_end(later, end);
        }
    }
    world.pass(length)
}

fn misfortune(world: &mut World) -> Fault {
    let (patience, interval) = (patience(world), interval(world));
    let places: Vec<_> = world.places().map(|(place, _)| place).collect();
    let rng = &mut world.rng;
    let host = rng.index(world.hosts.len());
    let on = rng.index(INTERFACES);
    match rng.below(19) {
        0 => Fault::Stop { host },
        1 | 2 => Fault::Kill { host },
        3 => Fault::Die { host },
        4 => Fault::Restart { host, takes: rng.span(Span::from_millis(1), patience) },
        5..=7 => Fault::Reload { host, change: change(rng, interval, places.len()) },
        8 => Fault::Carrier { host, on, up: false },
        9 | 10 => {
            let tracked =
                rng.pick(&[Tracked::Good, Tracked::Unfit, Tracked::Weight(20), Tracked::Weight(90)]);
            Fault::Track { host, place: rng.pick(&places), tracked }
        }
        11 => Fault::Stall { host, span: rng.span(Span::from_millis(1), patience) },
        12 => Fault::Freeze { host, span: rng.span(Span::from_millis(1), patience) },
        13 | 14 => Fault::Partition { on, sides: rng.next().to_le_bytes()[0] },
        15 => {
            let (loss, delay) = (rng.below(60), rng.span(Span::ZERO, interval));
            Fault::Weather(Weather { loss, delay, duplication: rng.below(30) })
        }
        16 | 17 => {
            let kind = rng.pick(&[HoldKind::Resigned, HoldKind::Preferred, HoldKind::Frozen]);
            Fault::Hold { host, kind: Some(kind), span: rng.span(Span::from_millis(1), patience) }
        }
        _ => Fault::Detach { host, on: InterfaceId(u32::from(on == 1)) },
    }
}

fn change(rng: &mut Rng, interval: Span, instances: usize) -> Change {
    match rng.below(10) {
        0 | 1 => Change::Nothing,
        2 => Change::Back,
        3 => Change::Interval(rng.pick(&[interval, interval.times(2)])),
        4 => Change::Priority(rng.pick(&[1, 50, 100, 200, 254])),
        5 => Change::Preempt(rng.chance(50)),
        6 => Change::Fast(rng.chance(50)),
        7 => Change::Address(rng.pick(&[0, 1])),
        8 => Change::Without(rng.index(instances)),
        _ => Change::Ungrouped,
    }
}

/// What ends it, if it does not end by itself.
fn end(world: &World, fault: Fault) -> Option<Fault> {
    Some(match fault {
        Fault::Stop { host } | Fault::Kill { host } | Fault::Die { host } => Fault::Start { host },
        Fault::Carrier { host, on, .. } => Fault::Carrier { host, on, up: true },
        Fault::Partition { on, .. } => Fault::Partition { on, sides: 0 },
        Fault::Weather(_) => Fault::Weather(Weather::default()),
        Fault::Track { host, place, .. } => Fault::Track { host, place, tracked: Tracked::Good },
        Fault::Reload { host, .. } if world.now.0.is_multiple_of(2) => {
            Fault::Reload { host, change: Change::Back }
        }
        _ => return None,
    })
}

/// Heals everything and waits for statement 38.
fn calm(world: &mut World) -> Result<(), String> {
    world.pass(patience(world).times(2))?;
    world.phase(Expect::Anything, "healed");
    world.strike(Fault::Weather(Weather::default()))?;
    let places: Vec<_> = world.places().map(|(place, _)| place).collect();
    for on in 0..INTERFACES {
        world.strike(Fault::Partition { on, sides: 0 })?;
        for host in 0..world.hosts.len() {
            world.strike(Fault::Carrier { host, on, up: true })?;
        }
    }
    for host in 0..world.hosts.len() {
        for &place in &places {
            world.strike(Fault::Track { host, place, tracked: Tracked::Good })?;
        }
        world.strike(Fault::Reload { host, change: Change::Back })?;
        world.strike(Fault::Hold { host, kind: None, span: Span::ZERO })?;
        let stays_away = host > 0 && world.rng.chance(15);
        if !stays_away {
            world.strike(Fault::Start { host })?;
        }
    }
    // Frames that bad weather still delays, a preemption, and a group that waits for its last member.
    world.pass(patience(world).times(2))?;
    world.phase(Expect::OneMaster, "one master");
    world.pass(patience(world))?;
    best(world)
}

/// The best of those that run is master, where all may preempt.
fn best(world: &World) -> Result<(), String> {
    if !world.files[0][0].params.preempt {
        return Ok(());
    }
    let running = || world.hosts.iter().filter(|host| host.daemon.is_some());
    let best = running().map(|host| host.file[0].priority).max();
    for (place, _) in world.places() {
        let master = world.masters(place).next();
        if master.map(|id| world.hosts[id].file[0].priority) != best {
            return Err(format!("38: {master:?} is master of {place:?}, and a better host may preempt"));
        }
    }
    Ok(())
}

/// One thing happens, of which is known what it may change.
fn steady(world: &mut World) -> Result<(), String> {
    world.phase(Expect::Unchanged, "steady");
    let (place, _) = world.places().next().ok_or("no virtual router")?;
    let master = world.masters(place).next().ok_or("38: no master")?;
    world.pass(interval(world).times(3))?;
    let others = world.hosts.iter().filter(|host| host.daemon.is_some() && host.id != master).count();
    let host = world.rng.index(world.hosts.len());
    match world.rng.below(8) {
        0 => world.befall(Fault::Reload { host, change: Change::Nothing })?,
        1 => {
            // Whoever has the same priority and a higher address goes on where it is.
            let change = Change::Address(0);
            world.befall(Fault::Reload { host: master, change })?;
        }
        2 => {
            let takes = world.rng.span(Span::from_millis(1), Span(interval(world).0 * 3 / 2));
            world.befall(Fault::Restart { host: master, takes })?;
        }
        3 => return silence(world, master),
        4 if others > 0 => {
            world.phase(Expect::Answered, "planned stop");
            world.befall(Fault::Stop { host: master })?;
        }
        5 if others > 0 => return settle_after(world, Fault::Die { host: master }),
        6 if others > 0 => {
            // In a group, the other interface's members follow.
            let on = place.0.0 as usize;
            return settle_after(world, Fault::Carrier { host: master, on, up: false });
        }
        7 if others > 0 => {
            return settle_after(world, Fault::Track { host: master, place, tracked: Tracked::Unfit });
        }
        _ => {}
    }
    world.pass(patience(world).times(2))
}

/// After it there is one master again, and a group is in one place.
fn settle_after(world: &mut World, fault: Fault) -> Result<(), String> {
    world.phase(Expect::Anything, "failover");
    world.befall(fault)?;
    world.pass(patience(world).times(2))?;
    world.phase(Expect::OneMaster, "one master");
    world.pass(interval(world).times(3))
}

/// The master's daemon is killed and started again where it hears nobody: when that is too late, its role is not its own.
fn silence(world: &mut World, master: usize) -> Result<(), String> {
    world.phase(Expect::Anything, "silence");
    for on in 0..INTERFACES {
        world.befall(Fault::Partition { on, sides: 1 << master })?;
    }
    world.befall(Fault::Kill { host: master })?;
    let takes = world.rng.span(Span::from_millis(1), patience(world));
    world.pass(takes)?;
    world.strike(Fault::Start { host: master })?;
    world.pass(patience(world).times(2))
}

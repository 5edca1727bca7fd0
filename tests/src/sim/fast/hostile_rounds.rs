//! Rounds in which nothing happens but what a stranger does.

use ha_common::time::Span;

use super::faults::Fault;
use super::hostile::{Attack, harmless};
use super::story::{master, pass};
use super::switch::STRANGER;
use super::world::World;

/// A cluster that is well.
pub(super) fn live(world: &mut World) -> Result<(), String> {
    let ways = world.hosts[0].ways;
    let mut attacks = harmless(&ways);
    attacks.extend([Attack::Replay, Attack::Probes { steady: true }]);
    if !ways.listed {
        attacks.extend([Attack::Lowest, Attack::Highest]);
    }
    let attack = world.rng.pick(&attacks);
    let span = world.rng.span(Span::from_millis(100), Span::from_millis(800));
    // The highest priority takes the role, from whoever has the secret: there is only the way back.
    let promised = attack != Attack::Highest;
    pass(world, Span::from_millis(20))?;
    world.check.unchanged = promised;
    world.reach.longest = promised.then_some(Span::ZERO);
    world.be_strict(promised);
    world.attack(attack, span);
    pass(world, span.plus(Span::from_millis(20)))?;
    world.check.unchanged = false;
    world.reach.longest = None;
    world.be_strict(false);
    Ok(())
}

/// The last host's daemon is dead or frozen. Nobody else can serve the address, so it goes on being served.
pub(super) fn alone(world: &mut World) -> Result<(), String> {
    let host = master(world);
    let ways = world.hosts[host].ways;
    let timed = false;
    // While somebody runs the host, a stranger makes itself known where no key is wanted.
    let sealed = ways.secret.is_some();
    if sealed && world.rng.chance(50) {
        world.attack(Attack::Probes { steady: true }, Span::from_millis(1_000));
    }
    for other in (0..world.hosts.len()).filter(|&other| other != host) {
        world.befall(Fault::Die { host: other, timed });
    }
    // Whoever probed could have taken over, also a stranger that had made itself known before.
    let probes = world.stranger.until.span_since(world.now);
    pass(world, probes.plus(Span::from_millis(1_100)))?;
    let killed = world.rng.chance(50);
    world.befall(if killed { Fault::Kill { host, timed } } else { Fault::Freeze { host, timed } });
    world.check.serves = Some(host);
    let pause = world.rng.span(Span::ZERO, Span::from_millis(300));
    pass(world, pause)?;
    let mut attacks = harmless(&ways);
    attacks.push(Attack::Probes { steady: true });
    if !sealed && world.hosts[host].program().is_some_and(|program| program.knows(STRANGER)) {
        attacks.retain(|attack| !matches!(attack, Attack::Probes { .. }));
    }
    let attack = world.rng.pick(&attacks);
    let span = world.rng.span(Span::from_millis(100), Span::from_millis(800));
    world.attack(attack, span);
    pass(world, span.plus(Span::from_millis(20)))?;
    world.check.serves = None;
    Ok(())
}

//! Rounds in which one port at a time stands still, and nothing else happens.

use ha_common::time::Span;

use super::faults::Fault;
use super::story::{calm, master, pass};
use super::world::{HOSTS, World};

/// A few stalls, one after the other. Whatever they lead to is over and mended when the next one begins.
pub(super) fn stalls(world: &mut World) -> Result<(), String> {
    // Clients that knew nothing have asked.
    pass(world, Span::from_millis(20))?;
    world.be_strict(true);
    for _ in 0..1 + world.rng.below(3) {
        let (hosts, clients) = (world.hosts.len(), world.clients.len());
        let port = match world.rng.below(10) {
            0..=4 => master(world),
            5..=7 => world.rng.index(hosts),
            _ => HOSTS + world.rng.index(clients),
        };
        let ways = world.rng.pick(&[[true, true], [true, false], [false, true]]);
        let lost = world.rng.chance(50);
        let [from, to] = world.rng.pick(&[[1, 20], [1, 20], [20, 200], [20, 200], [200, 1000]]);
        let span = world.rng.span(Span::from_millis(from), Span::from_millis(to));
        world.reach.longest = Some(span);
        world.stats.port_stalls += 1;
        world.befall(Fault::Port { port, ways, lost, span });
        pass(world, span.plus(calm(world)))?;
        let phase = world.rng.span(Span::ZERO, world.hosts[0].params.interval);
        pass(world, phase)?;
    }
    world.reach.longest = None;
    world.be_strict(false);
    Ok(())
}

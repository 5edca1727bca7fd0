//! Hosts with several virtual routers each, over two interfaces: sync groups, IPv4 and IPv6, virtual MAC addresses, reloads,
//! restarts, trackers, carriers, programs that somebody takes off, operators.
//!
//! In calm: one master for each virtual router, one host for each group.

mod cast;
mod story;

use super::cluster::World;
use super::shrink::Spared;
use super::{Failure, Stats};

/// Runs one seed to its end.
///
/// # Errors
/// The first broken invariant, with the fewest faults that break it.
pub fn run(seed: u64) -> Result<Stats, Box<Failure>> {
    super::live(seed, "groups", |spared: Spared, telling| {
        let mut world: World = story::cluster(seed, spared, telling);
        (story::tell(&mut world), world)
    })
}

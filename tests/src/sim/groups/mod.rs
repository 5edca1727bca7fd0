//! Clusters of hosts with several virtual routers each, over two interfaces: sync groups, IPv4 and IPv6, virtual MAC
//! addresses, reloads, restarts, trackers and carriers.
//!
//! Two to four hosts drive the real node with a model of the kernel around it; nobody probes, so that their timers are the
//! RFC's. What holds after every turn: addresses follow the states, and the members of a group that once agreed go on to
//! agree. After every reload: whoever is in both files has kept its state. After every resume: the addresses are there, and
//! silence was short enough. In calm: one master for each virtual router, one host for each group.

mod cast;
mod faults;
mod host;
mod kernel;
mod story;
mod world;

use std::cell::Cell;

use super::Failure;
use super::effects::Coverage;
use super::shrink::{Spared, shrink};

/// What happened in a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupStats {
    /// Events processed.
    pub steps: u64,
    /// Changes of state.
    pub transitions: u64,
    /// Members of sync groups that became master.
    pub group_moves: u64,
    /// Roles that went on after a restart or a crash.
    pub resumed: u64,
    /// Files that came into force while the daemon ran.
    pub reloads: u64,
    /// What was reached of the node.
    pub coverage: Coverage,
}

impl GroupStats {
    /// Adds another run's.
    pub fn add(&mut self, other: Self) {
        self.steps += other.steps;
        self.transitions += other.transitions;
        self.group_moves += other.group_moves;
        self.resumed += other.resumed;
        self.reloads += other.reloads;
        self.coverage.add(&other.coverage);
    }
}

/// Runs one seed to its end.
///
/// # Errors
/// The first broken invariant, with the fewest faults that break it.
pub fn run(seed: u64) -> Result<GroupStats, Box<Failure>> {
    let faults = Cell::new(0);
    let story = |spared: &Spared, telling: bool| {
        let mut world = story::cluster(seed, spared.clone(), telling);
        let outcome = story::tell(&mut world);
        faults.set(world.faults);
        let failure = |what| Failure { seed, cluster: "groups", what, timeline: world.timeline() };
        outcome.map_err(failure).map(|()| world.stats)
    };
    story(&Spared::default(), false)
        .map_err(|failure| Box::new(shrink(failure, faults.get(), |spared| story(spared, true).err())))
}

//! Simulated clusters: real nodes, a model of the kernel around each, a bad network and a virtual clock.
//!
//! One seed is one story: hosts with random settings live through rounds of trouble and calm. Everything random comes from
//! the seed, so a failure is replayed by its number. After every step invariants hold, or the story ends with a readable
//! timeline; it is told again with fewer faults, as long as it still breaks the same rule (`shrink`).
//!
//! Every host has a `kernel` (programs and their maps, addresses, queues), and its adverts are bytes that the real rules judge
//! (`letter`). [`rfc`] and [`groups`] tell stories of hosts whose timers are the RFC's (`cluster`), [`fast`] of hosts with probes and the
//! fence.
//!
//! What must not live here: anything that decides. That is [`ha_common::node`]'s, as in the daemon; the simulation tells it
//! what happens and carries out its effects. `tests/tests/sim.rs` and `cargo xtask sim` run it.

mod cluster;
mod effects;
pub mod fast;
pub mod groups;
mod kernel;
mod letter;
mod liveness;
mod many;
mod place;
pub mod rfc;
mod shrink;
pub mod windows;

use std::cell::Cell;

use cluster::World;
use ha_common::time::Span;
use shrink::{Spared, shrink};

pub use effects::Coverage;
pub use many::many;

/// A broken invariant: the seed, what broke, and the events that led there.
#[derive(Debug)]
pub struct Failure {
    /// Seed that replays it.
    pub seed: u64,
    /// The word of `cargo xtask sim --cluster` for it.
    pub cluster: &'static str,
    /// Which invariant, where, when.
    pub what: String,
    /// The last events before it, one a line.
    pub timeline: String,
}

impl Failure {
    /// The invariant that broke, without what differs from one story to the next.
    fn rule(&self) -> &str {
        self.what.split(':').next().unwrap_or_default()
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "seed {}: {}", self.seed, self.what)?;
        f.write_str(&self.timeline)?;
        write!(f, "replay: cargo xtask sim --cluster {} --seed {}", self.cluster, self.seed)
    }
}

/// Lives through a story: `tell` has it end well or not, without the faults that it is spared, and writes the timeline if it
/// is to.
fn live(
    seed: u64,
    cluster: &'static str,
    tell: impl Fn(Spared, bool) -> (Result<(), String>, World),
) -> Result<Stats, Box<Failure>> {
    let faults = Cell::new(0);
    let story = |spared: &Spared, telling: bool| {
        let (outcome, mut world) = tell(spared.clone(), telling);
        faults.set(world.faults);
        world.count_reached();
        let at = millis(Span(world.now.0));
        let failure = |what| Failure {
            seed,
            cluster,
            what: format!("{what} (at {at} ms)"),
            timeline: world.timeline(),
        };
        outcome.map_err(failure).map(|()| world.stats)
    };
    story(&Spared::default(), false)
        .map_err(|failure| Box::new(shrink(failure, faults.get(), |spared| story(spared, true).err())))
}

/// What happened in a run: shows that the stories are worth telling.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Events processed.
    pub steps: u64,
    /// Changes of state, but for the first after a start.
    pub transitions: u64,
    /// Times that a backup took over from a master that it believed dead.
    pub takeovers: u64,
    /// Stalls that a backup lived through while the master was alive.
    pub stalls: u64,
    /// Planned stops of a master.
    pub handovers: u64,
    /// Members of sync groups that became master.
    pub group_moves: u64,
    /// Roles that went on after a restart or a crash.
    pub resumed: u64,
    /// Files that came into force while the daemon ran.
    pub reloads: u64,
    /// What was reached of the node.
    pub coverage: Coverage,
}

impl Stats {
    /// Adds another run's.
    pub fn add(&mut self, other: Self) {
        self.steps += other.steps;
        self.transitions += other.transitions;
        self.takeovers += other.takeovers;
        self.stalls += other.stalls;
        self.handovers += other.handovers;
        self.group_moves += other.group_moves;
        self.resumed += other.resumed;
        self.reloads += other.reloads;
        self.coverage.add(&other.coverage);
    }
}

/// Milliseconds with the nanoseconds behind the point.
fn millis(span: Span) -> String {
    format!("{}.{:06}", span.0 / 1_000_000, span.0 % 1_000_000)
}

//! A simulated cluster: real nodes, a model of the kernel around each, a bad network and a virtual clock.
//!
//! One seed is one story: two to five routers of one virtual router, with random settings, live through a few
//! rounds of trouble and calm. Everything random comes from the seed, so a failure is replayed by its number.
//! After every step the invariants of `check` hold, or the run ends with a readable timeline.
//!
//! [`fast`] has clusters with probes and the fence, [`groups`] those with several virtual routers on each host. A story that
//! fails is told again with fewer faults, as long as it still breaks the same rule (`shrink`).
//!
//! What must not live here: anything that decides. That is [`ha_common::node`]'s, as in the daemon; `driver` tells it what
//! happens and carries out its effects. `tests/tests/sim.rs` and `cargo xtask sim` run it.
//!
//! # A round
//!
//! 1. *Trouble*: loss, duplication, delay and reordering; partitions; stalls of a daemon or of a whole host;
//!    crashes, restarts, graceful stops, interfaces that go down, reloads. Always checked: statements 40 and 41,
//!    the chain of transitions, addresses that follow the state, adverts that only a master sends.
//! 2. *Calm*: everything heals, at least one router runs. Statement 38: after one master-down interval (of the
//!    slowest router, with the longest interval that anybody ever advertised) there is a master at every instant,
//!    and two at once only for as long as an advert needs from one process to the other.
//! 3. *Steady*: once every preemption must be over, nothing changes its state any more and the best router is
//!    master, if all may preempt; then one of: nothing happens; a backup is stalled, once or in a pattern
//!    (statement 41); the master is stopped gracefully, during which somebody answers at every instant; the
//!    master's interval is changed; the master dies and all backups are short of CPU.

mod agenda;
mod check;
mod driver;
mod effects;
pub mod fast;
pub mod groups;
mod many;
mod scenario;
mod shrink;
mod timeline;
pub mod windows;
mod world;

pub use effects::Coverage;
pub use many::many;
pub use scenario::run;

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

/// What happened in a run: shows that the stories are worth telling.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Events processed.
    pub steps: u64,
    /// Changes of state.
    pub transitions: u64,
    /// Times that a backup took over from a master that it believed dead.
    pub takeovers: u64,
    /// Stalls that a backup lived through while the master was alive.
    pub stalls: u64,
    /// Planned stops of a master.
    pub handovers: u64,
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
        self.coverage.add(&other.coverage);
    }
}

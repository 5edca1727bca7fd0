//! The simulated cluster with liveness probes and the fence in it.
//!
//! Two to four hosts of one virtual router. Each has a *kernel half*, which reflects probes, keeps the lease, the
//! window and the fence of `docs/liveness.md`, and runs on while the daemon is frozen or dead; and a *daemon half*
//! with the machine (main loop) and a judge for each peer (liveness thread), whose CPU comes late independently.
//! One seed is one story; every event is a step, and after every step the invariants of `check` hold.
//!
//! Some hosts do not probe: the others are their masters, or take over from them, by the RFC's timers alone.
//!
//! What must not live here: the rules themselves. Judge, machine, announcements and the fence's decisions are the real
//! ones; the XDP program around the latter is modelled.
//!
//! # What is checked
//!
//! - *39*: two hosts answer for the address only while the network between them is cut (or was, an advert ago), one
//!   of them was frozen whole, or an advert is under way (preemption, planned stop, two backups at once): at most
//!   `OVERLAP`. A host whose daemon is dead, or frozen beyond its lease, never answers beside another that probed
//!   it, not for an instant, nor beside any other whose advert it has heard. A host that hands over to one that
//!   probes never answers beside it.
//! - *41*: nobody takes over by `unreachable` from a host that runs and whose link was not cut for longer than the
//!   settings tolerate, whatever stalls the prober lives through.
//! - *40*: a judge's next deadline lies ahead of the tick.
//! - Detection: a dead host, a killed or frozen daemon is replaced within the bound that follows from the settings:
//!   5 ms for a dead host with the defaults.
//! - Restart: a planned one changes no state anywhere.
//! - Clients: while exactly one living router is master and messages flow between them, a client reaches it, or does within
//!   50 ms (`reach`). A single port that stands still, one way or both, costs no client more than that and the stall.
//! - Strangers: whoever does not know the secret changes nothing (`hostile`).
//!
//! # What is around the hosts
//!
//! A `switch` that learns which port a MAC address is at, clients whose ARP caches are Linux's (`client`), and a stranger
//! (`hostile`). Announcements are [`ha_common::announce`]'s.

mod check;
mod client;
mod faults;
mod host;
mod hostile;
mod hostile_rounds;
mod reach;
mod stalls;
mod story;
mod switch;
mod wire;
mod world;

use ha_common::time::Span;

use super::effects::Coverage;

pub use story::run;

/// The longest that two masters may both answer while an advert is on its way from one to the other.
const OVERLAP: Span = Span::from_millis(2);

/// What happened: shows that the stories are worth telling.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FastStats {
    /// Events processed.
    pub steps: u64,
    /// Probes sent.
    pub probes: u64,
    /// Takeovers by `unreachable`.
    pub unreachable: u64,
    /// Takeovers by `orphaned`.
    pub orphaned: u64,
    /// Takeovers by `expired`.
    pub expired: u64,
    /// Takeovers after a resignation.
    pub resigned: u64,
    /// Takeovers by the RFC's timer.
    pub down: u64,
    /// Daemons that stepped down because their lease had run out.
    pub step_downs: u64,
    /// Masters that went on after a restart.
    pub resumed: u64,
    /// Verdicts that were refuted.
    pub wrong: u64,
    /// Stalls that a prober noticed.
    pub stalls: u64,
    /// Deaths of a host whose successor was timed.
    pub timed: u64,
    /// The longest of those times, in nanoseconds.
    pub slowest_ns: u64,
    /// Those with default settings, a priority of at least 100 and a CPU that comes in time.
    pub timed_default: u64,
    /// The longest of those times, in nanoseconds.
    pub slowest_default_ns: u64,
    /// How many of them took more than 5 ms.
    pub slow_default: u64,
    /// The longest time that two hosts answered without an excuse, in nanoseconds.
    pub overlap_ns: u64,
    /// Packets that clients wanted to send.
    pub packets: u64,
    /// The longest time for which a client did not reach the master although it should, in nanoseconds.
    pub cut_off_ns: u64,
    /// Stalls of a single port.
    pub port_stalls: u64,
    /// How often the stranger began.
    pub attacks: u64,
    /// Clients that had to reach the master at the end of a round.
    pub owed: u64,
    /// Those that were excused.
    pub excused: u64,
    /// What was reached of the node.
    pub coverage: Coverage,
}

impl FastStats {
    /// Adds another run's.
    pub fn add(&mut self, other: Self) {
        self.steps += other.steps;
        self.coverage.add(&other.coverage);
        self.probes += other.probes;
        self.unreachable += other.unreachable;
        self.orphaned += other.orphaned;
        self.expired += other.expired;
        self.resigned += other.resigned;
        self.down += other.down;
        self.step_downs += other.step_downs;
        self.resumed += other.resumed;
        self.wrong += other.wrong;
        self.stalls += other.stalls;
        self.timed += other.timed;
        self.slowest_ns = self.slowest_ns.max(other.slowest_ns);
        self.timed_default += other.timed_default;
        self.slowest_default_ns = self.slowest_default_ns.max(other.slowest_default_ns);
        self.slow_default += other.slow_default;
        self.overlap_ns = self.overlap_ns.max(other.overlap_ns);
        self.packets += other.packets;
        self.cut_off_ns = self.cut_off_ns.max(other.cut_off_ns);
        self.port_stalls += other.port_stalls;
        self.attacks += other.attacks;
        self.owed += other.owed;
        self.excused += other.excused;
    }
}

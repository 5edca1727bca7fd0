//! One virtual router of two to five hosts, with random settings.
//!
//! # A round
//!
//! 1. *Trouble*: loss, duplication, delay and reordering; partitions; stalls of a daemon or of a whole host;
//!    crashes, restarts, graceful stops, interfaces that go down, reloads.
//! 2. *Calm*: everything heals, at least one router runs. Statement 38: after one master-down interval (of the
//!    slowest router, with the longest interval that anybody ever advertised) there is a master at every instant,
//!    and two at once only for as long as an advert needs from one process to the other.
//! 3. *Steady*: once every preemption must be over, nothing changes its state any more and the best router is
//!    master, if all may preempt; then one of: nothing happens; a backup is stalled, once or in a pattern
//!    (statement 41); the master is stopped gracefully, during which somebody answers at every instant; the
//!    master's interval is changed; the master dies and all backups are short of CPU.

mod story;

use story::Story;

use super::{Failure, Stats};

/// Runs one seed to its end.
///
/// # Errors
/// The first broken invariant, with the fewest faults that break it.
pub fn run(seed: u64) -> Result<Stats, Box<Failure>> {
    super::live(seed, "rfc", |spared, telling| {
        let mut story = Story::new(seed, spared, telling);
        (story.tell(), story.world)
    })
}

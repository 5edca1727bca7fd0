//! Trackers: what besides the protocol decides about an instance's priority and fitness.
//!
//! [`watch`] has the threads that find it out, `board` what they know: of scripts (`script`), health checks (`check`),
//! processes (`process`), files (`file`) and BFD sessions ([`bfd`]). `tasks` begins and ends what runs as a task,
//! [`judge`] counts results, [`priority`] turns what is known into a priority. Programs are started by
//! [`crate::program`]. The runtime calls them.

pub mod bfd;
pub mod board;
mod check;
mod file;
pub mod judge;
pub mod priority;
mod process;
mod script;
mod tasks;
pub mod watch;

use std::time::Duration;

/// How long a stop waits for a thread that watches.
const STOP_PATIENCE: Duration = Duration::from_millis(200);

/// What is known of any tracked thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Nothing yet. A tracker of weight 0 holds its instance in FAULT; others add nothing.
    Pending,
    /// Well.
    Good,
    /// Not well.
    Bad,
    /// Not there at all, which is no better: an interface.
    Absent,
    /// Cannot or must not be found out (a script that is missing, unsafe, or has no such user), or is not there to be
    /// watched: its trackers have no effect, as in keepalived.
    Ignored,
    /// The number in a file, which a tracker multiplies.
    Value(i32),
}

impl Seen {
    /// The word in logs and in `xvrrp status`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Good => "good",
            Self::Bad => "bad",
            Self::Absent => "absent",
            Self::Ignored => "disabled",
            Self::Value(_) => "value",
        }
    }

    /// The number, where it is one.
    #[must_use]
    pub const fn value(self) -> Option<i32> {
        match self {
            Self::Value(value) => Some(value),
            _ => None,
        }
    }
}

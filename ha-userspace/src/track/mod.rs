//! Trackers: what besides the protocol decides about an instance's priority and fitness.
//!
//! [`script`] runs `vrrp_script`s on a thread of its own, [`watch`] does the same for what needs no process: health
//! checks (`check`), processes (`process`), files ([`file`]) and BFD sessions ([`bfd`]). [`judge`] counts results,
//! [`priority`] turns what is known into a priority. Programs are started by [`crate::program`]. The runtime calls them.

pub mod bfd;
pub mod board;
mod check;
mod file;
pub mod judge;
pub mod priority;
mod process;
pub mod script;
mod task;
pub mod watch;

/// What a tracked script is known to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ScriptState {
    /// No run has ended yet. A tracker of weight 0 holds its instance in FAULT; others add nothing.
    Pending,
    /// Succeeds.
    Good,
    /// Fails.
    Bad,
    /// Cannot or must not be run (missing, unsafe, no such user): its trackers have no effect, as in keepalived.
    Disabled,
}

impl ScriptState {
    /// The word in logs and in `xvrrp status`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Good => "good",
            Self::Bad => "bad",
            Self::Disabled => "disabled",
        }
    }
}

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
    /// Its trackers have no effect.
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

impl From<ScriptState> for Seen {
    fn from(state: ScriptState) -> Self {
        match state {
            ScriptState::Pending => Self::Pending,
            ScriptState::Good => Self::Good,
            ScriptState::Bad => Self::Bad,
            ScriptState::Disabled => Self::Ignored,
        }
    }
}

//! Trackers: what besides the protocol decides about an instance's priority and fitness.
//!
//! [`script`] runs `vrrp_script`s on a thread of its own, [`judge`] counts their results, [`security`] decides
//! whether a program may be run at all, [`priority`] turns results into a priority. The runtime calls them.

pub mod exec;
pub mod judge;
pub mod priority;
pub mod script;
pub mod security;
mod task;

pub(crate) use task::kill;

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

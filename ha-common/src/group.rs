//! Sync groups: virtual routers that fail over together (`vrrp_sync_group`, keepalived.conf(5)).
//!
//! What lives here: from the members' states to what the members must do. What must not: the members' own judgement,
//! which is [`crate::machine`]'s; a clock; which router is in which group. The driver and the simulation call it.
//!
//! # Rules
//!
//! As keepalived 2.2.7 was seen to do, apart from the last:
//!
//! - The group takes over when **every** member would be master by itself. A member whose master is gone while
//!   another member's is alive waits; its own master's next advert ends that. So two routers of which each is the
//!   better one for some members do not take the group from each other for ever.
//! - A member that is no longer master takes the others with it.
//! - A member in FAULT takes the others with it, and all come back when nothing keeps any of them from running.
//! - Masters that go back to backup for the group's sake send priority 0, as those do that go to FAULT. keepalived
//!   lets the other routers wait for its silence.

use crate::machine::{Input, State};

#[cfg(test)]
mod tests;

/// A member, as the group sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its state.
    pub state: State,
    /// [`crate::machine::Machine::is_ready_to_take_over`].
    pub ready: bool,
    /// It came into the group while that was running (a reload), and has neither been in the group's state nor heard
    /// a master. Until then it is nobody's reason to give the addresses up.
    pub newcomer: bool,
}

/// What all members must do; each ignores what it has done already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// [`Input::TakeOver`].
    TakeOver,
    /// [`Input::Yield`].
    Yield,
    /// [`Input::Unfit`].
    Fault,
}

impl Order {
    /// The input that carries it out.
    #[must_use]
    pub const fn input(self) -> Input {
        match self {
            Self::TakeOver => Input::TakeOver,
            Self::Yield => Input::Yield,
            Self::Fault => Input::Unfit,
        }
    }
}

/// What the members must do now, if anything. Once they have, asking again gives `None`.
///
/// Members that are stopped, or not started yet, have no say.
#[must_use]
pub fn order(members: impl Iterator<Item = Member> + Clone) -> Option<Order> {
    let running = members.filter(|member| !matches!(member.state, State::Init | State::Leaving));
    let any = |state| running.clone().any(|member| member.state == state);
    if any(State::Fault) {
        return (any(State::Master) || any(State::Backup)).then_some(Order::Fault);
    }
    let mut backups = running.clone().filter(|member| member.state == State::Backup);
    let mut waiting = backups.clone().filter(|member| !member.ready);
    if backups.clone().any(|member| member.ready)
        && waiting.all(|member| member.newcomer && any(State::Master))
    {
        return Some(Order::TakeOver);
    }
    (any(State::Master) && backups.any(|member| !member.newcomer)).then_some(Order::Yield)
}

/// The state that all members have; `None` while they differ, and where there are none.
#[must_use]
pub fn common_state(mut members: impl Iterator<Item = Member>) -> Option<State> {
    let state = members.next()?.state;
    members.all(|member| member.state == state).then_some(state)
}

//! What a change of state rests on, for whoever must explain it.
//!
//! [`super::Machine`] keeps it beside what it decides by. One thing is decided by it too: whether a master has fallen below
//! this router, which only who has heard both priorities can know.

use core::net::IpAddr;

use super::io::Tracked;
use crate::time::Time;
use crate::types::Priority;

/// What was known when a state was entered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// The router whose adverts, word or silence decided, as it was last heard; `None` where nobody was.
    pub about: Option<Tracked>,
    /// The priority that it had before it lowered it to that.
    pub fell_from: Option<u8>,
    /// Since when a backup counted the silence.
    pub quiet_since: Option<Time>,
    /// This router's priority before the latest change of it, and when that was.
    pub own_before: Option<(Priority, Time)>,
}

/// Whom a backup heard last as master, whether it respected that one or not.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LastHeard {
    pub(super) master: Option<Tracked>,
    pub(super) fell_from: Option<u8>,
}

impl LastHeard {
    pub(super) const NOBODY: Self = Self { master: None, fell_from: None };

    /// It claims the addresses.
    pub(super) fn claims(&mut self, heard: Tracked) {
        self.fell_from = match self.master {
            Some(known) if known.address != heard.address || heard.priority > known.priority => None,
            Some(known) if heard.priority < known.priority => Some(known.priority),
            Some(_) => self.fell_from,
            None => None,
        };
        self.master = Some(heard);
    }

    /// It was heard, and did not say anything new.
    pub(super) fn seen(&mut self, address: IpAddr, at: Time) {
        if let Some(master) = self.master.as_mut().filter(|master| master.address == address) {
            master.last_seen = master.last_seen.max(at);
        }
    }
}

//! States, reasons, and what a change of state means for the addresses.
//!
//! What must not live here: when a state changes; that is [`super::Machine`]'s job. The driver and the logs read
//! this.

use crate::judge::Verdict;

/// State as RFC 9568 has it, with keepalived's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Not running: before the start and after the stop (RFC: Initialize).
    Init,
    /// The interface is down or a tracker with weight 0 failed (RFC: Initialize). Sends nothing, answers nothing.
    Fault,
    /// Watching a master (RFC: Backup).
    Backup,
    /// Answering for the addresses (RFC: Active).
    Master,
    /// Was master, has sent priority 0, and keeps the addresses until the successor is heard and ready, or has had
    /// its time, so that a planned switch loses no packet. Ends in [`State::Init`].
    Leaving,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 5] = [Self::Init, Self::Fault, Self::Backup, Self::Master, Self::Leaving];

    /// The word in logs, output and notifications.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Init => "INIT",
            Self::Fault => "FAULT",
            Self::Backup => "BACKUP",
            Self::Master => "MASTER",
            Self::Leaving => "LEAVING",
        }
    }

    /// Whether the router has the virtual addresses and answers for them.
    #[must_use]
    pub const fn holds_addresses(self) -> bool {
        match self {
            Self::Master | Self::Leaving => true,
            Self::Init | Self::Fault | Self::Backup => false,
        }
    }
}

impl core::fmt::Display for State {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.pad(self.word())
    }
}

/// What a change of state means for addresses, routes and neighbours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing changes on the interface.
    Keep,
    /// Add the addresses, then announce them (gratuitous ARP, unsolicited NA), then routes and rules.
    TakeOver,
    /// Remove routes, rules and addresses.
    Release,
}

impl Effect {
    /// The effect of a transition. Depends on nothing else, so no path through the machine can forget it.
    #[must_use]
    pub const fn of(from: State, to: State) -> Self {
        match (from.holds_addresses(), to.holds_addresses()) {
            (false, true) => Self::TakeOver,
            (true, false) => Self::Release,
            (false, false) | (true, true) => Self::Keep,
        }
    }
}

/// Why a state was entered: for logs, `status` and notifications.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The router was started.
    Started,
    /// What had put the router into FAULT is over.
    Recovered,
    /// The interface is down, has no address, or a tracker with weight 0 failed.
    NotReady,
    /// Priority 255: the router owns the addresses.
    Owner,
    /// No advert of any master for a master-down interval.
    NoMaster,
    /// No advert of the known master for a master-down interval.
    MasterDown,
    /// A master of lower priority was taken over from.
    Preempted,
    /// The master lowered its priority below this router's.
    MasterLowered,
    /// The master sent priority 0 and the skew time has passed.
    MasterResigned,
    /// Another master has a higher priority.
    HigherPriority,
    /// Another master has the same priority and a higher address.
    HigherAddress,
    /// The operator stopped the router.
    Stopped,
    /// The successor's first advert was heard.
    SuccessorHeard,
    /// No successor was heard in the time that the slowest one needs.
    SuccessorTimeout,
    /// The master does not answer probes.
    MasterUnreachable,
    /// The master's daemon is gone, and what answers probes there says so.
    MasterOrphaned,
    /// The master's daemon does not renew its lease.
    MasterExpired,
    /// The own lease ran out.
    LeaseExpired,
    /// The role of an earlier run of the daemon goes on.
    Resumed,
    /// Another member of the sync group is no longer master.
    Group,
}

impl Reason {
    /// The words in logs and output.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Recovered => "recovered",
            Self::NotReady => "not ready",
            Self::Owner => "owner",
            Self::NoMaster => "no master heard",
            Self::MasterDown => "master down",
            Self::Preempted => "preempted a lower master",
            Self::MasterLowered => "master lowered its priority",
            Self::MasterResigned => "master resigned",
            Self::HigherPriority => "higher priority heard",
            Self::HigherAddress => "higher address heard",
            Self::Stopped => "stopped",
            Self::SuccessorHeard => "successor heard",
            Self::SuccessorTimeout => "no successor heard",
            Self::MasterUnreachable => "master unreachable",
            Self::MasterOrphaned => "master orphaned",
            Self::MasterExpired => "master's lease expired",
            Self::LeaseExpired => "own lease expired",
            Self::Resumed => "resumed after a restart",
            Self::Group => "sync group",
        }
    }
}

impl From<Verdict> for Reason {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Unreachable => Self::MasterUnreachable,
            Verdict::Orphaned => Self::MasterOrphaned,
            Verdict::Expired => Self::MasterExpired,
        }
    }
}

impl core::fmt::Display for Reason {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.pad(self.word())
    }
}

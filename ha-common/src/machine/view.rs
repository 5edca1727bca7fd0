//! What can be asked of a [`Machine`], for `status`, logs and the driver. Nothing here changes it.

use super::evidence::Evidence;
use super::io::{Params, Tracked};
use super::state::{Reason, State};
use super::timers::master_down_interval;
use super::{FAST_HANDOVER, Machine, Phase};
use crate::time::{Span, Time};
use crate::types::Priority;

impl Machine {
    /// The state.
    #[must_use]
    pub const fn state(&self) -> State {
        match self.phase {
            Phase::Init => State::Init,
            Phase::Fault => State::Fault,
            Phase::Backup(_) => State::Backup,
            Phase::Master { .. } => State::Master,
            Phase::Leaving { .. } => State::Leaving,
        }
    }

    /// When the state was entered.
    #[must_use]
    pub const fn since(&self) -> Time {
        self.since
    }

    /// Why the state was entered.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        self.reason
    }

    /// What it was entered on.
    #[must_use]
    pub const fn evidence(&self) -> &Evidence {
        &self.evidence
    }

    /// Effective priority.
    #[must_use]
    pub const fn priority(&self) -> Priority {
        self.priority
    }

    /// Settings in force.
    #[must_use]
    pub const fn params(&self) -> &Params {
        &self.params
    }

    /// Whether the machine was stopped: it is leaving, or in [`State::Init`] for good.
    #[must_use]
    pub const fn stopped(&self) -> bool {
        self.stopped
    }

    /// The tracked master; `None` unless this router is a backup that has accepted an advert.
    #[must_use]
    pub const fn master(&self) -> Option<Tracked> {
        match &self.phase {
            Phase::Backup(backup) => backup.master(),
            Phase::Init | Phase::Fault | Phase::Master { .. } | Phase::Leaving { .. } => None,
        }
    }

    /// The master whose death matters: the tracked one, or the lower-priority one that a backup is about to preempt
    /// and does not follow. Verdicts of the judge on it count ([`super::Input::MasterLost`]).
    #[must_use]
    pub fn watched(&self) -> Option<Tracked> {
        match &self.phase {
            Phase::Backup(backup) => backup.watched(),
            Phase::Init | Phase::Fault | Phase::Master { .. } | Phase::Leaving { .. } => None,
        }
    }

    /// Whether solicitations for the virtual addresses (ARP requests, neighbour solicitations) are this router's to
    /// answer. A leaving master serves its addresses for some time after that has become its successor's job: at
    /// once beside a prompt successor, else when that one is heard. A solicitation that nobody answers meanwhile is
    /// answered by the successor's gratuitous ARP.
    #[must_use]
    pub fn answers(&self) -> bool {
        match self.phase {
            Phase::Master { .. } => true,
            Phase::Leaving { succeeded, .. } => !succeeded && self.params.handover > FAST_HANDOVER,
            Phase::Init | Phase::Fault | Phase::Backup(_) => false,
        }
    }

    /// Whether this member of a sync group would be master by now if it were alone. An advert of a master that it
    /// respects ends that.
    #[must_use]
    pub const fn is_ready_to_take_over(&self) -> bool {
        match &self.phase {
            Phase::Backup(backup) => backup.ready().is_some(),
            Phase::Init | Phase::Fault | Phase::Master { .. } | Phase::Leaving { .. } => false,
        }
    }

    /// The interval that goes into adverts. A master advertises its own, whatever it learned as backup.
    #[must_use]
    pub const fn interval(&self) -> Span {
        self.params.interval
    }

    /// `Active_Down_Interval` with the interval in force (learned in VRRPv3): for `status`.
    #[must_use]
    pub fn master_down_interval(&self) -> Span {
        let interval = match &self.phase {
            Phase::Backup(backup) => backup.interval(&self.params),
            Phase::Init | Phase::Fault | Phase::Master { .. } | Phase::Leaving { .. } => self.params.interval,
        };
        master_down_interval(self.params.version, self.priority, interval, self.params.down_timer_adverts)
    }
}

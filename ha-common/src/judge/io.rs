//! What goes into a [`super::PeerJudge`] and what comes out of it.

use super::window::WindowSettings;
use crate::probe::Masters;
use crate::time::{Span, Time};

/// Settings of the judge: `fast_probe_interval`, `fast_probe_misses`, `fast_window` and their like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Between two probes, while all goes well; 100 µs to 1 s.
    pub interval: Span,
    /// Probes that must be missed; at least 1.
    pub misses: u8,
    /// No verdict sooner than this after the latest reply.
    pub window: WindowSettings,
    /// The same for a peer whose daemon answers for lack of XDP, where it is longer: `fast_lease`.
    pub user_space_window: Span,
    /// The reply wait is never shorter than this, or than [`Settings::burst_interval`] where that is less.
    pub min_wait: Span,
    /// The reply wait is never longer.
    pub max_wait: Span,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            interval: Span::from_millis(1),
            misses: 3,
            window: WindowSettings::default(),
            user_space_window: Span::from_millis(100),
            min_wait: Span::from_micros(100),
            max_wait: Span::from_millis(100),
        }
    }
}

impl Settings {
    /// Between two probes after a late reply: the next ones confirm it. What holds up a frame holds up those behind it,
    /// so they are not closer together.
    #[must_use]
    pub fn burst_interval(&self) -> Span {
        Span((self.interval.0 / 5).max(1))
    }

    /// How soon after its last reply a peer that answered at once can be found unreachable, whatever the window.
    #[must_use]
    pub fn quickest(&self) -> Span {
        let (burst, wait) = (self.burst_interval(), self.min_wait.min(self.burst_interval()));
        self.interval.plus(burst.times(u64::from(self.misses.max(1)) - 1)).plus(wait)
    }
}

/// The latest reply of a peer, as the map has it. Those before it that were not read are lost, which is no harm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answered {
    /// Of the probe that it answers.
    pub sequence: u64,
    /// Kernel time of its arrival.
    pub at: Time,
    /// Flags of [`crate::probe`].
    pub flags: u8,
    /// The responder's incarnation id.
    pub responder: u64,
    /// What was left of the responder's lease.
    pub lease: Span,
    /// What the responder is master for.
    pub masters: Masters,
    /// How many others would take over from it before us; as far as the flag [`crate::probe::RANKED`] says.
    pub rank: u8,
}

/// Why a peer can no longer be master.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Probes were sent and not answered.
    Unreachable,
    /// It says that nobody runs it.
    Orphaned,
    /// It says that its lease has run out.
    Expired,
}

impl Verdict {
    /// The word in logs and output.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Orphaned => "orphaned",
            Self::Expired => "lease expired",
        }
    }
}

impl core::fmt::Display for Verdict {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.pad(self.word())
    }
}

/// Something that the driver must tell: to the machines that track the peer, to the log, to `status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The first reply: fast verdicts are possible from now on.
    Discovered {
        /// Kernel time of the reply.
        at: Time,
    },
    /// [`super::IN_VAIN`] probes and never a reply, told once: there will be no fast verdicts, for the time being.
    Unanswered,
    /// The peer can no longer be master. Goes to the machines as [`crate::machine::Input::MasterLost`]. Comes again,
    /// affirmed later, while a peer that is still followed stays unreachable: that is no news for the log.
    Lost {
        /// Why.
        verdict: Verdict,
        /// The moment of the judgement: whatever arrives later refutes it.
        at: Time,
        /// When it was last found to stand.
        affirmed: Time,
    },
    /// The peer is no longer master for these. Goes to the machines as [`crate::machine::Input::MasterResigned`].
    Resigned {
        /// For which VRIDs.
        vrids: Masters,
        /// Kernel time of the reply.
        at: Time,
    },
    /// A planned restart: nobody runs the peer for the moment, and its role stays.
    Restarting {
        /// Kernel time of the reply.
        at: Time,
    },
    /// It takes no part in fast failover (any more): only the RFC's timers count for it until it says otherwise.
    Apart {
        /// Kernel time of the reply.
        at: Time,
    },
    /// A peer that was lost is alive. Goes to the machines as [`crate::machine::Input::MasterAlive`].
    Alive {
        /// Kernel time of the sign of life.
        at: Time,
    },
    /// It was silent for so long that the window had been too narrow for this network.
    Widened {
        /// For how long.
        silence: Span,
        /// The window until then.
        before: Span,
        /// The window from now on.
        window: Span,
    },
    /// The verdict `unreachable` was wrong; there will be none until then.
    Paused {
        /// The end of the pause.
        until: Time,
    },
}

//! What goes into a [`super::Machine`] and what comes out of it.

use core::net::IpAddr;

use super::state::{Reason, State};
use crate::judge::Verdict;
use crate::time::{Span, Time};
use crate::types::{Family, Priority, Version, Vrid};

/// Settings of a virtual router that the machine needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Params {
    /// Virtual router.
    pub vrid: Vrid,
    /// Family.
    pub family: Family,
    /// Version: decides the skew time and whether the interval is learned.
    pub version: Version,
    /// Configured advertisement interval.
    pub interval: Span,
    /// Whether a higher-priority router takes over from a lower-priority master (`nopreempt` clears it).
    pub preempt: bool,
    /// How long a lower-priority master is left alone, counted from its first advert.
    pub preempt_delay: Span,
    /// A master that hears a lower-priority advert does not answer it at once (`lower_prio_no_advert`).
    pub lower_prio_no_advert: bool,
    /// A master that hears a higher-priority advert sends one more before it yields (`higher_prio_send_advert`).
    pub higher_prio_send_advert: bool,
    /// How long a leaving master keeps the addresses after its successor's first advert ([`super::HANDOVER`], or
    /// [`super::FAST_HANDOVER`] where the successor probes).
    pub handover: Span,
    /// Adverts that must be missed before the master is down (`down_timer_adverts`, 3 in the RFC).
    pub down_timer_adverts: u8,
    /// Member of a sync group: does not take over by itself, but waits for [`Input::TakeOver`]
    /// ([`crate::group`]).
    pub grouped: bool,
}

impl Params {
    /// The RFC's defaults for one virtual router: one second, preemption, three adverts.
    #[must_use]
    pub const fn new(vrid: Vrid, family: Family, version: Version) -> Self {
        Self {
            vrid,
            family,
            version,
            interval: Span::SECOND,
            preempt: true,
            preempt_delay: Span::ZERO,
            lower_prio_no_advert: false,
            higher_prio_send_advert: false,
            handover: super::HANDOVER,
            down_timer_adverts: 3,
            grouped: false,
        }
    }
}

/// Something that happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// Start, or a change of what allows the router to run at all: the interface is up, has an address of the
    /// family, and no weight-0 tracker has failed.
    Ready(bool),
    /// A weight-0 tracker has failed while the interface still carries packets. Like `Ready(false)`, but a master
    /// says so with priority 0, as keepalived does: the others need not wait for its silence.
    Unfit,
    /// A valid advert arrived at `at` (kernel time), judged by [`crate::validate`].
    Advert {
        /// Sender's address.
        source: IpAddr,
        /// Priority, zero for a resigning master.
        priority: u8,
        /// The sender's interval (meaningful in VRRPv3 only).
        interval: Span,
        /// Kernel time of arrival.
        at: Time,
    },
    /// The map's stamp of the tracked master's latest advert. Ignored while no master is tracked.
    Seen(Time),
    /// The deadline may have passed; queued frames and the stamp have been fed before.
    Timer,
    /// Frames were lost while the driver was stalled (ring buffer or socket queue full), fed after those that
    /// were not: the down timer starts anew instead of being judged on incomplete evidence. That happens a
    /// few times in a row at most, so that a flood cannot keep a dead master alive.
    FramesLost,
    /// Effective priority changed (configuration and trackers).
    SetPriority(Priority),
    /// Settings changed by a reload. Running timers go on.
    Reconfigure(Params),
    /// Primary address of the interface, for the tie-break; the driver feeds it before [`Input::Ready`].
    SetAddress(IpAddr),
    /// Stop gracefully. A second one, while leaving, stops at once.
    Stop,
    /// The judge's verdict on a peer ([`crate::judge::Event::Lost`]). Ignored unless that peer is the master that is
    /// watched ([`super::Machine::watched`]), or resigned last. The router takes over at `at` + `wait` unless a sign of life refutes the verdict.
    MasterLost {
        /// The peer's address.
        source: IpAddr,
        /// What the judge found.
        verdict: Verdict,
        /// When. Adverts that arrived later refute it.
        at: Time,
        /// When the judge last found it to stand.
        affirmed: Time,
        /// What keeps the order among several backups: [`crate::judge::takeover_wait`].
        wait: Span,
    },
    /// A peer's reply says that it is no longer master for this virtual router ([`crate::judge::Event::Resigned`]):
    /// priority 0 by a faster way, without the RFC's skew.
    MasterResigned {
        /// The peer's address.
        source: IpAddr,
        /// Kernel time of the reply.
        at: Time,
        /// As for [`Input::MasterLost`].
        wait: Span,
    },
    /// The master that is watched advertises a priority below this router's, after a higher one, and its peer would let go
    /// at once: there is nothing to wait for but the order among several backups. Ignored where this router would not
    /// preempt it.
    MasterLowered {
        /// The peer's address.
        source: IpAddr,
        /// Kernel time of that advert.
        at: Time,
        /// As for [`Input::MasterLost`].
        wait: Span,
    },
    /// A lost peer gave a sign of life ([`crate::judge::Event::Alive`]): a takeover that is under way is off.
    MasterAlive {
        /// The peer's address.
        source: IpAddr,
        /// When.
        at: Time,
    },
    /// The sync group takes over. Ignored unless this router is ready to take over ([`super::Machine::is_ready_to_take_over`]).
    TakeOver,
    /// Another member of the sync group is no longer master: a master resigns and goes back to backup.
    Yield,
    /// The own lease has run out while somebody probed us: whoever that was has taken over. The driver removes the
    /// addresses before it renews the lease.
    StepDown,
}

/// Something that the driver must do, in the order given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send an advert now with this priority (zero: resign). It is built when it is sent.
    SendAdvert {
        /// Priority on the wire.
        priority: u8,
    },
    /// The state changed. What that means for the addresses is [`super::Effect::of`] `from` and `to`.
    Transition {
        /// State before.
        from: State,
        /// State now.
        to: State,
        /// Why.
        reason: Reason,
    },
    /// The advert being handled is the tracked master's: its fingerprint goes into the map. Comes with every
    /// accepted advert; writing the same fingerprint twice changes nothing.
    Track,
    /// No master is tracked any more: clear the fingerprint, so that every advert is judged.
    Untrack,
    /// Another router sends from our address: a configuration error to log (once per change).
    DuplicateAddress,
    /// A router that must yield claims the addresses while we hold them: hosts may have learned its MAC, so the
    /// driver repeats the gratuitous ARPs.
    Contested,
    /// A router that resigned was master beside us, or one that must yield claimed the addresses just before we took them:
    /// the same, but nobody claims anything any more.
    Yielded,
}

/// The master that a backup watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tracked {
    /// Its address.
    pub address: IpAddr,
    /// Its priority.
    pub priority: u8,
    /// Its interval (ours in VRRPv2).
    pub interval: Span,
    /// Kernel time of its latest advert that the machine knows of; the map may know a later one.
    pub last_seen: Time,
}

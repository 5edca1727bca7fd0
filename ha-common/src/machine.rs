//! The VRRP state machine of one virtual router (RFC 9568 section 6.4).
//!
//! # Contract
//!
//! A [`Machine`] is a value. The driver feeds it with [`Machine::handle`], then drains [`Machine::poll_action`]
//! until it returns `None`, then arms one timer for [`Machine::next_deadline`]. Time is monotonic and comes in as
//! an argument. A timer that fires early or twice is a no-op.
//!
//! Liveness is lazy. While a master is tracked, the XDP program stamps its adverts into a map and nobody is woken.
//! When the deadline passes the driver must, in this order: judge every frame that is already queued
//! ([`Input::Advert`]), read the stamp from the map and feed it ([`Input::Seen`]), and only then feed
//! [`Input::Timer`]. If the driver itself ran late, the machine grants one short grace period before it believes
//! in the master's death.

use core::net::IpAddr;

use crate::time::{Span, Time};
use crate::types::{Family, Priority, Version, Vrid};

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
    /// Was master, has sent priority 0, and keeps the addresses until the successor is heard or the skew has
    /// passed, so that a planned switch loses no packet. Ends in [`State::Init`].
    Leaving,
}

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
    /// How long after start-up (or after leaving FAULT) a lower-priority master is left alone.
    pub preempt_delay: Span,
    /// A master that hears a lower-priority advert does not answer it at once (`lower_prio_no_advert`).
    pub lower_prio_no_advert: bool,
    /// A master that hears a higher-priority advert sends one more before it yields (`higher_prio_send_advert`).
    pub higher_prio_send_advert: bool,
    /// Adverts that must be missed before the master is down (`down_timer_adverts`, 3 in the RFC).
    pub down_timer_adverts: u8,
}

/// Something that happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// Start, or a change of what allows the router to run at all: the interface is up, has an address of the
    /// family, and no weight-0 tracker has failed.
    Ready(bool),
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
    /// The map's stamp of the tracked master's latest advert.
    Seen(Time),
    /// The deadline may have passed; queued frames and the stamp have been fed before.
    Timer,
    /// The driver knows that frames were lost while it was stalled (ring buffer full): the down timer starts
    /// anew instead of being judged on incomplete evidence.
    FramesLost,
    /// Effective priority changed (configuration and trackers).
    SetPriority(Priority),
    /// Settings changed by a reload.
    Reconfigure(Params),
    /// Primary address of the interface, for the tie-break; the driver feeds it before [`Input::Ready`].
    SetAddress(IpAddr),
    /// Stop gracefully.
    Stop,
}

/// Why a state was entered: for logs, `status` and notifications.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the word method says it")]
pub enum Reason {
    Started,
    NotReady,
    Owner,
    MasterDown,
    MasterResigned,
    HigherPriority,
    HigherAddress,
    Stopped,
    SuccessorHeard,
    SuccessorTimeout,
}

/// Something that the driver must do, in the order given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send an advert now with this priority (zero: resign). It is built when it is sent.
    SendAdvert {
        /// Priority on the wire.
        priority: u8,
    },
    /// The state changed. Effects (addresses, GARP, notifications) are derived from `from` and `to`.
    Transition {
        /// State before.
        from: State,
        /// State now.
        to: State,
        /// Why.
        reason: Reason,
    },
    /// The advert being handled is the tracked master's: its fingerprint goes into the map.
    Track,
    /// No master is tracked any more: clear the fingerprint, so that every advert is judged.
    Untrack,
    /// Another router with our priority and our address: a configuration error to log (once per change).
    DuplicateAddress,
    /// A router claims the addresses while we hold them and will yield: hosts may have learned its MAC, so the
    /// driver repeats the gratuitous ARPs.
    Contested,
}

/// One virtual router's state machine.
#[derive(Clone, Debug)]
pub struct Machine {
    _private: (),
}

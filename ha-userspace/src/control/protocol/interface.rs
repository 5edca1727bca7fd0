//! Interfaces: how adverts come in, the fence, and who is probed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One interface.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct InterfaceStatus {
    /// Name.
    pub name: String,
    /// Kernel index; zero while it does not exist.
    pub index: u32,
    /// Up and with carrier.
    pub up: bool,
    /// `native`, `generic` or `none`.
    pub xdp: String,
    /// Why it is not native; empty where it is.
    pub xdp_reason: String,
    /// Something better than `xdp` is possible, as `xdp_reason` says.
    pub improvable: bool,
    /// What is lost on it for lack of something that the host could have: words of [`crate::lost::Lost`].
    pub lost: Vec<String>,
    /// The fence of this node's addresses; `None` where fast failover is off or there is no XDP.
    pub fence: Option<FenceStatus>,
    /// Routers that are probed, or were.
    pub peers: Vec<PeerStatus>,
}

/// What closes this node's addresses when the daemon dies or freezes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct FenceStatus {
    /// `armed`: it outlives the daemon; `not pinned`: it goes with the daemon.
    pub state: String,
    /// `open`; `closed`: the lease has run out and somebody probes; `superseded`: another router has taken an
    /// instance over while this daemon was frozen; `handing over`: solicitations for the addresses of an instance are
    /// left to its successor. The last three are for moments.
    pub now: String,
    /// What is left of the lease; `None` while this node is master for nothing.
    pub lease_left_ms: Option<f64>,
    /// Time since somebody last probed this node; `None` for never.
    pub probed_ms_ago: Option<f64>,
}

/// A router that is probed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct PeerStatus {
    /// Its address.
    pub address: String,
    /// It is followed and answers, so that its death is noticed within milliseconds.
    pub fast: bool,
    /// `unreachable`, `orphaned` or `lease expired`; `None` while it is well.
    pub verdict: Option<String>,
    /// After a wrong verdict: for how long only the RFC's timers count.
    pub paused_ms: Option<u64>,
    /// It answers from user space, for lack of XDP.
    pub user_space: bool,
    /// It says that it takes no part in fast failover (`fast_failover off`).
    pub apart: bool,
    /// Probes sent.
    pub sent: u64,
    /// Replies read; of several between two readings only the latest is.
    pub answered: u64,
    /// Verdicts on it.
    pub verdicts: u64,
    /// Verdicts that a sign of life refuted.
    pub wrong: u64,
    /// Time since its last reply.
    pub last_reply_ms_ago: Option<f64>,
    /// Round trip in microseconds, of the recent ones.
    pub rtt_median_us: f64,
    /// The same, 99 of 100 are below.
    pub rtt_p99_us: f64,
    /// The longest ever.
    pub rtt_max_us: f64,
    /// How long after their time probes went out, in microseconds, of the recent ones.
    pub late_median_us: f64,
    /// The same, 99 of 100 are below.
    pub late_p99_us: f64,
    /// The latest ever.
    pub late_max_us: f64,
    /// Times that the prober ran more than a millisecond late and dropped its evidence.
    pub stalls: u64,
    /// The window in force, in milliseconds: no verdict sooner than this after its last reply.
    pub window_ms: f64,
    /// The most that it may be.
    pub window_most_ms: f64,
    /// It is always that (`fast_window … fixed`), and does not follow from what was seen.
    pub window_fixed: bool,
    /// By how much the longest remembered silence that ended with a reply exceeded a probe interval, in milliseconds.
    pub longest_silence_ms: f64,
    /// How long the peer has still to be watched before what was seen counts in full, in milliseconds.
    pub learning_ms: u64,
}

//! The liveness threads: one probes masters and judges their silence, two vouch for this node.
//!
//! What lives here: the threads and what it is told and tells. What must not: the rules (`ha_common::judge`), what a
//! virtual router does about a verdict (`ha_common::machine`), and which peers there are (the runtime decides).
//! docs/liveness.md describes the whole.
//!
//! They have the highest real-time priority of the daemon and do nothing else: probes must go out in time, and a lease
//! must not run out while the main loop is well.

mod leases;
mod prober;
mod thread;

use std::net::IpAddr;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use ha_common::judge::{Counts, Event, Precedence, Settings, Summary, Verdict, Window, WindowSettings};
use ha_common::probe::{Keys, Masters};
use ha_common::time::{Span, Time};
use tokio::sync::mpsc::UnboundedSender;

use crate::config::model::Fast;
use crate::worker::Worker;
use crate::xdp::{Lease, PeerIndex, Peers};
use thread::Probing;

/// How long [`Inquiry::peers`] waits for the thread.
const STATUS_PATIENCE: Duration = Duration::from_millis(200);

/// A peer on an interface: the interface's index and the peer's address, whose family it shares.
pub type PeerKey = (u32, IpAddr);

/// A peer as the runtime wants it treated.
#[derive(Clone, Debug)]
pub struct PeerSpec {
    /// Which one.
    pub key: PeerKey,
    /// Some virtual router of ours tracks it as its master.
    pub follow: bool,
    /// The interface has carrier.
    pub link_up: bool,
    /// Source and destination of the frames.
    pub macs: ([u8; 6], [u8; 6]),
    /// Source of the packets; the destination is in the key.
    pub source: IpAddr,
    /// Settings of its judge.
    pub settings: Settings,
    /// What tags are made with.
    pub keys: Keys,
    /// The VRIDs that this node would take over from it, or has.
    pub wanted: Masters,
    /// The highest priority with which it would take one over; 0 for none.
    pub priority: u8,
    /// Its entry in `HA_PEERS`.
    pub index: PeerIndex,
    /// The map.
    pub peers: Peers,
}

/// A lease that is to be renewed, one for each interface.
#[derive(Clone, Debug)]
pub struct LeaseSpec {
    /// The map's entry.
    pub lease: Lease,
    /// How long a renewal lasts.
    pub length: Span,
    /// The interface's index.
    pub ifindex: u32,
    /// The latest resumption of probes that was told.
    pub told: Arc<AtomicU64>,
    /// The end of the lease of which it was told that it has run out.
    pub over: Arc<AtomicU64>,
}

/// What the threads tell the main loop.
#[derive(Clone, Copy, Debug)]
pub enum Report {
    /// Something of a peer.
    Peer {
        /// About whom.
        peer: PeerKey,
        /// What.
        event: Event,
        /// Where this node stands among those that would take over from it.
        order: Precedence,
        /// What was known of it then.
        silence: Silence,
    },
    /// A followed peer on this interface has missed a probe: a verdict may follow.
    Missed {
        /// The interface's index.
        ifindex: u32,
    },
    /// On this interface a known router probes again after a pause: it may have been master meanwhile.
    ProbesResumed {
        /// The interface's index.
        ifindex: u32,
    },
    /// A lease has run out, as after a freeze: what follows is the main loop's, now and not when its next timer fires.
    LeaseRanOut,
}

/// How long a peer has said nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Silence {
    /// Probes sent since the one that was answered last.
    pub unanswered: u64,
    /// Kernel time of the last reply.
    pub last_reply: Option<Time>,
}

/// One peer for `status`.
#[derive(Clone, Debug)]
pub struct PeerStatus {
    /// Which one.
    pub key: PeerKey,
    /// Whether it is followed and answers, so that fast verdicts are possible.
    pub fast: bool,
    /// The verdict in force.
    pub verdict: Option<(Verdict, Time)>,
    /// No verdicts before this, after a wrong one.
    pub paused_until: Option<Time>,
    /// What was counted.
    pub counts: Counts,
    /// Round trips.
    pub round_trips: Summary,
    /// How late probes went out.
    pub lateness: Summary,
    /// Its window, and what that follows from.
    pub window: Window,
    /// When the latest reply came.
    pub last_reply: Option<Time>,
    /// The responder answers from user space.
    pub user_space: bool,
    /// It says that it takes no part in fast failover.
    pub apart: bool,
}

/// Settings of the judges of masters.
#[must_use]
pub fn judge_settings(config: &Fast) -> Settings {
    Settings {
        interval: config.probe_interval.into(),
        misses: config.probe_misses,
        window: WindowSettings {
            ceiling: config.window.max(Duration::from_micros(1)).into(),
            fixed: config.window_fixed,
            ..WindowSettings::default()
        },
        user_space_window: config.lease.into(),
        ..Settings::default()
    }
}

/// The answer of the thread that probes, on its way.
#[derive(Debug)]
pub struct Inquiry(mpsc::Receiver<Vec<PeerStatus>>);

impl Inquiry {
    /// What is known of the peers; empty where the thread does not answer.
    ///
    /// Waits for the thread: not for the main loop.
    #[must_use]
    pub fn peers(self) -> Vec<PeerStatus> {
        self.0.recv_timeout(STATUS_PATIENCE).unwrap_or_default()
    }
}

/// What the main loop tells the thread.
#[derive(Debug)]
enum Command {
    Peers(Vec<PeerSpec>),
    Heard(PeerKey, Time),
    Priority(u8),
    Status(mpsc::Sender<Vec<PeerStatus>>),
}

/// The threads' handle. Dropping it waits for their end.
#[derive(Debug)]
pub struct Liveness {
    worker: Worker<Command>,
    /// When the main loop will be done with its next turn at the latest.
    promised: Arc<AtomicU64>,
    renewers: leases::Renewers,
}

impl Liveness {
    /// Starts them with a SCHED_FIFO priority, which should be above the main loop's. `incarnation` is this run's,
    /// drawn at random; reports go to `reports`.
    ///
    /// # Errors
    ///
    /// No thread, no descriptor or no packet socket to be had.
    pub fn start(
        incarnation: NonZeroU64,
        reports: UnboundedSender<Report>,
        priority: u8,
    ) -> anyhow::Result<Self> {
        let promised = Arc::new(AtomicU64::new(u64::MAX));
        let renewers = leases::Renewers::start(&promised, &reports, priority)?;
        let probing = Probing::new(incarnation, reports, priority)?;
        let worker = Worker::start_polling("xvrrp-liveness", |orders| probing.run(&orders))?;
        Ok(Self { worker, promised, renewers })
    }

    /// Another priority from now on, and the processors that the calling thread may use now.
    pub fn schedule(&self, priority: u8) {
        self.worker.tell(Command::Priority(priority));
        self.renewers.schedule(priority);
    }

    /// All peers that matter from now on. Those that were known keep their judges.
    pub fn set_peers(&self, peers: Vec<PeerSpec>) {
        self.worker.tell(Command::Peers(peers));
    }

    /// All leases to renew from now on. A lease that has run out is not renewed: the main loop finds that, steps
    /// down, and renews it itself.
    pub fn set_leases(&self, leases: &[LeaseSpec]) {
        self.renewers.set_leases(leases);
    }

    /// An advert of a peer as master was accepted; it arrived at `at`.
    pub fn heard(&self, peer: PeerKey, at: Time) {
        self.worker.tell(Command::Heard(peer, at));
    }

    /// The main loop goes to sleep and wakes at `deadline` at the latest. While it is later than that (and
    /// [`ha_common::node::lease::SLACK`]), no lease is renewed.
    pub fn promise(&self, deadline: Time) {
        self.promised.store(deadline.0, Ordering::Release);
    }

    /// Asks what is known of the peers. The answer is for another thread to wait for.
    #[must_use]
    pub fn inquire(&self) -> Inquiry {
        let (sender, receiver) = mpsc::channel();
        self.worker.tell(Command::Status(sender));
        Inquiry(receiver)
    }
}

impl Drop for Liveness {
    fn drop(&mut self) {
        self.worker.finish();
    }
}

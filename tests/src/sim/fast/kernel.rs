//! The kernel half of a host: the XDP program's view of probes, the lease, the window and the fence.

use ha_common::judge::Answered;
use ha_common::probe::{EXPIRED, Masters, ORPHANED, RESTARTING};
use ha_common::time::{Span, Time};
use ha_common::types::Vrid;

use super::world::{Frame, HOSTS};

/// The fence is closed only for somebody who probed within this time.
pub(super) const PROBED: Span = Span::SECOND;

/// The virtual router of the cluster.
pub(super) fn vrid() -> Vrid {
    Vrid::new(25).expect("not zero")
}

/// What outlives the daemon.
#[derive(Debug)]
pub(super) struct Kernel {
    /// The virtual address is on the interface.
    pub(super) addresses: bool,
    /// The program is attached.
    pub(super) program: bool,
    /// The daemon's half of it is reached.
    pub(super) alive: bool,
    pub(super) lease_until: Time,
    pub(super) restart_until: Time,
    pub(super) master: bool,
    pub(super) responder: u64,
    pub(super) last_probe: Option<Time>,
    pub(super) replies: [Option<Answered>; HOSTS],
    /// The tracked master's advert.
    pub(super) fingerprint: Option<(usize, u8)>,
    pub(super) stamp: Time,
    /// Adverts for the daemon: sender, priority, arrival.
    pub(super) queue: Vec<(usize, u8, Time)>,
}

impl Kernel {
    pub(super) const fn new() -> Self {
        Self {
            addresses: false,
            program: false,
            alive: false,
            lease_until: Time(0),
            restart_until: Time(0),
            master: false,
            responder: 0,
            last_probe: None,
            replies: [None; HOSTS],
            fingerprint: None,
            stamp: Time(0),
            queue: Vec::new(),
        }
    }

    /// What a reply would say now.
    pub(super) fn flags(&self, now: Time) -> u8 {
        if now < self.restart_until {
            RESTARTING
        } else if !self.alive {
            ORPHANED
        } else if now >= self.lease_until {
            EXPIRED
        } else {
            0
        }
    }

    pub(super) fn probed(&self, now: Time) -> bool {
        self.last_probe.is_some_and(|at| now.span_since(at) <= PROBED)
    }

    /// Whether ARP for the virtual address is answered.
    pub(super) fn answers(&self, now: Time) -> bool {
        let closed = self.program && self.flags(now) & (ORPHANED | EXPIRED) != 0 && self.probed(now);
        self.addresses && !closed
    }

    /// A probe comes in; the reply that goes out.
    pub(super) fn reflect(&mut self, me: usize, sequence: u64, prober: u64, now: Time) -> Option<Frame> {
        if !self.program {
            return None;
        }
        self.last_probe = Some(now);
        let mut masters = Masters::NONE;
        masters.set(vrid(), self.master);
        let lease = if self.alive { self.lease_until.span_since(now) } else { Span::ZERO };
        let (flags, responder) = (self.flags(now), self.responder);
        let answer = Answered { sequence, at: now, flags, responder, lease, masters };
        Some(Frame::Reply { from: me, prober, answer })
    }
}

//! The kernel half of a host: the XDP program's view of probes, the lease, the window and the fence.

use ha_common::classify::Packet;
use ha_common::fence::{Ban, Claim, Guard, KNOWN, PROBED_NS, Wanted, steadiness};
use ha_common::judge::Answered;
use ha_common::probe::Masters;
use ha_common::time::{Span, Time};
use ha_common::types::{Family, Vrid};

use super::world::{Frame, HOSTS};

/// The virtual router of the cluster.
pub(super) fn vrid() -> Vrid {
    Vrid::new(25).expect("not zero")
}

/// What outlives the daemon.
#[derive(Debug)]
pub(super) struct Kernel {
    /// The virtual address is on the interface, and the program knows it.
    pub(super) addresses: bool,
    /// The program is attached.
    pub(super) program: bool,
    /// The daemon's half of it is reached.
    pub(super) alive: bool,
    /// The program has found that it is not.
    orphaned: bool,
    pub(super) lease_until: Time,
    pub(super) restart_until: Time,
    pub(super) master: bool,
    /// Another router has taken over while nobody vouched for this host.
    pub(super) superseded: bool,
    /// Questions are the successor's to answer.
    pub(super) muted: bool,
    pub(super) responder: u64,
    pub(super) last_probe: Option<Time>,
    /// How steadily each host has probed, and when last.
    probers: [(u32, Time); HOSTS],
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
            orphaned: false,
            superseded: false,
            muted: false,
            lease_until: Time(0),
            restart_until: Time(0),
            master: false,
            responder: 0,
            last_probe: None,
            probers: [(0, Time(0)); HOSTS],
            replies: [None; HOSTS],
            fingerprint: None,
            stamp: Time(0),
            queue: Vec::new(),
        }
    }

    /// What decides, as the program sees it: that nobody runs it any more is learned from the next frame.
    pub(super) fn guard(&self) -> Guard {
        Guard {
            orphaned: self.orphaned,
            lease_until_ns: self.lease_until.0,
            restart_until_ns: self.restart_until.0,
            last_probe_ns: self.last_probe.map_or(0, |at| at.0),
        }
    }

    /// What a reply to a router that is known would say now.
    pub(super) fn flags(&self, now: Time) -> u8 {
        self.guard().flags(now.0, true)
    }

    /// Whether probes of this host count.
    pub(super) fn knows(&self, host: usize) -> bool {
        self.probers[host].0 >= KNOWN
    }

    pub(super) fn probed(&self, now: Time) -> bool {
        self.last_probe.is_some_and(|at| now.span_since(at).0 < PROBED_NS)
    }

    /// Whether ARP for the virtual address is answered.
    pub(super) fn answers(&self, now: Time) -> bool {
        let ban = Ban {
            closed: self.guard().closed(now.0),
            superseded: self.superseded,
            muted: self.muted,
            refused: false,
        };
        let question = Wanted { address: [0, 1], question: true, answer: false };
        self.addresses && !(self.program && ban.keeps_out(&question))
    }

    /// Another router's advert comes in, whether or not somebody is there to judge it.
    pub(super) fn hear(&mut self, priority: u8, now: Time) {
        self.orphaned = !self.alive;
        let claim = Claim {
            kind: 0x31,
            proven: true,
            known: true,
            peers_only: false,
            ours: true,
            restarting: now < self.restart_until,
            priority: 255,
            foreign: true,
            multicast: true,
            unicast_router: false,
            start: [0x31, vrid().get(), priority, 1],
        };
        let (pdu_len, ttl) = (12, 255);
        let packet = Packet {
            family: Family::V4,
            vrid: vrid(),
            ip_at: 14,
            ip_len: 20 + pdu_len,
            pdu_at: 20,
            pdu_len,
            ttl,
            authenticated: false,
        };
        if self.program && self.addresses && self.guard().unattended(now.0) && claim.is_master(&packet) {
            self.superseded = true;
        }
    }

    /// A daemon runs the program from now on.
    pub(super) const fn run(&mut self) {
        (self.alive, self.orphaned) = (true, false);
    }

    /// A daemon has removed the addresses.
    pub(super) const fn release(&mut self) {
        (self.addresses, self.superseded, self.muted) = (false, false, false);
    }

    /// A probe comes in; the reply that goes out.
    pub(super) fn reflect(
        &mut self,
        [me, from]: [usize; 2],
        sequence: u64,
        prober: u64,
        now: Time,
    ) -> Option<Frame> {
        if !self.program {
            return None;
        }
        self.orphaned = !self.alive;
        let (steady, last) = self.probers[from];
        let attended = !self.guard().unattended(now.0);
        self.probers[from] = (steadiness(steady, now.span_since(last).0, attended), now);
        let known = self.knows(from);
        if known {
            self.last_probe = Some(now);
        }
        let mut masters = Masters::NONE;
        masters.set(vrid(), self.master);
        let lease = Span(self.guard().lease_left_ns(now.0));
        let (flags, responder) = (self.guard().flags(now.0, known), self.responder);
        let answer = Answered { sequence, at: now, flags, responder, lease, masters, rank: 0 };
        Some(Frame::Reply { from: me, prober, answer })
    }
}

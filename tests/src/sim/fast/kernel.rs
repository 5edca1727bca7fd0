//! The kernel half of a host: the XDP program's view of probes, the lease, the window and the fence.

use ha_common::fence::{AddressUse, Ban, Guard, PROBED_NS, Proof, RESUMED_NS, steadiness};
use ha_common::judge::Answered;
use ha_common::layout::Contender;
use ha_common::node::{self, Inherited, InterfaceId, LeaseView, Stamp, Write};
use ha_common::probe::{Latest, Masters, Secret};
use ha_common::rank::{CONTENDERS, Standing, take_down};
use ha_common::rate::Window;
use ha_common::time::{Span, Time};
use ha_common::types::{Family, Vrid};

use super::letter::Letter;
use super::switch::PORTS;
use super::world::Frame;

/// The virtual router of the cluster.
pub(super) fn vrid() -> Vrid {
    Vrid::new(25).expect("not zero")
}

/// Of a probe of this format whose tag is right here.
pub(super) fn proof(secret: Option<Secret>, format: u8) -> Proof {
    match secret {
        None => Proof::NoneWanted,
        Some(secret) if secret.key(format).is_some() => Proof::Tag,
        Some(_) => Proof::None,
    }
}

/// A probe, as far as it is looked at here.
#[derive(Clone, Copy, Debug)]
pub(super) struct Probed {
    pub(super) from: usize,
    pub(super) proof: Proof,
    /// Of its sender, if it would take over; 0 if not.
    pub(super) bid: u64,
    pub(super) sequence: u64,
    pub(super) prober: u64,
}

/// What outlives the daemon.
#[derive(Debug)]
pub(super) struct Kernel {
    /// The virtual address is on the interface.
    pub(super) addresses: bool,
    /// The program has been told that it may be.
    pub(super) held: bool,
    /// The program is attached.
    pub(super) program: bool,
    /// The daemon's half of it is reached.
    pub(super) alive: bool,
    /// The program has found that it is not.
    pub(super) orphaned: bool,
    pub(super) lease_until: Time,
    pub(super) restart_until: Time,
    pub(super) master: bool,
    /// Another router has taken over while nobody vouched for this host.
    pub(super) superseded: bool,
    /// Solicitations are the successor's to answer.
    pub(super) suppressed: bool,
    /// The address is here for a takeover to come, and silent.
    pub(super) standby: bool,
    pub(super) responder: u64,
    pub(super) last_probe: Option<Time>,
    /// When a known router last probed after a pause.
    pub(super) resumed: Time,
    /// How steadily each port has probed, when last, and whether that makes it known.
    probers: [(u32, Time, bool); PORTS],
    /// What is remembered of those with the key.
    latest: [Latest; PORTS],
    /// Who would take over.
    contenders: [Contender; CONTENDERS],
    pub(super) replies: [Option<Answered>; PORTS],
    /// The tracked master's advert.
    pub(super) fingerprint: Option<Letter>,
    pub(super) stamp: Time,
    /// When the latest advert came that was no such.
    pub(super) last_other: Time,
    /// Whose adverts were accepted.
    pub(super) known: Vec<u8>,
    /// What an earlier run has left, as the present one found it.
    inherited: Option<Inherited>,
    /// Adverts by the numbers that stand for their fingerprints.
    letters: Vec<Letter>,
    /// Adverts for the daemon, and when they came.
    pub(super) queue: Vec<(Letter, Time)>,
    window: Window,
}

impl Kernel {
    pub(super) const fn new() -> Self {
        Self {
            addresses: false,
            held: false,
            program: false,
            alive: false,
            orphaned: false,
            superseded: false,
            suppressed: false,
            standby: false,
            lease_until: Time(0),
            restart_until: Time(0),
            master: false,
            responder: 0,
            last_probe: None,
            resumed: Time(0),
            probers: [(0, Time(0), false); PORTS],
            latest: [Latest { prober: 0, sequence: 0, doubtful: false }; PORTS],
            contenders: [Contender { bid: 0, last_ns: 0 }; CONTENDERS],
            replies: [None; PORTS],
            fingerprint: None,
            stamp: Time(0),
            last_other: Time(0),
            known: Vec::new(),
            inherited: None,
            letters: Vec::new(),
            queue: Vec::new(),
            window: Window { start_ns: 0, used: 0 },
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
        self.probers[host].2
    }

    pub(super) fn probed(&self, now: Time) -> bool {
        self.last_probe.is_some_and(|at| now.span_since(at).0 < PROBED_NS)
    }

    /// Whether ARP for the virtual address is answered.
    pub(super) fn answers(&self, now: Time) -> bool {
        self.lets_in(AddressUse { address: [0, 1], solicitation: true, answer: false }, now)
    }

    /// Whether packets to the virtual address are taken.
    pub(super) fn takes(&self, now: Time) -> bool {
        self.lets_in(AddressUse { address: [0, 1], solicitation: false, answer: false }, now)
    }

    fn lets_in(&self, wanted: AddressUse, now: Time) -> bool {
        let ban = Ban {
            closed: self.guard().closed(now.0),
            superseded: self.superseded,
            standby: self.standby,
            suppressed: self.suppressed,
            refused: false,
        };
        self.addresses && !(self.program && ban.keeps_out(&wanted))
    }

    /// An advert that the daemon has to judge. Not every one of a flood is kept.
    pub(super) fn hand_up(&mut self, letter: Letter, now: Time) {
        self.last_other = now;
        let tracked = self.fingerprint.is_some_and(|known| known.source == letter.source);
        let Some(window) = self.window.admit(now.0, tracked) else { return };
        self.window = window;
        self.queue.push((letter, now));
    }

    /// A daemon runs the program from now on, and finds what an earlier run has left in the maps.
    pub(super) fn begin(&mut self, incarnation: u64, now: Time) {
        self.inherited = self.program.then(|| Inherited {
            at: now,
            was_master: self.master,
            was_wanted: self.last_probe.is_some(),
            is_unbroken: self.restart_until > now || (!self.orphaned && self.lease_until > now),
            orphaned: self.orphaned,
            lease_until: self.lease_until,
        });
        self.known.clear();
        self.replies = Default::default();
        self.fingerprint = None;
        (self.program, self.responder) = (true, incarnation);
        (self.alive, self.orphaned) = (true, false);
    }

    /// What the daemon writes into the maps.
    pub(super) fn write(&mut self, write: Write) {
        match write {
            Write::Renew { until } => self.lease_until = self.lease_until.max(until),
            Write::RestartWindow { until } => self.restart_until = until,
            Write::Held(.., held) => self.held = held,
            Write::Master(.., master) => self.master = master,
            Write::Suppressed(.., suppressed) => self.suppressed = suppressed,
            Write::Standby(.., standby) => self.standby = standby,
            Write::ClearSuperseded(..) => self.superseded = false,
            Write::Own(_) => self.fingerprint = None,
            // Every host takes part, and its rules are the same all the time.
            Write::Apart(_) | Write::Describe(_) => {}
        }
    }

    /// The maps speak for no virtual router.
    pub(super) const fn forget(&mut self) {
        (self.master, self.held, self.superseded, self.suppressed) = (false, false, false, false);
        self.standby = false;
    }

    /// The number that stands for the fingerprint of an advert.
    pub(super) fn fingerprint_of(&mut self, letter: Letter) -> u64 {
        let at = self.letters.iter().position(|known| *known == letter).unwrap_or_else(|| {
            self.letters.push(letter);
            self.letters.len() - 1
        });
        at as u64 + 1
    }

    /// Adverts with this fingerprint are stamped from now on; the one that was judged came `at` this time.
    pub(super) fn track(&mut self, fingerprint: u64, at: Time) {
        let letter = fingerprint.checked_sub(1).and_then(|n| self.letters.get(n as usize)).copied();
        let same_source = self.fingerprint.zip(letter).is_some_and(|(old, new)| old.source == new.source);
        self.fingerprint = letter;
        self.stamp = if same_source { self.stamp.max(at) } else { at };
    }

    /// A probe comes in; the reply that goes out.
    pub(super) fn reflect(&mut self, me: usize, probe: Probed, now: Time) -> Option<Frame> {
        let Probed { from, proof, bid, sequence, prober } = probe;
        if !self.program {
            return None;
        }
        self.orphaned = !self.alive;
        let (steady, last, _) = self.probers[from];
        let pause = now.span_since(last).0;
        if proof == Proof::Tag {
            self.latest[from] = self.latest[from].followed_by(prober, sequence, pause)?;
        }
        let attended = !self.guard().unattended(now.0);
        let steady = steadiness(steady, pause, attended);
        let known = proof.makes_known(self.latest[from].doubtful, steady);
        self.probers[from] = (steady, now, known);
        let standing = if bid == 0 {
            Standing { rank: 0, place: None }
        } else {
            take_down(&mut self.contenders, bid, known, now.0)
        };
        if known {
            self.last_probe = Some(now);
            if last > Time(0) && now.span_since(last).0 >= RESUMED_NS {
                self.resumed = now;
            }
        }
        let mut masters = Masters::NONE;
        masters.set(vrid(), self.master);
        let lease = Span(self.guard().lease_left_ns(now.0));
        let flags = self.guard().flags(now.0, known) | standing.flag(known);
        let (responder, rank) = (self.responder, standing.rank);
        let answer = Answered { sequence, at: now, flags, responder, lease, masters, rank };
        Some(Frame::Reply { from: me, prober, answer })
    }
}

impl node::Kernel for Kernel {
    fn lease(&self, _on: InterfaceId) -> Option<LeaseView> {
        self.program.then_some(LeaseView {
            until: self.lease_until,
            apart: false,
            any_superseded: self.superseded,
            last_probe: self.last_probe,
        })
    }

    fn is_superseded(&self, _on: InterfaceId, _family: Family, _vrid: Vrid) -> bool {
        self.superseded
    }

    fn is_wanted(&self, _on: InterfaceId, _family: Family, _vrid: Vrid) -> bool {
        // There is one virtual router, and whoever probes would take it.
        self.last_probe.is_some()
    }

    fn stamp(&self, _on: InterfaceId, _family: Family, _vrid: Vrid) -> Option<Stamp> {
        self.program.then_some(Stamp { at: self.stamp, other_at: self.last_other })
    }

    fn inherited(&self, _on: InterfaceId, _family: Family, _vrid: Vrid) -> Option<Inherited> {
        self.inherited
    }

    fn left_at(&self, _on: InterfaceId, _family: Family, _vrid: Vrid) -> Option<Time> {
        None
    }

    fn is_deaf(&mut self, _on: InterfaceId, _urgent: bool) -> bool {
        false
    }

    fn frames_lost(&mut self, _on: InterfaceId) -> u64 {
        0
    }
}

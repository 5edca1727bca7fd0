//! A program on an interface: its maps, and what it decides by [`ha_common::fence`] and [`ha_common::rank`].

use ha_common::fence::{Guard, PROBED_NS, Proof, RESUMED_NS, steadiness};
use ha_common::judge::Answered;
use ha_common::layout::Contender;
use ha_common::node::Inherited;
use ha_common::probe::{Latest, Masters, Secret};
use ha_common::rank::{CONTENDERS, Standing, take_down};
use ha_common::rate::Window;
use ha_common::time::{Span, Time};
use ha_common::types::{Family, Vrid};

use crate::sim::letter::{Description, Letter};

/// Ports that probes may come from.
pub(in crate::sim) const PROBERS: usize = 8;

/// Of a probe of this format whose tag is right here.
pub(in crate::sim) fn proof(secret: Option<Secret>, format: u8) -> Proof {
    match secret {
        None => Proof::NoneWanted,
        Some(secret) if secret.key(format).is_some() => Proof::Tag,
        Some(_) => Proof::None,
    }
}

/// A probe, as far as it is looked at here.
#[derive(Clone, Copy, Debug)]
pub(in crate::sim) struct Probed {
    pub(in crate::sim) from: usize,
    pub(in crate::sim) proof: Proof,
    /// Of its sender, if it would take over; 0 if not.
    pub(in crate::sim) bid: u64,
    pub(in crate::sim) sequence: u64,
    pub(in crate::sim) prober: u64,
}

/// What a program knows of one virtual router.
#[derive(Clone, Debug, Default)]
pub(super) struct Slot {
    /// The address may be on the interface.
    pub(super) held: bool,
    pub(super) master: bool,
    /// Another router has taken over while nobody vouched for this host.
    pub(super) superseded: bool,
    /// Solicitations are the successor's to answer.
    pub(super) suppressed: bool,
    /// The address is here for a takeover to come, and silent.
    pub(super) standby: bool,
    pub(super) described: Option<Description>,
    /// The tracked master's advert.
    pub(super) fingerprint: Option<Letter>,
    pub(super) stamp: Time,
    /// When the latest advert came that was no such.
    pub(super) other_at: Time,
    pub(super) window: Option<Window>,
    /// Whose adverts were accepted.
    pub(super) known: Vec<u8>,
    /// The run before was master, as the present one found it.
    pub(super) was_master: bool,
}

/// What is known of a router that probes.
#[derive(Clone, Copy, Debug)]
struct Prober {
    steady: u32,
    last: Time,
    known: bool,
    latest: Latest,
}

/// A program on an interface.
#[derive(Clone, Debug)]
pub(in crate::sim) struct Program {
    pub(super) apart: bool,
    /// It has found that nobody runs it.
    pub(super) orphaned: bool,
    pub(in crate::sim) lease_until: Time,
    pub(in crate::sim) restart_until: Time,
    responder: u64,
    pub(super) slots: Vec<((Family, Vrid), Slot)>,
    pub(super) last_probe: Option<Time>,
    /// When a known router last probed after a pause.
    pub(in crate::sim) resumed: Time,
    probers: [Prober; PROBERS],
    /// Who would take over.
    contenders: [Contender; CONTENDERS],
    /// What the present run found.
    pub(super) found: Option<Inherited>,
}

impl Program {
    pub(super) const fn new(responder: u64) -> Self {
        let latest = Latest { prober: 0, sequence: 0, doubtful: false };
        Self {
            apart: false,
            orphaned: false,
            lease_until: Time(0),
            restart_until: Time(0),
            responder,
            slots: Vec::new(),
            last_probe: None,
            resumed: Time(0),
            probers: [Prober { steady: 0, last: Time(0), known: false, latest }; PROBERS],
            contenders: [Contender { bid: 0, last_ns: 0 }; CONTENDERS],
            found: None,
        }
    }

    /// What decides, as the program sees it: that nobody runs it any more is learned from the next frame.
    pub(in crate::sim) fn guard(&self) -> Guard {
        Guard {
            orphaned: self.orphaned,
            lease_until_ns: self.lease_until.0,
            restart_until_ns: self.restart_until.0,
            last_probe_ns: self.last_probe.map_or(0, |at| at.0),
        }
    }

    /// What a reply to a router that is known would say now.
    pub(in crate::sim) fn flags(&self, now: Time) -> u8 {
        self.guard().flags(now.0, true)
    }

    /// Whether probes from this port count.
    pub(in crate::sim) fn knows(&self, port: usize) -> bool {
        self.probers[port].known
    }

    pub(in crate::sim) fn probed(&self, now: Time) -> bool {
        self.last_probe.is_some_and(|at| now.span_since(at).0 < PROBED_NS)
    }

    /// It still speaks for the daemon of this incarnation.
    pub(in crate::sim) const fn answers_for(&self, incarnation: u64) -> bool {
        self.responder == incarnation
    }

    pub(super) fn slot(&self, key: (Family, Vrid)) -> Option<&Slot> {
        self.slots.iter().find(|(at, _)| *at == key).map(|(_, slot)| slot)
    }

    pub(super) fn slot_mut(&mut self, key: (Family, Vrid)) -> &mut Slot {
        let at = self.slots.iter().position(|(at, _)| *at == key).unwrap_or_else(|| {
            self.slots.push((key, Slot::default()));
            self.slots.len() - 1
        });
        &mut self.slots[at].1
    }

    /// A daemon runs it from now on, and finds what an earlier run has left in the maps.
    pub(super) fn begin(&mut self, incarnation: u64, now: Time) {
        self.found = Some(Inherited {
            at: now,
            was_master: false,
            was_wanted: self.last_probe.is_some(),
            is_unbroken: self.restart_until > now || (!self.orphaned && self.lease_until > now),
            orphaned: self.orphaned,
            lease_until: self.lease_until,
        });
        for (_, slot) in &mut self.slots {
            (slot.was_master, slot.fingerprint) = (slot.master, None);
            slot.known.clear();
        }
        (self.responder, self.orphaned) = (incarnation, false);
    }

    /// Who is master here, as replies say it.
    fn masters(&self) -> Masters {
        let mut masters = Masters::NONE;
        for ((_, vrid), slot) in &self.slots {
            masters.set(*vrid, slot.master);
        }
        masters
    }

    /// A probe comes in; what is answered.
    pub(super) fn reflect(&mut self, probe: Probed, now: Time) -> Option<Answered> {
        let Probed { from, proof, bid, sequence, prober } = probe;
        let attended = !self.guard().unattended(now.0);
        let known = &mut self.probers[from];
        let last = known.last;
        let pause = now.span_since(last).0;
        if proof == Proof::Tag {
            known.latest = known.latest.followed_by(prober, sequence, pause)?;
        }
        known.steady = steadiness(known.steady, pause, attended);
        known.last = now;
        known.known = proof.makes_known(known.latest.doubtful, known.steady);
        let known = known.known;
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
        let guard = self.guard();
        Some(Answered {
            sequence,
            at: now,
            flags: guard.flags(now.0, known) | standing.flag(known),
            responder: self.responder,
            lease: Span(guard.lease_left_ns(now.0)),
            masters: self.masters(),
            rank: standing.rank,
        })
    }
}

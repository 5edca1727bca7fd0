//! What arrives on the interfaces: each packet is judged, counted and noted; the node hears of adverts that are accepted.
//!
//! The rules are [`Router::judge`]'s.

use std::net::IpAddr;

use ha_common::counter::Counter;
use ha_common::machine::State;
use ha_common::node::{Heard, RouterId};
use ha_common::packet::Packet;
use ha_common::probe;
use ha_common::time::Time;
use ha_common::types::ADVERT_TTL;
use ha_common::validate::{Meta, is_multicast};

use super::Daemon;
use crate::net::clock;
use crate::runtime::foreign::ForeignAdvert;
use crate::runtime::interface::Interface;
use crate::runtime::note::Note;
use crate::runtime::others::Other;
use crate::runtime::receive::Frame;
use crate::runtime::router::{Accepted, Router, interface_id};
use crate::runtime::vips::vips;
use crate::xdp::Slot;

impl Daemon {
    /// Takes notice of what has arrived, before something changes what it means.
    pub(super) fn listen(&mut self) {
        let now = clock::now();
        self.judge_frames(now);
        self.with_kernel(|node, kernel| node.listen(now, kernel));
        self.perform();
    }

    /// Judges everything that is queued.
    pub(super) fn judge_frames(&mut self, now: Time) {
        for at in 0..self.interfaces.len() {
            let frames = self.interfaces.drain(at);
            for frame in &frames {
                self.judge(at, frame, now);
            }
            self.interfaces.done_with(frames);
        }
    }

    fn judge(&mut self, interface: usize, frame: &Frame, now: Time) {
        if frame.pdu.first() == Some(&probe::PROBE) && self.answer_probe(interface, frame) {
            return;
        }
        let Self { routers, interfaces, notes, host, node, .. } = self;
        let on = &mut interfaces[interface];
        let found = frame.router().and_then(|(family, vrid)| {
            node.on(interface_id(interface))
                .find(|router| (router.family(), router.vrid()) == (family, vrid) && !router.is_retired())
        });
        let Some(core) = found else {
            on.receive.count(Counter::UnknownVrid);
            self.notice_unknown(interface, frame);
            return;
        };
        let id = core.id();
        let router = &mut routers[id];
        // It would not be taken.
        if frame.unheard && core.machine().state() != State::Master {
            return;
        }
        let meta = Meta { endpoints: frame.endpoints, ttl: frame.ttl };
        // Of the frames that the kernel would not deliver to a socket, XDP sees this kind too.
        let destination = frame.endpoints.destination();
        let judged = if !is_multicast(destination) && !host.links().hold(destination) {
            Err(Counter::OtherDestination)
        } else {
            // When it arrived counts, not when this loop comes to it: a stall here makes nobody's advert stale.
            let arrived = || clock::realtime_ns().saturating_sub(clock::now().span_since(frame.at).0);
            router.judge(&meta, &frame.pdu, &on.own, frame.authenticated.as_deref(), arrived)
        };
        match judged {
            Ok(accepted) => {
                count_accepted(&accepted, router, on);
                note_accepted(&accepted, router, notes);
                self.hear(interface, id, &accepted, frame);
            }
            Err(reason) => {
                on.receive.count(reason);
                let source = frame.endpoints.source();
                note_rejected(router, reason, frame);
                if router.noted.rejected.replace((source, reason)) != Some((source, reason))
                    && let Some(quiet) = router.noted.rejections.allow(now)
                {
                    notes.push(Note::Rejected { router: id, source, reason, quiet });
                }
            }
        }
    }

    /// Tells the node of an advert that was accepted.
    fn hear(&mut self, interface: usize, router: RouterId, accepted: &Accepted, frame: &Frame) {
        let Accepted { judged, .. } = accepted;
        if judged.advert.priority > 0 {
            self.routers[router].others.heard(Other {
                address: judged.source,
                rejected: None,
                priority: judged.advert.priority,
                interval: Some(judged.advert.interval.span()),
                count: 0,
                last: frame.at,
                every: None,
            });
        }
        if judged.advert.priority > 0
            && let Some(ifindex) = self.interfaces[interface].index
        {
            self.fast.heard((ifindex, judged.source), frame.at);
        }
        self.node.heard(Heard {
            router,
            source: judged.source,
            mac: frame.source_mac,
            priority: judged.advert.priority,
            interval: judged.advert.interval.span(),
            at: frame.at,
            mark: self.routers[router].mark(frame),
            unheard: frame.unheard,
        });
    }

    /// An advert for a VRID that is not configured here. The program hands up no more of them, until they are listened
    /// to again.
    fn notice_unknown(&mut self, interface: usize, frame: &Frame) {
        let Some((family, vrid)) = frame.router() else { return };
        let source = frame.endpoints.source();
        let ours = self.common_address(interface, frame);
        let on = &mut self.interfaces[interface];
        let new = on.unknown.insert((family, vrid));
        if let Some(xdp) = on.xdp() {
            xdp.adverts.configure(Slot::of(family, vrid), None);
        }
        if let Some(address) = ours {
            on.foreign.heard(ForeignAdvert { family, vrid, source, address, count: 0, last: frame.at });
        }
        if new && self.configuration.in_force.global.log_unknown_vrids {
            self.notes.push(Note::UnknownVrid { interface, source, vrid: vrid.get() });
        }
    }

    /// The first address in an advert that a virtual router of ours on this interface has too. What came through a router
    /// or from ourselves is not looked at.
    fn common_address(&self, interface: usize, frame: &Frame) -> Option<IpAddr> {
        let own = &self.interfaces[interface].own;
        if frame.ttl != ADVERT_TTL || own.contains(&frame.endpoints.source()) {
            return None;
        }
        let packet = Packet::new_checked(&frame.pdu, frame.endpoints.family()).ok()?;
        let ours = |address: &IpAddr| {
            let mut routers = self.routers.on(interface);
            routers.any(|router| vips(&router.config).any(|vip| vip.address == *address))
        };
        packet.addresses().find(ours)
    }
}

/// Counts what an accepted advert is, and tells the program of a router that is new to it.
fn count_accepted(accepted: &Accepted, router: &mut Router, on: &mut Interface) {
    let Accepted { judged, unsigned, .. } = accepted;
    on.receive.count(Counter::Accepted);
    if router.know(judged.source)
        && let Some(xdp) = on.xdp()
    {
        router.describe(&xdp.adverts);
    }
    if judged.advert.priority == 0 {
        on.receive.count(Counter::PriorityZero);
    }
    if !judged.addresses_match {
        on.receive.count(Counter::AddressListMismatch);
    }
    if *unsigned {
        on.receive.count(Counter::HmacUnsigned);
        router.unsigned += 1;
    }
    if judged.interval_differs {
        on.receive.count(Counter::IntervalLearned);
    }
}

/// Remembers whose advert was rejected, for `status`. A resignation competes with nobody.
fn note_rejected(router: &mut Router, reason: Counter, frame: &Frame) {
    let priority = frame.pdu.get(2).copied().unwrap_or(0);
    if priority > 0 {
        router.others.heard(Other {
            address: frame.endpoints.source(),
            rejected: Some(reason),
            priority,
            interval: None,
            count: 0,
            last: frame.at,
            every: None,
        });
    }
}

/// Notes what is odd about an accepted advert, once until it changes.
fn note_accepted(accepted: &Accepted, router: &mut Router, notes: &mut Vec<Note>) {
    let Accepted { judged, unsigned, skew } = accepted;
    let (id, source, noted) = (router.id, judged.source, &mut router.noted);
    let unsigned = unsigned.then_some(source);
    if std::mem::replace(&mut noted.unsigned, unsigned) != unsigned && unsigned.is_some() {
        notes.push(Note::Unsigned { router: id, source });
    }
    let skewed = skew.map(|_| source);
    if std::mem::replace(&mut noted.skewed, skewed) != skewed
        && let Some(skew) = *skew
    {
        notes.push(Note::ClockSkew { router: id, source, skew });
    }
    let differs = (!judged.addresses_match).then_some(source);
    if std::mem::replace(&mut noted.addresses_differ, differs) != differs && differs.is_some() {
        notes.push(Note::AddressesDiffer { router: id, source });
    }
    let interval = judged.advert.interval;
    let learned = judged.interval_differs.then(|| (source, interval.get()));
    if std::mem::replace(&mut noted.interval_differs, learned) != learned && learned.is_some() {
        notes.push(Note::IntervalLearned { router: id, source, interval });
    }
}

//! Which gratuitous ARPs and neighbour advertisements go out in a turn, and through which interfaces.
//!
//! When: [`super::bursts`].

use std::net::IpAddr;

use ha_common::arp::{self, Form};
use ha_common::ndp;
use ha_common::time::Time;

use super::daemon::Daemon;
use super::devices;
use super::links::vips;
use super::note::Note;
use super::router::{Router, span};
use crate::config::model::Instance;
use crate::net::announce::Burst;
use crate::net::clock;
use crate::net::monitor::{Link, Links};
use crate::net::vmac::MARK;

impl Daemon {
    /// One round of gratuitous ARP and NA of every router that has one due.
    pub(super) fn announce(&mut self) {
        let now = clock::now();
        let mut bursts = Vec::new();
        let mut due = Vec::new();
        let mut extra = Vec::new();
        for router in &mut self.routers {
            let (arp, na) = (router.arp.due(now), router.na.due(now));
            let elsewhere = extra_due(router, now);
            if router.holding && (arp || na) {
                due.push((&*router, arp, na));
            } else if router.holding && elsewhere {
                extra.push(&*router);
            }
        }
        let links = self.monitor.links();
        for router in extra {
            let wanted = |link: &Link| needs_extra(&router.config, link);
            announcements(router, links, wanted, Some(Form::Request), true, &mut bursts);
        }
        // Each address once before any the second time: of many, the last one is heard of sooner.
        for (router, arp, na) in &due {
            announcements(router, links, |_| true, arp.then_some(Form::Request), *na, &mut bursts);
        }
        for (router, ..) in due.iter().filter(|(_, arp, _)| *arp) {
            announcements(router, links, |_| true, Some(Form::Reply), false, &mut bursts);
        }
        if bursts.is_empty() {
            return;
        }
        for failure in self.announcer.send(bursts.iter().map(|(_, burst)| burst)) {
            if self.announce_failure.replace(failure.errno) != Some(failure.errno) {
                self.notes.push(Note::AnnounceFailure { failure });
            }
        }
    }
}

/// Whether a round of `garp_extra_if` is due now; the next one is an interval later.
fn extra_due(router: &mut Router, now: Time) -> bool {
    let Some(extra) = router.config.garp_extra.filter(|_| router.holding) else {
        router.extra = None;
        return false;
    };
    let next = now.after(span(extra.interval));
    let due = router.extra.is_some_and(|at| at <= now);
    if due || router.extra.is_none() {
        router.extra = Some(next);
    }
    due
}

/// Whether switches on an interface forget the MAC address of an instance's addresses there, because its adverts do
/// not come from it: virtual MAC interfaces besides the one that adverts come from, with `all` all but its own.
fn needs_extra(config: &Instance, link: &Link) -> bool {
    let advertises = link.name == config.interface
        || (devices::advert_mac(config).is_some() && link.name == devices::of_instance(config));
    !advertises && (link.alias == MARK || config.garp_extra.is_some_and(|extra| extra.all))
}

/// Adds one round of a router's announcements to `bursts`, one burst per device.
fn announcements(
    router: &Router,
    links: &Links,
    wanted: impl Fn(&Link) -> bool,
    arp: Option<Form>,
    na: bool,
    bursts: &mut Vec<(u32, Burst)>,
) {
    for vip in vips(&router.config) {
        let device = vip.device.as_deref().unwrap_or(&router.config.interface);
        let Some(link) = links.by_name(device).filter(|link| wanted(link)) else { continue };
        let Some(mac) = link.mac else { continue };
        let at = bursts.iter().position(|(index, _)| *index == link.index).unwrap_or_else(|| {
            bursts.push((link.index, Burst::new(link.index)));
            bursts.len() - 1
        });
        let burst = &mut bursts[at].1;
        match (vip.address, arp) {
            (IpAddr::V4(address), Some(form)) => burst.push(&arp::gratuitous(form, mac, address)),
            (IpAddr::V6(address), _) if na => burst.push(&ndp::unsolicited(mac, address)),
            (IpAddr::V4(_) | IpAddr::V6(_), _) => {}
        }
    }
}

//! Which gratuitous ARPs and neighbour advertisements go out in a turn, and through which interfaces.
//!
//! When: `ha_common::announce`, and [`crate::runtime::pacers`] where they keep a distance.

use std::net::IpAddr;

use ha_common::arp::{self, Form};
use ha_common::machine::State;
use ha_common::ndp;
use ha_common::node::{Node, RouterId};
use ha_common::time::{Span, Time};

use super::Daemon;
use crate::config::model::{Garp, GarpGroup, Instance, Vip};
use crate::net::announce::Burst;
use crate::net::clock;
use crate::net::monitor::{Link, Links};
use crate::net::vmac::MARK;
use crate::runtime::devices;
use crate::runtime::pacers::{Message, MessageKind, Pacers, Shared};
use crate::runtime::router::Router;
use crate::runtime::routers::Routers;
use crate::runtime::vips::vips;

impl Daemon {
    /// One round of gratuitous ARP and NA of every virtual router that has one due. What has a distance to keep waits
    /// for it.
    pub(super) fn announce(&mut self, rounds: &[(RouterId, bool, bool)]) {
        let now = clock::now();
        let mut extra = Vec::new();
        for router in self.routers.iter_mut() {
            let holds = self.node[router.id].presence().is_wanted();
            let elsewhere = extra_due(router, holds, now);
            if elsewhere && !rounds.iter().any(|(id, ..)| *id == router.id) {
                extra.push(router.id);
            }
        }
        let routers = &self.routers;
        let extra: Vec<_> = extra.into_iter().filter_map(|id| routers.get(id)).collect();
        let due = |(id, arp, na): &(RouterId, bool, bool)| Some((routers.get(*id)?, *arp, *na));
        let due: Vec<_> = rounds.iter().filter_map(due).collect();
        let groups = &self.configuration.in_force.garp_groups;
        let pacers = &mut self.announcements.pacers;
        let mut out = Out { links: self.host.links(), groups, pacers, bursts: Vec::new() };
        for router in extra {
            let wanted = |link: &Link| needs_extra(&router.config, link);
            out.announce(router, wanted, Some(Form::Request), true);
        }
        // Each address once before any the second time: of many, the last one is heard of sooner.
        for (router, arp, na) in &due {
            out.announce(router, |_| true, arp.then_some(Form::Request), *na);
        }
        for (router, ..) in due.iter().filter(|(_, arp, _)| *arp) {
            out.announce(router, |_| true, Some(Form::Reply), false);
        }
        out.move_on(routers, &self.node, now);
        let bursts = out.bursts;
        self.announcements.send(&bursts, &mut self.notes);
    }
}

/// Whether a round of `garp_extra_if` is due now; the next one is an interval later.
fn extra_due(router: &mut Router, holds: bool, now: Time) -> bool {
    let Some(extra) = router.config.garp_extra.filter(|_| holds) else {
        router.extra = None;
        return false;
    };
    let next = now.after(Span::from(extra.interval));
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

/// Where announcements go: into bursts that are sent now, one for each device, or into a pacer.
struct Out<'a> {
    links: &'a Links,
    groups: &'a [GarpGroup],
    pacers: &'a mut Pacers,
    bursts: Vec<(u32, Burst)>,
}

impl Out<'_> {
    /// Adds one round of a virtual router's announcements.
    fn announce(&mut self, router: &Router, wanted: impl Fn(&Link) -> bool, arp: Option<Form>, na: bool) {
        for vip in vips(&router.config) {
            let Some(link) = device(router, vip, self.links).filter(|link| wanted(link)) else { continue };
            let kind = match vip.address {
                IpAddr::V4(_) if arp.is_some() => MessageKind::Arp,
                IpAddr::V6(_) if na => MessageKind::Na,
                IpAddr::V4(_) | IpAddr::V6(_) => continue,
            };
            match pace(self.groups, &router.config.garp, self.links, link, kind) {
                // Where each has its time, the forms take turns instead of going out in pairs.
                Some(_) if arp == Some(Form::Reply) => {}
                Some((shared, interval)) => {
                    let garp = &router.config.garp;
                    let most = garp.repeat.max(garp.lower_prio_repeat).max(garp.refresh_repeat);
                    self.pacers.add(shared, interval, message(router, vip), most);
                }
                None => self.push(link, vip.address, arp.unwrap_or(Form::Request)),
            }
        }
    }

    /// Takes what is due now out of the pacers.
    fn move_on(&mut self, routers: &Routers, node: &Node, now: Time) {
        let mut sent = Vec::new();
        for (_, pacer) in self.pacers.due(now) {
            while let Some((message, had)) = pacer.take() {
                // Since it was queued, the virtual router may have left, or lost the address.
                let of = |router: &&Router| {
                    let core = &node[router.id];
                    core.machine().state() == State::Master
                        && !core.is_retired()
                        && router.interface == message.interface
                        && (router.config.family, router.config.vrid) == (message.family, message.vrid)
                };
                let found = routers.iter().find(of).and_then(|router| {
                    let vip = vips(&router.config).find(|vip| vip.address == message.address)?;
                    device(router, vip, self.links)
                });
                let Some(link) = found else {
                    pacer.forget(&message);
                    continue;
                };
                let form = if had % 2 == 0 { Form::Request } else { Form::Reply };
                sent.push((link, message.address, form));
                pacer.sent(now);
                break;
            }
        }
        for (link, address, form) in sent {
            self.push(link, address, form);
        }
    }

    fn push(&mut self, link: &Link, address: IpAddr, form: Form) {
        let Some(mac) = link.mac else { return };
        let at = self.bursts.iter().position(|(index, _)| *index == link.index).unwrap_or_else(|| {
            self.bursts.push((link.index, Burst::new(link.index)));
            self.bursts.len() - 1
        });
        let burst = &mut self.bursts[at].1;
        match address {
            IpAddr::V4(address) => burst.push(&arp::gratuitous(form, mac, address)),
            IpAddr::V6(address) => burst.push(&ndp::unsolicited(mac, address)),
        }
    }
}

/// The device that a virtual address is on.
fn device<'a>(router: &Router, vip: &Vip, links: &'a Links) -> Option<&'a Link> {
    links.by_name(router.config.device_of(vip))
}

fn message(router: &Router, vip: &Vip) -> Message {
    let (family, vrid) = (router.config.family, router.config.vrid);
    Message { interface: router.interface, family, vrid, address: vip.address }
}

/// The distance that messages through a device keep, and what they share it with; `None` where they keep none. The
/// switch sees an interface with a virtual MAC address where the interface below it is.
fn pace(
    groups: &[GarpGroup],
    garp: &Garp,
    links: &Links,
    link: &Link,
    kind: MessageKind,
) -> Option<(Shared, Span)> {
    let own = ["macvlan", "ipvlan"].contains(&link.kind.as_str());
    let base = link.lower.filter(|_| own).and_then(|index| links.get(index)).unwrap_or(link);
    let group = groups
        .iter()
        .position(|group| group.interfaces.contains(&link.name) || group.interfaces.contains(&base.name));
    let (own, global) = match kind {
        MessageKind::Arp => (group.and_then(|at| groups[at].arp_interval), garp.arp_interval),
        MessageKind::Na => (group.and_then(|at| groups[at].na_interval), garp.na_interval),
    };
    let interval = own.unwrap_or(global);
    let shared = match group {
        Some(at) => Shared::Group(at, kind),
        None => Shared::Interface(base.name.clone(), kind),
    };
    (!interval.is_zero()).then(|| (shared, Span::from(interval)))
}

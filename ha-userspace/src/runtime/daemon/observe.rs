//! What `xvrrp status` says of others: who competes for a virtual router, who would take it over, and which of its
//! addresses are where they should not be, or not where they should.
//!
//! Read from what is remembered ([`crate::runtime::others`], [`crate::runtime::foreign`]), from the program's maps and from
//! the table of links. Nothing is decided by it.

use std::net::{IpAddr, Ipv4Addr};

use ha_common::fence::PROBED_NS;
use ha_common::judge::{Precedence, takeover_wait};
use ha_common::layout::{Contender, LeaseSlot};
use ha_common::machine::State;
use ha_common::rank::CONTENDERS;
use ha_common::time::{Span, Time};
use ha_common::types::{Family, Priority};

use super::Daemon;
use super::links::SETTLED;
use crate::config::model::Vip;
use crate::control::protocol::{CompetitorStatus, ForeignStatus, HeardRouter, StandbyRouter, StandbyStatus};
use crate::liveness::judge_settings;
use crate::runtime::others::Other;
use crate::runtime::rejections;
use crate::runtime::router::Router;
use crate::runtime::shown::WallClock;
use crate::runtime::standby::Successor;
use crate::runtime::statuses::{age_ms, family, millis, milliseconds};
use crate::runtime::vips::vips;
use crate::xdp::XdpInterface;

impl Daemon {
    /// Who advertises the same virtual router and does not get along with this one.
    pub(super) fn competing(&self, router: &Router, now: Time) -> Vec<CompetitorStatus> {
        let machine = self.node[router.id].machine();
        let competes = |other: &&Other| match other.rejected {
            Some(_) => true,
            // What came before was this node's master.
            None => machine.state() == State::Master && other.last > machine.since(),
        };
        let status = |other: &Other| CompetitorStatus {
            address: other.address.to_string(),
            priority: other.priority,
            problem: other.rejected.map_or("accepted", |reason| reason.word()).to_owned(),
            explanation: other.rejected.map_or_else(String::new, rejections::explain),
            count: other.count,
            last_ms_ago: age_ms(now, other.last),
            every_ms: other.every.map(milliseconds),
        };
        router.others.iter().filter(competes).map(status).collect()
    }

    /// Other VRIDs that advertise an address of this virtual router.
    pub(super) fn foreign(&self, router: &Router, now: Time) -> Vec<ForeignStatus> {
        let adverts = self.interfaces[router.interface].foreign.iter();
        let ours = adverts.filter(|advert| vips(&router.config).any(|vip| vip.address == advert.address));
        ours.map(|advert| ForeignStatus {
            vrid: advert.vrid.get(),
            family: family(advert.family).to_owned(),
            source: advert.source.to_string(),
            address: advert.address.to_string(),
            count: advert.count,
            last_ms_ago: age_ms(now, advert.last),
        })
        .collect()
    }

    /// Virtual addresses that are not where the role wants them: missing on a master, held by any other.
    pub(super) fn misplaced(&self, router: &Router, now: Time) -> (Vec<String>, Vec<String>) {
        let node = &self.node[router.id];
        let (mut missing, mut held) = (Vec::new(), Vec::new());
        // The kernel tells of addresses a little after they were added or removed.
        let changed = router.installed_at.max(node.machine().since());
        if changed.after(SETTLED) > now {
            return (missing, held);
        }
        for vip in vips(&router.config) {
            let there = self.is_there(router, vip);
            let text = || format!("{}/{} on {}", vip.address, vip.prefix, router.config.device_of(vip));
            match node.machine().state() {
                // What is not tracked may come and go with its interface.
                State::Master if !there && !vip.no_track => missing.push(text()),
                // Behind the fence it is where it should be.
                State::Backup if node.presence().is_behind() => {}
                State::Backup | State::Fault if there && !self.is_shared(router, vip) => held.push(text()),
                _ => {}
            }
        }
        (missing, held)
    }

    fn is_there(&self, router: &Router, vip: &Vip) -> bool {
        let link = self.host.links().by_name(router.config.device_of(vip));
        link.is_some_and(|link| link.holds(vip.address))
    }

    /// Whether another virtual router may have put it there, or the file has it as a static address.
    fn is_shared(&self, router: &Router, vip: &Vip) -> bool {
        let others = self.routers.iter().filter(|other| other.id != router.id);
        let mut others = others.flat_map(|other| vips(&other.config));
        let mut fixed = self.configuration.in_force.static_addresses.iter();
        others.any(|other| other.address == vip.address) || fixed.any(|fixed| fixed.address == vip.address)
    }

    /// Who would take over from a master.
    pub(super) fn standby(&self, router: &Router, now: Time, wall: &WallClock) -> Option<StandbyStatus> {
        let machine = self.node[router.id].machine();
        if machine.state() != State::Master {
            return None;
        }
        let (state, gone) = match self.successor(router, now) {
            Successor::Ready(_) => ("ready", None),
            Successor::Nobody(since) => ("none", Some(since)),
            Successor::Unknown => ("unknown", None),
        };
        let xdp = self.interfaces[router.interface].xdp().filter(|_| state == "ready");
        let routers = xdp.map(|xdp| standby_routers(router, xdp, now)).unwrap_or_default();
        Some(StandbyStatus {
            state: state.to_owned(),
            routers,
            since_ms: gone.map(|at| millis(now.span_since(at))),
            since: gone.map(|at| wall.of(at)),
            heard: heard(router, machine.priority(), now),
        })
    }
}

/// Within what time this node would take over from a master that answers its probes.
pub(super) fn fast_takeover_ms(router: &Router, priority: Priority) -> f64 {
    let settings = judge_settings(&router.config.fast);
    milliseconds(settings.window.ceiling.plus(takeover_wait(priority, &settings, Precedence::default())))
}

/// The routers that have probed within the last second and would take this virtual router over, in their order.
fn standby_routers(router: &Router, xdp: &XdpInterface, now: Time) -> Vec<StandbyRouter> {
    let of = router.config.family;
    let mut fresh: Vec<_> = contenders(&xdp.lease.snapshot(), of)
        .into_iter()
        .filter(|contender| contender.bid != 0 && now.0.saturating_sub(contender.last_ns) < PROBED_NS)
        .collect();
    fresh.sort_by_key(|contender| std::cmp::Reverse(contender.bid));
    let settings = judge_settings(&router.config.fast);
    let order = |rank: usize| Precedence {
        rank: u8::try_from(rank).unwrap_or(u8::MAX),
        ranked: true,
        patience: Span::ZERO,
    };
    let status = |(rank, contender): (usize, Contender)| {
        let priority = u8::try_from(contender.bid >> 32).unwrap_or(u8::MAX);
        let wait = Priority::new(priority).map_or(Span::ZERO, |at| takeover_wait(at, &settings, order(rank)));
        StandbyRouter {
            address: address_of(contender, of, xdp),
            priority,
            probed_ms_ago: age_ms(now, Time(contender.last_ns)),
            takes_over_ms: milliseconds(settings.window.ceiling.plus(wait)),
        }
    };
    fresh.into_iter().enumerate().map(status).collect()
}

const fn contenders(slot: &LeaseSlot, family: Family) -> [Contender; CONTENDERS] {
    match family {
        Family::V4 => slot.contenders_v4,
        Family::V6 => slot.contenders_v6,
    }
}

/// A bid has the last four bytes of the address, which is all of one of IPv4.
fn address_of(contender: Contender, family: Family, xdp: &XdpInterface) -> String {
    let [_, _, _, _, end @ ..] = contender.bid.to_be_bytes();
    if family == Family::V4 {
        return Ipv4Addr::from(end).to_string();
    }
    let ends = |address: &IpAddr| matches!(address, IpAddr::V6(address) if address.octets().ends_with(&end));
    let probers = xdp.probers.read().unwrap_or_default();
    let found = probers.into_iter().map(|prober| prober.address).find(ends);
    found.map_or_else(|| "?".to_owned(), |address| address.to_string())
}

/// Routers that were master with a lower priority. When they last advertised is all that is known of them.
fn heard(router: &Router, ours: Priority, now: Time) -> Vec<HeardRouter> {
    let below = |other: &&Other| other.rejected.is_none() && other.priority < ours.get();
    let status = |other: &Other| {
        let interval = other.interval.unwrap_or_else(|| router.config.interval.span());
        let skew = Span(interval.0 / 256 * (256 - u64::from(other.priority)));
        HeardRouter {
            address: other.address.to_string(),
            priority: other.priority,
            last_ms_ago: age_ms(now, other.last),
            takes_over_ms: milliseconds(interval.times(3).plus(skew)),
        }
    };
    router.others.iter().filter(below).map(status).collect()
}

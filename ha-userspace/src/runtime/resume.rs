//! Restart without failover: the role of an earlier run goes on where nobody can have taken over meanwhile.
//!
//! The earlier run left its program attached, its maps pinned and the addresses on the interface: either on purpose
//! (`xvrrp restart`, `systemctl restart`), then a window is open in which peers wait; or because it crashed. After a
//! crash fast peers take over at once, and the maps say that somebody probed. Without fast peers the role goes on if
//! this run starts sooner than the RFC's timers of any peer can have run out.
//!
//! Where there was no program, a planned restart leaves its word in a file ([`super::handover`]), and the role goes on
//! within the RFC's timers. Nobody listened meanwhile, so the addresses are announced.

use std::path::Path;

use ha_common::machine::{Machine, State};
use ha_common::time::{Span, Time};
use ha_common::types::{Family, Vrid};

use super::daemon::Daemon;
use super::handover::{Handover, Role};
use super::interface::Interface;
use super::router::{Outgoing, Router};
use crate::net::clock;
use crate::net::place::Place;
use crate::xdp::Inherited;

/// How long peers are asked to wait for a planned restart, at least.
const SHORTEST_WINDOW: Span = Span::from_secs(3);
/// The same, at most.
pub(super) const LONGEST_WINDOW: Span = Span::from_secs(30);

/// How long peers are asked to wait for a restart, where the last start took so long.
const fn restart_window(start: Span) -> Span {
    let window = start.times(3);
    if window.0 < SHORTEST_WINDOW.0 {
        SHORTEST_WINDOW
    } else if window.0 > LONGEST_WINDOW.0 {
        LONGEST_WINDOW
    } else {
        window
    }
}

impl Daemon {
    /// Puts a router that was master in an earlier run straight into that state again. Its addresses are in place,
    /// so that nothing is added and nothing announced; the first thing that it does is to advertise.
    pub(super) fn resume(&mut self, n: usize) {
        let now = clock::now();
        let Self { routers, interfaces, notes, fast, handover, .. } = self;
        let router = &mut routers[n];
        let interface = &interfaces[router.interface];
        let Some(source) = router.source else { return };
        let (family, vrid) = (router.config.family, router.config.vrid);
        let inherited = interface.xdp().and_then(|xdp| Some((xdp, xdp.inherited()?)));
        let left = handover.as_ref().filter(|left| left.role(&interface.name, family, vrid).is_some());
        // The program was there all the time, and knows more than the file.
        let goes_on = match inherited {
            Some((xdp, inherited)) => {
                inherited.was_master(family, vrid)
                    && in_time(router, inherited)
                    // Somebody has taken over, whatever the clock says. The fence stays closed until the addresses are
                    // gone.
                    && !xdp.lease.is_superseded(family, vrid)
            }
            None => left.is_some_and(|left| now < left.left_at().after(patience(router))),
        };
        let fresh = router.machine.state() == State::Init && !router.machine.stopped();
        if !fresh || !goes_on {
            return;
        }
        router.machine = Machine::resume_master(router.params(), router.effective.priority, source, now);
        router.resumed = true;
        (router.holding, router.installed) = (true, true);
        fast.stale = true;
        let unheard = match inherited {
            // What is in the ring is judged by the first turn; but not everything that came found room there.
            Some((xdp, inherited)) => {
                let silent = left.map_or_else(|| last_vouched(router, inherited), Handover::left_at);
                xdp.adverts.last_seen(router.slot()).other_at > silent
            }
            None => true,
        };
        if unheard {
            router.announce_again(now);
        }
        if let Some(xdp) = interface.xdp()
            && !xdp.lease.is_apart()
        {
            xdp.lease.renew(now.after(Span::from(router.config.fast.lease)));
        }
        super::fence::show(router, interface);
        notes.push(super::note::Note::Resumed { router: n });
    }

    /// What the earlier run left has been taken over or removed: program and replies speak for this run alone from
    /// now on.
    pub(super) fn end_restart_windows(&mut self) {
        for router in &mut self.routers {
            router.leftover = false;
        }
        // The lease was renewed when the role was resumed, which may be long ago on a slow processor. From now on it is
        // vouched for.
        for at in 0..self.interfaces.len() {
            if self.routers.iter().any(|router| super::fence::holds(router, at)) {
                self.renew_lease(at);
            }
        }
        self.settle_fast(None);
        for (at, interface) in self.interfaces.iter().enumerate() {
            let Some(xdp) = interface.xdp() else { continue };
            for family in [Family::V4, Family::V6] {
                for vrid in (1..=u8::MAX).filter_map(Vrid::new) {
                    let ours = self.routers.iter().any(|router| {
                        router.interface == at
                            && (router.config.family, router.config.vrid) == (family, vrid)
                            && router.machine.state() == State::Master
                    });
                    if !ours {
                        xdp.lease.set_master(family, vrid, false);
                        xdp.lease.set_held(family, vrid, false);
                        xdp.lease.clear_superseded(family, vrid);
                        if xdp.lease.is_muted(family, vrid) {
                            xdp.lease.set_muted(family, vrid, false);
                        }
                    }
                }
            }
            xdp.lease.open_restart_window(Time(0));
        }
    }

    /// Opens the window in which this run's role waits for the next run, and leaves everything in place for it. The last
    /// thing is an advert, with which the peers' patience begins anew.
    pub(super) fn leave_for_restart(mut self, run_dir: &Path) {
        // Without XDP, those who probe learn here that there will be no answers for a while.
        self.answer_probes();
        let until = clock::now().after(restart_window(self.start_took));
        let Self { runner, watchers, notifier, mut routers, mut interfaces, fast, .. } = self;
        drop(fast);
        // Those without fast failover too: the next run looks here for its role, and whether another router has taken it.
        for router in routers.iter().filter(|router| router.machine.state() == State::Master) {
            if let (Some(xdp), Some(source)) = (interfaces[router.interface].xdp(), router.source) {
                xdp.adverts.own(router.slot(), source);
                xdp.lease.set_held(router.config.family, router.config.vrid, true);
                xdp.lease.set_master(router.config.family, router.config.vrid, true);
            }
        }
        for interface in &interfaces {
            interface.open_restart_window(until);
        }
        watchers.stop();
        runner.stop();
        notifier.stop();
        let roles = say_goodbye(&mut routers, &mut interfaces);
        if let Err(error) = Handover::new(Place::here(), roles).write(run_dir) {
            tracing::warn!(
                "{}: {error}; the next run cannot know the roles of interfaces without XDP, and starts as backup there",
                run_dir.display()
            );
        }
        for interface in interfaces {
            interface.leave();
        }
    }
}

/// Every master advertises once more. Returns those whose advert went out.
fn say_goodbye(routers: &mut [Router], interfaces: &mut [Interface]) -> Vec<Role> {
    let mut roles = Vec::new();
    for (n, router) in routers.iter_mut().enumerate() {
        if router.machine.state() != State::Master {
            continue;
        }
        let on = &mut interfaces[router.interface];
        let (mac, priority) = (router.virtual_mac, router.machine.priority().get());
        router.adverts(priority, |advert| match advert {
            Outgoing::Pdu { endpoints, ttl, pdu } => on.queue(n, mac, endpoints, ttl, pdu),
            Outgoing::Packet { destination, packet } => on.queue_packet(n, destination, packet),
        });
        roles.push((n, Role::new(&on.name, router.config.family, router.config.vrid, priority)));
    }
    for interface in interfaces {
        for failure in interface.flush() {
            roles.retain(|(n, _)| *n != failure.tag);
        }
    }
    roles.into_iter().map(|(_, role)| role).collect()
}

/// How long after the latest advert no peer can have taken over: none is patient for less than three intervals, or for as
/// many as this router itself.
pub(super) fn patience(router: &Router) -> Span {
    let params = router.params();
    params.interval.times(u64::from(params.down_timer_adverts.clamp(1, 3)))
}

/// When the earlier run was last sure to be alive.
fn last_vouched(router: &Router, inherited: &Inherited) -> Time {
    Time(inherited.lease.lease_until_ns.saturating_sub(Span::from(router.config.fast.lease).0))
}

/// Whether nobody can have taken over since the earlier run last advertised.
fn in_time(router: &Router, inherited: &Inherited) -> bool {
    if inherited.is_unbroken() {
        return true;
    }
    // Somebody who would take it over probed a program that nobody ran, and was told so.
    if inherited.lease.orphaned != 0 && inherited.was_wanted(router.config.family, router.config.vrid) {
        return false;
    }
    // The lease was renewed at most its length before the end, and no peer is patient for less than three intervals.
    // One whose patience ended since the last advert, up to an interval before that, has said so: superseded.
    inherited.at < last_vouched(router, inherited).after(router.params().interval.times(3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_follows_the_last_start() {
        let window = |ms| restart_window(Span::from_millis(ms));
        assert_eq!([window(0), window(60), window(1_000)], [SHORTEST_WINDOW; 3]);
        assert_eq!(window(2_900), Span::from_millis(8_700));
        assert_eq!(window(60_000), LONGEST_WINDOW);
        assert_eq!(restart_window(Span(u64::MAX)), LONGEST_WINDOW);
    }
}

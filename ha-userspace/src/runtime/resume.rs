//! Restart without failover: the role of an earlier run goes on where nobody can have taken over meanwhile.
//!
//! The earlier run left its program attached, its maps pinned and the addresses on the interface: either on purpose
//! (`xvrrp restart`, `systemctl restart`), then a window is open in which peers wait; or because it crashed. After a
//! crash fast peers take over at once, and the maps say that somebody probed. Without fast peers the role goes on if
//! this run starts sooner than the RFC's timers of any peer can have run out.

use ha_common::machine::{Machine, State};
use ha_common::time::{Span, Time};
use ha_common::types::{Family, Vrid};

use super::daemon::Daemon;
use super::router::{Router, span};
use crate::net::clock;
use crate::xdp::Inherited;

/// How long peers are asked to wait for a planned restart.
pub(super) const RESTART_WINDOW: Span = Span::from_secs(3);

impl Daemon {
    /// Puts a router that was master in an earlier run straight into that state again. Its addresses are in place,
    /// so that nothing is added and nothing announced; the first thing that it does is to advertise.
    pub(super) fn resume(&mut self, n: usize) {
        let now = clock::now();
        let Self { routers, interfaces, notes, fast, .. } = self;
        let router = &mut routers[n];
        let interface = &interfaces[router.interface];
        let (Some(xdp), Some(source)) = (interface.xdp(), router.source) else { return };
        let Some(inherited) = xdp.inherited() else { return };
        let fresh = router.machine.state() == State::Init && !router.machine.stopped();
        if !fresh
            || !inherited.was_master(router.config.family, router.config.vrid)
            || !in_time(router, inherited)
            // Somebody has taken over, whatever the clock says. The fence stays closed until the addresses are gone.
            || xdp.lease.is_superseded(router.config.family, router.config.vrid)
        {
            return;
        }
        router.machine = Machine::resume_master(router.params(), router.effective.priority, source, now);
        router.resumed = true;
        (router.holding, router.installed) = (true, true);
        fast.stale = true;
        if router.config.fast.enabled {
            xdp.lease.renew(now.after(span(router.config.fast.lease)));
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

    /// Opens the window in which this run's role waits for the next run, and leaves everything in place for it.
    pub(super) fn leave_for_restart(self) {
        let until = clock::now().after(RESTART_WINDOW);
        let Self { runner, watchers, routers, interfaces, fast, .. } = self;
        drop(fast);
        // Those without fast failover too: the next run looks here for its role.
        for router in routers.iter().filter(|router| router.machine.state() == State::Master) {
            if let Some(xdp) = interfaces[router.interface].xdp() {
                xdp.lease.set_master(router.config.family, router.config.vrid, true);
            }
        }
        for interface in interfaces {
            interface.leave(until);
        }
        watchers.stop();
        runner.stop();
    }
}

/// Whether nobody can have taken over since the earlier run last advertised.
fn in_time(router: &Router, inherited: &Inherited) -> bool {
    if inherited.is_unbroken() {
        return true;
    }
    // Somebody probed a program that nobody ran, and was told so.
    if inherited.lease.orphaned != 0 {
        return false;
    }
    // The lease was renewed at most its length before the end, and no peer is patient for less than three intervals.
    // One whose patience ended since the last advert, up to an interval before that, has said so: superseded.
    let end = Time(inherited.lease.lease_until_ns.saturating_sub(span(router.config.fast.lease).0));
    inherited.at < end.after(router.params().interval.times(3))
}

//! Restart without failover: the role of an earlier run goes on where nobody can have taken over meanwhile.
//!
//! The earlier run left its program attached, its maps pinned and the addresses on the interface: either on purpose, then
//! a window is open in which peers wait; or because it crashed. After a crash fast peers take over at once, and the maps
//! say that somebody probed. Without fast peers the role goes on if this run starts sooner than the RFC's timers of any
//! peer can have run out.
//!
//! Where there was no program, a planned restart leaves its word in a file ([`Kernel::left_at`]), and the role goes on
//! within the RFC's timers. Nobody listened meanwhile, so the addresses are announced.

use alloc::vec::Vec;

use super::io::{Effect, Event, Inherited, Kernel, Write};
use super::router::{Presence, Router};
use super::{Node, fence};
use crate::machine::{Machine, Params, State};
use crate::time::{Span, Time};
use crate::types::{Family, Vrid};

/// How long peers are asked to wait for a planned restart, at least.
const SHORTEST_WINDOW: Span = Span::from_secs(3);
/// The same, at most.
pub const LONGEST_WINDOW: Span = Span::from_secs(30);

/// How long peers are asked to wait for a restart, where the last start took so long.
#[must_use]
pub const fn restart_window(start: Span) -> Span {
    let window = start.times(3);
    if window.0 < SHORTEST_WINDOW.0 {
        SHORTEST_WINDOW
    } else if window.0 > LONGEST_WINDOW.0 {
        LONGEST_WINDOW
    } else {
        window
    }
}

/// How long after the latest advert no peer can have taken over: none is patient for less than three intervals, or for as
/// many as this router itself.
#[must_use]
pub fn patience(params: &Params) -> Span {
    params.interval.times(u64::from(params.down_timer_adverts.clamp(1, 3)))
}

impl Node {
    /// Puts a router that was master in an earlier run straight into that state again. Its addresses are in place,
    /// so that nothing is added and nothing announced; the first thing that it does is to advertise.
    pub(super) fn resume<K: Kernel + ?Sized>(&mut self, at: usize, now: Time, kernel: &K) {
        let router = &mut self.routers[at];
        let (on, family, vrid) = (router.interface(), router.family(), router.vrid());
        // One that a reload has added has nothing to go on with, whatever the run before was.
        let fresh = router.presence == Presence::Leftover
            && router.machine.state() == State::Init
            && !router.machine.stopped();
        let Some(source) = router.source.filter(|_| fresh) else { return };
        let (inherited, left) = (kernel.inherited(on, family, vrid), kernel.left_at(on, family, vrid));
        // The program was there all the time, and knows more than the file. Where somebody has taken over, whatever the
        // clock says, the fence stays closed until the addresses are gone.
        let goes_on = match &inherited {
            Some(inherited) => {
                inherited.was_master && in_time(router, inherited) && !kernel.is_superseded(on, family, vrid)
            }
            None => left.is_some_and(|left| now < left.after(patience(&router.settings.params))),
        };
        if !goes_on {
            return;
        }
        router.machine = Machine::resume_master(router.params(), router.machine.priority(), source, now);
        router.resumed = true;
        router.presence = Presence::Present;
        // What is in the ring is judged by the first turn; but not everything that came found room there.
        let unheard = inherited.is_none_or(|inherited| {
            let silent = left.unwrap_or_else(|| last_renewed(router, &inherited));
            kernel.stamp(on, family, vrid).is_some_and(|stamp| stamp.other_at > silent)
        });
        if unheard {
            router.announce_again(now);
        }
        let apart = self.is_apart(on);
        let router = &mut self.routers[at];
        if !apart {
            let until = now.after(router.settings.lease);
            self.effects.write(on, Write::Renew { until });
        }
        fence::show(router, apart, &mut self.effects);
        self.effects.event(Event::Resumed(router.id));
        self.peers_changed = true;
    }

    /// Whether what an earlier run has left may still be taken over.
    #[must_use]
    pub const fn is_resuming(&self) -> bool {
        self.resuming
    }

    /// What the earlier run left has been taken over or removed. The leases of roles that were resumed, which may be long
    /// ago on a slow processor, are renewed: from now on they are vouched for. [`Node::close_restart_windows`] follows.
    pub fn end_start(&mut self, now: Time) {
        self.resuming = false;
        for router in &mut self.routers {
            if router.presence == Presence::Leftover {
                router.presence = Presence::Absent;
                router.place();
            }
        }
        for n in 0..self.interfaces.len() {
            let on = self.interfaces[n].id;
            if self.needs_lease(on) {
                self.renew(on, now);
            }
        }
    }

    /// Program and replies speak for this run alone from now on.
    pub fn close_restart_windows(&mut self) {
        for n in 0..self.interfaces.len() {
            let on = self.interfaces[n].id;
            let ours = |router: &&Router| {
                let speaks = router.machine.state() == State::Master || router.presence.is_behind();
                router.interface() == on && speaks
            };
            let kept: Vec<(Family, Vrid)> =
                self.routers.iter().filter(ours).map(|router| (router.family(), router.vrid())).collect();
            self.effects.now(Effect::ForgetOthers(on, kept));
            self.effects.write(on, Write::RestartWindow { until: Time(0) });
        }
    }

    /// Leaves every role for the next run, within a window that follows from how long this run's `start` took.
    /// [`Node::say_goodbye`] follows, as the last thing.
    pub fn leave(&mut self, start: Span, now: Time) {
        let until = now.after(restart_window(start));
        let master = |router: &&Router| router.machine.state() == State::Master;
        // Those without fast failover too: the next run looks here for its role, and whether another router has taken it.
        for router in self.routers.iter().filter(master).filter(|router| router.source.is_some()) {
            let (on, family, vrid) = (router.interface(), router.family(), router.vrid());
            self.effects.write(on, Write::Own(router.id));
            self.effects.write(on, Write::Held(family, vrid, true));
            self.effects.write(on, Write::Master(family, vrid, true));
        }
        for interface in &self.interfaces {
            self.effects.write(interface.id, Write::RestartWindow { until });
        }
    }

    /// Every master advertises once more: with that the peers' patience begins anew.
    pub fn say_goodbye(&mut self) {
        for router in self.routers.iter().filter(|router| router.machine.state() == State::Master) {
            self.effects.advert(router.id, router.machine.priority().get());
        }
        self.effects.release_adverts();
    }
}

/// When the earlier run was last sure to be alive.
fn last_renewed(router: &Router, inherited: &Inherited) -> Time {
    Time(inherited.lease_until.0.saturating_sub(router.settings.lease.0))
}

/// Whether nobody can have taken over since the earlier run last advertised.
fn in_time(router: &Router, inherited: &Inherited) -> bool {
    if inherited.is_unbroken {
        return true;
    }
    // Somebody who would take it over probed a program that nobody ran, and was told so.
    if inherited.orphaned && inherited.was_wanted {
        return false;
    }
    // The lease was renewed at most its length before the end, and no peer is patient for less than three intervals.
    // One whose patience ended since the last advert, up to an interval before that, has said so: superseded.
    inherited.at < last_renewed(router, inherited).after(router.settings.params.interval.times(3))
}

//! What the XDP program knows of this node's virtual routers, and what a lease that ran out means.
//!
//! docs/liveness.md has the rules, and the program applies them, also when the daemon is frozen or dead. Here the maps
//! follow the machines: what opens a fence is written after its reason has come true, and what closes one before.

use alloc::vec::Vec;

use super::effects::Effects;
use super::io::{Event, InterfaceId, Kernel, RouterId, Write};
use super::router::{Presence, Router};
use super::{Interface, Node};
use crate::fence::PROBED_NS;
use crate::machine::{Input, State};
use crate::probe::Masters;
use crate::time::{Span, Time};
use crate::types::Family;

/// Who probed within this time is there to take over.
const PROBED: Span = Span(PROBED_NS);

impl Node {
    /// Before anything else in a turn: a lease that has run out while somebody probed means that somebody else has taken
    /// over by now. So does an advert of another router that came while nobody vouched for this node, even if the lease
    /// has been renewed since: the program has closed the fence, and opens it when the addresses are gone.
    pub(super) fn guard_leases<K: Kernel + ?Sized>(&mut self, now: Time, kernel: &K) {
        for n in 0..self.interfaces.len() {
            let on = self.interfaces[n].id;
            let Some(lease) = kernel.lease(on) else { continue };
            let (ran_out, superseded) = (now >= lease.until, lease.any_superseded);
            let holds = |router: &Router| router.holds_on(on);
            if lease.apart || !(ran_out || superseded) || !self.routers.iter().any(holds) {
                continue;
            }
            let probed = ran_out && lease.last_probe.is_some_and(|probe| probe.after(PROBED) > lease.until);
            let concerned = |router: &Router| {
                let (family, vrid) = (router.family(), router.vrid());
                holds(router)
                    && (probed && kernel.is_wanted(on, family, vrid)
                        || superseded && kernel.is_superseded(on, family, vrid))
            };
            let lost: Vec<_> = (0..self.routers.len()).filter(|&at| concerned(&self.routers[at])).collect();
            if ran_out {
                self.renewals.push(on);
            }
            if lost.is_empty() {
                continue;
            }
            let late = now.span_since(lease.until);
            self.effects.event(Event::LeaseRanOut { on, late, superseded });
            for at in lost {
                self.feed(at, Input::StepDown, now, None);
            }
        }
    }

    /// Vouches for this node on an interface.
    pub(super) fn renew(&mut self, on: InterfaceId, now: Time) {
        let until = now.after(self.lease_length(on));
        self.effects.write(on, Write::Renew { until });
    }

    /// How long a lease of an interface lasts.
    #[must_use]
    pub fn lease_length(&self, on: InterfaceId) -> Span {
        let mut here = self.routers.iter().filter(|router| router.interface() == on);
        here.next().map_or(Span::from_millis(100), |router| router.settings.lease)
    }

    /// Whether some router answers for addresses that a lease of an interface must vouch for.
    #[must_use]
    pub fn needs_lease(&self, on: InterfaceId) -> bool {
        self.routers.iter().any(|router| router.holds_on(on))
    }

    /// Whether any virtual router of an interface has fast failover is told to whoever probes: the silence of one that had
    /// it before would be judged. Replies go on saying for what this node is master; a lease comes before what it vouches
    /// for.
    pub fn take_part<K: Kernel + ?Sized>(&mut self, now: Time, kernel: &K) {
        for n in 0..self.interfaces.len() {
            let Interface { id: on, apart, .. } = self.interfaces[n];
            let Some(lease) = kernel.lease(on) else { continue };
            if lease.apart == apart {
                continue;
            }
            if !apart {
                self.renew(on, now);
            }
            self.effects.write(on, Write::Apart(apart));
            for id in self.ids() {
                if self.router(id).is_some_and(|router| router.interface() == on) {
                    self.show(id);
                }
            }
        }
    }

    /// Those that a reload has taken out are no reason to change one's word.
    pub(super) fn count_apart(&mut self, on: InterfaceId) {
        let here = |router: &&Router| router.interface() == on && !router.retired;
        let mut routers = self.routers.iter().filter(here).peekable();
        let apart = routers.peek().is_some() && !routers.any(|router| router.settings.fast);
        if let Some(interface) = self.interface_mut(on) {
            interface.apart = apart;
        }
    }

    /// Brings what the program knows of a router up to date.
    pub fn show(&mut self, id: RouterId) {
        let Some(at) = self.position(id) else { return };
        let router = &self.routers[at];
        let place = |router: &Router| (router.interface(), router.family(), router.vrid());
        // While one router takes the place of another, as when its version changes, the one with addresses counts.
        let other = self
            .routers
            .iter()
            .any(|that| that.id != id && place(that) == place(router) && that.presence.may_be_there());
        if router.presence.may_be_there() || !other {
            let apart = self.is_apart(router.interface());
            show(&mut self.routers[at], apart, &mut self.effects);
        }
    }

    /// A program is attached to an interface: it hears of all virtual routers there.
    pub fn attached(&mut self, on: InterfaceId, now: Time) {
        let apart = self.is_apart(on);
        if let Some(interface) = self.interface_mut(on) {
            interface.lost = Some(0);
        }
        for router in self.routers.iter_mut().filter(|router| router.interface() == on) {
            router.lost = 0;
            enter(router, apart, &mut self.effects, now);
        }
    }

    /// Whether none of the virtual routers of an interface takes part in fast failover.
    #[must_use]
    pub fn is_apart(&self, on: InterfaceId) -> bool {
        self.interface(on).is_some_and(|interface| interface.apart)
    }

    /// For which virtual routers of a family this node is master.
    #[must_use]
    pub fn masters(&self, on: InterfaceId, family: Family) -> Masters {
        let mut masters = Masters::NONE;
        for router in
            self.routers.iter().filter(|router| (router.interface(), router.family()) == (on, family))
        {
            if router.machine.state() == State::Master {
                masters.set(router.vrid(), true);
            }
        }
        masters
    }
}

/// A router has entered the state that it is in, or the program has been attached anew.
pub(super) fn enter(router: &mut Router, apart: bool, effects: &mut Effects, now: Time) {
    // The lease comes first: nobody may see a master without one, and an advert that comes from now on is judged by the
    // machine. Then its fence opens, before there is anything to answer for.
    if router.machine.state() == State::Master && !apart {
        let until = now.after(router.settings.lease);
        effects.write(router.interface(), Write::Renew { until });
        effects.write(router.interface(), Write::ClearSuperseded(router.family(), router.vrid()));
    }
    show(router, apart, effects);
}

/// Tells the program whether a router's addresses may be here, behind the fence or not, whose job it is to answer
/// solicitations for them, and whether it is master.
pub(super) fn show(router: &mut Router, apart: bool, effects: &mut Effects) {
    let (on, family, vrid) = (router.interface(), router.family(), router.vrid());
    let master = router.machine.state() == State::Master;
    if master && router.source.is_some() {
        effects.write(on, Write::Own(router.id));
        effects.write(on, Write::Describe(router.id));
    }
    // Nobody can supersede a router whose addresses are silent anyway.
    let behind = router.presence.is_behind();
    if behind {
        router.closed = true;
        effects.write(on, Write::Standby(family, vrid, true));
    }
    // Of several on one interface, some with fast failover, all are vouched for and fenced.
    if !apart && !behind && router.presence.may_be_there() {
        effects.write(on, Write::Held(family, vrid, true));
        // Before a reply says that this node has resigned: its successor answers from then on.
        effects.write(on, Write::Suppressed(family, vrid, !router.machine.answers()));
        effects.write(on, Write::Master(family, vrid, master));
    } else {
        effects.write(on, Write::Master(family, vrid, master));
        effects.write(on, Write::Held(family, vrid, false));
        effects.write(on, Write::ClearSuperseded(family, vrid));
        effects.write(on, Write::Suppressed(family, vrid, false));
    }
    if matches!(router.presence, Presence::Absent | Presence::Present) {
        router.closed = false;
        effects.write(on, Write::Standby(family, vrid, false));
    }
}

/// Whether somebody probes who would take this router over.
pub(super) fn is_probed_for<K: Kernel + ?Sized>(router: &Router, now: Time, kernel: &K) -> bool {
    let on = router.interface();
    let recent = kernel.lease(on).and_then(|lease| lease.last_probe).is_some_and(|at| at.after(PROBED) > now);
    recent && kernel.is_wanted(on, router.family(), router.vrid())
}

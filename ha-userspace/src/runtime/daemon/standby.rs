//! Who would take over from a master: for `status`, and to say it where there has been nobody for `standby_warn`.

use ha_common::fence::PROBED_NS;
use ha_common::machine::State;
use ha_common::time::{Span, Time};

use super::Daemon;
use crate::notify::{Event, What};
use crate::runtime::router::Router;
use crate::runtime::standby::{News, Successor};
use crate::runtime::tell;

impl Daemon {
    /// Remembers who has a standby now: where several routers probe, the map does not say later which of them it was.
    pub(super) fn note_standbys(&mut self, now: Time) {
        let Self { routers, interfaces, .. } = self;
        for router in routers {
            let (family, vrid) = (router.config.family, router.config.vrid);
            let lease = interfaces[router.interface].xdp().map(|xdp| &xdp.lease);
            let probed =
                lease.filter(|lease| lease.is_wanted(family, vrid)).and_then(|lease| lease.last_probe());
            if probed.is_some_and(|at| now.span_since(at) < Span(PROBED_NS)) {
                router.standby.seen = probed;
            }
        }
    }

    /// Who would take over from this master.
    pub(super) fn successor(&self, router: &Router, now: Time) -> Successor {
        let master_since = self.node[router.id].machine().since();
        let on = &self.interfaces[router.interface];
        let Some(xdp) = on.xdp().filter(|_| router.config.fast.enabled) else { return Successor::Unknown };
        // What was wanted stays in the map after the last probe.
        let wanted = xdp.lease.is_wanted(router.config.family, router.config.vrid);
        let probed = xdp.lease.last_probe().filter(|_| wanted);
        if let Some(at) = probed.filter(|at| now.span_since(*at) < Span(PROBED_NS)) {
            return Successor::Ready(at);
        }
        // One that is named in the file, or was master here and answered probes, should be there.
        let expected = router.config.unicast.is_some()
            || on.index.is_some_and(|index| self.fast.knows(index, router.config.family));
        match probed.max(router.standby.seen) {
            Some(at) => Successor::Nobody(at.max(master_since)),
            None if expected => Successor::Nobody(master_since),
            None => Successor::Unknown,
        }
    }

    /// Looks at what nobody tells of: foreign virtual routers, and masters that nobody would take over from, which is said.
    /// When to look again.
    pub(super) fn look_around(&mut self, now: Time) -> Option<Time> {
        if !self.shown.looks.are_due(now) {
            return self.shown.looks.next;
        }
        self.listen_to_foreign();
        self.note_standbys(now);
        let wanted = self.configuration.in_force.global.standby_warn;
        let ids: Vec<_> = self.routers.iter().map(|router| router.id).collect();
        let mut next = None;
        for id in ids {
            let (state, since) = (self.node[id].machine().state(), self.node[id].machine().since());
            let successor = self.successor(&self.routers[id], now);
            let standby = &mut self.routers[id].standby;
            if state != State::Master {
                standby.forget_warning();
                continue;
            }
            let (news, again) = standby.look(successor, since, wanted, now);
            next = [next, again].into_iter().flatten().min();
            if let Some(news) = news {
                self.say_standby(id, news);
            }
        }
        self.shown.looks.done(now, next);
        next
    }

    fn say_standby(&mut self, id: ha_common::node::RouterId, news: News) {
        let name = self.routers[id].config.name.clone();
        match news {
            News::Alone(span) => tracing::warn!(
                "({name}) nobody has been there to take over for {} s; look at the other router (`xvrrp ready`)",
                span.0 / 1_000_000_000
            ),
            News::Relieved => tracing::info!("({name}) somebody would take over again"),
        }
        let priority = self.node[id].machine().priority().get();
        let what = What::Standby(news == News::Relieved);
        let details = tell::instance_details(&self.routers[id]);
        self.workers.tell(Event { details, ..Event::of_instance(name, what, priority) });
    }
}

//! Restart without failover, as far as the daemon has to do with it. Whether a role goes on is [`ha_common::node`]'s to
//! say; here the window is opened and closed, the file written, and what speaks for a role while its program is loaded
//! ([`crate::runtime::herald`]) told what to say.

use std::path::Path;

use ha_common::node::{Effect, patience};
use ha_common::packet::Auth;
use ha_common::packet::hmac;

use super::Daemon;
use crate::config::model::Instance;
use crate::net::advert_tx::AdvertTx;
use crate::net::clock;
use crate::net::place::Place;
use crate::runtime::fast::Fast;
use crate::runtime::handover::figures::{Figures, RouterFigures};
use crate::runtime::handover::{Handover, Role};
use crate::runtime::herald::{Herald, Signer, Voice};
use crate::runtime::router::Outgoing;
use crate::runtime::senders::Packet;
use crate::runtime::settings::params;
use crate::runtime::source;
use crate::xdp;

impl Daemon {
    /// Speaks for the roles that the run before left, where it may still be done.
    pub(super) fn herald(&mut self) -> Option<Herald> {
        let left = self.life.handover.as_ref()?;
        let virtual_addresses = self.routers.virtual_addresses();
        let now = clock::now();
        let mut voices = Vec::new();
        for router in &mut self.routers {
            let (family, vrid) = (router.config.family, router.config.vrid);
            let Some(role) = left.role(&router.config.interface, family, vrid) else { continue };
            let Some(link) = self.host.links().by_name(&router.config.interface) else { continue };
            router.source = source::of(&router.config, link, &virtual_addresses);
            let lease =
                self.interfaces.setup.bpffs.as_ref().and_then(|bpffs| xdp::left_lease(bpffs, &link.name));
            let late = lease.is_none() && now >= left.left_at().after(patience(&params(&router.config)));
            // The sequence numbers of authentication headers are the machine's alone.
            if late || router.source.is_none() || matches!(router.config.auth, Auth::Header(_)) {
                continue;
            }
            let sender = match router.virtual_mac {
                Some(mac) => AdvertTx::open_link(link.index, family, mac),
                None => AdvertTx::open(link.index, family),
            };
            let Ok(sender) = sender else { continue };
            let mut adverts = Vec::new();
            let signs = router.config.hmac.on().filter(|hmac| hmac.mode.signs());
            let signer = signs.map(|hmac| Signer {
                key: hmac.active,
                rule: hmac.anti_replay,
                sequences: hmac::Sender::default(),
            });
            let trailer = if signer.is_some() { hmac::LEN } else { 0 };
            router.adverts(role.priority, |advert| {
                if let Outgoing::Pdu { endpoints, ttl, pdu } = advert {
                    adverts.push((endpoints, ttl, pdu[..pdu.len() - trailer].to_vec()));
                }
            });
            let interval = router.config.interval.span();
            voices.push(Voice { family, vrid, sender, adverts, signer, interval, due: now, lease });
        }
        if voices.is_empty() {
            return None;
        }
        Herald::start(voices)
            .map_err(|error| tracing::warn!("no thread for adverts while XDP programs are loaded: {error}"))
            .ok()
    }

    /// Goes on counting where the run before has left off.
    pub(super) fn take_figures(&mut self) {
        let Some(figures) = self.life.figures.take() else { return };
        for router in &mut self.routers {
            let Instance { interface, family, vrid, .. } = &router.config;
            if let Some(before) = figures.of(interface, *family, *vrid) {
                router.stats = router.stats.plus(&before.stats);
                router.unsigned += before.unsigned;
                router.before = before.state();
            }
        }
    }

    fn leave_figures(&self, run_dir: &Path) {
        let routers = self.routers.iter().map(|router| {
            let config = &router.config;
            let state = (self.node[router.id].machine().state(), self.state_since(router));
            let mut figures = RouterFigures::new(&config.interface, config.family, config.vrid, state);
            (figures.stats, figures.unsigned) = (self.statistics(router), router.unsigned);
            figures
        });
        Figures::new(Place::here(), routers.collect()).write(run_dir);
    }

    /// What the earlier run left has been taken over or removed: program and replies speak for this run alone from
    /// now on.
    pub(super) fn end_restart_windows(&mut self) {
        self.node.end_start(clock::now());
        self.perform();
        // A role that goes on is vouched for before its window closes.
        self.settle_fast(None);
        self.node.close_restart_windows();
        self.perform();
    }

    /// Opens the window in which this run's role waits for the next run, and leaves everything in place for it. The last
    /// thing is an advert, with which the peers' patience begins anew.
    pub(in crate::runtime) fn leave_for_restart(mut self, run_dir: &Path) {
        // Without XDP, those who probe learn here that there will be no answers for a while.
        self.answer_probes();
        self.leave_figures(run_dir);
        // It ends the threads that vouch for this run.
        self.fast = Fast::new(None);
        self.node.leave(self.life.start_took, clock::now());
        self.perform();
        let Self { workers, mut node, mut routers, mut interfaces, .. } = self;
        workers.stop();
        node.say_goodbye();
        let mut left = Vec::new();
        while let Some(effect) = node.poll_effect() {
            if let Effect::Advert { router: id, priority } = effect
                && let Some(router) = routers.get_mut(id)
            {
                interfaces[router.interface].senders.queue_advert(router, priority);
                left.push(id);
            }
        }
        // The next run may go on with those whose advert went out.
        for failure in interfaces.iter_mut().flat_map(|interface| interface.senders.flush()) {
            left.retain(|id| failure.tag != Packet::Advert(*id));
        }
        let roles = left.into_iter().filter_map(|id| {
            let priority = node.router(id)?.machine().priority().get();
            let config = &routers.get(id)?.config;
            Some(Role::new(&config.interface, config.family, config.vrid, priority))
        });
        if let Err(error) = Handover::new(Place::here(), roles.collect()).write(run_dir) {
            tracing::warn!(
                "{}: {error}; the next run cannot know the roles of interfaces without XDP, and starts as backup there",
                run_dir.display()
            );
        }
        interfaces.leave();
    }
}

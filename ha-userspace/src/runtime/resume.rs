//! Restart without failover, as far as the daemon has to do with it. Whether a role goes on is [`ha_common::node`]'s to
//! say; here the window is opened and closed, and the file written.

use std::path::Path;

use ha_common::node::Effect;

use super::daemon::Daemon;
use super::handover::{Handover, Role};
use super::senders::Packet;
use crate::net::clock;
use crate::net::place::Place;

impl Daemon {
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
    pub(super) fn leave_for_restart(mut self, run_dir: &Path) {
        // Without XDP, those who probe learn here that there will be no answers for a while.
        self.answer_probes();
        // It ends the threads that vouch for this run.
        self.fast = super::fast::Fast::new(None);
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

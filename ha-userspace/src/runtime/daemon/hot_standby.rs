//! Hot standby: whether a backup can have its addresses behind the fence, and saying where it cannot.
//!
//! When they are put there, opened and closed up is [`ha_common::node`]'s to decide; why they cannot be there,
//! [`crate::runtime::hot_standby`]'s.

use ha_common::machine::State;
use ha_common::node::RouterId;
use ha_common::time::{Span, Time};

use super::Daemon;
use crate::config::analysis::standby::unfit;
use crate::runtime::hot_standby::{announces, obstacle, unknown};
use crate::runtime::router::{Router, interface_id};

/// How often it is looked whether the pins are still there.
const LOOK: Span = Span::from_millis(500);

impl Daemon {
    /// Before a fence changes: what would not be silent any more is removed.
    pub(super) fn bar_standbys(&mut self) {
        for id in self.routers.ids() {
            if self.node.may_stand_by(id) && self.standby_obstacle(&self.routers[id]).is_some() {
                self.node.bar_standby(id);
            }
        }
        self.perform();
    }

    /// After it has changed: what is silent now may be there.
    pub(super) fn allow_standbys(&mut self) {
        for id in self.routers.ids() {
            let router = &self.routers[id];
            let known = || unknown(&router.config, self.interfaces[router.interface].xdp()?);
            let why = self.standby_obstacle(router).or_else(known);
            self.routers[id].no_standby = why;
            if self.routers[id].no_standby.is_some() {
                self.node.bar_standby(id);
            } else {
                self.node.allow_standby(id);
            }
            self.say_standby_obstacle(id);
        }
        self.perform();
    }

    /// Why the addresses of a virtual router cannot be here while it is backup; also where nobody wants that.
    fn standby_obstacle(&self, router: &Router) -> Option<String> {
        let on = &self.interfaces[router.interface];
        if !router.config.hot_standby {
            return Some("hot_standby is off".to_owned());
        }
        if self.node[router.id].is_retired() {
            return Some("it is no longer in the configuration".to_owned());
        }
        unfit(&router.config)
            .or_else(|| {
                let apart = self.node.is_apart(interface_id(router.interface));
                apart.then(|| "no virtual router of the interface has fast failover".to_owned())
            })
            .or_else(|| {
                let links = self.host.links();
                let is_ours = |index, address| self.host.is_ours(index, address);
                obstacle(&router.config, links, on.xdp(), is_ours)
            })
            .or_else(|| {
                // Looked at before they are put there: it takes a few files to read.
                let links = self.host.links();
                let link = links.by_name(&on.name).filter(|_| !self.node.may_stand_by(router.id))?;
                announces(link, links)
            })
    }

    /// Said once, until it is another reason.
    fn say_standby_obstacle(&mut self, id: RouterId) {
        let waits = self.interfaces[self.routers[id].interface].is_loading();
        let router = &mut self.routers[id];
        let why = router.no_standby.as_ref().filter(|_| router.config.hot_standby);
        if waits || router.noted.no_standby.as_ref() == why {
            return;
        }
        if let Some(why) = why {
            tracing::warn!(
                "({}) no hot standby: {why}; the addresses are added by the takeover instead",
                router.config.name
            );
        }
        router.noted.no_standby = why.cloned();
    }

    /// Looks whether what keeps addresses silent would still outlive the daemon. When to look again.
    pub(super) fn look_after_standbys(&mut self, now: Time) -> Option<Time> {
        let behind = |router: &&Router| self.node[router.id].presence().is_behind();
        if !self.routers.iter().any(|router| behind(&router)) {
            return None;
        }
        if self.shown.standbys_at <= now {
            self.shown.standbys_at = now.after(LOOK);
            let exposed = self.routers.iter().filter(behind).any(|router| {
                let xdp = self.interfaces[router.interface].xdp();
                xdp.is_none_or(|xdp| !xdp.outlives())
            });
            if exposed {
                self.reconsider();
            }
        }
        Some(self.shown.standbys_at)
    }

    /// What hot standby lacks, in the words of the log.
    pub(super) fn standby_warnings(&self) -> impl Iterator<Item = String> {
        self.routers.iter().filter_map(|router| {
            let why = router.noted.no_standby.as_ref()?;
            Some(format!("({}) no hot standby: {why}", router.config.name))
        })
    }

    /// What `status` says of it: nothing where it is off.
    pub(super) fn hot_standby_status(&self, router: &Router) -> Option<String> {
        let state = self.node[router.id].machine().state();
        router.config.hot_standby.then(|| {
            let word = if self.node[router.id].presence().is_behind() {
                "standby"
            } else if router.no_standby.is_some() {
                "impossible"
            } else if state == State::Master {
                "master"
            } else {
                "off"
            };
            word.to_owned()
        })
    }
}

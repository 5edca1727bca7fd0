//! Virtual and static routes and rules, added and removed for many virtual routers at once.
//!
//! They come last in a takeover, after the addresses that they may name and after the announcements, and go first in a
//! release. Which: [`crate::runtime::routes`].

use ha_common::node::{Node, RouterId};

use super::Host;
use crate::config::model::{Config, Instance};
use crate::net::routing::{Entry, RouteOutcome, Routing};
use crate::runtime::devices;
use crate::runtime::note::Note;
use crate::runtime::router::Router;
use crate::runtime::routers::Routers;
use crate::runtime::routes::{RouteSet, Said, WantedEntry};

impl Host {
    /// Works out routes and rules of all virtual routers that have not been, before they are needed.
    pub(in crate::runtime) fn prepare_routes(&mut self, routers: &mut Routers, config: &Config) {
        let links = self.monitor.links();
        for router in routers.iter_mut() {
            let Instance { routes, rules, .. } = &router.config;
            if routes.is_empty() && rules.is_empty() && router.routes.there.is_empty() {
                continue;
            }
            let device = devices::of_instance(&router.config);
            router.routes.prepare(routes, rules, Some(device), links);
        }
        self.statics.routes.prepare(&config.static_routes, &config.static_rules, None, links);
    }

    /// Adds what is missing of all virtual routers that hold their addresses, and of the static ones: one netlink
    /// batch.
    pub(in crate::runtime) fn install_routes(
        &mut self,
        routers: &mut Routers,
        node: &Node,
        config: &Config,
        notes: &mut Vec<Note>,
    ) {
        if routers.iter().all(|router| router.routes.complete || !holds(node, router))
            && self.statics.routes.complete
        {
            return;
        }
        self.prepare_routes(routers, config);
        let mut obsolete = self.statics.routes.obsolete();
        for router in routers.iter_mut().filter(|router| holds(node, router)) {
            obsolete.extend(router.routes.obsolete());
        }
        self.remove_entries(obsolete, routers, node, notes);

        let known = self.unmarked_entries(routers);
        let mut batch = Vec::new();
        let mut sets: Vec<(Option<RouterId>, &mut RouteSet, Vec<WantedEntry>)> = Vec::new();
        let holding = routers.iter_mut().filter(|router| holds(node, router));
        let all = std::iter::once((None, &mut self.statics.routes))
            .chain(holding.map(|router| (Some(router.id), &mut router.routes)));
        for (router, set) in all.filter(|(_, set)| !set.complete) {
            let due = set.due();
            batch.extend(due.iter().map(|wanted| wanted.entry.clone()));
            sets.push((router, set, due));
        }
        self.remembered.note(known.iter().chain(&batch));
        let outcomes = if batch.is_empty() { Vec::new() } else { self.routing.add(&batch) };
        let mut outcomes = outcomes.into_iter();
        for (router, set, due) in sets {
            for said in set.settle(&due, outcomes.by_ref().take(due.len())) {
                notes.push(match said {
                    Said::Back(entry) => Note::PutBack { router, entry },
                    Said::Lacks(text) => Note::Lacks { router, text },
                });
            }
        }
    }

    /// Removes what virtual routers have that hold their addresses no more.
    pub(in crate::runtime) fn uninstall_routes(
        &mut self,
        routers: &mut Routers,
        node: &Node,
        notes: &mut Vec<Note>,
    ) {
        let released = routers.iter_mut().filter(|router| !holds(node, router));
        let gone: Vec<Entry> = released.flat_map(|router| router.routes.release()).collect();
        self.remove_entries(gone, routers, node, notes);
    }

    /// Static routes and rules go when the daemon stops.
    pub(super) fn remove_static_routes(&mut self, routers: &Routers, node: &Node, notes: &mut Vec<Note>) {
        let gone = self.statics.routes.release();
        self.remove_entries(gone, routers, node, notes);
    }

    /// Removes entries, except those that somebody else of us has as well.
    fn remove_entries(
        &mut self,
        mut gone: Vec<Entry>,
        routers: &Routers,
        node: &Node,
        notes: &mut Vec<Note>,
    ) {
        if gone.is_empty() {
            return;
        }
        gone.retain(|entry| {
            let mut holders = routers.iter().filter(|router| holds(node, router));
            !holders.any(|router| router.routes.there.contains(entry))
                && !self.statics.routes.there.contains(entry)
        });
        for outcome in self.routing.remove(&gone) {
            if let RouteOutcome::Failed(error) = outcome {
                notes.push(Note::Lacks { router: None, text: error.to_string() });
            }
        }
        let known = self.unmarked_entries(routers);
        self.remembered.note(known.iter());
    }

    /// What is there without the mark.
    fn unmarked_entries(&self, routers: &Routers) -> Vec<Entry> {
        let sets = routers.iter().map(|router| &router.routes).chain([&self.statics.routes]);
        sets.flat_map(|set| &set.there).filter(|entry| !entry.is_marked()).cloned().collect()
    }

    /// Somebody removed a route or a rule that may have been ours.
    pub(in crate::runtime) fn mark_routes_dirty(&mut self, routers: &mut Routers) {
        routers.iter_mut().for_each(|router| router.routes.mark_dirty());
        self.statics.routes.mark_dirty();
    }

    /// Devices changed: the kernel drops routes of a device that goes down without a word.
    pub(in crate::runtime) fn forget_routes(&mut self, routers: &mut Routers) {
        routers.iter_mut().for_each(|router| router.routes.forget());
        self.statics.routes.forget();
    }

    /// Removes routes and rules that an earlier run added and that nothing in this run wants now.
    pub(in crate::runtime) fn remove_leftover_routes(
        &mut self,
        routers: &mut Routers,
        node: &Node,
        config: &Config,
    ) {
        self.prepare_routes(routers, config);
        let held = routers.iter().filter(|router| holds(node, router)).map(|router| &router.routes);
        let earlier = self.remembered.take_earlier();
        let leftovers = match leftovers(&mut self.routing, earlier, held.chain([&self.statics.routes])) {
            Ok(leftovers) => leftovers,
            Err(error) => {
                tracing::error!("leftover routes of an earlier run cannot be listed: {error}");
                return;
            }
        };
        for (outcome, entry) in self.routing.remove(&leftovers).into_iter().zip(&leftovers) {
            match outcome {
                RouteOutcome::Done => tracing::warn!("removed {}, left by an earlier run", entry.name()),
                RouteOutcome::Failed(error) => tracing::error!("{error}"),
                RouteOutcome::Already => {}
            }
        }
        let known = self.unmarked_entries(routers);
        self.remembered.note(known.iter());
    }
}

/// Whether a virtual router's routes are to be there.
fn holds(node: &Node, router: &Router) -> bool {
    node[router.id].presence().is_wanted()
}

fn leftovers<'a>(
    routing: &mut Routing,
    remembered: Vec<Entry>,
    sets: impl Iterator<Item = &'a RouteSet>,
) -> nix::Result<Vec<Entry>> {
    let mut ours = routing.ours()?;
    ours.extend(remembered);
    for wanted in sets.flat_map(RouteSet::wanted) {
        ours.retain(|entry| !entry.same(wanted));
    }
    Ok(ours)
}

//! Virtual and static routes and rules: which are wanted, which are there, and what makes the one into the other.
//!
//! They come last in a takeover, after the addresses that they may name and after the announcements, and go first in a
//! release. What somebody removes is put back, unless it is `no_track`; keepalived steps down and takes over again
//! instead.

use ha_common::node::{Node, RouterId};

use super::host::Host;
use super::note::Note;
use super::router::Router;
use super::routers::Routers;
use crate::config::model::{Config, Instance, Route, Rule};
use crate::net::monitor::Links;
use crate::net::routing::{Entry, Outcome, Routing};

/// Routes and rules that come and go together: those of one virtual router, or the static ones.
#[derive(Debug, Default)]
pub(super) struct RouteSet {
    /// As configuration and devices of the moment have them; `None`: to be worked out again.
    prepared: Option<Prepared>,
    /// What was added and not removed again.
    there: Vec<Entry>,
    /// All that can be there is there, as far as we know.
    complete: bool,
    /// What is wrong at the moment, as sentences, by the track groups that care.
    lacking: Vec<Lack>,
}

#[derive(Debug)]
struct Prepared {
    wanted: Vec<Wanted>,
    missing: Vec<Lack>,
}

#[derive(Clone, Debug)]
struct Wanted {
    entry: Entry,
    no_track: bool,
    track_group: Option<String>,
}

/// A route or rule that is not there, and the `track_group` that it belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lack {
    pub(super) text: String,
    pub(super) track_group: Option<String>,
}

impl RouteSet {
    /// Devices came or went, or the configuration changed.
    pub(super) fn forget(&mut self) {
        self.prepared = None;
        self.complete = false;
    }

    /// Something may have been removed.
    pub(super) fn mark_dirty(&mut self) {
        self.complete = false;
    }

    /// What is wrong at the moment.
    pub(super) fn lacking(&self) -> &[Lack] {
        &self.lacking
    }

    /// Works out what is wanted, where that is not known: in a quiet moment, so that a takeover finds it done.
    fn prepare(&mut self, routes: &[Route], rules: &[Rule], device: Option<&str>, links: &Links) {
        if self.prepared.is_some() {
            return;
        }
        let mut prepared = Prepared { wanted: Vec::new(), missing: Vec::new() };
        for route in routes {
            let index = |name: &str| links.by_name(name).map(|link| link.index);
            let track_group = route.track_group.clone();
            let vrf = route.vrf.as_deref().map(|vrf| (vrf, links.by_name(vrf).and_then(|link| link.table)));
            if let Some((vrf, None)) = vrf {
                let text = format!("route {}/{} waits for VRF {vrf}", route.to.address, route.to.length);
                prepared.missing.push(Lack { text, track_group });
                continue;
            }
            let table = route.table.or(vrf.and_then(|(_, table)| table));
            let route = &Route { table, ..route.clone() };
            match Entry::route(route, device, index) {
                Ok(entry) => {
                    prepared.wanted.push(Wanted { entry, no_track: route.no_track, track_group });
                }
                Err(missing) => prepared.missing.push(Lack { text: missing.to_string(), track_group }),
            }
        }
        prepared.wanted.extend(rules.iter().map(|rule| Wanted {
            entry: Entry::rule(rule),
            no_track: rule.no_track,
            track_group: rule.track_group.clone(),
        }));
        self.prepared = Some(prepared);
    }

    fn wants(&self, entry: &Entry) -> bool {
        let prepared = self.prepared.as_ref();
        prepared.is_some_and(|prepared| prepared.wanted.iter().any(|wanted| wanted.entry == *entry))
    }

    /// Entries that are there and wanted no more.
    fn obsolete(&mut self) -> Vec<Entry> {
        let there = std::mem::take(&mut self.there);
        let (kept, gone) = there.into_iter().partition(|entry| self.wants(entry));
        self.there = kept;
        gone
    }

    /// What is to be added now: `no_track` entries once only.
    fn due(&self) -> Vec<Wanted> {
        let Some(prepared) = self.prepared.as_ref().filter(|_| !self.complete) else { return Vec::new() };
        let due = |wanted: &&Wanted| !wanted.no_track || !self.there.contains(&wanted.entry);
        prepared.wanted.iter().filter(due).cloned().collect()
    }

    /// Takes the outcomes of what was [`RouteSet::due`]. Returns what is to be said.
    fn settle(&mut self, due: &[Wanted], outcomes: impl Iterator<Item = Outcome>) -> Vec<Said> {
        let mut said = Vec::new();
        let mut lacking = self.prepared.as_ref().map_or_else(Vec::new, |prepared| prepared.missing.clone());
        for (wanted, outcome) in due.iter().zip(outcomes) {
            let known = self.there.contains(&wanted.entry);
            match outcome {
                Outcome::Done if known => said.push(Said::Back(wanted.entry.name())),
                Outcome::Done | Outcome::Already if known => {}
                Outcome::Done | Outcome::Already => self.there.push(wanted.entry.clone()),
                Outcome::Failed(error) => {
                    self.there.retain(|entry| *entry != wanted.entry);
                    let track_group = wanted.track_group.clone();
                    lacking.push(Lack { text: error.to_string(), track_group });
                }
            }
        }
        self.complete = true;
        let news = lacking.iter().filter(|lack| !self.lacking.contains(lack));
        said.extend(news.map(|lack| Said::Lacks(lack.text.clone())));
        self.lacking = lacking;
        said
    }

    /// Everything that is there goes.
    fn release(&mut self) -> Vec<Entry> {
        self.complete = false;
        self.lacking.clear();
        // Rules first: they lead to the routes.
        let mut there = std::mem::take(&mut self.there);
        there.reverse();
        there
    }
}

/// A line for the log.
#[derive(Debug)]
enum Said {
    Back(String),
    Lacks(String),
}

impl Host {
    /// Works out routes and rules of all virtual routers that have not been, before they are needed.
    pub(super) fn prepare_routes(&mut self, routers: &mut Routers, config: &Config) {
        let links = self.monitor.links();
        for router in routers.iter_mut() {
            let Instance { routes, rules, .. } = &router.config;
            if routes.is_empty() && rules.is_empty() && router.routes.there.is_empty() {
                continue;
            }
            let device = super::devices::of_instance(&router.config);
            router.routes.prepare(routes, rules, Some(device), links);
        }
        self.statics.routes.prepare(&config.static_routes, &config.static_rules, None, links);
    }

    /// Adds what is missing of all virtual routers that hold their addresses, and of the static ones: one netlink
    /// batch.
    pub(super) fn install_routes(
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
        let mut sets: Vec<(Option<RouterId>, &mut RouteSet, Vec<Wanted>)> = Vec::new();
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
    pub(super) fn uninstall_routes(&mut self, routers: &mut Routers, node: &Node, notes: &mut Vec<Note>) {
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
            if let Outcome::Failed(error) = outcome {
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
    pub(super) fn mark_routes_dirty(&mut self, routers: &mut Routers) {
        routers.iter_mut().for_each(|router| router.routes.mark_dirty());
        self.statics.routes.mark_dirty();
    }

    /// Devices changed: the kernel drops routes of a device that goes down without a word.
    pub(super) fn forget_routes(&mut self, routers: &mut Routers) {
        routers.iter_mut().for_each(|router| router.routes.forget());
        self.statics.routes.forget();
    }

    /// Removes routes and rules that an earlier run added and that nothing in this run wants now.
    pub(super) fn remove_leftover_routes(&mut self, routers: &mut Routers, node: &Node, config: &Config) {
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
                Outcome::Done => tracing::warn!("removed {}, left by an earlier run", entry.name()),
                Outcome::Failed(error) => tracing::error!("{error}"),
                Outcome::Already => {}
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
    for set in sets {
        let wanted = set.prepared.iter().flat_map(|prepared| &prepared.wanted);
        for wanted in wanted {
            ours.retain(|entry| !entry.same(&wanted.entry));
        }
    }
    Ok(ours)
}

//! Routes and rules of one virtual router, or the static ones: which are wanted, which are there, and what makes the one
//! into the other.
//!
//! What somebody removes is put back, unless it is `no_track`; keepalived steps down and takes over again instead.
//! Pure: [`super::host`] talks to the kernel.

use crate::config::model::{Route, Rule};
use crate::net::monitor::Links;
use crate::net::routing::{Entry, RouteOutcome};

/// Routes and rules that come and go together: those of one virtual router, or the static ones.
#[derive(Debug, Default)]
pub(super) struct RouteSet {
    /// As configuration and devices of the moment have them; `None`: to be worked out again.
    prepared: Option<Prepared>,
    /// What was added and not removed again.
    pub(super) there: Vec<Entry>,
    /// All that can be there is there, as far as we know.
    pub(super) complete: bool,
    /// What is wrong at the moment, as sentences, by the track groups that care.
    lacking: Vec<Lack>,
}

#[derive(Debug)]
struct Prepared {
    wanted: Vec<WantedEntry>,
    missing: Vec<Lack>,
}

#[derive(Clone, Debug)]
pub(super) struct WantedEntry {
    pub(super) entry: Entry,
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
    pub(super) fn prepare(&mut self, routes: &[Route], rules: &[Rule], device: Option<&str>, links: &Links) {
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
                    prepared.wanted.push(WantedEntry { entry, no_track: route.no_track, track_group });
                }
                Err(missing) => prepared.missing.push(Lack { text: missing.to_string(), track_group }),
            }
        }
        prepared.wanted.extend(rules.iter().map(|rule| WantedEntry {
            entry: Entry::rule(rule),
            no_track: rule.no_track,
            track_group: rule.track_group.clone(),
        }));
        self.prepared = Some(prepared);
    }

    fn wants(&self, entry: &Entry) -> bool {
        self.wanted().any(|wanted| wanted == entry)
    }

    /// What is wanted, as far as that is known.
    pub(super) fn wanted(&self) -> impl Iterator<Item = &Entry> {
        self.prepared.iter().flat_map(|prepared| &prepared.wanted).map(|wanted| &wanted.entry)
    }

    /// Entries that are there and wanted no more.
    pub(super) fn obsolete(&mut self) -> Vec<Entry> {
        let there = std::mem::take(&mut self.there);
        let (kept, gone) = there.into_iter().partition(|entry| self.wants(entry));
        self.there = kept;
        gone
    }

    /// What is to be added now: `no_track` entries once only.
    pub(super) fn due(&self) -> Vec<WantedEntry> {
        let Some(prepared) = self.prepared.as_ref().filter(|_| !self.complete) else { return Vec::new() };
        let due = |wanted: &&WantedEntry| !wanted.no_track || !self.there.contains(&wanted.entry);
        prepared.wanted.iter().filter(due).cloned().collect()
    }

    /// Takes the outcomes of what was [`RouteSet::due`]. Returns what is to be said.
    pub(super) fn settle(
        &mut self,
        due: &[WantedEntry],
        outcomes: impl Iterator<Item = RouteOutcome>,
    ) -> Vec<Said> {
        let mut said = Vec::new();
        let mut lacking = self.prepared.as_ref().map_or_else(Vec::new, |prepared| prepared.missing.clone());
        for (wanted, outcome) in due.iter().zip(outcomes) {
            let known = self.there.contains(&wanted.entry);
            match outcome {
                RouteOutcome::Done if known => said.push(Said::Back(wanted.entry.name())),
                RouteOutcome::Done | RouteOutcome::Already if known => {}
                RouteOutcome::Done | RouteOutcome::Already => self.there.push(wanted.entry.clone()),
                RouteOutcome::Failed(error) => {
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
    pub(super) fn release(&mut self) -> Vec<Entry> {
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
pub(super) enum Said {
    Back(String),
    Lacks(String),
}

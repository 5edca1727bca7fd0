//! Static addresses, routes and rules: there from start to stop, whoever is master.

use ha_common::node::Node;

use super::addresses::specs;
use super::host::Host;
use super::note::Note;
use super::routers::Routers;
use super::routes::{Lack, RouteSet};
use crate::config::model::{Config, Vip};
use crate::net::addresses::{AddressSpec, Outcome, Removal};

/// What is static, and how much of it is there.
#[derive(Debug, Default)]
pub(super) struct Statics {
    pub(super) routes: RouteSet,
    /// Addresses that were added by us.
    there: Vec<AddressSpec>,
    /// Addresses that were there before.
    foreign: Vec<AddressSpec>,
    complete: bool,
    lacking: Vec<Lack>,
    /// What was lacking when the machines were last told of it.
    told: Vec<Lack>,
}

impl Statics {
    /// Something may have been removed, or devices or configuration changed.
    pub(super) fn mark_dirty(&mut self) {
        self.complete = false;
    }

    /// Whether more or less is lacking than at the last call.
    pub(super) fn take_news(&mut self) -> bool {
        let lacking: Vec<Lack> = self.lacking.iter().chain(self.routes.lacking()).cloned().collect();
        let news = self.told != lacking;
        self.told = lacking;
        news
    }

    /// What of a `track_group` is not there, as sentences.
    pub(super) fn lacking<'a>(&'a self, group: &'a str) -> impl Iterator<Item = &'a str> {
        let all = self.lacking.iter().chain(self.routes.lacking());
        all.filter(move |lack| lack.track_group.as_deref() == Some(group)).map(|lack| lack.text.as_str())
    }
}

impl Host {
    /// Adds static addresses that are missing, and removes those that are not in the configuration any more.
    pub(super) fn install_static_addresses(&mut self, config: &Config, notes: &mut Vec<Note>) {
        if self.statics.complete {
            return;
        }
        self.statics.complete = true;
        let mut lacking = Vec::new();
        let mut wanted = Vec::new();
        for vip in &config.static_addresses {
            let device = vip.device.as_deref().unwrap_or_default();
            let found = specs(std::iter::once((device, vip)), self.links(), |device| {
                lacking.push(lack(vip, format!("{} waits for interface {device}", vip.address)));
            });
            wanted.extend(found.into_iter().map(|spec| (spec, vip)));
        }
        let (kept, gone): (Vec<_>, Vec<_>) = std::mem::take(&mut self.statics.there)
            .into_iter()
            .partition(|there| wanted.iter().any(|(spec, _)| spec == there));
        self.statics.there = kept;
        if !gone.is_empty() {
            self.remove_addresses(&gone, notes);
        }
        let Self { statics, monitor, addresses, .. } = self;
        wanted.retain(|(spec, _)| {
            let known = statics.there.contains(spec) || statics.foreign.contains(spec);
            !known || !monitor.links().get(spec.ifindex).is_some_and(|link| link.holds(spec.address))
        });
        let (due, owners): (Vec<_>, Vec<_>) = wanted.into_iter().unzip();
        let outcomes = if due.is_empty() { Vec::new() } else { addresses.add(&due) };
        for ((spec, vip), outcome) in due.into_iter().zip(owners).zip(outcomes) {
            match outcome {
                Outcome::Added if statics.there.contains(&spec) => notes.push(Note::PutBack {
                    router: None,
                    entry: format!("static address {}/{}", spec.address, spec.prefix),
                }),
                Outcome::Added | Outcome::AlreadyThere { ours: true } => note_once(&mut statics.there, spec),
                // The operator's own: it stays at the stop.
                Outcome::AlreadyThere { ours: false } => note_once(&mut statics.foreign, spec),
                Outcome::Failed(error) => lacking.push(lack(vip, error.to_string())),
            }
        }
        for new in lacking.iter().filter(|lack| !statics.lacking.contains(lack)) {
            notes.push(Note::Lacks { router: None, text: new.text.clone() });
        }
        statics.lacking = lacking;
    }

    /// At the stop.
    pub(super) fn remove_statics(&mut self, routers: &Routers, node: &Node, notes: &mut Vec<Note>) {
        self.remove_static_routes(routers, node, notes);
        let there = std::mem::take(&mut self.statics.there);
        if !there.is_empty() {
            for removal in self.addresses.remove(&there) {
                if let Removal::Failed(error) = removal {
                    tracing::error!("{error}");
                }
            }
        }
    }
}

fn note_once(list: &mut Vec<AddressSpec>, spec: AddressSpec) {
    if !list.contains(&spec) {
        list.push(spec);
    }
}

fn lack(vip: &Vip, text: String) -> Lack {
    Lack { text, track_group: vip.track_group.clone() }
}

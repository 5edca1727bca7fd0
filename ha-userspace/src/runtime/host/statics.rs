//! Static addresses are added, put back and removed; at the stop, static routes and rules go with them.

use ha_common::node::Node;

use super::Host;
use crate::config::model::{Config, Vip};
use crate::net::addresses::{AddressOutcome, AddressSpec, Removal};
use crate::runtime::note::Note;
use crate::runtime::routers::Routers;
use crate::runtime::routes::Lack;
use crate::runtime::vips::specs;

impl Host {
    /// Adds static addresses that are missing, and removes those that are not in the configuration any more.
    pub(in crate::runtime) fn install_static_addresses(&mut self, config: &Config, notes: &mut Vec<Note>) {
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
                AddressOutcome::Added if statics.there.contains(&spec) => notes.push(Note::PutBack {
                    router: None,
                    entry: format!("static address {}/{}", spec.address, spec.prefix),
                }),
                AddressOutcome::Added | AddressOutcome::AlreadyThere { ours: true } => {
                    note_once(&mut statics.there, spec)
                }
                // The operator's own: it stays at the stop.
                AddressOutcome::AlreadyThere { ours: false } => note_once(&mut statics.foreign, spec),
                AddressOutcome::Failed(error) => lacking.push(lack(vip, error.to_string())),
            }
        }
        for new in lacking.iter().filter(|lack| !statics.lacking.contains(lack)) {
            notes.push(Note::Lacks { router: None, text: new.text.clone() });
        }
        statics.lacking = lacking;
    }

    /// At the stop.
    pub(in crate::runtime) fn remove_statics(
        &mut self,
        routers: &Routers,
        node: &Node,
        notes: &mut Vec<Note>,
    ) {
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

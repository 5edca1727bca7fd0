//! What a configuration would change, before it comes into force; and which one is not put into force unasked.
//!
//! An error takes away what it is in: an instance whose VRID is mistyped is not in the configuration any more. Where it
//! runs, it would stop, which is not what a typing mistake should do.

use ha_common::machine::State;

use super::Daemon;
use crate::config::model::{Config, Instance};
use crate::config::{Loaded, Severity};
use crate::control::protocol::{Preview, Response};
use crate::runtime::changes;
use crate::runtime::devices;
use crate::runtime::router::Router;
use crate::runtime::settings::settings;
use crate::runtime::vips::vips;

/// What a new configuration makes of a virtual router that runs.
enum Fate<'a> {
    Gone,
    /// It has no address left.
    Bare,
    Stays(&'a Instance),
}

impl Daemon {
    /// Why a configuration with errors is not put into force unless that is asked for: something that runs would stop.
    pub(super) fn refusal(&self, loaded: &Loaded) -> Option<String> {
        let errors = loaded.diagnostics.count(Severity::Error);
        if errors == 0 {
            return None;
        }
        let lost: Vec<String> = self
            .running()
            .filter_map(|router| {
                let what = match self.fate(router, &loaded.config) {
                    Fate::Gone => "stop",
                    Fate::Bare => "have no address left",
                    Fate::Stays(_) => return None,
                };
                Some(format!("({}) would {what}", router.config.name))
            })
            .collect();
        let plural = if errors == 1 { "an error".to_owned() } else { format!("{errors} errors") };
        (!lost.is_empty()).then(|| {
            format!(
                "the new configuration has {plural}, and {}; the old one stays in force. Mend it, or take it as it is: \
                 xvrrp reload --force",
                lost.join(", ")
            )
        })
    }

    /// What a configuration would change, and which addresses might move for it.
    pub(super) fn preview(&self, loaded: Loaded) -> Response {
        let refused = if loaded.fatal {
            Some("the new configuration cannot be used".to_owned())
        } else {
            self.refusal(&loaded)
        };
        let diagnostics = crate::runtime::log_lines(&loaded);
        let mut config = loaded.config;
        let _plans = devices::resolve(&mut config, self.host.links());
        let mut preview = Preview { diagnostics, refused, ..Preview::default() };
        preview.changes = changes::around(&self.configuration.in_force, &config);
        for router in self.running() {
            self.preview_of(router, &config, &mut preview);
        }
        for new in &config.instances {
            if !self.running().any(|router| self.is_same(router, new)) {
                preview.changes.push(format!("({}) is started", new.name));
            }
        }
        Response::Preview(preview)
    }

    fn preview_of(&self, router: &Router, config: &Config, preview: &mut Preview) {
        let name = &router.config.name;
        let machine = self.node[router.id].machine();
        let master = machine.state() == State::Master;
        let addresses =
            || vips(&router.config).map(|vip| vip.address.to_string()).collect::<Vec<_>>().join(", ");
        match self.fate(router, config) {
            Fate::Gone => {
                preview.changes.push(format!("({name}) is stopped"));
                if master {
                    preview.moves.push(format!("({name}) is master here: {} would go", addresses()));
                }
            }
            Fate::Bare => {
                preview.changes.push(format!("({name}) has no address left"));
                if master {
                    preview.moves.push(format!("({name}) is master here: {} would go", addresses()));
                }
            }
            Fate::Stays(new) => {
                preview.changes.extend(changes::of(&router.config, new));
                if master && new.priority < router.config.priority {
                    preview.moves.push(format!(
                        "({name}) is master here: with priority {} instead of {}, another router may take {}",
                        new.priority,
                        router.config.priority,
                        addresses()
                    ));
                }
            }
        }
    }

    fn running(&self) -> impl Iterator<Item = &Router> {
        self.routers.iter().filter(|router| !self.node[router.id].is_retired())
    }

    fn fate<'a>(&self, router: &Router, config: &'a Config) -> Fate<'a> {
        match config.instances.iter().find(|new| self.is_same(router, new)) {
            None => Fate::Gone,
            Some(new) if vips(new).next().is_none() && vips(&router.config).next().is_some() => Fate::Bare,
            Some(new) => Fate::Stays(new),
        }
    }

    /// Whether a virtual router would go on as this instance.
    fn is_same(&self, router: &Router, new: &Instance) -> bool {
        new.interface == router.config.interface
            && settings(new, router.interface).is_same_router(self.node[router.id].settings())
    }
}

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
use crate::runtime::configuration::Purpose;
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
    /// Why a configuration that was read is not put into force, or not restarted with; `None` where it is.
    pub(super) fn refusal(&self, loaded: &Loaded, purpose: Purpose) -> Option<String> {
        let restarts = purpose == Purpose::Restart;
        if self.life.stopping && !restarts {
            return Some("the daemon is stopping; the new configuration comes too late".to_owned());
        }
        if loaded.fatal {
            return Some("the new configuration cannot be used; the old one stays in force".to_owned());
        }
        let forced = purpose == Purpose::Reload { force: true };
        let lost = if forced { None } else { self.lost_by_errors(loaded) };
        // A file that an editor or a full disk has emptied. Whoever means it stops the daemon.
        let emptied = || !restarts && loaded.config.instances.is_empty() && self.running().next().is_some();
        lost.or_else(|| {
            emptied().then(|| {
                format!(
                    "{} has no virtual router; the old configuration stays in force. Stop the daemon to give everything up",
                    self.configuration.file.display()
                )
            })
        })
    }

    /// What a configuration with errors would stop of what runs, which is not done unless it is asked for.
    fn lost_by_errors(&self, loaded: &Loaded) -> Option<String> {
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
        let refused = self.refusal(&loaded, Purpose::Preview);
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
            fate @ (Fate::Gone | Fate::Bare) => {
                let what = if matches!(fate, Fate::Gone) { "is stopped" } else { "has no address left" };
                preview.changes.push(format!("({name}) {what}"));
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

//! A new configuration while the daemon runs: only what changed is touched.
//!
//! An instance is the same one as long as interface, VRID, family and version are; then it keeps its state, its
//! timers and its statistics, whatever else changed. A file that cannot be used changes nothing at all.

use ha_common::node::RouterId;
use ha_common::packet::Auth;
use ha_common::packet::hmac::Numbered;
use ha_common::probe::{Keys, Secret, derived_key};

use super::changes;
use super::daemon::Daemon;
use super::devices;
use super::interface::Interface;
use super::note::Note;
use super::reload_time::ReloadTime;
use super::router::{Router, settings};
use super::turn::specs;
use crate::config::Loaded;
use crate::config::model::{Config, Instance, Vip, XdpMode};
use crate::control::protocol::{Failure, Reloaded, Response};
use crate::net::addresses::Removal;
use crate::net::clock;

impl Daemon {
    /// Puts a configuration that was read into force, or says why not.
    pub(super) fn apply(&mut self, loaded: Loaded) -> Response {
        let diagnostics = super::log_diagnostics(&loaded);
        if loaded.fatal {
            let message = "the new configuration cannot be used; the old one stays in force";
            tracing::error!("{message}");
            return Response::Error(Failure { message: message.to_owned(), diagnostics });
        }
        // A file that an editor or a full disk has emptied. Whoever means it stops the daemon.
        if loaded.config.instances.is_empty() && self.node.routers().iter().any(|router| !router.is_retired())
        {
            let message = format!(
                "{} has no virtual router; the old configuration stays in force. Stop the daemon to give everything up",
                self.config_file.display()
            );
            tracing::error!("{message}");
            return Response::Error(Failure { message, diagnostics });
        }
        let changes = self.adopt(loaded.config);
        if changes.is_empty() {
            tracing::info!("reload: nothing changed");
        }
        for change in &changes {
            tracing::info!("reload: {change}");
        }
        Response::Reloaded(Reloaded { changes, diagnostics })
    }

    /// Puts a configuration into force; at start as well as later. Returns what changed.
    pub(super) fn adopt(&mut self, mut config: Config) -> Vec<String> {
        let plans = devices::resolve(&mut config, self.monitor.links());
        let mut changes = Vec::new();
        let now = clock::now();
        let around = changes::around(&self.config, &config);
        if !around.is_empty() {
            self.watchers.apply(&config);
            changes.extend(around);
        }
        for n in self.routers.ids() {
            let kept = config.instances.iter().any(|new| same(&self.routers[n].config, new));
            if !kept && !self.node[n].is_retired() {
                changes.push(format!("({}) is stopped", self.routers[n].config.name));
                self.retire(n);
            }
        }
        for new in &config.instances {
            let goes_on = |router: &&Router| !self.node[router.id].is_retired() && same(&router.config, new);
            let found = self.routers.iter().find(goes_on).map(|router| router.id);
            match found {
                Some(n) => match changes::of(&self.routers[n].config, new) {
                    None => self.routers[n].config = new.clone(),
                    Some(change) => {
                        changes.push(change);
                        self.change(n, new.clone());
                    }
                },
                None => {
                    changes.push(format!("({}) is started", new.name));
                    let interface = self.interface(&new.interface);
                    let id = self.node.add(settings(new, interface), now);
                    let router = Router::new(id, new.clone(), interface);
                    if let Some(xdp) = self.interfaces[interface].xdp() {
                        router.describe(&xdp.adverts);
                    }
                    self.routers.push(router);
                }
            }
        }
        let rescheduled = self.config.global.process != config.global.process;
        self.config = config;
        if rescheduled {
            self.reschedule();
        }
        self.reload_time = ReloadTime::follow(&self.config.global.reload);
        self.plan_links(plans);
        self.delays.configure(&self.config.interface_delays);
        self.update_firewall();
        self.statics.doubt();
        self.statics.routes.forget();
        self.notifier.apply(&self.config);
        self.regroup(now);
        self.listen_to_unknown();
        self.raise_programs();
        let herald = self.node.is_resuming().then(|| self.herald()).flatten();
        self.reconsider();
        if herald.is_some() {
            // The machines speak for themselves from now on.
            self.node.release_adverts();
            self.perform();
        }
        drop(herald);
        if self.config.global.fifos.states_on_reload && !self.node.is_resuming() {
            self.repeat_states();
        }
        changes
    }

    /// Position of the interface in the list, where it is put if it is not there yet.
    fn interface(&mut self, name: &str) -> usize {
        self.interfaces.iter().position(|interface| interface.name == name).unwrap_or_else(|| {
            self.interfaces.push(Interface::new(name));
            self.interfaces.len() - 1
        })
    }

    /// Lets a router leave gracefully. One that a new instance takes the place of leaves at once.
    fn retire(&mut self, id: RouterId) {
        self.node.retire(id, clock::now());
        self.perform();
        let router = &self.routers[id];
        if let Some(xdp) = self.interfaces[router.interface].xdp() {
            xdp.adverts.configure(router.slot(), None);
        }
    }

    fn change(&mut self, id: RouterId, new: Instance) {
        let now = clock::now();
        let links = self.monitor.links();
        let router = &mut self.routers[id];
        let others = changes::addresses_differ(&router.config, &new) && self.node[id].presence().was_added();
        if others {
            let (replaced, gone) = changes::gone(&router.config, &new);
            let config = &router.config;
            let specs =
                |vips: &[Vip]| specs(vips.iter().map(|vip| (config.device_of(vip), vip)), links, |_| {});
            self.obsolete.extend(specs(&gone));
            // To the kernel this is the same address, so the old one makes room before the next turn adds the new.
            let replaced = specs(&replaced);
            if !replaced.is_empty() {
                for removal in self.addresses.remove(&replaced) {
                    if let Removal::Failed(error) = removal {
                        self.notes.push(Note::NotRemoved { error });
                    }
                }
            }
        }
        router.configure(new);
        let settings = settings(&router.config, router.interface);
        self.node.configure(id, settings, now);
        if others {
            // The next turn adds what is new; what is there already stays as it is.
            self.node.add_addresses_again(id, now);
        }
        self.perform();
    }

    /// What probes on an interface are authenticated by: `fast_key`, or what follows from the secret of the adverts, where
    /// all of its virtual routers have the same. With `auth_hmac` also what else its mode or its keys let through.
    pub(super) fn probe_keys(&self, interface: usize) -> Keys {
        let here = |router: &&Router| router.interface == interface && !self.node[router.id].is_retired();
        let on_it = || self.routers.iter().filter(here);
        // Where none takes part, their peers are told so under the same key.
        let apart = on_it().all(|router| !router.config.fast.enabled);
        let mut routers = on_it().filter(|router| apart || router.config.fast.enabled);
        let Some(first) = routers.next() else { return Keys::NONE };
        if let Some(key) = first.config.fast.key {
            return Keys::new(Some(Secret::Configured(key.0)), None);
        }
        let (auth, signed) = (first.config.auth, first.config.hmac.on());
        if routers.any(|router| router.config.auth != auth || router.config.hmac.on() != signed) {
            return Keys::NONE;
        }
        if let Some(hmac) = signed {
            let secret = |(_, key): &Numbered| Secret::Derived(key.probe_key());
            // While peers without keys are let in, so are their probes; while keys are being changed, either counts.
            let second = if hmac.mode.wants_trailer() {
                hmac.keys.iter().rev().find(|key| key.0 != hmac.active.0).map(|key| Some(secret(key)))
            } else {
                Some(None)
            };
            return Keys::new(Some(secret(&hmac.active)), second);
        }
        let current = match auth {
            Auth::None => None,
            Auth::Password(secret) => Some(Secret::Derived(derived_key(*b"PASS", secret))),
            Auth::Header(secret) => Some(Secret::Derived(derived_key(*b"AH\0\0", secret))),
        };
        Keys::new(current, None)
    }

    /// `xdp_mode` for an interface: that of the first of its instances.
    pub(super) fn xdp_mode(&self, interface: usize) -> XdpMode {
        let first = self.routers.iter().find(|router| router.interface == interface);
        first.map_or(self.config.global.xdp_mode, |router| router.config.xdp_mode)
    }
}

/// Whether two instances are the same virtual router.
pub(super) fn same(a: &Instance, b: &Instance) -> bool {
    (&a.interface, a.vrid, a.family, a.version) == (&b.interface, b.vrid, b.family, b.version)
}

//! A new configuration while the daemon runs: only what changed is touched.
//!
//! Which virtual routers go on is the node's to say ([`ha_common::node::Node::reload`]); here follows what it does not see:
//! addresses, secrets, what is tracked. A file that cannot be used changes nothing at all.

use ha_common::machine::State;
use ha_common::node::{Fate, Reload, RouterId, Settings};
use ha_common::packet::Auth;
use ha_common::packet::hmac::Numbered;
use ha_common::probe::{Keys, Secret, derived_key};
use ha_common::time::Time;

use super::Daemon;
use crate::config::Loaded;
use crate::config::model::{Config, Instance, Vip, XdpMode};
use crate::control::protocol::{Reloaded, Response};
use crate::net::clock;
use crate::notify::{self, Event, What};
use crate::runtime::changes;
use crate::runtime::configuration::Configuration;
use crate::runtime::devices;
use crate::runtime::router::Router;
use crate::runtime::scheduling;
use crate::runtime::settings::settings;
use crate::runtime::vips::specs;

impl Daemon {
    /// Puts a configuration into force that nothing was found against.
    pub(super) fn apply(&mut self, loaded: Loaded) -> Response {
        let diagnostics = crate::runtime::log_diagnostics(&loaded);
        let changes = self.configure(loaded.config);
        if changes.is_empty() {
            tracing::info!(kind = "configuration", "reload: nothing changed");
        }
        for change in &changes {
            tracing::info!(kind = "configuration", "reload: {change}");
        }
        Response::Reloaded(Reloaded { changes, diagnostics })
    }

    /// Puts a configuration into force; at start as well as later. Returns what changed.
    pub(super) fn configure(&mut self, mut config: Config) -> Vec<String> {
        let plans = devices::resolve(&mut config, self.host.links());
        let mut changes = Vec::new();
        let now = clock::now();
        let around = changes::around(&self.configuration.in_force, &config);
        if !around.is_empty() {
            self.workers.watch(&config);
            changes.extend(around);
        }
        self.configure_instances(&config, now, &mut changes);
        let rescheduled = self.configuration.in_force.global.process != config.global.process;
        self.configuration.in_force = config;
        if rescheduled {
            self.reschedule();
        }
        self.configuration.follow_reload_time();
        let Self { host, configuration, notes, .. } = self;
        host.configure(plans, &configuration.in_force, notes);
        configuration.find_unfenced(|device| host.virtual_links.base(device));
        self.workers.notifier.apply(&self.configuration.in_force);
        self.workers.metrics.serve(&self.configuration.in_force.global);
        self.regroup(now);
        self.restore_holds();
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
        if self.configuration.in_force.global.fifos.states_on_reload && !self.node.is_resuming() {
            self.repeat_states();
        }
        changes
    }

    /// Stops the virtual routers that a configuration has no more, changes those that it has otherwise, and starts those
    /// that are new.
    fn configure_instances(&mut self, config: &Config, now: Time, changes: &mut Vec<String>) {
        let wanted: Vec<Settings> =
            config.instances.iter().map(|new| settings(new, self.interfaces.named(&new.interface))).collect();
        let Self { node, routers, .. } = self;
        let differs =
            |n: usize, id| routers.get(id).is_some_and(|router| router.config != config.instances[n]);
        let Reload { retired, fates } = node.reload(&wanted, differs, now);
        for id in retired {
            changes.push(format!("({}) is stopped", self.routers[id].config.name));
            self.forget_slot(id);
        }
        for (fate, new) in fates.into_iter().zip(&config.instances) {
            match fate {
                Fate::Unchanged(id) => self.routers[id].config = new.clone(),
                Fate::Configured(id) => {
                    changes.extend(changes::of(&self.routers[id].config, new));
                    self.configure_router(id, new.clone(), now);
                }
                Fate::Added(id) => {
                    changes.push(format!("({}) is started", new.name));
                    self.start_router(id, new);
                }
            }
        }
        self.perform();
    }

    fn start_router(&mut self, id: RouterId, new: &Instance) {
        let interface = self.interfaces.named(&new.interface);
        let router = Router::new(id, new.clone(), interface);
        if let Some(xdp) = self.interfaces[interface].xdp() {
            router.describe(&xdp.adverts);
        }
        self.routers.push(router);
    }

    /// Adverts for a virtual router that leaves are nobody's any more; one that takes its place describes itself.
    fn forget_slot(&self, id: RouterId) {
        let router = &self.routers[id];
        if let Some(xdp) = self.interfaces[router.interface].xdp() {
            xdp.adverts.configure(router.slot(), None);
        }
    }

    /// What the node does not see of an instance that has changed.
    fn configure_router(&mut self, id: RouterId, new: Instance, now: Time) {
        let links = self.host.links();
        let router = &mut self.routers[id];
        let others = changes::addresses_differ(&router.config, &new) && self.node[id].presence().was_added();
        if others {
            let (replaced, gone) = changes::gone(&router.config, &new);
            let config = &router.config;
            let specs =
                |vips: &[Vip]| specs(vips.iter().map(|vip| (config.device_of(vip), vip)), links, |_| {});
            let (replaced, gone) = (specs(&replaced), specs(&gone));
            if self.node[id].presence().is_behind() {
                // The fence will know nothing of them in a moment.
                self.host.remove_addresses(&gone, &mut self.notes);
            } else {
                self.host.obsolete.extend(gone);
            }
            // To the kernel this is the same address, so the old one makes room before the next turn adds the new.
            if !replaced.is_empty() {
                self.host.remove_addresses(&replaced, &mut self.notes);
            }
        }
        router.configure(new);
        if others {
            // The next turn adds what is new; what is there already stays as it is.
            self.node.add_addresses_again(id, now);
        }
    }

    /// What probes on an interface are authenticated by: `fast_key`, or what follows from the secret of the adverts, where
    /// all of its virtual routers have the same. With `auth_hmac` also what else its mode or its keys let through.
    pub(super) fn probe_keys(&self, interface: usize) -> Keys {
        let here = |router: &&Router| !self.node[router.id].is_retired();
        let on_it = || self.routers.on(interface).filter(here);
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
        let first = self.routers.on(interface).next();
        first.map_or(self.configuration.in_force.global.xdp_mode, |router| router.config.xdp_mode)
    }

    /// After a reload that changed the settings. BFD hears of them with its sessions.
    fn reschedule(&mut self) {
        let Configuration { in_force, warnings, .. } = &mut self.configuration;
        let process = &in_force.global.process;
        scheduling::bind(process, warnings);
        scheduling::prefer_this_thread(process, warnings);
        self.fast.schedule(scheduling::above(process));
    }

    /// `fifo_write_vrrp_states_on_reload`: every state, as if it had just been entered, but to the FIFOs only.
    fn repeat_states(&mut self) {
        let still = |state: State| {
            Some(What::Still(match state {
                State::Master => notify::State::Master,
                State::Backup => notify::State::Backup,
                State::Fault => notify::State::Fault,
                State::Init | State::Leaving => return None,
            }))
        };
        let instances = self.routers.iter().filter_map(|router| {
            let machine = self.node[router.id].machine();
            let what = still(machine.state())?;
            let (name, priority) = (router.config.name.clone(), machine.priority().get());
            Some(Event::of_instance(name, what, priority))
        });
        let groups = self.node.groups().iter().filter_map(|group| {
            let what = still(group.state()?)?;
            let name = self.configuration.group(group.id())?.name.clone();
            Some(Event::of_group(name, what))
        });
        for event in instances.chain(groups).collect::<Vec<_>>() {
            self.workers.tell(event);
        }
    }
}

//! A new configuration while the daemon runs: only what changed is touched.
//!
//! An instance is the same one as long as interface, VRID, family and version are; then it keeps its state, its
//! timers and its statistics, whatever else changed. A file that cannot be used changes nothing at all.

use ha_common::machine::{Input, State};

use super::daemon::Daemon;
use super::interface::Interface;
use super::links::vips;
use super::router::Router;
use super::turn::specs;
use crate::config::Loaded;
use crate::config::model::{Config, Instance, XdpMode};
use crate::control::protocol::{Failure, Reloaded, Response};
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
    pub(super) fn adopt(&mut self, config: Config) -> Vec<String> {
        let mut changes = Vec::new();
        let now = clock::now();
        if config.scripts != self.config.scripts || config.global != self.config.global {
            self.runner.apply(&config.scripts, &config.global);
            changes.push("scripts and global settings are applied".to_owned());
        }
        for n in 0..self.routers.len() {
            let kept = config.instances.iter().any(|new| same(&self.routers[n].config, new));
            if !kept && !self.routers[n].retired {
                changes.push(format!("({}) is stopped", self.routers[n].config.name));
                self.retire(n);
            }
        }
        for new in &config.instances {
            let found = self.routers.iter().position(|router| !router.retired && same(&router.config, new));
            match found {
                Some(n) if unplaced(&self.routers[n].config) == unplaced(new) => {
                    self.routers[n].config = new.clone();
                }
                Some(n) => {
                    changes.push(format!("({}) has new settings", new.name));
                    self.change(n, new.clone());
                }
                None => {
                    changes.push(format!("({}) is started", new.name));
                    let interface = self.interface(&new.interface);
                    let router = Router::new(new.clone(), interface, now);
                    if let Some(xdp) = self.interfaces[interface].xdp() {
                        xdp.adverts.configure(router.slot(), true);
                    }
                    self.routers.push(router);
                }
            }
        }
        self.config = config;
        self.reconsider();
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
    fn retire(&mut self, n: usize) {
        let now = clock::now();
        self.feed(n, Input::Stop, now, None);
        self.routers[n].retired = true;
        if let Some(xdp) = self.interfaces[self.routers[n].interface].xdp() {
            xdp.adverts.configure(self.routers[n].slot(), false);
        }
        // Nothing is heard for it any more, so that there is no successor to wait for.
        if self.routers[n].machine.state() == State::Leaving {
            self.feed(n, Input::Stop, now, None);
        }
    }

    fn change(&mut self, n: usize, new: Instance) {
        let now = clock::now();
        let links = self.monitor.links();
        let router = &mut self.routers[n];
        if !vips(&router.config).eq(vips(&new)) && router.installed {
            let gone: Vec<_> = vips(&router.config)
                .filter(|old| {
                    !vips(&new).any(|vip| {
                        (vip.address, vip.prefix, &vip.device) == (old.address, old.prefix, &old.device)
                    })
                })
                .cloned()
                .collect();
            self.obsolete.extend(specs(&router.config.interface, gone.iter(), links, |_| {}));
            // The next turn adds what is new; what is there already stays as it is.
            router.installed = false;
            router.arp.again(now, ha_common::time::Span::ZERO, new.garp.repeat);
            router.na.again(now, ha_common::time::Span::ZERO, new.garp.repeat);
        }
        router.configure(new);
        let params = router.params();
        self.feed(n, Input::Reconfigure(params), now, None);
    }

    /// `fast_key` for an interface.
    pub(super) fn probe_key(&self, interface: usize) -> Option<[u64; 2]> {
        let first = self.routers.iter().find(|router| router.interface == interface);
        first.and_then(|router| router.config.fast.key).map(|key| key.0)
    }

    /// `xdp_mode` for an interface: that of the first of its instances.
    pub(super) fn xdp_mode(&self, interface: usize) -> XdpMode {
        let first = self.routers.iter().find(|router| router.interface == interface);
        first.map_or(self.config.global.xdp_mode, |router| router.config.xdp_mode)
    }
}

/// Whether two instances are the same virtual router.
fn same(a: &Instance, b: &Instance) -> bool {
    (&a.interface, a.vrid, a.family, a.version) == (&b.interface, b.vrid, b.family, b.version)
}

/// An instance without the places where things were written, which change when a comment does.
fn unplaced(instance: &Instance) -> Instance {
    let mut copy = instance.clone();
    copy.place = Default::default();
    for vip in copy.vips.iter_mut().chain(&mut copy.excluded) {
        vip.place = Default::default();
    }
    copy
}

//! What the daemon has of its host: the links that it follows, and everything that it puts there and takes away again.
//!
//! Nothing is decided here: the methods get what they need of virtual routers and configuration as arguments. They lie
//! in the files below, one for each job, and nobody imports them.

mod addresses;
mod firewall;
mod routes;
mod statics;
mod virtual_links;

use std::path::Path;

use ha_common::time::Time;

use super::delays::Delays;
use super::devices::LinkPlan;
use super::note::Note;
use super::statics::Statics;
use super::vmac::VirtualLinks;
use crate::config::model::Config;
use crate::net::addresses::{AddressSpec, Addresses, Marks, Removal};
use crate::net::firewall::Firewall;
use crate::net::monitor::{Links, Monitor};
use crate::net::neighbours::Neighbours;
use crate::net::routing::{Remembered, Routing};

/// The host, as far as the daemon reads and changes it.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) monitor: Monitor,
    pub(super) delays: Delays,
    pub(super) addresses: Addresses,
    /// Addresses that a reload has taken out of the configuration.
    pub(super) obsolete: Vec<AddressSpec>,
    pub(super) routing: Routing,
    pub(super) remembered: Remembered,
    pub(super) statics: Statics,
    pub(super) virtual_links: VirtualLinks,
    pub(super) neighbours: Neighbours,
    pub(super) firewall: Firewall,
    /// Why no address can be added at all.
    refusal: Option<String>,
}

impl Host {
    /// Begins to follow the links. What an earlier run has left is in files of `run_dir`. Must be called inside a tokio
    /// runtime.
    ///
    /// # Errors
    ///
    /// No netlink.
    pub(super) async fn open(run_dir: &Path, marks: Marks) -> anyhow::Result<Self> {
        Ok(Self {
            monitor: Monitor::start().await?,
            delays: Delays::default(),
            addresses: Addresses::open_remembering(run_dir.join("addresses"), marks)?,
            obsolete: Vec::new(),
            routing: Routing::open()?,
            remembered: Remembered::load(run_dir.join("routes")),
            statics: Statics::default(),
            virtual_links: VirtualLinks::new(run_dir)?,
            neighbours: Neighbours::open()?,
            firewall: Firewall::new(run_dir.join("nftables")),
            refusal: None,
        })
    }

    /// No address can be added in this run.
    pub(super) fn refuse(&mut self, why: String) {
        self.refusal = Some(why);
    }

    /// Why no address can be added at all.
    pub(super) fn refusal(&self) -> Option<&str> {
        self.refusal.as_deref()
    }

    /// All links as they are.
    pub(super) fn links(&self) -> &Links {
        self.monitor.links()
    }

    /// The links as they count now, with `interface_up_down_delays`; `None` where they count as they are.
    pub(super) fn delayed_links(&mut self, now: Time) -> Option<Links> {
        self.delays.view(self.monitor.links(), now)
    }

    /// Takes a configuration that has come into force, with the interfaces that are to be made for it.
    pub(super) fn configure(&mut self, plans: Vec<LinkPlan>, config: &Config, notes: &mut Vec<Note>) {
        self.plan_links(plans, config, notes);
        self.delays.configure(&config.interface_delays);
        self.update_firewall(config);
        self.statics.mark_dirty();
        self.statics.routes.forget();
    }

    /// Removes addresses in one netlink batch; what cannot be removed is noted.
    pub(super) fn remove_addresses(&mut self, specs: &[AddressSpec], notes: &mut Vec<Note>) {
        for removal in self.addresses.remove(specs) {
            if let Removal::Failed(error) = removal {
                notes.push(Note::NotRemoved { error });
            }
        }
    }
}

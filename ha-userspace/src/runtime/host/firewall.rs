//! The table of nftables: which addresses of the configuration take no packets. How: [`crate::net::firewall`].

use super::Host;
use crate::config::model::{Config, Firewall};
use crate::net::firewall::Refusal;
use crate::runtime::vips::{refuses, vips};

impl Host {
    /// Tells nftables which addresses of the configuration take no packets.
    pub(super) fn update_firewall(&mut self, config: &Config) {
        let addresses = config
            .instances
            .iter()
            .filter(|config| refuses(config))
            .flat_map(|config| vips(config).map(|vip| (config.device_of(vip).to_owned(), vip.address)));
        let Firewall { table, priority, counters } = config.global.firewall.clone();
        self.firewall.apply(Refusal { table, priority, counters, addresses: addresses.collect() });
    }
}

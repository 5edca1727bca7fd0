//! The virtual addresses of an instance: all of them, on which devices, and whether they take packets.

use ha_common::types::Priority;

use crate::config::model::{Instance, Vip};
use crate::net::addresses::AddressSpec;
use crate::net::monitor::Links;

/// Every virtual address of an instance.
pub(super) fn vips(config: &Instance) -> impl Iterator<Item = &Vip> {
    config.vips.iter().chain(&config.excluded)
}

/// Addresses on their devices.
pub(super) fn specs<'a>(
    vips: impl Iterator<Item = (&'a str, &'a Vip)>,
    links: &Links,
    mut missing: impl FnMut(&str),
) -> Vec<AddressSpec> {
    vips.filter_map(|(device, vip)| {
        let link = links.by_name(device);
        if link.is_none() {
            missing(device);
        }
        link.map(|link| AddressSpec::new(link.index, vip))
    })
    .collect()
}

/// Whether packets for the addresses of an instance are dropped: `no_accept`, unless it is their owner.
pub(super) fn refuses(config: &Instance) -> bool {
    !config.accept && config.priority != Priority::OWNER
}

//! Which addresses the fences are about, and which take no packets at all.
//!
//! What the program is told of virtual routers is [`ha_common::node`]'s.

use ha_common::layout::{VIP_NO_ACCEPT, VipSlot};

use super::Daemon;
use crate::net::clock;
use crate::runtime::vips::{refuses, vips};

impl Daemon {
    /// Tells the XDP programs which addresses their fences are about: all of the configuration, so that a takeover
    /// has nothing to add. A node that holds none of them is not probed, and its fence stays open.
    pub(super) fn update_fences(&mut self) {
        let now = clock::now();
        self.with_kernel(|node, kernel| node.take_part(now, kernel));
        self.perform();
        let Self { routers, interfaces, node, host, .. } = self;
        let resuming = node.is_resuming();
        for interface in interfaces {
            let name = interface.name.clone();
            let Some(xdp) = interface.xdp_mut() else { continue };
            // One with fast failover makes its interface's program vouch for all that run there.
            let there = || routers.iter().filter(|router| !node[router.id].is_retired());
            let takes_part =
                |at: usize| there().any(|router| router.interface == at && router.config.fast.enabled);
            let fenced = there().filter(|router| takes_part(router.interface));
            let runs_on = |device: &str| fenced.clone().any(|router| router.config.interface == device);
            let on_it = fenced.clone().flat_map(|router| {
                let config = &router.config;
                // What is said of a virtual router is in the map of the interface that it runs on.
                let mut slot = if config.interface == name {
                    VipSlot::of(config.family, config.vrid)
                } else {
                    VipSlot::default()
                };
                // Where the program does not know whether the addresses are here, packets that pass through are not to
                // be dropped: there the rules of nftables alone refuse.
                if refuses(config) && slot.vrid != 0 {
                    slot.flags |= VIP_NO_ACCEPT;
                }
                vips(config)
                    .filter(|vip| {
                        let device = host.virtual_links.base(config.device_of(vip));
                        // An address on an interface without a program, such as `lo`, also answers on this one.
                        device == name || config.interface == name && !runs_on(device)
                    })
                    .map(move |vip| (vip.address, slot))
            });
            // At start the addresses that an earlier run added are still there.
            let before: Vec<_> = if resuming { xdp.vips.iter().collect() } else { Vec::new() };
            if let Err(error) = xdp.vips.set(on_it.chain(before)) {
                tracing::error!("{name}: the fence does not know all addresses: {error}");
            }
            xdp.lease.set_refusing(xdp.vips.iter().any(|(_, slot)| slot.flags & VIP_NO_ACCEPT != 0));
        }
    }
}

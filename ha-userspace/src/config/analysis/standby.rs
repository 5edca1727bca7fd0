//! `hot_standby`: what it means for programs on the backup, and where it comes to nothing.

use ha_common::types::Priority;

use crate::config::codes;
use crate::config::diag::{Diagnostic, Diagnostics};
use crate::config::model::{Config, Instance, Vip, XdpMode};
use crate::config::outline::Outline;

/// Looks at all instances that want it.
pub(super) fn check(config: &Config, outline: &Outline, diags: &mut Diagnostics) {
    for instance in config.instances.iter().filter(|instance| instance.hot_standby) {
        let Some(span) = outline.instance(&instance.name, &["hot_standby"]) else { continue };
        let name = &instance.name;
        diags.push(match unfit(instance) {
            Some(why) => {
                Diagnostic::warning(codes::STANDBY_IMPOSSIBLE, span, format!("no hot standby for `{name}`: {why}"))
                    .label("ignored: the addresses are added by the takeover")
            }
            None => {
                let message = format!("the addresses of `{name}` are on the backup as well");
                Diagnostic::note(codes::STANDBY_SEEN, span, message)
                    .label(
                        "`ip address` shows them on both hosts; programs on the backup reach them locally, and hear \
                         nothing that the master sends from them",
                    )
                    .help("a proxy on the backup can bind to them; `xvrrp status` says who is master")
            }
        });
    }
}

/// Why an instance cannot have its addresses on the interface while it is backup, as far as the file shows.
pub(crate) fn unfit(instance: &Instance) -> Option<String> {
    let vips = || instance.vips.iter().chain(&instance.excluded);
    if !instance.fast.enabled {
        return Some("fast_failover is off".to_owned());
    }
    if instance.xdp_mode == XdpMode::Off {
        return Some("xdp_mode is off, and nothing keeps them silent".to_owned());
    }
    if instance.link.is_some() || instance.vmac_addresses || vips().any(|vip| vip.vmac) {
        return Some("the addresses are on a virtual interface (use_vmac, use_ipvlan)".to_owned());
    }
    if instance.priority == Priority::OWNER {
        return Some("priority 255 is never backup".to_owned());
    }
    let elsewhere = |vip: &&Vip| instance.device_of(vip) != instance.interface;
    if let Some(vip) = vips().find(elsewhere) {
        let device = instance.device_of(vip);
        return Some(format!("{} is on {device}, not on {}", vip.address, instance.interface));
    }
    let speaks = |vip: &&Vip| vip.address.is_ipv6() && vip.preferred_lft != Some(0);
    vips().find(speaks).map(|vip| {
        format!(
            "{} may be chosen as the source of this host's own packets; write it with /128 or preferred_lft 0",
            vip.address
        )
    })
}

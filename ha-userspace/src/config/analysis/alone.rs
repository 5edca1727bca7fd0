//! What one file shows by itself, besides its weights.

use std::net::IpAddr;

use crate::config::codes;
use crate::config::diag::{Diagnostic, Diagnostics};
use crate::config::model::{Config, Instance, Vip};
use crate::config::outline::Outline;

/// Looks at scripts, unicast peers and addresses.
pub(super) fn check(config: &Config, outline: &Outline, diags: &mut Diagnostics) {
    for script in &config.scripts {
        if script.timeout <= script.interval {
            continue;
        }
        let name = &script.name;
        let Some(span) = outline.line("vrrp_script", name, "timeout") else { continue };
        let message = format!(
            "script `{name}` may run for {:?}, longer than its interval of {:?}",
            script.timeout, script.interval
        );
        diags.push(
            Diagnostic::note(codes::SCRIPT_OVERLAPS, span, message)
                .label("while it hangs no other run is started, and its failure is noticed that late")
                .help("write a timeout that is no longer than the interval"),
        );
    }
    for instance in &config.instances {
        unfenced_addresses(config, instance, outline, diags);
    }
    for instance in &config.instances {
        let (Some(source), Some(unicast)) = (instance.source, &instance.unicast) else { continue };
        if !unicast.peers.iter().any(|peer| peer.address == source) {
            continue;
        }
        let line = outline.inner("vrrp_instance", &instance.name, "unicast_peer", &source.to_string());
        let Some(span) = line.or_else(|| outline.instance(&instance.name, &["unicast_peer"])) else {
            continue;
        };
        let message = format!("`{}` has its own address {source} among its peers", instance.name);
        let finding = if unicast.peers.len() == 1 {
            Diagnostic::note(codes::OWN_PEER, span, message)
                .label("the other router gets no adverts, and both become master")
                .help("write the address of the other router")
        } else {
            // One file for all routers: common, and harmless.
            continue;
        };
        diags.push(finding);
    }
}

/// The interfaces without a fence on which addresses of an instance with fast failover are, each with the first of them:
/// no instance with fast failover runs there. `below` is the interface on which packets for an interface come in.
pub(crate) fn unfenced<'a>(
    instances: &'a [Instance],
    instance: &'a Instance,
    below: impl Fn(&'a str) -> &'a str,
) -> Vec<(IpAddr, &'a str)> {
    let mut found: Vec<(IpAddr, &str)> = Vec::new();
    let mut fenced: Vec<_> = Vec::new();
    if instance.fast.enabled {
        let enabled = instances.iter().filter(|other| other.fast.enabled);
        fenced.extend(enabled.map(|other| below(&other.interface)));
        for Vip { address, device, .. } in instance.vips.iter().chain(&instance.excluded) {
            let Some(device) = device.as_deref().map(&below) else { continue };
            // What is on the loopback interface comes in through the others, and is fenced there. What is no name of an
            // interface is another finding.
            if device != "lo"
                && !device.contains(':')
                && !fenced.contains(&device)
                && !found.iter().any(|(_, known)| *known == device)
            {
                found.push((*address, device));
            }
        }
    }
    found
}

/// Once for each interface: who has many addresses there knows them.
fn unfenced_addresses(config: &Config, instance: &Instance, outline: &Outline, diags: &mut Diagnostics) {
    for (address, device) in unfenced(&config.instances, instance, |device| device) {
        let excluded = !instance.vips.iter().any(|vip| vip.address == address);
        let block = if excluded { "virtual_ipaddress_excluded" } else { "virtual_ipaddress" };
        let line = outline.instance(&instance.name, &[block]);
        let Some(span) = line else { continue };
        let message = format!("{address} of `{}` is on {device}, which has no fence", instance.name);
        diags.push(
            Diagnostic::note(codes::VIP_UNFENCED, span, message)
                .label(format!(
                    "no virtual router with fast failover runs on {device}: when this daemon is killed or hangs, the host \
                     goes on answering for the address there beside the router that takes over"
                ))
                .help(format!("give it a vrrp_instance of its own on {device}, in a vrrp_sync_group with this one")),
        );
    }
}

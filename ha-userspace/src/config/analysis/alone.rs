//! What one file shows by itself, besides its weights.

use crate::config::codes;
use crate::config::diag::{Diagnostic, Diagnostics};
use crate::config::model::Config;
use crate::config::outline::Outline;

/// Looks at scripts and unicast peers.
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
                .cause("while it hangs no other run is started, and its failure is noticed that late")
                .help("write a timeout that is no longer than the interval"),
        );
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
                .cause("the other router gets no adverts, and both become master")
                .help("write the address of the other router")
        } else {
            // One file for all routers: common, and harmless.
            continue;
        };
        diags.push(finding);
    }
}

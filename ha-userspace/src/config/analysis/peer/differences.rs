//! Differences that two routers of one virtual router may have, whatever their version: addresses, peers, priorities.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ha_common::types::Priority;

use super::{Found, Sides};
use crate::config::analysis::weights;
use crate::config::codes;
use crate::config::diag::{Diagnostic, Severity};
use crate::config::model::{Config, Instance, Unicast, Vip};
use crate::config::outline::Outline;

impl Sides<'_> {
    pub(super) fn addresses(&mut self, a: &Instance, b: &Instance) {
        let vips: fn(&Instance) -> &[Vip] = |instance| &instance.vips;
        let excluded: fn(&Instance) -> &[Vip] = |instance| &instance.excluded;
        let lists = [
            ("virtual_ipaddress", vips, "the address moves away, but not to the other router"),
            ("virtual_ipaddress_excluded", excluded, "adverts do not carry these, so nobody would notice"),
        ];
        for (keyword, list, label) in lists {
            let severity = Severity::Warning;
            let set = |instance| list(instance).iter().map(|vip| vip.address).collect::<BTreeSet<_>>();
            let (left, right) = (set(a), set(b));
            let only = |x: &BTreeSet<IpAddr>, y: &BTreeSet<IpAddr>| {
                let few: Vec<_> = x.difference(y).take(4).map(ToString::to_string).collect();
                few.join(", ")
            };
            let (here, there) = (only(&left, &right), only(&right, &left));
            let (message, severity, label) = match (here.is_empty(), there.is_empty()) {
                (true, true) => {
                    let order = |instance| list(instance).iter().map(|vip| vip.address).collect::<Vec<_>>();
                    // In IPv6 adverts the first address has a meaning (RFC 9568 section 5.2.9).
                    if keyword == "virtual_ipaddress" && order(a).first() != order(b).first() {
                        let message = format!("`{}` has the same addresses in another order there", a.name);
                        (message, Severity::Note, "routers of some vendors compare them one by one")
                    } else {
                        continue;
                    }
                }
                (false, true) => (format!("`{}` has {here} only here ({keyword})", a.name), severity, label),
                (true, false) => {
                    (format!("`{}` has {there} only there ({keyword})", a.name), severity, label)
                }
                (false, false) => (
                    format!("`{}` has {here} only here and {there} only there ({keyword})", a.name),
                    severity,
                    label,
                ),
            };
            let help = "write the same list into both files";
            let code = codes::TWIN_ADDRESSES;
            self.differ(Found { a, b, severity, code, keywords: &[keyword], message, label, help });
        }
    }

    pub(super) fn unicast(&mut self, a: &Instance, b: &Instance) {
        let code = codes::TWIN_UNICAST;
        let severity = Severity::Error;
        let keywords: &[&str] = &["unicast_peer", "unicast_src_ip"];
        let label = "adverts do not arrive, and both become master";
        match (&a.unicast, &b.unicast) {
            (None, None) => {}
            (Some(_), None) | (None, Some(_)) => {
                let (here, there) =
                    if a.unicast.is_some() { ("unicast", "multicast") } else { ("multicast", "unicast") };
                let message = format!("`{}` uses {here} here and {there} there", a.name);
                let help = "give both unicast_peer, or none";
                self.differ(Found { a, b, severity, code, keywords, message, label, help });
            }
            (Some(from_a), Some(from_b)) => {
                let misses = |peers: &Unicast, source: Option<IpAddr>| {
                    source.filter(|source| !peers.peers.iter().any(|peer| peer.address == *source))
                };
                if let Some(source) = misses(from_a, b.source) {
                    let message = format!(
                        "`{}` does not send to {source}, the unicast_src_ip of the other router",
                        a.name
                    );
                    let help = &format!("add {source} to unicast_peer here");
                    self.differ(Found { a, b, severity, code, keywords, message, label, help });
                }
                if let Some(source) = misses(from_b, a.source) {
                    let message = format!(
                        "the other router's `{}` does not send to {source}, the unicast_src_ip of this one",
                        b.name
                    );
                    let help = &format!("add {source} to unicast_peer there");
                    self.differ(Found { a, b, severity, code, keywords, message, label, help });
                }
                if let (Some(x), Some(y)) = (a.source, b.source)
                    && x == y
                {
                    let message = format!("`{}` sends from {x} here and there", a.name);
                    let help = "each router has an address of its own";
                    self.differ(Found { a, b, severity, code, keywords, message, label, help });
                }
            }
        }
    }

    pub(super) fn priorities(&mut self, a: &Instance, b: &Instance, own: &Config, other: &Config) {
        let normal = |config, instance: &Instance, outline| {
            let trackers = weights::trackers(instance, outline);
            let gains = if weights::count(config, instance) { weights::gains(&trackers) } else { 0 };
            instance.priority.weighted(gains)
        };
        let (p, q) = (normal(own, a, self.a), normal(other, b, self.b));
        if p == q {
            let severity = if p == Priority::OWNER { Severity::Error } else { Severity::Warning };
            let weights = if p == a.priority { "" } else { ", weights included" };
            let message = format!("`{}` has priority {}{weights} on both routers", a.name, p.get());
            let label = "who is master depends on who was first, and after a cut on the higher address";
            let help = "give the preferred router the higher priority";
            let (code, keywords) = (codes::TWIN_PRIORITY, &["priority"][..]);
            self.differ(Found { a, b, severity, code, keywords, message, label, help });
            return;
        }
        if p > q {
            self.weights(own, a, self.a, q);
        } else {
            self.weights(other, b, self.b, p);
        }
    }

    /// Can each check of the master, alone, hand over to a router that has `backup`?
    fn weights(&mut self, config: &Config, master: &Instance, outline: &Outline, backup: Priority) {
        if !weights::count(config, master) {
            return;
        }
        let trackers = weights::trackers(master, outline);
        let total = weights::gains(&trackers);
        for tracker in &trackers {
            // The general remark knows no numbers of the other router; this one does.
            self.diags.forget(codes::WEIGHT_CANNOT_DECIDE, tracker.span);
            let (good, bad) = weights::good_and_bad(master, tracker, total);
            if bad < backup.get() && good >= backup.get() {
                continue;
            }
            let message = format!(
                "{} `{}` with weight {} does not change the master of `{}`",
                tracker.kind, tracker.name, tracker.weight.value, master.name
            );
            let label = format!(
                "the priority is {good} while it succeeds and {bad} while it fails; the other router has {}",
                backup.get()
            );
            let needed = i32::from(good) - i32::from(backup.get()) + 1;
            let help = format!(
                "use a weight of at least {needed} or at most -{needed}, or none: then a failure puts `{}` into FAULT",
                master.name
            );
            let code = codes::TWIN_WEIGHT;
            self.diags.push(Diagnostic::warning(code, tracker.span, message).label(label).help(help));
        }
    }
}

//! This router's file against the other router's: what has to be equal, what must not be, and whether a failed check
//! can move the addresses.
//!
//! Instances are paired by VRID and family, and by interface where both routers have several of those: names and
//! interface names may differ between hosts. What is left over may still be the same service under two VRIDs.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ha_common::packet::{Auth, ChecksumForm};
use ha_common::types::{Family, Priority, Version};

use super::weights;
use crate::config::Loaded;
use crate::config::codes::{self, Code};
use crate::config::diag::{Diagnostic, Diagnostics, Severity};
use crate::config::model::{Config, Instance, Vip};
use crate::config::outline::Outline;

/// Compares, and reports into `own`. The other file's own findings are not repeated, unless it cannot run.
pub fn compare(own: &mut Loaded, mut other: Loaded) {
    let name =
        other.diagnostics.sources.first().map(|id| other.diagnostics.sources.name(id).display().to_string());
    let name = name.unwrap_or_else(|| "the other file".to_owned());
    let fatal = other.diagnostics.iter().find(|finding| finding.severity == Severity::Error).cloned();
    let shift = own.diagnostics.sources.absorb(std::mem::take(&mut other.diagnostics.sources));
    other.outline.shift(shift);
    if other.fatal {
        let why = fatal.map(|finding| (shift.span(finding.span), finding.message));
        let Some((span, why)) = why else { return };
        own.diagnostics.push(
            Diagnostic::error(codes::TWIN_UNREADABLE, span, format!("{name} cannot run: {why}"))
                .cause("nothing was compared")
                .help(format!("run `xvrrp check {name}`")),
        );
        return;
    }
    if own.fatal {
        return;
    }
    let Loaded { config, outline, diagnostics, .. } = own;
    let mut pairs = Pairs { a: config, b: &other.config, taken: BTreeSet::new() };
    let mut sides = Sides { a: outline, b: &other.outline, name: &name, diags: diagnostics };
    for a in &config.instances {
        match pairs.partner(a) {
            Some(b) => sides.pair(a, b, config, &other.config),
            None => sides.alone(a),
        }
    }
    for b in pairs.left() {
        sides.left(b);
    }
    own.diagnostics.sort();
}

/// Who belongs to whom.
struct Pairs<'a> {
    a: &'a Config,
    b: &'a Config,
    taken: BTreeSet<usize>,
}

impl<'a> Pairs<'a> {
    fn partner(&mut self, a: &Instance) -> Option<&'a Instance> {
        let same = |x: &Instance, y: &Instance| (x.vrid, x.family) == (y.vrid, y.family);
        let rivals = self.a.instances.iter().filter(|other| same(a, other)).count() > 1;
        let free = |index: usize| !self.taken.contains(&index);
        let b = || self.b.instances.iter().enumerate().filter(|(index, _)| free(*index));
        let found = b()
            .find(|(_, b)| same(a, b) && a.interface == b.interface)
            .or_else(|| b().find(|(_, b)| same(a, b) && (a.name == b.name || shared(a, b))))
            .or_else(|| b().find(|(_, b)| same(a, b) && !rivals))
            // The same service, whatever its number: only where nobody has that number.
            .or_else(|| {
                let taken = |b: &Instance| self.a.instances.iter().any(|other| same(other, b));
                b().find(|(_, b)| a.family == b.family && shared(a, b) && !taken(b))
            });
        let (index, b) = found?;
        self.taken.insert(index);
        Some(b)
    }

    fn left(&self) -> impl Iterator<Item = &'a Instance> + use<'a, '_> {
        self.b.instances.iter().enumerate().filter(|(index, _)| !self.taken.contains(index)).map(|(_, b)| b)
    }
}

fn shared(a: &Instance, b: &Instance) -> bool {
    a.vips.iter().any(|vip| b.vips.iter().any(|other| other.address == vip.address))
}

/// The two files, and where to report.
struct Sides<'a> {
    a: &'a Outline,
    b: &'a Outline,
    name: &'a str,
    diags: &'a mut Diagnostics,
}

impl Sides<'_> {
    fn alone(&mut self, a: &Instance) {
        let Some(span) = self.a.instance(&a.name, &["virtual_router_id"]) else { return };
        let message = format!("{} has no instance with VRID {} ({:?})", self.name, a.vrid, a.family);
        self.diags.push(
            Diagnostic::warning(codes::TWIN_ALONE, span, message)
                .cause(format!("nobody takes over from `{}`", a.name))
                .help("add it there, or remove it here"),
        );
    }

    fn left(&mut self, b: &Instance) {
        let Some(span) = self.b.instance(&b.name, &["virtual_router_id"]) else { return };
        let message = format!("only {} has an instance with VRID {} ({:?})", self.name, b.vrid, b.family);
        self.diags.push(
            Diagnostic::warning(codes::TWIN_ALONE, span, message)
                .cause(format!("nobody takes over from `{}`", b.name))
                .help("add it to this router's file, or remove it there"),
        );
    }

    /// A finding at a line of this router's file, with the line of the other's.
    fn differ(&mut self, finding: Found<'_>) {
        let Found { a, b, severity, code, keywords, message, cause, help } = finding;
        let Some(span) = self.a.instance(&a.name, keywords) else { return };
        let mut diagnostic = Diagnostic::new(severity, code, span, message).cause(cause).help(help);
        if let Some(span) = self.b.instance(&b.name, keywords) {
            diagnostic = diagnostic.related(span, "the other router's stands at");
        }
        self.diags.push(diagnostic);
    }

    fn pair(&mut self, a: &Instance, b: &Instance, own: &Config, other: &Config) {
        let mut differ = |severity, code, keywords: &[&str], message: String, cause: &str, help: &str| {
            self.differ(Found { a, b, severity, code, keywords, message, cause, help });
        };
        let name = &a.name;
        if a.vrid != b.vrid {
            let message = format!("`{name}` has VRID {} here and {} there", a.vrid, b.vrid);
            let cause = "each router ignores the other, and both become master";
            let help = "give both the same virtual_router_id";
            differ(Severity::Error, codes::TWIN_VRID, &["virtual_router_id"], message, cause, help);
        }
        if a.version != b.version {
            let message = format!(
                "`{name}` speaks VRRPv{} here and VRRPv{} there",
                a.version.number(),
                b.version.number()
            );
            let cause = "each router drops the other's adverts, and both become master";
            differ(
                Severity::Error,
                codes::TWIN_VERSION,
                &["version"],
                message,
                cause,
                "give both the same version",
            );
            return self.after(a, b, own, other);
        }
        if let Some(what) = auth(a.auth, b.auth) {
            let message = format!("`{name}` {what}");
            let cause = "each router drops the other's adverts, and both become master";
            let keywords = &["authentication"];
            differ(
                Severity::Error,
                codes::TWIN_AUTH,
                keywords,
                message,
                cause,
                "write the same block into both files",
            );
        }
        if a.interval != b.interval {
            let ms = |instance: &Instance| u32::from(instance.interval.get()) * 10;
            let message =
                format!("`{name}` sends an advert every {} ms here and every {} ms there", ms(a), ms(b));
            let (severity, cause) = if a.version == Version::V2 {
                (Severity::Error, "VRRPv2 routers drop adverts with another interval, and both become master")
            } else {
                (
                    Severity::Note,
                    "VRRPv3 backups follow their master: how fast a death is noticed depends on who is master",
                )
            };
            differ(
                severity,
                codes::TWIN_INTERVAL,
                &["advert_int"],
                message,
                cause,
                "give both the same advert_int",
            );
        }
        let unequal = a.checksum != b.checksum && a.family == Family::V4 && a.version == Version::V3;
        if unequal {
            let form = |instance: &Instance| match instance.checksum {
                ChecksumForm::PseudoHeader => "with",
                ChecksumForm::MessageOnly => "without",
            };
            let message = format!(
                "`{name}` computes checksums {} a pseudo-header here and {} one there",
                form(a),
                form(b)
            );
            let cause = "xvrrp takes both; keepalived drops the other's adverts, and both become master";
            let keywords = &["v3_checksum_as_v2"];
            differ(
                Severity::Warning,
                codes::TWIN_CHECKSUM,
                keywords,
                message,
                cause,
                "set v3_checksum_as_v2 alike",
            );
        }
        if a.fast.enabled && b.fast.enabled && a.fast.key != b.fast.key {
            let message = match (a.fast.key, b.fast.key) {
                (Some(_), Some(_)) => format!("`{name}` has another fast_key than the other router"),
                (Some(_), None) => format!("`{name}` has a fast_key here and none there"),
                (None, _) => format!("`{name}` has no fast_key here and one there"),
            };
            let cause = "probes are not answered: the death of a router is noticed by missing adverts only";
            differ(
                Severity::Warning,
                codes::TWIN_KEY,
                &["fast_key"],
                message,
                cause,
                "give both the same fast_key",
            );
        }
        self.after(a, b, own, other);
    }

    /// What counts whatever the version.
    fn after(&mut self, a: &Instance, b: &Instance, own: &Config, other: &Config) {
        self.addresses(a, b);
        self.unicast(a, b);
        self.priorities(a, b, own, other);
    }

    fn addresses(&mut self, a: &Instance, b: &Instance) {
        let vips: fn(&Instance) -> &[Vip] = |instance| &instance.vips;
        let excluded: fn(&Instance) -> &[Vip] = |instance| &instance.excluded;
        let lists = [
            ("virtual_ipaddress", vips, "the address moves away, but not to the other router"),
            ("virtual_ipaddress_excluded", excluded, "adverts do not carry these, so nobody would notice"),
        ];
        for (keyword, list, cause) in lists {
            let severity = Severity::Warning;
            let set = |instance| list(instance).iter().map(|vip| vip.address).collect::<BTreeSet<_>>();
            let (left, right) = (set(a), set(b));
            let only = |x: &BTreeSet<IpAddr>, y: &BTreeSet<IpAddr>| {
                let few: Vec<_> = x.difference(y).take(4).map(ToString::to_string).collect();
                few.join(", ")
            };
            let (here, there) = (only(&left, &right), only(&right, &left));
            let (message, severity, cause) = match (here.is_empty(), there.is_empty()) {
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
                (false, true) => (format!("`{}` has {here} only here ({keyword})", a.name), severity, cause),
                (true, false) => {
                    (format!("`{}` has {there} only there ({keyword})", a.name), severity, cause)
                }
                (false, false) => (
                    format!("`{}` has {here} only here and {there} only there ({keyword})", a.name),
                    severity,
                    cause,
                ),
            };
            let help = "write the same list into both files";
            let code = codes::TWIN_ADDRESSES;
            self.differ(Found { a, b, severity, code, keywords: &[keyword], message, cause, help });
        }
    }

    fn unicast(&mut self, a: &Instance, b: &Instance) {
        let code = codes::TWIN_UNICAST;
        let severity = Severity::Error;
        let keywords: &[&str] = &["unicast_peer", "unicast_src_ip"];
        let cause = "adverts do not arrive, and both become master";
        match (&a.unicast, &b.unicast) {
            (None, None) => {}
            (Some(_), None) | (None, Some(_)) => {
                let (here, there) =
                    if a.unicast.is_some() { ("unicast", "multicast") } else { ("multicast", "unicast") };
                let message = format!("`{}` uses {here} here and {there} there", a.name);
                let help = "give both unicast_peer, or none";
                self.differ(Found { a, b, severity, code, keywords, message, cause, help });
            }
            (Some(from_a), Some(from_b)) => {
                let misses = |peers: &crate::config::model::Unicast, source: Option<IpAddr>| {
                    source.filter(|source| !peers.peers.iter().any(|peer| peer.address == *source))
                };
                if let Some(source) = misses(from_a, b.source) {
                    let message = format!(
                        "`{}` does not send to {source}, the unicast_src_ip of the other router",
                        a.name
                    );
                    let help = &format!("add {source} to unicast_peer here");
                    self.differ(Found { a, b, severity, code, keywords, message, cause, help });
                }
                if let Some(source) = misses(from_b, a.source) {
                    let message = format!(
                        "the other router's `{}` does not send to {source}, the unicast_src_ip of this one",
                        b.name
                    );
                    let help = &format!("add {source} to unicast_peer there");
                    self.differ(Found { a, b, severity, code, keywords, message, cause, help });
                }
                if let (Some(x), Some(y)) = (a.source, b.source)
                    && x == y
                {
                    let message = format!("`{}` sends from {x} here and there", a.name);
                    let help = "each router has an address of its own";
                    self.differ(Found { a, b, severity, code, keywords, message, cause, help });
                }
            }
        }
    }

    fn priorities(&mut self, a: &Instance, b: &Instance, own: &Config, other: &Config) {
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
            let cause = "who is master depends on who was first, and after a cut on the higher address";
            let help = "give the preferred router the higher priority";
            let (code, keywords) = (codes::TWIN_PRIORITY, &["priority"][..]);
            self.differ(Found { a, b, severity, code, keywords, message, cause, help });
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
            let cause = format!(
                "the priority is {good} while it succeeds and {bad} while it fails; the other router has {}",
                backup.get()
            );
            let needed = i32::from(good) - i32::from(backup.get()) + 1;
            let help = format!(
                "use a weight of at least {needed} or at most -{needed}, or none: then a failure puts `{}` into FAULT",
                master.name
            );
            let code: Code = codes::TWIN_WEIGHT;
            self.diags.push(Diagnostic::warning(code, tracker.span, message).cause(cause).help(help));
        }
    }
}

/// A difference.
struct Found<'a> {
    a: &'a Instance,
    b: &'a Instance,
    severity: Severity,
    code: Code,
    keywords: &'a [&'a str],
    message: String,
    cause: &'a str,
    help: &'a str,
}

/// What is different about two ways to authenticate; passwords are not shown.
fn auth(a: Auth, b: Auth) -> Option<String> {
    let kind = |auth: Auth| match auth.number() {
        0 => "does not authenticate",
        1 => "has auth_type PASS",
        _ => "has auth_type AH",
    };
    match (a, b) {
        (a, b) if a == b => None,
        (Auth::Password(_), Auth::Password(_)) => {
            Some("has another auth_pass than the other router".to_owned())
        }
        (a, b) if a.number() == b.number() => Some("has another key than the other router".to_owned()),
        (a, b) => Some(format!("{} here and {} there", kind(a), kind(b))),
    }
}

//! This router's file against the other router's: what has to be equal, what must not be, and whether a failed check
//! can move the addresses.
//!
//! Instances are paired by VRID and family, and by interface where both routers have several of those: names and
//! interface names may differ between hosts. What is left over may still be the same service under two VRIDs.

mod differences;

use std::collections::BTreeSet;

use ha_common::packet::{Auth, ChecksumForm};
use ha_common::types::{Family, Version};

use crate::config::Loaded;
use crate::config::codes::{self, Code};
use crate::config::diag::{Diagnostic, Diagnostics, Severity};
use crate::config::model::{Config, Hmac, HmacSetting, Instance};
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
                .label("nothing was compared")
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
                .label(format!("nobody takes over from `{}`", a.name))
                .help("add it there, or remove it here"),
        );
    }

    fn left(&mut self, b: &Instance) {
        let Some(span) = self.b.instance(&b.name, &["virtual_router_id"]) else { return };
        let message = format!("only {} has an instance with VRID {} ({:?})", self.name, b.vrid, b.family);
        self.diags.push(
            Diagnostic::warning(codes::TWIN_ALONE, span, message)
                .label(format!("nobody takes over from `{}`", b.name))
                .help("add it to this router's file, or remove it there"),
        );
    }

    /// A finding at a line of this router's file, with the line of the other's.
    fn differ(&mut self, finding: Found<'_>) {
        let Found { a, b, severity, code, keywords, message, label, help } = finding;
        let Some(span) = self.a.instance(&a.name, keywords) else { return };
        let mut diagnostic = Diagnostic::new(severity, code, span, message).label(label).help(help);
        if let Some(span) = self.b.instance(&b.name, keywords) {
            diagnostic = diagnostic.related(span, "the other router's stands at");
        }
        self.diags.push(diagnostic);
    }

    fn pair(&mut self, a: &Instance, b: &Instance, own: &Config, other: &Config) {
        self.identities(a, b);
        // Routers of different versions do not understand each other at all.
        if !self.versions(a, b) {
            self.authentication(a, b);
            self.intervals(a, b);
            self.checksums(a, b);
            self.keys(a, b);
        }
        self.addresses(a, b);
        self.unicast(a, b);
        self.priorities(a, b, own, other);
    }

    fn identities(&mut self, a: &Instance, b: &Instance) {
        if a.vrid == b.vrid {
            return;
        }
        self.differ(Found {
            a,
            b,
            severity: Severity::Error,
            code: codes::TWIN_VRID,
            keywords: &["virtual_router_id"],
            message: format!("`{}` has VRID {} here and {} there", a.name, a.vrid, b.vrid),
            label: "each router ignores the other, and both become master",
            help: "give both the same virtual_router_id",
        });
    }

    /// Whether the versions differ.
    fn versions(&mut self, a: &Instance, b: &Instance) -> bool {
        let differ = a.version != b.version;
        if differ {
            let (here, there) = (a.version.number(), b.version.number());
            self.differ(Found {
                a,
                b,
                severity: Severity::Error,
                code: codes::TWIN_VERSION,
                keywords: &["version"],
                message: format!("`{}` speaks VRRPv{here} here and VRRPv{there} there", a.name),
                label: "each router drops the other's adverts, and both become master",
                help: "give both the same version",
            });
        }
        differ
    }

    fn authentication(&mut self, a: &Instance, b: &Instance) {
        if let Some(what) = auth(a.auth, b.auth) {
            self.differ(Found {
                a,
                b,
                severity: Severity::Error,
                code: codes::TWIN_AUTH,
                keywords: &["authentication"],
                message: format!("`{}` {what}", a.name),
                label: "each router drops the other's adverts, and both become master",
                help: "write the same block into both files",
            });
        }
        if let Some((what, severity)) = hmac(&a.hmac, &b.hmac) {
            let label = match severity {
                Severity::Error => "a router drops the other's adverts, and both become master",
                _ => "adverts are understood now; this is a step of a change of keys or of a migration",
            };
            self.differ(Found {
                a,
                b,
                severity,
                code: codes::TWIN_AUTH,
                keywords: &["auth_hmac"],
                message: format!("`{}` {what}", a.name),
                label,
                help: "write the same auth_hmac into both files",
            });
        }
    }

    fn intervals(&mut self, a: &Instance, b: &Instance) {
        if a.interval == b.interval {
            return;
        }
        let ms = |instance: &Instance| u32::from(instance.interval.get()) * 10;
        let (severity, label) = if a.version == Version::V2 {
            (Severity::Error, "VRRPv2 routers drop adverts with another interval, and both become master")
        } else {
            (
                Severity::Note,
                "VRRPv3 backups follow their master: how fast a death is noticed depends on who is master",
            )
        };
        let (here, there) = (ms(a), ms(b));
        self.differ(Found {
            a,
            b,
            severity,
            code: codes::TWIN_INTERVAL,
            keywords: &["advert_int"],
            message: format!("`{}` sends an advert every {here} ms here and every {there} ms there", a.name),
            label,
            help: "give both the same advert_int",
        });
    }

    fn checksums(&mut self, a: &Instance, b: &Instance) {
        if a.checksum == b.checksum || a.family != Family::V4 || a.version != Version::V3 {
            return;
        }
        let form = |instance: &Instance| match instance.checksum {
            ChecksumForm::PseudoHeader => "with",
            ChecksumForm::MessageOnly => "without",
        };
        let (here, there) = (form(a), form(b));
        self.differ(Found {
            a,
            b,
            severity: Severity::Warning,
            code: codes::TWIN_CHECKSUM,
            keywords: &["v3_checksum_as_v2"],
            message: format!(
                "`{}` computes checksums {here} a pseudo-header here and {there} one there",
                a.name
            ),
            label: "xvrrp takes both; keepalived drops the other's adverts, and both become master",
            help: "set v3_checksum_as_v2 alike",
        });
    }

    fn keys(&mut self, a: &Instance, b: &Instance) {
        if !a.fast.enabled || !b.fast.enabled || a.fast.key == b.fast.key {
            return;
        }
        let name = &a.name;
        let message = match (a.fast.key, b.fast.key) {
            (Some(_), Some(_)) => format!("`{name}` has another fast_key than the other router"),
            (Some(_), None) => format!("`{name}` has a fast_key here and none there"),
            (None, _) => format!("`{name}` has no fast_key here and one there"),
        };
        self.differ(Found {
            a,
            b,
            severity: Severity::Warning,
            code: codes::TWIN_KEY,
            keywords: &["fast_key"],
            message,
            label: "probes are not answered: the death of a router is noticed by missing adverts only",
            help: "give both the same fast_key",
        });
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
    label: &'a str,
    help: &'a str,
}

/// What is different about two `auth_hmac`: an error where a router that signs is not understood. Keys are not shown.
fn hmac(a: &HmacSetting, b: &HmacSetting) -> Option<(String, Severity)> {
    let (here, there) = match (a.on(), b.on()) {
        (None, None) => return None,
        (Some(one), None) => {
            return Some(("has an auth_hmac here and none there".to_owned(), one_sided(one)));
        }
        (None, Some(one)) => return Some(("has no auth_hmac here and one there".to_owned(), one_sided(one))),
        (Some(here), Some(there)) => (here, there),
    };
    // What one sends, the other has to take.
    let taken = |from: &Hmac, by: &Hmac| match from.mode.signs() {
        true => by.keys.contains(&from.active),
        false => !by.mode.wants_trailer(),
    };
    if !taken(here, there) {
        return Some((
            "sends adverts whose auth_hmac the other router does not take".to_owned(),
            Severity::Error,
        ));
    }
    if !taken(there, here) {
        return Some((
            "does not take the other router's adverts, by its auth_hmac".to_owned(),
            Severity::Error,
        ));
    }
    (here != there).then(|| ("has another auth_hmac than the other router".to_owned(), Severity::Note))
}

/// Where only one router has the extension: unsigned adverts are taken by `receive-only`, signed ones by nobody else.
fn one_sided(one: &Hmac) -> Severity {
    if one.mode.signs() { Severity::Error } else { Severity::Note }
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

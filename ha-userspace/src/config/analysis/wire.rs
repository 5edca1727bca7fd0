//! The configuration against what was heard on the link: who else is there, and do they fit?
//!
//! Pure: `xvrrp check --listen` hands in the adverts that its sockets received ([`crate::cli::check`]).

use std::collections::BTreeMap;
use std::net::IpAddr;

use ha_common::counter::Counter;
use ha_common::types::{Family, Priority, Vrid};

use crate::config::Loaded;
use crate::config::codes;
use crate::config::diag::{Diagnostic, Severity};
use crate::config::model::Instance;

/// One advert, or several of the same content.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Heard {
    /// Interface that it came in on.
    pub interface: String,
    /// Family of the packet.
    pub family: Family,
    /// Who sent it.
    pub source: IpAddr,
    /// VRID in the packet.
    pub vrid: Vrid,
    /// VRRP version in the packet.
    pub version: u8,
    /// Priority in the packet.
    pub priority: u8,
    /// Virtual addresses in the packet, as far as it could be read.
    pub addresses: Vec<IpAddr>,
    /// Why the instance with that VRID would drop it; `None` where it would not, or where there is no such instance.
    pub rejected: Option<Counter>,
    /// How many.
    pub count: u32,
}

/// Reports what was heard in `seconds`.
pub fn check(loaded: &mut Loaded, heard: &[Heard], seconds: f64) {
    let Loaded { config, outline, diagnostics, fatal } = loaded;
    if *fatal {
        return;
    }
    for instance in &config.instances {
        let Some(span) = outline.instance(&instance.name, &["virtual_router_id"]) else { continue };
        let matching = |heard: &&Heard| {
            heard.interface == instance.interface
                && heard.family == instance.family
                && heard.vrid == instance.vrid
        };
        let mut sources: BTreeMap<IpAddr, Vec<&Heard>> = BTreeMap::new();
        for heard in heard.iter().filter(matching) {
            sources.entry(heard.source).or_default().push(heard);
        }
        if sources.is_empty() {
            let message = format!("nobody was heard for `{}` in {seconds:.1} s", instance.name);
            diagnostics.push(
                Diagnostic::note(codes::WIRE_SILENT, span, message)
                    .label(format!("VRID {} is free on {}, as far as adverts show", instance.vrid, instance.interface))
                    .help("nothing to do where no router runs yet; else look for a switch or firewall that drops VRRP"),
            );
        }
        for (source, adverts) in sources {
            for heard in adverts {
                diagnostics.push(judge(instance, source, heard).at(span));
            }
        }
    }
    diagnostics.sort();
}

struct Finding {
    severity: Severity,
    code: codes::Code,
    message: String,
    label: String,
    help: String,
}

impl Finding {
    fn at(self, span: crate::config::source::Span) -> Diagnostic {
        Diagnostic::new(self.severity, self.code, span, self.message).label(self.label).help(self.help)
    }
}

fn judge(instance: &Instance, source: IpAddr, heard: &Heard) -> Finding {
    let from = format!("{source} sends VRID {} on {}", heard.vrid, heard.interface);
    let ours = |address: &IpAddr| instance.vips.iter().any(|vip| vip.address == *address);
    let foreign = !heard.addresses.is_empty() && !heard.addresses.iter().any(ours);
    // What CARP carries in place of addresses is no list of addresses.
    if foreign || heard.rejected == Some(Counter::Carp) {
        clash(instance, &from, heard)
    } else if let Some(why) = heard.rejected {
        rejected(instance, &from, heard, why)
    } else if heard.priority == instance.priority.get() {
        Finding {
            severity: Severity::Warning,
            code: codes::WIRE_PRIORITY,
            message: format!("{from} with priority {}, as `{}` has", heard.priority, instance.name),
            label: "who is master depends on who was first, and after a cut on the higher address".to_owned(),
            help: "give the preferred router the higher priority".to_owned(),
        }
    } else {
        peer(instance, &from, heard)
    }
}

/// Another service has the same VRID.
fn clash(instance: &Instance, from: &str, heard: &Heard) -> Finding {
    let what = if heard.rejected == Some(Counter::Carp) {
        "it speaks CARP".to_owned()
    } else {
        format!("for {}, none of which is `{}`'s", list(&heard.addresses), instance.name)
    };
    Finding {
        severity: Severity::Warning,
        code: codes::WIRE_CLASH,
        message: format!("{from}: another service uses this VRID"),
        label: format!("{what} (VRRPv{}, priority {})", heard.version, heard.priority),
        help: "give this instance a virtual_router_id that nobody uses on this link".to_owned(),
    }
}

/// The instance would drop its adverts.
fn rejected(instance: &Instance, from: &str, heard: &Heard, why: Counter) -> Finding {
    let why = why.word().replace('_', " ");
    Finding {
        severity: Severity::Warning,
        code: codes::WIRE_REJECTED,
        message: format!("{from}, and `{}` would drop it: {why}", instance.name),
        label: format!(
            "VRRPv{}, priority {}, {}: both routers would be master",
            heard.version,
            heard.priority,
            list(&heard.addresses)
        ),
        help: "compare both files: xvrrp check FILE --peer OTHER".to_owned(),
    }
}

/// It is the other router of this virtual router.
fn peer(instance: &Instance, from: &str, heard: &Heard) -> Finding {
    let Instance { name, priority: own, .. } = instance;
    let who = if Priority::new(heard.priority).is_some_and(|priority| priority > *own) {
        "it stays master beside this router"
    } else {
        "this router takes over from it, unless nopreempt is set"
    };
    Finding {
        severity: Severity::Note,
        code: codes::WIRE_HEARD,
        message: format!("{from} with priority {}; `{name}` has {}", heard.priority, own.get()),
        label: format!("{who}; {} adverts, VRRPv{}, {}", heard.count, heard.version, list(&heard.addresses)),
        help: "nothing to do".to_owned(),
    }
}

/// Addresses in a sentence, the first few of them.
fn list(addresses: &[IpAddr]) -> String {
    let few: Vec<_> = addresses.iter().take(4).map(ToString::to_string).collect();
    let more = if addresses.len() > 4 { ", …" } else { "" };
    if few.is_empty() { "no address".to_owned() } else { format!("{}{more}", few.join(", ")) }
}

//! The configuration against this host: are its interfaces, addresses and clocks fit for it?
//!
//! Everything here is a note. The host may be another one tomorrow, and the configuration runs all the same, so the
//! verdict stays that of the file.

use std::net::IpAddr;
use std::time::Duration;

use ha_common::packet::Auth;
use ha_common::types::Family;

use crate::config::Loaded;
use crate::config::codes;
use crate::config::diag::{Diagnostic, Diagnostics};
use crate::config::model::{Config, Instance, Vip};
use crate::config::outline::Outline;
use crate::doctor::netfilter::{Hook, Packet, Ruleset, Verdict};
use crate::xdp::Attached;
use crate::xdp::facts::Facts;
use crate::xdp::prospect::prospect;

/// What has to be known of a host.
#[derive(Clone, Debug, Default)]
pub struct Host {
    /// Its interfaces.
    pub interfaces: Vec<Interface>,
    /// Resolution of its timers; 1 ns with high-resolution timers, else one tick (clock_getres(2)).
    pub resolution: Option<Duration>,
    /// Why SCHED_FIFO is refused here, where it is.
    pub no_realtime: Option<String>,
    /// Processors that may be used.
    pub processors: usize,
    /// The firewall's rules, where they could be read.
    pub firewall: Option<Ruleset>,
}

/// An interface.
#[derive(Clone, Debug, Default)]
pub struct Interface {
    /// Name.
    pub name: String,
    /// Carrier and administrative state.
    pub up: bool,
    /// Addresses with their prefix lengths.
    pub addresses: Vec<(IpAddr, u8)>,
    /// What matters for XDP, where the kernel says it.
    pub facts: Option<Facts>,
}

impl Host {
    fn interface(&self, name: &str) -> Option<&Interface> {
        self.interfaces.iter().find(|interface| interface.name == name)
    }

    fn has(&self, address: IpAddr) -> bool {
        let mut all = self.interfaces.iter().flat_map(|interface| &interface.addresses);
        all.any(|(own, _)| *own == address)
    }
}

/// Adverts in a second that one processor sends without being noticed: 255 routers at 10 ms are beyond it, 100 are not.
/// Measured is that 100 at 10 ms, with a hog on each processor, take 7 % of one.
const PER_PROCESSOR: f64 = 20_000.0;
/// From here on, a busy host without real-time scheduling misses deadlines.
const SHORT: Duration = Duration::from_millis(100);

/// Looks at everything.
pub fn check(loaded: &mut Loaded, host: &Host) {
    let Loaded { config, outline, diagnostics, fatal } = loaded;
    if *fatal {
        return;
    }
    let mut told = Vec::new();
    for instance in &config.instances {
        let mut view = View { instance, outline, host, diags: diagnostics };
        // The first one decides for all that share an interface.
        if !told.contains(&&instance.interface) {
            view.fast_path();
            told.push(&instance.interface);
        }
        view.interface();
        view.addresses();
        view.ordinary();
        view.unicast();
        view.firewall();
    }
    timers(config, outline, host, diagnostics);
    diagnostics.sort();
}

struct View<'a> {
    instance: &'a Instance,
    outline: &'a Outline,
    host: &'a Host,
    diags: &'a mut Diagnostics,
}

impl View<'_> {
    fn note(&mut self, finding: Diagnostic) {
        self.diags.push(finding);
    }

    /// Do the firewall's rules drop adverts? A rule that lets through some senders only is one that may.
    fn firewall(&mut self) {
        let Some(rules) = &self.host.firewall else { return };
        let instance = self.instance;
        let Some(span) = self.outline.instance(&instance.name, &["interface"]) else { return };
        let authenticated = matches!(instance.auth, Auth::Header(_));
        let packet = |inbound| Packet {
            family: instance.family,
            interface: instance.interface.clone(),
            inbound,
            multicast: instance.unicast.is_none(),
            authenticated,
        };
        let protocol = if authenticated { 51 } else { 112 };
        // Who is known needs no firewall to keep strangers out.
        let known =
            !instance.check_source.is_empty() || instance.unicast.as_ref().is_some_and(|of| of.check_source);
        let incoming = match rules.verdict(&packet(true), &[Hook::Ingress, Hook::Prerouting, Hook::Input]) {
            Verdict::Drop(place) => Some((place, "drops")),
            Verdict::MayDrop(place) if !known => Some((place, "may drop")),
            Verdict::MayDrop(_) | Verdict::Accept => None,
        };
        if let Some((place, drops)) = incoming {
            let message = format!("{place} {drops} adverts that come in through `{}`", instance.interface);
            let finding = Diagnostic::note(codes::FIREWALL, span, message).label(
                "XDP reads them before that, so that whoever sends them is heard; without XDP nobody is, and this \
                 router becomes master beside others",
            );
            let help = if instance.unicast.is_some() {
                format!("accept protocol {protocol} from the peers; check_unicast_src hears nobody else")
            } else {
                format!("accept protocol {protocol} from the other routers; check_source hears nobody else")
            };
            self.note(finding.help(help));
        }
        if let Verdict::Drop(place) =
            rules.verdict(&packet(false), &[Hook::Output, Hook::Postrouting, Hook::Egress])
        {
            let message = format!("{place} drops the adverts of `{}`", instance.name);
            self.note(
                Diagnostic::note(codes::FIREWALL, span, message)
                    .label("as master it is not heard, and the others take over")
                    .help(format!("accept protocol {protocol} to the other routers")),
            );
        }
    }

    /// Is the interface up, and is there an address to send from?
    fn interface(&mut self) {
        let instance = self.instance;
        let name = &instance.name;
        let Some(span) = self.outline.instance(name, &["interface"]) else { return };
        let Some(interface) = self.host.interface(&instance.interface) else { return };
        if !interface.up {
            let message = format!("interface `{}` is down", interface.name);
            let finding = Diagnostic::note(codes::INTERFACE_DOWN, span, message)
                .help(format!("`ip link set {} up`, and look at the cable", interface.name));
            let label = if instance.track_primary {
                format!("`{name}` is in FAULT until it is up")
            } else {
                format!("`{name}` (dont_track_primary) sends into nowhere until it is up")
            };
            self.note(finding.label(label));
        }
        if instance.source.is_some() || instance.priority == ha_common::types::Priority::OWNER {
            return;
        }
        let of_family = |address: &IpAddr| match address {
            IpAddr::V4(_) => instance.family == Family::V4,
            IpAddr::V6(v6) => instance.family == Family::V6 && v6.is_unicast_link_local(),
        };
        let virtual_ones: Vec<IpAddr> = instance.vips.iter().map(|vip| vip.address).collect();
        let found = interface.addresses.iter().any(|(own, _)| of_family(own) && !virtual_ones.contains(own));
        if !found && instance.link.is_none() {
            let what = if instance.family == Family::V4 { "IPv4" } else { "IPv6 link-local" };
            let message =
                format!("interface `{}` has no {what} address to send adverts from", interface.name);
            self.note(
                Diagnostic::note(codes::NO_SOURCE_ADDRESS, span, message)
                    .label(format!("`{name}` is in FAULT until it has one"))
                    .help(format!("give it one: `ip address add ADDRESS/PREFIX dev {}`", interface.name)),
            );
        }
    }

    /// How will the program be attached, and could it be better?
    fn fast_path(&mut self) {
        let instance = self.instance;
        let Some(span) = self.outline.instance(&instance.name, &["interface"]) else { return };
        let Some(facts) =
            self.host.interface(&instance.interface).and_then(|interface| interface.facts.as_ref())
        else {
            return;
        };
        let prospect = prospect(facts, instance.xdp_mode);
        let mode = prospect.expected.map_or("no", Attached::word);
        for finding in prospect.worth_saying() {
            let message = format!("interface `{}` gets {mode} XDP", instance.interface);
            let note = Diagnostic::note(codes::FAST_PATH, span, message).label(&*finding.text);
            self.note(finding.advice.iter().fold(note, |note, advice| note.help(&**advice)));
        }
    }

    /// Can hosts on the link reach the virtual addresses? Said once for each interface: a block of routed addresses is
    /// one thing to know, not many.
    fn addresses(&mut self) {
        let instance = self.instance;
        let mut told: Vec<&str> = Vec::new();
        for vip in &instance.vips {
            let device = instance.device_of(vip);
            let Some(interface) = self.host.interface(device) else { continue };
            if told.contains(&device) || !self.off_link(vip, interface) {
                continue;
            }
            told.push(device);
            let more = instance
                .vips
                .iter()
                .filter(|other| instance.device_of(other) == device && self.off_link(other, interface));
            let more = match more.count() {
                0 | 1 => String::new(),
                all => format!(" (nor do {} others)", all - 1),
            };
            let span = self
                .diags
                .sources
                .word_at(&vip.place)
                .or_else(|| self.outline.instance(&instance.name, &["virtual_ipaddress"]));
            let Some(span) = span else { continue };
            let known: Vec<_> = networks(instance, vip, interface)
                .map(|(own, prefix)| format!("{own}/{prefix}"))
                .take(4)
                .collect();
            let message = format!("{} lies in no network of interface `{device}`{more}", vip.address);
            self.note(
                Diagnostic::note(codes::VIP_OFF_LINK, span, message)
                    .label(format!(
                        "it has {}: hosts there send packets for it to their gateway",
                        known.join(", ")
                    ))
                    .help("correct the address, write its prefix behind it, or route it to this router"),
            );
        }
    }

    /// Is a virtual address on its interface, whoever is master? Said once for each instance.
    fn ordinary(&mut self) {
        let instance = self.instance;
        if instance.priority == ha_common::types::Priority::OWNER {
            return;
        }
        let here = |vip: &Vip| {
            let device = instance.device_of(vip);
            let interface = self.host.interface(device).filter(|interface| interface.name != "lo")?;
            let (address, prefix) = interface.addresses.iter().find(|(own, _)| *own == vip.address)?;
            Some((vip.place.clone(), device.to_owned(), *address, *prefix))
        };
        let mut found = instance.vips.iter().chain(&instance.excluded).filter_map(here);
        let Some((place, device, address, prefix)) = found.next() else { return };
        let more = match found.count() {
            0 => String::new(),
            more => format!(" (and so are {more} others)"),
        };
        let span = self
            .diags
            .sources
            .word_at(&place)
            .or_else(|| self.outline.instance(&instance.name, &["virtual_ipaddress"]));
        let Some(span) = span else { return };
        let message = format!("{address} is an ordinary address of interface `{device}` already{more}");
        self.note(
            Diagnostic::note(codes::VIP_IS_ORDINARY, span, message)
                .label(format!("it stays when `{}` is backup, and then two hosts answer for it", instance.name))
                .help(format!(
                    "take it out of the network configuration, and `ip address del {address}/{prefix} dev {device}`; \
                     if a keepalived that runs has added it, stop that first"
                )),
        );
    }

    fn off_link(&self, vip: &Vip, interface: &Interface) -> bool {
        // An address with a prefix brings its own network along; `peer` makes it reachable otherwise.
        let alone = vip.prefix == if vip.address.is_ipv4() { 32 } else { 128 };
        let special = vip.address.is_loopback() || vip.address.is_multicast() || vip.address.is_unspecified();
        // An interface without addresses is another finding; link-local addresses are everywhere.
        let mut own = networks(self.instance, vip, interface).peekable();
        alone
            && !special
            && vip.peer.is_none()
            && interface.name != "lo"
            && !link_local(vip.address)
            && own.peek().is_some()
            && !own.any(|(own, prefix)| same_network(own, vip.address, prefix))
    }

    /// Are the source and the peers of unicast where they should be?
    fn unicast(&mut self) {
        let instance = self.instance;
        if self.host.interfaces.is_empty() {
            return;
        }
        if let Some(source) = instance.source.filter(|source| !self.host.has(*source))
            && self.host.interface(&instance.interface).is_some()
            && let Some(span) = self.outline.instance(&instance.name, &["unicast_src_ip", "mcast_src_ip"])
        {
            let message = format!("{source} is not an address of this host");
            self.note(
                Diagnostic::note(codes::SOURCE_NOT_HERE, span, message)
                    .label(format!("`{}` cannot send from it", instance.name))
                    .help("write an address that `ip address` shows, or the file of the other router was copied"),
            );
        }
        let Some(unicast) = &instance.unicast else { return };
        let here: Vec<_> =
            unicast.peers.iter().map(|peer| peer.address).filter(|peer| self.host.has(*peer)).collect();
        for peer in here {
            // What the file alone shows is another finding.
            if instance.source == Some(peer) {
                continue;
            }
            let span = self.outline.inner("vrrp_instance", &instance.name, "unicast_peer", &peer.to_string());
            let Some(span) = span.or_else(|| self.outline.instance(&instance.name, &["unicast_peer"])) else {
                continue;
            };
            let message = format!("unicast peer {peer} is an address of this host");
            self.note(
                Diagnostic::note(codes::PEER_IS_HERE, span, message)
                    .label(format!("`{}` sends its adverts to itself", instance.name))
                    .help("write the address of the other router"),
            );
        }
    }
}

/// The addresses of an interface that could have the network of a virtual one.
fn networks<'a>(
    instance: &'a Instance,
    vip: &'a Vip,
    interface: &'a Interface,
) -> impl Iterator<Item = (IpAddr, u8)> + 'a {
    interface.addresses.iter().copied().filter(|(own, _)| {
        own.is_ipv4() == vip.address.is_ipv4()
            && !link_local(*own)
            && !instance.vips.iter().any(|other| other.address == *own)
    })
}

fn link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

/// Whether two addresses are of one family and share a prefix of this length.
pub(crate) fn same_network(a: IpAddr, b: IpAddr, prefix: u8) -> bool {
    let bits = |address: IpAddr| match address {
        IpAddr::V4(v4) => (u128::from(u32::from(v4)) << 96, 32),
        IpAddr::V6(v6) => (u128::from(v6), 128),
    };
    let ((a, width), (b, other)) = (bits(a), bits(b));
    let mask = u128::MAX.checked_shl(128 - u32::from(prefix.min(width))).unwrap_or(0);
    width == other && a & mask == b & mask
}

/// Shortest timers, and how many there are.
fn timers(config: &Config, outline: &Outline, host: &Host, diags: &mut Diagnostics) {
    let interval = |instance: &Instance| Duration::from_millis(u64::from(instance.interval.get()) * 10);
    let Some(shortest) = config.instances.iter().min_by_key(|instance| instance.interval) else { return };
    let Some(span) = outline.instance(&shortest.name, &["advert_int"]) else { return };
    let least = interval(shortest);
    if let Some(resolution) = host.resolution.filter(|resolution| *resolution * 4 > least) {
        let message = format!("an advert every {least:?} is more than this host's timers can do");
        diags.push(
            Diagnostic::note(codes::TIMER_TOO_SHORT, span, message)
                .label(format!("its timers are {resolution:?} coarse: no high-resolution timers"))
                .help("use a kernel with CONFIG_HIGH_RES_TIMERS, or a longer advert_int"),
        );
    }
    // Each master sends adverts; probes go out once for each interface.
    let rate: f64 =
        config.instances.iter().map(|instance| 1.0 / interval(instance).as_secs_f64().max(0.001)).sum();
    let most = PER_PROCESSOR * f64::from(u32::try_from(host.processors.max(1)).unwrap_or(u32::MAX));
    if rate > most {
        let message = format!("{} instances send {rate:.0} adverts a second", config.instances.len());
        diags.push(
            Diagnostic::note(codes::TIMER_TOO_SHORT, span, message)
                .label(format!(
                    "about {most:.0} is what {} processors send without being late",
                    host.processors
                ))
                .help(
                    "use a longer advert_int: a dead router is noticed by its probes, not by missing adverts",
                ),
        );
    }
    if let Some(why) = host.no_realtime.as_ref().filter(|_| least < SHORT) {
        let message = format!("an advert every {least:?} needs real-time scheduling, which is refused here");
        diags.push(
            Diagnostic::note(codes::NO_REALTIME, span, message)
                .label("on a busy host adverts are late, and backups take over from a living master")
                .help(why.clone()),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks() {
        let same = |a: &str, b: &str, prefix| {
            same_network(a.parse().expect("an address"), b.parse().expect("an address"), prefix)
        };
        assert!(same("10.0.0.1", "10.0.0.254", 24) && !same("10.0.0.1", "10.0.1.1", 24));
        assert!(same("10.0.0.1", "192.168.0.1", 0) && !same("10.0.0.1", "10.0.0.2", 32));
        assert!(same("fd00::1", "fd00::ffff", 64) && !same("fd00::1", "fd00:1::1", 64));
        assert!(!same("::", "0.0.0.0", 0));
    }
}

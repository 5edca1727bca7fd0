//! What interfaces and the firewall say. Pure: [`super::look`] asks them.

use crate::lost::Lost;
use crate::xdp::facts::{DeviceKind, Facts, Offload};
use crate::xdp::prospect::{Effect, Finding as Reason, Why, prospect};

use super::expect::{Expectation, Expected, Found};
use super::netfilter::{Hook, Packet, Place, Ruleset, Verdict};
use super::{Finding, Group, Level};

/// What was found out about an interface besides what matters to XDP.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// TC programs that are attached by links, by name or number; `None` where that was not found out.
    pub tc_programs: Option<Vec<String>>,
    /// It has a clsact or ingress qdisc, whose filters may hold programs.
    pub clsact: bool,
    /// `rp_filter`, of all interfaces or of this one, whichever is greater.
    pub rp_filter: Option<u8>,
    /// `arp_ignore`, likewise.
    pub arp_ignore: Option<u8>,
    /// `arp_announce`, likewise.
    pub arp_announce: Option<u8>,
    /// `net.bridge.bridge-nf-call-iptables`.
    pub bridge_nf: Option<bool>,
}

/// The findings on an interface.
#[must_use]
pub fn findings(wanted: &Expected, found: &Found, around: &Surroundings) -> Vec<Finding> {
    let line =
        |level, what, text: String| Finding::new(Group::Interface, level, what, text).on(&wanted.interface);
    let facts = match found {
        Found::Missing(reason) => return vec![line(Level::Fail, "link", reason.clone())],
        Found::There(facts) => facts,
    };
    let mut findings = vec![link(wanted, facts, &line), device(facts, &line)];
    // That it is down says the first line.
    let reasons = prospect(facts, wanted.mode).findings;
    findings.extend(reasons.iter().filter(|reason| reason.why != Why::Down).map(|reason| {
        let level = match reason.effect {
            Effect::NoXdp if wanted.fast.enabled => Level::Warn,
            _ => Level::Note,
        };
        because(line(level, reason.why.word(), reason.text.clone()), reason)
    }));
    findings.extend(programs(facts, around, &line));
    findings.extend(parameters(facts, around, &line));
    findings
}

fn because(finding: Finding, reason: &Reason) -> Finding {
    match &reason.advice {
        Some(advice) => finding.fix(advice.clone()),
        None => finding,
    }
}

type Line<'a> = dyn Fn(Level, &'static str, String) -> Finding + 'a;

fn link(wanted: &Expected, facts: &Facts, line: &Line<'_>) -> Finding {
    let (level, then) =
        if wanted.configured { (Level::Warn, ": its instances are in FAULT") } else { (Level::Note, "") };
    match (facts.up, facts.carrier) {
        (true, true) => line(Level::Ok, "link", format!("up, MTU {}", facts.mtu)),
        (true, false) => line(level, "link", format!("up, but without carrier{then}"))
            .fix("look at the cable and the port of the switch"),
        (false, _) => line(level, "link", format!("down{then}"))
            .fix(format!("`ip link set dev {} up`", facts.interface)),
    }
}

fn device(facts: &Facts, line: &Line<'_>) -> Finding {
    let mut text = facts.kind.word().to_owned();
    if !facts.driver.is_empty() && facts.driver != text {
        text = format!("{text}, driver {}", facts.driver);
    }
    if let Some(queues) = facts.queues.filter(|queues| queues.combined > 0) {
        text = format!("{text}, {} of {} queues", queues.combined, queues.max_combined);
    }
    let offloads = [
        ("rx-vlan-offload", facts.offloads.rx_vlan),
        ("large-receive-offload", facts.offloads.lro),
        ("rx-gro-hw", facts.offloads.gro_hw),
    ];
    let on = |offload: Option<Offload>| offload.is_some_and(|offload| offload.on);
    let on: Vec<_> = offloads.into_iter().filter(|(_, offload)| on(*offload)).map(|(name, _)| name).collect();
    if !on.is_empty() {
        text = format!("{text}, {} on", on.join(" and "));
    }
    line(Level::Ok, "device", text)
}

fn programs(facts: &Facts, around: &Surroundings, line: &Line<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    // Those of others are reasons against XDP, and stand there.
    for program in facts.programs.iter().filter(|program| program.is_ours()) {
        let text =
            format!("xvrrp's program is attached ({}): a daemon runs, or left it", program.attached.word());
        findings.push(line(Level::Ok, "program", text));
    }
    let tc = around.tc_programs.as_deref().unwrap_or_default();
    if !tc.is_empty() {
        let text = format!("TC programs ({}) see what XDP passes on, adverts too", tc.join(", "));
        findings.push(line(Level::Note, "tc_programs", text));
    }
    if around.clsact {
        let text = "it has an ingress qdisc, whose filters see what XDP passes on, adverts too";
        findings.push(line(Level::Note, "tc_filters", text.to_owned()));
    }
    findings
}

fn parameters(facts: &Facts, around: &Surroundings, line: &Line<'_>) -> Vec<Finding> {
    let name = &facts.interface;
    let mut findings = Vec::new();
    let values = [
        ("rp_filter", around.rp_filter),
        ("arp_ignore", around.arp_ignore),
        ("arp_announce", around.arp_announce),
    ];
    let shown: Vec<_> =
        values.iter().filter_map(|(name, value)| Some(format!("{name} {}", (*value)?))).collect();
    if !shown.is_empty() {
        findings.push(line(Level::Ok, "sysctl", shown.join(", ")));
    }
    if around.rp_filter == Some(1) {
        findings.push(
            line(
                Level::Note,
                "rp_filter",
                "strict: packets are dropped whose sender would be answered through another interface, those of \
                 clients of a virtual address too"
                    .to_owned(),
            )
            .fix(format!("where routes are asymmetric: `sysctl net.ipv4.conf.{name}.rp_filter=2`")),
        );
    }
    if around.arp_ignore == Some(8) {
        findings.push(
            line(
                Level::Warn,
                "arp_ignore",
                "no ARP request is answered: who misses the announcement does not find the virtual addresses"
                    .to_owned(),
            )
            .fix(format!("`sysctl net.ipv4.conf.{name}.arp_ignore=1`, and of `all`")),
        );
    }
    let bridged = facts.kind == DeviceKind::Bridge
        || facts.controller.as_ref().is_some_and(|at| at.kind == DeviceKind::Bridge);
    if bridged && around.bridge_nf == Some(true) {
        let text = "bridged frames pass iptables too (bridge-nf-call-iptables): rules for FORWARD may drop the \
                    adverts of routers behind the bridge";
        findings.push(line(Level::Note, "bridge_nf", text.to_owned()));
    }
    findings
}

/// What came of reading the rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rules {
    /// They were read.
    Read(Ruleset),
    /// There are none.
    None,
    /// This is why they were not.
    Unknown(String),
}

/// Whether the firewall lets through what an interface needs.
#[must_use]
pub fn firewall(wanted: &Expected, expected: &Expectation, rules: &Ruleset) -> Vec<Finding> {
    let xdp = matches!(expected.mode, "native" | "generic");
    // Frames that are sent as such pass by the hooks of IP.
    let out: &[Hook] =
        if wanted.frames { &[Hook::Egress] } else { &[Hook::Output, Hook::Postrouting, Hook::Egress] };
    let mut findings = Vec::new();
    for packet in packets(wanted) {
        let incoming = rules.verdict(&packet, &[Hook::Ingress, Hook::Prerouting, Hook::Input]);
        findings.extend(input(&packet, incoming, xdp));
        let packet = Packet { inbound: false, ..packet };
        findings.extend(output(&packet, rules.verdict(&packet, out)));
        // Probes are frames too, and replies pass by all rules.
        let probe = Packet { multicast: false, authenticated: false, ..packet };
        if wanted.fast.enabled && xdp {
            findings.extend(probes(&probe, rules.verdict(&probe, &[Hook::Egress])));
        }
    }
    findings.dedup();
    if findings.is_empty() {
        let text = "let protocol 112 through";
        findings.push(Finding::new(Group::Firewall, Level::Ok, "rules", text).on(&wanted.interface));
    }
    findings
}

/// The adverts that come in, of each kind that the interface has.
fn packets(wanted: &Expected) -> Vec<Packet> {
    let pick = |yes: bool, no: bool| [(true, yes), (false, no)].into_iter().filter(|(_, used)| *used);
    let mut packets = Vec::new();
    for &family in &wanted.families {
        for (multicast, _) in pick(wanted.multicast, wanted.unicast) {
            for (authenticated, _) in pick(wanted.authenticated.0, wanted.authenticated.1) {
                let interface = wanted.interface.clone();
                packets.push(Packet { family, interface, inbound: true, multicast, authenticated });
            }
        }
    }
    packets
}

fn input(packet: &Packet, verdict: Verdict, xdp: bool) -> Option<Finding> {
    Some(match verdict {
        Verdict::Accept => return None,
        Verdict::Drop(place) if xdp => {
            let text = format!(
                "{place} drops adverts of other routers; XDP reads them before that, but without XDP this router would \
                 hear no master and take the addresses"
            );
            rule(packet, Level::Warn, "input", text, &place)
        }
        Verdict::Drop(place) => {
            let text = format!(
                "{place} drops adverts of other routers: this router hears no master and takes the addresses"
            );
            rule(packet, Level::Fail, "input", text, &place)
        }
        Verdict::MayDrop(place) if xdp => {
            let text = format!("{place} may drop adverts of other routers; XDP reads them before that");
            rule(packet, Level::Note, "input", text, &place)
        }
        Verdict::MayDrop(place) => {
            rule(packet, Level::Warn, "input", format!("{place} may drop adverts of other routers"), &place)
        }
    })
}

fn output(packet: &Packet, verdict: Verdict) -> Option<Finding> {
    Some(match verdict {
        Verdict::Accept => return None,
        Verdict::Drop(place) => {
            let text = format!("{place} drops the adverts of this router: as master it is not heard");
            rule(packet, Level::Fail, "output", text, &place)
        }
        Verdict::MayDrop(place) => {
            let text =
                format!("{place} may drop the adverts of this router: as master it would not be heard");
            rule(packet, Level::Warn, "output", text, &place)
        }
    })
}

fn probes(packet: &Packet, verdict: Verdict) -> Option<Finding> {
    Some(match verdict {
        Verdict::Accept => return None,
        Verdict::Drop(place) => {
            let text = format!("{place} drops the probes of this router");
            rule(packet, Level::Warn, "probes", text, &place).losing(&[Lost::FastFailover])
        }
        Verdict::MayDrop(place) => {
            rule(packet, Level::Note, "probes", format!("{place} may drop the probes of this router"), &place)
        }
    })
}

/// A finding on a rule, with the rule that helps.
fn rule(packet: &Packet, level: Level, what: &'static str, text: String, place: &Place) -> Finding {
    let protocol = if packet.authenticated { 51 } else { 112 };
    let fix = match place.table.split(' ').next() {
        Some(command @ ("iptables" | "ip6tables")) => {
            format!("accept it before that: `{command} -I {} -p {protocol} -j ACCEPT`", place.chain)
        }
        _ => format!(
            "accept it before that: `nft insert rule {} {} meta l4proto {protocol} accept`",
            place.table, place.chain
        ),
    };
    Finding::new(Group::Firewall, level, what, text).on(&packet.interface).fix(fix)
}

#[cfg(test)]
#[path = "network_tests.rs"]
mod tests;

//! What interfaces and the firewall say. Pure: [`super::look`] asks them.

use crate::xdp::facts::{Facts, Kind, Offload};
use crate::xdp::prospect::{Effect, Finding as Reason, Why, prospect};

use super::expect::{Expectation, Found, Wanted};
use super::netfilter::{Hook, Packet, Ruleset, Verdict};
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
pub fn findings(wanted: &Wanted, found: &Found, around: &Surroundings) -> Vec<Finding> {
    let line =
        |level, what, text: String| Finding::new(Group::Interface, level, what, text).on(&wanted.interface);
    let facts = match found {
        Found::Missing(reason) => return vec![line(Level::Fail, "link", reason.clone())],
        Found::There(facts) => facts,
    };
    let mut findings = vec![link(facts, &line), device(facts, &line)];
    findings.extend(prospect(facts, wanted.mode).findings.iter().filter_map(|reason| {
        // The first line says that.
        (reason.why != Why::Down).then(|| {
            let level = match reason.effect {
                Effect::NoXdp if wanted.fast.enabled => Level::Warn,
                _ => Level::Note,
            };
            because(line(level, reason.why.word(), reason.text.clone()), reason)
        })
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

fn link(facts: &Facts, line: &Line<'_>) -> Finding {
    let mtu = facts.mtu;
    match (facts.up, facts.carrier) {
        (true, true) => line(Level::Ok, "link", format!("up, MTU {mtu}")),
        (true, false) => {
            line(Level::Warn, "link", "up, but without carrier: its instances are in FAULT".to_owned())
                .fix("look at the cable and the port of the switch")
        }
        (false, _) => line(Level::Warn, "link", "down: its instances are in FAULT".to_owned())
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
    let bridged =
        facts.kind == Kind::Bridge || facts.controller.as_ref().is_some_and(|at| at.kind == Kind::Bridge);
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
    /// They were read; `true`: the older interface of the kernel has some as well.
    Read(Ruleset),
    /// There are none.
    None,
    /// This is why they were not.
    Unknown(String),
}

/// Whether the firewall lets through what an interface needs.
#[must_use]
pub fn firewall(wanted: &Wanted, expected: &Expectation, rules: &Ruleset) -> Vec<Finding> {
    let name = &wanted.interface;
    let xdp = matches!(expected.mode, "native" | "generic");
    let line = |level, what, text: String, family: Option<&str>| {
        let fix = match family {
            Some("iptables" | "ip6tables") => "accept protocol 112 before that rule: `-p 112 -j ACCEPT`",
            _ => "accept protocol 112 before that rule: `meta l4proto 112 accept`",
        };
        Finding::new(Group::Firewall, level, what, text).on(name).fix(fix)
    };
    let mut findings = Vec::new();
    for &family in &wanted.families {
        let kinds = [(true, wanted.multicast), (false, wanted.unicast)];
        for multicast in kinds.into_iter().filter(|(_, used)| *used).map(|(kind, _)| kind) {
            let packet = |inbound| Packet { family, interface: name.clone(), inbound, multicast };
            let incoming = rules.verdict(&packet(true), &[Hook::Ingress, Hook::Prerouting, Hook::Input]);
            findings.extend(match incoming {
                Verdict::Accept => None,
                Verdict::Drop(place) if xdp => Some(line(
                    Level::Warn,
                    "input",
                    format!(
                        "{place} drops adverts of other routers; XDP reads them before that, but without XDP this \
                         router would hear no master and take the addresses"
                    ),
                    place.table.split(' ').next(),
                )),
                Verdict::Drop(place) => Some(line(
                    Level::Fail,
                    "input",
                    format!("{place} drops adverts of other routers: this router hears no master and takes the addresses"),
                    place.table.split(' ').next(),
                )),
                Verdict::MayDrop(place) => Some(line(
                    if xdp { Level::Note } else { Level::Warn },
                    "input",
                    format!(
                        "{place} may drop adverts of other routers{}",
                        if xdp { "; XDP reads them before that" } else { "" }
                    ),
                    place.table.split(' ').next(),
                )),
            });
            let hooks: &[Hook] = if wanted.frames {
                &[Hook::Egress]
            } else {
                &[Hook::Output, Hook::Postrouting, Hook::Egress]
            };
            findings.extend(match rules.verdict(&packet(false), hooks) {
                Verdict::Accept => None,
                Verdict::Drop(place) => Some(line(
                    Level::Fail,
                    "output",
                    format!("{place} drops the adverts of this router: as master it is not heard"),
                    place.table.split(' ').next(),
                )),
                Verdict::MayDrop(place) => Some(line(
                    Level::Warn,
                    "output",
                    format!("{place} may drop the adverts of this router: as master it would not be heard"),
                    place.table.split(' ').next(),
                )),
            });
        }
        // Probes and replies are frames of their own, which only these rules see.
        let probe = Packet { family, interface: name.clone(), inbound: false, multicast: false };
        if wanted.fast.enabled && xdp {
            findings.extend(match rules.verdict(&probe, &[Hook::Egress]) {
                Verdict::Accept => None,
                Verdict::Drop(place) => Some(line(
                    Level::Warn,
                    "probes",
                    format!("{place} drops the probes of this router: no fast failover"),
                    None,
                )),
                Verdict::MayDrop(place) => Some(line(
                    Level::Note,
                    "probes",
                    format!("{place} may drop the probes of this router"),
                    None,
                )),
            });
        }
    }
    if findings.is_empty() {
        findings.push(Finding::new(Group::Firewall, Level::Ok, "rules", "let protocol 112 through").on(name));
    }
    findings
}

#[cfg(test)]
#[path = "network_tests.rs"]
mod tests;

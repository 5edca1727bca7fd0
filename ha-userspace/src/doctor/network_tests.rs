//! From interfaces and rules to findings.

use ha_common::types::Family;

use super::super::expect::tests::card;
use super::super::netfilter::nft;
use super::*;
use crate::config::model::Global;
use crate::xdp::Attached;
use crate::xdp::Occupant;

fn wanted() -> Expected {
    Expected { configured: true, ..Expected::plain("ens160", &Global::default()) }
}

fn of(facts: Facts, around: &Surroundings) -> Vec<Finding> {
    findings(&wanted(), &Found::There(Box::new(facts)), around)
}

fn expected(mode: &'static str) -> Expectation {
    Expectation {
        interface: "ens160".to_owned(),
        level: Level::Ok,
        mode,
        fast_failover: true,
        detection_ms: None,
        detection_quiet_ms: None,
        rfc_ms: 3609.4,
        fence: "none",
        lost: Vec::new(),
        reason: None,
        better: None,
    }
}

fn rules(chain: &str, expressions: &str) -> Ruleset {
    let text = format!(
        r#"{{"nftables": [{{"chain": {{"family": "inet", "table": "t", "name": "c", {chain}}}}},
        {{"rule": {{"family": "inet", "table": "t", "chain": "c", "handle": 5, "expr": [{expressions}]}}}}]}}"#
    );
    nft::read(&text).expect("valid")
}

const VRRP: &str = r#"{"match": {"op": "==", "left": {"meta": {"key": "l4proto"}}, "right": "vrrp"}}"#;
const RATE: &str = r#"{"limit": {"rate": 10, "burst": 5, "per": "second"}}"#;

#[test]
fn what_is_wrong_with_a_link_is_said_with_what_to_do() {
    let around = Surroundings::default();
    let level = |facts| of(facts, &around)[0].level;
    assert_eq!(level(card("virtio_net")), Level::Ok);
    assert_eq!(level(Facts { carrier: false, ..card("virtio_net") }), Level::Warn);
    let down = of(Facts { up: false, carrier: false, ..card("virtio_net") }, &around);
    assert!(down[0].fix.as_deref().is_some_and(|fix| fix.contains("ip link set dev ens160 up")));
    assert!(down.iter().filter(|finding| finding.level == Level::Warn).count() == 1, "told twice: {down:?}");
    let missing = findings(&wanted(), &Found::Missing("none".to_owned()), &around);
    assert_eq!((missing.len(), missing[0].level), (1, Level::Fail));
}

#[test]
fn programs_of_others_and_of_our_own_are_told_apart() {
    let program = |name: &str| Occupant { id: 3, name: Some(name.to_owned()), attached: Attached::Generic };
    let find = |name| {
        let found =
            of(Facts { programs: vec![program(name)], ..card("virtio_net") }, &Surroundings::default());
        found.into_iter().find(|finding| matches!(finding.what, "busy" | "program")).expect("said")
    };
    let (theirs, ours) = (find("xdp_filter"), find("ha_xdp"));
    assert!(theirs.level == Level::Note && theirs.text.contains("xdp_filter") && theirs.fix.is_some());
    assert!(ours.level == Level::Ok && ours.text.contains("a daemon runs"));
    let around = Surroundings {
        tc_programs: Some(vec!["cil_from".to_owned()]),
        clsact: true,
        ..Surroundings::default()
    };
    let found = of(card("virtio_net"), &around);
    assert!(found.iter().any(|finding| finding.level == Level::Note && finding.text.contains("cil_from")));
    assert!(found.iter().any(|finding| finding.what == "tc_filters"));
}

#[test]
fn parameters_are_shown_and_only_what_hurts_is_told() {
    let around = |rp_filter, arp_ignore| Surroundings {
        rp_filter: Some(rp_filter),
        arp_ignore: Some(arp_ignore),
        arp_announce: Some(0),
        ..Surroundings::default()
    };
    let worst = |around| of(card("virtio_net"), &around).iter().map(|finding| finding.level).max();
    assert_eq!(worst(around(2, 1)), Some(Level::Ok));
    assert_eq!(worst(around(1, 0)), Some(Level::Note));
    assert_eq!(worst(around(0, 8)), Some(Level::Warn));
}

#[test]
fn a_drop_on_the_way_in_is_fatal_only_without_xdp() {
    let input = rules(r#""hook": "input", "policy": "accept""#, &format!(r#"{VRRP}, {{"drop": null}}"#));
    let level = |mode| firewall(&wanted(), &expected(mode), &input)[0].level;
    assert_eq!((level("native"), level("raw-socket")), (Level::Warn, Level::Fail));
    let may =
        rules(r#""hook": "input", "policy": "accept""#, &format!(r#"{VRRP}, {RATE}, {{"drop": null}}"#));
    let found = |mode| firewall(&wanted(), &expected(mode), &may).remove(0);
    assert_eq!((found("native").level, found("raw-socket").level), (Level::Note, Level::Warn));
    assert!(found("native").text.contains("inet t c (handle 5) may drop"), "{:?}", found("native"));
}

#[test]
fn a_drop_on_the_way_out_makes_a_master_that_nobody_hears() {
    let output = rules(r#""hook": "output", "policy": "accept""#, &format!(r#"{VRRP}, {{"drop": null}}"#));
    assert_eq!(firewall(&wanted(), &expected("native"), &output)[0].level, Level::Fail);
    // Adverts from a virtual MAC address do not come by there.
    let frames = Expected { frames: true, ..wanted() };
    assert_eq!(firewall(&frames, &expected("native"), &output)[0].level, Level::Ok);
    let egress = rules(
        r#""hook": "egress", "dev": "ens160", "policy": "accept""#,
        &format!(r#"{VRRP}, {{"drop": null}}"#),
    );
    let found = firewall(&frames, &expected("native"), &egress);
    assert_eq!(found.iter().map(|finding| finding.what).collect::<Vec<_>>(), ["output", "probes"]);
}

#[test]
fn each_family_of_the_interface_is_looked_at() {
    let v6 = rules(
        r#""hook": "input", "policy": "accept""#,
        r#"{"match": {"op": "==", "left": {"payload": {"protocol": "ip6", "field": "nexthdr"}}, "right": 112}}, {"drop": null}"#,
    );
    assert_eq!(firewall(&wanted(), &expected("native"), &v6)[0].level, Level::Ok);
    let both = Expected { families: vec![Family::V4, Family::V6], ..wanted() };
    assert_eq!(firewall(&both, &expected("native"), &v6)[0].level, Level::Warn);
}

//! The page that people read.

use super::*;
use crate::lost;

#[test]
fn the_page_has_one_line_for_each_finding_and_ends_with_the_verdict() {
    let finding = |group, level, what, text: &str| Finding::new(group, level, what, text);
    let mut bpffs = finding(Group::Kernel, Level::Warn, "bpffs", "it cannot be mounted").fix("mount it");
    bpffs.lost = vec![lost::Lost::FenceAfterDeath];
    let mut link = finding(Group::Interface, Level::Ok, "link", "up, MTU 1500");
    link.interface = Some("ens160".to_owned());
    let mut rules = finding(Group::Firewall, Level::Ok, "rules", "let protocol 112 through");
    rules.interface = Some("ens160".to_owned());
    let expected = Expectation {
        interface: "ens160".to_owned(),
        level: Level::Warn,
        mode: "native",
        fast_failover: true,
        detection_ms: Some(10.0),
        detection_quiet_ms: Some(1.5),
        rfc_ms: 3609.375,
        fence: "not pinned",
        lost: vec![lost::Lost::FenceAfterDeath],
        reason: Some("it cannot be mounted".to_owned()),
        better: None,
    };
    let findings = vec![
        finding(Group::Configuration, Level::Ok, "configuration", "k.conf: 1 instance"),
        finding(Group::Kernel, Level::Ok, "bpf", "XDP programs may be loaded"),
        bpffs,
        link,
        rules,
    ];
    let report = Report::new(Some("k.conf".to_owned()), findings, vec![expected]);
    let version = report.version;
    let page = format!(
        "\
xvrrp {version}, k.conf

CONFIGURATION
ok  configuration  k.conf: 1 instance

KERNEL
ok    bpf    XDP programs may be loaded
warn  bpffs  it cannot be mounted: no fence when the daemon dies; mount it

INTERFACE ens160
ok  link  up, MTU 1500

FIREWALL
ok  rules  ens160: let protocol 112 through

EXPECTED
warn  ens160  native XDP, a dead master is noticed within 10.0 ms, 1.5 ms on a quiet network (after 3.6 s where it does not run xvrrp), fence not \
pinned; no fence when the daemon dies: it cannot be mounted

degraded: it runs, with what the lines above say
"
    );
    assert_eq!(render(&report), page);
    let json = serde_json::to_value(&report).expect("serializable");
    assert_eq!(
        (&json["schema"], &json["verdict"], &json["exit_code"]),
        (&1.into(), &"degraded".into(), &1.into())
    );
    assert_eq!(json["findings"].as_array().map(Vec::len), Some(5));
    assert_eq!(json["interfaces"][0]["lost"], serde_json::json!(["fence_after_death"]));
}

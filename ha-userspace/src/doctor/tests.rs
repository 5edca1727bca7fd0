//! From findings to the verdict.

use super::expect::Expectation;
use super::*;

fn finding(level: Level) -> Finding {
    Finding::new(Group::Kernel, level, "thing", "text")
}

fn interface(name: &str, level: Level) -> Expectation {
    Expectation {
        interface: name.to_owned(),
        level,
        mode: "generic",
        fast_failover: true,
        detection_ms: Some(10.0),
        detection_quiet_ms: Some(1.5),
        rfc_ms: 3609.4,
        fence: "armed",
        lost: Vec::new(),
        reason: None,
        better: None,
    }
}

#[test]
fn the_worst_finding_decides() {
    let one = [interface("a", Level::Ok)];
    for (level, verdict) in [
        (Level::Ok, Verdict::Good),
        (Level::Note, Verdict::Good),
        (Level::Warn, Verdict::Degraded),
        (Level::Fail, Verdict::CannotRun),
    ] {
        assert_eq!(Verdict::of(&[finding(Level::Ok), finding(level)], &one), verdict);
        assert_eq!(Verdict::of(&[], &[interface("a", level)]), verdict);
        assert_eq!(Verdict::of(&[finding(level).on("a")], &one), verdict);
    }
}

#[test]
fn an_interface_that_cannot_work_is_no_reason_not_to_run_while_another_works() {
    let both = [interface("a", Level::Ok), interface("b", Level::Fail)];
    assert_eq!(Verdict::of(&[], &both), Verdict::Degraded);
    assert_eq!(Verdict::of(&[finding(Level::Fail).on("a")], &both), Verdict::CannotRun);
    assert_eq!(Verdict::of(&[finding(Level::Fail)], &both), Verdict::CannotRun);
}

#[test]
fn the_words_of_a_finding_are_those_of_the_schema() {
    let finding = finding(Level::Warn).on("eth0").fix("do it").losing(&crate::lost::WITHOUT_XDP);
    let json = serde_json::to_value(finding).expect("serializable");
    let expected = serde_json::json!({
        "group": "kernel", "interface": "eth0", "level": "warn", "what": "thing", "text": "text", "fix": "do it",
        "lost": ["fast_failover", "fence"],
    });
    assert_eq!(json, expected);
}

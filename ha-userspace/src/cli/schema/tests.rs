//! What is printed is what the schema says, and nothing is left open.

use boon::{Compiler, Schemas};
use serde::Serialize;
use serde_json::json;

use super::*;
use crate::config::report::Report;
use crate::config::{LoadOptions, load_str};
use crate::control::protocol::{
    CompetitorStatus, CounterValue, Failure, Finding, HoldStatus, InstanceStatus, InterfaceCounters,
    InterfaceStatus, PeerStatus, StandbyStatus, Verdict,
};
use crate::doctor::{Finding as Looked, Group, Level};
use crate::events::story::Outage;
use crate::findings::ready::ready;

/// What is wrong with a value by a schema; nothing where it is as it should be.
fn wrong(name: Name, value: &Value) -> Option<String> {
    let mut compiler = Compiler::new();
    compiler.add_resource("schema.json", schema(name).into()).expect("a schema");
    let mut schemas = Schemas::new();
    let index = compiler.compile("schema.json", &mut schemas).expect("a schema that compiles");
    schemas.validate(value, index).err().map(|error| error.to_string())
}

fn fits(name: Name, value: &impl Serialize) {
    let value = serde_json::to_value(value).expect("JSON");
    assert_eq!(wrong(name, &value), None, "{name:?}: {value:#}");
}

fn status() -> Status {
    let instance = InstanceStatus {
        name: "VI_1".to_owned(),
        state: "MASTER".to_owned(),
        hold: Some(HoldStatus::default()),
        competing: vec![CompetitorStatus::default()],
        standby: Some(StandbyStatus::default()),
        ..InstanceStatus::default()
    };
    let interface = InterfaceStatus { peers: vec![PeerStatus::default()], ..InterfaceStatus::default() };
    Status {
        format: 1,
        verdict: Some(Verdict { findings: vec![Finding::default()], ..Verdict::default() }),
        instances: vec![instance],
        interfaces: vec![interface],
        ..Status::default()
    }
}

fn failed() -> Versioned<Failed> {
    serde_json::from_value::<Failure>(json!({ "code": "frozen", "message": "it is frozen" }))
        .map(|error| Versioned::new(Failed::of(error)))
        .expect("a failure")
}

fn event() -> Event {
    Event { format: 1, kind: "transition".to_owned(), instance: Some("VI_1".to_owned()), ..Event::default() }
}

#[test]
fn a_status_and_that_there_is_none() {
    let mut status = status();
    fits(Name::Status, &status);
    let found = ready(&status);
    fits(Name::Ready, &Versioned::new(At::new("2026-11-30T03:12:44+00:00", &found)));
    let verdict = crate::findings::without_status("frozen", "it is frozen");
    fits(Name::Status, &Unknown::new(None, verdict.clone()));
    fits(Name::Ready, &Unknown::new(Some("unknown"), verdict));
    status.verdict = None;
    fits(Name::Status, &status);
}

#[test]
fn counters_holds_and_reloads() {
    let counters = vec![CounterValue { name: "stamped".to_owned(), value: 7 }];
    let interfaces = vec![InterfaceCounters { interface: "eth0".to_owned(), counters }];
    fits(Name::Counters, &Counters { format: 1, interfaces });
    fits(Name::Hold, &Versioned::new(Held::default()));
    fits(Name::Reload, &Versioned::new(Reloaded::default()));
    fits(
        Name::Reload,
        &Versioned::new(Preview { refused: Some("an error".to_owned()), ..Preview::default() }),
    );
}

#[test]
fn documents_of_webhooks() {
    fits(
        Name::Webhook,
        &Document { instance: Some("VI_1".to_owned()), vrid: Some(25), ..Document::default() },
    );
}

#[test]
fn events_and_their_story() {
    fits(Name::Events, &event());
    for outage in [Outage::None, Outage::About { ms: 3.5 }, Outage::AskTheOther] {
        let story = Story { change: event(), before: vec![event()], after: Vec::new(), next: None, outage };
        fits(Name::Why, &Versioned::new(story));
    }
}

#[test]
fn a_check_of_one_file_and_of_several() {
    let options =
        LoadOptions { config_id: String::new(), random_seed: 0, script_check: None, interface_check: None };
    let file = b"vrrp_instance V {\ninterface eth0\nvirtual_router_id 300\n}\nvrrp_instance V {\n}\n";
    let report = Report::of(&load_str("a.conf", file, &options));
    assert!(!report.findings.is_empty());
    fits(Name::Check, &report);
    fits(Name::Check, &vec![report.clone(), report]);
}

#[test]
fn a_doctor_s_report() {
    let found = Looked::new(Group::Kernel, Level::Note, "jit", "BPF programs are interpreted");
    fits(Name::Doctor, &Doctor::new(None, vec![found], Vec::new()));
}

#[test]
fn failures_are_part_of_what_is_printed() {
    for name in [Name::Counters, Name::Events, Name::Why, Name::Check, Name::Doctor, Name::Reload, Name::Hold]
    {
        fits(name, &failed());
    }
}

#[test]
fn what_is_something_else_does_not_pass() {
    for name in <Name as clap::ValueEnum>::value_variants() {
        assert!(wrong(*name, &json!({})).is_some(), "{name:?} takes anything");
        assert!(wrong(*name, &json!({ "format": "1" })).is_some(), "{name:?} takes anything");
    }
    let mut broken = serde_json::to_value(status()).expect("JSON");
    *broken.pointer_mut("/instances/0/vrid").expect("there") = json!("51");
    assert!(
        wrong(Name::Status, &broken).is_some_and(|why| why.contains("vrid")),
        "{:?}",
        wrong(Name::Status, &broken)
    );
}

#[test]
fn descriptions_are_for_readers_of_json() {
    for name in <Name as clap::ValueEnum>::value_variants() {
        let text = serde_json::to_string(&schema(*name)).expect("JSON");
        assert!(!text.contains("[`") && !text.contains("`None`"), "{text}");
    }
}

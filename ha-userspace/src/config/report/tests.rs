//! The schema that docs/check.md promises.

use std::collections::BTreeSet;

use serde_json::Value;

use super::Report;
use crate::config::{LoadOptions, load};

fn report(text: &str) -> Value {
    let dir = tempfile::tempdir().expect("a directory");
    let (main, part) = (dir.path().join("main.conf"), dir.path().join("part.conf"));
    std::fs::write(&part, text).expect("written");
    std::fs::write(&main, "# ä\ninclude part.conf\n").expect("written");
    let options = LoadOptions {
        config_id: "host".to_owned(),
        random_seed: 7,
        script_check: None,
        interface_check: None,
    };
    serde_json::to_value(Report::of(&load(&main, &options))).expect("serializable")
}

fn keys(value: &Value) -> BTreeSet<&str> {
    value.as_object().expect("an object").keys().map(String::as_str).collect()
}

/// The first column of a table of the page.
fn documented(heading: &str) -> BTreeSet<&'static str> {
    let page = include_str!("../../../../docs/check.md");
    let (_, table) = page.split_once(heading).expect("the page has the heading");
    let rows = table.lines().skip_while(|line| !line.starts_with("| `"));
    let names = rows.take_while(|line| line.starts_with('|')).filter_map(|row| row.split('|').nth(1));
    names.flat_map(|cell| cell.split(',')).map(|name| name.trim().trim_matches('`')).collect()
}

#[test]
fn the_fields_are_those_that_are_documented() {
    let value = report(
        "vrrp_instance ö {\ninterface eth0\nvirtual_router_id 9\npriorty 1\npriority 2\npriority 3\n}\n",
    );
    assert_eq!(keys(&value), documented("### JSON"));
    assert_eq!(
        (&value["schema"], &value["verdict"], &value["exit_code"]),
        (&1.into(), &"complaints".into(), &5.into())
    );
    let findings = value["findings"].as_array().expect("a list");
    let finding = |code: &str| findings.iter().find(|one| one["code"] == code).expect(code);
    let unknown = finding("XV0301");
    assert_eq!(keys(unknown), documented("A finding:"));
    assert_eq!(
        (&unknown["line"], &unknown["column"], &unknown["end_column"]),
        (&4.into(), &1.into(), &8.into())
    );
    assert!(unknown["file"].as_str().is_some_and(|file| file.ends_with("part.conf")), "{unknown}");
    // The place of the include, innermost first.
    let from = &unknown["included_from"][0];
    assert!(from["file"].as_str().is_some_and(|file| file.ends_with("main.conf")), "{unknown}");
    assert_eq!((&from["line"], &from["column"]), (&2.into(), &9.into()));
    assert_eq!(finding("XV0515")["related"]["line"], 5);
    assert_eq!(unknown["related"], Value::Null);
}

#[test]
fn every_finding_has_cause_and_fix() {
    for (text, code) in [
        ("include /nonexistent/*.conf\n", "XV0105"),
        ("}\n", "XV0203"),
        ("<<<<<<< HEAD\n", "XV0205"),
        ("vrrp_instance VI {\npriority\n}\n", "XV0305"),
        ("vrrp_script s {\nscript \"/bin/true\" x\nweight 1000\n}\n", "XV0306"),
        ("global_defs {\nrouter_id\n}\n", "XV0305"),
    ] {
        let value = report(text);
        let findings = value["findings"].as_array().expect("a list");
        assert!(findings.iter().any(|one| one["code"] == code), "{code}: {value}");
        for one in findings {
            for field in ["title", "message", "cause", "fix"] {
                assert!(one[field].as_str().is_some_and(|text| !text.is_empty()), "{field}: {one}");
            }
        }
    }
}

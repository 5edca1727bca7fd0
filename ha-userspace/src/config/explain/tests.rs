//! The page against the codes, and its examples against the parser.

use std::collections::BTreeSet;
use std::path::Path;

use super::*;
use crate::config::{LoadOptions, codes, load_str};

#[test]
fn every_code_is_explained_and_nothing_else() {
    let explained: Vec<_> = all().map(|explanation| explanation.code).collect();
    let unique: BTreeSet<_> = explained.iter().copied().collect();
    assert_eq!(unique.len(), explained.len(), "a code is explained twice");
    let known: BTreeSet<_> = codes::ALL.iter().map(|(code, _)| code.0).collect();
    assert_eq!(known.len(), codes::ALL.len(), "a code is used twice");
    assert_eq!(unique, known);
    let sections = PAGE.matches("\n## ").count();
    assert_eq!(explained.len(), sections, "a section has no code or no fix");
    for explanation in all() {
        assert_eq!(explanation.title, title(explanation.code), "{}", explanation.code);
        assert!(!explanation.fix.is_empty() && explanation.text.lines().count() > 2, "{}", explanation.code);
    }
}

fn title(code: &str) -> &'static str {
    codes::ALL.iter().find(|(known, _)| known.0 == code).map_or("", |(_, title)| title)
}

#[test]
fn every_code_is_used_somewhere() {
    let mut sources = String::new();
    let mut todo = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src/config")];
    while let Some(directory) = todo.pop() {
        for entry in
            std::fs::read_dir(directory).expect("readable").map(|entry| entry.expect("an entry").path())
        {
            if entry.is_dir() {
                todo.push(entry);
            } else if entry.extension().is_some_and(|extension| extension == "rs")
                && !entry.ends_with("codes.rs")
            {
                sources.push_str(&std::fs::read_to_string(entry).expect("text"));
            }
        }
    }
    let table = include_str!("../codes.rs");
    for line in table.lines().filter(|line| line.contains(" = \"XV")) {
        let name = line.trim().split(' ').next().expect("a name");
        assert!(sources.contains(&format!("codes::{name}")), "{name} is explained but never reported");
    }
}

/// A host named `host` with one interface.
fn options() -> LoadOptions {
    LoadOptions {
        config_id: "host".to_owned(),
        random_seed: 1,
        script_check: None,
        interface_check: Some(Box::new(|name| {
            let known = name.starts_with("eth") || name.starts_with("averylong");
            if known { Ok(()) } else { Err("there is eth0".to_owned()) }
        })),
    }
}

#[test]
fn every_example_gives_the_finding_that_it_explains() {
    let (mut examples, mut wrong) = (0, Vec::new());
    for explanation in all() {
        let text = format!("\n{}", explanation.text);
        for part in text.split("\n```").skip(1).step_by(2) {
            let (kind, lines) = part.split_once('\n').expect("lines behind the fence");
            let text = match kind {
                "conf" => lines.to_owned(),
                "instance" => format!(
                    "vrrp_instance VI_1 {{\ninterface eth0\nvirtual_router_id 9\nvirtual_ipaddress {{\n10.0.0.1\n}}\n\
                     {lines}\n}}\n"
                ),
                other => panic!("{}: a block marked `{other}`", explanation.code),
            };
            let loaded = load_str("/nonexistent/example.conf", text.as_bytes(), &options());
            let found: Vec<_> = loaded.diagnostics.iter().map(|finding| finding.code.0).collect();
            if !found.contains(&explanation.code) {
                wrong.push(format!("{} gives {found:?}", explanation.code));
            }
            examples += 1;
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(examples > 40, "{examples} examples");
}

#[test]
fn a_code_is_found_however_it_is_written() {
    for text in ["XV0701", "xv0701", "0701", " XV0701 "] {
        assert_eq!(of(text).map(|explanation| explanation.code), Some("XV0701"), "{text}");
    }
    for text in ["", "XV", "XV9999", "701", "## "] {
        assert_eq!(of(text), None, "{text}");
    }
}

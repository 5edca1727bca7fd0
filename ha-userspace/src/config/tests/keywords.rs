//! The tables of words against what is done with them, word by word.

use super::*;
use crate::config::codes::{self, Code};
use crate::config::keywords::{
    self, ADDRESS_OPTIONS, Block, ROUTE_OPTIONS, RULE_OPTIONS, Row, Status, ValueKind,
};

/// A line in its block, with what the block needs besides.
fn inside(block: Block, line: &str) -> String {
    let instance = |line: &str| {
        format!(
            "vrrp_instance V {{\ninterface eth0\nvirtual_router_id 9\n{line}\nvirtual_ipaddress {{\n10.0.0.1\n}}\n}}\n"
        )
    };
    match block {
        Block::Top => format!("{line}\n"),
        Block::Global => format!("global_defs {{\n{line}\n}}\n"),
        Block::Instance => instance(line),
        Block::Authentication | Block::AuthHmac => instance(&format!("{} {{\n{line}\n}}", block.name())),
        Block::GarpGroup => format!("garp_group {{\n{line}\n}}\n"),
        named => format!("{} name {{\n{line}\n}}\n", named.name()),
    }
}

fn kind(row: &Row) -> Option<ValueKind> {
    match row.status {
        Status::Implemented(kind) | Status::NotYet(kind, _) => Some(kind),
        Status::NoEffect(_) | Status::Lvs => None,
    }
}

fn finds(text: &str, code: Code) -> bool {
    loaded(text).diagnostics.iter().any(|finding| finding.code == code)
}

/// What must not follow a word, and what is said then.
fn wrong(block: Block, kind: ValueKind) -> Option<(&'static str, Code)> {
    Some(match kind {
        // What follows on the line is another word of the check.
        ValueKind::Flag if block == Block::Check => ("x", codes::UNKNOWN_KEYWORD),
        ValueKind::Flag => ("x", codes::EXTRA_WORDS),
        ValueKind::Boolean => ("maybe", codes::BAD_BOOLEAN),
        ValueKind::Number | ValueKind::Time => ("x", codes::BAD_NUMBER),
        ValueKind::Address => ("x", codes::BAD_ADDRESS),
        ValueKind::Interface => ("a/b", codes::NAME_TOO_LONG),
        ValueKind::Path => ("x", codes::BAD_WORD),
        ValueKind::Text | ValueKind::Several => ("", codes::MISSING_PARAMETER),
        ValueKind::Optional => ("x {\n}", codes::BLOCK_MISSING),
        ValueKind::Command => ("\"x 'y\"", codes::QUOTE_OPEN),
        ValueKind::Block => ("", codes::BLOCK_MISSING),
        ValueKind::Named => ("", codes::NAME_MISSING),
        ValueKind::Reader => return None,
    })
}

#[test]
fn every_keyword_stands_once() {
    let options = [&*ADDRESS_OPTIONS, &*ROUTE_OPTIONS, &*RULE_OPTIONS].map(Vec::as_slice);
    let tables = keywords::blocks().iter().map(|(_, table)| table.as_slice()).chain(options);
    for table in tables {
        assert!(table.is_sorted_by(|a, b| a.word < b.word), "{table:?}");
    }
}

#[test]
fn every_keyword_is_lowered_as_its_row_says() {
    for (block, table) in keywords::blocks() {
        for row in table {
            let line = |follows: &str| inside(*block, &format!("{} {follows}", row.word));
            let Some(kind) = kind(row) else { continue };
            if let Some((follows, code)) = wrong(*block, kind) {
                assert!(finds(&line(follows), code), "{} {follows}: no {code} in {block:?}", row.word);
            }
            let waits = matches!(row.status, Status::NotYet(..));
            assert_eq!(finds(&line("1"), codes::NOT_IMPLEMENTED), waits, "{}", row.word);
        }
    }
}

#[test]
fn every_word_that_is_only_known_is_reported() {
    for (block, table) in keywords::blocks() {
        for row in table.iter().filter(|row| kind(row).is_none()) {
            let code = if row.status == Status::Lvs { codes::LVS } else { codes::NOT_NEEDED };
            assert!(finds(&inside(*block, &format!("{} 1", row.word)), code), "{} in {block:?}", row.word);
        }
    }
}

#[test]
fn every_option_is_lowered_as_its_row_says() {
    let address = |row: &Row| match row.word.as_str() {
        "use_vmac" => (inside(Block::Instance, "virtual_ipaddress {\n10.0.0.2 use_vmac\n}"), None),
        word => (format!("static_ipaddress {{\n10.0.0.2 {word}\n}}\n"), None::<String>),
    };
    // A word that stands alone may stand first; one that has a parameter lacks it at the end.
    let route = |row: &Row| {
        let (word, rest) = (&row.word, "10.0.0.0/8 dev eth0");
        (
            format!("static_routes {{\n{rest} {word}\n}}\n"),
            Some(format!("static_routes {{\n{word} {rest}\n}}\n")),
        )
    };
    let rule = |row: &Row| {
        let (word, rest) = (&row.word, "from 10.0.0.0/8 table 100");
        (
            format!("static_rules {{\n{rest} {word}\n}}\n"),
            Some(format!("static_rules {{\n{word} {rest}\n}}\n")),
        )
    };
    type Lines<'a> = &'a dyn Fn(&Row) -> (String, Option<String>);
    let tables: [(&[Row], Lines<'_>); 3] =
        [(&ADDRESS_OPTIONS, &address), (&ROUTE_OPTIONS, &route), (&RULE_OPTIONS, &rule)];
    for (table, lines) in tables {
        for row in table {
            let (last, first) = lines(row);
            match kind(row) {
                Some(ValueKind::Flag) => {
                    let text = first.unwrap_or(last);
                    assert!(!finds(&text, codes::UNKNOWN_KEYWORD), "{text}");
                    assert!(!finds(&text, codes::MISSING_PARAMETER), "{text}");
                }
                Some(ValueKind::Optional) => assert!(!finds(&last, codes::UNKNOWN_KEYWORD), "{last}"),
                Some(_) => assert!(finds(&last, codes::MISSING_PARAMETER), "{last}"),
                None => panic!("{} does nothing", row.word),
            }
        }
    }
}

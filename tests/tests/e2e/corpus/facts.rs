//! What can be seen of a router: one line for each thing, with a name that both daemons' things have.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use ha_tests::lab::Host;
use serde_json::Value;

use super::place::INTERFACES;

/// Names and values, in order.
pub(super) type Facts = BTreeMap<String, String>;

/// What is not compared: counters and times that no two runs have in common; passwords, which xvrrp does not show; and
/// texts whose subject is compared in the kernel or in the adverts.
const IGNORED: [&str; 13] = [
    "auth_data",
    "advert_rcvd",
    "advert_sent",
    "last_transition",
    "wantstate",
    "vips",
    "evips",
    "vroutes",
    "vrules",
    "track_ifp",
    "track_script",
    "ifp_ifname",
    "vmac_ifname",
];

/// Instances of a JSON dump.
pub(super) fn instances(dump: &Value, facts: &mut Facts) {
    for entry in dump.as_array().into_iter().flatten() {
        let name = entry["data"]["iname"].as_str().unwrap_or_default();
        for part in ["data", "stats"] {
            for (key, value) in entry[part].as_object().into_iter().flatten() {
                // keepalived shows scripts with all links in their paths resolved.
                if IGNORED.contains(&key.as_str()) || key.starts_with("script") {
                    continue;
                }
                let value = match (key.as_str(), value) {
                    ("state", Value::Number(number)) => state(number.as_u64()).to_owned(),
                    (_, Value::Number(number)) => number.as_f64().unwrap_or_default().to_string(),
                    (_, value) => value.to_string(),
                };
                facts.insert(format!("instance {name} {key}"), value);
            }
        }
    }
}

fn state(number: Option<u64>) -> &'static str {
    match number {
        Some(0) => "INIT",
        Some(1) => "BACKUP",
        Some(2) => "MASTER",
        Some(3) => "FAULT",
        _ => "?",
    }
}

/// Interfaces, addresses, routes and rules.
pub(super) fn network(host: &Host, facts: &mut Facts) -> Result<()> {
    let ask = |words: &[&str]| -> Result<Vec<Value>> {
        let text = host.output(words)?;
        let text = if text.trim().is_empty() { "[]" } else { &text };
        serde_json::from_str(text).with_context(|| format!("{words:?}: {text}"))
    };
    for link in ask(&["ip", "-j", "-d", "addr"])? {
        let name = word(&link["ifname"]);
        let own = link["ifname"].as_str().is_some_and(|name| name == "lo" || INTERFACES.contains(&name));
        if !own {
            let kind = &link["linkinfo"];
            let up = link["flags"].as_array().is_some_and(|flags| flags.iter().any(|flag| flag == "UP"));
            facts.insert(
                format!("link {name}"),
                format!(
                    "{} {} on {} mac {} up {up}",
                    word(&kind["info_kind"]),
                    word(&kind["info_data"]["mode"]),
                    word(&link["link"]),
                    word(&link["address"])
                ),
            );
        }
        for address in link["addr_info"].as_array().into_iter().flatten() {
            let key =
                format!("address {}/{} dev {name}", word(&address["local"]), word(&address["prefixlen"]));
            facts.insert(key, rest(address, &["local", "prefixlen", "family", "protocol"]));
        }
    }
    for family in ["-4", "-6"] {
        for route in ask(&["ip", "-j", family, "route", "show", "table", "all"])? {
            let key = format!(
                "route {family} {} {} table {} dev {} metric {} tos {}",
                word(&route["type"]),
                word(&route["dst"]),
                word(&route["table"]),
                word(&route["dev"]),
                word(&route["metric"]),
                word(&route["tos"])
            );
            facts.insert(key, rest(&route, &["type", "dst", "table", "dev", "metric", "tos"]));
        }
        for rule in ask(&["ip", "-j", family, "rule"])? {
            let key = format!("rule {family} {} {}", word(&rule["priority"]), word(&rule["src"]));
            facts.insert(key, rest(&rule, &["priority", "src"]));
        }
    }
    Ok(())
}

/// A value as one word.
fn word(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The fields of an object that the name does not have yet.
fn rest(value: &Value, named: &[&str]) -> String {
    let mut parts = Vec::new();
    for (key, value) in value.as_object().into_iter().flatten() {
        if named.contains(&key.as_str()) {
            continue;
        }
        let value = match (key.as_str(), value.as_u64()) {
            ("valid_life_time" | "preferred_life_time", Some(4_294_967_295)) => "forever".to_owned(),
            ("valid_life_time" | "preferred_life_time" | "expires", Some(1..)) => "some".to_owned(),
            // Each daemon marks what it adds with a protocol number of its own.
            ("protocol", _) if ["keepalived", "112", "vrrp"].contains(&word(value).as_str()) => {
                "the daemon's".to_owned()
            }
            _ => word(value),
        };
        parts.push(format!("{key} {value}"));
    }
    parts.join(", ")
}

/// Names of what differs. What only xvrrp's dump says of an instance that both have is more, not different.
pub(super) fn differences(theirs: &Facts, ours: &Facts) -> Vec<String> {
    let both = |key: &str| {
        let name = key.rsplit_once(' ').map_or("", |(name, _)| name);
        key.starts_with("instance ") && theirs.contains_key(&format!("{name} vrid"))
    };
    let more = ours.keys().filter(|key| !theirs.contains_key(*key) && !both(key));
    let other = theirs.iter().filter(|(key, value)| ours.get(*key) != Some(*value)).map(|(key, _)| key);
    more.chain(other).cloned().collect()
}

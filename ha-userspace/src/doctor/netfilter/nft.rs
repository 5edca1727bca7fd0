//! Reads what `nft -j list ruleset` prints (libnftables-json(5)).
//!
//! What is not understood becomes [`Test::Unknown`], so that a rule of it says "may".

use std::net::IpAddr;

use ha_common::types::Family;
use serde_json::Value;

use super::{Action, Chain, Hook, Rule, Ruleset, Test, Words};

/// Reads the text.
///
/// # Errors
/// It is no JSON, or not that of nft.
pub fn read(text: &str) -> Result<Ruleset, String> {
    let value: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let entries = value["nftables"].as_array().ok_or("there is no list `nftables` in it")?;
    let mut chains: Vec<Chain> = Vec::new();
    for entry in entries {
        if let Some(chain) = entry.get("chain") {
            chains.push(read_chain(chain));
        } else if let Some(rule) = entry.get("rule") {
            let (table, name) = (table(rule), word(&rule["chain"]));
            let Some(chain) = chains.iter_mut().find(|chain| chain.table == table && chain.name == name)
            else {
                continue;
            };
            chain.rules.extend(read_rule(rule));
        }
    }
    Ok(Ruleset(chains))
}

fn table(value: &Value) -> String {
    format!("{} {}", word(&value["family"]), word(&value["table"]))
}

fn read_chain(chain: &Value) -> Chain {
    let devices = match &chain["dev"] {
        Value::Array(list) => list.iter().map(word).collect(),
        Value::String(name) => vec![name.clone()],
        _ => Vec::new(),
    };
    Chain {
        table: table(chain),
        family: word(&chain["family"]),
        name: word(&chain["name"]),
        hook: match chain["hook"].as_str() {
            Some("ingress") => Some(Hook::Ingress),
            Some("prerouting") => Some(Hook::Prerouting),
            Some("input") => Some(Hook::Input),
            Some("output") => Some(Hook::Output),
            Some("postrouting") => Some(Hook::Postrouting),
            Some("egress") => Some(Hook::Egress),
            _ => None,
        },
        devices,
        drops: chain["policy"] == "drop",
        rules: Vec::new(),
    }
}

/// A rule; several where it has a map of verdicts.
fn read_rule(rule: &Value) -> Vec<Rule> {
    let name = match rule["comment"].as_str() {
        Some(comment) => format!("handle {}, \"{comment}\"", rule["handle"]),
        None => format!("handle {}", rule["handle"]),
    };
    let mut tests = Vec::new();
    let mut rules = Vec::new();
    let mut add = |tests: &[Test], action| {
        rules.push(Rule { tests: tests.to_vec(), action, name: name.clone() });
    };
    for statement in rule["expr"].as_array().into_iter().flatten() {
        if let Some(action) = action(statement) {
            add(&tests, action);
            break;
        }
        let Some((kind, body)) = statement.as_object().and_then(|object| object.iter().next()) else {
            continue;
        };
        match kind.as_str() {
            "match" => tests.extend(read_match(body)),
            "vmap" => match body["data"]["set"].as_array() {
                Some(elements) => {
                    for element in elements {
                        let (key, verdict) = (&element[0], &element[1]);
                        let Some(action) = action(verdict) else { continue };
                        let mut tests = tests.clone();
                        tests.extend(compare(&body["key"], key));
                        add(&tests, action);
                    }
                }
                // A named map.
                None => add(&[&tests[..], &[Test::Unknown]].concat(), Action::Queue),
            },
            // These change nothing about what becomes of a packet.
            "counter" | "log" | "mangle" | "notrack" | "quota" | "set" | "dup" | "ct helper" | "comment" => {}
            _ => tests.push(Test::Unknown),
        }
    }
    rules
}

fn action(statement: &Value) -> Option<Action> {
    let object = statement.as_object()?;
    let target = |body: &Value| word(&body["target"]);
    let (kind, body) = object.iter().next()?;
    Some(match kind.as_str() {
        "accept" => Action::Accept,
        "drop" | "reject" => Action::Drop,
        "queue" => Action::Queue,
        "return" | "continue" => Action::Return,
        "jump" => Action::Jump(target(body)),
        "goto" => Action::Goto(target(body)),
        // A target of iptables that has no words in nft.
        "xt" if matches!(body["name"].as_str(), Some("REJECT" | "DROP")) => Action::Drop,
        _ => return None,
    })
}

fn read_match(body: &Value) -> Vec<Test> {
    let tests = compare(&body["left"], &body["right"]);
    match body["op"].as_str() {
        Some("==" | "in") => tests,
        // With several the family is only what the other implies, and is not negated.
        Some("!=") => {
            let mut tests = tests;
            if let Some(last) = tests.pop() {
                tests.push(Test::Not(Box::new(last)));
            }
            tests
        }
        _ => vec![Test::Unknown],
    }
}

/// The tests for one comparison; what is implied comes first.
fn compare(left: &Value, right: &Value) -> Vec<Test> {
    if let Some(key) = left["meta"]["key"].as_str() {
        return vec![match key {
            "l4proto" => Test::Protocol(words(right)),
            "iifname" | "iif" => Test::In(words(right)),
            "oifname" | "oif" => Test::Out(words(right)),
            "nfproto" | "protocol" => family(right),
            "pkttype" => multicast(right),
            _ => Test::Unknown,
        }];
    }
    if let Some(protocol) = left["payload"]["protocol"].as_str() {
        let field = left["payload"]["field"].as_str().unwrap_or_default();
        return payload(protocol, field, right);
    }
    if left["ct"]["key"] == "state" {
        return vec![Test::State(words(right))];
    }
    if left["fib"]["result"] == "type"
        && left["fib"]["flags"].as_array().is_some_and(|flags| has(flags, "daddr"))
    {
        return vec![multicast(right)];
    }
    // "There is no way back to the sender": it is on the same link.
    if left["fib"]["flags"].as_array().is_some_and(|flags| has(flags, "saddr"))
        && *right == Value::Bool(false)
    {
        return vec![Test::Never];
    }
    vec![Test::Unknown]
}

fn has(list: &[Value], word: &str) -> bool {
    list.iter().any(|value| value == word)
}

fn payload(protocol: &str, field: &str, right: &Value) -> Vec<Test> {
    let of = match protocol {
        "ip" => Family::V4,
        "ip6" => Family::V6,
        "tcp" | "udp" | "udplite" | "icmp" | "icmpv6" | "igmp" | "sctp" | "dccp" | "esp" | "comp" | "arp" => {
            return vec![Test::Never];
        }
        "ah" => {
            let header = Words { known: vec!["ah".to_owned()], others: false };
            return vec![Test::Protocol(header), Test::Unknown];
        }
        _ => return vec![Test::Unknown],
    };
    let test = match field {
        "protocol" | "nexthdr" => Test::Protocol(words(right)),
        "daddr" => destination(right),
        "ttl" | "hoplimit" => Test::Ttl(words(right)),
        _ => Test::Unknown,
    };
    vec![Test::Family(of), test]
}

fn family(right: &Value) -> Test {
    match right.as_str() {
        Some("ipv4" | "ip") => Test::Family(Family::V4),
        Some("ipv6" | "ip6") => Test::Family(Family::V6),
        Some("arp" | "8021q" | "vlan") => Test::Never,
        _ => Test::Unknown,
    }
}

fn multicast(right: &Value) -> Test {
    let words = words(right);
    let has = |word: &str| words.known.iter().any(|known| known == word);
    match (has("multicast"), has("local") || has("unicast") || has("host")) {
        (true, false) => Test::Multicast(true),
        (false, true) => Test::Multicast(false),
        (false, false) if !words.others => Test::Never,
        _ => Test::Unknown,
    }
}

/// The words that a value stands for.
fn words(value: &Value) -> Words {
    let mut words = Words::default();
    match value {
        Value::Array(list) => list.iter().for_each(|value| add(&mut words, value)),
        Value::Object(object) if object.contains_key("set") => match &object["set"] {
            Value::Array(list) => list.iter().for_each(|value| add(&mut words, value)),
            value => add(&mut words, value),
        },
        value => add(&mut words, value),
    }
    words
}

fn add(words: &mut Words, value: &Value) {
    match value {
        Value::String(text) if text.starts_with('@') => words.others = true,
        Value::String(text) => words.known.push(text.clone()),
        Value::Number(number) => words.known.push(number.to_string()),
        Value::Object(object) => match object.get("range").and_then(Value::as_array).map(Vec::as_slice) {
            // Of numbers: `l4proto 100-120`.
            Some([first, last]) => match (first.as_u64(), last.as_u64()) {
                (Some(first), Some(last)) if last <= 255 => {
                    words.known.extend((first..=last).map(|number| number.to_string()));
                }
                _ => words.others = true,
            },
            _ => words.others = true,
        },
        _ => words.others = true,
    }
}

fn destination(value: &Value) -> Test {
    let list: Vec<&Value> = match value {
        Value::Object(object) if object.contains_key("set") => match &object["set"] {
            Value::Array(list) => list.iter().collect(),
            value => vec![value],
        },
        value => vec![value],
    };
    let count = list.len();
    let ranges: Vec<_> = list.into_iter().filter_map(range).collect();
    let others = ranges.len() < count;
    Test::Destination(ranges, others)
}

fn range(value: &Value) -> Option<(IpAddr, IpAddr)> {
    if let Some(text) = value.as_str() {
        let address = text.parse().ok()?;
        return Some((address, address));
    }
    if let Some([first, last]) = value["range"].as_array().map(Vec::as_slice) {
        return Some((first.as_str()?.parse().ok()?, last.as_str()?.parse().ok()?));
    }
    let prefix = &value["prefix"];
    super::iptables::network(prefix["addr"].as_str()?.parse().ok()?, prefix["len"].as_u64()?)
}

fn word(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

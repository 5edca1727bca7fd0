//! Reads what `iptables-save` prints (iptables-save(8)), of the tables that the older interface of the kernel has.
//!
//! An option that is not understood becomes [`Test::Unknown`], so that its rule says "may".

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ha_common::types::Family;

use super::{Action, Chain, Hook, Rule, Ruleset, Test, Words};

/// Reads the text of `iptables-save` (V4) or `ip6tables-save` (V6).
#[must_use]
pub fn read(text: &str, family: Family) -> Ruleset {
    let (command, word) = match family {
        Family::V4 => ("iptables", "ip"),
        Family::V6 => ("ip6tables", "ip6"),
    };
    let mut chains: Vec<Chain> = Vec::new();
    let mut table = String::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('*') {
            table = format!("{command} {}", name.trim());
        } else if let Some(rest) = line.strip_prefix(':') {
            let mut fields = rest.split_whitespace();
            let name = fields.next().unwrap_or_default().to_owned();
            let drops = fields.next() == Some("DROP");
            let hook = hook(&name);
            let family = word.to_owned();
            chains.push(Chain { table: table.clone(), family, name, hook, drops, ..Chain::default() });
        } else if let Some(rest) = line.strip_prefix("-A ")
            && let Some((name, rule)) = rest.split_once(' ')
            && let Some(chain) = chains.iter_mut().find(|chain| chain.table == table && chain.name == name)
            && let Some(rule) = read_rule(rule)
        {
            chain.rules.push(rule);
        }
    }
    Ruleset(chains)
}

fn hook(chain: &str) -> Option<Hook> {
    Some(match chain {
        "PREROUTING" => Hook::Prerouting,
        "INPUT" => Hook::Input,
        "OUTPUT" => Hook::Output,
        "POSTROUTING" => Hook::Postrouting,
        _ => return None,
    })
}

/// `None` for a rule that decides nothing (LOG, MARK and the like).
fn read_rule(text: &str) -> Option<Rule> {
    let mut tests = Vec::new();
    let mut action = None;
    let mut words = text.split_whitespace().peekable();
    let mut negated = false;
    while let Some(option) = words.next() {
        let mut value = || words.next().unwrap_or_default();
        let test = match option {
            "!" => {
                negated = true;
                continue;
            }
            "-m" | "--match" | "--reject-with" | "--comment" | "--log-prefix" | "--log-level" => {
                // A comment in quotes has several words.
                let first = value();
                if first.starts_with('"') && !(first.len() > 1 && first.ends_with('"')) {
                    while words.next().is_some_and(|word| !word.ends_with('"')) {}
                }
                continue;
            }
            "-p" => Test::Protocol(match value() {
                "all" => Words { known: vec!["vrrp".to_owned()], others: false },
                word => list(word),
            }),
            "-i" => Test::In(list(value())),
            "-o" => Test::Out(list(value())),
            "-d" => match networks(value()) {
                Some(ranges) => Test::Destination(ranges, false),
                None => Test::Unknown,
            },
            "--ctstate" | "--state" => Test::State(list(&value().to_lowercase())),
            "--pkt-type" | "--dst-type" => match value().to_lowercase().as_str() {
                "multicast" => Test::Multicast(true),
                "unicast" | "local" => Test::Multicast(false),
                "broadcast" => Test::Never,
                _ => Test::Unknown,
            },
            "--ttl-eq" | "--hl-eq" => Test::Ttl(list(value())),
            "-j" | "-g" => {
                let target = value();
                action = match (option, target) {
                    (_, "ACCEPT") => Some(Action::Accept),
                    (_, "DROP" | "REJECT") => Some(Action::Drop),
                    (_, "NFQUEUE" | "QUEUE") => Some(Action::Queue),
                    (_, "RETURN") => Some(Action::Return),
                    ("-g", target) => Some(Action::Goto(target.to_owned())),
                    // Targets of the kernel are in capitals, and chains of people's are hardly ever: a chain that does
                    // not exist is passed over.
                    (_, target) => Some(Action::Jump(target.to_owned())),
                };
                continue;
            }
            // The value of what is not understood is not understood either.
            _ => Test::Unknown,
        };
        tests.push(if negated { Test::Not(Box::new(test)) } else { test });
        negated = false;
    }
    Some(Rule { tests, action: action?, name: format!("-A … {text}") })
}

fn list(word: &str) -> Words {
    Words { known: word.split(',').map(str::to_owned).collect(), others: false }
}

fn networks(text: &str) -> Option<Vec<(IpAddr, IpAddr)>> {
    text.split(',')
        .map(|part| {
            let (address, length) = part.split_once('/').unzip();
            let address: IpAddr = address.unwrap_or(part).parse().ok()?;
            let length = match length {
                None => {
                    if address.is_ipv4() {
                        32
                    } else {
                        128
                    }
                }
                Some(length) => match length.parse::<Ipv4Addr>() {
                    Ok(mask) => u64::from(u32::from(mask).leading_ones()),
                    Err(_) => length.parse().ok()?,
                },
            };
            network(address, length)
        })
        .collect()
}

/// First and last address of a network.
pub(super) fn network(address: IpAddr, length: u64) -> Option<(IpAddr, IpAddr)> {
    let length = u32::try_from(length).ok()?;
    match address {
        IpAddr::V4(address) => {
            let host = u32::MAX.checked_shr(length).unwrap_or(0);
            let bits = u32::from(address);
            Some((Ipv4Addr::from(bits & !host).into(), Ipv4Addr::from(bits | host).into()))
        }
        IpAddr::V6(address) => {
            let host = u128::MAX.checked_shr(length).unwrap_or(0);
            let bits = u128::from(address);
            Some((Ipv6Addr::from(bits & !host).into(), Ipv6Addr::from(bits | host).into()))
        }
    }
}

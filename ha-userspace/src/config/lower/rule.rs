//! One line of `virtual_rules` or `static_rules`: ip-rule(8) with keepalived's words.

use ha_common::types::Family;

use super::names::{List, Names};
use super::route::{KEEPALIVED, byte, named, other_protocol, realms, small};
use super::value;
use super::words::{self, Words};
use crate::config::codes;
use crate::config::diag::{Diagnostic, Diagnostics};
use crate::config::keywords;
use crate::config::lexer::Word;
use crate::config::model::{Rule, RuleAction};
use crate::config::tree::Statement;

/// The main routing table.
const MAIN: u32 = 254;
const MAX: u64 = 0xffff_ffff;

/// Where rules without a preference go: each next one before the last (keepalived 2.2.7, tried).
#[derive(Debug)]
pub(super) struct Preferences(u32);

impl Default for Preferences {
    fn default() -> Self {
        Self(16_384)
    }
}

/// Read one line; `None` where it says no usable rule, which has been reported.
pub(super) fn lower(
    stmt: &Statement,
    fixed: bool,
    names: &mut Names,
    preferences: &mut Preferences,
    diags: &mut Diagnostics,
) -> Option<Rule> {
    value::no_block(stmt, diags);
    let mut words = Words::new(&stmt.words);
    let mut rule = Rule {
        family: Family::V4,
        invert: false,
        from: None,
        to: None,
        iif: None,
        oif: None,
        tos: None,
        fwmark: None,
        priority: None,
        realms: None,
        suppress_prefixlength: None,
        suppress_ifgroup: None,
        tun_id: None,
        uidrange: None,
        l3mdev: false,
        protocol: None,
        ip_proto: None,
        sport: None,
        dport: None,
        action: RuleAction::Table(MAIN),
        no_track: false,
        track_group: None,
        place: diags.sources.place(stmt.keyword().span),
    };
    let (mut action, mut v6) = (None, None);
    if stmt.words.iter().any(|word| word.is("inet6")) {
        v6 = Some(true);
    }
    while let Some(word) = words.next() {
        match &*word.bytes {
            b"inet" => v6 = Some(false),
            b"inet6" => v6 = Some(true),
            b"not" => rule.invert = true,
            b"from" | b"to" => {
                let argument = words.argument(word, diags)?;
                // `all` and `default` say nothing but the family.
                let prefix = words::prefix(argument, v6, diags)?;
                let slot = if word.is("from") { &mut rule.from } else { &mut rule.to };
                if argument.bytes.iter().any(|byte| matches!(byte, b'.' | b':')) {
                    *slot = Some(prefix);
                }
            }
            b"iif" | b"dev" => rule.iif = Some(value::interface(words.argument(word, diags)?, diags)?),
            b"oif" => rule.oif = Some(value::interface(words.argument(word, diags)?, diags)?),
            b"tos" | b"dsfield" => {
                rule.tos = Some(byte(named(List::Dsfield, word, &mut words, names, diags)?))
            }
            b"fwmark" => rule.fwmark = Some(mark(words.argument(word, diags)?, diags)?),
            b"priority" | b"preference" | b"order" => {
                rule.priority = Some(small(words.number(word, 0..=MAX, diags)?));
            }
            b"realms" => rule.realms = Some(realms(word, &mut words, names, diags)?),
            b"suppress_prefixlength" => {
                rule.suppress_prefixlength = Some(small(words.number(word, 0..=128, diags)?));
            }
            b"suppress_ifgroup" => {
                rule.suppress_ifgroup = Some(named(List::Groups, word, &mut words, names, diags)?);
            }
            b"tun_id" => rule.tun_id = Some(words.number(word, 0..=u64::MAX, diags)?),
            b"uidrange" => {
                let (low, high) = range(words.argument(word, diags)?, "uidrange", 0, MAX, true, diags)?;
                rule.uidrange = Some((small(low), small(high)));
            }
            b"l3mdev" => {
                rule.l3mdev = true;
                action = Some(RuleAction::Table(0));
            }
            b"protocol" => {
                rule.protocol = Some(byte(named(List::Protocols, word, &mut words, names, diags)?));
            }
            b"ip_proto" | b"ipproto" => {
                rule.ip_proto = Some(byte(named(List::IpProtocols, word, &mut words, names, diags)?));
            }
            b"sport" | b"dport" => {
                let text = word.text();
                let (low, high) = range(words.argument(word, diags)?, &text, 1, 65_535, false, diags)?;
                let port = |value| u16::try_from(value).unwrap_or(u16::MAX);
                let slot = if word.is("sport") { &mut rule.sport } else { &mut rule.dport };
                *slot = Some((port(low), port(high)));
            }
            b"table" | b"lookup" => {
                action = Some(RuleAction::Table(named(List::Tables, word, &mut words, names, diags)?));
            }
            b"goto" => action = Some(RuleAction::Goto(small(words.number(word, 0..=MAX, diags)?))),
            b"nop" => action = Some(RuleAction::Nop),
            b"blackhole" => action = Some(RuleAction::Blackhole),
            b"unreachable" => action = Some(RuleAction::Unreachable),
            b"prohibit" => action = Some(RuleAction::Prohibit),
            b"no_track" => rule.no_track = true,
            b"track_group" if fixed => {
                rule.track_group = Some(words.argument(word, diags)?.text().into_owned())
            }
            _ => {
                words::unknown("rule", word, keywords::RULE_OPTIONS, "the rule is ignored", diags);
                return None;
            }
        }
    }
    finish(stmt, rule, action, v6, preferences, diags)
}

fn finish(
    stmt: &Statement,
    mut rule: Rule,
    action: Option<RuleAction>,
    v6: Option<bool>,
    preferences: &mut Preferences,
    diags: &mut Diagnostics,
) -> Option<Rule> {
    let give_up = |message: &str, help: &str, diags: &mut Diagnostics| {
        diags.push(
            Diagnostic::error(codes::BAD_ROUTE, stmt.span(), message.to_owned())
                .cause("the rule is ignored")
                .help(help.to_owned()),
        );
    };
    let families: Vec<bool> =
        rule.from.iter().chain(&rule.to).map(|prefix| prefix.address.is_ipv6()).chain(v6).collect();
    if families.windows(2).any(|pair| pair.first() != pair.get(1)) {
        give_up("IPv4 and IPv6 addresses in one rule", "write a rule of its own for each family", diags);
        return None;
    }
    if families.first() == Some(&true) {
        rule.family = Family::V6;
    }
    let Some(action) = action else {
        give_up("the rule does nothing", "add `table NAME` or another action", diags);
        return None;
    };
    rule.action = action;
    if let RuleAction::Goto(target) = action {
        match rule.priority {
            None => {
                give_up("`goto` without a preference of its own", "add `preference NUMBER`", diags);
                return None;
            }
            Some(own) if target <= own => {
                give_up("`goto` goes backwards", "its target must be above the rule's own preference", diags);
                return None;
            }
            Some(_) => {}
        }
    }
    if !rule.no_track && rule.protocol.take_if(|protocol| *protocol != KEEPALIVED).is_some() {
        other_protocol(stmt, "rule", diags);
    }
    if rule.track_group.is_some() && rule.iif.is_none() {
        rule.track_group = None;
        let message = "a rule needs iif for its track_group";
        diags.push(
            Diagnostic::warning(codes::NOT_TRACKED, stmt.span(), message)
                .cause("track_group is ignored, as in keepalived")
                .help("add iif INTERFACE"),
        );
    }
    if rule.priority.is_none() {
        let preference = preferences.0;
        preferences.0 = preference.saturating_sub(1);
        rule.priority = Some(preference);
        let message = format!("the rule has no preference; {preference} is used");
        diags.push(
            Diagnostic::warning(codes::NO_PREFERENCE, stmt.span(), message)
                .cause("the order of rules decides, and it is not known from the file")
                .help("add `preference NUMBER`"),
        );
    }
    Some(rule)
}

/// `MARK[/MASK]`.
fn mark(word: &Word, diags: &mut Diagnostics) -> Option<(u32, u32)> {
    let text = word.text();
    let number = |part: &str| words::parse_unsigned(part.as_bytes()).and_then(|v| u32::try_from(v).ok());
    let found = match text.split_once('/') {
        Some((mark, mask)) => number(mark).zip(number(mask)),
        None => number(&text).map(|mark| (mark, u32::MAX)),
    };
    if found.is_none() {
        let message = format!("fwmark `{text}` is not MARK[/MASK]");
        diags.push(Diagnostic::error(codes::BAD_NUMBER, word.span, message).cause("the rule is ignored"));
    }
    found
}

/// `FIRST-LAST`; a single number where `both` does not need two.
fn range(
    word: &Word,
    what: &str,
    least: u64,
    most: u64,
    both: bool,
    diags: &mut Diagnostics,
) -> Option<(u64, u64)> {
    let text = word.text();
    let number = |part: &str| words::parse_unsigned(part.as_bytes()).filter(|v| (least..=most).contains(v));
    let found = match text.split_once('-') {
        Some((low, high)) => number(low).zip(number(high)).filter(|(low, high)| low <= high),
        None if both => None,
        None => number(&text).map(|value| (value, value)),
    };
    if found.is_none() {
        let message = format!("{what} `{text}` is not FIRST-LAST");
        diags.push(
            Diagnostic::error(codes::BAD_NUMBER, word.span, message)
                .cause("the rule is ignored")
                .help(format!("write two numbers from {least} to {most}")),
        );
    }
    found
}

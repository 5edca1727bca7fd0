//! One line of `virtual_rules` or `static_rules`: ip-rule(8) with keepalived's words.

use ha_common::types::Family;

use super::context::Context;
use super::names::List;
use super::route::{KEEPALIVED, byte, named, other_protocol, realms, small};
use super::value;
use super::words::{self, Words};
use crate::config::codes;
use crate::config::diag::Diagnostic;
use crate::config::keywords::{self, Rule as Keyword, RuleAction, Words as _};
use crate::config::lexer::Word;
use crate::config::model::{self, Prefix, Rule};
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
pub(super) fn lower(stmt: &Statement, fixed: bool, cx: &mut Context) -> Option<Rule> {
    value::no_block(stmt, cx);
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
        action: model::RuleAction::Table(MAIN),
        no_track: false,
        track_group: None,
        place: cx.place(stmt.keyword().span),
    };
    let (mut action, mut v6) = (None, None);
    if stmt.words.iter().any(|word| word.is("inet6")) {
        v6 = Some(true);
    }
    while let Some(word) = words.next() {
        let option = Keyword::parse(&word.text()).filter(|option| fixed || *option != Keyword::TrackGroup);
        let Some(option) = option else {
            words::unknown("rule", word, &keywords::RULE_OPTIONS, "the rule is ignored", cx);
            return None;
        };
        match option {
            Keyword::RuleAction(option) => {
                rule.l3mdev |= option == RuleAction::L3mdev;
                action = Some(self::action(option, word, &mut words, cx)?);
            }
            Keyword::Inet => v6 = Some(false),
            Keyword::Inet6 => v6 = Some(true),
            Keyword::Not => rule.invert = true,
            Keyword::From => rule.from = prefix(word, &mut words, v6, cx)?.or(rule.from),
            Keyword::To => rule.to = prefix(word, &mut words, v6, cx)?.or(rule.to),
            Keyword::Iif | Keyword::Dev => {
                rule.iif = Some(value::interface(words.argument(word, cx)?, cx)?);
            }
            Keyword::Oif => rule.oif = Some(value::interface(words.argument(word, cx)?, cx)?),
            Keyword::Tos | Keyword::Dsfield => {
                rule.tos = Some(byte(named(List::Dsfield, word, &mut words, cx)?));
            }
            Keyword::Fwmark => rule.fwmark = Some(mark(words.argument(word, cx)?, cx)?),
            Keyword::Priority | Keyword::Preference | Keyword::Order => {
                rule.priority = Some(small(words.number(word, 0..=MAX, cx)?));
            }
            Keyword::Realms => rule.realms = Some(realms(word, &mut words, cx)?),
            Keyword::SuppressPrefixlength => {
                rule.suppress_prefixlength = Some(small(words.number(word, 0..=128, cx)?));
            }
            Keyword::SuppressIfgroup => {
                rule.suppress_ifgroup = Some(named(List::Groups, word, &mut words, cx)?);
            }
            Keyword::TunId => rule.tun_id = Some(words.number(word, 0..=u64::MAX, cx)?),
            Keyword::Uidrange => {
                let (low, high) = range(words.argument(word, cx)?, "uidrange", 0, MAX, true, cx)?;
                rule.uidrange = Some((small(low), small(high)));
            }
            Keyword::Protocol => {
                rule.protocol = Some(byte(named(List::Protocols, word, &mut words, cx)?));
            }
            Keyword::IpProto | Keyword::Ipproto => {
                rule.ip_proto = Some(byte(named(List::IpProtocols, word, &mut words, cx)?));
            }
            Keyword::Sport => rule.sport = Some(ports(word, &mut words, cx)?),
            Keyword::Dport => rule.dport = Some(ports(word, &mut words, cx)?),
            Keyword::NoTrack => rule.no_track = true,
            Keyword::TrackGroup => rule.track_group = Some(words.argument(word, cx)?.text().into_owned()),
        }
    }
    finish(stmt, rule, action, v6, cx)
}

/// What the rule does.
fn action(
    option: RuleAction,
    word: &Word,
    words: &mut Words<'_>,
    cx: &mut Context,
) -> Option<model::RuleAction> {
    Some(match option {
        RuleAction::Table | RuleAction::Lookup => {
            model::RuleAction::Table(named(List::Tables, word, words, cx)?)
        }
        RuleAction::L3mdev => model::RuleAction::Table(0),
        RuleAction::Goto => model::RuleAction::Goto(small(words.number(word, 0..=MAX, cx)?)),
        RuleAction::Nop => model::RuleAction::Nop,
        RuleAction::Blackhole => model::RuleAction::Blackhole,
        RuleAction::Unreachable => model::RuleAction::Unreachable,
        RuleAction::Prohibit => model::RuleAction::Prohibit,
    })
}

/// What stands behind `from` and `to`: `all` and `default` say nothing but the family.
fn prefix(
    option: &Word,
    words: &mut Words<'_>,
    v6: Option<bool>,
    cx: &mut Context,
) -> Option<Option<Prefix>> {
    let word = words.argument(option, cx)?;
    let prefix = words::prefix(word, v6, cx)?;
    Some(word.bytes.iter().any(|byte| matches!(byte, b'.' | b':')).then_some(prefix))
}

fn ports(option: &Word, words: &mut Words<'_>, cx: &mut Context) -> Option<(u16, u16)> {
    let (low, high) = range(words.argument(option, cx)?, &option.text(), 1, 65_535, false, cx)?;
    let port = |value| u16::try_from(value).unwrap_or(u16::MAX);
    Some((port(low), port(high)))
}

fn finish(
    stmt: &Statement,
    mut rule: Rule,
    action: Option<model::RuleAction>,
    v6: Option<bool>,
    cx: &mut Context,
) -> Option<Rule> {
    let give_up = |message: &str, help: &str, cx: &mut Context| {
        cx.push(
            Diagnostic::error(codes::BAD_ROUTE, stmt.span(), message.to_owned())
                .label("the rule is ignored")
                .help(help.to_owned()),
        );
    };
    let families: Vec<bool> =
        rule.from.iter().chain(&rule.to).map(|prefix| prefix.address.is_ipv6()).chain(v6).collect();
    if families.windows(2).any(|pair| pair.first() != pair.get(1)) {
        give_up("IPv4 and IPv6 addresses in one rule", "write a rule of its own for each family", cx);
        return None;
    }
    if families.first() == Some(&true) {
        rule.family = Family::V6;
    }
    let Some(action) = action else {
        give_up("the rule does nothing", "add `table NAME` or another action", cx);
        return None;
    };
    rule.action = action;
    if let model::RuleAction::Goto(target) = action {
        match rule.priority {
            None => {
                give_up("`goto` without a preference of its own", "add `preference NUMBER`", cx);
                return None;
            }
            Some(own) if target <= own => {
                give_up("`goto` goes backwards", "its target must be above the rule's own preference", cx);
                return None;
            }
            Some(_) => {}
        }
    }
    if !rule.no_track && rule.protocol.take_if(|protocol| *protocol != KEEPALIVED).is_some() {
        other_protocol(stmt, "rule", cx);
    }
    if rule.track_group.is_some() && rule.iif.is_none() {
        rule.track_group = None;
        let message = "a rule needs iif for its track_group";
        cx.push(
            Diagnostic::warning(codes::NOT_TRACKED, stmt.span(), message)
                .label("track_group is ignored, as in keepalived")
                .help("add iif INTERFACE"),
        );
    }
    if rule.priority.is_none() {
        let preference = cx.preferences.0;
        cx.preferences.0 = preference.saturating_sub(1);
        rule.priority = Some(preference);
        let message = format!("the rule has no preference; {preference} is used");
        cx.push(
            Diagnostic::warning(codes::NO_PREFERENCE, stmt.span(), message)
                .label("the order of rules decides, and it is not known from the file")
                .help("add `preference NUMBER`"),
        );
    }
    Some(rule)
}

/// `MARK[/MASK]`.
fn mark(word: &Word, cx: &mut Context) -> Option<(u32, u32)> {
    let text = word.text();
    let number = |part: &str| words::parse_unsigned(part.as_bytes()).and_then(|v| u32::try_from(v).ok());
    let found = match text.split_once('/') {
        Some((mark, mask)) => number(mark).zip(number(mask)),
        None => number(&text).map(|mark| (mark, u32::MAX)),
    };
    if found.is_none() {
        let message = format!("fwmark `{text}` is not MARK[/MASK]");
        cx.push(Diagnostic::error(codes::BAD_NUMBER, word.span, message).label("the rule is ignored"));
    }
    found
}

/// `FIRST-LAST`; a single number where `both` does not need two.
fn range(word: &Word, what: &str, least: u64, most: u64, both: bool, cx: &mut Context) -> Option<(u64, u64)> {
    let text = word.text();
    let number = |part: &str| words::parse_unsigned(part.as_bytes()).filter(|v| (least..=most).contains(v));
    let found = match text.split_once('-') {
        Some((low, high)) => number(low).zip(number(high)).filter(|(low, high)| low <= high),
        None if both => None,
        None => number(&text).map(|value| (value, value)),
    };
    if found.is_none() {
        let message = format!("{what} `{text}` is not FIRST-LAST");
        cx.push(
            Diagnostic::error(codes::BAD_NUMBER, word.span, message)
                .label("the rule is ignored")
                .help(format!("write two numbers from {least} to {most}")),
        );
    }
    found
}

//! One line of `virtual_rules` or `static_rules`: ip-rule(8) with keepalived's words.

use ha_common::types::Family;

use super::context::Context;
use super::iproute::{KEEPALIVED, byte, named, other_protocol, realms, small};
use super::names::List;
use super::unsigned::parse_unsigned;
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

/// A line that is being read.
struct Draft {
    rule: Rule,
    action: Option<model::RuleAction>,
    v6: Option<bool>,
}

/// Read one line; `None` where it says no usable rule, which has been reported.
pub(super) fn lower(stmt: &Statement, fixed: bool, cx: &mut Context) -> Option<Rule> {
    value::no_block(stmt, cx);
    let mut words = Words::new(&stmt.words);
    let rule = Rule {
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
    // The family is needed for `all`, and may stand anywhere.
    let v6 = stmt.words.iter().any(|word| word.is("inet6")).then_some(true);
    let mut draft = Draft { rule, action: None, v6 };
    while let Some(word) = words.next() {
        let option = Keyword::parse(&word.text()).filter(|option| fixed || *option != Keyword::TrackGroup);
        let Some(option) = option else {
            words::unknown("rule", word, &keywords::RULE_OPTIONS, "the rule is ignored", cx);
            return None;
        };
        draft.option(option, word, &mut words, cx)?;
    }
    draft.finish(stmt, cx)
}

impl Draft {
    /// Read one option; `None` gives the rule up.
    fn option(
        &mut self,
        option: Keyword,
        word: &Word,
        words: &mut Words<'_>,
        cx: &mut Context,
    ) -> Option<()> {
        let rule = &mut self.rule;
        match option {
            Keyword::RuleAction(option) => {
                rule.l3mdev |= option == RuleAction::L3mdev;
                self.action = Some(action(option, word, words, cx)?);
            }
            Keyword::Inet => self.v6 = Some(false),
            Keyword::Inet6 => self.v6 = Some(true),
            Keyword::Not => rule.invert = true,
            Keyword::From => rule.from = prefix(word, words, self.v6, cx)?.or(rule.from),
            Keyword::To => rule.to = prefix(word, words, self.v6, cx)?.or(rule.to),
            Keyword::Iif | Keyword::Dev => {
                rule.iif = Some(value::interface(words.argument(word, cx)?, cx)?);
            }
            Keyword::Oif => rule.oif = Some(value::interface(words.argument(word, cx)?, cx)?),
            Keyword::Tos | Keyword::Dsfield => {
                rule.tos = Some(byte(named(List::Dsfield, word, words, cx)?));
            }
            Keyword::Fwmark => rule.fwmark = Some(mark(words.argument(word, cx)?, cx)?),
            Keyword::Priority | Keyword::Preference | Keyword::Order => {
                rule.priority = Some(small(words.number(word, 0..=MAX, cx)?));
            }
            Keyword::Realms => rule.realms = Some(realms(word, words, cx)?),
            Keyword::SuppressPrefixlength => {
                rule.suppress_prefixlength = Some(small(words.number(word, 0..=128, cx)?));
            }
            Keyword::SuppressIfgroup => {
                rule.suppress_ifgroup = Some(named(List::Groups, word, words, cx)?);
            }
            Keyword::TunId => rule.tun_id = Some(words.number(word, 0..=u64::MAX, cx)?),
            Keyword::Uidrange => {
                let (low, high) = range(words.argument(word, cx)?, "uidrange", 0, MAX, true, cx)?;
                rule.uidrange = Some((small(low), small(high)));
            }
            Keyword::Protocol => {
                rule.protocol = Some(byte(named(List::Protocols, word, words, cx)?));
            }
            Keyword::IpProto | Keyword::Ipproto => {
                rule.ip_proto = Some(byte(named(List::IpProtocols, word, words, cx)?));
            }
            Keyword::Sport => rule.sport = Some(ports(word, words, cx)?),
            Keyword::Dport => rule.dport = Some(ports(word, words, cx)?),
            Keyword::NoTrack => rule.no_track = true,
            Keyword::TrackGroup => rule.track_group = Some(words.argument(word, cx)?.text().into_owned()),
        }
        Some(())
    }

    fn finish(self, stmt: &Statement, cx: &mut Context) -> Option<Rule> {
        let Self { mut rule, action, v6 } = self;
        let families: Vec<bool> =
            rule.from.iter().chain(&rule.to).map(|prefix| prefix.address.is_ipv6()).chain(v6).collect();
        if families.windows(2).any(|pair| pair.first() != pair.get(1)) {
            let help = "write a rule of its own for each family";
            return give_up(stmt, "IPv4 and IPv6 addresses in one rule", help, cx);
        }
        if families.first() == Some(&true) {
            rule.family = Family::V6;
        }
        let Some(action) = action else {
            return give_up(stmt, "the rule does nothing", "add `table NAME` or another action", cx);
        };
        rule.action = action;
        match (action, rule.priority) {
            (model::RuleAction::Goto(_), None) => {
                let message = "`goto` without a preference of its own";
                return give_up(stmt, message, "add `preference NUMBER`", cx);
            }
            (model::RuleAction::Goto(target), Some(own)) if target <= own => {
                let help = "its target must be above the rule's own preference";
                return give_up(stmt, "`goto` goes backwards", help, cx);
            }
            _ => {}
        }
        tracked(stmt, &mut rule, cx);
        preferred(stmt, &mut rule, cx);
        Some(rule)
    }
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

/// Say why a rule is not used.
fn give_up(stmt: &Statement, message: &str, help: &str, cx: &mut Context) -> Option<Rule> {
    cx.push(
        Diagnostic::error(codes::BAD_ROUTE, stmt.span(), message).label("the rule is ignored").help(help),
    );
    None
}

/// What is tracked has keepalived's protocol, and needs an interface for a group.
fn tracked(stmt: &Statement, rule: &mut Rule, cx: &mut Context) {
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
}

/// A rule without a preference gets the next one.
fn preferred(stmt: &Statement, rule: &mut Rule, cx: &mut Context) {
    if rule.priority.is_some() {
        return;
    }
    let preference = cx.preferences.take();
    rule.priority = Some(preference);
    let message = format!("the rule has no preference; {preference} is used");
    cx.push(
        Diagnostic::warning(codes::NO_PREFERENCE, stmt.span(), message)
            .label("the order of rules decides, and it is not known from the file")
            .help("add `preference NUMBER`"),
    );
}

/// `MARK[/MASK]`.
fn mark(word: &Word, cx: &mut Context) -> Option<(u32, u32)> {
    let text = word.text();
    let number = |part: &str| parse_unsigned(part.as_bytes()).and_then(|v| u32::try_from(v).ok());
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
    let number = |part: &str| parse_unsigned(part.as_bytes()).filter(|v| (least..=most).contains(v));
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

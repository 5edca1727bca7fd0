//! A rule of the routing policy in netlink's terms, both ways. No socket.

use std::fmt::Write as _;

use netlink_packet_route::route::RouteProtocol;
use netlink_packet_route::rule::{
    RuleAction as Action, RuleAttribute, RuleFlags, RuleHeader, RuleMessage, RulePortRange, RuleUidRange,
};
use netlink_packet_route::{AddressFamily, IpProtocol};

use super::MARK;
use super::route::{family, masked, realm};
use crate::config::model::{Prefix, Rule, RuleAction};

const TABLE_MAIN: u32 = 254;

/// The rule as netlink wants it.
pub(super) fn message(rule: &Rule) -> RuleMessage {
    let mut message = RuleMessage::default();
    let (action, table) = match rule.action {
        RuleAction::Table(table) => (Action::ToTable, table),
        RuleAction::Goto(_) => (Action::Goto, 0),
        RuleAction::Nop => (Action::Nop, 0),
        RuleAction::Blackhole => (Action::Blackhole, 0),
        RuleAction::Unreachable => (Action::Unreachable, 0),
        RuleAction::Prohibit => (Action::Prohibit, 0),
    };
    message.header = RuleHeader {
        family: family(rule.family),
        dst_len: rule.to.map_or(0, |to| to.length),
        src_len: rule.from.map_or(0, |from| from.length),
        tos: rule.tos.unwrap_or(0),
        table: u8::try_from(table).unwrap_or(0),
        action,
        flags: if rule.invert { RuleFlags::Invert } else { RuleFlags::empty() },
    };
    let some = |prefix: &Option<Prefix>| prefix.filter(|prefix| prefix.length > 0).map(masked);
    let attributes = [
        some(&rule.to).map(RuleAttribute::Destination),
        some(&rule.from).map(RuleAttribute::Source),
        rule.iif.clone().map(RuleAttribute::Iifname),
        rule.oif.clone().map(RuleAttribute::Oifname),
        rule.priority.map(RuleAttribute::Priority),
        rule.fwmark.map(|(mark, _)| RuleAttribute::FwMark(mark)),
        rule.fwmark.map(|(_, mask)| RuleAttribute::FwMask(mask)),
        rule.realms.map(|realms| RuleAttribute::Realm(realm(realms))),
        rule.tun_id.map(RuleAttribute::TunId),
        rule.suppress_ifgroup.map(RuleAttribute::SuppressIfGroup),
        rule.suppress_prefixlength.map(RuleAttribute::SuppressPrefixLen),
        (table != 0).then_some(RuleAttribute::Table(table)),
        match rule.action {
            RuleAction::Goto(priority) => Some(RuleAttribute::Goto(priority)),
            _ => None,
        },
        rule.l3mdev.then_some(RuleAttribute::L3MDev(true)),
        rule.uidrange.map(|(start, end)| RuleAttribute::UidRange(RuleUidRange { start, end })),
        // What is tracked must be recognised when it goes.
        Some(RuleAttribute::Protocol(RouteProtocol::from(
            rule.protocol.filter(|_| rule.no_track).unwrap_or(MARK),
        ))),
        rule.ip_proto.map(|number| RuleAttribute::IpProtocol(IpProtocol::from(number))),
        rule.sport.map(|(start, end)| RuleAttribute::SourcePortRange(RulePortRange { start, end })),
        rule.dport.map(|(start, end)| RuleAttribute::DestinationPortRange(RulePortRange { start, end })),
    ];
    message.attributes.extend(attributes.into_iter().flatten());
    message
}

/// Whose rule it is.
pub(super) fn protocol(message: &RuleMessage) -> u8 {
    let protocol = message.attributes.iter().find_map(|attribute| match attribute {
        RuleAttribute::Protocol(protocol) => Some(u8::from(*protocol)),
        _ => None,
    });
    protocol.unwrap_or(0)
}

/// For a dump of all rules.
pub(super) fn request(family: AddressFamily) -> RuleMessage {
    let mut message = RuleMessage::default();
    message.header.family = family;
    message
}

/// Whether two messages are about the same rule: everything that the kernel tells rules apart by, and the mark.
pub(super) fn same(a: &RuleMessage, b: &RuleMessage) -> bool {
    let header = |message: &RuleMessage| {
        let RuleHeader { family, dst_len, src_len, tos, action, .. } = message.header;
        (family, dst_len, src_len, tos, action, message.header.flags.contains(RuleFlags::Invert))
    };
    let meant = |message: &RuleMessage| {
        let mut list: Vec<String> = message
            .attributes
            .iter()
            .filter(|attribute| !is_default(attribute))
            .map(|attribute| format!("{attribute:?}"))
            .collect();
        list.sort();
        list
    };
    header(a) == header(b) && meant(a) == meant(b)
}

/// What the kernel tells of every rule.
fn is_default(attribute: &RuleAttribute) -> bool {
    matches!(
        attribute,
        RuleAttribute::SuppressPrefixLen(u32::MAX)
            | RuleAttribute::SuppressIfGroup(u32::MAX)
            | RuleAttribute::FwMask(0)
            | RuleAttribute::FwMark(0)
            | RuleAttribute::Table(0)
            | RuleAttribute::L3MDev(false)
            | RuleAttribute::Other(_)
    )
}

/// A rule of the configuration in words.
pub(super) fn words(rule: &Rule) -> String {
    let mut text = held_words(&message(rule));
    if rule.no_track {
        text += " no_track";
    }
    text
}

/// A rule of the kernel in words.
pub(super) fn held_words(message: &RuleMessage) -> String {
    let mut text = String::new();
    let (mut from, mut table, mut target) = (None, None, None);
    for attribute in &message.attributes {
        // Writing to a string cannot fail.
        let _ = match attribute {
            RuleAttribute::Source(address) => {
                from = Some(address);
                Ok(())
            }
            RuleAttribute::Destination(to) => write!(text, " to {to}/{}", message.header.dst_len),
            RuleAttribute::Iifname(name) => write!(text, " iif {name}"),
            RuleAttribute::Oifname(name) => write!(text, " oif {name}"),
            RuleAttribute::FwMark(mark) if *mark != 0 => write!(text, " fwmark {mark:#x}"),
            RuleAttribute::Priority(number) => write!(text, " priority {number}"),
            RuleAttribute::Table(number) => {
                table = Some(*number);
                Ok(())
            }
            RuleAttribute::Goto(number) => {
                target = Some(*number);
                Ok(())
            }
            _ => Ok(()),
        };
    }
    let from = from.map_or_else(|| "all".to_owned(), |from| format!("{from}/{}", message.header.src_len));
    let action = match (message.header.action, table, target) {
        (Action::ToTable, Some(TABLE_MAIN), _) => "table main".to_owned(),
        (Action::ToTable, table, _) => format!("table {}", table.unwrap_or(u32::from(message.header.table))),
        (Action::Goto, _, Some(target)) => format!("goto {target}"),
        (action, ..) => format!("{action:?}").to_lowercase(),
    };
    format!("from {from}{text} {action}")
}

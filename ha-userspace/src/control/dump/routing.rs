//! Routes and rules as keepalived shows them: `prepend 10.9.0.0/24 via inet 10.1.0.9 dev ens160 proto 18 metric 5`.

use std::fmt::{Display, Write};
use std::time::Duration;

use crate::config::model::{
    Encap, NextHop, Prefix, Route, RouteKind, RouteMetric, RouteMetrics, Rule, RuleAction,
};

/// What keepalived writes where the line names no protocol.
const PROTOCOL: u8 = 18;

/// Words with a blank in front of each.
struct Words(String);

impl Words {
    fn word(&mut self, word: impl Display) {
        // Writing to a string does not fail.
        let _ = write!(self.0, " {word}");
    }

    fn maybe(&mut self, word: &str, value: Option<impl Display>) {
        if let Some(value) = value {
            self.word(format_args!("{word} {value}"));
        }
    }

    fn when(&mut self, set: bool, word: &str) {
        if set {
            self.word(word);
        }
    }
}

/// A route.
pub(super) fn route(route: &Route) -> String {
    let plain = matches!(route.kind, RouteKind::Unicast);
    let mut words = Words(
        match (plain, route.append) {
            (true, true) => "append",
            (true, false) => "prepend",
            (false, _) => "add",
        }
        .to_owned(),
    );
    if !plain {
        words.word(kind(route.kind));
    }
    words.word(prefix(route.to));
    words.maybe("from", route.from.map(prefix));
    words.maybe("src", route.source);
    words.maybe("tos", Some(route.tos).filter(|tos| *tos > 0));
    // Several ways are listed behind everything else.
    let only = match route.hops.as_slice() {
        [only] => Some(only),
        _ => None,
    };
    if let Some(hop) = only {
        way(&mut words, hop);
    }
    words.maybe("table", route.table);
    // One of no interface of its own cannot be followed, whatever the line says.
    let alone = only.is_none_or(|hop| hop.device.is_none());
    words.maybe("proto", protocol(route.protocol, route.no_track && !alone));
    words.maybe("scope", route.scope);
    words.maybe("metric", route.metric);
    words.when(only.is_some_and(|hop| hop.onlink), "onlink");
    words.maybe("expires", route.expires.map(|seconds| format!("{seconds}sec")));
    words.maybe(
        "pref",
        route.preference.map(|preference| match preference {
            1 => "high",
            3 => "low",
            _ => "medium",
        }),
    );
    metrics(&mut words, &route.metrics);
    if let Some(both) = route.realms.or_else(|| only.and_then(|hop| hop.realms)) {
        realms(&mut words, both);
    }
    words.maybe("ttl-propagate", route.ttl_propagate.map(|on| if on { "enabled" } else { "disabled" }));
    if only.is_none() {
        route.hops.iter().for_each(|hop| several(&mut words, hop));
    }
    words.when(route.no_track || alone, "no_track");
    words.0
}

fn several(words: &mut Words, hop: &NextHop) {
    words.word("nexthop");
    way(words, hop);
    words.maybe("weight", Some(hop.weight).filter(|weight| *weight > 1));
    words.when(hop.onlink, "onlink");
    if let Some(both) = hop.realms {
        realms(words, both);
    }
}

fn way(words: &mut Words, hop: &NextHop) {
    if let Some(around) = &hop.encap {
        encap(words, around);
    }
    if let Some(via) = hop.via {
        words.word(format_args!("via {} {via}", if via.is_ipv4() { "inet" } else { "inet6" }));
    }
    words.maybe("dev", hop.device.as_deref());
}

fn encap(words: &mut Words, around: &Encap) {
    match around {
        Encap::Mpls { labels, ttl } => {
            let labels: Vec<String> = labels.iter().map(u32::to_string).collect();
            words.word(format_args!("encap mpls {}", labels.join("/")));
            words.maybe("ttl", *ttl);
        }
        Encap::Ip { id, destination, source, tos, ttl, v6 } => {
            words.word(if *v6 { "encap ip6" } else { "encap ip" });
            words.maybe("id", *id);
            words.maybe("dst", *destination);
            words.maybe("src", *source);
            words.maybe("tos", *tos);
            words.maybe(if *v6 { "hoplimit" } else { "ttl" }, *ttl);
        }
        Encap::Ila { locator } => words.word(format_args!("encap ila {locator:x}")),
    }
}

/// In keepalived's order.
fn metrics(words: &mut Words, metrics: &RouteMetrics) {
    use RouteMetric as Metric;
    words.maybe("congctl", metrics.congctl.as_deref());
    let show = |words: &mut Words, metric: Metric, name: &str| {
        if let Some((_, value)) = metrics.values.iter().find(|(of, _)| *of == metric) {
            let locked = if metrics.locked.contains(&metric) { "lock " } else { "" };
            let value = match metric {
                Metric::Rtt => time(value / 8),
                Metric::RttVar => time(value / 4),
                Metric::RtoMin => time(*value),
                _ => value.to_string(),
            };
            words.word(format_args!("{name} {locked}{value}"));
        }
    };
    for (metric, name) in [(Metric::Rtt, "rtt"), (Metric::RttVar, "rttvar"), (Metric::RtoMin, "rto_min")] {
        show(words, metric, name);
    }
    words.when(metrics.ecn, "features ecn");
    for (metric, name) in [
        (Metric::Mtu, "mtu"),
        (Metric::Window, "window"),
        (Metric::Ssthresh, "ssthresh"),
        (Metric::Cwnd, "cwnd"),
        (Metric::Advmss, "advmss"),
        (Metric::Reordering, "reordering"),
        (Metric::Hoplimit, "hoplimit"),
        (Metric::Initcwnd, "initcwnd"),
        (Metric::Initrwnd, "initrwnd"),
        (Metric::Quickack, "quickack"),
        (Metric::FastopenNoCookie, "fastopen_no_cookie"),
    ] {
        show(words, metric, name);
    }
}

/// A rule.
pub(super) fn rule(rule: &Rule) -> String {
    let mut words = Words(if rule.invert { "not from" } else { "from" }.to_owned());
    words.word(rule.from.map_or_else(|| "all".to_owned(), prefix));
    words.maybe("to", rule.to.map(prefix));
    words.maybe("priority", rule.priority);
    words.word(format_args!("tos {:#x}", rule.tos.unwrap_or(0)));
    if let Some((mark, mask)) = rule.fwmark {
        let mask = if mask == u32::MAX { String::new() } else { format!("/{mask:#x}") };
        words.word(format_args!("fwmark {mark:#x}{mask}"));
    }
    words.maybe("iif", rule.iif.as_deref());
    words.maybe("oif", rule.oif.as_deref());
    words.maybe("suppress_prefixlen", rule.suppress_prefixlength);
    words.maybe("suppress_ifgroup", rule.suppress_ifgroup);
    words.maybe("tun_id", rule.tun_id);
    let range = |words: &mut Words, word: &str, range: Option<(u32, u32)>| {
        words.maybe(word, range.map(|(first, last)| format!("{first}-{last}")));
    };
    range(&mut words, "uidrange", rule.uidrange);
    words.when(rule.l3mdev, "l3mdev");
    words.maybe("protocol", protocol(rule.protocol, rule.no_track));
    if let Some(both) = rule.realms {
        words.word(format_args!("realms {}/{}", both >> 16, both & 0xffff));
    }
    words.maybe("ipproto", rule.ip_proto);
    for (word, ports) in [("sport", rule.sport), ("dport", rule.dport)] {
        range(&mut words, word, ports.map(|(first, last)| (first.into(), last.into())));
    }
    match rule.action {
        RuleAction::Table(table) => words.word(format_args!("lookup {table}")),
        RuleAction::Goto(priority) => words.word(format_args!("goto {priority}")),
        RuleAction::Nop => words.word("nop"),
        RuleAction::Blackhole => words.word("type blackhole"),
        RuleAction::Unreachable => words.word("type unreachable"),
        RuleAction::Prohibit => words.word("type prohibit"),
    }
    words.when(rule.no_track, "no_track");
    words.0
}

/// Routes that nobody follows are not marked as keepalived's unless the line says so.
fn protocol(named: Option<u8>, no_track: bool) -> Option<u8> {
    named.or_else(|| (!no_track).then_some(PROTOCOL))
}

/// Without the length where it is that of one host.
fn prefix(prefix: Prefix) -> String {
    let full = if prefix.address.is_ipv4() { 32 } else { 128 };
    if prefix.length == full {
        prefix.address.to_string()
    } else {
        format!("{}/{}", prefix.address, prefix.length)
    }
}

fn realms(words: &mut Words, both: u32) {
    match (both >> 16, both & 0xffff) {
        (0, to) => words.word(format_args!("realm {to}")),
        (from, to) => words.word(format_args!("realms {from}/{to}")),
    }
}

/// Whole seconds as such, else milliseconds.
fn time(ms: u32) -> String {
    let span = Duration::from_millis(ms.into());
    if ms >= 1000 && span.subsec_nanos() == 0 { format!("{}s", span.as_secs()) } else { format!("{ms}ms") }
}

const fn kind(kind: RouteKind) -> &'static str {
    match kind {
        RouteKind::Unicast => "unicast",
        RouteKind::Local => "local",
        RouteKind::Broadcast => "broadcast",
        RouteKind::Anycast => "anycast",
        RouteKind::Multicast => "multicast",
        RouteKind::Blackhole => "blackhole",
        RouteKind::Unreachable => "unreachable",
        RouteKind::Prohibit => "prohibit",
        RouteKind::Throw => "throw",
        RouteKind::Nat => "nat",
    }
}

#[cfg(test)]
mod tests;

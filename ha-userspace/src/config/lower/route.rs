//! One line of `virtual_routes` or `static_routes`: ip-route(8) with keepalived's words.

use std::net::IpAddr;

use ha_common::types::Family;

use super::context::Context;
use super::encap;
use super::iproute::{KEEPALIVED, byte, named, other_protocol, realms, small};
use super::names::List;
use super::value;
use super::words::{self, Words};
use crate::config::codes;
use crate::config::diag::Diagnostic;
use crate::config::keywords::{self, Route as Keyword, RouteHop, Words as _};
use crate::config::lexer::Word;
use crate::config::model::{NextHop, Prefix, Route, RouteKind, RouteMetric, RouteMetrics};
use crate::config::tree::Statement;

/// What a list of options has said so far.
#[derive(Default)]
struct Draft {
    kind: Option<RouteKind>,
    v6: Option<bool>,
    to: Option<(Prefix, bool)>,
    from: Option<Prefix>,
    source: Option<IpAddr>,
    first: NextHop,
    first_set: bool,
    hops: Vec<NextHop>,
    table: Option<u32>,
    vrf: Option<String>,
    metric: Option<u32>,
    scope: Option<u8>,
    protocol: Option<u8>,
    tos: u8,
    preference: Option<u8>,
    expires: Option<u32>,
    ttl_propagate: Option<bool>,
    metrics: RouteMetrics,
    realms: Option<u32>,
    append: bool,
    no_track: bool,
    track_group: Option<String>,
}

/// Read one line; `None` where it says no usable route, which has been reported.
pub(super) fn lower(stmt: &Statement, fixed: bool, cx: &mut Context) -> Option<Route> {
    value::no_block(stmt, cx);
    let mut words = Words::new(&stmt.words);
    let mut draft = Draft::default();
    // The family is needed for `default`, and may stand anywhere.
    let says = |text: &str| stmt.words.iter().any(|word| word.is(text));
    if says("inet6") {
        draft.v6 = Some(true);
    }
    while let Some(word) = words.next() {
        if draft.option(word, &mut words, fixed, cx)? {
            continue;
        }
        let bad = draft.to.is_some() || !words::is_prefix(word);
        if bad {
            words::unknown("route", word, &keywords::ROUTE_OPTIONS, "the route is ignored", cx);
            return None;
        }
        draft.to = Some((words::prefix(word, draft.v6, cx)?, word.is("default") || word.is("all")));
    }
    draft.finish(stmt, cx)
}

fn kind(word: keywords::RouteType) -> RouteKind {
    use keywords::RouteType as Keyword;
    match word {
        Keyword::Unicast => RouteKind::Unicast,
        Keyword::Local => RouteKind::Local,
        Keyword::Broadcast | Keyword::Brd => RouteKind::Broadcast,
        Keyword::Anycast => RouteKind::Anycast,
        Keyword::Multicast => RouteKind::Multicast,
        Keyword::Blackhole => RouteKind::Blackhole,
        Keyword::Unreachable => RouteKind::Unreachable,
        Keyword::Prohibit => RouteKind::Prohibit,
        Keyword::Throw => RouteKind::Throw,
        Keyword::Nat => RouteKind::Nat,
    }
}

fn metric(word: keywords::RouteMetric) -> RouteMetric {
    use keywords::RouteMetric as Keyword;
    match word {
        Keyword::Mtu => RouteMetric::Mtu,
        Keyword::Window => RouteMetric::Window,
        Keyword::Rtt => RouteMetric::Rtt,
        Keyword::RttVar => RouteMetric::RttVar,
        Keyword::Ssthresh => RouteMetric::Ssthresh,
        Keyword::Cwnd => RouteMetric::Cwnd,
        Keyword::Advmss => RouteMetric::Advmss,
        Keyword::Reordering => RouteMetric::Reordering,
        Keyword::Hoplimit => RouteMetric::Hoplimit,
        Keyword::Initcwnd => RouteMetric::Initcwnd,
        Keyword::RtoMin => RouteMetric::RtoMin,
        Keyword::Initrwnd => RouteMetric::Initrwnd,
        Keyword::Quickack => RouteMetric::Quickack,
        Keyword::FastopenNoCookie => RouteMetric::FastopenNoCookie,
    }
}

impl Draft {
    /// Read one option. `None` gives the route up, `Some(false)` says that the word is no option here.
    fn option(&mut self, word: &Word, words: &mut Words<'_>, fixed: bool, cx: &mut Context) -> Option<bool> {
        let Some(option) = Keyword::parse(&word.text()) else { return Some(false) };
        match option {
            // Behind the destination it would be another one.
            Keyword::RouteType(_) if self.to.is_some() => return Some(false),
            Keyword::TrackGroup if !fixed => return Some(false),
            Keyword::RouteType(found) => self.kind = Some(kind(found)),
            Keyword::RouteMetric(found) => self.metric(metric(found), word, words, cx),
            Keyword::RouteHop(option) => self.hop(option, word, words, cx)?,
            Keyword::Inet => self.v6 = Some(false),
            Keyword::Inet6 => self.v6 = Some(true),
            Keyword::To => self.to = Some(self.destination(word, words, cx)?),
            Keyword::From => {
                self.from = Some(words::prefix(words.argument(word, cx)?, Some(true), cx)?);
            }
            Keyword::Src => self.source = Some(address(words.argument(word, cx)?, cx)?),
            Keyword::Table => self.table = Some(named(List::Tables, word, words, cx)?),
            Keyword::Vrf => self.vrf = Some(value::interface(words.argument(word, cx)?, cx)?),
            Keyword::Metric | Keyword::Priority | Keyword::Preference => {
                self.metric = Some(small(words.number(word, 0..=u64::from(u32::MAX), cx)?));
            }
            Keyword::Scope => self.scope = Some(byte(named(List::Scopes, word, words, cx)?)),
            Keyword::Protocol => {
                self.protocol = Some(byte(named(List::Protocols, word, words, cx)?));
            }
            Keyword::Tos | Keyword::Dsfield => {
                self.tos = byte(named(List::Dsfield, word, words, cx)?);
            }
            Keyword::Pref => self.preference = preference(words.argument(word, cx)?, cx),
            Keyword::Expires => {
                self.expires = Some(small(words.number(word, 0..=u64::from(u32::MAX), cx)?));
            }
            Keyword::TtlPropagate => self.ttl_propagate = enabled(words.argument(word, cx)?, cx),
            Keyword::Features if words.take("ecn") => self.metrics.ecn = true,
            Keyword::Features => {
                let message = "`features` knows only ecn";
                cx.push(Diagnostic::error(codes::BAD_WORD, word.span, message).label("ignored"));
                words.next();
            }
            Keyword::Congctl => {
                words.take("lock");
                self.metrics.congctl = Some(words.argument(word, cx)?.text().into_owned());
            }
            Keyword::Append => self.append = true,
            Keyword::NoTrack => self.no_track = true,
            Keyword::TrackGroup => self.track_group = Some(words.argument(word, cx)?.text().into_owned()),
            Keyword::Nexthop => self.hops.push(NextHop { weight: 1, ..NextHop::default() }),
            Keyword::Or => self.second_way(word, words, cx)?,
        }
        Some(true)
    }

    /// `to [TYPE] PREFIX`.
    fn destination(
        &mut self,
        option: &Word,
        words: &mut Words<'_>,
        cx: &mut Context,
    ) -> Option<(Prefix, bool)> {
        if let Some(found) = words.peek().and_then(|word| keywords::RouteType::parse(&word.text())) {
            self.kind = Some(kind(found));
            words.next();
        }
        let word = words.argument(option, cx)?;
        Some((words::prefix(word, self.v6, cx)?, word.is("default") || word.is("all")))
    }

    /// `or ADDRESS`.
    fn second_way(&mut self, option: &Word, words: &mut Words<'_>, cx: &mut Context) -> Option<()> {
        let message = "`or` in a route is out of date";
        cx.push(
            Diagnostic::note(codes::NOT_NEEDED, option.span, message)
                .label("it means a second way of equal weight")
                .help("write nexthop via ADDRESS nexthop via ADDRESS"),
        );
        let via = address(words.argument(option, cx)?, cx)?;
        if self.hops.is_empty() {
            self.hops.push(NextHop { weight: 1, ..self.first.clone() });
        }
        self.hops.push(NextHop { via: Some(via), weight: 1, ..NextHop::default() });
        Some(())
    }

    /// An option of the way that is being described: the last `nexthop`, or else the route itself. `None` gives the
    /// route up.
    fn hop(&mut self, option: RouteHop, word: &Word, words: &mut Words<'_>, cx: &mut Context) -> Option<()> {
        if self.hops.is_empty() {
            self.first_set |= matches!(
                option,
                RouteHop::Via | RouteHop::Gw | RouteHop::Dev | RouteHop::Oif | RouteHop::Encap
            );
        }
        let or = self.first_set && self.hops.len() > 1;
        let hop = self.hops.last_mut().unwrap_or(&mut self.first);
        match option {
            RouteHop::Via | RouteHop::Gw => {
                if !words.take("inet6") {
                    words.take("inet");
                }
                hop.via = Some(address(words.argument(word, cx)?, cx)?);
            }
            RouteHop::Dev | RouteHop::Oif => {
                let name = value::interface(words.argument(word, cx)?, cx)?;
                if or {
                    // A device behind `or` belongs to both ways.
                    for hop in &mut self.hops {
                        hop.device.get_or_insert_with(|| name.clone());
                    }
                } else {
                    hop.device = Some(name);
                }
            }
            RouteHop::Onlink => hop.onlink = true,
            RouteHop::Pervasive => hop.pervasive = true,
            RouteHop::Weight => {
                let weight = words.number(word, 1..=256, cx)?;
                hop.weight = u16::try_from(weight).unwrap_or(1);
            }
            RouteHop::Encap => hop.encap = Some(encap::lower(word, words, cx)?),
            RouteHop::Realms => {
                let found = realms(word, words, cx)?;
                match self.hops.last_mut() {
                    Some(hop) => hop.realms = Some(found),
                    None => self.realms = Some(found),
                }
            }
        }
        Some(())
    }

    fn metric(&mut self, metric: RouteMetric, option: &Word, words: &mut Words<'_>, cx: &mut Context) {
        if words.take("lock") {
            self.metrics.locked.push(metric);
        }
        let Some(word) = words.argument(option, cx) else { return };
        let most = match metric {
            RouteMetric::Hoplimit => 255,
            RouteMetric::Quickack | RouteMetric::FastopenNoCookie => 1,
            _ => u64::from(u32::MAX),
        };
        let number = match metric {
            RouteMetric::Rtt => time(word, 8),
            RouteMetric::RttVar => time(word, 4),
            RouteMetric::RtoMin => time(word, 1),
            _ => None,
        };
        let number = number.or_else(|| words::number(word, &option.text(), 0..=most, cx));
        if let Some(number) = number {
            self.metrics.values.retain(|(other, _)| *other != metric);
            self.metrics.values.push((metric, small(number)));
        }
    }

    fn finish(mut self, stmt: &Statement, cx: &mut Context) -> Option<Route> {
        let give_up = |message: &str, help: &str, cx: &mut Context| {
            cx.push(
                Diagnostic::error(codes::BAD_ROUTE, stmt.span(), message.to_owned())
                    .label("the route is ignored")
                    .help(help.to_owned()),
            );
        };
        let Some((to, default)) = self.to else {
            give_up("the route has no destination", "write PREFIX via ADDRESS dev INTERFACE", cx);
            return None;
        };
        let to = if default { self.everywhere(to) } else { to };
        let family = if to.address.is_ipv4() { Family::V4 } else { Family::V6 };
        if self.is_foreign(family) {
            give_up("IPv4 and IPv6 addresses in one route", "write a route of its own for each family", cx);
            return None;
        }
        let kind = self.kind.unwrap_or_default();
        let hops = self.ways(kind, stmt, cx);
        self.metrics.values.sort_unstable();
        self.untracked(stmt, &hops, cx);
        Some(Route {
            kind,
            family,
            to,
            from: self.from,
            source: self.source,
            hops,
            table: self.table,
            vrf: self.vrf,
            metric: self.metric,
            scope: self.scope,
            protocol: self.protocol,
            tos: self.tos,
            preference: self.preference,
            expires: self.expires,
            ttl_propagate: self.ttl_propagate,
            metrics: self.metrics,
            realms: self.realms,
            append: self.append,
            no_track: self.no_track,
            track_group: self.track_group,
            place: cx.place(stmt.keyword().span),
        })
    }
}

impl Draft {
    /// The addresses of routers on the way.
    fn vias(&self) -> impl Iterator<Item = IpAddr> {
        self.first.via.into_iter().chain(self.hops.iter().filter_map(|hop| hop.via))
    }

    /// `default` is of the family that is written, or else of the first address on the line.
    fn everywhere(&self, to: Prefix) -> Prefix {
        let mut hints = self.vias().chain(self.source).chain(self.from.map(|from| from.address));
        if self.v6.is_none() && hints.next().is_some_and(|address| address.is_ipv6()) {
            return Prefix { address: IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED), ..to };
        }
        to
    }

    /// Whether an address is of a family that a route of `family` cannot have.
    fn is_foreign(&self, family: Family) -> bool {
        let other = |address: IpAddr| address.is_ipv4() != (family == Family::V4);
        self.source.is_some_and(other)
            || self.from.is_some_and(|from| other(from.address))
            // The kernel takes an IPv6 router for an IPv4 route, not the reverse.
            || (family == Family::V6 && self.vias().any(|via| via.is_ipv4()))
    }

    /// The ways of the route; one that drops packets has none.
    fn ways(&mut self, kind: RouteKind, stmt: &Statement, cx: &mut Context) -> Vec<NextHop> {
        let mut hops = std::mem::take(&mut self.hops);
        let nowhere = matches!(
            kind,
            RouteKind::Blackhole | RouteKind::Unreachable | RouteKind::Prohibit | RouteKind::Throw
        );
        if hops.is_empty() && !nowhere {
            hops.push(NextHop { weight: 1, ..std::mem::take(&mut self.first) });
        } else if nowhere && (self.first_set || !hops.is_empty()) {
            let message = "a route that drops packets goes nowhere";
            let finding = Diagnostic::warning(codes::BAD_ROUTE, stmt.span(), message);
            cx.push(finding.label("via, dev and nexthop are ignored"));
            hops.clear();
        }
        hops
    }

    /// What keepalived does not track, so that its disappearance is nobody's business (2.2.7, tried).
    fn untracked(&mut self, stmt: &Statement, hops: &[NextHop], cx: &mut Context) {
        if self.no_track {
            return;
        }
        let on_device = matches!(hops, [only] if only.device.is_some());
        if !on_device {
            self.no_track = true;
            let message = "the route is not tracked: it has not exactly one way with a device";
            cx.push(
                Diagnostic::warning(codes::NOT_TRACKED, stmt.span(), message)
                    .label("its disappearance is not noticed, in keepalived neither")
                    .help("add dev INTERFACE, or no_track if that is what you want"),
            );
        } else if self.protocol.take_if(|protocol| *protocol != KEEPALIVED).is_some() {
            other_protocol(stmt, "route", cx);
        }
    }
}

fn address(word: &Word, cx: &mut Context) -> Option<IpAddr> {
    value::address(word, "the line is ignored", cx)
}

/// Router preference, as netlink has it.
fn preference(word: &Word, cx: &mut Context) -> Option<u8> {
    match &*word.bytes {
        b"medium" => Some(0),
        b"high" => Some(1),
        b"low" => Some(3),
        _ => {
            value::bad_word(word, &["low", "medium", "high"], "the default is used", cx);
            None
        }
    }
}

fn enabled(word: &Word, cx: &mut Context) -> Option<bool> {
    match &*word.bytes {
        b"enabled" => Some(true),
        b"disabled" => Some(false),
        _ => {
            value::bad_word(word, &["enabled", "disabled"], "ignored", cx);
            None
        }
    }
}

/// `NUMBERs` or `NUMBERms`, in units of a `scale`th of a millisecond.
fn time(word: &Word, scale: u64) -> Option<u64> {
    let text = word.text();
    let (number, unit) = match text.strip_suffix("ms") {
        Some(number) => (number, 1),
        None => (text.strip_suffix('s')?, 1000),
    };
    let micros = value::parse_micros(number.as_bytes())?;
    micros.checked_mul(unit * scale).map(|scaled| scaled / 1_000_000).filter(|v| *v <= u64::from(u32::MAX))
}

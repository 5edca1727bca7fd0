//! One line of `virtual_routes` or `static_routes`: ip-route(8) with keepalived's words.

use std::net::IpAddr;

use ha_common::types::Family;

use super::encap;
use super::names::{List, Names};
use super::value;
use super::words::{self, Words};
use crate::config::codes;
use crate::config::diag::{Diagnostic, Diagnostics};
use crate::config::keywords;
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
pub(super) fn lower(
    stmt: &Statement,
    fixed: bool,
    names: &mut Names,
    diags: &mut Diagnostics,
) -> Option<Route> {
    value::no_block(stmt, diags);
    let mut words = Words::new(&stmt.words);
    let mut draft = Draft::default();
    // The family is needed for `default`, and may stand anywhere.
    let says = |text: &str| stmt.words.iter().any(|word| word.is(text));
    if says("inet6") {
        draft.v6 = Some(true);
    }
    while let Some(word) = words.next() {
        if draft.option(word, &mut words, fixed, names, diags)? {
            continue;
        }
        let bad = draft.to.is_some() || words::prefix(word, draft.v6, &mut Diagnostics::default()).is_none();
        if bad {
            words::unknown("route", word, keywords::ROUTE_OPTIONS, "the route is ignored", diags);
            return None;
        }
        draft.to = Some((words::prefix(word, draft.v6, diags)?, word.is("default") || word.is("all")));
    }
    draft.finish(stmt, diags)
}

fn kind(word: &Word) -> Option<RouteKind> {
    Some(match &*word.bytes {
        b"unicast" => RouteKind::Unicast,
        b"local" => RouteKind::Local,
        b"broadcast" | b"brd" => RouteKind::Broadcast,
        b"anycast" => RouteKind::Anycast,
        b"multicast" => RouteKind::Multicast,
        b"blackhole" => RouteKind::Blackhole,
        b"unreachable" => RouteKind::Unreachable,
        b"prohibit" => RouteKind::Prohibit,
        b"throw" => RouteKind::Throw,
        b"nat" => RouteKind::Nat,
        _ => return None,
    })
}

fn metric(word: &Word) -> Option<RouteMetric> {
    Some(match &*word.bytes {
        b"mtu" => RouteMetric::Mtu,
        b"window" => RouteMetric::Window,
        b"rtt" => RouteMetric::Rtt,
        b"rttvar" => RouteMetric::RttVar,
        b"ssthresh" => RouteMetric::Ssthresh,
        b"cwnd" => RouteMetric::Cwnd,
        b"advmss" => RouteMetric::Advmss,
        b"reordering" => RouteMetric::Reordering,
        b"hoplimit" => RouteMetric::Hoplimit,
        b"initcwnd" => RouteMetric::Initcwnd,
        b"rto_min" => RouteMetric::RtoMin,
        b"initrwnd" => RouteMetric::Initrwnd,
        b"quickack" => RouteMetric::Quickack,
        b"fastopen_no_cookie" => RouteMetric::FastopenNoCookie,
        _ => return None,
    })
}

impl Draft {
    /// Read one option. `None` gives the route up, `Some(false)` says that the word is no option.
    fn option(
        &mut self,
        word: &Word,
        words: &mut Words<'_>,
        fixed: bool,
        names: &mut Names,
        diags: &mut Diagnostics,
    ) -> Option<bool> {
        if self.to.is_none()
            && let Some(kind) = kind(word)
        {
            self.kind = Some(kind);
            return Some(true);
        }
        if let Some(metric) = metric(word) {
            self.metric(metric, word, words, diags);
            return Some(true);
        }
        match &*word.bytes {
            b"inet" => self.v6 = Some(false),
            b"inet6" => self.v6 = Some(true),
            b"to" => {
                if let Some(found) = words.peek().and_then(kind) {
                    self.kind = Some(found);
                    words.next();
                }
                let word = words.argument(word, diags)?;
                self.to = Some((words::prefix(word, self.v6, diags)?, word.is("default") || word.is("all")));
            }
            b"from" => self.from = Some(words::prefix(words.argument(word, diags)?, Some(true), diags)?),
            b"src" => self.source = Some(address(words.argument(word, diags)?, diags)?),
            b"table" => self.table = Some(named(List::Tables, word, words, names, diags)?),
            b"vrf" => self.vrf = Some(value::interface(words.argument(word, diags)?, diags)?),
            b"metric" | b"priority" | b"preference" => {
                self.metric = Some(small(words.number(word, 0..=u64::from(u32::MAX), diags)?));
            }
            b"scope" => self.scope = Some(byte(named(List::Scopes, word, words, names, diags)?)),
            b"protocol" => self.protocol = Some(byte(named(List::Protocols, word, words, names, diags)?)),
            b"tos" | b"dsfield" => self.tos = byte(named(List::Dsfield, word, words, names, diags)?),
            b"pref" => {
                let word = words.argument(word, diags)?;
                self.preference = match &*word.bytes {
                    b"medium" => Some(0),
                    b"high" => Some(1),
                    b"low" => Some(3),
                    _ => {
                        value::bad_word(word, &["low", "medium", "high"], "the default is used", diags);
                        None
                    }
                };
            }
            b"expires" => self.expires = Some(small(words.number(word, 0..=u64::from(u32::MAX), diags)?)),
            b"ttl-propagate" => {
                let word = words.argument(word, diags)?;
                self.ttl_propagate = match &*word.bytes {
                    b"enabled" => Some(true),
                    b"disabled" => Some(false),
                    _ => {
                        value::bad_word(word, &["enabled", "disabled"], "ignored", diags);
                        None
                    }
                };
            }
            b"features" => {
                if !words.take("ecn") {
                    let message = "`features` knows only ecn";
                    diags.push(Diagnostic::error(codes::BAD_WORD, word.span, message).cause("ignored"));
                    words.next();
                } else {
                    self.metrics.ecn = true;
                }
            }
            b"congctl" => {
                words.take("lock");
                self.metrics.congctl = Some(words.argument(word, diags)?.text().into_owned());
            }
            b"append" => self.append = true,
            b"no_track" => self.no_track = true,
            b"track_group" if fixed => {
                self.track_group = Some(words.argument(word, diags)?.text().into_owned());
            }
            b"nexthop" => {
                self.hops.push(NextHop { weight: 1, ..NextHop::default() });
            }
            b"or" => {
                let message = "`or` in a route is out of date";
                diags.push(
                    Diagnostic::note(codes::NOT_NEEDED, word.span, message)
                        .cause("it means a second way of equal weight")
                        .help("write nexthop via ADDRESS nexthop via ADDRESS"),
                );
                let via = address(words.argument(word, diags)?, diags)?;
                if self.hops.is_empty() {
                    self.hops.push(NextHop { weight: 1, ..self.first.clone() });
                }
                self.hops.push(NextHop { via: Some(via), weight: 1, ..NextHop::default() });
            }
            _ => return self.hop(word, words, names, diags),
        }
        Some(true)
    }

    /// An option of the way that is being described: the last `nexthop`, or else the route itself.
    fn hop(
        &mut self,
        word: &Word,
        words: &mut Words<'_>,
        names: &mut Names,
        diags: &mut Diagnostics,
    ) -> Option<bool> {
        if self.hops.is_empty() {
            self.first_set |= matches!(&*word.bytes, b"via" | b"gw" | b"dev" | b"oif" | b"encap");
        }
        let or = self.first_set && self.hops.len() > 1;
        let hop = self.hops.last_mut().unwrap_or(&mut self.first);
        match &*word.bytes {
            b"via" | b"gw" => {
                if !words.take("inet6") {
                    words.take("inet");
                }
                hop.via = Some(address(words.argument(word, diags)?, diags)?);
            }
            b"dev" | b"oif" => {
                let name = value::interface(words.argument(word, diags)?, diags)?;
                if or {
                    // A device behind `or` belongs to both ways.
                    for hop in &mut self.hops {
                        hop.device.get_or_insert_with(|| name.clone());
                    }
                } else {
                    hop.device = Some(name);
                }
            }
            b"onlink" => hop.onlink = true,
            b"pervasive" => hop.pervasive = true,
            b"weight" => {
                let weight = words.number(word, 1..=256, diags)?;
                hop.weight = u16::try_from(weight).unwrap_or(1);
            }
            b"encap" => hop.encap = Some(encap::lower(word, words, diags)?),
            b"realms" => {
                let found = realms(word, words, names, diags)?;
                match self.hops.last_mut() {
                    Some(hop) => hop.realms = Some(found),
                    None => self.realms = Some(found),
                }
            }
            _ => return Some(false),
        }
        Some(true)
    }

    fn metric(&mut self, metric: RouteMetric, option: &Word, words: &mut Words<'_>, diags: &mut Diagnostics) {
        if words.take("lock") {
            self.metrics.locked.push(metric);
        }
        let Some(word) = words.argument(option, diags) else { return };
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
        let number = number.or_else(|| words::number(word, &option.text(), 0..=most, diags));
        if let Some(number) = number {
            self.metrics.values.retain(|(other, _)| *other != metric);
            self.metrics.values.push((metric, small(number)));
        }
    }

    fn finish(mut self, stmt: &Statement, diags: &mut Diagnostics) -> Option<Route> {
        let give_up = |message: &str, help: &str, diags: &mut Diagnostics| {
            diags.push(
                Diagnostic::error(codes::BAD_ROUTE, stmt.span(), message.to_owned())
                    .cause("the route is ignored")
                    .help(help.to_owned()),
            );
        };
        let Some((mut to, default)) = self.to else {
            give_up("the route has no destination", "write PREFIX via ADDRESS dev INTERFACE", diags);
            return None;
        };
        let hints = self.first.via.into_iter().chain(self.hops.iter().filter_map(|hop| hop.via));
        let mut hints = hints.chain(self.source).chain(self.from.map(|from| from.address));
        if default && self.v6.is_none() && hints.next().is_some_and(|address| address.is_ipv6()) {
            to.address = IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED);
        }
        let family = if to.address.is_ipv4() { Family::V4 } else { Family::V6 };
        let other = |address: IpAddr| address.is_ipv4() != (family == Family::V4);
        let vias = || self.first.via.iter().chain(self.hops.iter().filter_map(|hop| hop.via.as_ref()));
        // The kernel takes an IPv6 router for an IPv4 route, not the reverse.
        let foreign = self.source.is_some_and(other)
            || self.from.is_some_and(|from| other(from.address))
            || (family == Family::V6 && vias().any(|via| via.is_ipv4()));
        if foreign {
            give_up(
                "IPv4 and IPv6 addresses in one route",
                "write a route of its own for each family",
                diags,
            );
            return None;
        }
        let kind = self.kind.unwrap_or_default();
        let nowhere = matches!(
            kind,
            RouteKind::Blackhole | RouteKind::Unreachable | RouteKind::Prohibit | RouteKind::Throw
        );
        let mut hops = std::mem::take(&mut self.hops);
        if hops.is_empty() && !nowhere {
            hops.push(NextHop { weight: 1, ..std::mem::take(&mut self.first) });
        } else if nowhere && (self.first_set || !hops.is_empty()) {
            let message = "a route that drops packets goes nowhere";
            let finding = Diagnostic::warning(codes::BAD_ROUTE, stmt.span(), message);
            diags.push(finding.cause("via, dev and nexthop are ignored"));
            hops.clear();
        }
        self.metrics.values.sort_unstable();
        self.untracked(stmt, &hops, diags);
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
            place: diags.sources.place(stmt.keyword().span),
        })
    }
}

impl Draft {
    /// What keepalived does not track, so that its disappearance is nobody's business (2.2.7, tried).
    fn untracked(&mut self, stmt: &Statement, hops: &[NextHop], diags: &mut Diagnostics) {
        if self.no_track {
            return;
        }
        let on_device = matches!(hops, [only] if only.device.is_some());
        if !on_device {
            self.no_track = true;
            let message = "the route is not tracked: it has not exactly one way with a device";
            diags.push(
                Diagnostic::warning(codes::NOT_TRACKED, stmt.span(), message)
                    .cause("its disappearance is not noticed, in keepalived neither")
                    .help("add dev INTERFACE, or no_track if that is what you want"),
            );
        } else if self.protocol.take_if(|protocol| *protocol != KEEPALIVED).is_some() {
            other_protocol(stmt, "route", diags);
        }
    }
}

/// keepalived's number in rt_protos.
pub(super) const KEEPALIVED: u8 = 18;

/// Say that what is tracked must be recognised as ours.
pub(super) fn other_protocol(stmt: &Statement, what: &str, diags: &mut Diagnostics) {
    let message = format!("a {what} that is tracked cannot have a protocol of its own");
    diags.push(
        Diagnostic::warning(codes::NOT_TRACKED, stmt.span(), message)
            .cause(format!("protocol {KEEPALIVED} (keepalived) is used"))
            .help("add no_track to keep the protocol"),
    );
}

fn address(word: &Word, diags: &mut Diagnostics) -> Option<IpAddr> {
    value::address(word, "the line is ignored", diags)
}

/// Within the range that was checked before.
pub(super) fn small(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

/// Within the range that was checked before.
pub(super) fn byte(value: u32) -> u8 {
    u8::try_from(value).unwrap_or(u8::MAX)
}

/// A number, or a name that stands for one.
pub(super) fn named(
    list: List,
    option: &Word,
    words: &mut Words<'_>,
    names: &mut Names,
    diags: &mut Diagnostics,
) -> Option<u32> {
    let word = words.argument(option, diags)?;
    let found = names.find(list, word);
    if found.is_none() {
        let message = format!("{} `{}` is unknown", option.text(), word.text());
        diags.push(
            Diagnostic::error(codes::BAD_WORD, word.span, message)
                .cause("the line is ignored")
                .help("write its number, or add the name to the files in /etc/iproute2"),
        );
    }
    found
}

/// `realms [FROM/]TO`: the source's realm in the upper half.
pub(super) fn realms(
    option: &Word,
    words: &mut Words<'_>,
    names: &mut Names,
    diags: &mut Diagnostics,
) -> Option<u32> {
    let word = words.argument(option, diags)?;
    let text = word.text();
    let mut half = |part: &str| {
        let word = Word { bytes: part.as_bytes().into(), ..word.clone() };
        names.find(List::Realms, &word)
    };
    let found = match text.split_once('/') {
        Some((from, to)) => half(from).zip(half(to)).map(|(from, to)| from << 16 | to),
        None => half(&text),
    };
    if found.is_none() {
        let message = format!("realms `{text}` is not [FROM/]TO");
        diags.push(Diagnostic::error(codes::BAD_WORD, word.span, message).cause("the line is ignored"));
    }
    found
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

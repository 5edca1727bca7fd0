//! `bfd_instance`.

use std::net::IpAddr;
use std::time::Duration;

use super::context::Context;
use super::keyword;
use super::{track, value};
use crate::config::codes;
use crate::config::diag::Diagnostic;
use crate::config::keywords::Bfd as Keyword;
use crate::config::lexer::Word;
use crate::config::model::{Bfd, Weight};
use crate::config::source::Span;
use crate::config::tree::Statement;

/// Intervals in microseconds: at least a millisecond, and what fits the 32 bits of RFC 5880 section 4.1.
const INTERVAL: std::ops::RangeInclusive<u64> = 1_000..=4_294_967_000;

/// A block that has been read, and what is settled only at its end.
struct Draft {
    bfd: Bfd,
    neighbor: Option<IpAddr>,
    source: Option<(IpAddr, Span)>,
    ttl: Option<u8>,
    vrrp: bool,
    checker: Option<Span>,
}

/// Read one block; `None` where no session can be made of it.
pub(super) fn lower<'a>(stmt: &'a Statement, cx: &mut Context) -> Option<(Bfd, &'a Word)> {
    let name = value::name(stmt, cx)?;
    let statements = value::block(stmt, cx)?;
    let bfd = Bfd {
        name: name.text().into_owned(),
        neighbor: IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED),
        source: None,
        min_rx: Duration::from_millis(10),
        min_tx: Duration::from_millis(10),
        idle_tx: Duration::from_secs(1),
        multiplier: 5,
        passive: false,
        ttl: 255,
        max_hops: 0,
        weight: Weight::default(),
        place: cx.place(name.span),
    };
    let mut draft = Draft { bfd, neighbor: None, source: None, ttl: None, vrrp: false, checker: None };
    for stmt in statements {
        if let Some(keyword) = keyword::known(stmt, cx) {
            draft.line(keyword, stmt, cx);
        }
    }
    Some((draft.finish(name, cx)?, name))
}

impl Draft {
    fn line(&mut self, keyword: Keyword, stmt: &Statement, cx: &mut Context) {
        let bfd = &mut self.bfd;
        match keyword {
            Keyword::NeighborIp | Keyword::NeighbourIp => {
                let Some(word) = value::one(stmt, cx) else { return };
                self.neighbor = value::host(word, "ignored", cx).or(self.neighbor);
            }
            Keyword::SourceIp => {
                let Some(word) = value::one(stmt, cx) else { return };
                self.source = value::host(word, "ignored", cx).map(|address| (address, word.span));
            }
            Keyword::MinRx => bfd.min_rx = interval(stmt, cx).unwrap_or(bfd.min_rx),
            Keyword::MinTx => bfd.min_tx = interval(stmt, cx).unwrap_or(bfd.min_tx),
            Keyword::IdleTx => bfd.idle_tx = interval(stmt, cx).unwrap_or(bfd.idle_tx),
            Keyword::Multiplier => {
                let Some(word) = value::one(stmt, cx) else { return };
                bfd.multiplier = value::small(word, "multiplier", 1..=255, "5 is used", cx).unwrap_or(5);
            }
            Keyword::Passive => {
                value::flag(stmt, cx);
                bfd.passive = true;
            }
            Keyword::Ttl | Keyword::Hoplimit => {
                let Some(word) = value::one(stmt, cx) else { return };
                let what = stmt.keyword().text();
                self.ttl = value::small(word, &what, 1..=255, "the default is used", cx).or(self.ttl);
            }
            Keyword::MaxHops => {
                let Some(word) = value::one(stmt, cx) else { return };
                bfd.max_hops = value::small(word, "max_hops", 0..=255, "0 is used", cx).unwrap_or(0);
            }
            Keyword::Weight => bfd.weight = track::weight(stmt, cx).unwrap_or(bfd.weight),
            Keyword::Vrrp => {
                value::flag(stmt, cx);
                self.vrrp = true;
            }
            Keyword::Checker => {
                value::flag(stmt, cx);
                self.checker = Some(stmt.keyword().span);
            }
        }
    }

    fn finish(self, name: &Word, cx: &mut Context) -> Option<Bfd> {
        let mut bfd = self.bfd;
        if let Some(span) = self.checker.filter(|_| !self.vrrp) {
            let message = format!("bfd_instance `{}` is only for load balancing", bfd.name);
            cx.push(
                Diagnostic::note(codes::NOT_NEEDED, span, message)
                    .label("the block is skipped: no instance can track it")
                    .help("remove `checker`, or add `vrrp`"),
            );
            return None;
        }
        let Some(neighbor) = self.neighbor else {
            let message = format!("bfd_instance `{}` has no neighbor_ip", bfd.name);
            cx.push(
                Diagnostic::error(codes::TRACKER_INCOMPLETE, name.span, message)
                    .label("the block is skipped")
                    .help("add a line such as: neighbor_ip 192.0.2.2"),
            );
            return None;
        };
        bfd.neighbor = neighbor;
        // keepalived says 64 for IPv6, which RFC 5881 does not allow and FRR drops.
        bfd.ttl = self.ttl.unwrap_or(255);
        if let Some((address, span)) = self.source {
            if address.is_ipv4() != neighbor.is_ipv4() {
                let message = format!("source_ip {address} is of another family than the neighbour");
                cx.push(Diagnostic::error(codes::BAD_ADDRESS, span, message).label("the block is skipped"));
                return None;
            }
            bfd.source = Some(address);
        }
        Some(bfd)
    }
}

/// Milliseconds, with up to three digits behind the point.
fn interval(stmt: &Statement, cx: &mut Context) -> Option<Duration> {
    let word = value::one(stmt, cx)?;
    let micros = value::parse_micros(&word.bytes).map(|nanos| nanos / 1000);
    if let Some(micros) = micros.filter(|micros| INTERVAL.contains(micros)) {
        return Some(Duration::from_micros(micros));
    }
    let message = format!("{} `{}` is not a time in milliseconds", stmt.keyword().text(), word.text());
    cx.push(
        Diagnostic::error(codes::BAD_NUMBER, word.span, message)
            .label("the default is used")
            .help("write milliseconds from 1 to 4294967"),
    );
    None
}

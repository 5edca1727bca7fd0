//! `unicast_peer` and the source address.

use std::net::IpAddr;

use super::context::Context;
use super::value;
use crate::config::codes;
use crate::config::diag::Diagnostic;
use crate::config::model::UnicastPeer;
use crate::config::source::Span;
use crate::config::tree::Statement;

/// The peers of a `unicast_peer` block, with their places. Families are checked later.
pub(super) fn peers(stmt: &Statement, out: &mut Vec<(UnicastPeer, Span)>, cx: &mut Context) {
    let Some(statements) = value::bare_block(stmt, cx) else { return };
    for stmt in statements {
        value::no_block(stmt, cx);
        let word = stmt.keyword();
        let Some(address) = value::host(word, "this peer is not used", cx) else { continue };
        let mut peer = UnicastPeer { address, min_ttl: None, max_ttl: None };
        let mut words = stmt.args().iter();
        while let Some(option) = words.next() {
            let slot = match &*option.bytes {
                b"min_ttl" => &mut peer.min_ttl,
                b"max_ttl" => &mut peer.max_ttl,
                _ => {
                    value::bad_word(option, &["min_ttl", "max_ttl"], "ignored", cx);
                    continue;
                }
            };
            match words.next() {
                Some(word) => *slot = value::small(word, &option.text(), 0..=255, "not checked", cx),
                None => {
                    let message = format!("`{}` lacks its parameter", option.text());
                    cx.push(
                        Diagnostic::error(codes::MISSING_PARAMETER, option.span, message)
                            .label("not checked"),
                    );
                }
            }
        }
        if let (Some(low), Some(high)) = (peer.min_ttl, peer.max_ttl)
            && low > high
        {
            let message = format!("min_ttl {low} is above max_ttl {high}");
            cx.push(
                Diagnostic::error(codes::BAD_NUMBER, stmt.span(), message)
                    .label("no advert can pass; neither is checked"),
            );
            (peer.min_ttl, peer.max_ttl) = (None, None);
        }
        out.push((peer, word.span));
    }
}

/// `mcast_src_ip` or `unicast_src_ip`.
pub(super) fn source(stmt: &Statement, cx: &mut Context) -> Option<(IpAddr, Span)> {
    let word = value::one(stmt, cx)?;
    let address = value::host(word, "the interface's address is used", cx)?;
    Some((address, word.span))
}

/// Say that an address is of the other family than the instance.
pub(super) fn wrong_family(what: &str, address: IpAddr, span: Span, instead: &str, cx: &mut Context) {
    let message = format!("{what} {address} is of another family than the instance");
    cx.push(
        Diagnostic::error(codes::BAD_ADDRESS, span, message)
            .label(instead.to_owned())
            .help("the family is that of the first address in virtual_ipaddress"),
    );
}

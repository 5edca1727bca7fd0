//! `encap` in a route: what is put round the packets.

use super::context::Context;
use super::value;
use super::words::{self, Words};
use crate::config::codes;
use crate::config::diag::Diagnostic;
use crate::config::lexer::Word;
use crate::config::model::Encap;

/// More labels than any network stacks.
const MAX_LABELS: usize = 16;

/// Read what stands behind `encap`; `None` gives the route up.
pub(super) fn lower(option: &Word, words: &mut Words<'_>, cx: &mut Context) -> Option<Encap> {
    let kind = words.argument(option, cx)?;
    match &*kind.bytes {
        b"mpls" => mpls(kind, words, cx),
        b"ip" => ip(words, false, cx),
        b"ip6" => ip(words, true, cx),
        b"ila" => {
            let word = words.argument(kind, cx)?;
            let text = word.text();
            let mut parts = text.split(':').map(|part| u16::from_str_radix(part, 16).ok());
            let locator = parts
                .by_ref()
                .take(4)
                .try_fold((0_u64, 0), |(sum, count), part| Some((sum << 16 | u64::from(part?), count + 1)));
            match locator {
                Some((locator, 4)) if parts.next().is_none() => Some(Encap::Ila { locator }),
                _ => {
                    let message = format!("`{text}` is no ILA locator");
                    cx.push(
                        Diagnostic::error(codes::BAD_ADDRESS, word.span, message)
                            .label("the route is ignored")
                            .help("write four groups of hexadecimal digits, such as 2001:db8:0:1"),
                    );
                    None
                }
            }
        }
        _ => {
            value::bad_word(kind, &["mpls", "ip", "ip6", "ila"], "the route is ignored", cx);
            None
        }
    }
}

fn mpls(kind: &Word, words: &mut Words<'_>, cx: &mut Context) -> Option<Encap> {
    let word = words.argument(kind, cx)?;
    let labels: Option<Vec<u32>> = word
        .text()
        .split('/')
        .map(|label| label.parse::<u32>().ok().filter(|label| *label < 1 << 20))
        .collect();
    let Some(labels) = labels.filter(|labels| labels.len() <= MAX_LABELS) else {
        let message = format!("`{}` is no list of MPLS labels", word.text());
        cx.push(
            Diagnostic::error(codes::BAD_NUMBER, word.span, message)
                .label("the route is ignored")
                .help("write labels from 0 to 1048575 with slashes between them"),
        );
        return None;
    };
    let mut ttl = None;
    if let Some(option) = words.peek().filter(|word| word.is("ttl")) {
        words.next();
        ttl = u8::try_from(words.number(option, 0..=255, cx)?).ok();
    }
    Some(Encap::Mpls { labels, ttl })
}

fn ip(words: &mut Words<'_>, v6: bool, cx: &mut Context) -> Option<Encap> {
    let (mut id, mut destination, mut source, mut tos, mut ttl) = (None, None, None, None, None);
    while let Some(option) = words.peek() {
        let address = |words: &mut Words<'_>, cx: &mut Context| {
            words.next();
            let word = words.argument(option, cx)?;
            let address = value::address(word, "the route is ignored", cx)?;
            if address.is_ipv6() == v6 {
                return Some(address);
            }
            let message = format!("{address} is of another family than the tunnel");
            cx.push(Diagnostic::error(codes::BAD_ADDRESS, word.span, message).label("the route is ignored"));
            None
        };
        let number = |words: &mut Words<'_>, most: u64, cx: &mut Context| {
            words.next();
            words::number(words.argument(option, cx)?, &option.text(), 0..=most, cx)
        };
        let byte = |value: u64| u8::try_from(value).ok();
        match &*option.bytes {
            b"id" => id = Some(number(words, u64::MAX, cx)?),
            b"dst" => destination = Some(address(words, cx)?),
            b"src" => source = Some(address(words, cx)?),
            b"tos" | b"tc" => tos = byte(number(words, 255, cx)?),
            b"ttl" | b"hoplimit" if (&*option.bytes == b"hoplimit") == v6 => {
                ttl = byte(number(words, 255, cx)?);
            }
            b"flags" => drop(number(words, 65_535, cx)?),
            _ => break,
        }
    }
    Some(Encap::Ip { id, destination, source, tos, ttl, v6 })
}

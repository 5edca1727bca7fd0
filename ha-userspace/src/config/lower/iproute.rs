//! What the lines of routes and rules have in common.

use super::context::Context;
use super::names::List;
use super::words::Words;
use crate::config::codes;
use crate::config::diag::Diagnostic;
use crate::config::lexer::Word;
use crate::config::tree::Statement;

/// keepalived's number in rt_protos.
pub(super) const KEEPALIVED: u8 = 18;

/// Say that what is tracked must be recognised as ours.
pub(super) fn other_protocol(stmt: &Statement, what: &str, cx: &mut Context) {
    let message = format!("a {what} that is tracked cannot have a protocol of its own");
    cx.push(
        Diagnostic::warning(codes::NOT_TRACKED, stmt.span(), message)
            .label(format!("protocol {KEEPALIVED} (keepalived) is used"))
            .help("add no_track to keep the protocol"),
    );
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
pub(super) fn named(list: List, option: &Word, words: &mut Words<'_>, cx: &mut Context) -> Option<u32> {
    let word = words.argument(option, cx)?;
    let found = cx.names.find(list, word);
    if found.is_none() {
        let message = format!("{} `{}` is unknown", option.text(), word.text());
        cx.push(
            Diagnostic::error(codes::BAD_WORD, word.span, message)
                .label("the line is ignored")
                .help("write its number, or add the name to the files in /etc/iproute2"),
        );
    }
    found
}

/// `realms [FROM/]TO`: the source's realm in the upper half.
pub(super) fn realms(option: &Word, words: &mut Words<'_>, cx: &mut Context) -> Option<u32> {
    let word = words.argument(option, cx)?;
    let text = word.text();
    let mut half = |part: &str| {
        let word = Word { bytes: part.as_bytes().into(), ..word.clone() };
        cx.names.find(List::Realms, &word)
    };
    let found = match text.split_once('/') {
        Some((from, to)) => half(from).zip(half(to)).map(|(from, to)| from << 16 | to),
        None => half(&text),
    };
    if found.is_none() {
        let message = format!("realms `{text}` is not [FROM/]TO");
        cx.push(Diagnostic::error(codes::BAD_WORD, word.span, message).label("the line is ignored"));
    }
    found
}

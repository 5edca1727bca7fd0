//! A line of options, word by word: `via ADDRESS dev NAME …`.

use std::net::{IpAddr, Ipv4Addr};
use std::ops::RangeInclusive;

use super::context::Context;
use super::unsigned::parse_unsigned;
use super::value;
use crate::config::codes;
use crate::config::diag::Diagnostic;
use crate::config::keywords::{self, Row};
use crate::config::lexer::Word;
use crate::config::model::Prefix;

/// The words that are still to be read.
#[derive(Clone, Debug)]
pub(super) struct Words<'a> {
    rest: &'a [Word],
}

impl<'a> Words<'a> {
    pub(super) fn new(words: &'a [Word]) -> Self {
        Self { rest: words }
    }

    pub(super) fn peek(&self) -> Option<&'a Word> {
        self.rest.first()
    }

    pub(super) fn next(&mut self) -> Option<&'a Word> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(first)
    }

    /// Take the next word if it is `text`.
    pub(super) fn take(&mut self, text: &str) -> bool {
        let found = self.peek().is_some_and(|word| word.is(text));
        if found {
            self.next();
        }
        found
    }

    /// The parameter of `option`. keepalived cannot run a file in which it is missing, so neither does this.
    pub(super) fn argument(&mut self, option: &Word, cx: &mut Context) -> Option<&'a Word> {
        let next = self.next();
        if next.is_none() {
            let message = format!("`{}` lacks its parameter", option.text());
            cx.push_fatal(
                Diagnostic::error(codes::MISSING_PARAMETER, option.span, message)
                    .label("the configuration cannot be run")
                    .help("add the value, or remove the option"),
            );
        }
        next
    }

    /// The same for a word of xvrrp's own: the file runs without it.
    pub(super) fn own_argument(&mut self, option: &Word, cx: &mut Context) -> Option<&'a Word> {
        let next = self.next();
        if next.is_none() {
            let message = format!("`{}` lacks its parameter", option.text());
            cx.push(Diagnostic::error(codes::MISSING_PARAMETER, option.span, message).label("ignored"));
        }
        next
    }

    /// The numeric parameter of `option`, decimal or with `0x`.
    pub(super) fn number(
        &mut self,
        option: &Word,
        range: RangeInclusive<u64>,
        cx: &mut Context,
    ) -> Option<u64> {
        let word = self.argument(option, cx)?;
        number(word, &option.text(), range, cx)
    }
}

/// A number within `range`; `None` after an error.
pub(super) fn number(word: &Word, what: &str, range: RangeInclusive<u64>, cx: &mut Context) -> Option<u64> {
    let value = parse_unsigned(&word.bytes);
    if value.is_some_and(|value| range.contains(&value)) {
        return value;
    }
    let (low, high) = range.into_inner();
    let message = match value {
        Some(_) => format!("{what} {} is out of range", word.text()),
        None => format!("{what} `{}` is not a number", word.text()),
    };
    let help = format!("write a number from {low} to {high}");
    cx.push(Diagnostic::error(codes::BAD_NUMBER, word.span, message).label("ignored").help(help));
    None
}

/// Say that an option is unknown.
pub(super) fn unknown(what: &str, word: &Word, known: &'static [Row], instead: &str, cx: &mut Context) {
    let message = format!("unknown {what} option `{}`", word.text());
    let near = if cx.is_full() {
        None
    } else {
        keywords::closest(&word.text(), known.iter().map(|row| row.word.as_str()))
    };
    cx.push(
        Diagnostic::warning(codes::UNKNOWN_KEYWORD, word.span, message)
            .label(instead)
            .maybe_help(near.map(|near| format!("did you mean `{near}`?"))),
    );
}

/// Whether a word looks like what [`prefix`] reads.
pub(super) fn is_prefix(word: &Word) -> bool {
    let text = word.text();
    let address = text.split('/').next().unwrap_or_default();
    matches!(&*text, "default" | "all" | "any") || address.parse::<IpAddr>().is_ok()
}

/// `ADDRESS[/LENGTH]`, `default` or `all`; `v6` decides what `default` is.
pub(super) fn prefix(word: &Word, v6: Option<bool>, cx: &mut Context) -> Option<Prefix> {
    let text = word.text();
    if matches!(&*text, "default" | "all" | "any") {
        let address = if v6 == Some(true) {
            IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED)
        } else {
            IpAddr::V4(Ipv4Addr::UNSPECIFIED)
        };
        return Some(Prefix { address, length: 0 });
    }
    let (address, length) = prefixed(word, "192.0.2.0/24", cx)?;
    Some(Prefix { address, length })
}

/// `ADDRESS[/LENGTH]`, such as `example`. A bad length is replaced by that of a host, as keepalived does.
pub(super) fn prefixed(word: &Word, example: &str, cx: &mut Context) -> Option<(IpAddr, u8)> {
    let text = word.text();
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(length)),
        None => (&*text, None),
    };
    let Ok(address) = address.parse::<IpAddr>() else {
        cx.push(
            Diagnostic::error(codes::BAD_ADDRESS, word.span, format!("`{text}` is not an address"))
                .label("the line is ignored")
                .help(format!("write ADDRESS or ADDRESS/LENGTH, such as {example}")),
        );
        return None;
    };
    let full = if address.is_ipv4() { 32 } else { 128 };
    let Some(length) = length else { return Some((address, full)) };
    let number = value::parse_number(length.as_bytes()).and_then(|length| u8::try_from(length).ok());
    if let Some(number) = number.filter(|number| *number <= full) {
        return Some((address, number));
    }
    let mask = length.parse::<Ipv4Addr>().ok().map(|mask| mask.to_bits());
    let help = match mask {
        Some(mask) if address.is_ipv4() && mask.leading_ones() + mask.trailing_zeros() >= 32 => {
            format!("write /{} for this mask", mask.leading_ones())
        }
        _ => format!("write a number from 0 to {full}"),
    };
    cx.push(
        Diagnostic::error(codes::BAD_PREFIX, word.span, format!("`{length}` is not a prefix length"))
            .label(format!("/{full} is used"))
            .help(help),
    );
    Some((address, full))
}

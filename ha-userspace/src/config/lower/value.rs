//! Parameters of keywords: exactly one, a number in a range, a time, a boolean, an address.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::context::Context;
use crate::config::codes;
use crate::config::diag::Diagnostic;
use crate::config::keywords;
use crate::config::lexer::Word;
use crate::config::source::Span;
use crate::config::tree::Statement;

/// Interface names, labels: at most this many bytes (IFNAMSIZ without the terminator).
pub(super) const MAX_IFNAME: usize = 15;

/// The parameter of a keyword that has exactly one.
///
/// keepalived cannot run a file in which a parameter is missing, so neither does this.
pub(super) fn one<'a>(stmt: &'a Statement, cx: &mut Context) -> Option<&'a Word> {
    no_block(stmt, cx);
    let Some(word) = stmt.args().first() else {
        missing(stmt, cx);
        return None;
    };
    extra(stmt, 1, cx);
    Some(word)
}

/// Say that the parameter is missing.
pub(super) fn missing(stmt: &Statement, cx: &mut Context) {
    let keyword = stmt.keyword();
    let message = format!("`{}` lacks its parameter", keyword.text());
    cx.push_fatal(
        Diagnostic::error(codes::MISSING_PARAMETER, keyword.span, message)
            .label("the configuration cannot be run")
            .help("add the value, or remove the line"),
    );
}

/// Say that words behind the first `wanted` parameters are ignored.
pub(super) fn extra(stmt: &Statement, wanted: usize, cx: &mut Context) {
    let Some(rest) = stmt.args().get(wanted..) else { return };
    let (Some(first), Some(last)) = (rest.first(), rest.last()) else { return };
    let count = rest.len();
    let words = if count == 1 { "a word is".to_owned() } else { format!("{count} words are") };
    let message = format!("{words} left on the line of `{}`", stmt.keyword().text());
    let help = several(rest)
        .unwrap_or_else(|| "write `#` before a comment; put quotes round a value that has blanks".to_owned());
    cx.push(
        Diagnostic::warning(codes::EXTRA_WORDS, first.span.to(last.span), message)
            .label("ignored")
            .help(help),
    );
}

/// The next step where words that are left on a line are settings of their own.
pub(super) fn several(rest: &[Word]) -> Option<String> {
    let known = |word: &&Word| !word.quoted && !keywords::homes(&word.bytes).is_empty();
    let setting = rest.iter().find(known)?.text();
    Some(format!(
        "write one setting on a line: `{setting}` begins the next one (only vrrp_check takes several on a line)"
    ))
}

/// Say so where a keyword has a block that cannot have one.
pub(super) fn no_block(stmt: &Statement, cx: &mut Context) {
    if let Some(block) = &stmt.block {
        let message = format!("`{}` has no block", stmt.keyword().text());
        cx.push(Diagnostic::error(codes::BLOCK_MISSING, block.open, message).label("the block is ignored"));
    }
}

/// The block of a keyword that needs one.
pub(super) fn block<'a>(stmt: &'a Statement, cx: &mut Context) -> Option<&'a [Statement]> {
    if let Some(block) = &stmt.block {
        return Some(&block.statements);
    }
    let keyword = stmt.keyword();
    let message = format!("`{}` lacks its block", keyword.text());
    cx.push(
        Diagnostic::error(codes::BLOCK_MISSING, keyword.span, message)
            .label("ignored")
            .help(format!("write `{} {{ … }}`", joined(&stmt.words))),
    );
    None
}

/// The block of a keyword that needs one and has no name.
pub(super) fn bare_block<'a>(stmt: &'a Statement, cx: &mut Context) -> Option<&'a [Statement]> {
    if stmt.block.is_some() {
        extra(stmt, 0, cx);
        return block(stmt, cx);
    }
    let keyword = stmt.keyword().text();
    let inside = if stmt.args().is_empty() { "…".to_owned() } else { joined(stmt.args()) };
    cx.push(
        Diagnostic::error(codes::BLOCK_MISSING, stmt.span(), format!("`{keyword}` lacks its block"))
            .label("ignored")
            .help(format!("write `{keyword} {{ {inside} }}`, on one line or several")),
    );
    None
}

fn joined(words: &[Word]) -> String {
    words.iter().map(|word| word.text()).collect::<Vec<_>>().join(" ")
}

/// A decimal number; leading zeros are fine, so `09` is nine.
pub(super) fn parse_number(bytes: &[u8]) -> Option<i64> {
    let (negative, digits) = bytes.strip_prefix(b"-").map_or((false, bytes), |rest| (true, rest));
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value = digits
        .iter()
        .fold(0_i64, |sum, digit| sum.saturating_mul(10).saturating_add(i64::from(digit - b'0')));
    Some(if negative { -value } else { value })
}

/// A number within `range`; otherwise an error that says what happens `instead`.
pub(super) fn number(
    word: &Word,
    what: &str,
    range: RangeInclusive<i64>,
    instead: &str,
    cx: &mut Context,
) -> Option<i64> {
    let value = parse_number(&word.bytes);
    if let Some(value) = value.filter(|value| range.contains(value)) {
        return Some(value);
    }
    let (low, high) = range.into_inner();
    let message = match value {
        Some(_) => format!("{what} {} is out of range", word.text()),
        None => format!("{what} `{}` is not a number", word.text()),
    };
    cx.push(
        Diagnostic::error(codes::BAD_NUMBER, word.span, message)
            .label(instead)
            .help(format!("write a whole number from {low} to {high}")),
    );
    None
}

/// A number that fits `T`.
pub(super) fn small<T: TryFrom<i64>>(
    word: &Word,
    what: &str,
    range: RangeInclusive<i64>,
    instead: &str,
    cx: &mut Context,
) -> Option<T> {
    number(word, what, range, instead, cx).and_then(|value| T::try_from(value).ok())
}

/// Seconds with up to six digits behind the point that count (keepalived.conf(5), TIMER), in microseconds.
pub(super) fn parse_micros(bytes: &[u8]) -> Option<u64> {
    let mut parts = bytes.splitn(2, |byte| *byte == b'.');
    let (whole, fraction) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let digits = |part: &[u8]| part.iter().all(u8::is_ascii_digit);
    if (whole.is_empty() && fraction.is_empty()) || !digits(whole) || !digits(fraction) {
        return None;
    }
    let add = |sum: u64, digit: u8| sum.saturating_mul(10).saturating_add(u64::from(digit - b'0'));
    let whole = whole.iter().fold(0, |sum, digit| add(sum, *digit));
    let padded = fraction.iter().copied().chain(std::iter::repeat(b'0')).take(6);
    Some(whole.saturating_mul(1_000_000).saturating_add(padded.fold(0, add)))
}

/// A time within `range` (in microseconds).
pub(super) fn seconds(
    word: &Word,
    what: &str,
    range: RangeInclusive<u64>,
    instead: &str,
    cx: &mut Context,
) -> Option<Duration> {
    let value = parse_micros(&word.bytes);
    if let Some(value) = value.filter(|value| range.contains(value)) {
        return Some(Duration::from_micros(value));
    }
    let message = match value {
        Some(_) => format!("{what} {} is out of range", word.text()),
        None => format!("{what} `{}` is not a time in seconds", word.text()),
    };
    let (low, high) = range.into_inner();
    let show = |micros: u64| Duration::from_micros(micros).as_secs_f64();
    cx.push(Diagnostic::error(codes::BAD_NUMBER, word.span, message).label(instead).help(format!(
        "write seconds from {} to {}",
        show(low),
        show(high)
    )));
    None
}

/// `on|off|true|false|yes|no`, or nothing, which means on. `None` after an error.
pub(super) fn boolean(stmt: &Statement, cx: &mut Context) -> Option<bool> {
    no_block(stmt, cx);
    extra(stmt, 1, cx);
    let Some(word) = stmt.args().first() else { return Some(true) };
    match &*word.bytes {
        b"on" | b"true" | b"yes" => Some(true),
        b"off" | b"false" | b"no" => Some(false),
        _ => {
            let message = format!("`{}` is neither on nor off", word.text());
            cx.push(
                Diagnostic::error(codes::BAD_BOOLEAN, word.span, message)
                    .label(format!("`{}` is ignored", stmt.keyword().text()))
                    .help("write on, off, true, false, yes or no"),
            );
            None
        }
    }
}

/// A keyword that stands alone.
pub(super) fn flag(stmt: &Statement, cx: &mut Context) {
    no_block(stmt, cx);
    extra(stmt, 0, cx);
}

/// The address of a host. keepalived drops a prefix length behind it, and whatever else follows a `/` (2.2.7, tried).
pub(super) fn host(word: &Word, instead: &str, cx: &mut Context) -> Option<IpAddr> {
    let Some(slash) = word.bytes.iter().position(|byte| *byte == b'/') else {
        return address(word, instead, cx);
    };
    let bare = Word { bytes: word.bytes.get(..slash).unwrap_or_default().into(), ..word.clone() };
    let address = address(&bare, instead, cx)?;
    let message = format!("`{}` is the address of a host and needs no prefix length", word.text());
    cx.push(
        Diagnostic::note(codes::NOT_NEEDED, word.span, message)
            .label(format!("{address} is used, as in keepalived"))
            .help("remove the `/` and what follows it"),
    );
    Some(address)
}

/// An address.
pub(super) fn address(word: &Word, instead: &str, cx: &mut Context) -> Option<IpAddr> {
    let parsed = std::str::from_utf8(&word.bytes).ok().and_then(|text| text.parse().ok());
    if parsed.is_none() {
        cx.push(
            Diagnostic::error(codes::BAD_ADDRESS, word.span, format!("`{}` is not an address", word.text()))
                .label(instead.to_owned())
                .help("write an IPv4 or IPv6 address such as 192.0.2.1 or fe80::1"),
        );
    }
    parsed
}

/// A path from the root; a daemon's current directory is nobody's business.
pub(super) fn absolute(word: &Word, instead: &str, cx: &mut Context) -> Option<std::path::PathBuf> {
    let text = String::from_utf8_lossy(&word.bytes);
    if text.starts_with('/') && !text.contains('\0') {
        return Some(text.into_owned().into());
    }
    let message = format!("`{text}` is not an absolute path");
    cx.push(
        Diagnostic::error(codes::BAD_WORD, word.span, message)
            .label(instead.to_owned())
            .help("write the path from the root, such as /run/keepalived/name"),
    );
    None
}

/// The name of a block.
pub(super) fn name<'a>(stmt: &'a Statement, cx: &mut Context) -> Option<&'a Word> {
    let Some(name) = stmt.args().first() else {
        let keyword = stmt.keyword();
        let message = format!("{} must have a name", keyword.text());
        cx.push(Diagnostic::error(codes::NAME_MISSING, keyword.span, message).label("the block is skipped"));
        return None;
    };
    extra(stmt, 1, cx);
    Some(name)
}

/// An interface name.
pub(super) fn interface(word: &Word, cx: &mut Context) -> Option<String> {
    let text = word.text();
    let why = if word.bytes.is_empty() {
        "it is empty".to_owned()
    } else if word.bytes.len() > MAX_IFNAME {
        format!("it is longer than {MAX_IFNAME} bytes")
    } else if word.bytes.iter().any(|byte| *byte == b'/' || byte.is_ascii_whitespace())
        || std::str::from_utf8(&word.bytes).is_err()
    {
        "interface names have no slash, blank or invalid UTF-8".to_owned()
    } else {
        alias(word, cx);
        return Some(text.into_owned());
    };
    let message = format!("`{text}` cannot be an interface");
    cx.push(Diagnostic::error(codes::NAME_TOO_LONG, word.span, message).label(why));
    None
}

/// Say so where a name is that of an alias: an address's label, which looks like an interface in old tools.
fn alias(word: &Word, cx: &mut Context) {
    let text = word.text();
    let Some((interface, _)) = text.split_once(':') else { return };
    cx.push(
        Diagnostic::warning(
            codes::NO_SUCH_INTERFACE,
            word.span,
            format!("`{text}` is no interface but an alias"),
        )
        .label("no interface can have this name: a `:` stands in the label of an address only")
        .help(format!("write {interface}; an address gets the label by `label {text}` behind it")),
    );
}

/// Say that `word` is none of `choices`.
pub(super) fn bad_word(word: &Word, choices: &[&'static str], instead: &str, cx: &mut Context) {
    let text = word.text();
    let help = match keywords::closest(&text, choices.iter().copied()) {
        Some(choice) => format!("did you mean `{choice}`?"),
        None => format!("write one of {}", choices.join(", ")),
    };
    let message = format!("`{text}` may not stand here");
    cx.push(Diagnostic::error(codes::BAD_WORD, word.span, message).label(instead).help(help));
}

/// Say that a keyword stands twice. The last one counts, as in keepalived.
pub(super) fn repeated(keyword: &str, span: Span, first: Span, cx: &mut Context) {
    cx.push(
        Diagnostic::note(codes::REPEATED_KEYWORD, span, format!("`{keyword}` stands twice"))
            .label("this one counts")
            .related(first, "the first one stands at"),
    );
}

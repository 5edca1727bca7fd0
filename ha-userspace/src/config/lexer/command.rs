//! Lines that hold a command: `script`, `notify_master` and their like.
//!
//! Such a line is read twice, as keepalived 2.2.7 was seen to do: once into the words of the line, of which the first is
//! the command, and that once more into program and arguments. Both readings are the same: `"` and `'` group what
//! stands between them, a backslash escapes inside and outside of them (keepalived.conf(5), "Quoted strings"). So
//! `"/bin/sh -c \"a b\""` has two arguments, and what is to reach the script as `"` is written `\\\"`.
//!
//! Nothing is expanded, and no shell is started.

use std::ops::Range;

use crate::config::text::is_space;

/// Keywords whose first parameter is a command.
const KEYWORDS: [&str; 13] = [
    "notify",
    "notify_backup",
    "notify_deleted",
    "notify_fault",
    "notify_fifo_script",
    "notify_master",
    "notify_master_rx_lower_pri",
    "notify_standby",
    "notify_stop",
    "script",
    "shutdown_script",
    "startup_script",
    "vrrp_notify_fifo_script",
];

/// Whether the line of this keyword is read as a command.
#[must_use]
pub fn is_keyword(word: &[u8]) -> bool {
    KEYWORDS.iter().any(|keyword| keyword.as_bytes() == word)
}

/// What a command ends with that should not be its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// This quote is not closed.
    Quote(u8),
    /// A backslash with nothing behind it.
    Backslash,
}

/// One word of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Quotes and escapes resolved, up to the first NUL byte that an escape made.
    pub bytes: Vec<u8>,
    /// Where it stands in what was read.
    pub range: Range<usize>,
    /// Whether any of it was quoted.
    pub quoted: bool,
}

/// Split into words.
///
/// A quote that is not closed is a flaw, unless it, or an escaped one like it, is the last character: keepalived takes
/// that one for its end.
#[must_use]
pub fn parts(content: &[u8]) -> (Vec<Part>, Option<Flaw>) {
    let mut parts = Vec::new();
    let mut word: Option<Part> = None;
    let (mut quote, mut flaw) = (None, None);
    let mut at = 0;
    while let Some(&byte) = content.get(at) {
        let start = at;
        at += 1;
        if quote.is_none() && (is_space(byte) || byte == b'\n') {
            parts.extend(word.take());
            continue;
        }
        let word = word.get_or_insert_with(|| Part { bytes: Vec::new(), range: start..at, quoted: false });
        match byte {
            b'\\' => match content.get(at..).filter(|rest| !rest.is_empty()) {
                Some(rest) => {
                    let (escaped, used) = escape(rest);
                    word.bytes.push(escaped);
                    at += used;
                }
                None => flaw = Some(Flaw::Backslash),
            },
            b'"' | b'\'' if quote == Some(byte) => quote = None,
            b'"' | b'\'' if quote.is_none() => {
                quote = Some(byte);
                word.quoted = true;
            }
            _ => word.bytes.push(byte),
        }
        word.range.end = at.min(content.len());
    }
    parts.extend(word);
    if let Some(quote) = quote
        && content.last() != Some(&quote)
    {
        flaw = flaw.or(Some(Flaw::Quote(quote)));
    }
    for part in &mut parts {
        let end = part.bytes.iter().position(|byte| *byte == 0).unwrap_or(part.bytes.len());
        part.bytes.truncate(end);
    }
    (parts, flaw)
}

/// The end of the command that starts at `from`: an unquoted brace, or the end of the line.
///
/// keepalived 2.2.7 knows only `"` here, and counts escaped ones too. So it breaks `'{ a; }'` and `"sh -c \"{ a; }\""` at
/// their braces, with which neither means anything, and not `{` between two `\"`. Whatever protects a brace there or by
/// the manual protects it here.
#[must_use]
pub fn end(line: &[u8], from: usize) -> usize {
    let scan = |apostrophes: bool| {
        let (mut quote, mut counted) = (None, false);
        let mut at = from;
        while let Some(&byte) = line.get(at) {
            counted ^= byte == b'"';
            match byte {
                b'\\' => {
                    at += 1;
                    counted ^= line.get(at) == Some(&b'"');
                }
                b'"' | b'\'' if quote == Some(byte) => quote = None,
                b'"' | b'\'' if quote.is_none() && (byte == b'"' || apostrophes) => quote = Some(byte),
                b'$' if quote.is_none() && line.get(at + 1) == Some(&b'{') => {
                    // An undefined ${NAME} stays as it is; its braces are no block.
                    let rest = line.get(at..).unwrap_or_default();
                    let length = rest.iter().position(|b| *b == b'}' || is_space(*b));
                    if let Some(length) = length.filter(|length| rest.get(*length) == Some(&b'}')) {
                        at += length;
                    }
                }
                b'{' | b'}' if quote.is_none() && !counted => return (at, false),
                _ => {}
            }
            at += 1;
        }
        (line.len(), quote.is_some())
    };
    match scan(true) {
        // An apostrophe that nothing closes hides no brace.
        (_, true) => scan(false).0,
        (end, false) => end,
    }
}

/// The byte that an escape stands for, and how many bytes follow the backslash. `rest` is not empty.
fn escape(rest: &[u8]) -> (u8, usize) {
    let Some(&first) = rest.first() else { return (b'\\', 0) };
    let digits = |from: usize, radix: u32, most: usize| {
        let run = rest.get(from..).unwrap_or_default().iter().take(most);
        run.take_while(|byte| char::from(**byte).is_digit(radix)).count()
    };
    let value = |from: usize, count: usize, radix: u32| {
        rest.get(from..from + count).unwrap_or_default().iter().fold(0_u32, |sum, byte| {
            sum.wrapping_mul(radix).wrapping_add(char::from(*byte).to_digit(radix).unwrap_or_default())
        })
    };
    let low = |value: u32| value.to_le_bytes()[0];
    match first {
        b'a' => (7, 1),
        b'b' => (8, 1),
        b'E' => (27, 1),
        b'f' => (12, 1),
        b'n' => (b'\n', 1),
        b'r' => (b'\r', 1),
        b't' => (b'\t', 1),
        b'v' => (11, 1),
        b'x' => match digits(1, 16, usize::MAX) {
            0 => (b'x', 1),
            count => (low(value(1, count, 16)), 1 + count),
        },
        b'c' => match rest.get(1) {
            Some(control) => (control & 0x1f, 2),
            None => (b'c', 1),
        },
        b'0'..=b'7' => {
            let count = digits(0, 8, 3);
            (low(value(0, count, 8)), count)
        }
        other => (other, 1),
    }
}

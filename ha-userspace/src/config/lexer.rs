//! Bytes of a line to words.
//!
//! keepalived 2.2.7, tried: only `"` quotes in ordinary lines, so that `auth_pass it's` is four characters and an
//! apostrophe; lines that hold a command take quoting and escapes as a shell does. `#` and `!` start a comment
//! anywhere outside `"`. Unquoted braces are words of their own, with or without white space around them.

use super::source::Span;
use super::text::{Text, is_space};

/// One word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// Content, quotes removed. Not necessarily UTF-8.
    pub bytes: Box<[u8]>,
    /// Where it stands, quotes included.
    pub span: Span,
    /// Whether any of it was quoted.
    pub quoted: bool,
}

impl Word {
    /// The word as text; bytes that are not UTF-8 become U+FFFD.
    #[must_use]
    pub fn text(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.bytes)
    }

    /// Whether this is the unquoted word `text`.
    #[must_use]
    pub fn is(&self, text: &str) -> bool {
        *self.bytes == *text.as_bytes()
    }
}

/// A word, or a brace that is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Token {
    /// A word.
    Word(Word),
    /// `{`.
    Open(Span),
    /// `}`.
    Close(Span),
}

/// Length of a line without its comment, and the start of a quote that is not closed on it.
#[must_use]
pub fn code_length(line: &[u8]) -> (usize, Option<usize>) {
    let mut quote = None;
    let mut at = 0;
    while let Some(byte) = line.get(at) {
        match byte {
            b'\\' if line.get(at + 1) == Some(&b'"') => at += 1,
            b'"' => quote = if quote.is_some() { None } else { Some(at) },
            b'#' | b'!' if quote.is_none() => return (at, None),
            _ => {}
        }
        at += 1;
    }
    (line.len(), quote)
}

/// Split a line, whose comment is gone, into words and braces.
#[must_use]
pub fn tokens(line: &Text) -> Vec<Token> {
    let bytes = line.bytes();
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match byte {
            byte if is_space(*byte) => at += 1,
            b'{' => {
                tokens.push(Token::Open(line.span(at..at + 1)));
                at += 1;
            }
            b'}' => {
                tokens.push(Token::Close(line.span(at..at + 1)));
                at += 1;
            }
            _ => {
                let (word, end) = word(line, at);
                tokens.push(Token::Word(word));
                at = end;
            }
        }
    }
    tokens
}

/// The word that starts at `start`, and its end.
fn word(line: &Text, start: usize) -> (Word, usize) {
    let bytes = line.bytes();
    let mut out = Vec::new();
    let (mut at, mut inside, mut quoted) = (start, false, false);
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'\\' if bytes.get(at + 1) == Some(&b'"') => {
                // Kept for a second reading by `command`, which takes the backslash away.
                if inside {
                    out.push(b'\\');
                }
                out.push(b'"');
                at += 1;
            }
            b'"' => {
                inside = !inside;
                quoted = true;
            }
            b'$' if !inside && bytes.get(at + 1) == Some(&b'{') => {
                // An undefined ${NAME} stays as it is; its braces are no block.
                let end = bytes.get(at..).unwrap_or_default().iter().position(|b| *b == b'}' || is_space(*b));
                match end {
                    Some(length) if bytes.get(at + length) == Some(&b'}') => {
                        out.extend_from_slice(bytes.get(at..=at + length).unwrap_or_default());
                        at += length;
                    }
                    _ => out.push(byte),
                }
            }
            _ if !inside && (is_space(byte) || byte == b'{' || byte == b'}') => break,
            _ => out.push(byte),
        }
        at += 1;
    }
    (Word { bytes: out.into(), span: line.span(start..at), quoted }, at)
}

/// Split the content of one word into program and arguments as a shell would, without expanding anything.
///
/// Quotes `"` and `'` group; outside and inside them `\a \b \E \f \n \r \t \v \NNN \xXX \cC` and `\C` are escapes
/// (keepalived.conf(5), "Quoted strings").
#[must_use]
pub fn command(content: &[u8]) -> Vec<Vec<u8>> {
    let mut words = Vec::new();
    let mut word: Option<Vec<u8>> = None;
    let mut quote = None;
    let mut at = 0;
    while let Some(&byte) = content.get(at) {
        at += 1;
        match byte {
            b'\\' => {
                let (escaped, used) = escape(content.get(at..).unwrap_or_default());
                word.get_or_insert_default().push(escaped);
                at += used;
            }
            b'"' | b'\'' if quote == Some(byte) => quote = None,
            b'"' | b'\'' if quote.is_none() => {
                quote = Some(byte);
                word.get_or_insert_default();
            }
            _ if quote.is_none() && (is_space(byte) || byte == b'\n') => words.extend(word.take()),
            _ => word.get_or_insert_default().push(byte),
        }
    }
    words.extend(word);
    words
}

/// The byte that an escape stands for, and how many bytes follow the backslash.
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

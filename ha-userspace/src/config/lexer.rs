//! Bytes of a line to words.
//!
//! keepalived 2.2.7, tried: only `"` quotes in ordinary lines, so that `auth_pass it's` is four characters and an
//! apostrophe; lines that hold a command take both quotes and escapes (see [`command`]). `#` and `!` start a comment
//! anywhere outside `"`. Unquoted braces are words of their own, with or without white space around them.

pub mod command;

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
    /// What ended before it should, in the line of a command.
    pub flaw: Option<command::Flaw>,
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
            b'\\' => match line.get(at + 1) {
                Some(b'"' | b'\\') => at += 1,
                // An escaped comment is one all the same, and takes the backslash with it.
                Some(b'#' | b'!') if quote.is_none() => return (at, None),
                _ => {}
            },
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
    let (mut at, mut first) = (0, true);
    while let Some(byte) = bytes.get(at) {
        match byte {
            byte if is_space(*byte) => at += 1,
            b'{' => {
                tokens.push(Token::Open(line.span(at..at + 1)));
                (at, first) = (at + 1, true);
            }
            b'}' => {
                tokens.push(Token::Close(line.span(at..at + 1)));
                (at, first) = (at + 1, true);
            }
            _ => {
                let (word, end) = word(line, at);
                let command = first && command::is_keyword(&word.bytes);
                tokens.push(Token::Word(word));
                (at, first) = (end, false);
                if command {
                    at = command::end(bytes, end);
                    let (parts, flaw) = command::parts(bytes.get(end..at).unwrap_or_default());
                    let last = parts.len().saturating_sub(1);
                    tokens.extend(parts.into_iter().enumerate().map(|(index, part)| {
                        let span = line.span(end + part.range.start..end + part.range.end);
                        let flaw = flaw.filter(|_| index == last);
                        Token::Word(Word { bytes: part.bytes.into(), span, quoted: part.quoted, flaw })
                    }));
                }
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
                // The backslash stays; only a `"` outside quotes loses it.
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
    (Word { bytes: out.into(), span: line.span(start..at), quoted, flaw: None }, at)
}

//! Print diagnostics: the line with a caret, the cause, the next step.
//!
//! Only the line of the caret is handed to the renderer, so printing costs nothing per byte of the file.

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};

use super::diag::{Diagnostic, Diagnostics, Severity};
use super::source::{Sources, Span, to_usize};
use crate::words;

/// Findings beyond this number are summed up in a line.
const MAX_PRINTED: usize = 100;
/// Bytes of a line that are shown around the caret.
const WINDOW: usize = 240;

impl Diagnostics {
    /// All findings as text for a terminal (`color`) or a file.
    #[must_use]
    pub fn render(&self, color: bool) -> String {
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        let mut out = String::new();
        for diagnostic in self.iter().take(MAX_PRINTED) {
            let fix = diagnostic.fix();
            out.push_str(&renderer.render(&report(&self.sources, diagnostic, fix.as_deref())));
            out.push_str("\n\n");
        }
        let more = self.iter().len().saturating_sub(MAX_PRINTED) + self.dropped();
        if more > 0 {
            out.push_str(&format!("and {more} more\n"));
        }
        out
    }

    /// One finding on one line, for a log: `file:line:column: warning[XV0301]: message (cause). help`.
    #[must_use]
    pub fn one_line(&self, diagnostic: &Diagnostic) -> String {
        let place = self.sources.place(diagnostic.span);
        let word = diagnostic.severity.name();
        let mut line = format!("{place}: {word}[{}]: {}", diagnostic.code, diagnostic.message);
        if let Some(label) = &diagnostic.label {
            line.push_str(&format!(" ({label})"));
        }
        if let Some(help) = &diagnostic.help {
            line.push_str(&format!("; {help}"));
        }
        printable(line.as_bytes())
    }
}

fn report<'a>(sources: &'a Sources, diagnostic: &'a Diagnostic, fix: Option<&'a str>) -> Vec<Group<'a>> {
    let level = match diagnostic.severity {
        Severity::Note => Level::NOTE,
        Severity::Warning => Level::WARNING,
        Severity::Error => Level::ERROR,
    };
    let title = level.primary_title(diagnostic.message.as_str()).id(diagnostic.code.0);
    // A file that could not be read has no line to show.
    let unread = sources.file(diagnostic.span.file).is_some_and(|file| file.bytes.is_empty());
    let mut group = match &diagnostic.label {
        Some(label) if unread => title.element(Level::NOTE.message(label.as_str())),
        label => title.element(snippet(sources, diagnostic.span, label.as_deref())),
    };
    if let Some((span, text)) = &diagnostic.related {
        let place = sources.place(*span);
        group = group.element(Level::NOTE.message(format!("{text}: {place}")));
    }
    for span in sources.include_chain(diagnostic.span.file) {
        let place = sources.place(span);
        group = group.element(
            Origin::path(place.file.display().to_string())
                .line(line_number(place.line))
                .char_column(line_number(place.column)),
        );
    }
    if let Some(help) = fix {
        group = group.element(Level::HELP.message(help));
    }
    vec![group]
}

fn line_number(number: u32) -> usize {
    to_usize(number)
}

fn snippet<'a>(
    sources: &Sources,
    span: Span,
    label: Option<&'a str>,
) -> Snippet<'a, annotate_snippets::Annotation<'a>> {
    let Some(file) = sources.file(span.file) else { return Snippet::source("") };
    let (line, mut start, mut end) = file.line_at(span.start);
    let caret = to_usize(span.start).clamp(start, end);
    let caret_end = to_usize(span.end).clamp(caret, end);
    start = start.max(caret.saturating_sub(WINDOW));
    end = end.min(caret.saturating_add(WINDOW)).max(caret);
    let caret_end = caret_end.min(end);
    let line_text = hide_secrets(file.bytes.get(start..end).unwrap_or_default());
    let text =
        |from: usize, to: usize| printable(line_text.get(from - start..to - start).unwrap_or_default());
    let (before, marked, after) = (text(start, caret), text(caret, caret_end), text(caret_end, end));
    let range = before.len()..before.len() + marked.len();
    let annotation = AnnotationKind::Primary.span(range).label(label);
    Snippet::source(format!("{before}{marked}{after}"))
        .line_start(line + 1)
        .path(file.name.display().to_string())
        .annotation(annotation)
}

/// A line without its passwords and keys: what is printed ends up in terminals, logs and reports of faults.
///
/// Everything from the value on to a brace or the end of the line becomes asterisks, but for a `file:`.
fn hide_secrets(line: &[u8]) -> Vec<u8> {
    let mut shown = line.to_vec();
    let words = line.split(|byte| byte.is_ascii_whitespace() || matches!(byte, b'{' | b'}'));
    let (mut at, mut hide_after) = (0, None);
    for word in words {
        let begin = at;
        at += word.len() + 1;
        if word.is_empty() {
            continue;
        }
        match hide_after {
            // The number of a key.
            Some(1) => hide_after = Some(0),
            Some(_) => {
                let rest = shown.get_mut(begin..).unwrap_or_default();
                let end = rest.iter().position(|byte| *byte == b'}').unwrap_or(rest.len());
                let secret = rest.get_mut(..end).unwrap_or_default();
                if !secret.starts_with(b"file:/") && !secret.starts_with(b"file:$") {
                    secret
                        .iter_mut()
                        .filter(|byte| !byte.is_ascii_whitespace())
                        .for_each(|byte| *byte = b'*');
                }
                return shown;
            }
            None => {
                hide_after = match word {
                    b"auth_pass" | b"fast_key" => Some(0),
                    b"key" => Some(1),
                    _ => None,
                }
            }
        }
    }
    shown
}

/// Bytes as text that cannot disturb a terminal.
pub(super) fn printable(bytes: &[u8]) -> String {
    words::printable(&String::from_utf8_lossy(bytes), &['\t'])
}

#[cfg(test)]
mod tests {
    use super::hide_secrets;

    #[test]
    fn secrets_are_not_printed() {
        for (line, shown) in [
            ("  auth_pass secret", "  auth_pass ******"),
            ("fast_key \"a b\"", "fast_key ** **"),
            ("key 1 hex:00ff # old", "key 1 ******** * ***"),
            ("auth_hmac { key 12 text } x", "auth_hmac { key 12 **** } x"),
            ("key 3 file:/etc/keys/a", "key 3 file:/etc/keys/a"),
            ("auth_pass file:abc", "auth_pass ********"),
            ("fast_key file:${_ENV X}/a", "fast_key file:${_ENV X}/a"),
            ("key 3", "key 3"),
            ("key", "key"),
            ("priority 100", "priority 100"),
        ] {
            assert_eq!(String::from_utf8_lossy(&hide_secrets(line.as_bytes())), shown);
        }
    }
}

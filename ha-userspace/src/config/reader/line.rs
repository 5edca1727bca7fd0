//! One line: conditions, definitions, repetitions and replacements.

use super::{
    Frame, LINE_COST, MAX_COPIED, MAX_FRAMES, MAX_LINE, MAX_REPLACEMENTS, Reader, directory, physical,
};
use crate::config::codes;
use crate::config::define;
use crate::config::diag::Diagnostic;
use crate::config::lexer;
use crate::config::sequence;
use crate::config::source::Span;
use crate::config::text::{Text, is_space};

impl Reader<'_> {
    /// A line without comment: conditions, definitions, repetitions, replacements, includes; then words.
    pub(super) fn line(&mut self, line: Text) {
        let mut line = line.trimmed();
        let mut from = 0;
        for _ in 0..MAX_REPLACEMENTS {
            let first = line.bytes().first().copied();
            match first {
                None => return,
                Some(b'@') => match self.condition(&line) {
                    Some(rest) => {
                        line = rest;
                        from = 0;
                        continue;
                    }
                    None => return,
                },
                Some(b'~') => return self.repeat(&line),
                _ => {}
            }
            if from == 0
                && let Some((name, value)) = define::definition(line.bytes())
            {
                let name = name.to_vec();
                return self.define(&name, &line, value);
            }
            let found = match self.definitions.find(line.bytes(), from, directory(&self.frames)) {
                Ok(Some(found)) => found,
                Ok(None) => return self.words(&line),
                Err(missing) => {
                    self.not_set(&missing.name, line.span(missing.range.clone()));
                    from = missing.range.start;
                    line = line.replaced(missing.range, b"");
                    continue;
                }
            };
            self.copied = self.copied.saturating_add(line.cost() + found.value.len() + LINE_COST);
            if self.copied > MAX_COPIED {
                return;
            }
            from = found.range.start;
            line = line.replaced(found.range, &found.value);
            if line.bytes().len() > MAX_LINE {
                break;
            }
            if line.bytes().contains(&b'\n') {
                return self.split(&line);
            }
            if from == 0 {
                line = line.trimmed();
            }
        }
        self.diags.push(
            Diagnostic::error(codes::DEFINITION_BAD, line.whole(), "a definition expands without end")
                .label("the line is ignored")
                .help("a definition must not use itself"),
        );
    }

    /// An environment variable that is used there is not set.
    fn not_set(&mut self, name: &str, span: Span) {
        let message = format!("environment variable `{name}` is not set");
        self.diags.push(
            Diagnostic::error(codes::ENV_MISSING, span, message)
                .label("nothing is put here")
                .help("set it for the service, or write the value into the file"),
        );
    }

    /// `@id` and `@^id`: the rest of the line where it applies.
    fn condition(&mut self, line: &Text) -> Option<Text> {
        let bytes = line.bytes();
        let end = bytes.iter().position(|byte| is_space(*byte)).unwrap_or(bytes.len());
        let word = bytes.get(1..end).unwrap_or_default();
        let (negated, id) = word.strip_prefix(b"^").map_or((false, word), |id| (true, id));
        let ours = id == self.options.config_id.as_bytes() || id == b"xvrrp";
        (ours != negated).then(|| line.slice(end..bytes.len()).trimmed())
    }

    /// `$NAME=value`, with the lines that a `\` at the end continues.
    fn define(&mut self, name: &[u8], line: &Text, value: usize) {
        let mut part = line.slice(value..line.bytes().len());
        let mut out = Vec::new();
        while let Some(kept) = part.bytes().strip_suffix(b"\\") {
            let kept = kept.len();
            out.extend_from_slice(part.slice(0..kept).trimmed().bytes());
            out.push(b'\n');
            match self.continuation() {
                Some(next) => part = next,
                None => {
                    self.diags.push(
                        Diagnostic::error(codes::DEFINITION_BAD, line.whole(), "the definition does not end")
                            .label("its last line ends with `\\`, and nothing follows"),
                    );
                    part = part.slice(0..0);
                }
            }
        }
        out.extend_from_slice(part.trimmed().bytes());
        if out.len() > MAX_LINE {
            self.diags.push(
                Diagnostic::error(codes::DEFINITION_BAD, line.whole(), "the definition is too long")
                    .label(format!("more than {MAX_LINE} bytes; it is ignored")),
            );
            return;
        }
        // The first line of a definition of several lines is empty.
        let out = out.strip_prefix(b"\n").map(<[u8]>::to_vec).unwrap_or(out);
        self.copied = self.copied.saturating_add(out.len());
        self.definitions.set(name, out);
    }

    /// The line that continues a definition, without its comment.
    fn continuation(&mut self) -> Option<Text> {
        match self.frames.last_mut()? {
            Frame::File { id, at, .. } => {
                let (line, next) = physical(&self.diags.sources, *id, *at)?;
                *at = next;
                let (length, _) = lexer::code_length(line.bytes());
                Some(line.slice(0..length).trimmed())
            }
            Frame::Lines { lines } => lines.next(),
            Frame::Repeat { .. } | Frame::Includes { .. } => None,
        }
    }

    /// `~SEQ` and `~LST`.
    fn repeat(&mut self, line: &Text) {
        match sequence::parse(line.bytes()) {
            Ok(_) if self.frames.len() >= MAX_FRAMES => self.too_deep(line.whole()),
            Ok(repeat) => {
                let rest = line.slice(repeat.rest..line.bytes().len()).trimmed();
                let rows = repeat.rows.into_iter();
                self.frames.push(Frame::Repeat { names: repeat.names, rows, rest });
            }
            Err(label) => self.diags.push(
                Diagnostic::error(codes::SEQUENCE_BAD, line.whole(), "malformed repetition").label(label),
            ),
        }
    }

    /// A definition of several lines was used: process its lines one by one.
    fn split(&mut self, line: &Text) {
        if self.frames.len() >= MAX_FRAMES {
            return self.too_deep(line.whole());
        }
        let (mut lines, mut from) = (Vec::new(), 0);
        for part in line.bytes().split(|byte| *byte == b'\n') {
            lines.push(line.slice(from..from + part.len()));
            from += part.len() + 1;
        }
        self.frames.push(Frame::Lines { lines: lines.into_iter() });
    }

    fn too_deep(&mut self, span: Span) {
        self.diags.push(
            Diagnostic::error(codes::DEFINITION_BAD, span, "definitions are nested too deeply")
                .label("the line is ignored")
                .help("a definition must not use itself"),
        );
    }
}

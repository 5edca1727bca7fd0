//! Include lines.

use std::path::Path;

use super::{Frame, MAX_FRAMES, MAX_INCLUDES, Reader, checks, directory, file_code};
use crate::config::codes;
use crate::config::diag::Diagnostic;
use crate::config::files::{self, FileError};
use crate::config::include::{self, Checks};
use crate::config::source::{FileId, Span};
use crate::config::text::Text;

impl Reader<'_> {
    /// `include_check [OPTIONS]` changes the level for the includes below it in this file.
    pub(super) fn include_check(&mut self, argument: &Text) {
        let text = String::from_utf8_lossy(argument.bytes()).into_owned();
        let words: Vec<&str> = text.split_whitespace().collect();
        let relative = words.iter().any(|word| word.starts_with(['+', '-']));
        let start = if relative { checks(&self.frames) } else { Checks::default() };
        let level = if words.is_empty() {
            Some(Checks::ALL)
        } else {
            words.iter().try_fold(start, |checks, word| checks.with_option(word))
        };
        let Some(level) = level else {
            let message = "include_check takes readable, match, wildcard_match and brace_match";
            self.diags.push(Diagnostic::error(codes::BAD_WORD, argument.trimmed().whole(), message));
            return;
        };
        if let Some(Frame::File { checks, .. }) =
            self.frames.iter_mut().rev().find(|frame| matches!(frame, Frame::File { .. }))
        {
            *checks = level;
        }
    }

    pub(super) fn include(&mut self, argument: &Text, span: Span, checks: Checks) {
        let bytes = argument.bytes();
        let bytes = bytes.strip_prefix(b"\"").and_then(|b| b.strip_suffix(b"\"")).unwrap_or(bytes);
        let pattern = String::from_utf8_lossy(bytes).into_owned();
        if pattern.is_empty() {
            self.diags.push(Diagnostic::error(codes::INCLUDE_BAD, span, "include without a file name"));
            return;
        }
        let span = argument.whole();
        let depth = self.diags.sources.include_chain(span.file).len();
        if depth >= MAX_INCLUDES || self.frames.len() >= MAX_FRAMES {
            self.diags.push(
                Diagnostic::error(codes::INCLUDE_TOO_DEEP, span, "includes are nested too deeply")
                    .label(format!("more than {MAX_INCLUDES} levels; `{pattern}` is not read")),
            );
            return;
        }
        let found = match include::find(&pattern, directory(&self.frames)) {
            Ok(found) => found,
            Err(label) => {
                let message = format!("`{pattern}` cannot be included");
                self.diags.push(Diagnostic::error(codes::INCLUDE_BAD, span, message).label(label));
                return;
            }
        };
        if !found.unmatched.is_empty() {
            let strict = if found.files.is_empty() {
                if found.wildcard { checks.wildcard } else { checks.matches || checks.wildcard }
            } else {
                checks.brace
            };
            let message = format!("no file matches `{}`", found.unmatched.join("`, `"));
            let finding = if strict {
                Diagnostic::error(codes::INCLUDE_NOTHING, span, message)
            } else {
                Diagnostic::note(codes::INCLUDE_NOTHING, span, message)
                    .help("write includea instead of include to make this an error")
            };
            self.diags.push(finding.label("nothing is included"));
        }
        self.frames.push(Frame::Includes { files: found.files.into_iter(), span, checks });
    }

    pub(super) fn include_file(&mut self, path: &Path, span: Span, checks: Checks) {
        let canonical = path.canonicalize().ok();
        let includes = |frame: &Frame| match frame {
            Frame::File { id, canonical: open, .. } if open.is_some() && *open == canonical => Some(*id),
            _ => None,
        };
        if let Some(again) = self.frames.iter().find_map(includes)
            && self.is_open(again, span.file)
        {
            let mut chain = vec![path.display().to_string()];
            chain.push(self.diags.sources.name(span.file).display().to_string());
            for span in self.diags.sources.include_chain(span.file) {
                chain.push(self.diags.sources.name(span.file).display().to_string());
            }
            chain.reverse();
            let message = format!("{} includes itself", path.display());
            let finding = Diagnostic::error(codes::INCLUDE_RECURSIVE, span, message)
                .help(format!("remove this line; the chain is {}", chain.join(" → ")));
            // keepalived goes on until it runs out of descriptors. What it then cannot open is skipped, unless the
            // line insists that it be read.
            if checks.readable {
                self.diags.push_fatal(finding.label("this line insists on reading it, which never ends"));
            } else {
                self.diags.push(finding.label("not read again"));
            }
            return;
        }
        match files::read(path, self.bytes_left) {
            Ok(bytes) => self.push_file(path.to_owned(), canonical, bytes, checks, Some(span)),
            Err(error) => {
                let message = format!("{} cannot be read", path.display());
                let code = file_code(&error);
                let finding = if checks.readable || matches!(error, FileError::TooBig) {
                    Diagnostic::error(code, span, message)
                } else {
                    Diagnostic::warning(code, span, message)
                };
                self.diags.push(finding.label(error.to_string()));
            }
        }
    }

    /// Whether `file` is `from` or one of the files that led to it.
    fn is_open(&self, file: FileId, from: FileId) -> bool {
        file == from || self.diags.sources.include_chain(from).iter().any(|span| span.file == file)
    }
}

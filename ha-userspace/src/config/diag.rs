//! Diagnostics: what is wrong where, why, and what to do about it.
//!
//! Everything that reads a configuration reports here and goes on, so that one run shows all problems.
//! `render` prints them.

use super::codes::Code;
use super::explain;
use super::source::{Sources, Span};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing; changes neither what runs nor the exit code.
    Note,
    /// Something in the file is ignored or changed.
    Warning,
    /// Something in the file is wrong: a value was refused, or an instance or a script does not run.
    Error,
}

impl Severity {
    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// One finding.
#[derive(Clone, Debug)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// Stable name of the kind of finding.
    pub code: Code,
    /// Where.
    pub span: Span,
    /// What is wrong, naming the thing.
    pub message: String,
    /// What follows from it, or why it is so; printed at the caret.
    pub label: Option<String>,
    /// The next step.
    pub help: Option<String>,
    /// Another place that belongs to it, and what it has to do with it.
    pub related: Option<(Span, String)>,
}

impl Diagnostic {
    /// A finding without label or help.
    #[must_use]
    pub fn new(severity: Severity, code: Code, span: Span, message: impl Into<String>) -> Self {
        Self { severity, code, span, message: message.into(), label: None, help: None, related: None }
    }

    /// An error.
    #[must_use]
    pub fn error(code: Code, span: Span, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, code, span, message)
    }

    /// A warning.
    #[must_use]
    pub fn warning(code: Code, span: Span, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, code, span, message)
    }

    /// A note.
    #[must_use]
    pub fn note(code: Code, span: Span, message: impl Into<String>) -> Self {
        Self::new(Severity::Note, code, span, message)
    }

    /// With the text that stands at the caret.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// With the next step.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// With the next step, where there is one.
    #[must_use]
    pub fn maybe_help(mut self, help: Option<String>) -> Self {
        self.help = help;
        self
    }

    /// The next step: its own, or else what its code says in general.
    #[must_use]
    pub fn fix(&self) -> Option<String> {
        self.help.clone().or_else(|| explain::fix(self.code))
    }

    /// With a second place.
    #[must_use]
    pub fn related(mut self, span: Span, text: impl Into<String>) -> Self {
        self.related = Some((span, text.into()));
        self
    }
}

/// Findings beyond this number are counted, not kept: a file of ten million bad lines must not fill the memory.
pub const MAX_KEPT: usize = 1000;

/// Characters of a message.
const MAX_MESSAGE: usize = 300;

/// The findings of one load, with the text that they point into.
#[derive(Debug, Default)]
pub struct Diagnostics {
    /// The files.
    pub sources: Sources,
    list: Vec<Diagnostic>,
    dropped: usize,
    counts: [usize; 3],
    fatal: bool,
    unprotected_scripts: bool,
    lvs: bool,
}

impl Diagnostics {
    /// Add a finding.
    pub fn push(&mut self, mut diagnostic: Diagnostic) {
        // A word may be as long as a line may be; the caret shows it.
        if let Some((cut, _)) = diagnostic.message.char_indices().nth(MAX_MESSAGE) {
            diagnostic.message.truncate(cut);
            diagnostic.message.push('…');
        }
        if let Some(count) = self.counts.get_mut(diagnostic.severity as usize) {
            *count += 1;
        }
        if self.list.len() < MAX_KEPT {
            self.list.push(diagnostic);
        } else {
            self.dropped += 1;
        }
    }

    /// Add a finding because of which the configuration cannot be run at all.
    pub fn push_fatal(&mut self, diagnostic: Diagnostic) {
        self.fatal = true;
        self.push(diagnostic);
    }

    /// Say that scripts are configured and `enable_script_security` is not.
    pub fn set_unprotected_scripts(&mut self) {
        self.unprotected_scripts = true;
    }

    /// Whether this is the first mention of load balancing: one line about it is enough.
    pub fn first_lvs(&mut self) -> bool {
        !std::mem::replace(&mut self.lvs, true)
    }

    /// Take back findings of a kind at a place, because a better one is at hand.
    pub fn forget(&mut self, code: Code, span: Span) {
        let Self { list, counts, .. } = self;
        list.retain(|diagnostic| {
            let gone = diagnostic.code == code && diagnostic.span == span;
            if gone && let Some(count) = counts.get_mut(diagnostic.severity as usize) {
                *count = count.saturating_sub(1);
            }
            !gone
        });
    }

    /// Sort by place: the order in which the operator reads the file.
    pub fn sort(&mut self) {
        self.list.sort_by_key(|diagnostic| (diagnostic.span.file, diagnostic.span.start));
    }

    /// The findings that were kept.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.list.iter()
    }

    /// Whether further findings are only counted, so that thinking up help for them is wasted.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.list.len() >= MAX_KEPT
    }

    /// How many were counted only.
    #[must_use]
    pub fn dropped(&self) -> usize {
        self.dropped
    }

    /// The worst severity of all findings; `None` where there is none.
    #[must_use]
    pub fn worst(&self) -> Option<Severity> {
        let all = [Severity::Error, Severity::Warning, Severity::Note];
        all.into_iter().find(|severity| self.count(*severity) > 0)
    }

    /// How many findings of a severity there are, kept or not.
    #[must_use]
    pub fn count(&self, severity: Severity) -> usize {
        self.counts.get(severity as usize).copied().unwrap_or_default()
    }

    /// Whether the configuration cannot be run at all.
    #[must_use]
    pub fn is_fatal(&self) -> bool {
        self.fatal
    }

    /// Whether scripts would run without `enable_script_security`.
    #[must_use]
    pub fn has_unprotected_scripts(&self) -> bool {
        self.unprotected_scripts
    }
}

impl<'a> IntoIterator for &'a Diagnostics {
    type Item = &'a Diagnostic;
    type IntoIter = std::slice::Iter<'a, Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

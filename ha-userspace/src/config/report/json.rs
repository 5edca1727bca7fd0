//! Findings for programs: the schema that `xvrrp check --json` prints (docs/check.md).
//!
//! Fields are only ever added; a change of meaning raises [`VERSION`].

use schemars::JsonSchema;
use serde::Serialize;

use super::verdict;
use crate::config::Loaded;
use crate::config::codes;
use crate::config::diag::{Diagnostic, Severity};
use crate::config::render::printable;
use crate::config::source::{Sources, Span};

/// Version of the schema.
pub const VERSION: u32 = 1;

/// All that `xvrrp check` has to say about a configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Report {
    /// [`VERSION`].
    pub schema: u32,
    /// The file that was checked, as it was named.
    pub file: String,
    /// `good`, `cannot_run`, `complaints` or `insecure`.
    pub verdict: &'static str,
    /// The exit code that belongs to it.
    pub exit_code: u8,
    /// Instances that run.
    pub instances: usize,
    /// Scripts that are well-formed.
    pub scripts: usize,
    /// Number of findings with severity error.
    pub errors: usize,
    /// Number of findings with severity warning.
    pub warnings: usize,
    /// Number of findings with severity note.
    pub notes: usize,
    /// Findings that were counted but are not listed, because there are too many.
    pub omitted: usize,
    /// The findings, in the order of the file.
    pub findings: Vec<Finding>,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Finding {
    /// `error`, `warning` or `note`.
    pub severity: &'static str,
    /// Stable code, such as `XV0701`.
    pub code: &'static str,
    /// What the code means in general.
    pub title: &'static str,
    /// Where.
    #[serde(flatten)]
    pub place: Place,
    /// What is wrong, naming the thing.
    pub message: String,
    /// What follows from it, or why it is so; the title where there is nothing more to say.
    pub cause: String,
    /// The next step.
    pub fix: String,
    /// Another place that belongs to it.
    pub related: Option<Related>,
    /// The include lines that led to the file, innermost first.
    pub included_from: Vec<Place>,
}

/// A place, counted from 1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Place {
    /// File, as named by the user or by an include.
    pub file: String,
    /// Line.
    pub line: u32,
    /// First column, in characters.
    pub column: u32,
    /// One past the last column on that line.
    pub end_column: u32,
}

/// A second place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Related {
    /// Where.
    #[serde(flatten)]
    pub place: Place,
    /// What it has to do with the finding.
    pub message: String,
}

impl Report {
    /// The report on what was loaded.
    #[must_use]
    pub fn of(loaded: &Loaded) -> Self {
        let diags = &loaded.diagnostics;
        let sources = &diags.sources;
        let verdict = verdict(loaded);
        let file = sources.first().map(|id| sources.name(id).display().to_string());
        Self {
            schema: VERSION,
            file: file.unwrap_or_default(),
            verdict: verdict.name(),
            exit_code: verdict.code(),
            instances: loaded.config.instances.len(),
            scripts: loaded.config.scripts.len(),
            errors: diags.count(Severity::Error),
            warnings: diags.count(Severity::Warning),
            notes: diags.count(Severity::Note),
            omitted: diags.dropped(),
            findings: diags.iter().map(|finding| Finding::of(sources, finding)).collect(),
        }
    }
}

impl Finding {
    fn of(sources: &Sources, finding: &Diagnostic) -> Self {
        let clean = |text: &str| printable(text.as_bytes());
        Self {
            severity: finding.severity.name(),
            code: finding.code.0,
            title: codes::title(finding.code),
            place: Place::of(sources, finding.span),
            message: clean(&finding.message),
            cause: clean(finding.label.as_deref().unwrap_or(codes::title(finding.code))),
            fix: clean(&finding.fix().unwrap_or_default()),
            related: finding
                .related
                .as_ref()
                .map(|(span, text)| Related { place: Place::of(sources, *span), message: clean(text) }),
            included_from: sources
                .include_chain(finding.span.file)
                .into_iter()
                .map(|span| Place::of(sources, span))
                .collect(),
        }
    }
}

impl Place {
    fn of(sources: &Sources, span: Span) -> Self {
        let place = sources.place(span);
        let end = sources.place(Span { start: span.end, ..span });
        // A span that goes on in the next line ends with its own.
        let end_column = if end.line == place.line { end.column.max(place.column) } else { place.column };
        Self {
            file: printable(place.file.display().to_string().as_bytes()),
            line: place.line,
            column: place.column,
            end_column,
        }
    }
}

//! What every step of lowering has at hand.

use super::names::Names;
use crate::config::diag::{Diagnostic, Diagnostics};
use crate::config::model::Place;
use crate::config::source::Span;

/// Where findings go, and what lines of several blocks share.
#[derive(Debug, Default)]
pub(super) struct Context {
    /// All findings, and the text that they point into.
    pub(super) diags: Diagnostics,
    /// Names of tables, protocols and so on, from the files that `global_defs` names: set when that has been read.
    pub(super) names: Names,
    /// Where rules without a preference go.
    pub(super) preferences: Preferences,
}

/// Where rules without a preference go: each next one before the last (keepalived 2.2.7, tried).
#[derive(Debug)]
pub(super) struct Preferences(u32);

impl Default for Preferences {
    fn default() -> Self {
        Self(16_384)
    }
}

impl Preferences {
    /// That of the next rule.
    pub(super) fn take(&mut self) -> u32 {
        let preference = self.0;
        self.0 = preference.saturating_sub(1);
        preference
    }
}

impl Context {
    /// Report something.
    pub(super) fn push(&mut self, finding: Diagnostic) {
        self.diags.push(finding);
    }

    /// Report something because of which the configuration cannot be run at all.
    pub(super) fn push_fatal(&mut self, finding: Diagnostic) {
        self.diags.push_fatal(finding);
    }

    /// Whether further findings are only counted, so that thinking up help for them is wasted.
    pub(super) fn is_full(&self) -> bool {
        self.diags.is_full()
    }

    /// file:line:column of something.
    pub(super) fn place(&self, span: Span) -> Place {
        self.diags.sources.place(span)
    }
}

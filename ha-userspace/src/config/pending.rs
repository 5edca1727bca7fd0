//! What is understood and carried in the model, but what nothing in this build acts on.
//!
//! The only list of its kind: whoever makes something work takes its line out. A use of anything in it is reported
//! with its place, by `xvrrp check` and at every load, so that nothing is silently ignored.

use super::codes;
use super::diag::{Diagnostic, Diagnostics, Severity};
use super::keywords::Context;
use super::lexer::Word;
use super::tree::Statement;

/// Keywords, with their block and what it means that they do nothing.
pub const KEYWORDS: &[(Context, &[&str], &str)] = &[
    (
        Context::Instance,
        &["vrf"],
        "it is for unicast without an interface, which is not done; an instance works in the VRF of its interface",
    ),
    (
        Context::Global,
        &["metrics"],
        "no listener serves metrics; `xvrrp status --json` and `xvrrp counters --json` have the numbers",
    ),
];

/// Options of an address line, with the same, and whether others on the network see the difference.
pub const OPTIONS: &[(&str, &str, Severity)] = &[];

/// Say so where a keyword does nothing in this build.
pub(super) fn keyword(context: Context, stmt: &Statement, diags: &mut Diagnostics) {
    let word = stmt.keyword();
    let mut uses = KEYWORDS.iter().filter(|(of, ..)| *of == context);
    if let Some((_, _, cause)) = uses.find(|(_, words, _)| words.iter().any(|text| word.is(text))) {
        report(Severity::Warning, word, stmt.span(), cause, diags);
    }
}

/// Say so where an option of an address does nothing in this build.
pub(super) fn option(word: &Word, diags: &mut Diagnostics) {
    if let Some((_, cause, severity)) = OPTIONS.iter().find(|(text, ..)| word.is(text)) {
        report(*severity, word, word.span, cause, diags);
    }
}

fn report(severity: Severity, word: &Word, span: super::source::Span, cause: &str, diags: &mut Diagnostics) {
    let message = format!("`{}` is understood, but this build does not do it", word.text());
    diags.push(Diagnostic::new(severity, codes::NOT_IMPLEMENTED, span, message).cause(cause));
}

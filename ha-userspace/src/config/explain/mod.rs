//! What every code means: the texts of `xvrrp explain`, and the general fix for findings that have none of their own.
//!
//! The texts are in `findings.md`, which is also a page to read. A test holds it against [`super::codes`], and its
//! examples against the parser.

use super::codes::Code;

/// The page.
pub const PAGE: &str = include_str!("findings.md");

/// What there is to say about one code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The code's name.
    pub code: &'static str,
    /// What it means, in one sentence.
    pub title: &'static str,
    /// The text below, examples and fix included.
    pub text: &'static str,
    /// What to do, without `Fix: `; may be several lines.
    pub fix: &'static str,
}

/// All explanations, in the order of the page.
pub fn all() -> impl Iterator<Item = Explanation> {
    PAGE.split("\n## ").skip(1).filter_map(|section| {
        let (head, text) = section.split_once('\n')?;
        let (code, title) = head.split_once(": ")?;
        let (_, fix) = text.rsplit_once("\nFix: ")?;
        Some(Explanation { code, title, text: text.trim(), fix: fix.trim() })
    })
}

/// The explanation of a code, whatever the case of its letters; the number alone will do.
#[must_use]
pub fn of(code: &str) -> Option<Explanation> {
    let digits = code.trim().trim_start_matches(['X', 'x']).trim_start_matches(['V', 'v']);
    all().find(|explanation| explanation.code.strip_prefix("XV") == Some(digits))
}

/// What to do about a finding of this kind, on one line.
#[must_use]
pub fn fix(code: Code) -> Option<String> {
    of(code.0).map(|explanation| explanation.fix.replace('\n', " "))
}

#[cfg(test)]
mod tests;

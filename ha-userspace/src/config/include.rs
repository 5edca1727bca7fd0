//! The `include` family: which files a line names, and what must be true of them.

use std::path::{Path, PathBuf};

/// What has to hold for the files that an include names (keepalived.conf(5), `include_check`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Checks {
    /// A match that cannot be read is an error.
    pub(super) readable: bool,
    /// No match is an error, unless the name has wildcards.
    pub(super) matches: bool,
    /// No match is an error, wildcards or not.
    pub(super) wildcard: bool,
    /// Each alternative of a brace expression must match.
    pub(super) brace: bool,
}

impl Checks {
    /// All checks: what `include_check` without options asks for.
    pub(super) const ALL: Self = Self { readable: true, matches: true, wildcard: true, brace: true };

    /// The checks of an include keyword on top of the level in force; `None` for any other word.
    #[must_use]
    pub(super) fn of_keyword(self, keyword: &[u8]) -> Option<Self> {
        Some(match keyword {
            b"include" => self,
            b"includer" => Self { readable: true, ..self },
            b"includem" => Self { readable: true, matches: true, ..self },
            b"includew" => Self { readable: true, matches: true, wildcard: true, ..self },
            b"includeb" => Self { readable: true, brace: true, ..self },
            b"includea" => Self::ALL,
            _ => return None,
        })
    }

    /// The level after one word of `include_check`; `None` for an unknown word.
    #[must_use]
    pub(super) fn with_option(self, option: &str) -> Option<Self> {
        let (on, name) = match option.strip_prefix('-') {
            Some(name) => (false, name),
            None => (true, option.strip_prefix('+').unwrap_or(option)),
        };
        let mut checks = self;
        match name {
            "readable" => checks.readable = on,
            "match" => checks.matches = on,
            "wildcard_match" => checks.wildcard = on,
            "brace_match" => checks.brace = on,
            _ => return None,
        }
        Some(checks)
    }
}

/// What an include line names.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The files, in the order in which they are read.
    pub(super) files: Vec<PathBuf>,
    /// Alternatives of a brace expression that match nothing.
    pub(super) unmatched: Vec<String>,
    /// Whether the name has wildcards.
    pub(super) wildcard: bool,
}

/// More files than this is a mistake.
const MAX_FILES: usize = 10_000;

/// The files that `pattern` names, relative to `directory`.
///
/// # Errors
/// What is wrong with the pattern, in words.
pub(super) fn find(pattern: &str, directory: &Path) -> Result<Found, String> {
    let mut found = Found { wildcard: pattern.contains(['*', '?', '[', '{']), ..Found::default() };
    for alternative in braces(pattern)? {
        let path = directory.join(&alternative);
        let Some(path) = path.to_str() else { return Err("the name is not UTF-8".to_owned()) };
        if !alternative.contains(['*', '?', '[']) {
            // Not a pattern: a missing file is named by the attempt to read it.
            if Path::new(path).exists() {
                found.files.push(PathBuf::from(path));
            } else {
                found.unmatched.push(alternative);
            }
            continue;
        }
        let base = directory.to_str().map(glob::Pattern::escape).unwrap_or_default();
        let pattern = if Path::new(&alternative).is_absolute() {
            alternative.clone()
        } else {
            Path::new(&base).join(&alternative).to_string_lossy().into_owned()
        };
        // As the shell and glob(3): `*` does not match names that start with a dot.
        let options = glob::MatchOptions {
            require_literal_separator: true,
            require_literal_leading_dot: true,
            ..glob::MatchOptions::new()
        };
        let paths = glob::glob_with(&pattern, options).map_err(|error| error.msg.to_owned())?;
        let before = found.files.len();
        found.files.extend(paths.filter_map(Result::ok).take(MAX_FILES));
        if found.files.len() == before {
            found.unmatched.push(alternative);
        }
        if found.files.len() > MAX_FILES {
            return Err(format!("it matches more than {MAX_FILES} files"));
        }
    }
    Ok(found)
}

/// csh style brace expansion: `{a,b{c,d}}e` → `ae`, `bce`, `bde`.
fn braces(pattern: &str) -> Result<Vec<String>, String> {
    let mut done = Vec::new();
    let mut todo = vec![pattern.to_owned()];
    while let Some(pattern) = todo.pop() {
        if done.len() + todo.len() > 1000 || pattern.len() > 4096 {
            return Err("the brace expression is too large".to_owned());
        }
        let Some(open) = pattern.find('{') else {
            done.push(pattern);
            continue;
        };
        let (mut depth, mut from, mut parts, mut close) = (0_u32, open + 1, Vec::new(), None);
        for (at, byte) in pattern.bytes().enumerate().skip(open) {
            match byte {
                b'{' => depth += 1,
                b'}' => depth -= 1,
                b',' if depth == 1 => {
                    parts.push(pattern.get(from..at).unwrap_or_default());
                    from = at + 1;
                }
                _ => {}
            }
            if depth == 0 {
                parts.push(pattern.get(from..at).unwrap_or_default());
                close = Some(at);
                break;
            }
        }
        let Some(close) = close else { return Err("a `{` is not closed".to_owned()) };
        let head = pattern.get(..open).unwrap_or_default();
        let tail = pattern.get(close + 1..).unwrap_or_default();
        todo.extend(parts.iter().rev().map(|part| format!("{head}{part}{tail}")));
    }
    Ok(done)
}

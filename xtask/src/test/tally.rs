//! Reading what test programs print: libtest's lines, which libtest-mimic prints as well.

use std::{fmt, ops::AddAssign};

/// How many tests ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) passed: u64,
    pub(super) failed: u64,
    pub(super) skipped: u64,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, more: Self) {
        self.passed += more.passed;
        self.failed += more.failed;
        self.skipped += more.skipped;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

/// What a line of output is about.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// The closing line of a test program.
    Result(Counts),
    /// The verdict on one test that failed.
    Failed(String),
    /// Anything else.
    Other,
}

/// Reads one line, with or without colours.
pub(super) fn read_line(line: &str) -> Line {
    let plain = without_colours(line);
    if let Some(result) = plain.strip_prefix("test result: ") {
        return counts(result).map_or(Line::Other, Line::Result);
    }
    let verdict = plain.strip_prefix("test ").and_then(|rest| rest.split_once(" ... "));
    match verdict {
        Some((name, verdict)) if verdict.starts_with("FAILED") => Line::Failed(name.trim().to_owned()),
        _ => Line::Other,
    }
}

/// `ok. 12 passed; 0 failed; 1 ignored; 0 measured; 3 filtered out; finished in 0.01s`
fn counts(result: &str) -> Option<Counts> {
    let (_, numbers) = result.split_once(". ")?;
    let mut counts = Counts::default();
    for part in numbers.split(';') {
        let mut words = part.split_whitespace();
        let (number, what) = (words.next()?, words.next()?);
        let field = match what {
            "passed" => &mut counts.passed,
            "failed" => &mut counts.failed,
            "ignored" => &mut counts.skipped,
            _ => continue,
        };
        *field = number.parse().ok()?;
    }
    Some(counts)
}

/// The line without its `ESC [ … m` sequences.
fn without_colours(line: &str) -> String {
    let mut parts = line.split("\x1b[");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        plain.push_str(part.split_once('m').map_or(part, |(_, text)| text));
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(passed: u64, failed: u64, skipped: u64) -> Line {
        Line::Result(Counts { passed, failed, skipped })
    }

    #[test]
    fn closing_lines_are_counted() {
        let ok =
            "test result: ok. 12 passed; 0 failed; 1 ignored; 7 measured; 3 filtered out; finished in 0.01s";
        assert_eq!(read_line(ok), result(12, 0, 1));
        let bad = "test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out";
        assert_eq!(read_line(bad), result(3, 2, 0));
    }

    #[test]
    fn colours_do_not_hide_a_result() {
        let ok = "test result: \x1b[32mok\x1b[m. 4 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out";
        assert_eq!(read_line(ok), result(4, 0, 0));
        let bad = "test result: \x1b[31m\x1b[1mFAILED\x1b[0m. 0 passed; 1 failed; 0 ignored";
        assert_eq!(read_line(bad), result(0, 1, 0));
        let verdict = "test lab::moves ... \x1b[31mFAILED\x1b(B\x1b[m";
        assert_eq!(read_line(verdict), Line::Failed("lab::moves".into()));
    }

    #[test]
    fn failed_tests_are_named() {
        assert_eq!(read_line("test a::b ... FAILED"), Line::Failed("a::b".into()));
        assert_eq!(read_line("test s07_x    ... FAILED"), Line::Failed("s07_x".into()));
        assert_eq!(read_line("test a::b ... ok"), Line::Other);
    }

    #[test]
    fn what_tests_print_is_not_a_result() {
        for line in
            ["", "test result: ", "test result: ok. many passed", "12 passed; 1 failed", "\x1b[", "a\x1b[1"]
        {
            assert_eq!(read_line(line), Line::Other, "{line:?}");
        }
    }

    #[test]
    fn the_sum_is_one_plain_line() {
        let mut sum = Counts { passed: 1, failed: 2, skipped: 3 };
        sum += Counts { passed: 10, failed: 20, skipped: 30 };
        assert_eq!(sum.to_string(), "11 passed, 22 failed, 33 skipped");
    }
}

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
    /// The heading above what a failed test had to say.
    Heading {
        /// Name of the test.
        test: String,
        /// Whether what follows is all that the test printed (libtest), not only its error (libtest-mimic).
        printed: bool,
    },
    /// How long one of the slowest tests took, and its name.
    Took(String),
    /// An attempt that was repeated because the machine stood still.
    Void,
    /// A test that failed and was judged by another attempt: where, its name and the cause.
    JudgedAgain(String),
    /// Anything else, without colours.
    Other(String),
}

/// Reads one line, with or without colours.
pub(super) fn read_line(line: &str) -> Line {
    let plain = without_colours(line);
    if let Some(result) = plain.strip_prefix("test result: ") {
        return counts(result).map_or(Line::Other(plain), Line::Result);
    }
    if let Some(heading) = plain.strip_prefix("---- ").and_then(|rest| rest.strip_suffix(" ----")) {
        let printed = heading.strip_suffix(" stdout");
        return Line::Heading { test: printed.unwrap_or(heading).to_owned(), printed: printed.is_some() };
    }
    if let Some(took) = plain.strip_prefix("took ")
        && took.split_once(" s: ").is_some_and(|(seconds, _)| seconds.parse::<f64>().is_ok())
    {
        return Line::Took(took.to_owned());
    }
    if plain.starts_with("void: ") {
        return Line::Void;
    }
    if let Some(told) = plain.strip_prefix("beside others: ") {
        return Line::JudgedAgain(format!("beside others, judged by a run alone: {told}"));
    }
    if let Some(told) = plain.strip_prefix("alone: ") {
        return Line::JudgedAgain(format!("alone, judged by another run: {told}"));
    }
    let verdict = plain.strip_prefix("test ").and_then(|rest| rest.split_once(" ... "));
    match verdict {
        Some((name, verdict)) if verdict.starts_with("FAILED") => {
            // What libtest appends is in no heading.
            Line::Failed(name.trim().trim_end_matches(" - should panic").to_owned())
        }
        _ => Line::Other(plain),
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

/// So much of a failure's cause stands in the summary.
const CAUSE_LINES: usize = 4;
const CAUSE_CHARS: usize = 300;

/// What follows a cause and is none: what an end-to-end test tells of its hosts, and where a panic came from.
const ASIDES: [&str; 3] = ["--- ", "stack backtrace:", "note: run with "];

/// The tests that failed and the beginning of what each said about it.
#[derive(Debug, Default)]
pub(super) struct Failures {
    found: Vec<Failure>,
    /// Whose text goes by; whether what it printed before its panic is part of it.
    reading: Option<(usize, bool)>,
}

#[derive(Debug)]
struct Failure {
    test: String,
    cause: Vec<String>,
}

impl Failures {
    /// Takes the next line of a test program's output.
    pub(super) fn read(&mut self, line: &Line) {
        match line {
            Line::Failed(test) => self.found.push(Failure { test: test.clone(), cause: Vec::new() }),
            Line::Heading { test, printed } => {
                self.reading = Some((self.newest(test), *printed));
            }
            // The list of names, which ends the texts, and the closing line.
            Line::Other(text) if text == "failures:" => self.reading = None,
            Line::Result(_) => self.reading = None,
            Line::Other(text) if ASIDES.iter().any(|aside| text.starts_with(aside)) => self.reading = None,
            Line::Other(text) => self.cause(text),
            Line::Took(_) | Line::Void | Line::JudgedAgain(_) => {}
        }
    }

    /// The last failure of that name; a verdict may have been hidden in what tests print.
    fn newest(&mut self, test: &str) -> usize {
        self.found.iter().rposition(|failure| failure.test == test).unwrap_or_else(|| {
            self.found.push(Failure { test: test.to_owned(), cause: Vec::new() });
            self.found.len() - 1
        })
    }

    fn cause(&mut self, text: &str) {
        let Some((index, printed)) = self.reading else { return };
        let cause = &mut self.found[index].cause;
        if printed && text.starts_with("thread '") && text.contains(" panicked at ") {
            // What it printed on the way is not why it failed.
            cause.clear();
            self.reading = Some((index, false));
        }
        if cause.len() < CAUSE_LINES && !text.trim().is_empty() {
            cause.push(shortened(text.trim_end()));
        }
    }
}

pub(super) fn shortened(line: &str) -> String {
    match line.char_indices().nth(CAUSE_CHARS) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}

impl fmt::Display for Failures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for failure in &self.found {
            writeln!(f, "FAILED {}", failure.test)?;
            for line in &failure.cause {
                writeln!(f, "    {line}")?;
            }
        }
        Ok(())
    }
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
        assert_eq!(read_line("test a::b - should panic ... FAILED"), Line::Failed("a::b".into()));
        assert_eq!(read_line("test a::b ... ok"), Line::Other("test a::b ... ok".into()));
    }

    #[test]
    fn what_tests_print_is_not_a_result() {
        for line in
            ["", "test result: ", "test result: ok. many passed", "12 passed; 1 failed", "\x1b[", "a\x1b[1"]
        {
            assert!(matches!(read_line(line), Line::Other(_)), "{line:?}");
        }
        for line in ["--- r1", "----", "---- ", "---- a"] {
            assert_eq!(read_line(line), Line::Other(line.into()));
        }
    }

    #[test]
    fn slow_tests_are_listed_as_they_are_told() {
        assert_eq!(read_line("took 3.2 s: a::b"), Line::Took("3.2 s: a::b".into()));
        for line in ["took 3.2 s", "took long: a", "took x s: a"] {
            assert_eq!(read_line(line), Line::Other(line.into()));
        }
    }

    #[test]
    fn void_attempts_are_told_apart() {
        assert_eq!(read_line("void: a::b: the machine stopped for 6ms: no master"), Line::Void);
        assert_eq!(read_line("void"), Line::Other("void".into()));
    }

    fn failures(output: &str) -> String {
        let mut failures = Failures::default();
        for line in output.lines() {
            failures.read(&read_line(line));
        }
        failures.to_string()
    }

    #[test]
    fn the_cause_of_an_end_to_end_test_is_what_its_error_begins_with() {
        let output = "\
test a::b ... FAILED
test a::c ... \x1b[31mFAILED\x1b[0m
took 3.2 s: a::b

failures:

---- a::b ----
r2 has not taken the address within 2 s

--- r1
lo UNKNOWN 127.0.0.1/8
ens160 UP

---- a::c ----
no master


failures:
    a::b
    a::c

test result: FAILED. 0 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 3.20s
took 1.0 s: a::c
error: test failed, to rerun pass `-p ha-tests --test e2e`";
        assert_eq!(
            failures(output),
            "FAILED a::b\n    r2 has not taken the address within 2 s\nFAILED a::c\n    no master\n"
        );
    }

    #[test]
    fn the_cause_of_a_unit_test_is_its_panic() {
        let output = "\
test a::b ... FAILED

failures:

---- a::b stdout ----
seed 1
seed 2

thread 'a::b' (77) panicked at ha-common/src/a.rs:3:5:
assertion `left == right` failed
  left: 1
note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace


failures:
    a::b

test result: FAILED. 0 passed; 1 failed";
        assert_eq!(
            failures(output),
            "FAILED a::b\n    thread 'a::b' (77) panicked at ha-common/src/a.rs:3:5:\n    \
             assertion `left == right` failed\n      left: 1\n"
        );
    }

    #[test]
    fn the_same_name_in_two_programs_is_two_failures() {
        let one =
            |cause: &str| format!("test a ... FAILED\n---- a ----\n{cause}\ntest result: FAILED. 0 passed\n");
        assert_eq!(failures(&(one("x") + &one("y"))), "FAILED a\n    x\nFAILED a\n    y\n");
        assert_eq!(failures("---- a ----\n1\n2\n\n3\n4\n5\n"), "FAILED a\n    1\n    2\n    3\n    4\n");
    }

    #[test]
    fn a_verdict_among_prints_is_not_lost() {
        assert_eq!(failures("test a ... figures: 7\nFAILED\n---- a ----\nx\n"), "FAILED a\n    x\n");
    }

    #[test]
    fn long_lines_are_cut_between_characters() {
        let long = "ü".repeat(CAUSE_CHARS + 1);
        let cut = format!("FAILED a\n    {}…\n", "ü".repeat(CAUSE_CHARS));
        assert_eq!(failures(&format!("---- a ----\n{long}")), cut);
        let fits = "ü".repeat(CAUSE_CHARS);
        assert_eq!(failures(&format!("---- a ----\n{fits}")), format!("FAILED a\n    {fits}\n"));
    }

    #[test]
    fn the_sum_is_one_plain_line() {
        let mut sum = Counts { passed: 1, failed: 2, skipped: 3 };
        sum += Counts { passed: 10, failed: 20, skipped: 30 };
        assert_eq!(sum.to_string(), "11 passed, 22 failed, 33 skipped");
    }
}

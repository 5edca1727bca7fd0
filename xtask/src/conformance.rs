//! The documents that say which test shows what: every row of their tables has a test, and the test exists.
//!
//! A row's last word is the column `tests`: names in backquotes, each the suite and the test as cargo's test programs
//! show them (`ha-common validate::tests::s09_multicast_needs_ttl_255`, `e2e timers::s27_owner`), or `n/a` and why there
//! can be none. Called by `cargo xtask ci`. What tests there are is read from the sources ([`names`]).

mod names;

use std::path::Path;

use anyhow::{Context as _, Result, bail};

use crate::sys;
use names::Names;

/// All their tables are judged.
const DOCUMENTS: [&str; 2] = ["docs/conformance.md", "docs/security.md"];
/// Title of the column with the names.
const COLUMN: &str = "tests";
/// What begins the cell of a row that no test can show.
const NONE: &str = "n/a";

/// Judges the documents.
///
/// # Errors
/// A row without a test, a name that no test has, or a document that is not there; all of them at once.
pub(crate) fn check() -> Result<()> {
    sys::announce("Rows and their tests", &DOCUMENTS.join(" "));
    let root = sys::workspace_root();
    let names = Names::read(root)?;
    let (rows, findings) = judge_all(root, &names)?;
    if !findings.is_empty() {
        bail!("{}", findings.join("\n    "));
    }
    println!("    {rows} rows");
    Ok(())
}

/// Number of rows, and what is wrong with them.
fn judge_all(root: &Path, names: &Names) -> Result<(usize, Vec<String>)> {
    let (mut rows, mut findings) = (0, Vec::new());
    for document in DOCUMENTS {
        let path = root.join(document);
        let text = std::fs::read_to_string(&path).with_context(|| {
            format!("cannot read {}: put it back, or take it out of the check", path.display())
        })?;
        let judged = judge(document, &text, names);
        rows += judged.0;
        findings.extend(judged.1);
    }
    Ok((rows, findings))
}

fn judge(document: &str, text: &str, names: &Names) -> (usize, Vec<String>) {
    let mut findings = Vec::new();
    let tables = tables(text);
    if tables.is_empty() {
        findings.push(format!("{document}: no table: its rows have gone; put them back"));
    }
    let mut rows = 0;
    for Table { line, column, body } in &tables {
        let Some(column) = column else {
            findings.push(format!("{document}:{line}: table without a column `{COLUMN}`: add one"));
            continue;
        };
        rows += body.len();
        for (line, cells) in body {
            let row = cells.first().map_or("", String::as_str);
            let cell = cells.get(*column).map_or("", String::as_str);
            for finding in judge_cell(cell, names) {
                findings.push(format!("{document}:{line}: row \"{row}\": {finding}"));
            }
        }
    }
    (rows, findings)
}

fn judge_cell(cell: &str, names: &Names) -> Vec<String> {
    if let Some(reason) = cell.strip_prefix(NONE) {
        let says_why = reason.chars().any(char::is_alphabetic);
        let finding = format!("`{NONE}` without a reason: say why no test can show it (`{NONE}: …`)");
        return if says_why { Vec::new() } else { vec![finding] };
    }
    let named: Vec<&str> = cell.split('`').skip(1).step_by(2).collect();
    if named.is_empty() {
        return vec![format!(
            "no test: name one in backquotes (`SUITE PATH::TEST`), or say `{NONE}: …` and why"
        )];
    }
    named.into_iter().filter_map(|name| judge_name(name, names)).collect()
}

fn judge_name(name: &str, names: &Names) -> Option<String> {
    let Some((suite, test)) = name.split_once(' ') else {
        return Some(format!(
            "`{name}` names no test: write the suite, a blank and the test (`e2e timers::s27_owner`)"
        ));
    };
    if names.has(suite, test) {
        return None;
    }
    let next = if names.suites().any(|known| known == suite) {
        match names.like(suite, test) {
            Some(like) => format!("is it now `{suite} {like}`?"),
            None => "correct the name, or name another test that shows the row".to_owned(),
        }
    } else {
        format!("the suites are {}", names.suites().collect::<Vec<_>>().join(", "))
    };
    Some(format!("no test is called `{name}`: {next}"))
}

/// A table of a Markdown document.
struct Table {
    /// Of the titles, counted from one.
    line: usize,
    /// Where the names of tests are.
    column: Option<usize>,
    /// Line and cells of each row.
    body: Vec<(usize, Vec<String>)>,
}

fn tables(text: &str) -> Vec<Table> {
    let lines: Vec<&str> = text.lines().collect();
    let mut tables: Vec<Table> = Vec::new();
    let mut inside = false;
    for (at, line) in lines.iter().enumerate() {
        if !line.starts_with('|') {
            inside = false;
        } else if !inside {
            let titles = cells(line);
            tables.push(Table {
                line: at + 1,
                column: titles.iter().position(|title| title == COLUMN),
                body: Vec::new(),
            });
            inside = true;
        } else if let Some(table) = tables.last_mut()
            && at != table.line
        {
            table.body.push((at + 1, cells(line)));
        }
    }
    tables
}

/// The cells of a row, without those before the first bar and behind the last. A bar in backquotes, or behind a
/// backslash, is part of its cell.
fn cells(line: &str) -> Vec<String> {
    let mut cells = vec![String::new()];
    let (mut quoted, mut escaped) = (false, false);
    for c in line.trim().trim_start_matches('|').chars() {
        if c == '|' && !quoted && !escaped {
            cells.push(String::new());
            continue;
        }
        quoted ^= c == '`';
        escaped = c == '\\';
        if let Some(cell) = cells.last_mut() {
            cell.push(c);
        }
    }
    cells.pop();
    cells.into_iter().map(|cell| cell.trim().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(rows: &str) -> Vec<String> {
        let names = Names::of("ha-common", &["validate::tests::ttl"]);
        judge("d.md", &format!("# Title\n\n| | what | tests |\n|---|---|---|\n{rows}"), &names).1
    }

    #[test]
    fn a_row_has_a_test_or_a_reason() {
        let good =
            "| 1 | TTL | `ha-common validate::tests::ttl` |\n| 2 | a `|` in it | n/a: a duty of hosts |\n";
        assert_eq!(findings(good), Vec::<String>::new());
    }

    #[test]
    fn a_row_without_a_test_is_told_with_its_place() {
        for row in ["| 1 | TTL | |", "| 1 | TTL | later |", "| 1 | TTL |"] {
            let [finding] = &findings(&format!("{row}\n"))[..] else { panic!("{row}") };
            assert!(finding.starts_with("d.md:5: row \"1\": no test: name one"), "{finding}");
        }
        let bare = findings("| 1 | TTL | n/a |\n");
        assert!(bare[0].starts_with("d.md:5: row \"1\": `n/a` without a reason: say why"), "{bare:?}");
    }

    #[test]
    fn a_name_that_no_test_has_is_told_with_what_to_do() {
        for (name, said) in [
            ("ha-common validate::tests::hops", "correct the name"),
            ("ha-common judge::tests::ttl", "is it now `ha-common validate::tests::ttl`?"),
            ("ha-commons validate::tests::ttl", "the suites are ha-common"),
            ("validate::tests::ttl", "write the suite"),
        ] {
            let row = format!("| 1 | TTL | `ha-common validate::tests::ttl`, `{name}` |\n");
            let [finding] = &findings(&row)[..] else { panic!("{name}") };
            assert!(finding.starts_with("d.md:5: row \"1\": ") && finding.contains(said), "{finding}");
            assert!(finding.contains(&format!("`{name}`")), "{finding}");
        }
    }

    #[test]
    fn every_table_has_the_column() {
        let names = Names::of("ha-common", &[]);
        let text = "| a | b |\n|---|---|\n| 1 | 2 |\n\ntext\n\n| c | tests |\n|---|---|\n| 1 | n/a: why |\n";
        let (rows, findings) = judge("d.md", text, &names);
        assert_eq!((rows, findings.len()), (1, 1));
        assert!(findings[0].starts_with("d.md:1: table without a column `tests`"), "{findings:?}");
        assert!(judge("d.md", "text\n", &names).1[0].contains("no table"));
    }

    #[test]
    fn the_documents_are_right() {
        check().unwrap_or_else(|error| panic!("{error:#}"));
    }
}

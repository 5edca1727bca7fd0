//! docs/keepalived-compat.md against the parser, both ways; and every keyword against the corpus.
//!
//! `XVRRP_BLESS=1` writes the rows that the parser has into the page; remarks stay.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use ha_userspace::config::keywords::{
    ADDRESS_OPTIONS, Block, ROUTE_OPTIONS, RULE_OPTIONS, Row, Status, blocks,
};
use libtest_mimic::{Failed, Trial};

use super::files;

pub(super) fn trials() -> Vec<Trial> {
    vec![
        Trial::test("the_page_has_what_the_parser_has", page),
        Trial::test("every_keyword_is_in_the_corpus", used),
    ]
}

/// Heading and the keywords below it, with what the parser makes of each.
type Section = (String, Vec<(&'static str, What)>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Done,
    Pending,
    Nothing,
}

impl What {
    /// The words that may stand in the page.
    fn allows(self, status: &str) -> bool {
        match self {
            Self::Done => matches!(status, "supported" | "differs" | "own"),
            Self::Pending => status == "not yet",
            Self::Nothing => matches!(status, "no effect" | "not done"),
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Done => "supported",
            Self::Pending => "not yet",
            Self::Nothing => "no effect",
        }
    }
}

fn heading(block: Block) -> String {
    match block {
        Block::Top => "Outside all blocks".to_owned(),
        Block::TrackFile => "`track_file`, `vrrp_track_file`".to_owned(),
        Block::Check => "`vrrp_check` (xvrrp's own)".to_owned(),
        other => format!("`{}`", other.name()),
    }
}

fn parser() -> Vec<Section> {
    let what = |status: Status| match status {
        Status::Implemented(_) => What::Done,
        Status::NotYet(..) => What::Pending,
        Status::NoEffect(_) | Status::Lvs => What::Nothing,
    };
    let section = |title: String, rows: &'static [Row]| -> Section {
        (title, rows.iter().map(|row| (row.word.as_str(), what(row.status))).collect())
    };
    let blocks = blocks().iter().map(|(block, rows)| section(heading(*block), rows));
    let options = [
        ("Options of addresses", &ADDRESS_OPTIONS),
        ("Words of routes", &ROUTE_OPTIONS),
        ("Words of rules", &RULE_OPTIONS),
    ];
    blocks.chain(options.map(|(title, rows)| section(title.to_owned(), rows))).collect()
}

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/keepalived-compat.md")
}

/// Status and remark of each keyword in the page, by heading.
fn read(text: &str) -> BTreeMap<String, BTreeMap<String, (String, String)>> {
    let mut sections: BTreeMap<String, BTreeMap<String, (String, String)>> = BTreeMap::new();
    let mut section = None;
    for line in text.lines() {
        if let Some(title) = line.strip_prefix("### ") {
            section = Some(title.to_owned());
            sections.entry(title.to_owned()).or_default();
        }
        let (Some(title), Some(row)) = (&section, line.strip_prefix("| `")) else { continue };
        let cells: Vec<&str> = row.split(" | ").collect();
        let [word, status, remark] = cells.as_slice() else { continue };
        let word = word.trim_end_matches('`').to_owned();
        let remark = remark.trim_end_matches('|').trim().to_owned();
        sections.entry(title.clone()).or_default().insert(word, ((*status).to_owned(), remark));
    }
    sections
}

fn page() -> Result<(), Failed> {
    let text = std::fs::read_to_string(path())?;
    let (page, parser) = (read(&text), parser());
    if std::env::var_os("XVRRP_BLESS").is_some() {
        return Ok(bless(&text, &page, &parser)?);
    }
    let mut problems = Vec::new();
    for (title, rows) in &parser {
        let Some(section) = page.get(title) else {
            problems.push(format!("there is no section `{title}`"));
            continue;
        };
        for (word, what) in rows {
            match section.get(*word) {
                None => problems.push(format!("{title}: `{word}` is missing")),
                Some((status, _)) if !what.allows(status) => {
                    problems.push(format!("{title}: `{word}` is `{status}`, the parser says {what:?}"));
                }
                Some((status, remark))
                    if remark.is_empty() && status != "supported" && status != "not yet" =>
                {
                    problems.push(format!("{title}: `{word}` is `{status}` without a remark"));
                }
                Some(_) => {}
            }
        }
        for word in section.keys().filter(|word| !rows.iter().any(|(known, _)| known == word)) {
            problems.push(format!("{title}: `{word}` is unknown to the parser"));
        }
    }
    for title in page.keys().filter(|title| !parser.iter().any(|(known, _)| known == *title)) {
        problems.push(format!("section `{title}` is unknown to the parser"));
    }
    if problems.is_empty() {
        return Ok(());
    }
    problems.push("XVRRP_BLESS=1 writes what the parser has into docs/keepalived-compat.md".to_owned());
    Err(problems.join("\n").into())
}

fn bless(
    text: &str,
    page: &BTreeMap<String, BTreeMap<String, (String, String)>>,
    parser: &[Section],
) -> std::io::Result<()> {
    let head = text.split("### ").next().unwrap_or_default();
    let mut out = head.to_owned();
    for (title, rows) in parser {
        out.push_str(&format!("### {title}\n\n| keyword | status | remarks |\n|---|---|---|\n"));
        for (word, what) in rows {
            let before = page.get(title).and_then(|section| section.get(*word)).cloned().unwrap_or_default();
            let status = if what.allows(&before.0) { before.0 } else { what.word().to_owned() };
            out.push_str(&format!("| `{word}` | {status} | {} |\n", before.1));
        }
        out.push('\n');
    }
    std::fs::write(path(), out.trim_end().to_owned() + "\n")
}

/// Each keyword and each option stands in some file of the corpus.
fn used() -> Result<(), Failed> {
    let mut words: BTreeSet<String> = BTreeSet::new();
    for path in files() {
        let text = String::from_utf8_lossy(&std::fs::read(path)?).into_owned();
        let lines = text.lines().map(|line| line.split(['#', '!']).next().unwrap_or_default().to_owned());
        for line in lines {
            words.extend(line.split([' ', '\t', '{', '}']).map(str::to_owned));
        }
    }
    let missing: Vec<String> = parser()
        .iter()
        .flat_map(|(title, rows)| {
            let rows = rows.iter().filter(|(word, _)| !words.contains(*word));
            rows.map(move |(word, _)| format!("{title}: {word}"))
        })
        .collect();
    if missing.is_empty() { Ok(()) } else { Err(missing.join("\n").into()) }
}

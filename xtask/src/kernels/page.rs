//! The table on the terminal, and docs/kernels.md.

use std::fmt::Write as _;
use std::fs;

use anyhow::{Context as _, Result};

use super::outcome::{Outcome, Outcomes};
use crate::sys;

/// Titles, and the figure behind each.
const COLUMNS: [(&str, &str); 9] = [
    ("XDP", "r1.mode"),
    ("host death", "host-death.gap"),
    ("cable", "cable.gap"),
    ("kill -9", "kill.gap"),
    ("freeze", "freeze.gap"),
    ("thaw", "thaw.gap"),
    ("restart", "restart-exec.gap"),
    ("stop", "stop.gap"),
    ("MB", "r1.rss"),
];

/// The same for two machines.
const PAIR_COLUMNS: [(&str, &str); 8] = [
    ("r1", "r1.mode"),
    ("r2", "r2.mode"),
    ("50 ms", "freeze-50.gap"),
    ("200 ms", "freeze-200.gap"),
    ("700 ms", "freeze-700.gap"),
    ("3 s", "freeze-3000.gap"),
    ("kill -9", "kill.gap"),
    ("stop", "stop.gap"),
];

/// The rows as Markdown tables that read well as text too: kernels, then pairs of them.
pub(crate) fn table(outcomes: &Outcomes) -> String {
    let (pairs, kernels): (Vec<_>, Vec<_>) = outcomes.rows.iter().partition(|row| is_pair(row));
    let mut text = String::new();
    if !kernels.is_empty() {
        text += &aligned(titles(), kernels.into_iter().map(cells));
    }
    if !pairs.is_empty() {
        text += "\nTwo machines, r1 in the first; freezes of the first:\n\n";
        let titles = ["r1's kernel + r2's"]
            .into_iter()
            .chain(PAIR_COLUMNS.map(|(title, _)| title))
            .chain(["verdict", "s"]);
        text += &aligned(titles.map(str::to_owned).collect(), pairs.into_iter().map(pair_cells));
    }
    text
}

fn is_pair(row: &Outcome) -> bool {
    row.name.contains(" + ")
}

fn aligned(titles: Vec<String>, rows: impl Iterator<Item = Vec<String>>) -> String {
    let rows: Vec<_> = [titles].into_iter().chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<_> = (0..rows[0].len()).map(width).collect();
    let mut text = String::new();
    for (n, row) in rows.iter().enumerate() {
        let padded = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        let _infallible = writeln!(text, "| {} |", padded.collect::<Vec<_>>().join(" | "));
        if n == 0 {
            let lines: Vec<_> = widths.iter().map(|width| "-".repeat(*width)).collect();
            let _infallible = writeln!(text, "| {} |", lines.join(" | "));
        }
    }
    text
}

fn titles() -> Vec<String> {
    let first = ["asked for", "kernel", "arch", "card"].map(str::to_owned);
    let last = ["verdict", "s"].map(str::to_owned);
    first.into_iter().chain(COLUMNS.map(|(title, _)| title.to_owned())).chain(last).collect()
}

/// Gaps of a freeze, with how often r2 took over.
fn pair_cells(row: &Outcome) -> Vec<String> {
    let figure = |(_, key): (&str, &str)| {
        let times = key.strip_suffix(".gap").and_then(|key| row.results.get(&format!("{key}.takeovers")));
        let times = times.map(|times| format!(" ({times})")).unwrap_or_default();
        format!("{}{times}", row.figure(key))
    };
    let last = [row.verdict(), format!("{:.0}", row.seconds)];
    [row.name.clone()].into_iter().chain(PAIR_COLUMNS.map(figure)).chain(last).collect()
}

fn cells(row: &Outcome) -> Vec<String> {
    let asked = row.name.split(' ').next().unwrap_or_default().to_owned();
    let release = if row.release.is_empty() { "–".to_owned() } else { row.release.clone() };
    let first = [asked, release, row.arch.clone(), row.card.clone()];
    let figures = COLUMNS.map(|(_, key)| row.figure(key).to_owned());
    let last = [row.verdict(), format!("{:.0}", row.seconds)];
    first.into_iter().chain(figures).chain(last).collect()
}

/// Writes docs/kernels.md.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn write(outcomes: &Outcomes) -> Result<()> {
    let file = sys::workspace_root().join("docs/kernels.md");
    fs::write(&file, page(outcomes)).with_context(|| format!("writing {}", file.display()))
}

fn page(outcomes: &Outcomes) -> String {
    let mut text = String::from(INTRODUCTION);
    text += &table(outcomes);
    text += EXPLANATION;
    let mut ran: Vec<_> = outcomes
        .rows
        .iter()
        .filter(|row| !row.accelerator.is_empty())
        .map(|row| format!("{}, QEMU {}, {}", row.arch, row.qemu, row.accelerator))
        .collect();
    ran.sort_unstable();
    ran.dedup();
    text += "\n## How they ran\n\n";
    for line in ran {
        let _infallible = writeln!(text, "- {line}");
    }
    text += "\n## What did not pass\n\n";
    let failed: Vec<_> = outcomes.rows.iter().filter(|row| !row.passed()).collect();
    if failed.is_empty() {
        text += "Everything passed.\n";
    }
    for row in failed {
        if let Some(trouble) = &row.trouble {
            let _infallible = writeln!(text, "- {}: {trouble}", row.name);
        }
        for check in row.checks.iter().filter(|check| !check.passed) {
            let _infallible = writeln!(text, "- {}, {}: {}", row.name, check.name, check.found);
        }
    }
    text
}

const INTRODUCTION: &str = "\
# Kernels

Debian's kernels, booted in virtual machines, with two routers that run xvrrp in each. Written by `cargo xtask kernels`;
a run with names replaces the rows of those names. What is tried is in `tests/src/guest`.

";

const EXPLANATION: &str = "
Times are the longest gap that a client with a ping each millisecond sees, in ms, by the guest's clock. *host death*: the
master's switch port goes silent. *cable*: it loses its carrier. *kill -9*, *freeze* (2 s) and *thaw*: of the master's
daemon, with the question who answers ARP afterwards. *restart*: `xvrrp restart`. *stop*: SIGTERM. *MB*: resident memory
of the master. Tried as well, without a column: the mode and discovery, the host's and the cable's return, a start after
kill -9, a restart by SIGRTMIN, a restart across versions of the maps in both directions (the pins become those of
another version meanwhile), the names of fields in `bpftool map dump`, `xvrrp detach`, that nothing is left behind,
and that the kernel's log has no complaint.

With TCG and the instruction clock, an instruction takes 2 ns of the guest's time: about a tenth of the speed of a
processor of today. A takeover takes the window of 10 ms
([liveness.md](liveness.md)), which no guest runs long enough to narrow; a frozen daemon's lease runs for 100 ms first. QEMU's network is not run by that clock: where
the host is busy, frames stand still while the guest's time goes on. A guest that fails is booted anew, up to three times,
if in each step that failed r2's own address did not answer either, or the client sent nothing.

Two machines have no clock in common, and whatever stalls the host that runs both stalls them: their gaps are figures of
one run, with `fast_window 25ms`, and only who answers in the end is judged, and for how long two did. In brackets: how
often r2 took over.
";

#[cfg(test)]
mod tests {
    use super::*;
    use ha_tests::guest::Line;

    #[test]
    fn the_page_has_rows_and_reasons() {
        let mut row = Outcome { name: "6.1-generic igb".into(), card: "igb".into(), ..Outcome::default() };
        row.take(&Line::Booted("6.1.0-56-amd64".into()));
        row.take(&Line::Result("r1.mode".into(), "generic".into()));
        row.take(&Line::check("attach", false, "expected: native"));
        let text = page(&Outcomes { rows: vec![row] });
        assert!(text.contains("| 6.1-generic | 6.1.0-56-amd64 |"), "{text}");
        assert!(text.contains("- 6.1-generic igb, attach: expected: native"), "{text}");
        assert!(!text.contains("Everything passed"));
        assert!(page(&Outcomes::default()).contains("Everything passed"));
    }
}

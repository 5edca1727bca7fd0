//! What guests said, kept as JSON beside the page that is written from it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use ha_tests::guest::{Line, STOOD_STILL};
use serde::{Deserialize, Serialize};

/// The rows of the table.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Outcomes {
    /// One for each guest.
    pub(crate) rows: Vec<Outcome>,
}

/// What one guest said.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Outcome {
    /// What was asked for: kernel and card.
    pub(crate) name: String,
    /// Place in the list of everything.
    pub(crate) order: usize,
    /// The kernel's release.
    pub(crate) release: String,
    /// Debian's word for the architecture.
    pub(crate) arch: String,
    /// The routers' cards, or veth.
    pub(crate) card: String,
    /// QEMU's version.
    pub(crate) qemu: String,
    /// How the guest ran.
    pub(crate) accelerator: String,
    /// Seconds that it took.
    pub(crate) seconds: f64,
    /// Why it did not come to its end, if so.
    pub(crate) trouble: Option<String>,
    /// Figures and facts.
    pub(crate) results: BTreeMap<String, String>,
    /// Checks in order.
    pub(crate) checks: Vec<Check>,
}

/// One check.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Check {
    /// Its name.
    pub(crate) name: String,
    /// Whether it passed.
    pub(crate) passed: bool,
    /// What was found.
    pub(crate) found: String,
}

impl Outcome {
    /// Takes in a line of the console.
    pub(crate) fn take(&mut self, line: &Line) {
        match line {
            Line::Booted(release) => self.release.clone_from(release),
            Line::Result(key, value) => drop(self.results.insert(key.clone(), value.clone())),
            Line::Check { name, passed, found } => {
                self.checks.push(Check { name: name.clone(), passed: *passed, found: found.clone() });
            }
            Line::Step(_) | Line::Log(..) | Line::Order(_) | Line::End => {}
        }
    }

    /// Whether it came to its end and every check passed.
    pub(crate) fn passed(&self) -> bool {
        self.trouble.is_none() && !self.checks.is_empty() && self.checks.iter().all(|check| check.passed)
    }

    /// Whether it came to its end, and wherever it failed, the machine had stood still: that may have been the reason.
    pub(crate) fn is_void(&self) -> bool {
        let stood = |check: &Check| self.results.contains_key(&format!("{}.{STOOD_STILL}", check.name));
        self.trouble.is_none()
            && !self.passed()
            && self.checks.iter().filter(|check| !check.passed).all(stood)
            && !self.checks.is_empty()
    }

    /// A figure; a dash where there is none.
    pub(crate) fn figure(&self, key: &str) -> &str {
        self.results.get(key).map_or("–", String::as_str)
    }

    /// One word or a few: what failed.
    pub(crate) fn verdict(&self) -> String {
        if let Some(trouble) = &self.trouble {
            return if self.release.is_empty() { "no boot".to_owned() } else { trouble.clone() };
        }
        let failed: Vec<_> =
            self.checks.iter().filter(|check| !check.passed).map(|check| check.name.as_str()).collect();
        if failed.is_empty() { "passed".to_owned() } else { format!("failed: {}", failed.join(", ")) }
    }
}

impl Outcomes {
    /// Reads the file; nothing where there is none.
    ///
    /// # Errors
    /// When it is not what this program writes.
    pub(crate) fn load(file: &Path) -> Result<Self> {
        let Ok(text) = fs::read_to_string(file) else { return Ok(Self::default()) };
        serde_json::from_str(&text)
            .with_context(|| format!("{} is damaged: remove it and run all kernels", file.display()))
    }

    /// Writes the file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn save(&self, file: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)? + "\n";
        fs::write(file, text).with_context(|| format!("writing {}", file.display()))
    }

    /// Replaces the rows that `newer` has, and adds those that are new, each at its place in the list of today.
    pub(crate) fn update(&mut self, newer: &Self, place: impl Fn(&str) -> usize) {
        self.rows.retain(|row| newer.rows.iter().all(|new| new.name != row.name));
        self.rows.extend(newer.rows.iter().cloned());
        for row in &mut self.rows {
            row.order = place(&row.name);
        }
        self.rows.sort_by(|a, b| (a.order, &a.name).cmp(&(b.order, &b.name)));
    }

    /// Names of the rows that did not pass.
    pub(crate) fn failed(&self) -> Vec<String> {
        self.rows.iter().filter(|row| !row.passed()).map(|row| row.name.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, passed: bool) -> Outcome {
        let mut row = Outcome { name: name.to_owned(), ..Outcome::default() };
        row.take(&Line::check("attach", passed, "generic"));
        row
    }

    #[test]
    fn a_run_replaces_its_own_rows() {
        let mut kept = Outcomes { rows: vec![row("6.1", true), row("6.12", true)] };
        // One was put in between the others since.
        let place = |name: &str| ["6.1", "7.2", "6.12"].iter().position(|known| *known == name).unwrap_or(9);
        kept.update(&Outcomes { rows: vec![row("6.12", false), row("7.2", true)] }, place);
        let names: Vec<_> = kept.rows.iter().map(|row| row.name.as_str()).collect();
        assert_eq!(names, ["6.1", "7.2", "6.12"]);
        assert_eq!(kept.failed(), ["6.12"]);
        assert_eq!(kept.rows[2].verdict(), "failed: attach");
    }

    #[test]
    fn a_failure_counts_unless_the_machine_stood_still_meanwhile() {
        let mut row = row("6.1", true);
        assert!(!row.is_void(), "it passed");
        row.take(&Line::check("restart-exec", false, "a gap"));
        assert!(!row.is_void());
        row.take(&Line::Result(format!("restart-exec.{STOOD_STILL}"), "120".into()));
        assert!(row.is_void());
        row.take(&Line::check("kill", false, "a gap"));
        assert!(!row.is_void(), "one failure has no excuse");
        assert!(!Outcome::default().is_void(), "it said nothing");
    }

    #[test]
    fn a_guest_that_said_nothing_has_not_passed() {
        assert!(!Outcome::default().passed());
        assert!(row("6.1", true).passed());
    }
}

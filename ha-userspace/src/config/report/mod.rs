//! The verdict on a configuration, as `keepalived -t` gives it, and what `xvrrp check` prints: text or JSON.

mod json;

pub use json::{Finding, Place, Related, Report, VERSION};

use super::diag::{Diagnostics, Severity};
use super::{Loaded, model::Config};

/// Whether a configuration runs. The numbers are `keepalived -t`'s exit codes by behaviour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing to complain about; notes may have been printed.
    Good = 0,
    /// It cannot run.
    CannotRun = 4,
    /// It runs, with complaints.
    Complaints = 5,
    /// It runs scripts without `enable_script_security`, with or without other complaints.
    Insecure = 6,
}

impl Verdict {
    /// The worse of two: a file that cannot run is worse than scripts without protection, these than other complaints.
    #[must_use]
    pub fn worse(self, other: Self) -> Self {
        let rank = |verdict| match verdict {
            Self::Good => 0,
            Self::Complaints => 1,
            Self::Insecure => 2,
            Self::CannotRun => 3,
        };
        std::cmp::max_by_key(self, other, |verdict| rank(*verdict))
    }

    /// The exit code.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Good => 0,
            Self::CannotRun => 4,
            Self::Complaints => 5,
            Self::Insecure => 6,
        }
    }
}

impl Verdict {
    /// Its name in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::CannotRun => "cannot_run",
            Self::Complaints => "complaints",
            Self::Insecure => "insecure",
        }
    }
}

/// The verdict on what was loaded.
#[must_use]
pub fn verdict(loaded: &Loaded) -> Verdict {
    let diags = &loaded.diagnostics;
    if loaded.fatal {
        Verdict::CannotRun
    } else if diags.has_unprotected_scripts() {
        Verdict::Insecure
    } else if diags.worst() >= Some(Severity::Warning) {
        Verdict::Complaints
    } else {
        Verdict::Good
    }
}

/// All findings and a last line that sums up; `of` is in front of it, where there are several files.
#[must_use]
pub fn text(loaded: &Loaded, color: bool, of: Option<&str>) -> String {
    let mut out = loaded.diagnostics.render(color);
    if let Some(file) = of {
        out.push_str(file);
        out.push_str(": ");
    }
    out.push_str(&summary(&loaded.config, &loaded.diagnostics, verdict(loaded)));
    out.push('\n');
    out
}

fn summary(config: &Config, diags: &Diagnostics, verdict: Verdict) -> String {
    let plural = |n: usize, word: &str| if n == 1 { format!("1 {word}") } else { format!("{n} {word}s") };
    let verdict = match verdict {
        Verdict::CannotRun => "cannot run",
        // The exit code is keepalived's, which starts and does nothing.
        _ if config.instances.is_empty() => "runs nothing",
        Verdict::Good => "good",
        Verdict::Complaints => "runs, with complaints",
        Verdict::Insecure => "runs, but scripts are not protected",
    };
    format!(
        "{verdict}: {}, {}; {}, {}, {}",
        plural(config.instances.len(), "instance"),
        plural(config.scripts.len(), "script"),
        plural(diags.count(Severity::Error), "error"),
        plural(diags.count(Severity::Warning), "warning"),
        plural(diags.count(Severity::Note), "note"),
    )
}

#[cfg(test)]
mod tests;

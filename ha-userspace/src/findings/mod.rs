//! What a [`Status`] amounts to: the findings, and the worst of them as the first line of `xvrrp status`. And whether a
//! takeover would succeed ([`ready`]).
//!
//! Pure functions, so that the command line, metrics and tests say the same. What is a finding and what to do about it is
//! in docs/status.md, by its code.

mod instance;
mod machine;
pub mod ready;
#[cfg(test)]
mod tests;

use crate::control::protocol::{Finding, Severity, Status, Verdict};

/// Everything that is not as it should be, the worst first, and the line that sums it up.
#[must_use]
pub fn verdict(status: &Status) -> Verdict {
    let mut findings: Vec<Finding> = status.instances.iter().flat_map(instance::findings).collect();
    findings.extend(machine::findings(status));
    // Those that are equally bad stay in the order of the file.
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    let severity = findings.first().map_or(Severity::Ok, |worst| worst.severity);
    let line = findings.first().map_or_else(
        || format!("{}: {}", Severity::Ok.word(), roles(status)),
        |worst| first_line(worst, findings.len() - 1),
    );
    Verdict { severity, line, findings }
}

/// The verdict where there is no status, because `why`.
#[must_use]
pub fn without_status(code: &str, why: &str) -> Verdict {
    let finding = finding(Severity::Unknown, code, "", why.to_owned(), "");
    Verdict { severity: Severity::Unknown, line: first_line(&finding, 0), findings: vec![finding] }
}

fn first_line(worst: &Finding, more: usize) -> String {
    let more = if more > 0 { format!(" (and {more} more)") } else { String::new() };
    format!("{}{more}", sentence(worst))
}

/// `WARNING VI_1: nobody would take over`.
#[must_use]
pub fn sentence(finding: &Finding) -> String {
    let word = finding.severity.word();
    if finding.subject.is_empty() {
        format!("{word}: {}", finding.message)
    } else {
        format!("{word} {}: {}", finding.subject, finding.message)
    }
}

/// `2 instances, 1 MASTER, 1 BACKUP`.
fn roles(status: &Status) -> String {
    let count = status.instances.len();
    let mut line = format!("{count} {}", if count == 1 { "instance" } else { "instances" });
    for state in ["MASTER", "BACKUP", "LEAVING", "INIT", "FAULT"] {
        let number = status.instances.iter().filter(|instance| instance.state == state).count();
        if number > 0 {
            line += &format!(", {number} {state}");
        }
    }
    line
}

fn finding(severity: Severity, code: &str, subject: &str, message: String, advice: &str) -> Finding {
    Finding {
        severity,
        code: code.to_owned(),
        subject: subject.to_owned(),
        message,
        advice: advice.to_owned(),
    }
}

/// An age in at most two units, as people read it: `0.4 s`, `3m20s`.
#[must_use]
pub fn age(ms: f64) -> String {
    if ms < 60_000.0 {
        return format!("{:.1} s", ms / 1000.0);
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an age; a float beyond the integers saturates"
    )]
    let seconds = (ms / 1000.0) as u64;
    match seconds {
        0..=3_599 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3_600..=86_399 => format!("{}h{:02}m", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

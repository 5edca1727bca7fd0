//! `xvrrp status --brief`: one line for each instance, the worst finding about it in front.

use super::page;
use crate::control::protocol::{Severity, Status};

pub(super) fn render(status: &Status) -> String {
    let mut rows = page::overview(status);
    for (row, instance) in rows.iter_mut().skip(1).zip(&status.instances) {
        let findings = status.verdict.iter().flat_map(|verdict| &verdict.findings);
        let of_instance = findings.filter(|finding| finding.subject == instance.name);
        let worst = of_instance.map(|finding| finding.severity).max().unwrap_or(Severity::Ok);
        row.insert(0, worst.word().to_owned());
    }
    rows.remove(0);
    page::table(&rows)
}

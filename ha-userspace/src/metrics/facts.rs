//! What the metrics are of a status. Pure: what is not in it is an argument.

mod instances;
mod interfaces;

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::families::{
    BUILD, EVENTS_LOST, EXPORTER, FINDINGS, LONGEST_TURN, REALTIME, SCRIPT_STATE, SCRIPT_STATUS, START,
    TRACKER_FAILURES, TRACKER_GOOD, TRACKER_RUNS, TRACKER_VALUE, TURNS, UP, VERDICT,
};
use super::page::{Form, Page, float};
use crate::control::protocol::{Counters, Status};
use crate::findings;

/// The whole page. `events_lost` are those of the flight recorder, `now` is the time of the status.
pub(super) fn page(
    status: &Status,
    counters: &Counters,
    events_lost: u64,
    now: SystemTime,
    form: Form,
) -> String {
    let mut page = Page::new(form);
    page.single(&UP, 1.0);
    page.family(&EXPORTER).put(&[&status.version], 1.0);
    instances::keepalived(&mut page, &status.instances);
    scripts(&mut page, status);
    daemon(&mut page, status, events_lost, now);
    instances::own(&mut page, &status.instances, now);
    instances::groups(&mut page, &status.groups);
    interfaces::all(&mut page, &status.interfaces, counters);
    trackers(&mut page, status);
    page.finish()
}

fn daemon(page: &mut Page, status: &Status, events_lost: u64, now: SystemTime) {
    page.family(&BUILD).put(&[&status.version], 1.0);
    page.single(&START, ago(now, status.started_ms_ago));
    if let Some(realtime) = status.realtime {
        page.single(&REALTIME, flag(realtime));
    }
    let verdict = findings::verdict(status);
    page.single(&VERDICT, f64::from(verdict.severity.exit_code()));
    let mut counts = BTreeMap::new();
    for finding in &verdict.findings {
        *counts.entry((finding.severity.word(), finding.code.as_str())).or_insert(0_u64) += 1;
    }
    let mut samples = page.family(&FINDINGS);
    for ((severity, code), count) in counts {
        samples.put(&[severity, code], float(count));
    }
    page.single(&EVENTS_LOST, float(events_lost));
    page.family(&TURNS).histogram(&status.turns);
    page.single(&LONGEST_TURN, status.longest_turn_ms / 1000.0);
}

/// As the usual exporter for keepalived has them.
fn scripts(page: &mut Page, status: &Status) {
    let mut samples = page.family(&SCRIPT_STATUS);
    for script in &status.scripts {
        samples.put(&[&script.name], flag(script.state == "good"));
    }
    let mut samples = page.family(&SCRIPT_STATE);
    for script in &status.scripts {
        samples.put(&[&script.name], flag(script.running));
    }
}

fn trackers(page: &mut Page, status: &Status) {
    let scripts = status
        .scripts
        .iter()
        .map(|script| (["script", &script.name], script.state.as_str(), script.runs, script.failures));
    let others = status.trackers.iter().map(|tracker| {
        ([tracker.kind.as_str(), &tracker.name], tracker.state.as_str(), tracker.runs, tracker.failures)
    });
    let all: Vec<_> = scripts.chain(others).collect();
    let mut samples = page.family(&TRACKER_GOOD);
    for (labels, state, ..) in &all {
        match *state {
            "good" => samples.put(labels, 1.0),
            "bad" => samples.put(labels, 0.0),
            _ => {}
        }
    }
    let mut samples = page.family(&TRACKER_VALUE);
    for tracker in &status.trackers {
        if let Some(value) = tracker.value {
            samples.put(&[&tracker.kind, &tracker.name], f64::from(value));
        }
    }
    let runs = |kind: &str| matches!(kind, "script" | "check");
    let mut samples = page.family(&TRACKER_RUNS);
    for (labels, _, count, _) in all.iter().filter(|(labels, ..)| runs(labels[0])) {
        samples.put(labels, float(*count));
    }
    let mut samples = page.family(&TRACKER_FAILURES);
    for (labels, .., count) in all.iter().filter(|(labels, ..)| runs(labels[0])) {
        samples.put(labels, float(*count));
    }
}

fn flag(is: bool) -> f64 {
    f64::from(u8::from(is))
}

/// Seconds since 1970.
fn ago(now: SystemTime, ms: u64) -> f64 {
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    since.saturating_sub(Duration::from_millis(ms)).as_secs_f64()
}

//! What can be wrong with the host, whichever virtual routers it has.

use super::finding;
use crate::control::protocol::{
    Finding, InterfaceStatus, PeerStatus, ScriptStatus, Severity, Status, TrackerStatus,
};
use crate::lost;

/// For a script or check to run for the first time.
const FIRST_RUN_MS: u64 = 10_000;

/// Everything, in the order in which it is told.
pub(super) fn findings(status: &Status) -> Vec<Finding> {
    let mut found = Vec::new();
    if status.instances.is_empty() {
        let advice = "look at the file with `xvrrp check`";
        found.push(warning("no_instances", "", "no instance runs".to_owned(), advice));
    }
    for interface in &status.interfaces {
        found.extend(lost(interface));
        found.extend(improvable(interface));
        found.extend(interface.fence.as_ref().and_then(|fence| closed(interface, &fence.now)));
        found.extend(interface.peers.iter().filter_map(|peer| paused(interface, peer)));
    }
    let settled = status.started_ms_ago >= FIRST_RUN_MS;
    found.extend(status.scripts.iter().filter_map(|script| script_finding(script, settled)));
    found.extend(status.trackers.iter().filter_map(|tracker| tracker_finding(tracker, settled)));
    let rest = status.warnings.iter().filter(|text| !is_told(text, &status.interfaces));
    found.extend(rest.map(|text| {
        warning("warning", "", text.clone(), "the sentence says what to do; `xvrrp doctor` has more")
    }));
    found
}

fn warning(code: &str, subject: &str, message: String, advice: &str) -> Finding {
    finding(Severity::Warning, code, subject, message, advice)
}

/// What the host does not give: one finding for each word.
fn lost(interface: &InterfaceStatus) -> impl Iterator<Item = Finding> {
    interface.lost.iter().filter_map(|word| {
        let code = match word.as_str() {
            "fast_failover" => "no_fast_failover",
            "fence" | "fence_after_death" => "no_fence",
            // Where it matters, native mode is refused, and that is said.
            _ => return None,
        };
        let why = if interface.xdp_reason.is_empty() { "" } else { &interface.xdp_reason };
        let message = [lost::text_of(word), why].into_iter().filter(|part| !part.is_empty());
        let message = message.collect::<Vec<_>>().join(": ");
        Some(warning(code, &interface.name, message, "`xvrrp doctor` says what the host could have"))
    })
}

/// Whether a warning of the daemon says what the list of what is lost says.
fn is_told(text: &str, interfaces: &[InterfaceStatus]) -> bool {
    interfaces.iter().any(|interface| {
        let words: Vec<_> = interface.lost.iter().map(|word| lost::text_of(word)).collect();
        !words.is_empty() && text.ends_with(&format!(": {}", words.join(", ")))
    })
}

fn improvable(interface: &InterfaceStatus) -> Option<Finding> {
    interface.improvable.then(|| {
        let message = format!("adverts are read in {} mode: {}", interface.xdp, interface.xdp_reason);
        warning("xdp_mode", &interface.name, message, "the sentence says what is in the way of a better one")
    })
}

fn closed(interface: &InterfaceStatus, now: &str) -> Option<Finding> {
    ["closed", "superseded"].contains(&now).then(|| {
        let message = format!("the fence is {now}: addresses of this node are not answered");
        let advice =
            "it opens by itself within a moment; where it does not, the daemon is frozen now and then";
        warning("fence_closed", &interface.name, message, advice)
    })
}

fn paused(interface: &InterfaceStatus, peer: &PeerStatus) -> Option<Finding> {
    let ms = peer.paused_ms?;
    let message = format!(
        "fast failover for {} is paused for {:.0?}, after {} wrong of {} verdicts",
        peer.address,
        std::time::Duration::from_secs(ms.div_ceil(1000)),
        peer.wrong,
        peer.verdicts
    );
    let advice = "the network stalls for longer than fast_window: find out why, or widen it";
    Some(warning("fast_failover_paused", &interface.name, message, advice))
}

fn script_finding(script: &ScriptStatus, settled: bool) -> Option<Finding> {
    let last = script.last_result.as_deref().unwrap_or("no result yet");
    let (code, message) = match script.state.as_str() {
        "disabled" => ("script_disabled", format!("is not run: {last}")),
        "bad" => ("script_bad", format!("fails: {last}")),
        _ if script.runs == 0 && settled && script.last_run_ms_ago.is_none() => {
            let running = if script.running { ": its first run goes on" } else { "" };
            ("script_not_run", format!("has never ended{running}"))
        }
        _ => return None,
    };
    let advice = "run it by hand as the user of script_user; the log has its output";
    Some(warning(code, &format!("script {}", script.name), message, advice))
}

fn tracker_finding(tracker: &TrackerStatus, settled: bool) -> Option<Finding> {
    let (code, verb) = match tracker.state.as_str() {
        "disabled" => ("tracker_disabled", "is not watched"),
        "bad" => ("tracker_bad", "is not well"),
        "pending" if settled => ("tracker_pending", "has no result yet"),
        _ => return None,
    };
    let detail = if tracker.detail.is_empty() { String::new() } else { format!(": {}", tracker.detail) };
    let subject = format!("{} {}", tracker.kind, tracker.name);
    Some(warning(
        code,
        &subject,
        format!("{verb}{detail}"),
        "look at what is tracked; the instance counts it",
    ))
}

//! The page of `xvrrp status`.

use std::fmt::Write as _;

use crate::control::protocol::{
    CompetitorStatus, GroupStatus, HmacStatus, InstanceStats, InstanceStatus, InterfaceStatus, PeerStatus,
    PriorityStatus, ScriptStatus, StandbyRouter, Status, TrackerStatus,
};
use crate::findings::age;

/// The whole page.
pub(super) fn render(status: &Status) -> String {
    let mut out = String::new();
    let age = span(status.started_ms_ago);
    let _ = writeln!(out, "xvrrp {}, pid {}, up {age}, {}", status.version, status.pid, status.config);
    // A daemon of another version does not say.
    if status.longest_turn_ms > 0.0 {
        let ago = span(status.longest_turn_ms_ago);
        let _ = writeln!(out, "longest turn of the main loop: {:.1} ms, {ago} ago", status.longest_turn_ms);
    }
    let _ = writeln!(out, "\n{}", table(&overview(status)).trim_end());
    for instance in &status.instances {
        out.push('\n');
        out.push_str(&details(instance));
    }
    for group in &status.groups {
        out.push('\n');
        out.push_str(&sync_group(group));
    }
    if !status.interfaces.is_empty() {
        let mut rows = vec![row(["INTERFACE", "INDEX", "LINK", "XDP", ""])];
        rows.extend(status.interfaces.iter().map(|interface| {
            let index = if interface.index == 0 { "-".to_owned() } else { interface.index.to_string() };
            let link = if interface.up { "up" } else { "down" };
            row([&interface.name, &index, link, &interface.xdp, &interface.xdp_reason])
        }));
        let _ = write!(out, "\n{}", table(&rows));
        out.push_str(&fast(&status.interfaces));
    }
    if !status.scripts.is_empty() {
        let mut rows = vec![row(["SCRIPT", "STATE", "RUNS", "FAILED", "LAST"])];
        rows.extend(status.scripts.iter().map(script));
        let _ = write!(out, "\n{}", table(&rows));
    }
    if !status.trackers.is_empty() {
        let mut rows = vec![row(["TRACKED", "NAME", "STATE", "SINCE", "RUNS", "FAILED", ""])];
        rows.extend(status.trackers.iter().map(tracker));
        let _ = write!(out, "\n{}", table(&rows));
    }
    if !status.warnings.is_empty() {
        out.push_str("\nwarnings\n");
        for warning in &status.warnings {
            let _ = writeln!(out, "  {warning}");
        }
    }
    out
}

/// Fences and probed routers.
fn fast(interfaces: &[InterfaceStatus]) -> String {
    let mut out = String::new();
    for interface in interfaces {
        if let Some(fence) = &interface.fence {
            let lease =
                fence.lease_left_ms.map_or("no lease".to_owned(), |left| format!("lease {left:.0} ms"));
            let ago = |ms: f64| format!("probed {ms:.1} ms ago");
            let probed = fence.probed_ms_ago.map_or("never probed".to_owned(), ago);
            // A daemon of another version does not say.
            let now = if fence.now.is_empty() { String::new() } else { format!(", {}", fence.now) };
            let _ = writeln!(out, "\nfence of {}: {}{now}, {lease}, {probed}", interface.name, fence.state);
        }
        for peer in &interface.peers {
            let last =
                peer.last_reply_ms_ago.map_or(String::new(), |ago| format!(", last reply {ago:.1} ms ago"));
            let _ = writeln!(out, "\npeer {} on {}: {}{last}", peer.address, interface.name, liveness(peer));
            let _ = writeln!(
                out,
                "  probes    {} sent, {} answered; verdicts {}, of them wrong {}",
                peer.sent, peer.answered, peer.verdicts, peer.wrong
            );
            let _ = writeln!(
                out,
                "  rtt       {:.0} us median, {:.0} us p99, {:.0} us max",
                peer.rtt_median_us, peer.rtt_p99_us, peer.rtt_max_us
            );
            let _ = writeln!(
                out,
                "  sent late {:.0} us median, {:.0} us p99, {:.0} us max; above 1 ms {} times",
                peer.late_median_us, peer.late_p99_us, peer.late_max_us, peer.stalls
            );
            let _ = writeln!(out, "  window    {}", window(peer));
        }
    }
    out
}

/// The window in force, and why it is that.
fn window(peer: &PeerStatus) -> String {
    let PeerStatus { window_ms, window_most_ms, longest_silence_ms, learning_ms, .. } = peer;
    if peer.window_fixed {
        return format!("{window_ms:.1} ms, fixed");
    }
    let learning = match learning_ms {
        0 => String::new(),
        ms => format!("; learns for {} more", span(*ms)),
    };
    format!("{window_ms:.1} ms of {window_most_ms:.1}; longest hiccup {longest_silence_ms:.2} ms{learning}")
}

/// How the death of a peer would be noticed.
pub(super) fn liveness(peer: &PeerStatus) -> String {
    match (&peer.verdict, peer.paused_ms) {
        (_, Some(ms)) => format!("RFC timers for {}, after a wrong verdict", span(ms)),
        (Some(verdict), None) => verdict.clone(),
        (None, None) if peer.apart => "RFC timers, it has fast_failover off".to_owned(),
        (None, None) if peer.fast && peer.user_space => "fast, answers from user space".to_owned(),
        (None, None) if peer.fast => "fast".to_owned(),
        (None, None) if peer.answered == 0 => "RFC timers, answers no probes".to_owned(),
        (None, None) => "not our master".to_owned(),
    }
}

/// One line per instance.
pub(super) fn overview(status: &Status) -> Vec<Vec<String>> {
    let mut rows = vec![row(["INSTANCE", "STATE", "SINCE", "PRIO", "MASTER", "ADVERT", "VIP"])];
    for instance in &status.instances {
        let (master, age) = match (&instance.master, instance.state.as_str()) {
            (_, "MASTER") => ("this host".to_owned(), "-".to_owned()),
            (Some(master), _) => (master.address.clone(), format!("{:.1} ms", master.last_advert_age_ms)),
            (None, _) => ("-".to_owned(), "-".to_owned()),
        };
        let vip = match instance.vips.as_slice() {
            [] => "-".to_owned(),
            [vip] => vip.clone(),
            [vip, more @ ..] => format!("{vip} +{}", more.len()),
        };
        let prio = instance.priority.effective.to_string();
        rows.push(row([
            &instance.name,
            &instance.state,
            &span(instance.since_ms),
            &prio,
            &master,
            &age,
            &vip,
        ]));
    }
    rows
}

/// What does not fit into one line.
fn details(instance: &InstanceStatus) -> String {
    let mut out = String::new();
    let _ = writeln!(
        out,
        "{}: VRRPv{} {} vrid {} on {}, receives by {}",
        instance.name,
        instance.vrrp_version,
        instance.family,
        instance.vrid,
        instance.interface,
        instance.receive
    );
    let mut line = |name: &str, text: &str| {
        let _ = writeln!(out, "  {name:<9} {text}");
    };
    line("state", &format!("{} for {}: {}", instance.state, span(instance.since_ms), instance.reason));
    if !instance.since.is_empty() {
        line("since", &instance.since);
    }
    line("priority", &priority(&instance.priority));
    if let Some(hold) = &instance.hold {
        line(
            "held",
            &format!("{} by the operator for {}, until {}", hold.kind, span(hold.left_ms), hold.until),
        );
    }
    for fault in &instance.fault {
        line("fault", fault);
    }
    match instance.hot_standby.as_deref() {
        Some("standby") => line("addresses", "here, behind the fence (hot_standby)"),
        Some("impossible") => line("addresses", "not here: no hot standby, see the warnings"),
        _ => {}
    }
    if let Some(master) = &instance.master {
        line(
            "master",
            &format!(
                "{} priority {}, adverts every {} ms, last {:.1} ms ago",
                master.address, master.priority, master.interval_ms, master.last_advert_age_ms
            ),
        );
    }
    for other in instance.competing.iter().filter(|other| other.problem != "accepted") {
        line("rejects", &rejected(other));
    }
    for standby in standby(instance) {
        line("standby", &standby);
    }
    if let Some(hmac) = &instance.hmac {
        line("auth_hmac", &authentication(hmac, &instance.stats));
    }
    for (index, vip) in instance.vips.iter().enumerate() {
        line(if index == 0 { "vips" } else { "" }, vip);
    }
    let stats = &instance.stats;
    line(
        "adverts",
        &format!(
            "{} received, {} sent; became master {}, gave it up {}",
            stats.advert_rcvd,
            stats.advert_sent,
            times(stats.become_master),
            times(stats.release_master)
        ),
    );
    out
}

/// `172.16.1.2 priority 99: auth_failure, 3 adverts, last 0.4 s ago`.
fn rejected(other: &CompetitorStatus) -> String {
    let CompetitorStatus { address, priority, problem, count, last_ms_ago, .. } = other;
    let ago = age(*last_ms_ago);
    format!("{address} priority {priority}: {problem}, {count} adverts, last {ago} ago")
}

/// Who would take over, a line for each.
fn standby(instance: &InstanceStatus) -> Vec<String> {
    let Some(standby) = &instance.standby else { return Vec::new() };
    match standby.state.as_str() {
        "ready" => standby
            .routers
            .iter()
            .map(|router| {
                let StandbyRouter { address, priority, probed_ms_ago, .. } = router;
                format!("{address} priority {priority}, probed {probed_ms_ago:.1} ms ago")
            })
            .collect(),
        "none" => {
            let since = standby.since.as_deref().unwrap_or("the start");
            vec![format!("nobody since {since}")]
        }
        _ => vec!["unknown: RFC backups do not speak".to_owned()],
    }
}

/// `enforce, signs with key 2 of 1, 2; window 5 s; refused 3 (2 replay, 1 stale)`.
pub(super) fn authentication(hmac: &HmacStatus, stats: &InstanceStats) -> String {
    let keys: Vec<_> = hmac.keys.iter().map(u8::to_string).collect();
    let signs = if hmac.mode == "receive-only" { "would sign" } else { "signs" };
    let mut out = format!("{}, {signs} with key {} of {}", hmac.mode, hmac.active_key, keys.join(", "));
    match hmac.time_window_s {
        Some(window) => _ = write!(out, "; window {window} s"),
        None => _ = write!(out, "; {}", hmac.anti_replay),
    }
    let refused = [
        (stats.auth_ext_missing, "missing"),
        (stats.auth_ext_malformed, "malformed"),
        (stats.auth_ext_unknown_key, "unknown key"),
        (stats.auth_ext_invalid_hmac, "invalid HMAC"),
        (stats.auth_ext_stale, "stale"),
        (stats.auth_ext_replay, "replay"),
    ];
    let _ = write!(out, "; refused {}", refused.iter().map(|(count, _)| count).sum::<u64>());
    let reasons: Vec<_> =
        refused.iter().filter(|(count, _)| *count > 0).map(|(count, why)| format!("{count} {why}")).collect();
    if !reasons.is_empty() {
        let _ = write!(out, " ({})", reasons.join(", "));
    }
    if hmac.unsigned > 0 {
        let _ = write!(out, "; accepted unsigned {}", hmac.unsigned);
    }
    out
}

/// A sync group: its members with their states, and what holds it.
fn sync_group(group: &GroupStatus) -> String {
    let mut out = format!("sync group {}: {}\n", group.name, group.state);
    for (index, member) in group.members.iter().enumerate() {
        let label = if index == 0 { "members" } else { "" };
        let _ = writeln!(out, "  {label:<9} {} {}", member.name, member.state);
    }
    for fault in &group.fault {
        let _ = writeln!(out, "  {:<9} {fault}", "fault");
    }
    out
}

fn times(count: u64) -> String {
    if count == 1 { "once".to_owned() } else { format!("{count} times") }
}

/// `105 = 100 configured, +5 script web`.
fn priority(priority: &PriorityStatus) -> String {
    let mut out = priority.effective.to_string();
    if !priority.changes.is_empty() {
        let _ = write!(out, " = {} configured", priority.configured);
        for change in &priority.changes {
            let _ = write!(out, ", {:+} {}", change.weight, change.by);
        }
    }
    out
}

fn script(script: &ScriptStatus) -> Vec<String> {
    let mut last = script.last_result.clone().unwrap_or_else(|| "not run yet".to_owned());
    if let (Some(took), Some(ago)) = (script.last_duration_ms, script.last_run_ms_ago) {
        let _ = write!(last, ", took {took} ms, {} ago", span(ago));
    }
    row([&script.name, &script.state, &script.runs.to_string(), &script.failures.to_string(), &last])
}

fn tracker(tracker: &TrackerStatus) -> Vec<String> {
    let counted = |count: u64| if tracker.kind == "check" { count.to_string() } else { "-".to_owned() };
    // How long an interface has been what it is, nobody counts.
    let since = if tracker.kind == "interface" { "-".to_owned() } else { span(tracker.since_ms) };
    let mut detail = tracker.detail.clone();
    if let (Some(took), Some(ago)) = (tracker.last_duration_ms, tracker.last_run_ms_ago) {
        let _ = write!(detail, ", took {took} ms, {} ago", span(ago));
    }
    let (runs, failures) = (counted(tracker.runs), counted(tracker.failures));
    row([&tracker.kind, &tracker.name, &tracker.state, &since, &runs, &failures, &detail])
}

pub(super) fn row<const N: usize>(cells: [&str; N]) -> Vec<String> {
    cells.map(str::to_owned).to_vec()
}

/// Aligns columns. The last one is not padded.
pub(in crate::cli) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut out = String::new();
    for row in rows {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        out.push_str(cells.join("  ").trim_end());
        out.push('\n');
    }
    out
}

/// A length of time in at most two units.
pub(super) fn span(ms: u64) -> String {
    let s = ms / 1000;
    match s {
        0 => format!("{ms} ms"),
        1..=59 => format!("{}.{} s", s, ms % 1000 / 100),
        60..=3599 => format!("{}m{:02}s", s / 60, s % 60),
        3600..=86_399 => format!("{}h{:02}m", s / 3600, s % 3600 / 60),
        _ => format!("{}d{:02}h", s / 86_400, s % 86_400 / 3600),
    }
}

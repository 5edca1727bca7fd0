//! Weights that cannot change the master, with numbers.
//!
//! One file says what this router's priority can be, not what its peers' are. So the finding says which priority
//! a peer must have for the tracker to decide anything.

use ha_common::types::Priority;

use crate::config::codes;
use crate::config::diag::{Diagnostic, Diagnostics, Severity};
use crate::config::model::{Config, Instance, Track, Weight};
use crate::config::outline::Outline;
use crate::config::source::Span;

/// One tracker of an instance.
#[derive(Debug)]
pub(super) struct Tracker<'a> {
    /// What it tracks: `script`, `interface`.
    pub(super) kind: &'static str,
    /// Its name.
    pub(super) name: &'a str,
    /// Its weight, not zero.
    pub(super) weight: Weight,
    /// The line in the instance.
    pub(super) span: Span,
    /// The `weight` line in the tracked thing's own block.
    weight_span: Option<Span>,
}

/// The trackers of an instance that have a weight, in the order of the model.
pub(super) fn trackers<'a>(instance: &'a Instance, outline: &Outline) -> Vec<Tracker<'a>> {
    let name = &instance.name;
    let Some(block) = outline.block_span("vrrp_instance", name) else { return Vec::new() };
    let scripts = instance.track_scripts.iter();
    let interfaces = instance.track_interfaces.iter();
    let named = |kind: &'static str, own: &'static str, list: &'a [Track]| {
        list.iter().map(move |track| (kind, own, track.name.as_str(), track.weight))
    };
    scripts
        .map(|track| ("script", "vrrp_script", track.script.as_str(), track.weight))
        .chain(interfaces.map(|track| ("interface", "", track.interface.as_str(), track.weight)))
        .chain(named("check", "vrrp_check", &instance.track_checks))
        .chain(named("process", "vrrp_track_process", &instance.track_processes))
        .chain(named("bfd", "bfd_instance", &instance.track_bfd))
        .filter(|(.., weight)| weight.value != 0)
        .map(|(kind, own, tracked, weight)| Tracker {
            kind,
            name: tracked,
            weight,
            // A check may also stand among the scripts.
            span: [format!("track_{kind}"), "track_script".to_owned()]
                .iter()
                .find_map(|inside| outline.inner("vrrp_instance", name, inside, tracked))
                .unwrap_or(block),
            weight_span: outline.line(own, tracked, "weight"),
        })
        .collect()
}

/// Whether the weights of an instance's own trackers count: in a sync group they do not, unless it says so.
pub(super) fn count(config: &Config, instance: &Instance) -> bool {
    let without = config.sync_groups.iter().filter(|group| !group.tracking_weight);
    !without.flat_map(|group| &group.members).any(|member| *member == instance.name)
}

/// Weights smaller than this hardly ever change the master: priorities are usually 1, 10 or 50 apart
/// (keepalived.conf(5) recommends 50).
const USUAL_GAP: u8 = 10;

/// Priority while the tracked thing is good, and while it is bad, all other trackers being good.
fn range(base: Priority, weight: Weight, others: i32) -> (u8, u8) {
    let value = i32::from(weight.value);
    let (mut good, mut bad) = (value.max(0), value.min(0));
    if weight.reverse {
        (good, bad) = (bad, good);
    }
    (base.weighted(others + good).get(), base.weighted(others + bad).get())
}

/// What all trackers add while everything is good.
pub(super) fn gains(trackers: &[Tracker<'_>]) -> i32 {
    trackers.iter().map(|tracker| gain(tracker.weight)).sum()
}

fn gain(weight: Weight) -> i32 {
    i32::from(weight.value).max(0) * i32::from(!weight.reverse)
}

/// Priority while the tracked thing is good, and while it is bad, all others being good.
pub(super) fn good_and_bad(instance: &Instance, tracker: &Tracker<'_>, total: i32) -> (u8, u8) {
    range(instance.priority, tracker.weight, total - gain(tracker.weight))
}

/// Report trackers whose weight cannot change the master, or only against a peer of one particular priority.
pub(super) fn check(instance: &Instance, outline: &Outline, diags: &mut Diagnostics) {
    let base = instance.priority;
    let trackers = trackers(instance, outline);
    let total = gains(&trackers);
    for tracker in &trackers {
        let (good, bad) = good_and_bad(instance, tracker, total);
        let (high, low) = (good.max(bad), good.min(bad));
        let weight = tracker.weight.value;
        let what = format!("{} `{}`", tracker.kind, tracker.name);
        if high == low {
            let why = if base == Priority::OWNER {
                "priority 255 never changes".to_owned()
            } else {
                format!("the priority is {high} either way: it stays within 1 to 254")
            };
            let message = format!("{what} with weight {weight} can never change the master");
            let help = "choose a priority with room for the weight".to_owned();
            // keepalived complains about this one too.
            let severity = if base == Priority::OWNER { Severity::Warning } else { Severity::Note };
            push(severity, tracker, message, why, help, diags);
            continue;
        }
        // What a tracker cannot do with the others good is said; a large weight is what the manual recommends.
        if high - low >= USUAL_GAP {
            continue;
        }
        let message = match never(weight, low, high) {
            Some(peer) => format!(
                "{what} with weight {weight} can never hand `{}` to a peer of priority {peer} or less",
                instance.name
            ),
            None => {
                format!("{what} with weight {weight} can hardly change the master of `{}`", instance.name)
            }
        };
        let why = format!("the priority is {good} while it succeeds and {bad} while it fails");
        push(Severity::Note, tracker, message, why, help(instance, weight, low, high), diags);
    }
}

/// The highest priority of a peer, its own check good, that stays below this router even while the check here fails.
///
/// The peer is taken to have the same file but for its priority, so a positive weight lifts it as well. Equal is not
/// enough: a backup does not take over from a master of its own priority (RFC 9568 section 6.4.2).
fn never(weight: i16, low: u8, high: u8) -> Option<u8> {
    let lift = if weight > 0 { high - low } else { 0 };
    low.checked_sub(lift).filter(|peer| *peer > 0)
}

/// Which peers the tracker can decide against, and what to write.
fn help(instance: &Instance, weight: i16, low: u8, high: u8) -> String {
    let peer = match never(weight, low, high) {
        Some(never) if weight > 0 => {
            let (least, step) = (u16::from(never) + 1, u16::from(high - low));
            let usual = least.saturating_sub(9).max(1);
            format!(
                "a peer with the same check, itself good, takes over only if its priority is {least} or more \
                 ({least} + {step} = {} > {low}); one of priority {usual} reaches {} and never does",
                least + step,
                usual + step,
            )
        }
        _ => format!("a peer takes over only if its priority is {} or more", u16::from(low) + 1),
    };
    format!(
        "{peer}. Use a weight larger than the difference of the priorities, \
         or no weight: then a failure puts `{}` into FAULT and any backup takes over",
        instance.name
    )
}

fn push(
    severity: Severity,
    tracker: &Tracker<'_>,
    message: String,
    label: String,
    help: String,
    diags: &mut Diagnostics,
) {
    let code = codes::WEIGHT_CANNOT_DECIDE;
    let mut finding = Diagnostic::new(severity, code, tracker.span, message).label(label).help(help);
    if let Some(span) = tracker.weight_span {
        finding = finding.related(span, "the weight stands at");
    }
    diags.push(finding);
}

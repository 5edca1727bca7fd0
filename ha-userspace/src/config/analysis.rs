//! Weights that cannot change the master, with numbers.
//!
//! One file says what this router's priority can be, not what its peers' are. So the finding says which priority
//! a peer must have for the tracker to decide anything.

use super::codes;
use super::diag::{Diagnostic, Diagnostics, Severity};
use super::model::{Instance, Weight};
use super::source::Span;
use ha_common::types::Priority;

/// One tracker of an instance.
#[derive(Debug)]
pub(super) struct Tracker<'a> {
    pub(super) kind: &'static str,
    pub(super) name: &'a str,
    pub(super) weight: Weight,
    pub(super) span: Span,
    /// The `weight` line in the script's own block.
    pub(super) weight_span: Option<Span>,
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

/// Report trackers whose weight cannot change the master, or only against a peer of one particular priority.
pub(super) fn weights(instance: &Instance, trackers: &[Tracker<'_>], diags: &mut Diagnostics) {
    let base = instance.priority;
    let weighted = || trackers.iter().filter(|tracker| tracker.weight.value != 0);
    let gain = |weight: Weight| i32::from(weight.value).max(0) * i32::from(!weight.reverse);
    let total: i32 = weighted().map(|tracker| gain(tracker.weight)).sum();
    for tracker in weighted() {
        let others = total - gain(tracker.weight);
        let (good, bad) = range(base, tracker.weight, others);
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
    cause: String,
    help: String,
    diags: &mut Diagnostics,
) {
    let code = codes::WEIGHT_CANNOT_DECIDE;
    let mut finding = Diagnostic::new(severity, code, tracker.span, message).cause(cause).help(help);
    if let Some(span) = tracker.weight_span {
        finding = finding.related(span, "the weight stands at");
    }
    diags.push(finding);
}

//! From trackers to a priority: pure, called by the runtime whenever a tracked thing changes.
//!
//! A weight works as in keepalived (keepalived.conf(5) and 2.2.7, observed): positive, it is added while the thing
//! is good; negative, it is subtracted while the thing is bad; `reverse` turns the sign of what is added, so
//! `weight 10 reverse` takes 10 away while the thing is *good*. Weight 0 means FAULT while the thing is bad, or,
//! with `reverse`, while it is good. A script that has not answered yet adds nothing, and with weight 0 is a FAULT.

use ha_common::types::Priority;

use super::ScriptState;
use crate::config::model::{TrackInterface, TrackScript, Weight};

/// A tracker that changes a priority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// `script NAME` or `interface NAME`.
    pub by: String,
    /// What it adds now, never zero.
    pub weight: i32,
}

/// What trackers make of a configured priority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effective {
    /// The priority to advertise.
    pub priority: Priority,
    /// Trackers that change it, in file order; they are listed for the owner (255) too, where they have no effect.
    pub changes: Vec<Change>,
    /// What holds the instance in FAULT, as sentences; `None` where nothing does.
    pub fault: Option<Vec<String>>,
}

/// What is known of a tracked thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    Good,
    Bad,
    Unknown,
    Ignored,
}

/// Applies trackers to a configured priority.
///
/// `script_state` and `interface_up` are asked once for each tracker. The instance's own interface is among the
/// trackers only where the file says so; `track_primary` is the caller's business.
pub fn effective(
    configured: Priority,
    scripts: &[TrackScript],
    interfaces: &[TrackInterface],
    mut script_state: impl FnMut(&str) -> ScriptState,
    mut interface_up: impl FnMut(&str) -> bool,
) -> Effective {
    let mut changes = Vec::new();
    let mut fault = Vec::new();
    for tracker in scripts {
        let seen = match script_state(&tracker.script) {
            ScriptState::Good => Seen::Good,
            ScriptState::Bad => Seen::Bad,
            ScriptState::Pending => Seen::Unknown,
            ScriptState::Disabled => Seen::Ignored,
        };
        let words = ("succeeds, and is tracked in reverse", "fails", "has not answered yet");
        add(&mut changes, &mut fault, &format!("script {}", tracker.script), tracker.weight, seen, words);
    }
    for tracker in interfaces {
        let seen = if interface_up(&tracker.interface) { Seen::Good } else { Seen::Bad };
        let words = ("is up, and is tracked in reverse", "is down", "is unknown");
        add(
            &mut changes,
            &mut fault,
            &format!("interface {}", tracker.interface),
            tracker.weight,
            seen,
            words,
        );
    }
    let sum = changes.iter().fold(0_i32, |sum, change: &Change| sum.saturating_add(change.weight));
    Effective { priority: configured.weighted(sum), changes, fault: (!fault.is_empty()).then_some(fault) }
}

/// Adds one tracker. `words` describe it good, bad and unknown.
fn add(
    changes: &mut Vec<Change>,
    fault: &mut Vec<String>,
    by: &str,
    weight: Weight,
    seen: Seen,
    words: (&str, &str, &str),
) {
    if weight.value == 0 {
        let word = match (seen, weight.reverse) {
            (Seen::Good, true) => words.0,
            (Seen::Bad, false) => words.1,
            (Seen::Unknown, _) => words.2,
            (Seen::Good, false) | (Seen::Bad, true) | (Seen::Ignored, _) => return,
        };
        fault.push(format!("{by} {word}"));
        return;
    }
    let applies = match seen {
        Seen::Good => weight.value > 0,
        Seen::Bad => weight.value < 0,
        Seen::Unknown | Seen::Ignored => false,
    };
    if applies {
        let value = i32::from(weight.value);
        changes.push(Change { by: by.to_owned(), weight: if weight.reverse { -value } else { value } });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn priority(value: u8) -> Priority {
        Priority::new(value).expect("not zero")
    }

    fn script(name: &str, value: i16, reverse: bool) -> TrackScript {
        TrackScript { script: name.to_owned(), weight: Weight { value, reverse } }
    }

    /// Effective priority and number of faults with one script in one state.
    fn one(base: u8, value: i16, reverse: bool, state: ScriptState) -> (u8, usize) {
        let result = effective(priority(base), &[script("s", value, reverse)], &[], |_| state, |_| true);
        (result.priority.get(), result.fault.map_or(0, |list| list.len()))
    }

    #[test]
    fn weights_work_as_keepalived_2_2_7_was_seen_to() {
        use ScriptState::{Bad, Disabled, Good, Pending};
        let table = [
            (10, false, Good, (110, 0)),
            (10, false, Bad, (100, 0)),
            (10, true, Good, (90, 0)),
            (10, true, Bad, (100, 0)),
            (-10, false, Good, (100, 0)),
            (-10, false, Bad, (90, 0)),
            (-10, true, Good, (100, 0)),
            (-10, true, Bad, (110, 0)),
            (0, false, Good, (100, 0)),
            (0, false, Bad, (100, 1)),
            (0, true, Good, (100, 1)),
            (0, true, Bad, (100, 0)),
            (10, false, Pending, (100, 0)),
            (-10, false, Pending, (100, 0)),
            (0, false, Pending, (100, 1)),
            (0, true, Pending, (100, 1)),
            (10, false, Disabled, (100, 0)),
            (-10, false, Disabled, (100, 0)),
            (0, false, Disabled, (100, 0)),
        ];
        for (value, reverse, state, expected) in table {
            assert_eq!(
                one(100, value, reverse, state),
                expected,
                "weight {value} reverse {reverse} {state:?}"
            );
        }
    }

    #[test]
    fn s27_weights_never_reach_or_leave_255() {
        assert_eq!(one(200, 253, false, ScriptState::Good).0, 254);
        assert_eq!(one(10, -253, false, ScriptState::Bad).0, 1);
        assert_eq!(one(255, -253, false, ScriptState::Bad).0, 255);
    }

    #[test]
    fn changes_and_faults_are_listed_in_file_order() {
        let scripts = [script("a", 5, false), script("b", 0, false), script("c", -7, false)];
        let interfaces = [
            TrackInterface { interface: "eth1".to_owned(), weight: Weight { value: -20, reverse: false } },
            TrackInterface { interface: "eth2".to_owned(), weight: Weight::default() },
        ];
        let state = |name: &str| if name == "a" { ScriptState::Good } else { ScriptState::Bad };
        let result = effective(priority(100), &scripts, &interfaces, state, |_| false);
        assert_eq!(result.priority.get(), 78);
        let listed: Vec<_> =
            result.changes.iter().map(|change| (change.by.as_str(), change.weight)).collect();
        assert_eq!(listed, [("script a", 5), ("script c", -7), ("interface eth1", -20)]);
        assert_eq!(result.fault.unwrap_or_default(), ["script b fails", "interface eth2 is down"]);
    }
}

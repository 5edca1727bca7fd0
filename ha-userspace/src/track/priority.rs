//! From trackers to a priority: pure, called by the runtime whenever a tracked thing changes.
//!
//! A weight works as in keepalived (keepalived.conf(5) and 2.2.7, observed): positive, it is added while the thing
//! is good; negative, it is subtracted while the thing is bad; `reverse` turns the sign of what is added, so
//! `weight 10 reverse` takes 10 away while the thing is *good*. Weight 0 means FAULT while the thing is bad, or,
//! with `reverse`, while it is good. A script that has not answered yet adds nothing, and with weight 0 is a FAULT.
//! All weights are added up; the sum is cut to 1..=254 at the end (2.2.7, observed).
//!
//! A file's value is multiplied by the weight. A product below -253 is a FAULT, one above 253 counts as 253; weight 0
//! means FAULT for every value but zero.

use ha_common::types::Priority;

use super::Seen;
use super::board::TrackerKind;
use crate::config::model::{FileWeight, Weight};

/// A tracker that changes a priority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// `interface NAME`, or the kind and name of what is watched.
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

/// A tracker and what is known of the thing that it tracks.
#[derive(Clone, Copy, Debug)]
pub struct Tracker<'a> {
    /// What the thing is.
    pub subject: Subject,
    /// Its name.
    pub name: &'a str,
    /// What it does to the priority.
    pub scale: Scale,
    /// What is known of it.
    pub seen: Seen,
}

impl Tracker<'_> {
    /// Whether it may hold its instance in FAULT: weight 0.
    #[must_use]
    pub const fn is_fatal(&self) -> bool {
        matches!(
            self.scale,
            Scale::Weight(Weight { value: 0, .. }) | Scale::Factor(FileWeight { value: 0, .. })
        )
    }
}

/// What a tracker tracks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// `track_interface`.
    Interface,
    /// Everything that is watched.
    Watched(TrackerKind),
}

impl Subject {
    /// The word before the name.
    const fn word(self) -> &'static str {
        match self {
            Self::Interface => "interface",
            Self::Watched(kind) => kind.word(),
        }
    }

    /// What it is said to do while it is good, bad and unknown.
    const fn words(self) -> [&'static str; 3] {
        match self {
            Self::Watched(TrackerKind::Script | TrackerKind::Check) => {
                ["succeeds", "fails", "has not answered yet"]
            }
            Self::Interface => ["is up", "is down", "is unknown"],
            Self::Watched(TrackerKind::Process) => {
                ["runs", "does not run as wanted", "has not been looked for yet"]
            }
            Self::Watched(TrackerKind::File) => ["is well", "is not well", "has not been read yet"],
            Self::Watched(TrackerKind::Bfd) => ["is up", "is down", "is not up yet"],
        }
    }
}

/// How what is known becomes a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// Good or bad counts.
    Weight(Weight),
    /// A file's value is multiplied.
    Factor(FileWeight),
}

/// Applies trackers to a configured priority.
///
/// The instance's own interface is among the trackers only where the file says so; `track_primary` is the caller's
/// business.
pub fn effective<'a>(configured: Priority, trackers: impl IntoIterator<Item = Tracker<'a>>) -> Effective {
    let mut changes: Vec<Change> = Vec::new();
    let mut fault = Vec::new();
    for tracker in trackers {
        let added = match (tracker.scale, tracker.seen) {
            (Scale::Weight(weight), seen) => weighted(weight, seen),
            (Scale::Factor(weight), Seen::Value(value)) => multiplied(weight, value),
            // A file of which nothing is known yet adds nothing, unlike a script: what is absent counts as zero.
            (Scale::Factor(_), _) => Added::Nothing,
        };
        let by = || format!("{} {}", tracker.subject.word(), tracker.name);
        let [good, bad, unknown] = tracker.subject.words();
        match added {
            Added::Nothing => {}
            Added::Weight(weight) => changes.push(Change { by: by(), weight }),
            Added::Fault => fault.push(match tracker.seen {
                Seen::Good => format!("{} {good}, and is tracked in reverse", by()),
                Seen::Value(value) => format!("{} contains {value}", by()),
                Seen::Pending => format!("{} {unknown}", by()),
                Seen::Absent => format!("{} does not exist", by()),
                Seen::Bad | Seen::Ignored => format!("{} {bad}", by()),
            }),
        }
    }
    let sum = changes.iter().fold(0_i32, |sum, change| sum.saturating_add(change.weight));
    Effective { priority: configured.weighted(sum), changes, fault: (!fault.is_empty()).then_some(fault) }
}

/// What one tracker does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Added {
    Nothing,
    /// Not zero.
    Weight(i32),
    Fault,
}

fn weighted(weight: Weight, seen: Seen) -> Added {
    let value = i32::from(weight.value);
    let good = match seen {
        Seen::Good => true,
        Seen::Bad | Seen::Absent => false,
        Seen::Pending if value == 0 => return Added::Fault,
        // A number says nothing of good or bad.
        Seen::Pending | Seen::Ignored | Seen::Value(_) => return Added::Nothing,
    };
    match value {
        0 if good == weight.reverse => Added::Fault,
        0 => Added::Nothing,
        _ if good == (value > 0) => Added::Weight(if weight.reverse { -value } else { value }),
        _ => Added::Nothing,
    }
}

/// Below this a file's product means FAULT (keepalived.conf(5), "Track files").
const LEAST_PRODUCT: i64 = -253;
/// No priority is so low that more than this could raise it further.
const MOST_PRODUCT: i64 = 253;

fn multiplied(weight: FileWeight, value: i32) -> Added {
    if weight.value == 0 {
        return if (value == 0) == weight.reverse { Added::Fault } else { Added::Nothing };
    }
    let product = i64::from(weight.value) * i64::from(value);
    let product = if weight.reverse { -product } else { product };
    if product < LEAST_PRODUCT {
        return Added::Fault;
    }
    match i32::try_from(product.min(MOST_PRODUCT)) {
        Ok(0) | Err(_) => Added::Nothing,
        Ok(product) => Added::Weight(product),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn priority(value: u8) -> Priority {
        Priority::new(value).expect("not zero")
    }

    fn tracker(subject: Subject, name: &str, value: i16, reverse: bool, seen: Seen) -> Tracker<'_> {
        Tracker { subject, name, scale: Scale::Weight(Weight { value, reverse }), seen }
    }

    /// Effective priority and number of faults with one script in one state.
    fn one(base: u8, value: i16, reverse: bool, seen: Seen) -> (u8, usize) {
        let result = effective(
            priority(base),
            [tracker(Subject::Watched(TrackerKind::Script), "s", value, reverse, seen)],
        );
        (result.priority.get(), result.fault.map_or(0, |list| list.len()))
    }

    /// The same with one file of a value.
    fn file(value: i32, factor: i32, reverse: bool) -> (u8, usize) {
        let scale = Scale::Factor(FileWeight { value: factor, reverse });
        let subject = Subject::Watched(TrackerKind::File);
        let tracker = Tracker { subject, name: "f", scale, seen: Seen::Value(value) };
        let result = effective(priority(100), [tracker]);
        (result.priority.get(), result.fault.map_or(0, |list| list.len()))
    }

    #[test]
    fn files_count_as_keepalived_2_2_7_was_seen_to_count_them() {
        let table = [
            (5, 1, false, (105, 0)),
            (-5, 1, false, (95, 0)),
            (300, 2, false, (254, 0)),
            (-254, 1, false, (100, 1)),
            (-253, 1, false, (1, 0)),
            (253, 1, false, (254, 0)),
            (1000, 1, false, (254, 0)),
            (0, 0, false, (100, 0)),
            (1, 0, false, (100, 1)),
            (-1, 0, false, (100, 1)),
            (7, 2, false, (114, 0)),
            (7, 2, true, (86, 0)),
            (7, 3, true, (79, 0)),
            (0, 0, true, (100, 1)),
            (1, 0, true, (100, 0)),
            (5, -1, false, (95, 0)),
            (300, -1, false, (100, 1)),
            (-300, -1, false, (254, 0)),
            (i32::MIN, i32::MAX, false, (100, 1)),
            (i32::MIN, i32::MIN, false, (254, 0)),
        ];
        for (value, factor, reverse, expected) in table {
            assert_eq!(file(value, factor, reverse), expected, "{value} × {factor} reverse {reverse}");
        }
    }

    #[test]
    fn weights_work_as_keepalived_2_2_7_was_seen_to() {
        use Seen::{Bad, Good, Ignored as Disabled, Pending};
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
        assert_eq!(one(200, 253, false, Seen::Good).0, 254);
        assert_eq!(one(10, -253, false, Seen::Bad).0, 1);
        assert_eq!(one(255, -253, false, Seen::Bad).0, 255);
    }

    #[test]
    fn changes_and_faults_are_listed_in_file_order() {
        use Subject::{Interface, Watched};
        let trackers = [
            tracker(Watched(TrackerKind::Script), "a", 5, false, Seen::Good),
            tracker(Watched(TrackerKind::Script), "b", 0, false, Seen::Bad),
            tracker(Watched(TrackerKind::Script), "c", -7, false, Seen::Bad),
            tracker(Watched(TrackerKind::Process), "d", 0, true, Seen::Good),
            tracker(Watched(TrackerKind::Bfd), "e", 0, false, Seen::Pending),
            tracker(Interface, "eth1", -20, false, Seen::Bad),
            tracker(Interface, "eth2", 0, false, Seen::Bad),
            tracker(Interface, "eth3", 0, false, Seen::Absent),
            tracker(Interface, "eth4", 0, true, Seen::Absent),
        ];
        let result = effective(priority(100), trackers);
        assert_eq!(result.priority.get(), 78);
        let listed: Vec<_> =
            result.changes.iter().map(|change| (change.by.as_str(), change.weight)).collect();
        assert_eq!(listed, [("script a", 5), ("script c", -7), ("interface eth1", -20)]);
        let faults = [
            "script b fails",
            "process d runs, and is tracked in reverse",
            "bfd e is not up yet",
            "interface eth2 is down",
            "interface eth3 does not exist",
        ];
        assert_eq!(result.fault.unwrap_or_default(), faults);
    }
}

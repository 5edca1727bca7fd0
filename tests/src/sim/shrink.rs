//! From a story that fails to the fewest faults that still make it fail.

use std::collections::BTreeSet;

use super::Failure;

/// Faults of a story by their numbers, in the order in which they would befall the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Spared(BTreeSet<u32>);

impl Spared {
    /// Whether the cluster is spared this one.
    pub(super) fn contains(&self, fault: u32) -> bool {
        self.0.contains(&fault)
    }
}

/// Attempts, at most: each is a whole story.
const ATTEMPTS: u32 = 400;

/// Leaves out faults, one after the other from the end, as long as the story still breaks the same invariant. `tell` tells
/// the story, and how many faults it had.
pub(super) fn shrink(failure: Failure, faults: u32, tell: impl Fn(&Spared) -> Option<Failure>) -> Failure {
    let (mut spared, mut smallest, mut attempts) = (Spared::default(), failure, 0);
    let mut progress = true;
    // What one fault needs another one for may have become needless once that one is gone.
    while std::mem::take(&mut progress) {
        for fault in (0..faults).rev() {
            if spared.contains(fault) || attempts == ATTEMPTS {
                continue;
            }
            attempts += 1;
            let mut fewer = spared.clone();
            fewer.0.insert(fault);
            if let Some(failure) = tell(&fewer)
                && failure.rule() == smallest.rule()
            {
                (spared, smallest, progress) = (fewer, failure, true);
            }
        }
    }
    let left = faults as usize - spared.0.len();
    smallest.what = format!("{} ({left} of {faults} faults are needed for it)", smallest.what);
    smallest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(what: &str) -> Failure {
        Failure { seed: 7, cluster: "groups", what: what.to_owned(), timeline: String::new() }
    }

    #[test]
    fn what_is_not_needed_is_left_out() {
        // The fifth and the third fault together break it; the ninth alone breaks something else.
        let tell = |spared: &Spared| {
            let there = |fault| !spared.contains(fault);
            if there(5) && there(3) {
                return Some(failure("38: no master"));
            }
            there(9).then(|| failure("36: addresses"))
        };
        let smallest = shrink(failure("38: two masters for 7 ms"), 12, tell);
        assert_eq!(smallest.what, "38: no master (2 of 12 faults are needed for it)");
    }
}

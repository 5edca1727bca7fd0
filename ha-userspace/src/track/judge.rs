//! Counting the results of a script or a check: rise and fall, no clock and no process.

use super::Seen;

/// Turns single results into a state.
///
/// The first result after the start decides alone, whatever `rise` and `fall` say: a router that has just started
/// knows nothing better. keepalived 2.2.7 does the same, also where `init_fail` makes the start bad.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judge {
    rise: u32,
    fall: u32,
    state: Seen,
    first: bool,
    /// Results in a row that contradict `state`.
    against: u32,
}

impl Judge {
    /// A judge that has seen nothing. A `rise` or `fall` of zero counts as one.
    #[must_use]
    pub fn new(rise: u32, fall: u32, init_fail: bool) -> Self {
        let state = if init_fail { Seen::Bad } else { Seen::Pending };
        Self { rise: rise.max(1), fall: fall.max(1), state, first: true, against: 0 }
    }

    /// A judge of something of which something is known already: that stays until the first result.
    ///
    /// A script that was disabled has no state to keep, and whatever its first result is, it is a change.
    #[must_use]
    pub fn inherit(self, known: Seen) -> Self {
        let state = match known {
            Seen::Good => Seen::Good,
            Seen::Bad | Seen::Absent => Seen::Bad,
            Seen::Ignored => Seen::Pending,
            Seen::Pending | Seen::Value(_) => self.state,
        };
        Self { state, ..self }
    }

    /// The state now: pending, good or bad.
    #[must_use]
    pub const fn state(&self) -> Seen {
        self.state
    }

    /// Takes the result of one run; `Some` where it changed the state.
    pub fn record(&mut self, success: bool) -> Option<Seen> {
        let result = if success { Seen::Good } else { Seen::Bad };
        if result == self.state {
            self.first = false;
            self.against = 0;
            return None;
        }
        self.against = self.against.saturating_add(1);
        let needed = match (self.first, success) {
            (true, _) => 1,
            (false, true) => self.rise,
            (false, false) => self.fall,
        };
        self.first = false;
        if self.against < needed {
            return None;
        }
        self.against = 0;
        self.state = result;
        Some(result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(judge: &mut Judge, results: &str) -> String {
        results
            .chars()
            .map(|c| match judge.record(c == '+') {
                None => '.',
                Some(Seen::Good) => 'G',
                Some(_) => 'B',
            })
            .collect()
    }

    #[test]
    fn rise_and_fall_count_results_in_a_row() {
        let table = [
            // rise, fall, init_fail, results, changes
            (1, 1, false, "++-+-", "G.BGB"),
            (2, 3, false, "+--+---+-++", "G.....B...G"),
            (2, 3, false, "-+-++", "B...G"),
            (2, 2, true, "+--", "G.B"),
            (2, 2, true, "-+-++", "....G"),
            (0, 0, false, "+-+", "GBG"),
            (u32::MAX, u32::MAX, false, "+----", "G...."),
        ];
        for (rise, fall, init_fail, results, changes) in table {
            let mut judge = Judge::new(rise, fall, init_fail);
            assert_eq!(
                run(&mut judge, results),
                changes,
                "rise {rise} fall {fall} init_fail {init_fail} {results}"
            );
        }
    }

    #[test]
    fn starts_pending_or_bad_and_a_changed_script_keeps_what_was_known() {
        assert_eq!(Judge::new(1, 1, false).state(), Seen::Pending);
        assert_eq!(Judge::new(1, 1, true).state(), Seen::Bad);
        let mut judge = Judge::new(3, 3, true).inherit(Seen::Good);
        assert_eq!(judge.state(), Seen::Good);
        assert_eq!(judge.record(false), Some(Seen::Bad));
        let mut judge = Judge::new(2, 2, true).inherit(Seen::Ignored);
        assert_eq!(judge.record(false), Some(Seen::Bad));
        // What says nothing of good or bad leaves the start as it is.
        for nothing in [Seen::Pending, Seen::Value(1)] {
            assert_eq!(Judge::new(1, 1, true).inherit(nothing).state(), Seen::Bad);
        }
        assert_eq!(Judge::new(1, 1, false).inherit(Seen::Absent).state(), Seen::Bad);
    }
}

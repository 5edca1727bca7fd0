//! Counting the results of a script: rise and fall, no clock and no process.

use super::ScriptState;

/// Turns single results into a state.
///
/// The first result after the start decides alone, whatever `rise` and `fall` say: a router that has just started
/// knows nothing better. keepalived 2.2.7 does the same, also where `init_fail` makes the start bad.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judge {
    rise: u32,
    fall: u32,
    state: ScriptState,
    first: bool,
    /// Results in a row that contradict `state`.
    against: u32,
}

impl Judge {
    /// A judge that has seen nothing. A `rise` or `fall` of zero counts as one.
    #[must_use]
    pub fn new(rise: u32, fall: u32, init_fail: bool) -> Self {
        let state = if init_fail { ScriptState::Bad } else { ScriptState::Pending };
        Self { rise: rise.max(1), fall: fall.max(1), state, first: true, against: 0 }
    }

    /// A judge of a script of which something is known already: that stays until the first result.
    ///
    /// A script that was disabled has no state to keep, and whatever its first result is, it is a change.
    #[must_use]
    pub fn inherit(self, known: ScriptState) -> Self {
        match known {
            ScriptState::Good | ScriptState::Bad => Self { state: known, ..self },
            ScriptState::Disabled => Self { state: ScriptState::Pending, ..self },
            ScriptState::Pending => self,
        }
    }

    /// The state now.
    #[must_use]
    pub const fn state(&self) -> ScriptState {
        self.state
    }

    /// Takes the result of one run; `Some` where it changed the state.
    pub fn record(&mut self, success: bool) -> Option<ScriptState> {
        let result = if success { ScriptState::Good } else { ScriptState::Bad };
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
                Some(ScriptState::Good) => 'G',
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
        assert_eq!(Judge::new(1, 1, false).state(), ScriptState::Pending);
        assert_eq!(Judge::new(1, 1, true).state(), ScriptState::Bad);
        let mut judge = Judge::new(3, 3, true).inherit(ScriptState::Good);
        assert_eq!(judge.state(), ScriptState::Good);
        assert_eq!(judge.record(false), Some(ScriptState::Bad));
        let mut judge = Judge::new(2, 2, true).inherit(ScriptState::Disabled);
        assert_eq!(judge.record(false), Some(ScriptState::Bad));
    }
}

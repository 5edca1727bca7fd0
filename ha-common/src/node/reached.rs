//! What the machines of a node have been fed, and in which state: shows what a simulation has tried, and what it has not.

use alloc::string::String;
use alloc::vec::Vec;

use crate::machine::{Input, State};

/// Inputs, as far as they are told apart here.
const INPUTS: [&str; 20] = [
    "Ready(true)",
    "Ready(false)",
    "Unfit",
    "Advert",
    "Advert of priority 0",
    "Seen",
    "Timer",
    "FramesLost",
    "SetPriority",
    "Reconfigure",
    "SetAddress",
    "Stop",
    "MasterLost",
    "MasterResigned",
    "MasterAlive",
    "TakeOver",
    "Yield",
    "StepDown",
    "MasterLost, affirmed later",
    "MasterLowered",
];

/// Pairs of a state and an input, a bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reached(u128);

impl Reached {
    /// All pairs that there are.
    #[must_use]
    pub const fn possible() -> usize {
        INPUTS.len() * State::ALL.len()
    }

    /// How many have been met.
    #[must_use]
    pub const fn count(self) -> usize {
        self.0.count_ones() as usize
    }

    /// Adds what another node has met.
    pub const fn add(&mut self, other: Self) {
        self.0 |= other.0;
    }

    /// Those that have not been met, in words.
    #[must_use]
    pub fn missing(self) -> Vec<String> {
        let all =
            State::ALL.into_iter().flat_map(|state| INPUTS.iter().zip(0..).map(move |input| (state, input)));
        all.filter(|(state, (_, at))| self.0 & bit(*state, *at) == 0)
            .map(|(state, (name, _))| alloc::format!("{state}: {name}"))
            .collect()
    }

    pub(super) fn note(&mut self, state: State, input: &Input) {
        let at = match input {
            Input::Ready(true) => 0,
            Input::Ready(false) => 1,
            Input::Unfit => 2,
            Input::Advert { priority: 1.., .. } => 3,
            Input::Advert { priority: 0, .. } => 4,
            Input::Seen(_) => 5,
            Input::Timer => 6,
            Input::FramesLost => 7,
            Input::SetPriority(_) => 8,
            Input::Reconfigure(_) => 9,
            Input::SetAddress(_) => 10,
            Input::Stop => 11,
            Input::MasterLost { at, affirmed, .. } if at == affirmed => 12,
            Input::MasterResigned { .. } => 13,
            Input::MasterAlive { .. } => 14,
            Input::TakeOver => 15,
            Input::Yield => 16,
            Input::StepDown => 17,
            Input::MasterLost { .. } => 18,
            Input::MasterLowered { .. } => 19,
        };
        self.0 |= bit(state, at);
    }
}

const fn bit(state: State, input: u32) -> u128 {
    let row = match state {
        State::Init => 0,
        State::Fault => 1,
        State::Backup => 2,
        State::Master => 3,
        State::Leaving => 4,
    };
    1 << (row * INPUTS.len() as u32 + input)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_pair_is_another_bit() {
        let mut seen = Reached::default();
        assert_eq!(seen.missing().len(), Reached::possible());
        for state in State::ALL {
            for input in 0..INPUTS.len() as u32 {
                let before = seen.count();
                seen.add(Reached(bit(state, input)));
                assert_eq!(seen.count(), before + 1);
            }
        }
        assert_eq!((seen.count(), seen.missing().len()), (Reached::possible(), 0));
        let mut one = Reached::default();
        one.note(State::Backup, &Input::Timer);
        assert!(!one.missing().iter().any(|pair| pair == "BACKUP: Timer"));
    }
}

//! Which effects of the node the stories have called for, and which inputs its machines have met.

use ha_common::node::{Effect, Event, Reached, Write};

const NAMES: [&str; 29] = [
    "Write Renew",
    "Write Apart",
    "Write RestartWindow",
    "Write Own",
    "Write Describe",
    "Write Held",
    "Write Master",
    "Write Suppressed",
    "Write ClearSuperseded",
    "Track",
    "Untrack",
    "Advert",
    "AddAddresses",
    "Announce",
    "RemoveAddresses",
    "ForgetOthers",
    "Transition",
    "Resumed",
    "Priority",
    "GroupState",
    "FaultAfterAll",
    "DuplicateAddress",
    "Contested",
    "Deaf",
    "FramesLost",
    "LeaseRanOut",
    "HoldEnded",
    "Write Standby",
    "AddBehind",
];

/// What the stories have reached of the node.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Coverage {
    effects: [u64; NAMES.len()],
    inputs: Reached,
}

impl Coverage {
    /// An effect was carried out.
    pub(super) fn effect(&mut self, effect: &Effect) {
        self.effects[kind(effect)] += 1;
    }

    /// What a node has met.
    pub(super) fn inputs(&mut self, reached: Reached) {
        self.inputs.add(reached);
    }

    /// Adds another run's.
    pub fn add(&mut self, other: &Self) {
        self.inputs.add(other.inputs);
        for (sum, more) in self.effects.iter_mut().zip(other.effects) {
            *sum += more;
        }
    }

    /// How many pairs of state and input, how many effects, and what was never reached.
    #[must_use]
    pub fn report(&self) -> String {
        let reached = self.effects.iter().filter(|count| **count > 0).count();
        let missing = NAMES.iter().zip(self.effects).filter(|(_, count)| *count == 0);
        let missing: Vec<&str> = missing.map(|(name, _)| *name).collect();
        let list = |names: String| if names.is_empty() { "nothing".to_owned() } else { names };
        format!(
            "inputs: {} of {} pairs of state and input; never: {}\neffects: {reached} of {}; never: {}",
            self.inputs.count(),
            Reached::possible(),
            list(self.inputs.missing().join(", ")),
            NAMES.len(),
            list(missing.join(", ")),
        )
    }
}

/// In short; [`Coverage::report`] has the rest.
impl std::fmt::Debug for Coverage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} inputs, {} effects", self.inputs.count(), self.effects.iter().sum::<u64>())
    }
}

const fn kind(effect: &Effect) -> usize {
    match effect {
        Effect::Write(_, write) => match write {
            Write::Renew { .. } => 0,
            Write::Apart(_) => 1,
            Write::RestartWindow { .. } => 2,
            Write::Own(_) => 3,
            Write::Describe(_) => 4,
            Write::Held(..) => 5,
            Write::Master(..) => 6,
            Write::Suppressed(..) => 7,
            Write::ClearSuperseded(..) => 8,
            Write::Standby(..) => 27,
        },
        Effect::Track { .. } => 9,
        Effect::Untrack(_) => 10,
        Effect::Advert { .. } => 11,
        Effect::AddAddresses(_) => 12,
        Effect::Announce { .. } => 13,
        Effect::RemoveAddresses(_) => 14,
        Effect::AddBehind(_) => 28,
        Effect::ForgetOthers(..) => 15,
        Effect::Event(event) => match event {
            Event::Transition { .. } => 16,
            Event::Resumed(_) => 17,
            Event::Priority(_) => 18,
            Event::GroupState { .. } => 19,
            Event::FaultAfterAll(_) => 20,
            Event::DuplicateAddress(_) => 21,
            Event::Contested(_) => 22,
            Event::Deaf(_) => 23,
            Event::FramesLost(_) => 24,
            Event::LeaseRanOut { .. } => 25,
            Event::HoldEnded(_) => 26,
        },
    }
}

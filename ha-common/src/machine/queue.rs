//! A small first-in-first-out queue of actions, without allocation.

use super::io::Action;

/// Room for twice the actions that one input can cause (four: a last advert, a transition, and the change of
/// tracking with a duplicate address).
const CAPACITY: usize = 8;

/// The actions that the driver has not polled yet.
#[derive(Clone, Debug, Default)]
pub(super) struct Queue {
    items: [Option<Action>; CAPACITY],
    head: usize,
    len: usize,
}

impl Queue {
    /// Appends. The driver drains the queue after each input, so it never fills; a driver that does not is a bug
    /// which debug builds report, and release builds drop the newest action rather than panic.
    pub(super) fn push(&mut self, action: Action) {
        debug_assert!(self.len < CAPACITY, "actions were not drained after each input");
        if let Some(slot) = self.items.get_mut((self.head + self.len) % CAPACITY)
            && slot.is_none()
        {
            *slot = Some(action);
            self.len += 1;
        }
    }

    /// Takes the oldest.
    pub(super) fn pop(&mut self) -> Option<Action> {
        let action = self.items.get_mut(self.head)?.take()?;
        self.head = (self.head + 1) % CAPACITY;
        self.len -= 1;
        Some(action)
    }

    /// How many wait.
    #[cfg(test)]
    pub(super) const fn len(&self) -> usize {
        self.len
    }
}

//! Events that the driver has not polled yet.

use super::io::Event;

/// Room for what one reply can cause (discovered, widened, alive, paused, lost or restarting, resigned), and some.
const CAPACITY: usize = 8;

#[derive(Clone, Debug, Default)]
pub(super) struct Queue {
    items: [Option<Event>; CAPACITY],
    head: usize,
    len: usize,
}

impl Queue {
    /// Appends. A driver that does not drain is a bug: the newest is dropped.
    pub(super) fn push(&mut self, event: Event) {
        debug_assert!(self.len < CAPACITY, "events were not drained");
        if self.len < CAPACITY
            && let Some(item) = self.items.get_mut((self.head + self.len) % CAPACITY)
        {
            *item = Some(event);
            self.len += 1;
        }
    }

    pub(super) fn pop(&mut self) -> Option<Event> {
        let event = self.items.get_mut(self.head)?.take()?;
        self.head = (self.head + 1) % CAPACITY;
        self.len -= 1;
        Some(event)
    }
}

//! What the main loop hands out for `status` and for dumps: a copy of what it knows, and whom to ask for the rest.

use std::sync::{Mutex, PoisonError};

use super::protocol::Status;

/// Adds what other threads know: peers, scripts and whatever else is tracked. It waits for those threads, so it is not
/// for the main loop.
pub type Rest = Box<dyn FnOnce(&mut Status) + Send>;

/// The state of the daemon at one moment.
pub struct Snapshot {
    known: Status,
    /// `None` once it has been asked for.
    rest: Mutex<Option<Rest>>,
}

impl Snapshot {
    /// What the main loop knows, and who adds the rest.
    #[must_use]
    pub fn new(known: Status, rest: Rest) -> Self {
        Self { known, rest: Mutex::new(Some(rest)) }
    }

    /// The whole state; for whoever asks again, what the main loop knows of it. Waits for other threads: not for the main
    /// loop.
    #[must_use]
    pub fn complete(&self) -> Status {
        let mut status = self.known.clone();
        let rest = self.rest.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(rest) = rest {
            rest(&mut status);
        }
        status
    }
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snapshot").field("known", &self.known).finish_non_exhaustive()
    }
}

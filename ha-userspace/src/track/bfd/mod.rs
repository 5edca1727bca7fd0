//! `bfd_instance`: BFD sessions (RFC 5880, RFC 5881) and what they say of a neighbour.
//!
//! One thread with real-time priority, which exists while there are sessions: intervals of a few milliseconds, and a
//! main loop that neither is delayed by them nor delays them. What a session does is decided in
//! [`ha_common::bfd::session`]; this is the part with sockets and a clock. A session that is not up within
//! `GRACE` of its beginning is bad; until then it is pending.

mod socket;
mod speaker;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use super::STOP_PATIENCE;
use super::board::{Board, TrackerKind};
use crate::config::model::Bfd;
use crate::worker::{Inbox, Worker};
use speaker::Speaker;

/// Two sides that send once a second until they are up need this long.
const GRACE: Duration = Duration::from_secs(3);

/// All sessions, as the main loop sees them. Dropping it ends the thread, which tells the neighbours.
#[derive(Debug)]
pub(super) struct Sessions {
    board: Board,
    worker: Option<Worker<BfdOrder>>,
}

/// The sessions that are to run, and the thread's SCHED_FIFO priority.
type BfdOrder = (Vec<Bfd>, u8);

impl Sessions {
    pub(super) const fn new(board: Board) -> Self {
        Self { board, worker: None }
    }

    /// Makes these the sessions that run. Those that did not change go on; of those that did, the neighbour is told
    /// in the session. `priority` is the thread's, that of the main loop.
    pub(super) fn apply(&mut self, specs: &[Bfd], priority: u8) {
        if specs.is_empty() && self.worker.is_none() {
            return;
        }
        if !self.worker.as_ref().is_some_and(Worker::is_running) {
            let speaker = Speaker::new(self.board.clone());
            match Worker::start_polling("xvrrp-bfd", |orders: Inbox<BfdOrder>| speaker.run(&orders)) {
                Ok(worker) => self.worker = Some(worker),
                Err(error) => {
                    tracing::error!("no BFD: {error}");
                    return;
                }
            }
        }
        if let Some(worker) = &self.worker {
            worker.tell((specs.to_vec(), priority));
        }
    }

    /// Tells the neighbours that this is no failure, ends the thread and waits for it.
    pub(super) fn stop(&mut self) {
        if let Some(mut worker) = self.worker.take() {
            worker.stop(STOP_PATIENCE);
        }
    }
}

/// Where a session stands on the board.
fn key(spec: &Bfd) -> super::board::Key {
    (TrackerKind::Bfd, Arc::from(spec.name.as_str()))
}

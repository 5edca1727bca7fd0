//! `bfd_instance`: BFD sessions (RFC 5880, RFC 5881) and what they say of a neighbour.
//!
//! One thread with real-time priority, which exists while there are sessions: intervals of a few milliseconds, and a
//! main loop that neither is delayed by them nor delays them. What a session does is decided in
//! [`ha_common::bfd::session`]; this is the part with sockets and a clock. A session that is not up within
//! `GRACE` of its beginning is bad; until then it is pending.

mod socket;
mod worker;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::sys::eventfd::{EfdFlags, EventFd};

use super::board::{Board, Kind};
use super::watch;
use crate::config::model::Bfd;
use worker::Worker;

/// Two sides that send once a second until they are up need this long.
const GRACE: Duration = Duration::from_secs(3);
/// All sessions, as the main loop sees them. Dropping it ends the thread, which tells the neighbours.
#[derive(Debug)]
pub(super) struct Sessions {
    board: Board,
    thread: Option<Thread>,
}

/// The sessions that are to run, and the thread's SCHED_FIFO priority.
type Order = (Vec<Bfd>, u8);

#[derive(Debug)]
struct Thread {
    orders: Sender<Order>,
    wake: Arc<EventFd>,
    handle: JoinHandle<()>,
}

impl Sessions {
    pub(super) const fn new(board: Board) -> Self {
        Self { board, thread: None }
    }

    /// Makes these the sessions that run. Those that did not change go on; of those that did, the neighbour is told
    /// in the session. `priority` is the thread's, that of the main loop.
    pub(super) fn apply(&mut self, specs: &[Bfd], priority: u8) {
        if specs.is_empty() && self.thread.is_none() {
            return;
        }
        if self.thread.as_ref().is_none_or(|thread| thread.handle.is_finished()) {
            match Thread::start(self.board.clone()) {
                Ok(thread) => self.thread = Some(thread),
                Err(error) => {
                    tracing::error!("no BFD: {error}");
                    return;
                }
            }
        }
        if let Some(thread) = &self.thread {
            let _ = thread.orders.send((specs.to_vec(), priority));
            thread.wake();
        }
    }

    /// Tells the neighbours that this is no failure, ends the thread and waits for it.
    pub(super) fn stop(&mut self) {
        let Some(Thread { orders, wake, handle }) = self.thread.take() else { return };
        drop(orders);
        let _ = wake.write(1);
        watch::join(&handle);
    }
}

impl Thread {
    fn start(board: Board) -> std::io::Result<Self> {
        let (orders, orders_in): (Sender<Order>, Receiver<Order>) = channel();
        let wake = Arc::new(EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?);
        let waits = Arc::clone(&wake);
        let handle = std::thread::Builder::new()
            .name("xvrrp-bfd".to_owned())
            .spawn(move || Worker::new(board).run(&orders_in, &waits))?;
        Ok(Self { orders, wake, handle })
    }

    fn wake(&self) {
        // It can only fail because the thread has 2^64 wake-ups to read already.
        let _ = self.wake.write(1);
    }
}

/// Where a session stands on the board.
fn key(spec: &Bfd) -> super::board::Key {
    (Kind::Bfd, Arc::from(spec.name.as_str()))
}

//! `vrrp_track_process`, and checks of the form `process NAME`: how many processes of a kind run.
//!
//! One thread, which exists while something is tracked: reading another process's command line can hang. That a
//! process has ended is known at once, from its pidfd. That one has begun is known at once from the kernel's process
//! connector; where there is none (a container, no root), `/proc` is looked through twice a second. The whole of
//! `/proc` is also read at start, after a reload, and when the connector's socket overflowed. Only processes of this
//! PID namespace are seen.

mod connector;
mod event;
mod matching;
mod proc;
mod quorum;
mod table;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::eventfd::{EfdFlags, EventFd};

use super::board::{Board, Key, Kind};
use super::watch;
use crate::config::model::{Check, Probe, TrackProcess};
use matching::Pattern;
use quorum::Wanted;
use table::{Spec, Table};

/// The process watcher, as the main loop sees it. Dropping it ends the thread without waiting.
#[derive(Debug)]
pub(super) struct Processes {
    board: Board,
    thread: Option<Thread>,
}

#[derive(Debug)]
struct Thread {
    specs: Sender<Vec<Spec>>,
    wake: Arc<EventFd>,
    handle: JoinHandle<()>,
}

impl Processes {
    pub(super) const fn new(board: Board) -> Self {
        Self { board, thread: None }
    }

    /// Makes these the processes that are tracked.
    pub(super) fn apply(&mut self, processes: &[TrackProcess], checks: &[Check]) {
        let specs: Vec<Spec> =
            processes.iter().map(tracked).chain(checks.iter().filter_map(checked)).collect();
        if specs.is_empty() {
            if let Some(Thread { specs, wake, .. }) = self.thread.take() {
                drop(specs);
                let _ = wake.write(1);
            }
            return;
        }
        if self.thread.as_ref().is_none_or(|thread| thread.handle.is_finished()) {
            match Thread::start(self.board.clone()) {
                Ok(thread) => self.thread = Some(thread),
                Err(error) => {
                    tracing::error!("processes are not tracked: {error}");
                    return;
                }
            }
        }
        if let Some(thread) = &self.thread {
            let _ = thread.specs.send(specs);
            thread.wake();
        }
    }

    /// Ends the thread and waits for it, unless it hangs.
    pub(super) fn stop(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        let Thread { specs, wake, handle } = thread;
        drop(specs);
        let _ = wake.write(1);
        watch::join(&handle);
    }
}

impl Thread {
    fn start(board: Board) -> std::io::Result<Self> {
        let (specs, specs_in) = channel();
        let wake = Arc::new(EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?);
        let waits = Arc::clone(&wake);
        let handle = std::thread::Builder::new().name("xvrrp-procs".to_owned()).spawn(move || {
            crate::realtime::prefer_this_thread();
            run(&specs_in, &waits, Table::new(board));
        })?;
        Ok(Self { specs, wake, handle })
    }

    fn wake(&self) {
        // It can only fail because the thread has 2^64 wake-ups to read already.
        let _ = self.wake.write(1);
    }
}

fn tracked(spec: &TrackProcess) -> Spec {
    let wanted = Wanted {
        least: spec.quorum,
        most: spec.quorum_max,
        fork_delay: spec.fork_delay,
        terminate_delay: spec.terminate_delay,
    };
    let key: Key = (Kind::Process, Arc::from(spec.name.as_str()));
    Spec { key, pattern: Pattern::new(spec), wanted }
}

fn checked(check: &Check) -> Option<Spec> {
    let Probe::Process(name) = &check.probe else { return None };
    let wanted = Wanted { least: 1, most: None, fork_delay: Duration::ZERO, terminate_delay: Duration::ZERO };
    let key: Key = (Kind::Check, Arc::from(check.name.as_str()));
    Some(Spec { key, pattern: Pattern::by_name(name), wanted })
}

/// The thread, until its channel is closed.
fn run(specs: &Receiver<Vec<Spec>>, wake: &EventFd, mut table: Table) {
    loop {
        match specs.try_recv() {
            Ok(wanted) => table.track(wanted, Instant::now()),
            Err(TryRecvError::Empty) => {
                table.wait(wake);
                // Zero or more wake-ups: the channel says what they are about.
                let _ = wake.read();
            }
            Err(TryRecvError::Disconnected) => return,
        }
    }
}

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

use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::mpsc::TryRecvError;
use std::time::{Duration, Instant};

use super::STOP_PATIENCE;
use super::board::{Board, Key, TrackerKind};
use crate::config::model::{Check, Probe, TrackProcess};
use crate::worker::{Inbox, Worker};
use matching::Pattern;
use quorum::QuorumSettings;
use table::{Spec, Table};

/// The process watcher, as the main loop sees it. Dropping it ends the thread without waiting.
#[derive(Debug)]
pub(super) struct Processes {
    board: Board,
    worker: Option<Worker<Vec<Spec>>>,
}

impl Processes {
    pub(super) const fn new(board: Board) -> Self {
        Self { board, worker: None }
    }

    /// Makes these the processes that are tracked.
    pub(super) fn apply(&mut self, processes: &[TrackProcess], checks: &[Check]) {
        let specs: Vec<Spec> =
            processes.iter().map(tracked).chain(checks.iter().filter_map(checked)).collect();
        if specs.is_empty() {
            self.worker = None;
            return;
        }
        if !self.worker.as_ref().is_some_and(Worker::is_running) {
            let board = self.board.clone();
            match Worker::start_polling("xvrrp-procs", |inbox| run(&inbox, board)) {
                Ok(worker) => self.worker = Some(worker),
                Err(error) => {
                    tracing::error!("processes are not tracked: {error}");
                    return;
                }
            }
        }
        if let Some(worker) = &self.worker {
            worker.tell(specs);
        }
    }

    /// Ends the thread and waits for it, unless it hangs.
    pub(super) fn stop(&mut self) {
        if let Some(mut worker) = self.worker.take() {
            worker.stop(STOP_PATIENCE);
        }
    }
}

fn tracked(spec: &TrackProcess) -> Spec {
    let wanted = QuorumSettings {
        least: spec.quorum,
        most: spec.quorum_max,
        fork_delay: spec.fork_delay,
        terminate_delay: spec.terminate_delay,
    };
    let key: Key = (TrackerKind::Process, Arc::from(spec.name.as_str()));
    Spec { key, pattern: Pattern::new(spec), wanted }
}

fn checked(check: &Check) -> Option<Spec> {
    let Probe::Process(name) = &check.probe else { return None };
    let wanted =
        QuorumSettings { least: 1, most: None, fork_delay: Duration::ZERO, terminate_delay: Duration::ZERO };
    let key: Key = (TrackerKind::Check, Arc::from(check.name.as_str()));
    Some(Spec { key, pattern: Pattern::by_name(name), wanted })
}

/// The thread, until it is told to end.
fn run(specs: &Inbox<Vec<Spec>>, board: Board) {
    crate::realtime::prefer_this_thread();
    let mut table = Table::new(board);
    loop {
        match specs.take() {
            Ok(wanted) => table.track(wanted, Instant::now()),
            Err(TryRecvError::Empty) => table.wait(specs.as_fd()),
            Err(TryRecvError::Disconnected) => return,
        }
    }
}

//! The watcher with real processes, with the kernel's connector where there is one, and without.

use std::process::{Child, Command};
use std::time::{Duration, Instant};

use nix::sys::eventfd::EventFd;

use super::connector::Connector;
use super::*;
use crate::track::Seen;

/// A name that no other process has.
fn sleeper(seconds: u32) -> Child {
    Command::new("sleep").arg(seconds.to_string()).spawn().expect("sleep exists")
}

fn spec(seconds: u32, quorum: u32) -> Spec {
    tracked(&TrackProcess {
        name: "sleepers".to_owned(),
        process: "sleep".to_owned(),
        parameters: vec![seconds.to_string()],
        param_match: crate::config::model::ParamMatch::Exact,
        full_command: false,
        weight: crate::config::model::Weight::default(),
        quorum,
        quorum_max: None,
        fork_delay: Duration::ZERO,
        terminate_delay: Duration::ZERO,
        place: crate::config::model::Place::default(),
    })
}

/// The thread's work, turn by turn.
struct Watcher {
    board: Board,
    table: Table,
    wake: EventFd,
}

impl Watcher {
    fn new(connector: Option<Connector>, spec: Spec) -> Self {
        let board = Board::default();
        board.keep(&[(spec.key.clone(), Seen::Pending)]);
        let mut table = Table::with(board.clone(), connector);
        table.track(vec![spec], Instant::now());
        Self { board, table, wake: EventFd::new().expect("a descriptor") }
    }

    fn seen(&self) -> Seen {
        self.board.seen(TrackerKind::Process, "sleepers")
    }

    /// From now on only what the kernel tells is noticed.
    fn do_not_look(&mut self) {
        self.table.next_scan = Instant::now() + Duration::from_secs(3600);
    }

    /// Runs turns until the tracker is `wanted`.
    fn reach(&mut self, wanted: Seen) {
        let begin = Instant::now();
        while self.seen() != wanted {
            self.table.wait(self.wake.as_fd());
            assert!(begin.elapsed() < Duration::from_secs(25), "{wanted:?} is not reached");
        }
    }
}

/// A number that makes the command lines of one test its own.
fn own(test: u32) -> u32 {
    100_000 + std::process::id() % 100_000 * 10 + test
}

#[test]
fn without_the_connector_an_end_is_known_at_once_and_a_beginning_soon() {
    let mut first = sleeper(own(1));
    let mut watcher = Watcher::new(None, spec(own(1), 1));
    watcher.reach(Seen::Good);
    first.kill().expect("alive");
    // Not reaped yet: a zombie does not run.
    watcher.do_not_look();
    watcher.reach(Seen::Bad);
    watcher.table.next_scan = Instant::now();
    first.wait().expect("a child");
    let mut second = sleeper(own(1));
    watcher.reach(Seen::Good);
    second.kill().expect("alive");
    second.wait().expect("a child");
}

#[test]
fn with_the_connector_a_beginning_is_known_at_once_too() {
    let Ok(connector) = Connector::here(1 << 20) else {
        eprintln!("left out: no process connector here (not root, or a container)");
        return;
    };
    let mut watcher = Watcher::new(Some(connector), spec(own(2), 2));
    watcher.reach(Seen::Bad);
    let mut children = [sleeper(own(2)), sleeper(own(2))];
    watcher.do_not_look();
    watcher.reach(Seen::Good);
    for child in &mut children {
        child.kill().expect("alive");
        child.wait().expect("a child");
    }
    watcher.reach(Seen::Bad);
}

#[test]
fn an_overflow_of_the_connector_loses_no_process() {
    // Room for a few events only.
    let Ok(connector) = Connector::here(1) else {
        eprintln!("left out: no process connector here (not root, or a container)");
        return;
    };
    let mut watcher = Watcher::new(Some(connector), spec(own(3), 1));
    watcher.reach(Seen::Bad);
    for _ in 0..200 {
        Command::new("true").status().expect("true exists");
    }
    let mut late = sleeper(own(3));
    for _ in 0..50 {
        Command::new("true").status().expect("true exists");
    }
    // The rare scan would take longer than anybody waits here.
    watcher.reach(Seen::Good);
    late.kill().expect("alive");
    late.wait().expect("a child");
}

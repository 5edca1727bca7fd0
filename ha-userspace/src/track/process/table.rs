//! Which processes are tracked now, and what that makes of each tracker. Only the process thread has one.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::connector::{Connector, Heard};
use super::event::Event;
use super::matching::Pattern;
use super::proc;
use super::quorum::{Quorum, QuorumSettings};
use crate::track::Seen;
use crate::track::board::{Board, Key};

/// `/proc` is looked through this often without the connector, or while there are processes without a pidfd.
const SCAN: Duration = Duration::from_millis(500);
/// With it: a process may have changed its command line, of which the kernel says nothing.
const RARE_SCAN: Duration = Duration::from_secs(30);
/// More processes than these are looked at only when `/proc` is.
const MOST_PIDFDS: usize = 256;
/// Events read in one turn, so that ends and deadlines are not put off by a storm of forks.
const MOST_EVENTS: usize = 1024;

/// One tracker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Spec {
    pub(super) key: Key,
    pub(super) pattern: Pattern,
    pub(super) wanted: QuorumSettings,
}

/// Everything that the process thread knows.
#[derive(Debug)]
pub(super) struct Table {
    board: Board,
    trackers: Vec<(Spec, Quorum)>,
    members: BTreeMap<i32, Member>,
    connector: Option<Connector>,
    /// Why there is no connector.
    without: Option<String>,
    pub(super) next_scan: Instant,
}

/// A process that at least one tracker means.
#[derive(Debug)]
struct Member {
    /// Readable when it has ended.
    pidfd: Option<OwnedFd>,
    /// Indices of its trackers.
    of: Vec<usize>,
}

impl Table {
    pub(super) fn new(board: Board) -> Self {
        let mut table = Self {
            board,
            trackers: Vec::new(),
            members: BTreeMap::new(),
            connector: None,
            without: None,
            next_scan: Instant::now(),
        };
        match Connector::open() {
            Ok(connector) => table.connector = Some(connector),
            Err(error) => table.do_without(&error),
        }
        table
    }

    /// The same with a connector that was opened elsewhere.
    #[cfg(test)]
    pub(super) fn with(board: Board, connector: Option<Connector>) -> Self {
        Self { connector, ..Self::new(board) }
    }

    fn do_without(&mut self, error: &std::io::Error) {
        self.connector = None;
        tracing::warn!(
            "the kernel's process connector cannot be used ({error}): that a process has ended is known at once, but \
             new ones are looked for every {SCAN:?}. It needs root in the first PID namespace"
        );
        self.without = Some(format!("looked for every {} ms", SCAN.as_millis()));
    }

    /// Makes these the trackers. Those that did not change go on with their delays.
    pub(super) fn track(&mut self, specs: Vec<Spec>, now: Instant) {
        let mut old = std::mem::take(&mut self.trackers);
        for spec in specs {
            let kept = old.iter().position(|(known, _)| *known == spec).map(|at| old.swap_remove(at));
            let quorum = Quorum::new(spec.wanted);
            self.trackers.push(kept.unwrap_or((spec, quorum)));
        }
        self.members.clear();
        self.scan(now);
        self.settle(now);
    }

    /// Waits for something to happen, or for `wake`, and deals with it.
    pub(super) fn wait(&mut self, wake: BorrowedFd<'_>) {
        let now = Instant::now();
        let deadlines = self.trackers.iter().filter_map(|(_, quorum)| quorum.deadline());
        let next = deadlines.chain((!self.trackers.is_empty()).then_some(self.next_scan)).min();
        let timeout = next.map_or(PollTimeout::NONE, |next| {
            let left = next.saturating_duration_since(now).as_micros().div_ceil(1000);
            PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
        });
        let (ended, heard) = {
            let watched: Vec<(i32, BorrowedFd<'_>)> = self
                .members
                .iter()
                .filter_map(|(process, member)| Some((*process, member.pidfd.as_ref()?.as_fd())))
                .collect();
            let mut fds: Vec<PollFd<'_>> =
                watched.iter().map(|(_, pidfd)| PollFd::new(*pidfd, PollFlags::POLLIN)).collect();
            fds.push(PollFd::new(wake, PollFlags::POLLIN));
            if let Some(connector) = &self.connector {
                fds.push(PollFd::new(connector.as_fd(), PollFlags::POLLIN));
            }
            // Interrupted or refused, nothing is ready; refused for want of memory, it must not spin.
            if let Err(error) = poll(&mut fds, timeout)
                && error != nix::errno::Errno::EINTR
            {
                std::thread::sleep(SCAN);
            }
            let ready = |fd: &PollFd<'_>| fd.any().unwrap_or(false);
            let ended: Vec<i32> = watched
                .iter()
                .zip(&fds)
                .filter(|(_, fd)| ready(fd))
                .map(|((process, _), _)| *process)
                .collect();
            (ended, self.connector.is_some() && fds.last().is_some_and(ready))
        };
        for process in ended {
            self.members.remove(&process);
        }
        if heard {
            self.listen();
        }
        let now = Instant::now();
        if now >= self.next_scan {
            self.scan(now);
        }
        self.settle(now);
    }

    /// Reads the connector.
    fn listen(&mut self) {
        for _ in 0..MOST_EVENTS {
            let Some(connector) = &self.connector else { return };
            match connector.read() {
                // A child has its parent's name and command line until it says otherwise.
                Ok(Heard::Event(Event::Fork { parent, child })) => {
                    if self.members.contains_key(&parent) {
                        self.inspect(child);
                    }
                }
                Ok(Heard::Event(Event::Changed(process))) => self.inspect(process),
                Ok(Heard::Other) => {}
                Ok(Heard::Lost) => self.next_scan = Instant::now(),
                Ok(Heard::Nothing) => return,
                Err(error) => {
                    self.do_without(&error);
                    self.next_scan = Instant::now();
                }
            }
        }
    }

    /// Looks at every process.
    fn scan(&mut self, now: Instant) {
        let there = proc::ids();
        self.members.retain(|process, _| there.contains(process));
        for process in there {
            self.inspect(process);
        }
        let unwatched = self.members.values().any(|member| member.pidfd.is_none());
        let pause = if self.connector.is_none() || unwatched { SCAN } else { RARE_SCAN };
        self.next_scan = now + pause;
    }

    /// Looks at one process.
    fn inspect(&mut self, process: i32) {
        let known = self.members.contains_key(&process);
        let of = self.trackers_of(process);
        if of.is_empty() {
            self.members.remove(&process);
            return;
        }
        if known {
            if let Some(member) = self.members.get_mut(&process) {
                member.of = of;
            }
            return;
        }
        let mut member = Member { pidfd: None, of };
        if self.members.len() < MOST_PIDFDS {
            member.pidfd = open(process);
            // Only now can the number not be given to another process, so that what was read counts.
            member.of = self.trackers_of(process);
        }
        if !member.of.is_empty() && !proc::is_zombie(process) {
            self.members.insert(process, member);
        }
    }

    fn trackers_of(&self, process: i32) -> Vec<usize> {
        let Some(name) = proc::name(process) else { return Vec::new() };
        let mut arguments = None;
        let mut means = |pattern: &Pattern| {
            let arguments: &[_] = if pattern.wants_command_line() {
                arguments.get_or_insert_with(|| proc::command_line(process))
            } else {
                &[]
            };
            pattern.matches(&name, arguments)
        };
        let all = self.trackers.iter().enumerate();
        all.filter(|(_, (spec, _))| means(&spec.pattern)).map(|(at, _)| at).collect()
    }

    /// Says what the numbers mean now.
    fn settle(&mut self, now: Instant) {
        for (at, (spec, quorum)) in self.trackers.iter_mut().enumerate() {
            let count = self.members.values().filter(|member| member.of.contains(&at)).count();
            let good = quorum.count(u32::try_from(count).unwrap_or(u32::MAX), now);
            let mut detail = match quorum.number() {
                1 => "1 process".to_owned(),
                count => format!("{count} processes"),
            };
            if let Some(without) = &self.without {
                detail = format!("{detail}, {without}");
            }
            let seen = if good { Seen::Good } else { Seen::Bad };
            if self.board.set(&spec.key, seen, &detail) {
                let (kind, name) = (spec.key.0.word(), &spec.key.1);
                match seen {
                    Seen::Good => {
                        tracing::info!(kind = "tracker", "{kind} {name}: runs as wanted ({detail})")
                    }
                    _ => tracing::warn!(kind = "tracker", "{kind} {name}: does not run as wanted ({detail})"),
                }
            }
        }
    }
}

/// A descriptor that is readable when the process has ended; `None` where the kernel has none to give (before 5.3).
fn open(process: i32) -> Option<OwnedFd> {
    let process = rustix::process::Pid::from_raw(process)?;
    rustix::process::pidfd_open(process, rustix::process::PidfdFlags::empty()).ok()
}

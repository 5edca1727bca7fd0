//! The watchers: everything that is tracked without a process for each, on threads of their own.
//!
//! Checks and files share one thread, because none of their work waits for anything but the network: what may wait
//! for a disk or for a name server goes to further threads. Processes have a thread (reading another process's
//! command line can hang), BFD sessions have one with real-time priority. None of them is the main loop's. The
//! runtime starts one [`Watchers`], tells it the configuration at start and at every reload, and looks at
//! [`Watchers::seen`] whenever [`Watchers::changed`] returns.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};

use super::bfd::Sessions;
use super::board::{Board, Key, Kind};
use super::process::Processes;
use super::{Seen, check, file};
use crate::config::model::{Check, Config, Probe, TrackFile};
use crate::control::protocol::TrackerStatus;

/// Threads that resolve names and read files: each can hang for as long as the system lets it.
const BLOCKING_THREADS: usize = 32;
/// How long a start waits for what is known without asking anybody.
const START_PATIENCE: Duration = Duration::from_millis(100);
/// How long a stop waits for a thread.
const STOP_PATIENCE: Duration = Duration::from_millis(200);

/// Watches what is tracked. Dropping it ends the watching without waiting.
#[derive(Debug)]
pub struct Watchers {
    board: Board,
    order: Vec<Key>,
    jobs: Option<mpsc::UnboundedSender<Vec<Job>>>,
    thread: Option<std::thread::JoinHandle<()>>,
    processes: Processes,
    sessions: Sessions,
}

/// A check or a file.
#[derive(Clone, Debug, PartialEq)]
enum Job {
    Check(Check),
    /// With the mode of what it is initialised with.
    File(TrackFile, u32),
}

impl Job {
    fn key(&self) -> Key {
        match self {
            Self::Check(check) => (Kind::Check, Arc::from(check.name.as_str())),
            Self::File(file, _) => (Kind::File, Arc::from(file.name.as_str())),
        }
    }

    /// The same, apart from what does not change how it is watched.
    fn plain(&self) -> Self {
        let mut job = self.clone();
        match &mut job {
            Self::Check(check) => {
                check.weight = crate::config::model::Weight::default();
            }
            Self::File(file, mode) => {
                *mode = 0;
                file.weight = crate::config::model::FileWeight::default();
            }
        }
        job
    }
}

impl Watchers {
    /// Starts the thread for checks and files, with nothing to watch yet; the others start when they are needed.
    ///
    /// # Errors
    /// The thread or its event loop could not be made.
    pub fn start() -> io::Result<Self> {
        let (jobs, jobs_in) = mpsc::unbounded_channel();
        let board = Board::default();
        let shared = board.clone();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(BLOCKING_THREADS)
            .thread_name("xvrrp-lookup")
            .build()?;
        let thread = std::thread::Builder::new().name("xvrrp-checks".to_owned()).spawn(move || {
            runtime.block_on(supervise(jobs_in, shared));
            // A name server that hangs must not hold up the stop.
            runtime.shutdown_background();
        })?;
        Ok(Self {
            processes: Processes::new(board.clone()),
            sessions: Sessions::new(board.clone()),
            board,
            order: Vec::new(),
            jobs: Some(jobs),
            thread: Some(thread),
        })
    }

    /// Makes these the things that are watched: at start and at each reload.
    ///
    /// What did not change keeps its state, its counts and its timer; what changed keeps its state until the first
    /// result of the new definition; what is gone is forgotten.
    pub fn apply(&mut self, config: &Config) {
        let key = |kind, name: &str| -> Key { (kind, Arc::from(name)) };
        let mut wanted = Vec::new();
        for check in &config.checks {
            let start = if check.init_fail { Seen::Bad } else { Seen::Pending };
            wanted.push((key(Kind::Check, &check.name), start));
        }
        let processes = config.track_processes.iter().map(|spec| key(Kind::Process, &spec.name));
        let files = config.track_files.iter().map(|file| key(Kind::File, &file.name));
        wanted.extend(processes.chain(files).map(|key| (key, Seen::Pending)));
        let no_bfd = config.global.no_bfd;
        let session = if no_bfd { Seen::Bad } else { Seen::Pending };
        wanted.extend(config.bfd.iter().map(|bfd| (key(Kind::Bfd, &bfd.name), session)));
        self.board.keep(&wanted);
        self.order = wanted.into_iter().map(|(key, _)| key).collect();

        let polled = config.checks.iter().filter(|check| !matches!(check.probe, Probe::Process(_)));
        let files =
            config.track_files.iter().map(|file| Job::File(file.clone(), config.global.process.file_mode()));
        if let Some(jobs) = &self.jobs {
            // The thread only ends when this sender is dropped.
            let _ = jobs.send(polled.cloned().map(Job::Check).chain(files).collect());
        }
        self.processes.apply(&config.track_processes, &config.checks);
        let sessions: &[_] = if no_bfd { &[] } else { &config.bfd };
        self.sessions.apply(sessions, config.global.process.loop_priority());
    }

    /// Waits until files are read and processes counted for the first time, but not for what hangs: a master that is
    /// resumed must not begin with a priority that lacks what a file adds.
    ///
    /// Blocks: for start-up only.
    pub fn settle(&self) {
        let patience = Instant::now() + START_PATIENCE;
        while self.board.awaits(&[Kind::File, Kind::Process]) && Instant::now() < patience {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// What a thing is; [`Seen::Ignored`] where there is none of that name.
    #[must_use]
    pub fn seen(&self, kind: Kind, name: &str) -> Seen {
        self.board.seen(kind, name)
    }

    /// The same as [`Watchers::status`] for another thread to find out: it takes the lock that the threads which watch
    /// write under.
    pub fn statuses(&self) -> impl Fn() -> Vec<TrackerStatus> + Send + Sync + use<> {
        let (board, order) = (self.board.clone(), self.order.clone());
        move || board.status(&order)
    }

    /// Returns when something has changed since it last returned. It may be dropped at any time.
    pub async fn changed(&self) {
        self.board.changed().await;
    }

    /// What `xvrrp status` shows, in file order, kind by kind.
    #[must_use]
    pub fn status(&self) -> Vec<TrackerStatus> {
        self.board.status(&self.order)
    }

    /// Ends all watching and waits for it, but not for what hangs. BFD neighbours are told.
    ///
    /// Blocks: call it last, when no advert is left to send.
    pub fn stop(mut self) {
        self.jobs = None;
        self.sessions.stop();
        self.processes.stop();
        if let Some(thread) = self.thread.take() {
            join(&thread);
        }
    }
}

/// Waits for a thread that was told to end, for a while.
pub(super) fn join(thread: &std::thread::JoinHandle<()>) {
    let patience = Instant::now() + STOP_PATIENCE;
    while !thread.is_finished() && Instant::now() < patience {
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Starts and stops tasks as told, until the [`Watchers`] are gone.
async fn supervise(mut jobs: mpsc::UnboundedReceiver<Vec<Job>>, board: Board) {
    let mut running: BTreeMap<Key, (Job, AbortHandle)> = BTreeMap::new();
    let mut tasks = JoinSet::new();
    loop {
        let wanted = tokio::select! {
            wanted = jobs.recv() => wanted,
            Some(_) = tasks.join_next() => continue,
        };
        // The tasks end with the set.
        let Some(wanted) = wanted else { return };
        let mut next = BTreeMap::new();
        for job in wanted {
            let key = job.key();
            let task = match running.remove(&key) {
                Some((old, task)) if old.plain() == job.plain() => task,
                old => {
                    if let Some((_, changed)) = old {
                        changed.abort();
                    }
                    let (key, board) = (key.clone(), board.clone());
                    match job.clone() {
                        Job::Check(check) => tasks.spawn(check::run(key, check, board)),
                        Job::File(file, mode) => tasks.spawn(file::run(key, file, mode, board)),
                    }
                }
            };
            if let Some((_, twin)) = next.insert(key, (job, task)) {
                twin.abort();
            }
        }
        for (_, task) in running.into_values() {
            task.abort();
        }
        running = next;
    }
}

//! The watchers: everything that is tracked, on threads of their own.
//!
//! Checks and files share one thread, because none of their work waits for anything but the network: what may wait
//! for a disk or for a name server goes to further threads. Scripts have a thread, because starting one can be slow or
//! hang. So have processes (reading another process's command line can hang), and BFD sessions one with real-time
//! priority. None of them is the main loop's. The runtime starts one [`Watchers`], tells it the configuration at start
//! and at every reload, and looks at [`Watchers::seen`] whenever [`Watchers::changed`] returns.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::bfd::Sessions;
use super::board::{Board, Key, TrackerKind};
use super::process::Processes;
use super::tasks::{Job, supervise};
use super::{STOP_PATIENCE, Seen, script};
use crate::config::model::{Config, Probe};
use crate::control::protocol::{ScriptStatus, TrackerStatus};
use crate::worker::Worker;

/// How long a start waits for what is known without asking anybody.
const START_PATIENCE: Duration = Duration::from_millis(100);
/// How long a stop waits for the thread with the scripts: their grace, and some for the kernel to do its work.
const SCRIPTS_PATIENCE: Duration = Duration::from_millis(1000);

/// Watches what is tracked. Dropping it ends the watching, and kills scripts, without waiting.
#[derive(Debug)]
pub struct Watchers {
    board: Board,
    order: Vec<Key>,
    scripts: Worker<Vec<Job>>,
    checks: Worker<Vec<Job>>,
    processes: Processes,
    sessions: Sessions,
}

impl Watchers {
    /// Starts the threads for scripts, and for checks and files, with nothing to watch yet; the others start when they
    /// are needed.
    ///
    /// # Errors
    /// A thread or its event loop could not be made.
    pub fn start() -> io::Result<Self> {
        let board = Board::default();
        let start = |name| {
            let board = board.clone();
            Worker::start_tasks(name, |jobs| supervise(jobs, board))
        };
        let (scripts, checks) = (start("xvrrp-scripts")?, start("xvrrp-checks")?);
        Ok(Self {
            processes: Processes::new(board.clone()),
            sessions: Sessions::new(board.clone()),
            board,
            order: Vec::new(),
            scripts,
            checks,
        })
    }

    /// Makes these the things that are watched: at start and at each reload.
    ///
    /// What did not change keeps its state, its counts and its timer; what changed keeps its state until the first
    /// result of the new definition; what is gone is forgotten.
    pub fn apply(&mut self, config: &Config) {
        let key = |kind, name: &str| -> Key { (kind, Arc::from(name)) };
        let start = |init_fail| if init_fail { Seen::Bad } else { Seen::Pending };
        let mut wanted = Vec::new();
        let scripts = config.scripts.iter();
        wanted
            .extend(scripts.map(|script| (key(TrackerKind::Script, &script.name), start(script.init_fail))));
        let checks = config.checks.iter();
        wanted.extend(checks.map(|check| (key(TrackerKind::Check, &check.name), start(check.init_fail))));
        let processes = config.track_processes.iter().map(|spec| key(TrackerKind::Process, &spec.name));
        let files = config.track_files.iter().map(|file| key(TrackerKind::File, &file.name));
        wanted.extend(processes.chain(files).map(|key| (key, Seen::Pending)));
        let no_bfd = config.global.no_bfd;
        let session = if no_bfd { Seen::Bad } else { Seen::Pending };
        wanted.extend(config.bfd.iter().map(|bfd| (key(TrackerKind::Bfd, &bfd.name), session)));
        self.board.keep(&wanted);
        self.order = wanted.into_iter().map(|(key, _)| key).collect();

        let scripts =
            config.scripts.iter().map(|script| Job::Script(script::Spec::new(script, &config.global)));
        self.scripts.tell(scripts.collect());
        let polled = config.checks.iter().filter(|check| !matches!(check.probe, Probe::Process(_)));
        let files =
            config.track_files.iter().map(|file| Job::File(file.clone(), config.global.process.file_mode()));
        self.checks.tell(polled.cloned().map(Job::Check).chain(files).collect());
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
        while self.board.awaits(&[TrackerKind::File, TrackerKind::Process]) && Instant::now() < patience {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// What a thing is; [`Seen::Ignored`] where there is none of that name.
    #[must_use]
    pub fn seen(&self, kind: TrackerKind, name: &str) -> Seen {
        self.board.seen(kind, name)
    }

    /// [`Watchers::scripts`] and [`Watchers::status`] for another thread to find out: it takes the lock that the threads
    /// which watch write under.
    pub fn statuses(&self) -> impl Fn() -> (Vec<ScriptStatus>, Vec<TrackerStatus>) + Send + Sync + use<> {
        let (board, order) = (self.board.clone(), self.order.clone());
        move || (board.scripts(&order), board.status(&order))
    }

    /// Returns when something has changed since it last returned. It may be dropped at any time.
    pub async fn changed(&self) {
        self.board.changed().await;
    }

    /// What `xvrrp status` shows of all but scripts, in file order, kind by kind.
    #[must_use]
    pub fn status(&self) -> Vec<TrackerStatus> {
        self.board.status(&self.order)
    }

    /// What `xvrrp status` shows of scripts, in file order.
    #[must_use]
    pub fn scripts(&self) -> Vec<ScriptStatus> {
        self.board.scripts(&self.order)
    }

    /// Ends all watching and waits for it, but not for what hangs. BFD neighbours are told; scripts are stopped (SIGTERM,
    /// then SIGKILL), which takes about a second at most.
    ///
    /// Blocks: call it last, when no advert is left to send.
    pub fn stop(mut self) {
        self.checks.dismiss();
        self.scripts.dismiss();
        self.sessions.stop();
        self.processes.stop();
        self.checks.stop(STOP_PATIENCE);
        // A script that the kernel cannot kill (a hung file system) is left behind with its thread.
        self.scripts.stop(SCRIPTS_PATIENCE);
    }
}

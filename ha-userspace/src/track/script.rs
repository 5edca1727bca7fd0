//! The script runner: `vrrp_script`s on a thread of their own, so that a slow `fork`, a hung file system or a slow
//! user database never delays an advert.
//!
//! The runtime starts one [`Runner`], tells it the scripts at start and at every reload, and reads [`ScriptEvent`]s
//! from the channel. What a single script does over time is in `task`; how it is started is [`crate::program`]'s business.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::{ScriptState, task};
use crate::config::model::{Global, Script, ScriptUser};
use crate::control::protocol::ScriptStatus;

/// Room for changes that the main loop has not read yet; the script thread waits beyond that.
const EVENTS: usize = 64;

/// A script's state changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptEvent {
    /// Name of the script.
    pub name: Arc<str>,
    /// The new state, never [`ScriptState::Pending`].
    pub state: ScriptState,
    /// Why: `exit 1`, `timeout after 2s`, or the reason that it was disabled for.
    pub cause: String,
}

/// What is known of one script; kept across reloads.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) state: ScriptState,
    pub(super) last_result: Option<String>,
    pub(super) last_start: Option<Instant>,
    pub(super) last_duration: Option<Duration>,
    pub(super) runs: u64,
    pub(super) failures: u64,
    pub(super) skipped: u64,
    pub(super) running: bool,
}

impl Record {
    pub(super) const fn new(state: ScriptState) -> Self {
        Self {
            state,
            last_result: None,
            last_start: None,
            last_duration: None,
            runs: 0,
            failures: 0,
            skipped: 0,
            running: false,
        }
    }
}

/// The records, shared between the main loop (which reads) and the script thread (which writes).
#[derive(Clone, Debug, Default)]
pub(super) struct Board(Arc<Mutex<BTreeMap<Arc<str>, Record>>>);

impl Board {
    /// Locks the records. Nothing waits or panics while it holds the lock.
    pub(super) fn lock(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, Record>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A script as it is to be run: its definition with the global settings that bear on it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Job {
    pub(super) script: Script,
    pub(super) default_user: Option<ScriptUser>,
    pub(super) security: bool,
    pub(super) mask: u32,
}

impl Job {
    /// The same script, apart from things that do not change how it is run.
    fn runs_like(&self, other: &Self) -> bool {
        let plain = |job: &Self| {
            let mut job = job.clone();
            job.script.weight = crate::config::model::Weight::default();
            job
        };
        plain(self) == plain(other)
    }
}

/// Runs the tracked scripts. Dropping it kills them without waiting; [`Runner::stop`] waits.
#[derive(Debug)]
pub struct Runner {
    jobs: Option<mpsc::UnboundedSender<Vec<Job>>>,
    board: Board,
    thread: Option<JoinHandle<()>>,
    order: Vec<Arc<str>>,
}

impl Runner {
    /// Starts the script thread, with no scripts yet.
    ///
    /// # Errors
    /// The thread or its event loop could not be made.
    pub fn start() -> io::Result<(Self, mpsc::Receiver<ScriptEvent>)> {
        let (jobs, jobs_in) = mpsc::unbounded_channel();
        let (events, events_out) = mpsc::channel(EVENTS);
        let board = Board::default();
        let shared = board.clone();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::Builder::new()
            .name("xvrrp-scripts".to_owned())
            .spawn(move || runtime.block_on(supervise(jobs_in, events, shared)))?;
        Ok((Self { jobs: Some(jobs), board, thread: Some(thread), order: Vec::new() }, events_out))
    }

    /// Makes these the scripts that run: at start and at each reload.
    ///
    /// A script whose definition did not change keeps its state, its counts and its timer; one that changed keeps
    /// its state until the first result of the new definition; one that is gone is stopped.
    pub fn apply(&mut self, scripts: &[Script], global: &Global) {
        let mut board = self.board.lock();
        self.order = scripts.iter().map(|script| Arc::from(script.name.as_str())).collect();
        board.retain(|name, _| self.order.contains(name));
        for (name, script) in self.order.iter().zip(scripts) {
            let start = if script.init_fail { ScriptState::Bad } else { ScriptState::Pending };
            board.entry(Arc::clone(name)).or_insert(Record::new(start));
        }
        drop(board);
        let jobs = scripts.iter().map(|script| Job {
            script: script.clone(),
            default_user: global.script_user.clone(),
            security: global.script_security,
            // A script that only looks may as well make files that can be run.
            mask: global.process.umask.unwrap_or(0o077),
        });
        if let Some(sender) = &self.jobs {
            // The thread only ends when this sender is dropped.
            let _ = sender.send(jobs.collect());
        }
    }

    /// The state of a script; [`ScriptState::Disabled`] where there is none of that name.
    #[must_use]
    pub fn state(&self, name: &str) -> ScriptState {
        self.board.lock().get(name).map_or(ScriptState::Disabled, |record| record.state)
    }

    /// What `xvrrp status` shows, in file order.
    #[must_use]
    pub fn status(&self) -> Vec<ScriptStatus> {
        self.statuses()()
    }

    /// The same for another thread to find out: it takes the lock that the script thread writes under.
    pub fn statuses(&self) -> impl Fn() -> Vec<ScriptStatus> + Send + Sync + use<> {
        let (board, order) = (self.board.clone(), self.order.clone());
        move || {
            let now = Instant::now();
            let millis = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
            let ago = |start| millis(now.saturating_duration_since(start));
            let board = board.lock();
            let known = order.iter().filter_map(|name| board.get(name).map(|record| (name, record)));
            let status = |(name, record): (&Arc<str>, &Record)| ScriptStatus {
                name: name.to_string(),
                state: record.state.word().to_owned(),
                last_result: record.last_result.clone(),
                last_duration_ms: record.last_duration.map(millis),
                last_run_ms_ago: record.last_start.map(ago),
                runs: record.runs,
                failures: record.failures,
                skipped: record.skipped,
                running: record.running,
            };
            known.map(status).collect()
        }
    }

    /// Stops all scripts (SIGTERM, then SIGKILL) and waits for it, at most about a second.
    ///
    /// Blocks: call it last, when no advert is left to send.
    pub fn stop(mut self) {
        self.jobs = None;
        let Some(thread) = self.thread.take() else { return };
        let patience = Instant::now() + task::STOP_PATIENCE;
        while !thread.is_finished() && Instant::now() < patience {
            std::thread::sleep(Duration::from_millis(5));
        }
        // A script that the kernel cannot kill (a hung file system) is left behind with its thread.
    }
}

/// One script that runs: dropping `cancel` ends it.
struct Running {
    job: Job,
    cancel: watch::Sender<()>,
}

/// The script thread: starts and stops tasks as told, until the [`Runner`] is gone.
async fn supervise(
    mut jobs: mpsc::UnboundedReceiver<Vec<Job>>,
    events: mpsc::Sender<ScriptEvent>,
    board: Board,
) {
    let mut running: BTreeMap<Arc<str>, Running> = BTreeMap::new();
    let mut tasks = JoinSet::new();
    loop {
        let wanted = tokio::select! {
            wanted = jobs.recv() => wanted,
            Some(_) = tasks.join_next() => continue,
        };
        let Some(wanted) = wanted else { break };
        let mut next = BTreeMap::new();
        for job in wanted {
            let name: Arc<str> = Arc::from(job.script.name.as_str());
            let kept = running.remove(&name).filter(|old| old.job.runs_like(&job));
            let entry = kept.unwrap_or_else(|| {
                let (cancel, cancelled) = watch::channel(());
                tasks.spawn(task::run(
                    Arc::clone(&name),
                    job.clone(),
                    events.clone(),
                    board.clone(),
                    cancelled,
                ));
                Running { job, cancel }
            });
            next.insert(name, entry);
        }
        // Dropping the old map cancels what is gone or changed.
        running = next;
    }
    for (_, entry) in running {
        drop(entry.cancel);
    }
    // Nobody reads events any more; a task that waits to send one must not hold up the stop.
    drop(events);
    while tasks.join_next().await.is_some() {}
}

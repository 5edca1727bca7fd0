//! One script over time: start it at every interval, never twice at once, kill it when it takes too long.
//!
//! Only the script thread runs this. A script's own children that outlive it are left alone (check scripts restart
//! services); on a timeout the whole process group goes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::stat::Mode;
use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::judge::Judge;
use super::script::{Board, Job, ScriptEvent};
use super::{ScriptState, script::Record};
use crate::program::{self, Fate, Outcome, Prepared};

/// How long a stop waits for the script thread: the grace, and some for the kernel to do its work.
pub(super) const STOP_PATIENCE: Duration = Duration::from_millis(1000);
/// No script is started more often than this.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(10);
/// Longer ones mean never, and must not overflow a clock.
const LONGEST_INTERVAL: Duration = Duration::from_secs(365 * 86_400);
/// How often a script that could not be used is looked at again: at its interval, within these limits.
const RETRY_LATEST: Duration = Duration::from_secs(10);
const RETRY_SOONEST: Duration = Duration::from_millis(100);

/// The work of one task.
struct Task {
    name: Arc<str>,
    job: Job,
    events: mpsc::Sender<ScriptEvent>,
    board: Board,
    cancelled: watch::Receiver<()>,
}

/// Runs a script until it is cancelled (the sender of `cancelled` is dropped).
pub(super) async fn run(
    name: Arc<str>,
    job: Job,
    events: mpsc::Sender<ScriptEvent>,
    board: Board,
    cancelled: watch::Receiver<()>,
) {
    let mut task = Task { name, job, events, board, cancelled };
    // `None` means cancelled.
    let _ = task.run().await;
}

impl Task {
    async fn run(&mut self) -> Option<()> {
        let prepared = self.prepare().await?;
        let known = self.board.lock().get(&self.name).map_or(ScriptState::Pending, |record| record.state);
        let script = &self.job.script;
        let mut judge = Judge::new(script.rise, script.fall, script.init_fail).inherit(known);
        let period = script.interval.clamp(SHORTEST_INTERVAL, LONGEST_INTERVAL);
        let mut ticker = interval(period);
        ticker.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                _ = ticker.tick() => {}
                _ = self.cancelled.changed() => return None,
            }
            let start = Instant::now();
            self.note(|record| record.running = true);
            let outcome = self.one_run(&prepared).await?;
            let duration = start.elapsed();
            let change = judge.record(outcome.is_success());
            self.note(|record| {
                record.running = false;
                record.state = judge.state();
                record.last_result = Some(outcome.to_string());
                record.last_start = Some(start);
                record.last_duration = Some(duration);
                record.runs = record.runs.saturating_add(1);
                record.failures = record.failures.saturating_add(u64::from(!outcome.is_success()));
                let skipped = duration.as_nanos() / period.as_nanos().max(1);
                record.skipped = record.skipped.saturating_add(u64::try_from(skipped).unwrap_or(u64::MAX));
            });
            if let Some(state) = change {
                self.tell(state, outcome.to_string()).await?;
            }
        }
    }

    /// Finds the program and its user. A script that cannot be used is disabled and looked at again later; once it
    /// can be used it stays disabled until its first result, so that nobody loses a VIP while it runs.
    async fn prepare(&mut self) -> Option<Prepared> {
        let mut told = String::new();
        loop {
            let script = &self.job.script;
            let user = script.user.as_ref().or(self.job.default_user.as_ref());
            let why = match program::prepare(&script.argv, user, self.job.security) {
                Ok(prepared) => {
                    if !told.is_empty() {
                        tracing::info!("script {} can be used now", self.name);
                    }
                    if let Err(refusal) = prepared.check_strictly() {
                        tracing::warn!(
                            "script {} would not pass enable_script_security: {refusal}",
                            self.name
                        );
                    }
                    return Some(prepared);
                }
                Err(why) => why.to_string(),
            };
            if told != why {
                self.note(|record| {
                    record.state = ScriptState::Disabled;
                    record.last_result = Some(why.clone());
                });
                self.tell(ScriptState::Disabled, why.clone()).await?;
                told = why;
            }
            tokio::select! {
                () = sleep(self.job.script.interval.clamp(RETRY_SOONEST, RETRY_LATEST)) => {}
                _ = self.cancelled.changed() => return None,
            }
        }
    }

    /// One run from start to end. `None` where the task was cancelled, after the script is gone.
    async fn one_run(&mut self, prepared: &Prepared) -> Option<Outcome> {
        if let Err(refusal) = prepared.check() {
            return Some(Outcome::NotRun(refusal.to_string()));
        }
        let mut child = match prepared.spawn(Fate::EndsWithDaemon, Mode::from_bits_truncate(self.job.mask)) {
            Ok(child) => child,
            Err(error) => return Some(Outcome::NotRun(format!("cannot be started: {error}"))),
        };
        let limit = self.job.script.timeout.max(Duration::from_millis(1));
        tokio::select! {
            ended = timeout(limit, child.wait()) => match ended {
                Ok(Ok(status)) => return Some(Outcome::from_status(status)),
                Ok(Err(error)) => return Some(Outcome::NotRun(format!("cannot be waited for: {error}"))),
                Err(_) => {}
            },
            _ = self.cancelled.changed() => {
                child.end().await;
                return None;
            }
        }
        child.end().await;
        Some(Outcome::Timeout(limit))
    }

    /// Writes into the record, unless the script was removed or redefined meanwhile.
    fn note(&self, write: impl FnOnce(&mut Record)) {
        if self.cancelled.has_changed().is_ok()
            && let Some(record) = self.board.lock().get_mut(&self.name)
        {
            write(record);
        }
    }

    /// Logs a change and hands it to the main loop.
    async fn tell(&mut self, state: ScriptState, cause: String) -> Option<()> {
        match state {
            ScriptState::Good => tracing::info!("script {} succeeds ({cause})", self.name),
            ScriptState::Bad => tracing::warn!("script {} fails ({cause})", self.name),
            ScriptState::Disabled => tracing::error!(
                "script {} ({}) is disabled, what tracks it ignores it: {cause}",
                self.name,
                self.job.script.place
            ),
            ScriptState::Pending => {}
        }
        let event = ScriptEvent { name: Arc::clone(&self.name), state, cause };
        tokio::select! {
            sent = self.events.send(event) => sent.ok(),
            _ = self.cancelled.changed() => None,
        }
    }
}

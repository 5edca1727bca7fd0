//! `vrrp_script`, one script over time: start it at every interval, never twice at once, kill it when it takes too long.
//!
//! The scripts have a thread of their own, so that a slow start, a hung file system or a slow user database delays
//! neither an advert nor a check. How a script is started is [`crate::program`]'s business. A script's own children that
//! outlive it are left alone (check scripts restart services); on a timeout the whole process group goes.

use std::time::{Duration, Instant};

use nix::sys::stat::Mode;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::Seen;
use super::board::{Board, Key, Run};
use super::judge::Judge;
use crate::config::model::{Global, Script, ScriptUser};
use crate::program::{self, Ended, Fate, Prepared};

/// No script is started more often than this.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(10);
/// Longer ones mean never, and must not overflow a clock.
const LONGEST_INTERVAL: Duration = Duration::from_secs(365 * 86_400);
/// How often a script that could not be used is looked at again: at its interval, within these limits.
const RETRY_LATEST: Duration = Duration::from_secs(10);
const RETRY_SOONEST: Duration = Duration::from_millis(100);

/// A script as it is to be run: its definition with the global settings that bear on it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Spec {
    pub(super) script: Script,
    default_user: Option<ScriptUser>,
    security: bool,
    mask: u32,
}

impl Spec {
    pub(super) fn new(script: &Script, global: &Global) -> Self {
        Self {
            script: script.clone(),
            default_user: global.script_user.clone(),
            security: global.script_security,
            // A script that only looks may as well make files that can be run.
            mask: global.process.umask.unwrap_or(0o077),
        }
    }
}

/// The work of one task.
struct Task {
    key: Key,
    spec: Spec,
    board: Board,
    cancelled: watch::Receiver<()>,
}

/// Runs a script until it is cancelled (the sender of `cancelled` is dropped), and ends what runs of it then.
pub(super) async fn run(key: Key, spec: Spec, board: Board, cancelled: watch::Receiver<()>) {
    let mut task = Task { key, spec, board, cancelled };
    // `None` means cancelled.
    let _ = task.run().await;
}

impl Task {
    async fn run(&mut self) -> Option<()> {
        // A run of the definition before is none of this one's.
        self.board.running(&self.key, false);
        let prepared = self.prepare().await?;
        let known = self.board.seen(self.key.0, &self.key.1);
        let script = &self.spec.script;
        let mut judge = Judge::new(script.rise, script.fall, script.init_fail).inherit(known);
        let period = script.interval.clamp(SHORTEST_INTERVAL, LONGEST_INTERVAL);
        let mut ticker = interval(period);
        ticker.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                biased;
                _ = self.cancelled.changed() => return None,
                _ = ticker.tick() => {}
            }
            let start = Instant::now();
            self.board.running(&self.key, true);
            let outcome = self.one_run(&prepared).await?;
            let (duration, success) = (start.elapsed(), outcome.is_success());
            let changed = judge.record(success).is_some();
            // Removed or redefined while it was ended: the record is not this task's any more.
            if self.cancelled.has_changed().is_err() {
                return None;
            }
            let skipped = duration.as_nanos() / period.as_nanos().max(1);
            let skipped = u64::try_from(skipped).unwrap_or(u64::MAX);
            self.board.count(&self.key, Run { start, duration, success, skipped });
            self.tell(judge.state(), &outcome.to_string(), changed);
        }
    }

    /// Finds the program and its user. A script that cannot be used is disabled and looked at again later; once it
    /// can be used it stays disabled until its first result, so that nobody loses a VIP while it runs.
    async fn prepare(&mut self) -> Option<Prepared> {
        let mut told = String::new();
        loop {
            let script = &self.spec.script;
            let user = script.user.as_ref().or(self.spec.default_user.as_ref());
            let why = match program::prepare(&script.argv, user, self.spec.security) {
                Ok(prepared) => {
                    if !told.is_empty() {
                        tracing::info!(kind = "tracker", "script {} can be used now", self.key.1);
                    }
                    if let Err(refusal) = prepared.check_strictly() {
                        tracing::warn!(
                            "script {} would not pass enable_script_security: {refusal}",
                            self.key.1
                        );
                    }
                    return Some(prepared);
                }
                Err(why) => why.to_string(),
            };
            if told != why {
                self.tell(Seen::Ignored, &why, true);
                told = why;
            }
            tokio::select! {
                biased;
                _ = self.cancelled.changed() => return None,
                () = sleep(self.spec.script.interval.clamp(RETRY_SOONEST, RETRY_LATEST)) => {}
            }
        }
    }

    /// One run from start to end. `None` where the task was cancelled, after the script is gone.
    async fn one_run(&mut self, prepared: &Prepared) -> Option<Ended> {
        if let Err(refusal) = prepared.check() {
            return Some(Ended::NotRun(refusal.to_string()));
        }
        let mut child = match prepared.spawn(Fate::EndsWithDaemon, Mode::from_bits_truncate(self.spec.mask)) {
            Ok(child) => child,
            Err(error) => return Some(Ended::NotRun(format!("cannot be started: {error}"))),
        };
        let limit = self.spec.script.timeout.max(Duration::from_millis(1));
        tokio::select! {
            ended = timeout(limit, child.wait()) => match ended {
                Ok(Ok(status)) => return Some(Ended::from_status(status)),
                Ok(Err(error)) => return Some(Ended::NotRun(format!("cannot be waited for: {error}"))),
                Err(_) => {}
            },
            _ = self.cancelled.changed() => {
                child.end().await;
                return None;
            }
        }
        child.end().await;
        Some(Ended::Timeout(limit))
    }

    /// Says what the script is, and logs it where that is new: before the main loop says what follows from it.
    fn tell(&self, seen: Seen, cause: &str, new: bool) {
        let name = &self.key.1;
        match (new, seen) {
            (false, _) => {}
            (true, Seen::Good) => tracing::info!(kind = "tracker", "script {name} succeeds ({cause})"),
            (true, Seen::Ignored) => tracing::error!(
                "script {name} ({}) is disabled, what tracks it ignores it: {cause}",
                self.spec.script.place
            ),
            (true, _) => tracing::warn!(kind = "tracker", "script {name} fails ({cause})"),
        }
        self.board.set(&self.key, seen, cause);
    }
}

//! What is known of everything that is watched: written by the threads that watch, read by the main loop.
//!
//! A write that changes what a thing is wakes the main loop, which then looks at the whole board: a wake-up that is
//! still unread covers those that follow, so nothing queues up, whatever flaps.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::Seen;
use crate::control::protocol::{ScriptStatus, TrackerStatus};

/// What is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TrackerKind {
    /// A `vrrp_script`.
    Script,
    /// A `vrrp_check`.
    Check,
    /// A `vrrp_track_process`.
    Process,
    /// A `track_file`.
    File,
    /// A `bfd_instance`.
    Bfd,
}

impl TrackerKind {
    /// The word in logs and in `xvrrp status`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Script => "script",
            Self::Check => "check",
            Self::Process => "process",
            Self::File => "file",
            Self::Bfd => "bfd",
        }
    }
}

/// TrackerKind and name: names are unique within a kind only.
pub type Key = (TrackerKind, Arc<str>);

/// What is known of one thing; kept across reloads.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) seen: Seen,
    /// Why, or in what detail.
    pub(super) detail: String,
    changed: Instant,
    last_start: Option<Instant>,
    last_duration: Option<Duration>,
    runs: u64,
    failures: u64,
    skipped: u64,
    running: bool,
}

impl Record {
    fn new(seen: Seen) -> Self {
        Self {
            seen,
            detail: String::new(),
            changed: Instant::now(),
            last_start: None,
            last_duration: None,
            runs: 0,
            failures: 0,
            skipped: 0,
            running: false,
        }
    }

    fn last_run_ms_ago(&self, now: Instant) -> Option<u64> {
        self.last_start.map(|start| millis(now.saturating_duration_since(start)))
    }

    fn status(&self, (kind, name): &Key, now: Instant) -> TrackerStatus {
        TrackerStatus {
            kind: kind.word().to_owned(),
            name: name.to_string(),
            state: self.seen.word().to_owned(),
            value: self.seen.value(),
            detail: self.detail.clone(),
            since_ms: millis(now.saturating_duration_since(self.changed)),
            last_duration_ms: self.last_duration.map(millis),
            last_run_ms_ago: self.last_run_ms_ago(now),
            runs: self.runs,
            failures: self.failures,
        }
    }

    fn script(&self, (_, name): &Key, now: Instant) -> ScriptStatus {
        ScriptStatus {
            name: name.to_string(),
            state: self.seen.word().to_owned(),
            last_result: Some(self.detail.clone()).filter(|result| !result.is_empty()),
            last_duration_ms: self.last_duration.map(millis),
            last_run_ms_ago: self.last_run_ms_ago(now),
            runs: self.runs,
            failures: self.failures,
            skipped: self.skipped,
            running: self.running,
        }
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// One run of a script, or one probe of a check.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    pub(super) start: Instant,
    pub(super) duration: Duration,
    pub(super) success: bool,
    /// Starts that were left out because this one was still going.
    pub(super) skipped: u64,
}

/// The board; clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Board {
    records: Arc<Mutex<BTreeMap<Key, Record>>>,
    changed: Arc<Notify>,
}

impl Board {
    /// Locks the records. Nothing waits or panics while it holds the lock.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Key, Record>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps exactly the wanted records; new ones begin as given.
    pub(super) fn keep(&self, wanted: &[(Key, Seen)]) {
        let mut records = self.lock();
        let mut old = std::mem::take(&mut *records);
        for (key, start) in wanted {
            let record = old.remove(key).unwrap_or_else(|| Record::new(*start));
            records.insert(key.clone(), record);
        }
    }

    /// What a thing is; [`Seen::Ignored`] where there is none of that name.
    pub(super) fn seen(&self, kind: TrackerKind, name: &str) -> Seen {
        self.lock().get(&(kind, Arc::from(name))).map_or(Seen::Ignored, |record| record.seen)
    }

    /// Whether nothing is known yet of a thing of one of these kinds.
    pub(super) fn awaits(&self, kinds: &[TrackerKind]) -> bool {
        let pending =
            |((kind, _), record): (&Key, &Record)| kinds.contains(kind) && record.seen == Seen::Pending;
        self.lock().iter().any(pending)
    }

    /// Says what a thing is now, and why. True where that is another state than before; a record that a reload
    /// removed stays away.
    pub(super) fn set(&self, key: &Key, seen: Seen, detail: &str) -> bool {
        let mut records = self.lock();
        let Some(record) = records.get_mut(key) else { return false };
        if record.detail != detail {
            detail.clone_into(&mut record.detail);
        }
        if record.seen == seen {
            return false;
        }
        record.seen = seen;
        record.changed = Instant::now();
        drop(records);
        self.changed.notify_one();
        true
    }

    /// Whether a run of a script is going on.
    pub(super) fn running(&self, key: &Key, running: bool) {
        if let Some(record) = self.lock().get_mut(key) {
            record.running = running;
        }
    }

    /// Counts one run that has ended.
    pub(super) fn count(&self, key: &Key, run: Run) {
        if let Some(record) = self.lock().get_mut(key) {
            record.last_start = Some(run.start);
            record.last_duration = Some(run.duration);
            record.runs = record.runs.saturating_add(1);
            record.failures = record.failures.saturating_add(u64::from(!run.success));
            record.skipped = record.skipped.saturating_add(run.skipped);
            record.running = false;
        }
    }

    /// Returns when something has changed since it last returned.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// What `xvrrp status` shows of all but scripts, in the order of `order`.
    pub(super) fn status(&self, order: &[Key]) -> Vec<TrackerStatus> {
        let now = Instant::now();
        let records = self.lock();
        let others = order.iter().filter(|key| key.0 != TrackerKind::Script);
        others.filter_map(|key| Some(records.get(key)?.status(key, now))).collect()
    }

    /// What `xvrrp status` shows of scripts, in the order of `order`.
    pub(super) fn scripts(&self, order: &[Key]) -> Vec<ScriptStatus> {
        let now = Instant::now();
        let records = self.lock();
        let scripts = order.iter().filter(|key| key.0 == TrackerKind::Script);
        scripts.filter_map(|key| Some(records.get(key)?.script(key, now))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(kind: TrackerKind) -> Key {
        (kind, Arc::from("web"))
    }

    fn board() -> (Board, [Key; 2]) {
        let board = Board::default();
        let order = [key(TrackerKind::Script), key(TrackerKind::Check)];
        board.keep(&order.clone().map(|key| (key, Seen::Pending)));
        (board, order)
    }

    /// Whether the main loop would be woken now.
    async fn wakes(board: &Board) -> bool {
        tokio::time::timeout(Duration::ZERO, board.changed()).await.is_ok()
    }

    #[test]
    fn a_script_and_a_check_of_one_name_are_two() {
        let (board, order) = board();
        assert!(board.set(&order[0], Seen::Bad, "exit 1"));
        assert!(board.set(&order[1], Seen::Good, "status 200"));
        board.running(&order[0], true);
        let run =
            Run { start: Instant::now(), duration: Duration::from_millis(7), success: false, skipped: 3 };
        let (script, check) = (board.scripts(&order).remove(0), board.status(&order).remove(0));
        assert_eq!((script.state.as_str(), script.last_result.as_deref()), ("bad", Some("exit 1")));
        assert!(script.running && script.last_duration_ms.is_none());
        assert_eq!(
            (check.kind.as_str(), check.state.as_str(), check.detail.as_str()),
            ("check", "good", "status 200")
        );
        board.count(&order[0], run);
        let script = board.scripts(&order).remove(0);
        assert_eq!((script.runs, script.failures, script.skipped, script.running), (1, 1, 3, false));
        assert_eq!(script.last_duration_ms, Some(7));
        assert_eq!((board.scripts(&order).len(), board.status(&order).len()), (1, 1));
    }

    #[test]
    fn a_script_that_has_not_run_has_no_result() {
        let (board, order) = board();
        let script = board.scripts(&order).remove(0);
        assert_eq!(
            (script.state.as_str(), script.last_result, script.last_run_ms_ago),
            ("pending", None, None)
        );
    }

    #[tokio::test]
    async fn one_wake_up_covers_all_changes_and_what_is_no_change_wakes_nobody() {
        let (board, [script, check]) = board();
        assert!(!wakes(&board).await);
        board.set(&script, Seen::Good, "exit 0");
        board.set(&check, Seen::Bad, "status 500");
        assert!(wakes(&board).await);
        assert!(!wakes(&board).await);
        assert!(!board.set(&script, Seen::Good, "exit 0 again"));
        board.running(&script, true);
        assert!(!board.set(&key(TrackerKind::File), Seen::Value(1), "not watched"));
        assert!(!wakes(&board).await);
    }
}

//! What is known of everything that is watched natively: written by the threads that watch, read by the main loop.
//!
//! A write that changes what a thing is wakes the main loop, which then looks at the whole board: a wake-up that is
//! still unread covers those that follow, so nothing queues up, whatever flaps.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::Seen;
use crate::control::protocol::TrackerStatus;

/// What is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A `vrrp_check`.
    Check,
    /// A `vrrp_track_process`.
    Process,
    /// A `track_file`.
    File,
    /// A `bfd_instance`.
    Bfd,
}

impl Kind {
    /// The word in logs and in `xvrrp status`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Check => "check",
            Self::Process => "process",
            Self::File => "file",
            Self::Bfd => "bfd",
        }
    }
}

/// Kind and name: names are unique within a kind only.
pub type Key = (Kind, Arc<str>);

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
        }
    }
}

/// One probe of a check.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    pub(super) start: Instant,
    pub(super) duration: Duration,
    pub(super) success: bool,
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
    pub(super) fn seen(&self, kind: Kind, name: &str) -> Seen {
        self.lock().get(&(kind, Arc::from(name))).map_or(Seen::Ignored, |record| record.seen)
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

    /// Counts one probe.
    pub(super) fn count(&self, key: &Key, run: Run) {
        if let Some(record) = self.lock().get_mut(key) {
            record.last_start = Some(run.start);
            record.last_duration = Some(run.duration);
            record.runs = record.runs.saturating_add(1);
            record.failures = record.failures.saturating_add(u64::from(!run.success));
        }
    }

    /// Returns when something has changed since it last returned.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// What `xvrrp status` shows, in the order of `order`.
    pub(super) fn status(&self, order: &[Key]) -> Vec<TrackerStatus> {
        let now = Instant::now();
        let millis = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        let records = self.lock();
        order
            .iter()
            .filter_map(|key| records.get(key).map(|record| (key, record)))
            .map(|((kind, name), record)| TrackerStatus {
                kind: kind.word().to_owned(),
                name: name.to_string(),
                state: record.seen.word().to_owned(),
                value: record.seen.value(),
                detail: record.detail.clone(),
                since_ms: millis(now.saturating_duration_since(record.changed)),
                last_duration_ms: record.last_duration.map(millis),
                last_run_ms_ago: record.last_start.map(|start| millis(now.saturating_duration_since(start))),
                runs: record.runs,
                failures: record.failures,
            })
            .collect()
    }
}

//! The tasks of a thread that watches: one for each thing, begun and ended as the configuration says.
//!
//! What a task does over time is in [`script`], [`check`] and [`file`].

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::board::{Board, Key, TrackerKind};
use super::{check, file, script};
use crate::config::model::{Check, FileWeight, TrackFile, Weight};

/// Something that a task follows.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Job {
    Script(script::Spec),
    Check(Check),
    /// With the mode of what it is initialised with.
    File(TrackFile, u32),
}

impl Job {
    fn key(&self) -> Key {
        let (kind, name) = match self {
            Self::Script(spec) => (TrackerKind::Script, &spec.script.name),
            Self::Check(check) => (TrackerKind::Check, &check.name),
            Self::File(file, _) => (TrackerKind::File, &file.name),
        };
        (kind, Arc::from(name.as_str()))
    }

    /// The same, apart from what does not change how it is watched.
    fn plain(&self) -> Self {
        let mut job = self.clone();
        match &mut job {
            Self::Script(spec) => spec.script.weight = Weight::default(),
            Self::Check(check) => check.weight = Weight::default(),
            Self::File(file, mode) => {
                *mode = 0;
                file.weight = FileWeight::default();
            }
        }
        job
    }

    /// The task, until it is cancelled: the sender of `cancelled` is dropped.
    async fn follow(self, key: Key, board: Board, cancelled: watch::Receiver<()>) {
        match self {
            // It has a process to end.
            Self::Script(spec) => script::run(key, spec, board, cancelled).await,
            Self::Check(check) => unless(cancelled, check::run(key, check, board)).await,
            Self::File(file, mode) => unless(cancelled, file::run(key, file, mode, board)).await,
        }
    }
}

/// Does the work until it is cancelled.
async fn unless(mut cancelled: watch::Receiver<()>, work: impl Future<Output = ()>) {
    tokio::select! {
        // What is cancelled writes nothing on the board any more.
        biased;
        _ = cancelled.changed() => {}
        () = work => {}
    }
}

/// A job with its task: dropping `cancel` ends that.
struct Running {
    job: Job,
    #[expect(dead_code, reason = "only its end is told")]
    cancel: watch::Sender<()>,
}

/// Begins and ends tasks as told; when there are no more orders, ends all and waits for them.
pub(super) async fn supervise(mut orders: UnboundedReceiver<Vec<Job>>, board: Board) {
    let mut running: BTreeMap<Key, Running> = BTreeMap::new();
    let mut tasks = JoinSet::new();
    loop {
        let wanted = tokio::select! {
            wanted = orders.recv() => wanted,
            Some(_) = tasks.join_next() => continue,
        };
        let Some(wanted) = wanted else { break };
        let mut next = BTreeMap::new();
        for job in wanted {
            let key = job.key();
            let kept = running.remove(&key).filter(|old| old.job.plain() == job.plain());
            let entry = kept.unwrap_or_else(|| {
                let (cancel, cancelled) = watch::channel(());
                tasks.spawn(job.clone().follow(key.clone(), board.clone(), cancelled));
                Running { job, cancel }
            });
            next.insert(key, entry);
        }
        // Dropping the old ones cancels what is gone or changed.
        running = next;
    }
    drop(running);
    while tasks.join_next().await.is_some() {}
}

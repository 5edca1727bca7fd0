//! The thread that writes events, and how it is told of them.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value};
use tracing::Level;

use super::FORMAT;
use super::file::EventFile;
use crate::logging::clock::rfc3339;
use crate::logging::record::Record;
use crate::worker::Worker;

/// Events that wait to be written.
const QUEUE: usize = 4096;
/// How long the end of the process waits for them.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// After a failure it is tried again when this is over; events of the meantime are lost.
const RETRY: Duration = Duration::from_secs(1);

/// Events that nobody will read, of this process.
static LOST: AtomicU64 = AtomicU64::new(0);

/// How many events of this process were lost.
pub(crate) fn lost() -> u64 {
    LOST.load(Ordering::Relaxed)
}

enum Order {
    Write(Record),
    End,
}

/// Takes events; clones share the thread. Never waits: what the disk does not take in time is counted.
#[derive(Clone, Debug)]
pub struct Recorder {
    orders: SyncSender<Order>,
    lost: Arc<AtomicU64>,
}

impl std::fmt::Debug for Order {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Write(_) => "Write",
            Self::End => "End",
        })
    }
}

/// Keeps the thread going; dropping it writes what is left, for half a second at most.
#[derive(Debug)]
pub(crate) struct Recording {
    recorder: Recorder,
    worker: Worker<std::convert::Infallible>,
}

impl Recorder {
    /// Starts the thread for files in this directory, which it makes.
    ///
    /// # Errors
    /// No thread is to be had.
    pub(crate) fn start(directory: PathBuf) -> std::io::Result<(Recording, Self)> {
        let (orders, taken) = sync_channel(QUEUE);
        let lost = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&lost);
        let worker = Worker::start("xvrrp-events", move |_| {
            crate::realtime::prefer_this_thread();
            write(EventFile::in_directory(directory), &taken, &counted);
        })?;
        let recorder = Self { orders, lost };
        Ok((Recording { recorder: recorder.clone(), worker }, recorder))
    }

    pub(crate) fn record(&self, record: Record) {
        if let Err(TrySendError::Full(_)) = self.orders.try_send(Order::Write(record)) {
            self.lost.fetch_add(1, Ordering::Relaxed);
            LOST.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        let _ = self.recorder.orders.try_send(Order::End);
        self.worker.stop(LAST_WORDS);
    }
}

fn write(mut file: EventFile, orders: &Receiver<Order>, lost: &AtomicU64) {
    let mut failed: Option<Instant> = None;
    loop {
        let order = match orders.try_recv() {
            Ok(order) => order,
            // What is written survives a power cut too, but not for every event of a flood.
            Err(_) => {
                file.sync();
                match orders.recv() {
                    Ok(order) => order,
                    Err(_) => return,
                }
            }
        };
        let Order::Write(record) = order else { return };
        if failed.is_some_and(|at| at.elapsed() < RETRY) {
            lost.fetch_add(1, Ordering::Relaxed);
            LOST.fetch_add(1, Ordering::Relaxed);
            continue;
        }
        let missing = lost.swap(0, Ordering::Relaxed);
        let before = (missing > 0).then(|| line(&loss(missing, record.at)));
        let told = before.map_or(Ok(()), |text| file.append(&text));
        failed = match told.and_then(|()| file.append(&line(&record))) {
            Ok(()) => None,
            // Nobody is told: that would be the next event. `xvrrp events` says how many are missing.
            Err(_) => {
                lost.fetch_add(missing + 1, Ordering::Relaxed);
                LOST.fetch_add(1, Ordering::Relaxed);
                Some(Instant::now())
            }
        };
    }
}

fn loss(count: u64, at: SystemTime) -> Record {
    let fields = Map::from_iter([("kind".to_owned(), Value::from("lost"))]);
    let text = format!("{count} events before this one were lost: they could not be written in time");
    Record { at, level: Level::WARN, text, fields }
}

/// The line of an event: [`super::Event`].
pub(crate) fn line(record: &Record) -> String {
    let micros = record.at.duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
    let level = match record.level {
        Level::ERROR => "error",
        Level::WARN => "warning",
        Level::INFO => "info",
        Level::DEBUG | Level::TRACE => "debug",
    };
    let mut all = Map::new();
    all.insert("format".to_owned(), FORMAT.into());
    all.insert("unix_us".to_owned(), u64::try_from(micros).unwrap_or(u64::MAX).into());
    all.insert("at".to_owned(), rfc3339(record.at).into());
    all.insert("level".to_owned(), level.into());
    all.insert("kind".to_owned(), "log".into());
    all.insert("text".to_owned(), record.text.clone().into());
    all.extend(record.fields.clone());
    Value::Object(all).to_string()
}

//! The queue of log lines, the thread that empties it, and the three forms that a line takes.

use std::convert::Infallible;
use std::fs::File;
use std::io::{IsTerminal, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::time::{Duration, SystemTime};

use serde_json::Map;
use tracing::Level;

use super::Options;
use super::clock::{rfc3339, time_of_day};
use super::journal;
use super::record::Record;
use crate::events::Recording;
use crate::words::printable;
use crate::worker::Worker;

/// Lines that wait to be written.
const QUEUE: usize = 1024;
/// How long the end of the process waits for them.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// Columns of a terminal that lines are wrapped at.
const WIDTH: usize = 100;
/// Syslog facility daemon (RFC 5424 section 6.2.1).
const DAEMON: u8 = 3;
/// Where syslog listens.
const DEV_LOG: &str = "/dev/log";

/// Where lines go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// A terminal: time of day, level, message.
    Terminal {
        /// Whether to colour the level.
        colour: bool,
    },
    /// A file or a pipe: the same with the date (RFC 3339).
    File,
    /// Standard error, each record an event in JSON (docs/events.md).
    Json,
    /// The journal, with fields (docs/events.md); where its socket is not there, standard error, which systemd reads:
    /// `<6>message` (sd-daemon(3)). Time and name are the journal's.
    Journal,
    /// `/dev/log`, name `xvrrp`.
    Syslog {
        /// Facility (RFC 5424 section 6.2.1).
        facility: u8,
    },
    /// Nowhere.
    Nowhere,
}

impl Target {
    /// Syslog where it is asked for; the journal where standard error is the stream that `JOURNAL_STREAM` names;
    /// standard error otherwise.
    #[must_use]
    pub fn choose(options: &Options) -> Self {
        if options.quiet {
            Self::Nowhere
        } else if options.syslog {
            Self::Syslog { facility: options.facility.unwrap_or(DAEMON) }
        } else if options.json {
            Self::Json
        } else if is_journal() {
            Self::Journal
        } else if std::io::stderr().is_terminal() {
            Self::Terminal { colour: crate::colour::is_wanted(true) }
        } else {
            Self::File
        }
    }
}

/// `JOURNAL_STREAM` is `device:inode` of the stream (systemd.exec(5)); a redirected standard error is another one.
fn is_journal() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
    std::fs::metadata("/proc/self/fd/2").is_ok_and(|meta| stream == format!("{}:{}", meta.dev(), meta.ino()))
}

/// The near end of the queue.
#[derive(Clone, Debug)]
pub(super) struct Queue {
    lines: SyncSender<Option<Record>>,
    dropped: Arc<AtomicU64>,
}

impl Queue {
    /// Queues a line or, where the queue is full, counts it.
    pub(super) fn put(&self, line: Record) {
        if self.lines.try_send(Some(line)).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Keeps logging going; dropping it writes what is left.
#[derive(Debug)]
pub struct Logging {
    target: Target,
    queue: Queue,
    /// Takes no orders: lines come through the queue, which is bounded, and which others keep open for good.
    worker: Worker<Infallible>,
    recording: Option<Recording>,
}

impl Logging {
    /// `copy` gets every line as well.
    pub(super) fn start(target: Target, copy: Option<File>) -> std::io::Result<(Self, Queue)> {
        let socket = if target == Target::Journal { journal::SOCKET } else { DEV_LOG };
        Self::start_with(target, Box::new(std::io::stderr()), copy, Path::new(socket))
    }

    fn start_with(
        target: Target,
        stderr: Box<dyn Write + Send>,
        copy: Option<File>,
        socket: &Path,
    ) -> std::io::Result<(Self, Queue)> {
        let (sender, receiver) = sync_channel(QUEUE);
        let dropped = Arc::new(AtomicU64::new(0));
        let mut writer = Writer { target, stderr, copy, socket: None, path: socket.to_owned() };
        let counter = Arc::clone(&dropped);
        let worker = Worker::start("xvrrp-log", move |end| {
            crate::realtime::prefer_this_thread();
            writer.run(&receiver, &counter, &end);
        })?;
        let queue = Queue { lines: sender, dropped };
        Ok((Self { target, queue: queue.clone(), worker, recording: None }, queue))
    }

    /// The flight recorder ends with the log.
    pub(super) fn recording(mut self, recording: Option<Recording>) -> Self {
        self.recording = recording;
        self
    }

    /// Where lines go.
    #[must_use]
    pub const fn target(&self) -> Target {
        self.target
    }

    /// Lines lost because they could not be written in time, not yet told in the log itself.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.queue.dropped.load(Ordering::Relaxed)
    }
}

impl Drop for Logging {
    fn drop(&mut self) {
        self.worker.dismiss();
        // Wakes a thread that waits; one that has a full queue comes by anyway.
        let _ = self.queue.lines.try_send(None);
        self.worker.stop(LAST_WORDS);
        drop(self.recording.take());
    }
}

/// The far end: only the log thread has it, and it may block.
struct Writer {
    target: Target,
    stderr: Box<dyn Write + Send>,
    copy: Option<File>,
    socket: Option<UnixDatagram>,
    path: std::path::PathBuf,
}

impl Writer {
    fn run(&mut self, lines: &Receiver<Option<Record>>, dropped: &AtomicU64, end: &Receiver<Infallible>) {
        loop {
            let ending = end.try_recv() == Err(TryRecvError::Disconnected);
            let next = if ending { lines.try_recv().ok() } else { lines.recv().ok() };
            match next {
                Some(Some(line)) => self.write(&line),
                Some(None) => continue,
                None => return,
            }
            // A line is only dropped while the queue is full, so one always follows that lets us come by here.
            let lost = dropped.swap(0, Ordering::Relaxed);
            if lost > 0 {
                let text = format!("{lost} log lines were lost because they could not be written in time");
                self.write(&Record { at: SystemTime::now(), level: Level::WARN, text, fields: Map::new() });
            }
        }
    }

    /// Writes a record. There is nobody to tell about an error.
    fn write(&mut self, line: &Record) {
        if let Some(file) = &mut self.copy {
            let _ = file.write_all(render(Target::File, line).as_bytes());
        }
        let target = self.target;
        match target {
            Target::Nowhere => return,
            // Where its socket does not take it, systemd reads standard error too.
            Target::Journal if self.send(&journal::datagram(line)) => return,
            Target::Syslog { facility } if self.syslog(facility, line) => return,
            Target::Syslog { .. }
            | Target::Terminal { .. }
            | Target::File
            | Target::Json
            | Target::Journal => {}
        }
        let _ = self.stderr.write_all(render(self.target, line).as_bytes());
        let _ = self.stderr.flush();
    }

    /// One datagram per line of text; false where there is no syslog, and standard error has to do.
    fn syslog(&mut self, facility: u8, line: &Record) -> bool {
        line.text.lines().all(|text| {
            let datagram =
                format!("<{}>xvrrp[{}]: {text}", facility << 3 | severity(line.level), std::process::id());
            self.send(datagram.as_bytes())
        })
    }

    /// Sends to the socket of the journal or of syslog; false where nobody takes it.
    fn send(&mut self, datagram: &[u8]) -> bool {
        // Whoever was restarted has a new socket.
        for _ in 0..2 {
            if self.socket.is_none() {
                self.socket = connect(&self.path).ok();
            }
            match self.socket.as_ref().map(|socket| socket.send(datagram)) {
                Some(Ok(_)) => return true,
                Some(Err(_)) => self.socket = None,
                None => return false,
            }
        }
        false
    }
}

fn connect(path: &Path) -> std::io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.connect(path)?;
    Ok(socket)
}

/// Severity (RFC 5424 section 6.2.1), which the journal uses too.
pub(super) const fn severity(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    }
}

/// A record as standard error takes it. Control characters, which a peer may have sent, never reach a terminal.
fn render(target: Target, line: &Record) -> String {
    if target == Target::Json {
        return crate::events::line(line) + "\n";
    }
    let (time, on, off) = match target {
        Target::Terminal { colour: true } => (time_of_day(line.at), colour(line.level), "\x1b[0m"),
        Target::Terminal { colour: false } => (time_of_day(line.at), "", ""),
        _ => (rfc3339(line.at), "", ""),
    };
    // Where the message begins.
    let indent = time.len() + " ERROR ".len();
    let mut out = String::new();
    let plain = printable(&line.text, &['\t', '\n']);
    let lines = match target {
        Target::Terminal { .. } => textwrap::wrap(&plain, WIDTH.saturating_sub(indent)),
        _ => plain.lines().map(std::borrow::Cow::Borrowed).collect(),
    };
    for (index, text) in lines.into_iter().enumerate() {
        out.push_str(&match target {
            Target::Journal => format!("<{}>{text}\n", severity(line.level)),
            _ if index > 0 => format!("{:indent$}{text}\n", ""),
            _ => format!("{time} {on}{:<5}{off} {text}\n", line.level.as_str()),
        });
    }
    out
}

const fn colour(level: Level) -> &'static str {
    match level {
        Level::ERROR => "\x1b[31m",
        Level::WARN => "\x1b[33m",
        Level::INFO => "\x1b[32m",
        Level::DEBUG | Level::TRACE => "\x1b[2m",
    }
}

#[cfg(test)]
mod tests;

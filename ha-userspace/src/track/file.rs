//! `track_file`: the number in a file, read whenever the file changes.
//!
//! One task per file on the watchers' thread; the file itself is read on another, because a disk or a server of files
//! can hang. inotify watches the directory, so that a file which appears, or replaces the old one by a rename, is
//! seen at once; for what inotify does not tell of (network file systems, a target of a symbolic link, a writer that
//! keeps the file open) it is read once a second anyway.
//!
//! What counts is what keepalived 2.2.7 was seen to count: the number at the beginning, in C's notation; zero where
//! there is none, where it does not fit into 32 bits, and where there is no file.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use tokio::io::unix::AsyncFd;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::Seen;
use super::board::{Board, Key};
use crate::config::model::{InitFile, TrackFile};
use crate::descriptor::{Owned, watch_readable};

/// How often a file is read although nothing was heard of it.
const LOOK: Duration = Duration::from_secs(1);
/// After a change, further ones are waited for this long, so that a script that writes without end costs little.
const PAUSE: Duration = Duration::from_millis(5);
/// A number is not longer, whatever the file is.
const LONGEST: u64 = 64;

/// Follows a file until the task is dropped. `mode` is that of a file that has to be made first.
pub(super) async fn run(key: Key, spec: TrackFile, mode: u32, board: Board) {
    if let Some(init) = spec.init {
        let path = spec.path.clone();
        let written = tokio::task::spawn_blocking(move || initialise(&path, init, mode)).await;
        if let Ok(Err(error)) = written {
            tracing::error!("{} ({}) cannot be initialised: {error}", spec.path.display(), spec.place);
        }
    }
    let mut said = String::new();
    let mut watch = Watch::default();
    let mut ticker = interval(LOOK);
    ticker.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut was_empty = false;
    loop {
        let looked = tokio::select! {
            _ = ticker.tick() => true,
            () = watch.changed(&spec.path) => false,
        };
        let path = spec.path.clone();
        // While a read hangs, the last value stands.
        let Ok(content) = tokio::task::spawn_blocking(move || read(&path)).await else { return };
        // Between truncation and writing a file is empty; then a change is about to be told.
        let empty = matches!(&content, Ok(content) if content.is_empty());
        if empty && looked && !was_empty && board.seen(key.0, &key.1) != Seen::Pending {
            was_empty = true;
            continue;
        }
        was_empty = empty;
        let (value, complaint) = match content {
            Ok(content) => parse(&content),
            Err(error) => (0, Some(error.to_string())),
        };
        let complaint = complaint.unwrap_or_default();
        let detail = if complaint.is_empty() { value.to_string() } else { format!("{value}: {complaint}") };
        if said != complaint && !complaint.is_empty() {
            tracing::warn!(
                kind = "tracker",
                "file {} ({}) counts as 0: {complaint}",
                key.1,
                spec.path.display()
            );
        }
        said = complaint;
        if board.set(&key, Seen::Value(value), &detail) {
            tracing::info!(kind = "tracker", "file {} contains {value}", key.1);
        }
        sleep(PAUSE).await;
    }
}

/// Creates the file, or puts the value into it.
fn initialise(path: &Path, init: InitFile, mode: u32) -> io::Result<()> {
    let content = format!("{}\n", init.value);
    let mut options = OpenOptions::new();
    options.write(true).mode(mode).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    match options.clone().create_new(true).open(path) {
        Ok(mut file) => {
            // The daemon's own umask may have taken something away.
            file.set_permissions(std::fs::Permissions::from_mode(mode))?;
            file.write_all(content.as_bytes())
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            if !init.overwrite {
                return Ok(());
            }
            let mut file = options.open(path)?;
            if !file.metadata()?.is_file() {
                return Err(io::Error::other("it is no ordinary file"));
            }
            file.set_len(0)?;
            file.write_all(content.as_bytes())
        }
        Err(error) => Err(error),
    }
}

/// The beginning of a file. A pipe or a device is not waited for.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let file = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no ordinary file"));
    }
    let mut content = Vec::new();
    file.take(LONGEST).read_to_end(&mut content)?;
    Ok(content)
}

/// The number at the beginning, as strtol(3) with base 0 reads it; zero with a complaint where it is none.
fn parse(content: &[u8]) -> (i32, Option<String>) {
    let text = String::from_utf8_lossy(content);
    let text = text.trim_start();
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let hexadecimal = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X"));
    let (digits, base) = match hexadecimal {
        Some(rest) if rest.starts_with(|c: char| c.is_ascii_hexdigit()) => (rest, 16),
        _ if digits.starts_with('0') => (digits, 8),
        _ => (digits, 10),
    };
    let end = digits.find(|c: char| !c.is_digit(base)).unwrap_or(digits.len());
    if end == 0 {
        let what = if content.is_empty() { "it is empty" } else { "it does not begin with a number" };
        return (0, Some(what.to_owned()));
    }
    let value =
        i64::from_str_radix(&digits[..end], base).ok().map(|value| if negative { -value } else { value });
    match value.and_then(|value| i32::try_from(value).ok()) {
        Some(value) => (value, None),
        None => (0, Some("the number does not fit into 32 bits".to_owned())),
    }
}

/// What tells of changes.
#[derive(Debug, Default)]
struct Watch {
    open: Option<AsyncFd<Owned<Inotify>>>,
}

impl Watch {
    /// Returns when the file may have changed. Never, where it cannot be watched now: then it is looked at anyway,
    /// and this is tried again.
    async fn changed(&mut self, path: &Path) {
        if self.open.is_none() {
            self.open = open(path);
        }
        loop {
            let Some(inotify) = &self.open else { return std::future::pending().await };
            let Ok(mut ready) = inotify.readable().await else { return std::future::pending().await };
            match ready.try_io(|inotify| inotify.get_ref().read_events().map_err(io::Error::from)) {
                Ok(Ok(events)) => {
                    let gone = AddWatchFlags::IN_IGNORED | AddWatchFlags::IN_Q_OVERFLOW;
                    if events.iter().any(|event| event.mask.intersects(gone)) {
                        self.open = None;
                        return;
                    }
                    if events.iter().any(|event| event.name.as_deref() == path.file_name()) {
                        return;
                    }
                }
                Ok(Err(_)) => self.open = None,
                Err(_) => {}
            }
        }
    }
}

fn open(path: &Path) -> Option<AsyncFd<Owned<Inotify>>> {
    let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC).ok()?;
    let directory = path.parent().filter(|parent| *parent != OsStr::new("")).unwrap_or(Path::new("."));
    let changes = AddWatchFlags::IN_CLOSE_WRITE
        | AddWatchFlags::IN_MOVED_TO
        | AddWatchFlags::IN_MOVED_FROM
        | AddWatchFlags::IN_DELETE
        | AddWatchFlags::IN_ONLYDIR;
    inotify.add_watch(directory, changes).ok()?;
    watch_readable(inotify).ok()
}

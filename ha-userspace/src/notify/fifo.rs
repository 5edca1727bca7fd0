//! The FIFOs: made, owned, written in order, and their scripts kept running.
//!
//! A FIFO is opened for reading and writing, so that it needs no reader; what is written before one comes waits in
//! the pipe. When that is full, lines wait here, up to `LINES`, and further ones are dropped. A FIFO that was there
//! before keeps its owner and mode and stays when the daemon stops; `umask` is looked at when one is made.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::stat::{Mode, fchmod};
use nix::unistd::{Gid, Uid, fchown, mkfifo};
use tokio::net::unix::pipe;
use tokio::sync::mpsc::{self, Receiver, Sender, error::TrySendError};
use tokio::task::JoinHandle;

use crate::config::model::{Fifo, Global, NotifyScript, Process, ScriptUser};
use crate::program::{self, Ended, Fate};

/// Lines that wait for a full FIFO.
const LINES: usize = 4_096;
/// How long a stop waits for a full FIFO.
const LAST_LINES: Duration = Duration::from_millis(300);
/// How long a script gets to read the last lines.
const LAST_READ: Duration = Duration::from_millis(100);
/// A script that ends is started again after this, doubling up to the second one.
const RESTART_SOONEST: Duration = Duration::from_secs(1);
const RESTART_LATEST: Duration = Duration::from_secs(60);
/// A script that ran for this long has proved itself.
const PROVED: Duration = Duration::from_secs(10);

/// All FIFOs of a configuration.
#[derive(Debug, Default)]
pub(super) struct Fifos {
    open: Vec<Open>,
}

/// What a FIFO was opened for; another one is another FIFO.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Spec {
    fifo: Fifo,
    default_user: Option<ScriptUser>,
    secure: bool,
}

#[derive(Debug)]
struct Open {
    spec: Spec,
    lines: Sender<String>,
    writer: JoinHandle<()>,
    script: Option<JoinHandle<()>>,
    cancel: Sender<()>,
    /// Made by this daemon: device and inode.
    made: Option<(u64, u64)>,
}

impl Fifos {
    /// Opens and closes what a configuration adds and takes away; what stays is not touched.
    pub(super) fn apply(&mut self, global: &Global) {
        let fifos = [&global.fifos.all, &global.fifos.vrrp];
        let wanted: Vec<Spec> = fifos
            .into_iter()
            .flatten()
            .map(|fifo| Spec {
                fifo: fifo.clone(),
                default_user: global.script_user.clone(),
                secure: global.script_security,
            })
            .collect();
        for gone in self.open.extract_if(.., |open| !wanted.contains(&open.spec)) {
            tokio::spawn(gone.finish());
        }
        for spec in wanted {
            if self.open.iter().any(|open| open.spec == spec) {
                continue;
            }
            match Open::new(&spec, &global.process) {
                Ok(open) => self.open.push(open),
                Err(error) => tracing::error!(
                    "FIFO {} ({}) cannot be used: {error}; nothing is written to it",
                    spec.fifo.path.display(),
                    spec.fifo.place
                ),
            }
        }
    }

    /// Queues a line for all of them.
    pub(super) fn write(&self, line: &str) {
        for open in &self.open {
            match open.lines.try_send(line.to_owned()) {
                Ok(()) | Err(TrySendError::Closed(_)) => {}
                Err(TrySendError::Full(line)) => tracing::error!(
                    "FIFO {} is full and nobody reads it: dropped {}",
                    open.spec.fifo.path.display(),
                    line.trim_end()
                ),
            }
        }
    }

    /// Writes what is queued, ends the scripts and removes what was made.
    pub(super) async fn finish(self) {
        futures::future::join_all(self.open.into_iter().map(Open::finish)).await;
    }
}

impl Open {
    fn new(spec: &Spec, process: &Process) -> io::Result<Self> {
        let path = &spec.fifo.path;
        let (file, made) =
            open(path, process.file_mode(), spec.fifo.user.as_ref().or(spec.default_user.as_ref()))?;
        let fifo = pipe::Sender::from_file(file)?;
        let (lines, queue) = mpsc::channel(LINES);
        let writer = tokio::spawn(write_lines(fifo, queue, path.clone()));
        let (cancel, cancelled) = mpsc::channel(1);
        let script = spec.fifo.script.as_ref().map(|script| {
            let mask = Mode::from_bits_truncate(process.script_mask());
            tokio::spawn(keep_running(script.clone(), spec.clone(), mask, cancelled))
        });
        Ok(Self { spec: spec.clone(), lines, writer, script, cancel, made })
    }

    async fn finish(self) {
        let Self { spec, lines, writer, script, cancel, made } = self;
        drop(lines);
        let _ = tokio::time::timeout(LAST_LINES, writer).await;
        if let Some(script) = script {
            tokio::time::sleep(LAST_READ).await;
            drop(cancel);
            let _ = script.await;
        }
        let path = &spec.fifo.path;
        let same = |made| std::fs::symlink_metadata(path).is_ok_and(|meta| made == (meta.dev(), meta.ino()));
        if made.is_some_and(same) {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Makes the FIFO where there is none, and opens it. Also what it is known by, if it was made.
fn open(path: &Path, mode: u32, user: Option<&ScriptUser>) -> io::Result<(File, Option<(u64, u64)>)> {
    let made = match mkfifo(path, Mode::from_bits_truncate(0o600)) {
        Ok(()) => true,
        Err(Errno::EEXIST) => false,
        Err(errno) => return Err(errno.into()),
    };
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOFOLLOW)
        .open(path)?;
    let meta = file.metadata()?;
    if !meta.file_type().is_fifo() {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "there is something that is no FIFO"));
    }
    if made {
        let owner = program::identity(user).map_err(|error| io::Error::other(error.to_string()))?;
        // The daemon's own umask may have taken something away.
        fchmod(&file, Mode::from_bits_truncate(mode))?;
        fchown(&file, Some(Uid::from_raw(owner.uid)), Some(Gid::from_raw(owner.gid)))?;
    }
    Ok((file, made.then(|| (meta.dev(), meta.ino()))))
}

async fn write_lines(fifo: pipe::Sender, mut lines: Receiver<String>, path: PathBuf) {
    while let Some(line) = lines.recv().await {
        loop {
            let Ok(()) = fifo.writable().await else { return };
            // A line is shorter than PIPE_BUF, so that it is written whole or not at all (pipe(7)).
            match fifo.try_write(line.as_bytes()) {
                Ok(_) => break,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => {
                    tracing::error!("FIFO {} cannot be written: {error}", path.display());
                    break;
                }
            }
        }
    }
}

/// Runs a FIFO's script, again when it ends, until the other end of `cancelled` is dropped.
async fn keep_running(script: NotifyScript, spec: Spec, mask: Mode, mut cancelled: Receiver<()>) {
    let mut argv = script.argv.clone();
    argv.push(spec.fifo.path.clone().into_os_string());
    let user = script.user.as_ref().or(spec.default_user.as_ref());
    let (name, place) = (script.program(), &script.place);
    let mut pause = RESTART_SOONEST;
    loop {
        let begun = Instant::now();
        let started =
            program::prepare(&argv, user, spec.secure).map_err(|why| why.to_string()).and_then(|prepared| {
                prepared.spawn(Fate::EndsWithDaemon, mask).map_err(|error| error.to_string())
            });
        match started {
            Ok(mut child) => {
                tokio::select! {
                    ended = child.wait() => {
                        let outcome = ended.map_or_else(|error| error.to_string(), |status| Ended::from_status(status).to_string());
                        tracing::warn!("FIFO script {name} ({place}) ended with {outcome}; it is started again");
                    }
                    _ = cancelled.recv() => {
                        child.end().await;
                        return;
                    }
                }
            }
            Err(why) => tracing::error!("FIFO script {name} ({place}) is not run: {why}"),
        }
        pause = if begun.elapsed() >= PROVED { RESTART_SOONEST } else { (pause * 2).min(RESTART_LATEST) };
        tokio::select! {
            () = tokio::time::sleep(pause / 2) => {}
            _ = cancelled.recv() => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_fifo_is_left_alone() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("file");
        std::fs::write(&file, "precious").expect("written");
        assert!(open(&file, 0o600, None).is_err());
        assert_eq!(std::fs::read_to_string(&file).expect("readable"), "precious");
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&file, &link).expect("made");
        assert!(open(&link, 0o600, None).is_err());
    }

    #[test]
    fn a_fifo_is_made_once() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("fifo");
        let (_first, made) = open(&path, 0o640, None).expect("made");
        assert!(made.is_some());
        let meta = std::fs::metadata(&path).expect("there");
        assert!(meta.file_type().is_fifo());
        assert_eq!(meta.mode() & 0o777, 0o640);
        let (_second, made) = open(&path, 0o600, None).expect("opened");
        assert_eq!(made, None);
    }
}

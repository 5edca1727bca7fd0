//! The file that events go to, and the one before it.
//!
//! A line is one write, so that a crash leaves at most one broken line, which readers leave out.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::FILE;
use crate::trust;

/// A file of this size is full. There are two, so that a history has at most twice as much: some 20,000 events.
const FULL: u64 = 4 << 20;
/// What is older is removed when a file is opened.
const OLDEST: Duration = Duration::from_secs(90 * 24 * 3600);

/// The file of a directory, open for appending.
#[derive(Debug)]
pub(super) struct EventFile {
    directory: PathBuf,
    /// `None` after a failure, until the next attempt.
    file: Option<File>,
    size: u64,
    full: u64,
}

impl EventFile {
    /// Nothing is opened before the first event.
    pub(super) const fn in_directory(directory: PathBuf) -> Self {
        Self { directory, file: None, size: 0, full: FULL }
    }

    #[cfg(test)]
    pub(super) const fn with_limit(directory: PathBuf, full: u64) -> Self {
        Self { directory, file: None, size: 0, full }
    }

    /// Appends a line, without its end.
    ///
    /// # Errors
    /// It could not be written, and is not in the file as a line. The next attempt opens the file anew.
    pub(super) fn append(&mut self, line: &str) -> io::Result<()> {
        let appended = self.try_append(line);
        if appended.is_err() {
            self.file = None;
        }
        appended
    }

    fn try_append(&mut self, line: &str) -> io::Result<()> {
        if self.file.is_some() && self.size >= self.full {
            self.file = None;
            fs::rename(self.path(), before(&self.path()))?;
        }
        let file = match &mut self.file {
            Some(file) => file,
            None => {
                let (file, size) = open(&self.directory)?;
                self.size = size;
                self.file.insert(file)
            }
        };
        let whole = format!("{line}\n");
        let written = file.write(whole.as_bytes())?;
        self.size += written as u64;
        if written < whole.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    /// Waits until what was written is on the disk.
    pub(super) fn sync(&self) {
        if let Some(file) = &self.file {
            let _ = file.sync_data();
        }
    }

    fn path(&self) -> PathBuf {
        self.directory.join(FILE)
    }
}

/// The file that was full before this one.
pub(super) fn before(path: &Path) -> PathBuf {
    path.with_extension("jsonl.1")
}

fn open(directory: &Path) -> io::Result<(File, u64)> {
    // Nobody else may make it lead elsewhere.
    trust::way(directory).map_err(io::Error::other)?;
    fs::DirBuilder::new().recursive(true).mode(0o755).create(directory)?;
    let path = directory.join(FILE);
    for old in [before(&path), path.clone()] {
        // Not a link that somebody has put there.
        let modified = fs::symlink_metadata(&old).and_then(|found| found.modified());
        let age = modified.map(|at| SystemTime::now().duration_since(at).unwrap_or_default());
        if age.is_ok_and(|age| age > OLDEST) {
            fs::remove_file(&old)?;
        }
    }
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .read(true)
        .mode(0o640)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(&path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    let size = file.seek(SeekFrom::End(0))?;
    if size > 0 {
        // A line that a crash has cut off ends here.
        file.seek(SeekFrom::Start(size - 1))?;
        let mut last = [0];
        file.read_exact(&mut last)?;
        if last != [b'\n'] {
            file.write_all(b"\n")?;
        }
    }
    Ok((file, size))
}

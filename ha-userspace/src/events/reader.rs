//! Reading events: those of both files, oldest first, and those that come.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::file::before;
use super::{Event, FILE};

/// What was read.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// Oldest first.
    pub events: Vec<Event>,
    /// Lines that are no events: cut off by a crash, or of somebody else.
    pub broken: usize,
}

/// Reads all events of a directory.
///
/// # Errors
/// There is no file, or it cannot be read.
pub fn read(directory: &Path) -> io::Result<Found> {
    let path = directory.join(FILE);
    let mut found = Found::default();
    // The older one may have become the newer one's place between the two.
    match File::open(before(&path)) {
        Ok(file) => found.take(file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    match File::open(&path) {
        Ok(file) => found.take(file),
        Err(_) if !found.events.is_empty() => {}
        Err(error) => return Err(error),
    }
    Ok(found)
}

impl Found {
    fn take(&mut self, file: File) {
        // No line is longer than what the log cuts messages to, with room for fields.
        let mut lines = BufReader::new(file);
        let mut line = Vec::new();
        loop {
            line.clear();
            match lines.by_ref().take(LONGEST).read_until(b'\n', &mut line) {
                Ok(0) | Err(_) => return,
                Ok(_) => self.add(&line),
            }
        }
    }

    fn add(&mut self, line: &[u8]) {
        match serde_json::from_slice::<Event>(line) {
            Ok(event) if event.format > 0 && !event.kind.is_empty() => self.events.push(event),
            Ok(_) => self.broken += 1,
            Err(_) if line.iter().all(u8::is_ascii_whitespace) => {}
            Err(_) => self.broken += 1,
        }
    }
}

/// Longer lines are none of ours.
const LONGEST: u64 = 64 << 10;

/// Follows the newer file from its end.
#[derive(Debug)]
pub struct Tail {
    path: PathBuf,
    file: Option<(File, u64)>,
    rest: Vec<u8>,
}

impl Tail {
    /// From the end of what is there.
    #[must_use]
    pub fn from_end(directory: &Path) -> Self {
        let path = directory.join(FILE);
        let file = File::open(&path).ok().and_then(|mut file| {
            let inode = file.metadata().ok()?.ino();
            file.seek(SeekFrom::End(0)).ok()?;
            Some((file, inode))
        });
        Self { path, file, rest: Vec::new() }
    }

    /// What has come since.
    pub fn more(&mut self) -> Vec<Event> {
        let mut events = self.drain();
        let current = std::fs::metadata(&self.path).map(|found| found.ino()).ok();
        if current.is_some() && current != self.file.as_ref().map(|(_, inode)| *inode) {
            // What came last into the old one is read by now.
            self.file = File::open(&self.path).ok().zip(current);
            self.rest.clear();
            events.extend(self.drain());
        }
        events
    }

    fn drain(&mut self) -> Vec<Event> {
        if let Some((file, _)) = &mut self.file {
            let _ = file.read_to_end(&mut self.rest);
        }
        let whole = self.rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let mut found = Found::default();
        for line in self.rest.drain(..whole).collect::<Vec<_>>().split(|byte| *byte == b'\n') {
            found.add(line);
        }
        found.events
    }
}

//! Which addresses are ours, on file: for kernels that keep no marks, where nothing else tells them from the operator's
//! after kill -9.
//!
//! A thread writes the file, so that no takeover waits for it. It is told before addresses are added and again when the
//! kernel has answered: the file may name one that never came to be, for as long as that takes, and lacks one for as
//! long as writing takes.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::Receiver;

use super::Key;
use crate::net::place::Place;
use crate::realtime;
use crate::worker::Worker;

/// The file, and the thread that writes it. Dropping it waits until the latest is written.
#[derive(Debug)]
pub(super) struct Memory {
    worker: Worker<Vec<Key>>,
}

impl Memory {
    /// The addresses that are ours according to `file`, if it is of this boot and network namespace; and what keeps it up
    /// to date from now on.
    pub(super) fn open(file: PathBuf) -> io::Result<(HashSet<Key>, Self)> {
        let place = Place::here();
        let known =
            std::fs::read_to_string(&file).map_or_else(|_| HashSet::new(), |text| parse(&text, &place));
        let worker = Worker::start("xvrrp-memory", move |orders| {
            realtime::prefer_this_thread();
            keep(&file, &place, &orders);
        })?;
        Ok((known, Self { worker }))
    }

    /// These are ours, or will be in a moment.
    pub(super) fn note(&self, ours: impl IntoIterator<Item = Key>) {
        self.worker.tell(ours.into_iter().collect());
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.worker.finish();
    }
}

fn keep(file: &Path, place: &Place, orders: &Receiver<Vec<Key>>) {
    let mut written = std::fs::read_to_string(file).ok();
    let mut failed = false;
    while let Ok(ours) = orders.recv() {
        // Only the latest counts.
        let ours = orders.try_iter().last().unwrap_or(ours);
        let text = (!ours.is_empty()).then(|| format(ours, place));
        if text == written {
            continue;
        }
        match write(file, text.as_deref()) {
            Ok(()) => (written, failed) = (text, false),
            Err(error) => {
                // Once, and tried again with the next change.
                if !std::mem::replace(&mut failed, true) {
                    tracing::warn!(
                        "{}: {error}; this kernel keeps no marks on addresses, so that after a crash the daemon's own \
                         count as the operator's and stay: make room there, or remove them by hand after a crash",
                        file.display()
                    );
                }
                written = None;
            }
        }
    }
}

/// Replaces the file in one step; none where there is no text.
fn write(file: &Path, text: Option<&str>) -> io::Result<()> {
    let Some(text) = text else {
        return match std::fs::remove_file(file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        };
    };
    let new = file.with_added_extension("new");
    let written = std::fs::write(&new, text).and_then(|()| std::fs::rename(&new, file));
    if written.is_err() {
        let _ = std::fs::remove_file(&new);
    }
    written
}

fn head(place: &Place) -> String {
    format!("addresses of xvrrp, boot {}, namespace {}\n", place.boot, place.namespace)
}

fn format(mut ours: Vec<Key>, place: &Place) -> String {
    ours.sort_unstable();
    ours.dedup();
    let mut text = head(place);
    for (ifindex, address, prefix) in ours {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{ifindex} {address}/{prefix}");
    }
    text
}

/// Lines that cannot be read are dropped; a file from elsewhere is dropped as a whole.
fn parse(text: &str, place: &Place) -> HashSet<Key> {
    let line = |line: &str| {
        let (ifindex, rest) = line.split_once(' ')?;
        let (address, prefix) = rest.split_once('/')?;
        Some((ifindex.parse().ok()?, address.parse().ok()?, prefix.parse().ok()?))
    };
    match text.strip_prefix(&head(place)) {
        Some(lines) if place.is_known() => lines.lines().filter_map(line).collect(),
        Some(_) | None => HashSet::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(address: &str, prefix: u8) -> Key {
        (7, address.parse().expect("an address"), prefix)
    }

    #[test]
    fn what_is_noted_is_known_to_the_next_run() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("addresses");
        let keys = [key("172.16.1.25", 32), key("fd00::25", 128)];
        let (known, memory) = Memory::open(file.clone()).expect("a thread");
        assert!(known.is_empty());
        memory.note(keys);
        drop(memory);
        let (known, memory) = Memory::open(file.clone()).expect("a thread");
        assert_eq!(known, HashSet::from(keys));
        memory.note(keys);
        memory.note([]);
        drop(memory);
        assert_eq!(std::fs::read_dir(dir.path()).expect("a list").count(), 0, "nothing of ours, no file");
    }

    #[test]
    fn what_cannot_be_written_is_written_later() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("missing").join("addresses");
        let (_, memory) = Memory::open(file.clone()).expect("a thread");
        memory.note([key("172.16.1.25", 32)]);
        std::thread::sleep(std::time::Duration::from_millis(50));
        std::fs::create_dir(dir.path().join("missing")).expect("a directory");
        memory.note([key("172.16.1.25", 32)]);
        drop(memory);
        assert_eq!(Memory::open(file).expect("a thread").0.len(), 1);
    }

    #[test]
    fn what_is_of_another_boot_and_nonsense_are_dropped() {
        let here = Place { boot: "one".to_owned(), namespace: 2 };
        let text = format(vec![key("172.16.1.25", 32)], &here);
        assert_eq!(parse(&text, &here).len(), 1);
        for place in
            [Place { namespace: 3, ..here.clone() }, Place { boot: "two".to_owned(), ..here.clone() }]
        {
            assert!(parse(&text, &place).is_empty());
        }
        let nowhere = Place { boot: String::new(), namespace: 0 };
        assert!(parse(&format(vec![key("172.16.1.25", 32)], &nowhere), &nowhere).is_empty());
        for line in ["", "7", "7 ", "7 x/32", "7 172.16.1.25", "7 172.16.1.25/256", "-1 172.16.1.25/32"] {
            assert!(parse(&(head(&here) + line), &here).is_empty(), "{line}");
        }
    }
}

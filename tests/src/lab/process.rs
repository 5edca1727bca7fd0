//! A program that runs inside a host of the lab. It is always ended by its process id, never by name.

use std::io;
use std::path::Path;
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A running program; killed when dropped unless it was made to outlive the lab.
#[derive(Debug)]
pub struct Process {
    child: Child,
    outlives: bool,
}

impl Process {
    pub(super) fn new(child: Child, outlives: bool) -> Self {
        Self { child, outlives }
    }

    /// Process id as seen from outside the lab.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The child with its pipes, for programs that were spawned with `Stdio::piped`.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Sends `signal` to this process only.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        kill(as_pid(self.child.id()), signal).map_err(io::Error::from)
    }

    /// Sends `signal` to this process and everything below it, parents first.
    pub fn signal_tree(&self, signal: Signal) -> io::Result<()> {
        for pid in tree(self.child.id()) {
            // A process of the tree may end while it is walked.
            let _gone = kill(as_pid(pid), signal);
        }
        Ok(())
    }

    /// The exit status, if it has ended.
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Waits for the end, at most `timeout`; `None` if it still runs then.
    pub fn wait(&mut self, timeout: Duration) -> io::Result<Option<ExitStatus>> {
        let end = Instant::now() + timeout;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(Some(status));
            }
            if Instant::now() >= end {
                return Ok(None);
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// SIGTERM, then SIGKILL to the whole tree if it has not ended within `patience`.
    pub fn stop(&mut self, patience: Duration) -> io::Result<Option<ExitStatus>> {
        if let Some(status) = self.child.try_wait()? {
            return Ok(Some(status));
        }
        let _gone = self.signal(Signal::SIGTERM);
        if let Some(status) = self.wait(patience)? {
            return Ok(Some(status));
        }
        self.signal_tree(Signal::SIGKILL)?;
        self.child.wait()?;
        Ok(None)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.outlives {
            return;
        }
        if let Ok(None) = self.child.try_wait() {
            let _gone = self.signal_tree(Signal::SIGKILL);
            let _status = self.child.wait();
        }
    }
}

/// `root` and its descendants, each parent before its children.
pub(super) fn tree(root: u32) -> Vec<u32> {
    let mut pairs = Vec::new();
    if let Ok(entries) = std::fs::read_dir("/proc") {
        for entry in entries.flatten() {
            if let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok())
                && let Some(parent) = parent_of(&entry.path())
            {
                pairs.push((pid, parent));
            }
        }
    }
    let mut found = vec![root];
    let mut next = 0;
    while let Some(&parent) = found.get(next) {
        found.extend(pairs.iter().filter(|(pid, of)| *of == parent && *pid != root).map(|(pid, _)| *pid));
        next += 1;
        if next > pairs.len() + 1 {
            break;
        }
    }
    found
}

fn parent_of(proc_entry: &Path) -> Option<u32> {
    let stat = std::fs::read_to_string(proc_entry.join("stat")).ok()?;
    // The command name is in parentheses and may contain anything; fields are counted behind the last one.
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

pub(super) fn as_pid(pid: u32) -> Pid {
    Pid::from_raw(i32::try_from(pid).unwrap_or(i32::MAX))
}

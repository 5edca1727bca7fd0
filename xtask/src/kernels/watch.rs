//! Runs a guest and follows its console, within a time limit; whatever happens, QEMU has ended afterwards.

use std::fs;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use ha_tests::lab;

use crate::sys;

/// Set by Ctrl-C.
pub(crate) static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// A running QEMU; killed when dropped, and by the kernel when this process dies.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    errors: PathBuf,
    console: Console,
    started: Instant,
}

impl Running {
    /// Starts QEMU, whose guest writes to `console`; what QEMU itself says goes beside it.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) fn start(mut command: Command, console: &Path) -> Result<Self> {
        let errors = console.with_extension("qemu");
        fs::write(console, "")?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(fs::File::create(&errors)?);
        // Which is the end of this thread: it must wait for the guest as well.
        lab::die_with_parent(&mut command);
        let child = command.spawn().with_context(|| format!("starting `{}`", sys::show(&command)))?;
        Ok(Self { child, errors, console: Console::new(console), started: Instant::now() })
    }

    /// New lines of the console; none when the guest has switched itself off and all were read.
    ///
    /// # Errors
    /// When QEMU failed, at `limit` since the start, or on Ctrl-C.
    pub(crate) fn lines(&mut self, limit: Duration) -> Result<Option<Vec<String>>> {
        if INTERRUPTED.load(Ordering::Relaxed) {
            bail!("interrupted");
        }
        let ended = self.child.try_wait()?;
        let lines = self.console.lines()?;
        if let Some(status) = ended {
            if lines.is_empty() {
                if !status.success() {
                    bail!("QEMU: {status}: {}", fs::read_to_string(&self.errors).unwrap_or_default().trim());
                }
                return Ok(None);
            }
        } else if self.started.elapsed() > limit {
            bail!("not done after {}", sys::seconds(limit));
        } else if lines.is_empty() {
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(Some(lines))
    }

    /// Time since the start.
    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already; both calls then fail harmlessly.
        let _gone = self.child.kill();
        let _status = self.child.wait();
    }
}

/// A file that grows.
#[derive(Debug)]
struct Console {
    path: PathBuf,
    at: u64,
    rest: String,
}

impl Console {
    fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), at: 0, rest: String::new() }
    }

    fn lines(&mut self) -> Result<Vec<String>> {
        let mut file = fs::File::open(&self.path)?;
        file.seek(SeekFrom::Start(self.at))?;
        let mut bytes = Vec::new();
        self.at += file.read_to_end(&mut bytes)? as u64;
        self.rest.push_str(&String::from_utf8_lossy(&bytes));
        let Some(end) = self.rest.rfind('\n') else { return Ok(Vec::new()) };
        let rest = self.rest.split_off(end + 1);
        let lines = std::mem::replace(&mut self.rest, rest);
        Ok(lines.lines().map(|line| line.trim_end().to_owned()).collect())
    }
}

/// The last lines of a console.
pub(crate) fn tail(console: &Path, count: usize) -> String {
    let bytes = fs::read(console).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<_> = text.lines().collect();
    let last = lines.get(lines.len().saturating_sub(count)..).unwrap_or_default();
    last.iter().map(|line| format!("      | {}\n", line.trim_end())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_once_it_is_whole() {
        let path = std::env::temp_dir().join(format!("xtask-console-{}", std::process::id()));
        fs::write(&path, "one\r\ntw").unwrap();
        let mut console = Console::new(&path);
        assert_eq!(console.lines().unwrap(), ["one"]);
        fs::write(&path, "one\r\ntwo\nthree\n").unwrap();
        assert_eq!(console.lines().unwrap(), ["two", "three"]);
        assert!(console.lines().unwrap().is_empty());
        assert_eq!(tail(&path, 1), "      | three\n");
        fs::remove_file(path).unwrap();
    }
}

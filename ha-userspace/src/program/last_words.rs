//! What a script says on standard error: its last line, for whoever asks why it failed.
//!
//! Everything is read and little is kept, so that a script that babbles is neither held up nor costs memory. What a script
//! leaves running has the same standard error: that is read, and forgotten, for as long as the daemon runs.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicUsize, Ordering};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use tokio::io::unix::AsyncFd;

use crate::descriptor::{Owned, watch_readable};
use crate::words::printable;

/// So much of the end is kept.
const KEPT: usize = 4 << 10;
/// Longer lines are cut.
const LONGEST: usize = 200;
/// Processes that scripts have left running, and that are still listened to.
const MOST_LEFT: usize = 64;
static LEFT: AtomicUsize = AtomicUsize::new(0);

/// The far end of a script's standard error.
#[derive(Debug)]
pub struct LastWords {
    ear: AsyncFd<Owned<OwnedFd>>,
    /// The script's end, until it has been started.
    mouth: Option<OwnedFd>,
    end: Vec<u8>,
    over: bool,
}

impl LastWords {
    /// For one run. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// No descriptors are to be had.
    pub fn new() -> io::Result<Self> {
        let (ear, mouth) = nix::unistd::pipe2(OFlag::O_CLOEXEC)?;
        // The script's end waits, as it is used to.
        fcntl(&ear, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        Ok(Self { ear: watch_readable(ear)?, mouth: Some(mouth), end: Vec::new(), over: false })
    }

    /// What the script gets as standard error.
    pub(super) fn mouth(&self) -> Option<BorrowedFd<'_>> {
        self.mouth.as_ref().map(AsFd::as_fd)
    }

    /// The script has been started: nobody else has its end.
    pub fn started(&mut self) {
        self.mouth = None;
    }

    /// Reads what comes. Never ends; may be cancelled and called again.
    pub async fn listen(&mut self) {
        self.read_to_end().await;
        std::future::pending().await
    }

    async fn read_to_end(&mut self) {
        while !self.over {
            let Ok(mut ready) = self.ear.readable().await else { break };
            ready.clear_ready();
            self.drain();
        }
    }

    /// Reads what is there.
    fn drain(&mut self) {
        let mut part = [0; 4096];
        loop {
            match nix::unistd::read(&**self.ear.get_ref(), &mut part) {
                Ok(0) => {
                    self.over = true;
                    return;
                }
                Ok(read) => {
                    self.end.extend_from_slice(part.get(..read).unwrap_or_default());
                    let excess = self.end.len().saturating_sub(KEPT);
                    self.end.drain(..excess);
                }
                Err(Errno::EINTR) => {}
                Err(error) => {
                    self.over = error != Errno::EAGAIN;
                    return;
                }
            }
        }
    }

    /// The script has ended: the last line that it said, without what a terminal would obey.
    #[must_use]
    pub fn finish(mut self) -> Option<String> {
        self.drain();
        let said = last_line(&self.end);
        if !self.over && LEFT.fetch_add(1, Ordering::Relaxed) < MOST_LEFT {
            tokio::spawn(async move {
                self.read_to_end().await;
                LEFT.fetch_sub(1, Ordering::Relaxed);
            });
        } else if !self.over {
            LEFT.fetch_sub(1, Ordering::Relaxed);
        }
        said
    }
}

fn last_line(text: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(text);
    let line = text.lines().map(str::trim).rfind(|line| !line.is_empty())?;
    let plain = printable(line, &[]);
    let short: String = plain.chars().take(LONGEST).collect();
    Some(if short.len() < plain.len() { short + "…" } else { plain })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_is_what_counts() {
        assert_eq!(last_line(b""), None);
        assert_eq!(last_line(b"\n \n"), None);
        assert_eq!(last_line(b"one\ntwo\n\n").as_deref(), Some("two"));
        assert_eq!(last_line(b"curl: (7) Failed to connect").as_deref(), Some("curl: (7) Failed to connect"));
        assert_eq!(last_line(b"\x1b[2Jboo\xff\n").as_deref(), Some("�[2Jboo\u{fffd}"));
        assert_eq!(last_line(&[b'x'; 1000]).map(|line| line.chars().count()), Some(LONGEST + 1));
    }
}

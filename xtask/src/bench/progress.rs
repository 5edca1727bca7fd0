//! What the terminal shows while it works: one line for each value.

use std::time::{Duration, Instant};

use super::peer::Peer;
use crate::sys;

/// The time since the start, and what is still to come.
#[derive(Debug)]
pub(super) struct Progress {
    start: Instant,
}

impl Progress {
    pub(super) fn new() -> Self {
        Self { start: Instant::now() }
    }

    pub(super) fn title(&self, text: &str) {
        let bold = if sys::on_terminal() { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
        println!("\n{}{text}{}", bold.0, bold.1);
    }

    pub(super) fn line(&self, run: &str, who: &str, what: &str, value: &str) {
        println!("{:>11}  {run:>6}  {who:<17} {what:<17} {value}", sys::seconds(self.start.elapsed()));
    }

    /// A failed run. What the lab had to say about it goes to standard error.
    pub(super) fn failed(&self, scenario: &str, peer: Peer, text: &str) {
        let first = text.lines().next().unwrap_or_default();
        self.line("FAILED", peer.name(), scenario, first);
        eprintln!("{text}");
    }

    pub(super) fn expect(&self, left: Duration) {
        println!("{:>11}  about {} for the other runs", "", sys::seconds(left));
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }
}

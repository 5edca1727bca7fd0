//! The flight recorder: what happened, in files that outlive the daemon, for `xvrrp events` and `xvrrp why`.
//!
//! Whatever is logged at level info or above is an event, whatever the log's own level is: one line of JSON in a file of
//! bounded size, written by a thread of its own. What lives here: the form of an event, the files, the thread. What must
//! not: what events mean ([`story`] alone puts some of them together), and anything that the daemon waits for.
//! docs/events.md has the fields.

mod file;
mod reader;
mod recorder;
pub mod story;
pub mod when;

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use reader::{Found, Tail, read};
pub use recorder::Recorder;
pub(crate) use recorder::{Recording, line, lost};

use crate::control::DEFAULT_RUN_DIR;

/// Version of the form of an event.
pub const FORMAT: u32 = 1;
/// Where events are kept.
pub const DEFAULT_STATE_DIR: &str = "/var/lib/xvrrp";
/// The files' name; the one that was full before has `.1` behind it.
pub const FILE: &str = "events.jsonl";

/// Where the events of the daemon with this run directory are, unless somebody says otherwise: two daemons on a host have
/// two run directories, and so two histories. systemd names the base in `STATE_DIRECTORY` (systemd.exec(5)).
#[must_use]
pub fn state_dir(run_dir: &Path) -> PathBuf {
    let named = std::env::var_os("STATE_DIRECTORY").filter(|name| !name.is_empty());
    below(&named.map_or_else(|| PathBuf::from(DEFAULT_STATE_DIR), PathBuf::from), run_dir)
}

fn below(base: &Path, run_dir: &Path) -> PathBuf {
    match run_dir.strip_prefix(DEFAULT_RUN_DIR) {
        Ok(own) => base.join(own),
        Err(_) => run_dir.to_owned(),
    }
}

/// One event, as it is in the file. Fields that say nothing about it are absent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Event {
    /// [`FORMAT`] of whoever wrote it.
    pub format: u32,
    /// Wall-clock time in microseconds since 1970.
    pub unix_us: u64,
    /// The same for people, RFC 3339, in the host's time zone.
    pub at: String,
    /// `info`, `warning` or `error`.
    pub level: String,
    /// What kind of event, one of those in docs/events.md; `log` for a message of no kind of its own.
    pub kind: String,
    /// The line of the log.
    pub text: String,
    /// Of which instance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// On which interface.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    /// About which other router.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    /// State before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// State since.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Why, in a fixed word: of a transition, a verdict, a rejection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Why, in a sentence with figures.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Effective priority of the instance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<u8>,
    /// Virtual addresses with prefix, separated by a comma and a blank.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub addresses: Option<String>,
    /// Since when nothing had been heard of the other router, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub silent_ms: Option<f64>,
    /// Probes that it had not answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unanswered: Option<u64>,
    /// How long it took, in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub took_us: Option<u64>,
}

#[cfg(test)]
mod tests;

//! The control socket: how `xvrrp status`, `counters`, `reload` and `stop` reach the daemon.
//!
//! The daemon side ([`thread`], [`server`], [`asker`]) asks the main loop for a copy of its state and makes the answer of
//! it on a thread of its own; orders are the main loop's to carry out. The command line side ([`client`]) blocks. Nothing
//! here knows what a virtual router is.

pub mod asker;
pub mod client;
pub mod dump;
pub mod protocol;
pub mod runlock;
pub mod server;
pub mod snapshot;
pub mod thread;

use std::path::{Path, PathBuf};

/// Where the daemon keeps its lock and its socket unless `--run-dir` says otherwise.
pub const DEFAULT_RUN_DIR: &str = "/run/xvrrp";

/// The control socket of the daemon that uses this run directory.
#[must_use]
pub fn socket_path(run_dir: &Path) -> PathBuf {
    run_dir.join("control.sock")
}

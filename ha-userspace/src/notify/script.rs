//! Starting notify scripts: checked before every run, started in order, not waited for.
//!
//! A script that hangs costs nothing but its own process; beyond `RUNNING` of them, further ones are refused. How a
//! script's process looks is [`crate::program`]'s business, apart from the umask, which the configuration says.

use std::ffi::OsString;
use std::sync::Arc;

use nix::sys::stat::Mode;
use tokio::sync::Semaphore;

use crate::config::model::{Global, Place, ScriptUser};
use crate::program::{self, Ended, Fate};

/// Scripts that run at the same time.
const RUNNING: usize = 256;

/// Runs scripts.
#[derive(Debug)]
pub(super) struct Scripts {
    room: Arc<Semaphore>,
}

impl Scripts {
    pub(super) fn new() -> Self {
        Self { room: Arc::new(Semaphore::new(RUNNING)) }
    }

    /// Starts one. What is wrong with it is logged.
    pub(super) fn run(&self, argv: &[OsString], user: Option<&ScriptUser>, global: &Global, place: &Place) {
        let name = argv.first().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let Ok(room) = Arc::clone(&self.room).try_acquire_owned() else {
            tracing::error!("{name} ({place}) was not run: {RUNNING} notify scripts are still running");
            return;
        };
        let prepared = match program::prepare(argv, user, global.script_security) {
            Ok(prepared) => prepared,
            Err(why) => {
                tracing::error!("{name} ({place}) was not run: {why}");
                return;
            }
        };
        match prepared.spawn(Fate::OutlivesDaemon, Mode::from_bits_truncate(global.process.script_mask())) {
            Ok(mut child) => {
                let place = place.clone();
                tokio::spawn(async move {
                    match child.wait().await.map(Ended::from_status) {
                        Ok(outcome) if outcome.is_success() => {}
                        Ok(outcome) => tracing::warn!("{name} ({place}) ended with {outcome}"),
                        Err(error) => tracing::warn!("{name} ({place}) cannot be waited for: {error}"),
                    }
                    drop(room);
                });
            }
            Err(error) => tracing::error!("{name} ({place}) cannot be started: {error}"),
        }
    }
}

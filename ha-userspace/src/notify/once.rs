//! `startup_script` and `shutdown_script`: run once, with a time limit, before and after everything else.

use std::time::Duration;

use nix::sys::stat::Mode;

use crate::config::model::{Global, OnceScript};
use crate::program::{self, Ended, Fate};

/// Runs the script and waits for its end, on a thread that is scheduled as usual. What goes wrong is logged.
///
/// Blocks for up to the script's timeout.
pub fn run(keyword: &str, once: &OnceScript, global: &Global) {
    let outcome = std::thread::scope(|scope| {
        let work = || match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime.block_on(to_its_end(once, global)),
            Err(error) => Ended::NotRun(error.to_string()),
        };
        let thread = std::thread::Builder::new().name("xvrrp-once".to_owned()).spawn_scoped(scope, work);
        match thread.map(std::thread::ScopedJoinHandle::join) {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Ended::NotRun("its thread failed".to_owned()),
            Err(error) => Ended::NotRun(error.to_string()),
        }
    });
    let place = &once.script.place;
    if outcome.is_success() {
        tracing::info!("{keyword} ({place}) succeeded");
    } else {
        tracing::error!("{keyword} ({place}): {outcome}");
    }
}

async fn to_its_end(once: &OnceScript, global: &Global) -> Ended {
    let user = once.script.user.as_ref().or(global.script_user.as_ref());
    let prepared = match program::prepare(&once.script.argv, user, global.script_security) {
        Ok(prepared) => prepared,
        Err(why) => return Ended::NotRun(why.to_string()),
    };
    let mask = Mode::from_bits_truncate(global.process.script_mask());
    let mut child = match prepared.spawn(Fate::EndsWithDaemon, mask) {
        Ok(child) => child,
        Err(error) => return Ended::NotRun(format!("cannot be started: {error}")),
    };
    let limit = once.timeout.max(Duration::from_millis(1));
    match tokio::time::timeout(limit, child.wait()).await {
        Ok(Ok(status)) => Ended::from_status(status),
        Ok(Err(error)) => Ended::NotRun(format!("cannot be waited for: {error}")),
        Err(_) => {
            child.end().await;
            Ended::Timeout(limit)
        }
    }
}

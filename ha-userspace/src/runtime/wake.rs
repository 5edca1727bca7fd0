//! Why the loop wakes up: what it listens to besides its own interfaces, its timer and its links.

use std::future::poll_fn;
use std::task::Poll;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use super::lifecycle::End;
use crate::config::Loaded;
use crate::control::asker::Call;
use crate::control::dump;
use crate::liveness::Report;
use crate::net::monitor::Change;
use crate::net::routing::Watch;
use crate::signals;

/// Why the loop woke up.
pub(super) enum Wake {
    /// A deadline: the turn does the rest.
    Turn,
    /// Packets: the turn does the rest.
    Packets,
    Links(Vec<Change>),
    /// An XDP program has been attached, or cannot be.
    Programs,
    /// A route or rule was removed.
    Removal,
    Liveness(Report),
    /// What is tracked changed; the thread that watches it has logged it.
    Tracked,
    Call(Call),
    Reload,
    Read(Option<Box<Loaded>>),
    Stop,
    Leave(End),
    Dump(dump::DumpKind),
    /// Statistics are dumped, then start anew.
    Clear,
}

/// What the loop listens to.
pub(super) struct Inputs {
    pub(super) calls: mpsc::Receiver<Call>,
    pub(super) reports: mpsc::UnboundedReceiver<Report>,
    pub(super) removals: Watch,
    pub(super) signals: Signals,
}

/// Signals, as keepalived has them.
pub(super) struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
    dump: Signal,
    statistics: Signal,
    json: Signal,
    clear: Signal,
    leave: Vec<Signal>,
}

impl Signals {
    /// Handles them from now on. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// As signal(7).
    pub(super) fn new() -> std::io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            dump: signal(SignalKind::user_defined1())?,
            statistics: signal(SignalKind::user_defined2())?,
            // What `keepalived --signum` prints for JSON and STATS_CLEAR.
            json: signal(SignalKind::from_raw(signals::JSON))?,
            clear: signal(SignalKind::from_raw(signals::clear()))?,
            // What packaging/xvrrp.service has as RestartKillSignal.
            leave: signals::LEAVE
                .iter()
                .map(|number| signal(SignalKind::from_raw(*number)))
                .collect::<Result<_, _>>()?,
        })
    }

    /// The next signal. It may be dropped at any time.
    pub(super) async fn next(&mut self) -> Wake {
        tokio::select! {
            biased;
            _ = self.terminate.recv() => Wake::Stop,
            _ = self.interrupt.recv() => Wake::Stop,
            () = any(&mut self.leave) => Wake::Leave(End::Left),
            _ = self.hangup.recv() => Wake::Reload,
            _ = self.dump.recv() => Wake::Dump(dump::DumpKind::Data),
            _ = self.statistics.recv() => Wake::Dump(dump::DumpKind::Statistics),
            _ = self.json.recv() => Wake::Dump(dump::DumpKind::Json),
            _ = self.clear.recv() => Wake::Clear,
        }
    }
}

/// The first of several signals.
async fn any(signals: &mut [Signal]) {
    poll_fn(|context| {
        // All are asked: each must know whom to wake.
        let came = signals.iter_mut().filter_map(|signal| match signal.poll_recv(context) {
            Poll::Ready(Some(())) => Some(()),
            Poll::Ready(None) | Poll::Pending => None,
        });
        if came.count() > 0 { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

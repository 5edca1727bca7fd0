//! Why the loop wakes up: what it listens to besides its own interfaces, its timer and its links.

use std::future::poll_fn;
use std::task::Poll;

use ha_common::time::{Span, Time};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use super::lifecycle::End;
use crate::config::Loaded;
use crate::control::asker::Call;
use crate::control::dump;
use crate::liveness::Report;
use crate::net::clock;
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

/// A peer has missed a probe: the loop does not fall asleep until the verdict, or for that time at most. To wake up costs
/// tens of microseconds, on a processor that has fallen asleep more than a hundred.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Vigil {
    until: Time,
    /// No other one before this.
    next: Time,
}

impl Vigil {
    /// From a first miss to a verdict, where the window allows one as soon as the witnesses do.
    const LONGEST: Span = Span::from_micros(600);
    /// On a network that loses much, what vigils in vain cost is bounded by this.
    const PAUSE: Span = Span::from_millis(60);

    pub(super) fn begin(&mut self, now: Time) {
        if now >= self.next {
            (self.until, self.next) = (now.after(Self::LONGEST), now.after(Self::PAUSE));
        }
    }

    /// What is reported before it ends.
    fn keep(&mut self, reports: &mut mpsc::UnboundedReceiver<Report>) -> Option<Report> {
        while clock::now() < self.until {
            if let Ok(report) = reports.try_recv() {
                return Some(report);
            }
            std::hint::spin_loop();
        }
        None
    }
}

/// What the loop listens to.
pub(super) struct Inputs {
    pub(super) calls: mpsc::Receiver<Call>,
    pub(super) reports: mpsc::UnboundedReceiver<Report>,
    pub(super) removals: Watch,
    pub(super) signals: Signals,
}

impl Inputs {
    /// What is reported while `vigil` lasts.
    pub(super) fn awaited(&mut self, vigil: &mut Vigil) -> Option<Wake> {
        vigil.keep(&mut self.reports).map(Wake::Liveness)
    }
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

//! The daemon: what it owns, and the loop that waits and works.
//!
//! One thread, one loop. Whatever wakes it, the whole turn is done (see [`super::turn`]); nothing in it blocks for
//! longer than a system call. Scripts and log lines are written by threads of their own, and a configuration is read
//! on yet another.

use std::future::poll_fn;
use std::path::PathBuf;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use ha_common::node::{InterfaceId, Node};
use ha_common::time::{Span, Time};
use nix::errno::Errno;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot};

use super::delays::Delays;
use super::fast::Fast;
use super::groups::GroupNames;
use super::handover::Handover;
use super::inspector::Inspector;
use super::interface::{Frame, Interface, Setup};
use super::lanes::Lanes;
use super::loading::Loader;
use super::note::Note;
use super::reload_file::ReloadFile;
use super::reload_time::ReloadTime;
use super::routers::Routers;
use super::statics::Statics;
use super::vmac::VirtualLinks;
use crate::config::Loaded;
use crate::config::model::{Config, Global};
use crate::control::dump;
use crate::control::protocol::{Failure, Request, Response};
use crate::control::server::Call;
use crate::liveness::Report;
use crate::net::addresses::{AddressSpec, Addresses};
use crate::net::announce::Announcer;
use crate::net::clock;
use crate::net::firewall::Firewall;
use crate::net::monitor::{Change, Monitor};
use crate::net::neighbours::Neighbours;
use crate::net::routing::{Remembered, Routing, Watch};
use crate::net::timer::Timer;
use crate::notify::Notifier;
use crate::signals;
use crate::track::watch::Watchers;

/// What a configuration is read for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Reload,
    /// To make sure that the next run will not refuse it.
    Restart,
}

/// A configuration that is being read, why, and who asked for it.
pub(super) type Reading = (tokio::task::JoinHandle<Loaded>, Purpose, Option<oneshot::Sender<Response>>);

/// Everything that the daemon owns.
pub(super) struct Daemon {
    pub(super) config_file: PathBuf,
    pub(super) config: Config,
    pub(super) setup: Setup,
    pub(super) started: Time,
    pub(super) monitor: Monitor,
    pub(super) addresses: Addresses,
    pub(super) routing: Routing,
    pub(super) remembered: Remembered,
    pub(super) statics: Statics,
    pub(super) delays: Delays,
    pub(super) links: VirtualLinks,
    pub(super) neighbours: Neighbours,
    pub(super) firewall: Firewall,
    pub(super) announcer: Announcer,
    pub(super) lanes: Lanes,
    pub(super) timer: Timer,
    pub(super) inspector: Inspector,
    pub(super) loader: Loader,
    pub(super) watchers: Watchers,
    pub(super) notifier: Notifier,
    pub(super) interfaces: Vec<Interface>,
    /// What is decided.
    pub(super) node: Node,
    pub(super) routers: Routers,
    pub(super) group_names: GroupNames,
    /// Reads a configuration; runs on another thread.
    pub(super) read: Arc<dyn Fn() -> Loaded + Send + Sync>,
    pub(super) reading: Option<Reading>,
    pub(super) reload_time: Option<ReloadTime>,
    pub(super) warnings: Vec<String>,
    pub(super) stopping: bool,
    /// What a restart has left for this run, while it starts.
    pub(super) handover: Option<Handover>,
    /// How long this run's start took.
    pub(super) start_took: Span,
    /// A restart was asked for.
    pub(super) ending: Option<End>,
    /// Interfaces whose program somebody has detached.
    pub(super) deaf: Vec<InterfaceId>,
    /// For the turn that is under way.
    pub(super) notes: Vec<Note>,
    pub(super) frames: Vec<Frame>,
    /// Addresses that a reload has taken out of the configuration.
    pub(super) obsolete: Vec<AddressSpec>,
    pub(super) announce_failure: Option<Errno>,
    pub(super) fast: Fast,
}

/// How a run of the daemon ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Gracefully, the addresses are handed over.
    Stopped,
    /// For a restart by the service manager; the role waits.
    Left,
    /// To be replaced by the program of now, with the same arguments; the role waits.
    Replace,
}

/// What the loop listens to besides its own interfaces.
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

/// Why the loop woke up.
enum Wake {
    /// A deadline, or packets: the turn does the rest.
    Turn,
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
    Dump(dump::Kind),
    /// Statistics are dumped, then start anew.
    Clear,
}

impl Daemon {
    /// Runs until the daemon has stopped gracefully.
    pub(super) async fn run(&mut self, mut inputs: Inputs) -> End {
        self.reconsider();
        loop {
            self.turn();
            self.forget_retired();
            if self.stopping && self.node.has_stopped() {
                return End::Stopped;
            }
            if let Some(end) = self.ending {
                return end;
            }
            let wake = self.wait(&mut inputs).await;
            if !matches!(wake, Wake::Turn) {
                self.listen();
            }
            match wake {
                Wake::Turn => {}
                Wake::Links(changes) => self.links_changed(&changes),
                Wake::Programs => self.programs_loaded(),
                Wake::Removal => self.doubt_routes(),
                Wake::Liveness(report) => self.hear_report(report),
                Wake::Tracked => self.reconsider(),
                Wake::Call(call) => self.answer(call),
                Wake::Reload => self.start_reading(Purpose::Reload, None),
                Wake::Read(loaded) => self.finish_reading(loaded.map(|loaded| *loaded)),
                Wake::Stop => self.stop(),
                Wake::Leave(end) => self.ending = Some(end),
                Wake::Dump(kind) => self.dump(kind),
                Wake::Clear => {
                    self.dump(dump::Kind::Statistics);
                    self.clear_statistics();
                }
            }
        }
    }

    async fn wait(&mut self, inputs: &mut Inputs) -> Wake {
        let Self { timer, interfaces, monitor, reading, watchers, loader, .. } = self;
        let Inputs { calls, reports, removals, signals } = inputs;
        let readable = poll_fn(|context| {
            let mut ready = false;
            for interface in interfaces.iter() {
                ready |= interface.poll_readable(context).is_ready();
            }
            if ready { Poll::Ready(()) } else { Poll::Pending }
        });
        let read = async {
            match reading {
                Some((task, ..)) => task.await.ok(),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            _ = timer.expired() => Wake::Turn,
            () = readable => Wake::Turn,
            Some(report) = reports.recv() => Wake::Liveness(report),
            changes = monitor.changed() => match changes {
                Ok(changes) => Wake::Links(changes),
                Err(error) => {
                    tracing::error!("{error}");
                    Wake::Turn
                }
            },
            () = loader.done() => Wake::Programs,
            () = removals.removed() => Wake::Removal,
            () = watchers.changed() => Wake::Tracked,
            _ = signals.terminate.recv() => Wake::Stop,
            _ = signals.interrupt.recv() => Wake::Stop,
            () = any(&mut signals.leave) => Wake::Leave(End::Left),
            _ = signals.hangup.recv() => Wake::Reload,
            _ = signals.dump.recv() => Wake::Dump(dump::Kind::Data),
            _ = signals.statistics.recv() => Wake::Dump(dump::Kind::Statistics),
            _ = signals.json.recv() => Wake::Dump(dump::Kind::Json),
            _ = signals.clear.recv() => Wake::Clear,
            Some(call) = calls.recv() => Wake::Call(call),
            loaded = read => Wake::Read(loaded.map(Box::new)),
        }
    }

    fn answer(&mut self, (request, reply): Call) {
        // A client that has gone away wants no answer.
        let _ = match request {
            Request::Status => reply.send(Response::Status(self.status())),
            Request::Counters => reply.send(Response::Counters(self.counters())),
            Request::Reload => return self.start_reading(Purpose::Reload, Some(reply)),
            Request::Restart => return self.start_reading(Purpose::Restart, Some(reply)),
            Request::Stop => {
                self.stop();
                reply.send(Response::Stopping)
            }
        };
    }

    /// Graceful stop; asked for twice, at once.
    fn stop(&mut self) {
        if self.stopping {
            tracing::info!("stopping at once");
        } else {
            tracing::info!("stopping: virtual addresses are handed over first");
        }
        self.stopping = true;
        let now = clock::now();
        self.with_kernel(|node, kernel| node.stop(now, kernel));
        self.perform();
    }

    fn forget_retired(&mut self) {
        let gone = self.node.forget_retired();
        if !gone.is_empty() {
            self.routers.forget(&gone);
            self.close_unused();
        }
    }

    /// `vrrp_startup_delay` and `vrrp_delay_after_boot`, the longer of them: nothing starts sooner, except what goes on
    /// from an earlier run. `uptime` is that of the machine.
    pub(super) fn delay_start(&mut self, global: &Global, uptime: Duration) {
        let (delay, keyword) = global.start_delay(uptime);
        if !delay.is_zero() {
            tracing::info!("{keyword}: instances start in {delay:.1?}");
            self.node.delay_start(self.started.after(delay.into()));
        }
    }

    /// Starts to read the configuration, on another thread: a large file must not delay an advert.
    fn start_reading(&mut self, purpose: Purpose, reply: Option<oneshot::Sender<Response>>) {
        if self.reading.is_some() || self.stopping {
            let reason =
                if self.stopping { "the daemon is stopping" } else { "a reload is under way already" };
            tracing::warn!("no reload: {reason}");
            if let Some(reply) = reply {
                let _ = reply.send(Response::Error(Failure::new(reason)));
            }
            return;
        }
        let read = Arc::clone(&self.read);
        let global = self.config.global.clone();
        let task = tokio::task::spawn_blocking(move || {
            let _there = ReloadFile::make(&global);
            read()
        });
        self.reading = Some((task, purpose, reply));
    }

    fn finish_reading(&mut self, loaded: Option<Loaded>) {
        let Some((_, purpose, reply)) = self.reading.take() else { return };
        let response = match loaded {
            Some(loaded) if purpose == Purpose::Restart && !loaded.fatal => {
                self.ending = Some(End::Replace);
                Response::Restarting
            }
            // Refuses what cannot be used, whatever it was read for.
            Some(loaded) => self.apply(loaded),
            None => Response::Error(Failure::new("the configuration could not be read: its reader failed")),
        };
        if let Some(reply) = reply {
            let _ = reply.send(response);
        }
    }
}

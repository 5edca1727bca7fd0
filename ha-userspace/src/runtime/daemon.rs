//! The daemon: what it owns, and the loop that waits and works.
//!
//! One thread, one loop. Whatever wakes it, the whole turn is done (see [`super::turn`]); nothing in it blocks for
//! longer than a system call. Scripts and log lines are written by threads of their own, and a configuration is read
//! on yet another.

use std::future::poll_fn;

use ha_common::node::Node;
use tokio::sync::oneshot;

use super::announcements::Announcements;
use super::configuration::{Configuration, Purpose, Reading};
use super::fast::Fast;
use super::host::Host;
use super::interfaces::Interfaces;
use super::lifecycle::{End, Lifecycle};
use super::note::Note;
use super::routers::Routers;
use super::wake::{Inputs, Wake};
use super::workers::Workers;
use crate::config::Loaded;
use crate::control::dump;
use crate::control::protocol::{Failure, Request, Response};
use crate::control::server::Call;
use crate::net::clock;
use crate::net::timer::Timer;

/// Everything that the daemon owns.
pub(super) struct Daemon {
    /// What is decided.
    pub(super) node: Node,
    pub(super) routers: Routers,
    pub(super) interfaces: Interfaces,
    pub(super) host: Host,
    pub(super) announcements: Announcements,
    pub(super) fast: Fast,
    pub(super) workers: Workers,
    pub(super) configuration: Configuration,
    pub(super) life: Lifecycle,
    pub(super) timer: Timer,
    /// What happened in the turn that is under way, for the log.
    pub(super) notes: Vec<Note>,
}

impl Daemon {
    /// Runs until the daemon has stopped gracefully.
    pub(super) async fn run(&mut self, mut inputs: Inputs) -> End {
        self.reconsider();
        loop {
            self.turn();
            self.forget_retired();
            if self.life.stopping && self.node.has_stopped() {
                return End::Stopped;
            }
            if let Some(end) = self.life.ending {
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
                Wake::Removal => self.host.doubt_routes(&mut self.routers),
                Wake::Liveness(report) => self.hear_report(report),
                Wake::Tracked => self.reconsider(),
                Wake::Call(call) => self.answer(call),
                Wake::Reload => self.start_reading(Purpose::Reload, None),
                Wake::Read(loaded) => self.finish_reading(loaded.map(|loaded| *loaded)),
                Wake::Stop => self.stop(),
                Wake::Leave(end) => self.life.ending = Some(end),
                Wake::Dump(kind) => self.dump(kind),
                Wake::Clear => {
                    self.dump(dump::Kind::Statistics);
                    self.clear_statistics();
                }
            }
        }
    }

    async fn wait(&mut self, inputs: &mut Inputs) -> Wake {
        let Self { timer, interfaces, host, configuration, workers, .. } = self;
        let Inputs { scripts, calls, reports, removals, signals } = inputs;
        tokio::select! {
            biased;
            _ = timer.expired() => Wake::Turn,
            () = poll_fn(|context| interfaces.poll_readable(context)) => Wake::Turn,
            Some(report) = reports.recv() => Wake::Liveness(report),
            changes = host.monitor.changed() => match changes {
                Ok(changes) => Wake::Links(changes),
                Err(error) => {
                    tracing::error!("{error}");
                    Wake::Turn
                }
            },
            () = interfaces.loaded() => Wake::Programs,
            () = removals.removed() => Wake::Removal,
            Some(_) = scripts.recv() => Wake::Tracked,
            () = workers.watchers.changed() => Wake::Tracked,
            wake = signals.next() => wake,
            Some(call) = calls.recv() => Wake::Call(call),
            loaded = configuration.loaded() => Wake::Read(loaded.map(Box::new)),
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
        if self.life.stopping {
            tracing::info!("stopping at once");
        } else {
            tracing::info!("stopping: virtual addresses are handed over first");
        }
        self.life.stopping = true;
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

    /// Starts to read the configuration, where that can be done now.
    fn start_reading(&mut self, purpose: Purpose, reply: Option<oneshot::Sender<Response>>) {
        let reason = if self.life.stopping {
            "the daemon is stopping"
        } else if self.configuration.is_reading() {
            "a reload is under way already"
        } else {
            return self.configuration.start_reading(purpose, reply);
        };
        tracing::warn!("no reload: {reason}");
        if let Some(reply) = reply {
            let _ = reply.send(Response::Error(Failure::new(reason)));
        }
    }

    fn finish_reading(&mut self, loaded: Option<Loaded>) {
        let Some(Reading { purpose, reply, .. }) = self.configuration.take_reading() else { return };
        let response = match loaded {
            Some(loaded) if purpose == Purpose::Restart && !loaded.fatal => {
                self.life.ending = Some(End::Replace);
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

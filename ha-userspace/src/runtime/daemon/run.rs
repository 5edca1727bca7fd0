//! The loop that waits and works.
//!
//! One thread, one loop. Whatever wakes it, the whole turn is done (see [`super::turn`]). Scripts are run, log lines
//! written, a configuration is read, programs are loaded and clients of the control socket served by other threads: all
//! that they get of this loop is a copy of its state.
//!
//! # What it waits for
//!
//! While the loop waits, no advert of a role goes out, and no lease is renewed once it is late. It waits for
//!
//! - the kernel's lock of all links, in each request over netlink that adds, removes or asks for something (addresses,
//!   routes and rules, neighbours, interfaces), and in each write of a kernel parameter of an interface: for as long as
//!   somebody else has it, which is a tenth of a second where namespaces come and go. The answer to a request is waited
//!   for until no part of it has come for 1 s;
//! - the answer whether a program is still attached, while a takeover is pending: 50 ms at most
//!   ([`crate::runtime::inspector`]);
//! - small files of the run directory, which is in memory: `routes`, `sysctls` and `holds` when what they say changes, and
//!   `restart` at the end of a run;
//! - locks of what is tracked, and of the allocator where another thread frees what came from here: those threads have
//!   them for microseconds, and go before ordinary ones;
//! - programs while it starts, if roles may go on: 5 s for each interface, after a planned restart as long as a role waits
//!   ([`crate::runtime::loading`]). Nothing is advertised by this loop before, and [`crate::runtime::herald`] speaks for
//!   it;
//! - threads that end, at the stop and when it leaves for a restart: some seconds, when no advert is left to send.
//!
//! `status` shows the longest turn that there was.

use std::future::poll_fn;

use tokio::sync::oneshot;

use super::Daemon;
use crate::config::Loaded;
use crate::control::asker::{Call, Order};
use crate::control::dump;
use crate::control::protocol::{Failure, Response};
use crate::net::clock;
use crate::runtime::configuration::{Purpose, Reading};
use crate::runtime::lifecycle::End;
use crate::runtime::wake::{Inputs, Wake};

impl Daemon {
    /// Runs until the daemon has stopped gracefully.
    pub(in crate::runtime) async fn run(&mut self, mut inputs: Inputs) -> End {
        let (mut woke, mut packets) = (clock::now(), false);
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
            self.shown.turn(woke, clock::now());
            self.shown.manager.turn(self.node.routers().iter().map(|router| router.machine().state()));
            let wake = self.wait(&mut inputs, packets).await;
            woke = clock::now();
            packets = matches!(wake, Wake::Packets);
            if !matches!(wake, Wake::Turn | Wake::Packets) {
                self.listen();
            }
            match wake {
                Wake::Turn | Wake::Packets => {}
                Wake::Links(changes) => self.links_changed(&changes),
                Wake::Programs => self.programs_loaded(),
                Wake::Removal => self.host.mark_routes_dirty(&mut self.routers),
                Wake::Liveness(report) => self.hear_report(report),
                Wake::Tracked => self.reconsider(),
                Wake::Call(call) => self.answer(call),
                Wake::Reload => self.start_reading(Purpose::Reload { force: false }, None),
                Wake::Read(loaded) => self.finish_reading(loaded.map(|loaded| *loaded)),
                Wake::Stop => self.stop(),
                Wake::Leave(end) => {
                    self.shown.manager.stopping();
                    self.life.ending = Some(end);
                }
                Wake::Dump(kind) => self.dump(kind),
                Wake::Clear => {
                    self.dump(dump::DumpKind::Statistics);
                    self.clear_statistics();
                }
            }
        }
    }

    /// The next reason to work. Packets come before all that can wait; right after packets they come last, so that those
    /// that never end keep nothing else waiting, no signal, client, link or check.
    async fn wait(&mut self, inputs: &mut Inputs, after_packets: bool) -> Wake {
        let Self { timer, interfaces, host, configuration, workers, shown, .. } = self;
        let Inputs { calls, reports, removals, signals } = inputs;
        let readable = || poll_fn(|context| interfaces.poll_readable(context));
        tokio::select! {
            biased;
            _ = timer.expired() => Wake::Turn,
            () = readable(), if !after_packets => Wake::Packets,
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
            () = workers.watchers.changed() => Wake::Tracked,
            wake = signals.next() => wake,
            Some(call) = calls.recv() => Wake::Call(call),
            loaded = configuration.loaded() => Wake::Read(loaded.map(Box::new)),
            () = shown.manager.due() => Wake::Turn,
            () = readable(), if after_packets => Wake::Packets,
        }
    }

    fn answer(&mut self, call: Call) {
        match call {
            // Nobody waits for it any more: it was asked for while this loop was frozen.
            Call::Status(reply) if reply.is_closed() => {}
            Call::Counters(reply) if reply.is_closed() => {}
            Call::Status(reply) => {
                let _ = reply.send(self.snapshot());
            }
            Call::Counters(reply) => {
                let _ = reply.send(self.counters());
            }
            Call::Order(Order::Reload { dry_run: true, .. }, reply) => {
                self.start_reading(Purpose::Preview, Some(reply));
            }
            Call::Order(Order::Reload { force, .. }, reply) => {
                self.start_reading(Purpose::Reload { force }, Some(reply));
            }
            Call::Order(Order::Hold(request), reply) => {
                let _ = reply.send(self.hold(&request));
            }
            Call::Order(Order::Restart, reply) => self.start_reading(Purpose::Restart, Some(reply)),
            Call::Order(Order::Stop, reply) => {
                self.stop();
                // A client that has gone away wants no answer.
                let _ = reply.send(Response::Stopping);
            }
        }
    }

    /// Graceful stop; asked for twice, at once.
    fn stop(&mut self) {
        if self.life.stopping {
            tracing::info!(kind = "stop", "stopping at once");
        } else {
            tracing::info!(kind = "stop", "stopping: virtual addresses are handed over first");
        }
        self.life.stopping = true;
        self.shown.manager.stopping();
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
            if matches!(purpose, Purpose::Reload { .. }) {
                self.shown.manager.reloading();
            }
            return self.configuration.start_reading(purpose, reply);
        };
        tracing::warn!(kind = "configuration", "no reload: {reason}");
        if let Some(reply) = reply {
            let _ = reply.send(Response::Error(Failure::new(reason)));
        }
    }

    fn finish_reading(&mut self, loaded: Option<Loaded>) {
        let Some(Reading { purpose, reply, .. }) = self.configuration.take_reading() else { return };
        let response = match loaded {
            Some(loaded) => self.take_configuration(loaded, purpose),
            None => Response::Error(Failure::new("the configuration could not be read: its reader failed")),
        };
        if matches!(purpose, Purpose::Reload { .. }) {
            self.shown.manager.reloaded(matches!(response, Response::Error(_)));
        }
        if let Some(reply) = reply {
            let _ = reply.send(response);
        }
    }

    fn take_configuration(&mut self, loaded: Loaded, purpose: Purpose) -> Response {
        if purpose == Purpose::Preview {
            return self.preview(loaded);
        }
        if let Some(message) = self.refusal(&loaded, purpose) {
            let diagnostics = crate::runtime::log_diagnostics(&loaded);
            tracing::error!("{message}");
            return Response::Error(Failure { message, diagnostics, ..Failure::default() });
        }
        if purpose == Purpose::Restart {
            self.life.ending = Some(End::Replace);
            return Response::Restarting;
        }
        self.apply(loaded)
    }
}

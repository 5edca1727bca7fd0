//! Loading XDP programs, and detaching them: on a thread of its own.
//!
//! The kernel checks a program for a tenth of a second before it takes it, and detaching waits for every processor
//! under the lock of all links. In the main loop that would delay adverts; and at the main loop's real-time priority it
//! would keep a processor from everything else of that kind on this host, such as another daemon's lease. The thread
//! comes right after that: while a daemon is restarted, a role waits for its program.
//!
//! Until its program is attached, an interface's adverts are received through sockets.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::time::Duration;

use ha_common::probe::Keys;
use ha_common::types::{Family, Vrid};
use tokio::runtime::Handle;
use tokio::sync::Notify;

use crate::config::model::XdpMode;
use crate::realtime;
use crate::worker::Worker;
use crate::xdp::{AttachError, Options, Raise, Raised, Slot, Travel, XdpInterface};
use ha_common::node::LONGEST_WINDOW;

/// How long a start waits for a program, so that a role that an earlier run left is found before anything else is
/// decided. A host whose processors are taken by real-time work for longer starts with sockets.
pub(super) const START_PATIENCE: Duration = Duration::from_secs(5);

/// The same after a planned restart: as long as peers can have been asked to wait. Adverts go out meanwhile
/// ([`super::herald`]).
pub(super) const RESTART_PATIENCE: Duration = Duration::from_nanos(LONGEST_WINDOW.0);

/// Before all threads without real-time priority.
const NICE: i8 = -20;

/// For tests: milliseconds that attaching takes longer, as on a processor that takes seconds for the verifier.
const SLOW: &str = "XVRRP_TEST_SLOW_LOADING";

/// What the daemon was started with, as far as interfaces care.
#[derive(Clone, Debug)]
pub(super) struct Setup {
    pub(super) fingerprint_key: [u64; 2],
    pub(super) incarnation: u64,
    pub(super) bpffs: Option<PathBuf>,
    pub(super) bpf_log: Option<aya_log::Level>,
    pub(super) tcx: bool,
}

/// How the configuration wants an interface's XDP program.
#[derive(Clone, Copy, Debug)]
pub(super) struct AttachPlan {
    pub(super) mode: XdpMode,
    pub(super) probe_keys: Keys,
    /// Sockets must see frames from virtual MAC addresses that interfaces on this one have too.
    pub(super) tap: bool,
    /// Some of its virtual routers have `auth_type AH`.
    pub(super) authenticated: bool,
    /// Some of its virtual routers have `fast_failover`.
    pub(super) fast: bool,
}

/// What became of an order.
type AttachResult = Result<XdpInterface, AttachError>;

/// What became of the way from traffic control to XDP.
pub(super) type Rise = Result<Option<Raised>, String>;

/// A program that is being loaded. Dropping it detaches the program again.
#[derive(Debug)]
pub(super) struct Loading(Receiver<AttachResult>);

impl Loading {
    /// What became of it, where that is known by now, or after `wait` at the latest.
    pub(super) fn outcome(self, wait: Option<Duration>) -> Result<AttachResult, Option<Self>> {
        let outcome = match wait {
            Some(wait) => self.0.recv_timeout(wait),
            None => self.0.try_recv().map_err(|error| match error {
                TryRecvError::Empty => RecvTimeoutError::Timeout,
                TryRecvError::Disconnected => RecvTimeoutError::Disconnected,
            }),
        };
        outcome.map_err(|error| (error == RecvTimeoutError::Timeout).then_some(self))
    }
}

enum LoaderOrder {
    Attach(Box<AttachOrder>),
    Detach(Box<XdpInterface>),
    Raise(Raise, Sender<Rise>),
}

struct AttachOrder {
    name: String,
    ifindex: u32,
    plan: AttachPlan,
    routers: Vec<(Slot, Travel)>,
    roles: Vec<(Family, Vrid)>,
    setup: Setup,
    runtime: Handle,
    reply: Sender<AttachResult>,
}

impl AttachOrder {
    fn attach(&self) -> AttachResult {
        let Self { name, ifindex, plan, routers, roles, setup, runtime, .. } = self;
        let options = Options {
            vlan: 0,
            fingerprint_key: setup.fingerprint_key,
            incarnation: setup.incarnation,
            apart: !plan.fast,
            probe_keys: plan.probe_keys,
            bpffs: setup.bpffs.as_deref(),
            bpf_log: setup.bpf_log,
            tcx: setup.tcx,
            routers,
            roles,
        };
        let _runtime = runtime.enter();
        if let Some(ms) = std::env::var(SLOW).ok().and_then(|text| text.parse().ok()) {
            std::thread::sleep(Duration::from_millis(ms));
        }
        XdpInterface::attach(name, *ifindex, plan.mode, options)
    }
}

/// The thread's handle. Orders are carried out one after the other: what is attached anew has been detached before.
/// Dropping it waits for the thread.
#[derive(Debug)]
pub(super) struct Loader {
    worker: Worker<LoaderOrder>,
    done: Arc<Notify>,
}

impl Loader {
    /// Starts the thread, which must not have real-time priority.
    pub(super) fn start() -> io::Result<Self> {
        let done = Arc::new(Notify::new());
        let told = Arc::clone(&done);
        let worker = Worker::start("xvrrp-load", move |orders: Receiver<LoaderOrder>| {
            // A refusal costs time only.
            let _ = realtime::set_nice(Some(NICE));
            for order in orders {
                match order {
                    LoaderOrder::Attach(wanted) => {
                        // Where nobody wants it any more, it comes back and is detached here.
                        let _ = wanted.reply.send(wanted.attach());
                        told.notify_one();
                    }
                    LoaderOrder::Detach(interface) => drop(interface),
                    LoaderOrder::Raise(raise, reply) => {
                        let _ = reply.send(raise.attempt());
                        told.notify_one();
                    }
                }
            }
        })?;
        Ok(Self { worker, done })
    }

    /// Orders a program for an interface and its virtual routers, of which the run before has left `roles`. Must be called inside a tokio runtime.
    pub(super) fn attach(
        &self,
        name: String,
        ifindex: u32,
        plan: AttachPlan,
        routers: Vec<(Slot, Travel)>,
        roles: Vec<(Family, Vrid)>,
        setup: Setup,
    ) -> Loading {
        let (reply, outcome) = channel();
        let runtime = Handle::current();
        self.worker.tell(LoaderOrder::Attach(Box::new(AttachOrder {
            name,
            ifindex,
            plan,
            routers,
            roles,
            setup,
            runtime,
            reply,
        })));
        Loading(outcome)
    }

    /// Takes a program off its interface.
    pub(super) fn detach(&self, interface: Box<XdpInterface>) {
        self.worker.tell(LoaderOrder::Detach(interface));
    }

    /// Puts a program from traffic control into XDP, where that is free.
    pub(super) fn raise(&self, raise: Raise) -> Receiver<Rise> {
        let (reply, outcome) = channel();
        self.worker.tell(LoaderOrder::Raise(raise, reply));
        outcome
    }

    /// Waits until some order for a program has been carried out.
    pub(super) fn done(&self) -> impl Future<Output = ()> + use<'_> {
        self.done.notified()
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        self.worker.finish();
    }
}

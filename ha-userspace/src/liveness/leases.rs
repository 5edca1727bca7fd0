//! Renewing leases: two threads, each bound to a processor of its own.
//!
//! A hypervisor, or firmware, can stop one processor for hundreds of milliseconds. A single thread whose timer fires
//! there would let the lease of a healthy daemon run out, and the other router would rightly take over. Whoever of the
//! two is late is late alone.
//!
//! Neither vouches for a main loop that is later than it promised: what a lease says is not that threads run.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use ha_common::node::lease;
use ha_common::time::Time;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

use tokio::sync::mpsc::UnboundedSender;

use super::{LeaseSpec, Report};
use crate::net::clock;
use crate::realtime;
use crate::worker::Worker;

/// The threads' handle. Dropping it waits for their end: afterwards nothing renews a lease.
#[derive(Debug)]
pub(super) struct Renewers {
    workers: Vec<Worker<LeaseOrder>>,
}

/// What a thread is told.
#[derive(Debug)]
enum LeaseOrder {
    Leases(Vec<LeaseSpec>),
    Schedule(Option<usize>, u8),
}

impl Renewers {
    /// Starts them. `promised`: see [`super::Liveness::promise`].
    pub(super) fn start(
        promised: &Arc<AtomicU64>,
        reports: &UnboundedSender<Report>,
        priority: u8,
    ) -> std::io::Result<Self> {
        let mut renewers = Self { workers: Vec::new() };
        for (number, processor) in processors().into_iter().enumerate() {
            let (promised, reports) = (Arc::clone(promised), reports.clone());
            renewers.workers.push(Worker::start(&format!("xvrrp-lease-{number}"), move |orders| {
                run(processor, priority, &orders, &promised, &reports);
            })?);
        }
        Ok(renewers)
    }

    /// All leases to renew from now on.
    pub(super) fn set_leases(&self, leases: &[LeaseSpec]) {
        for worker in &self.workers {
            worker.tell(LeaseOrder::Leases(leases.to_vec()));
        }
    }

    /// Another priority, and the processors that the calling thread may use now. Where it may use one only, both run
    /// there; where it was one at the start, there is one thread.
    pub(super) fn schedule(&self, priority: u8) {
        let processors = processors();
        let last = processors.last().copied().flatten();
        for (at, worker) in self.workers.iter().enumerate() {
            let processor = processors.get(at).copied().flatten().or(last);
            worker.tell(LeaseOrder::Schedule(processor, priority));
        }
    }
}

impl Drop for Renewers {
    fn drop(&mut self) {
        self.workers.iter_mut().for_each(Worker::finish);
    }
}

/// The first and the last processor that we may use; one where there is only one. `None` where the kernel does not say.
fn processors() -> Vec<Option<usize>> {
    let Ok(allowed) = sched_getaffinity(Pid::from_raw(0)) else { return vec![None] };
    let mut usable = (0..CpuSet::count()).filter(|&cpu| allowed.is_set(cpu).unwrap_or(false));
    let (first, last) = (usable.next(), usable.next_back());
    std::iter::once(first).chain(last.map(Some)).collect()
}

fn run(
    processor: Option<usize>,
    priority: u8,
    orders: &Receiver<LeaseOrder>,
    promised: &AtomicU64,
    reports: &UnboundedSender<Report>,
) {
    // Each refusal is said once, in the main loop's words; this thread then runs as it is.
    let _ = realtime::exact_timers();
    schedule(processor, priority);
    let mut leases = Vec::new();
    loop {
        let now = clock::now();
        let next = renew(&leases, now, promised.load(Ordering::Acquire));
        leases.iter().for_each(|spec| look(spec, now, reports));
        let order = match next {
            Some(wait) => orders.recv_timeout(wait),
            None => orders.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match order {
            Ok(LeaseOrder::Leases(changed)) => leases = changed,
            Ok(LeaseOrder::Schedule(processor, priority)) => schedule(processor, priority),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

fn schedule(processor: Option<usize>, priority: u8) {
    if let Some(processor) = processor {
        let mut one = CpuSet::new();
        // A refusal costs only the independence of the other.
        let _ = one.set(processor).and_then(|()| sched_setaffinity(Pid::from_raw(0), &one));
    }
    let _ = realtime::set_priority(priority);
}

/// Tells the main loop once that a router probes again, and that a lease has run out. Both threads look, and the first one
/// tells.
fn look(spec: &LeaseSpec, now: Time, reports: &UnboundedSender<Report>) {
    let resumed = spec.lease.resumed().0;
    // The main loop is gone when the daemon stops.
    if spec.told.swap(resumed, Ordering::AcqRel) != resumed {
        let _ = reports.send(Report::ProbesResumed { ifindex: spec.ifindex });
    }
    let until = spec.lease.until();
    if until <= now && spec.over.swap(until.0, Ordering::AcqRel) != until.0 {
        let _ = reports.send(Report::LeaseRanOut);
    }
}

/// Renews what is to be renewed, and says how long to wait until the next look.
fn renew(leases: &[LeaseSpec], now: Time, promised: u64) -> Option<Duration> {
    for LeaseSpec { lease, length, .. } in leases {
        if let Some(until) = lease::renewal(lease.until(), *length, Time(promised), now) {
            lease.renew(until);
        }
    }
    leases.iter().map(|spec| Duration::from_nanos(lease::pace(spec.length).0)).min()
}

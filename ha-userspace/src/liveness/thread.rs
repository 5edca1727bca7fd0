//! The loop of the liveness thread.

use std::num::NonZeroU64;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::Duration;

use ha_common::time::{Span, Time};
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::eventfd::EventFd;
use nix::sys::time::TimeSpec;
use tokio::sync::mpsc::UnboundedSender;

use super::prober::Prober;
use super::{Command, LeaseSpec, REALTIME_PRIORITY, Report, descriptor};
use crate::net::probe_tx::ProbeTx;
use crate::net::{clock, process};

/// Everything that the thread owns.
pub(super) struct Worker {
    incarnation: NonZeroU64,
    orders: Receiver<Command>,
    wake: Arc<EventFd>,
    descriptor: OwnedFd,
    promised: Arc<AtomicU64>,
    reports: UnboundedSender<Report>,
    socket: ProbeTx,
    probers: Vec<Prober>,
    leases: Vec<LeaseSpec>,
}

impl Worker {
    pub(super) fn new(
        incarnation: NonZeroU64,
        orders: Receiver<Command>,
        wake: Arc<EventFd>,
        promised: Arc<AtomicU64>,
        reports: UnboundedSender<Report>,
    ) -> anyhow::Result<Self> {
        let descriptor = descriptor(&wake)?;
        let socket = ProbeTx::open()?;
        let (probers, leases) = (Vec::new(), Vec::new());
        Ok(Self { incarnation, orders, wake, descriptor, promised, reports, socket, probers, leases })
    }

    pub(super) fn run(mut self) {
        // Each refusal is said once, in the main loop's words; this thread then runs as it is.
        let _ = process::exact_timers();
        let _ = process::set_realtime(REALTIME_PRIORITY);
        loop {
            if !self.obey() {
                return;
            }
            let mut next = Time::NEVER;
            for prober in &mut self.probers {
                prober.work(&mut self.socket, &self.reports);
                next = next.min(prober.next_deadline());
            }
            next = next.min(self.renew());
            self.sleep(next);
        }
    }

    /// Carries out what the main loop wants; false when that is gone.
    fn obey(&mut self) -> bool {
        let _ = self.wake.read();
        loop {
            match self.orders.try_recv() {
                Ok(Command::Peers(specs)) => self.adopt(specs),
                Ok(Command::Leases(leases)) => self.leases = leases,
                Ok(Command::Heard(peer, at)) => {
                    if let Some(prober) = self.probers.iter_mut().find(|prober| prober.key() == peer) {
                        prober.heard(at);
                    }
                }
                Ok(Command::Status(reply)) => {
                    let now = clock::now();
                    let _ = reply.send(self.probers.iter().map(|prober| prober.status(now)).collect());
                }
                Err(TryRecvError::Empty) => return true,
                Err(TryRecvError::Disconnected) => return false,
            }
        }
    }

    fn adopt(&mut self, specs: Vec<super::PeerSpec>) {
        self.probers.retain(|prober| specs.iter().any(|spec| spec.key == prober.key()));
        for spec in specs {
            match self.probers.iter_mut().find(|prober| prober.key() == spec.key) {
                Some(prober) if prober.reads(&spec.peers) => prober.change(spec),
                // The program was attached anew, with maps of its own.
                Some(prober) => *prober = Prober::new(spec, self.incarnation),
                None => self.probers.push(Prober::new(spec, self.incarnation)),
            }
        }
    }

    /// Renews the leases, and returns when it wants to do so again. Three renewals fit into a lease.
    fn renew(&self) -> Time {
        let now = clock::now();
        // A main loop that hangs is nobody to vouch for.
        let alive = now.0 <= self.promised.load(Ordering::Acquire);
        let mut next = Time::NEVER;
        for LeaseSpec { lease, length } in &self.leases {
            let third = Span(length.0 / 3);
            let until = lease.until();
            if alive && until > now && until.span_since(now) <= Span(length.0 - third.0) {
                lease.renew(now.after(*length));
            }
            next = next.min(now.after(third));
        }
        next
    }

    fn sleep(&self, until: Time) {
        let timeout = (until != Time::NEVER).then(|| {
            let left = until.span_since(clock::now());
            TimeSpec::from_duration(Duration::from_nanos(left.0))
        });
        let mut fds = [PollFd::new(self.descriptor.as_fd(), PollFlags::POLLIN)];
        // Interrupted or failed: the loop looks at everything again and comes back.
        let _ = ppoll(&mut fds, timeout, None);
    }
}

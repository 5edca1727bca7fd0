//! The loop of the thread that probes.

use std::num::NonZeroU64;
use std::os::fd::AsFd;
use std::sync::mpsc::TryRecvError;
use std::time::Duration;

use ha_common::time::Time;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;
use tokio::sync::mpsc::UnboundedSender;

use super::prober::Prober;
use super::{Command, PeerSpec, Report};
use crate::net::clock;
use crate::net::probe_tx::ProbeTx;
use crate::realtime;
use crate::worker::Inbox;

/// A new incarnation id for each prober, because each counts its probes from 1.
///
/// With a key, they grow from run to run, so that what was recorded of an earlier one is known as old. Without a key only
/// their being hard to guess keeps strangers from forging replies.
struct Incarnations {
    random: NonZeroU64,
    given: u64,
}

impl Incarnations {
    /// Bits of chance below the milliseconds since 1970.
    const CHANCE: u32 = 20;

    fn next(&mut self, spec: &PeerSpec) -> NonZeroU64 {
        self.given += 1;
        let keyed =
            spec.keys.current.is_some() || spec.keys.other.is_some_and(|(secret, _)| secret.is_some());
        let id = if keyed {
            let chance = self.random.get().wrapping_add(self.given) % (1 << Self::CHANCE);
            ((clock::realtime_ns() / 1_000_000) << Self::CHANCE) | chance
        } else {
            // Smaller than all of today's with a key, so that a key can be introduced.
            (self.random.get() >> 4).wrapping_add(self.given)
        };
        NonZeroU64::new(id).unwrap_or(NonZeroU64::MIN)
    }
}

/// Everything that the thread owns.
pub(super) struct Probing {
    incarnations: Incarnations,
    reports: UnboundedSender<Report>,
    socket: ProbeTx,
    probers: Vec<Prober>,
    priority: u8,
}

impl Probing {
    pub(super) fn new(
        incarnation: NonZeroU64,
        reports: UnboundedSender<Report>,
        priority: u8,
    ) -> anyhow::Result<Self> {
        let socket = ProbeTx::open()?;
        let (probers, incarnations) = (Vec::new(), Incarnations { random: incarnation, given: 0 });
        Ok(Self { incarnations, reports, socket, probers, priority })
    }

    pub(super) fn run(mut self, orders: &Inbox<Command>) {
        // Each refusal is said once, in the main loop's words; this thread then runs as it is.
        let _ = realtime::exact_timers();
        let _ = realtime::set_priority(self.priority);
        loop {
            if !self.obey(orders) {
                return;
            }
            let mut next = Time::NEVER;
            for prober in &mut self.probers {
                prober.work(&mut self.socket, &self.reports);
                next = next.min(prober.next_deadline());
            }
            // It never spins instead, not even before a verdict: replies are delivered by a softirq, which on a machine with
            // one processor would not run.
            sleep(orders, next);
        }
    }

    /// Carries out what the main loop wants; false when that is gone.
    fn obey(&mut self, orders: &Inbox<Command>) -> bool {
        loop {
            match orders.take() {
                Ok(Command::Peers(specs)) => self.configure(specs),
                Ok(Command::Heard(peer, at)) => {
                    if let Some(prober) = self.probers.iter_mut().find(|prober| prober.key() == peer) {
                        prober.heard(at);
                    }
                }
                Ok(Command::Priority(priority)) => {
                    let _ = realtime::set_priority(priority);
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

    fn configure(&mut self, specs: Vec<PeerSpec>) {
        self.probers.retain(|prober| specs.iter().any(|spec| spec.key == prober.key()));
        for spec in specs {
            let known = self.probers.iter_mut().find(|prober| prober.key() == spec.key);
            if let Some(prober) = known
                && prober.reads(&spec.peers)
            {
                prober.change(spec);
                continue;
            }
            // Where it was known, the program has been attached anew, with maps of its own.
            self.probers.retain(|prober| prober.key() != spec.key);
            let incarnation = self.incarnations.next(&spec);
            self.probers.push(Prober::new(spec, incarnation));
        }
    }
}

/// Sleeps until then, or until there are orders.
fn sleep(orders: &Inbox<Command>, until: Time) {
    let timeout = (until != Time::NEVER).then(|| {
        let left = until.span_since(clock::now());
        TimeSpec::from_duration(Duration::from_nanos(left.0))
    });
    let mut fds = [PollFd::new(orders.as_fd(), PollFlags::POLLIN)];
    // Interrupted or failed: the loop looks at everything again and comes back.
    let _ = ppoll(&mut fds, timeout, None);
}

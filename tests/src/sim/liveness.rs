//! The liveness thread of an interface: a judge for each router that is probed, and the lease.
//!
//! Verdicts are [`ha_common::judge`]'s, when a lease is renewed [`ha_common::node::lease`]'s; here the thread around them is
//! modelled.

use std::net::IpAddr;

use ha_common::judge::{Event, PeerJudge, Settings};
use ha_common::node::{InterfaceId, Node, lease};
use ha_common::time::{Span, Time};

use super::kernel::Kernel;

/// What the thread knows.
#[derive(Debug)]
pub(super) struct Liveness {
    on: InterfaceId,
    lease: Span,
    /// By the number of the host.
    pub(super) judges: Vec<PeerJudge>,
    /// What it tells the main loop.
    mail: Vec<(usize, Event)>,
    /// When it looks at the lease next, the latest resumption of probes that it has told, and the end of the lease of which it
    /// has told that it ran out.
    look_at: Time,
    told: Time,
    over: Time,
    /// It has told the main loop.
    resumed: bool,
}

/// What it did when it had the CPU.
#[derive(Debug, Default)]
pub(super) struct Looked {
    /// Probes to be sent: to whom, and their sequence.
    pub(super) probes: Vec<(usize, u64)>,
    pub(super) verdicts: Vec<(usize, Event)>,
    pub(super) wake_main: bool,
}

impl Liveness {
    /// It begins; `peers` hosts can be probed.
    pub(super) fn new(
        on: InterfaceId,
        settings: Settings,
        lease: Span,
        peers: usize,
        kernel: &Kernel,
        now: Time,
    ) -> Self {
        Self {
            on,
            lease,
            judges: (0..peers).map(|_| PeerJudge::new(settings, now)).collect(),
            mail: Vec::new(),
            look_at: now,
            told: kernel.program(on).map_or(Time(0), |program| program.resumed),
            over: Time(0),
            resumed: false,
        }
    }

    /// An advert of a host came at this time.
    pub(super) fn heard(&mut self, sender: Option<usize>, at: Time, now: Time) {
        if let Some(judge) = sender.and_then(|sender| self.judges.get_mut(sender)) {
            judge.heard(at, now);
        }
    }

    /// It has the CPU. `probes`: this host probes. `promised`: when the main loop is to be done with its next turn.
    pub(super) fn look(
        &mut self,
        node: &Node,
        kernel: &mut Kernel,
        probes: bool,
        promised: Time,
        now: Time,
    ) -> Result<Looked, String> {
        let mut looked = Looked::default();
        for (peer, judge) in self.judges.iter_mut().enumerate() {
            if let Some(reply) = &kernel.replies[peer] {
                judge.answered(reply, now);
            }
            if let Some(sequence) = judge.tick(now)
                && probes
            {
                looked.probes.push((peer, sequence));
                judge.sent(sequence, now);
            }
            if judge.next_deadline() <= now {
                return Err(format!("40: the judge of h{peer} stands still"));
            }
            while let Some(event) = judge.poll_event() {
                self.mail.push((peer, event));
                looked.verdicts.push((peer, event));
                looked.wake_main = true;
            }
        }
        looked.wake_main |= self.look_after_lease(node, kernel, promised, now);
        Ok(looked)
    }

    /// Only a master's lease is looked after. True if the main loop is to be woken.
    fn look_after_lease(&mut self, node: &Node, kernel: &mut Kernel, promised: Time, now: Time) -> bool {
        if self.look_at > now || !node.needs_lease(self.on) {
            return false;
        }
        let Some(program) = kernel.program_mut(self.on) else { return false };
        self.look_at = now.after(lease::pace(self.lease));
        if let Some(until) = lease::renewal(program.lease_until, self.lease, promised, now) {
            program.lease_until = until;
        }
        let resumed = std::mem::replace(&mut self.told, program.resumed) != program.resumed;
        self.resumed |= resumed;
        let until = program.lease_until;
        let over = until <= now && std::mem::replace(&mut self.over, until) != until;
        resumed || over
    }

    /// The main loop has the CPU, and takes what it was told, one after the other. `address` is a peer's.
    pub(super) fn report(
        &mut self,
        node: &mut Node,
        kernel: &Kernel,
        address: impl Fn(usize) -> IpAddr,
        now: Time,
    ) -> bool {
        if self.mail.is_empty() {
            return false;
        }
        let (peer, event) = self.mail.remove(0);
        let order = self.judges[peer].precedence();
        node.report(self.on, address(peer), event, order, now, kernel);
        true
    }

    /// A router that did not probe for a while may have taken the addresses meanwhile.
    pub(super) fn tell_resumption(&mut self, node: &mut Node, now: Time) {
        if std::mem::take(&mut self.resumed) {
            node.probes_resumed(self.on, now);
        }
    }

    /// This peer's verdicts are wanted from now on. True if the thread is to be woken.
    pub(super) fn follow(&mut self, followed: Option<usize>, now: Time) -> bool {
        let mut sooner = false;
        for (peer, judge) in self.judges.iter_mut().enumerate() {
            let before = judge.next_deadline();
            judge.follow(followed == Some(peer), now);
            sooner |= judge.next_deadline() < before;
        }
        sooner
    }

    /// When it wants the CPU.
    pub(super) fn due(&self, node: &Node, now: Time) -> Time {
        let judges = self.judges.iter().map(PeerJudge::next_deadline).min().unwrap_or(Time::NEVER);
        let look = if node.needs_lease(self.on) { self.look_at.max(now) } else { Time::NEVER };
        judges.min(look)
    }

    /// Stalls that its judges have noticed.
    pub(super) fn stalls(&self) -> u64 {
        self.judges.iter().map(|judge| judge.counts().stalls).sum()
    }
}

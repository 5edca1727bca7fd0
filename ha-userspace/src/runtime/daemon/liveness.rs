//! Fast failover, connected: what changed goes to the liveness thread, and its verdicts go to the machines.
//!
//! Whom it probes is [`crate::runtime::fast`]'s, what this node says of itself [`super::fence`]'s.

use ha_common::judge::{Event, Verdict};
use ha_common::time::Time;

use super::Daemon;
use crate::liveness::Report;
use crate::net::clock;
use crate::runtime::note::Note;
use crate::runtime::reasons::Judgement;
use crate::runtime::router::interface_id;

impl Daemon {
    /// After a turn's work: the liveness thread hears what changed and how long this loop may sleep.
    pub(super) fn settle_fast(&mut self, next: Option<Time>) {
        if self.node.take_peers_changed() || self.fast.is_unresolved() {
            self.update_keys();
            let Self { fast, routers, interfaces, host, node, .. } = self;
            fast.update_peers(routers, interfaces, node, &mut host.neighbours);
            fast.update_leases(interfaces, node);
            for (at, interface) in interfaces.iter().enumerate() {
                interface.tell_sources(routers.on(at).filter_map(|router| router.source));
            }
        }
        self.fast.promise(next.unwrap_or(Time::NEVER));
    }

    /// Takes the keys of the configuration, and tells the programs.
    fn update_keys(&mut self) {
        let now = clock::now();
        for at in 0..self.interfaces.len() {
            let wanted = self.probe_keys(at);
            let interface = &mut self.interfaces[at];
            let before = interface.xdp().map_or(interface.keys, |xdp| xdp.lease.keys());
            let keys = before.map_or(wanted, |keys| keys.followed_by(wanted, now));
            if let Some(xdp) = interface.xdp().filter(|_| before != Some(keys)) {
                xdp.lease.set_keys(&keys);
            }
            interface.keys = Some(keys);
        }
    }

    /// Takes a report of the liveness thread.
    pub(super) fn hear_report(&mut self, report: Report) {
        let now = clock::now();
        let (peer, event, order, silence) = match report {
            Report::Peer { peer, event, order, silence } => (peer, event, order, silence),
            Report::Missed { ifindex } => return self.interfaces.foresee_loss(ifindex, now),
            Report::ProbesResumed { ifindex } => {
                if let Some(at) = self.interfaces.with_index(ifindex) {
                    self.node.probes_resumed(interface_id(at), now);
                }
                return;
            }
            // The turn that this begins has looked at the leases already.
            Report::LeaseRanOut => return,
        };
        let (ifindex, source) = peer;
        let Some(at) = self.interfaces.with_index(ifindex) else { return };
        match event {
            Event::Discovered { .. } => self.fast.answers(peer, true),
            Event::Apart { .. } => self.fast.answers(peer, false),
            _ => {}
        }
        // An affirmation is for the machines only, and that a peer which nobody follows is master for nothing is no
        // news: a backup has neither a lease nor a bit in its bitmap.
        let silent = match event {
            Event::Lost { at, affirmed, .. } if affirmed > at => true,
            Event::Lost { verdict: Verdict::Expired, .. } | Event::Resigned { .. } => {
                !self.fast.is_followed(peer)
            }
            _ => false,
        };
        if !silent {
            let keyed = self.fast.is_keyed(peer);
            self.notes.push(Note::Liveness { interface: at, source, event, keyed, silence });
        }
        if let Event::Lost { verdict, at, affirmed } = event
            && at == affirmed
        {
            self.fast.judge(source, Judgement { verdict, at, silence });
        }
        self.with_kernel(|node, kernel| node.report(interface_id(at), source, event, order, now, kernel));
        self.perform();
    }
}

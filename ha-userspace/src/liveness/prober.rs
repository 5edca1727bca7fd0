//! One peer: its judge, its frame, and its entry in the map.

use std::num::NonZeroU64;

use ha_common::judge::{Answered, PeerJudge};
use ha_common::probe::{Probe, ProbeFrame, USER_SPACE};
use ha_common::time::Time;
use tokio::sync::mpsc::UnboundedSender;

use super::{PeerKey, PeerSpec, PeerStatus, Report};
use crate::net::clock;
use crate::net::probe_tx::ProbeTx;
use crate::xdp::{LastReply, Peers};

/// See the module's documentation.
pub(super) struct Prober {
    spec: PeerSpec,
    incarnation: NonZeroU64,
    judge: PeerJudge,
    frame: Option<ProbeFrame>,
    /// Sequence of the reply that was fed last.
    fed: u64,
}

impl Prober {
    pub(super) fn new(spec: PeerSpec, incarnation: NonZeroU64) -> Self {
        let now = clock::now();
        spec.peers.configure(spec.index, spec.key.1, incarnation);
        let mut judge = PeerJudge::new(spec.settings, now);
        judge.link(spec.link_up, now);
        judge.follow(spec.follow, now);
        let frame = frame(&spec, incarnation);
        Self { spec, incarnation, judge, frame, fed: 0 }
    }

    pub(super) const fn key(&self) -> PeerKey {
        self.spec.key
    }

    /// Whether that is the map that replies are read from.
    pub(super) fn reads(&self, peers: &Peers) -> bool {
        self.spec.peers.is_same(peers)
    }

    /// Takes other settings, MAC addresses or wishes; the judge keeps what it knows.
    pub(super) fn change(&mut self, spec: PeerSpec) {
        let now = clock::now();
        self.judge.reconfigure(spec.settings);
        self.judge.link(spec.link_up, now);
        self.judge.follow(spec.follow, now);
        self.frame = frame(&spec, self.incarnation);
        self.spec = spec;
    }

    pub(super) fn heard(&mut self, at: Time) {
        self.judge.heard(at, clock::now());
    }

    pub(super) const fn next_deadline(&self) -> Time {
        self.judge.next_deadline()
    }

    /// One round of the judge's contract.
    pub(super) fn work(&mut self, socket: &mut ProbeTx, reports: &UnboundedSender<Report>) {
        let now = clock::now();
        if let Some(reply) = self.new_reply() {
            self.judge.answered(&reply, now);
        }
        if let Some(sequence) = self.judge.tick(now)
            && let Some(frame) = &mut self.frame
        {
            // The program believes no reply to a probe that it has not been told of.
            self.spec.peers.set_sent(self.spec.index, sequence);
            // What cannot be sent accuses nobody.
            if socket.send(self.spec.key.0, frame.renew(sequence)).is_ok() {
                let now = clock::now();
                match self.new_reply() {
                    Some(reply) => self.judge.sent_and_answered(sequence, &reply, now),
                    None => self.judge.sent(sequence, now),
                }
            }
        }
        while let Some(event) = self.judge.poll_event() {
            // The main loop is gone when the daemon stops; so is this thread, soon.
            let _ = reports.send(Report { peer: self.spec.key, event });
        }
    }

    /// What has come since it was last asked for.
    fn new_reply(&mut self) -> Option<Answered> {
        if self.spec.peers.answered(self.spec.index) == self.fed {
            return None;
        }
        let reply = self.spec.peers.last_reply(self.spec.index)?;
        self.fed = reply.reply.sequence;
        Some(answered(&reply))
    }

    pub(super) fn status(&self, now: Time) -> PeerStatus {
        let latest = self.judge.latest();
        PeerStatus {
            key: self.spec.key,
            fast: self.judge.is_fast(),
            verdict: self.judge.verdict(),
            paused_until: self.judge.paused_until(now),
            counts: self.judge.counts(),
            round_trips: self.judge.round_trips(),
            lateness: self.judge.lateness(),
            last_reply: latest.map(|reply| reply.at),
            user_space: latest.is_some_and(|reply| reply.flags & USER_SPACE != 0),
            apart: self.judge.is_apart(),
        }
    }
}

impl Drop for Prober {
    fn drop(&mut self) {
        self.spec.peers.clear(self.spec.index);
    }
}

fn frame(spec: &PeerSpec, incarnation: NonZeroU64) -> Option<ProbeFrame> {
    let probe = Probe { slot: spec.index.get(), sequence: 0, prober: incarnation.get() };
    ProbeFrame::new(spec.macs, (spec.source, spec.key.1), probe, spec.auth)
}

fn answered(last: &LastReply) -> Answered {
    let reply = &last.reply;
    Answered {
        sequence: reply.sequence,
        at: last.at,
        flags: reply.flags,
        responder: reply.responder,
        lease: reply.lease,
        masters: reply.masters,
    }
}

//! One peer: its judge, its frame, and its entry in the map.

use std::num::NonZeroU64;

use ha_common::judge::{Answered, PeerJudge};
use ha_common::probe::{FIRST_FORMAT, FORMAT, Key, Probe, ProbeFrame, USER_SPACE};
use ha_common::time::Time;
use tokio::sync::mpsc::UnboundedSender;

use super::{PeerKey, PeerSpec, PeerStatus, Report, Silence};
use crate::net::clock;
use crate::net::probe_tx::ProbeTx;
use crate::xdp::{LastReply, Peers};

/// See the module's documentation.
pub(super) struct Prober {
    spec: PeerSpec,
    incarnation: NonZeroU64,
    judge: PeerJudge,
    frame: Option<ProbeFrame>,
    /// The same under the other key, until the peer has answered under the one in force.
    second: Option<ProbeFrame>,
    /// The sequence after which answers are under the key in force.
    keys_since: u64,
    /// What the peer has answered; `None` as long as it has answered nothing.
    format: Option<u8>,
    /// Sequence of the reply that was fed last.
    fed: u64,
    /// A probe is unanswered, and the main loop knows it.
    missed: bool,
}

impl Prober {
    pub(super) fn new(spec: PeerSpec, incarnation: NonZeroU64) -> Self {
        spec.peers.configure(spec.index, spec.key.1, incarnation);
        let judge = judge(&spec, 0, clock::now());
        let mut prober = Self {
            spec,
            incarnation,
            judge,
            frame: None,
            second: None,
            keys_since: 0,
            format: None,
            fed: 0,
            missed: false,
        };
        prober.write_frame(FORMAT);
        prober
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
        let changed = spec.keys.current != self.spec.keys.current;
        let alone = spec.keys.other.is_none();
        self.judge.reconfigure(spec.settings);
        self.judge.link(spec.link_up, now);
        self.judge.follow(spec.follow, now);
        self.spec = spec;
        if changed {
            self.keys_since = self.judge.sequence();
            if alone {
                self.forget(now);
            }
        }
        self.write_frame(self.format.unwrap_or(FORMAT));
    }

    /// Whether the peer has a key that counts is to be seen. Until then its silence means nothing.
    fn forget(&mut self, now: Time) {
        self.judge = judge(&self.spec, self.judge.sequence(), now);
        self.format = None;
    }

    /// Whether the peer has answered under the key in force.
    fn has_current_key(&self) -> bool {
        self.spec.peers.answered_under_current_key(self.spec.index) > self.keys_since
    }

    /// The other key is dropped when the peer has answered under the one in force, or when its time is over.
    fn settle_keys(&mut self, now: Time) {
        let Some((_, until)) = self.spec.keys.other.filter(|_| self.second.is_some()) else { return };
        if self.has_current_key() {
            self.second = None;
        } else if now >= until {
            self.forget(now);
            self.second = None;
        }
    }

    fn write_frame(&mut self, format: u8) {
        let (current, other) = self.spec.keys.of_format(format, clock::now());
        self.frame = frame(&self.spec, self.incarnation, format, current);
        self.second = other
            .filter(|key| !self.has_current_key() && *key != current)
            .and_then(|key| frame(&self.spec, self.incarnation, format, key));
    }

    /// The format of the probe with this number: a peer that has answered none may be one that knows only the first
    /// format, so that the two take turns.
    fn choose_format(&mut self, sequence: u64) {
        if self.format.is_some() {
            return;
        }
        if self.fed != 0 {
            self.format = Some(format_of(self.fed));
        }
        self.write_frame(self.format.unwrap_or(format_of(sequence)));
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
        self.settle_keys(now);
        let due = self.judge.tick(now);
        let missed = self.judge.has_missed(now);
        if missed && !self.missed {
            let _ = reports.send(Report::Missed { ifindex: self.spec.key.0 });
        }
        self.missed = missed;
        // What follows from a verdict does not wait for the next probe.
        self.report(reports);
        if let Some(sequence) = due {
            self.choose_format(sequence);
        }
        if let Some(sequence) = due
            && let Some(frame) = &mut self.frame
        {
            // The program believes no reply to a probe that it has not been told of.
            self.spec.peers.set_sent(self.spec.index, sequence);
            // What cannot be sent accuses nobody. Under the key in force first: whoever has both answers the first.
            let mut sent = socket.send(self.spec.key.0, frame.renew(sequence)).is_ok();
            if let Some(second) = &mut self.second {
                sent |= socket.send(self.spec.key.0, second.renew(sequence)).is_ok();
            }
            if sent {
                let now = clock::now();
                match self.new_reply() {
                    Some(reply) => self.judge.sent_and_answered(sequence, &reply, now),
                    None => self.judge.sent(sequence, now),
                }
            }
        }
        self.report(reports);
    }

    /// Tells the main loop what the judge has to say.
    fn report(&mut self, reports: &UnboundedSender<Report>) {
        let silence = Silence {
            unanswered: self.judge.unanswered(),
            last_reply: self.judge.latest().map(|reply| reply.at),
        };
        while let Some(event) = self.judge.poll_event() {
            // The main loop is gone when the daemon stops; so is this thread, soon.
            let order = self.judge.precedence();
            let _ = reports.send(Report::Peer { peer: self.spec.key, event, order, silence });
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
            window: *self.judge.window(),
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

/// In turns, beginning with the newest.
const fn format_of(sequence: u64) -> u8 {
    if sequence % 2 == 1 { FORMAT } else { FIRST_FORMAT }
}

/// One that knows nothing of the peer, and counts on from a probe.
fn judge(spec: &PeerSpec, sequence: u64, now: Time) -> PeerJudge {
    let mut judge = PeerJudge::new(spec.settings, now);
    judge.continue_after(sequence);
    judge.link(spec.link_up, now);
    judge.follow(spec.follow, now);
    judge
}

fn frame(spec: &PeerSpec, incarnation: NonZeroU64, format: u8, key: Option<Key>) -> Option<ProbeFrame> {
    let (slot, prober) = (spec.index.get(), incarnation.get());
    let probe = Probe { slot, sequence: 0, prober, format, wanted: spec.wanted, priority: spec.priority };
    ProbeFrame::new(spec.macs, (spec.source, spec.key.1), probe, key)
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
        rank: reply.rank,
    }
}

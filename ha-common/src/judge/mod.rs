//! The judge of one peer's liveness: when to probe it, and what its silence and its replies mean.
//!
//! What lives here: the rules under "Verdicts" of `docs/liveness.md`. What must not: a clock, a socket, a map, and
//! what a virtual router does about a verdict ([`crate::machine`]). The liveness thread drives it, and the cluster
//! simulation.
//!
//! # Contract
//!
//! One [`PeerJudge`] for each peer, interface and family. It is a value: the same calls give the same answers.
//! Whenever the driver wakes up, and at the latest at [`PeerJudge::next_deadline`], it must, in this order:
//!
//! 1. read its clock: `now`, which never runs backwards;
//! 2. read the peer's latest reply from the map, in one piece, and feed it ([`PeerJudge::answered`]). A reply that
//!    was fed before is a no-op. A reply may be newer than `now`;
//! 3. call [`PeerJudge::tick`]. If that returns a sequence number, send the probe, read the clock again when the
//!    send call has returned, and report it with [`PeerJudge::sent`], or where the reply is there by then
//!    with [`PeerJudge::sent_and_answered`], which saves a wake-up. What could not be sent is not reported, and
//!    accuses nobody;
//! 4. drain [`PeerJudge::poll_event`].
//!
//! After [`PeerJudge::tick`] the next deadline lies ahead of `now`. [`PeerJudge::follow`], [`PeerJudge::link`] and
//! [`PeerJudge::heard`] may be called at any time, and may bring the deadline forward.

mod io;
mod order;
mod outstanding;
mod queue;
mod round_trip;
mod rules;
mod window;

#[cfg(test)]
mod tests;

pub use io::{Answered, Event, Settings, Verdict};
pub use order::{ORDER, Precedence, fast_skew_time, takeover_wait};
pub use round_trip::Summary;
pub use window::{FLOOR, LEARNING, OUTAGE, Window, WindowSettings};

use crate::probe::{APART, EXPIRED, ORPHANED, RESTARTING, USER_SPACE};
use crate::time::{Span, Time};
use outstanding::Outstanding;
use queue::Queue;
use round_trip::RoundTrips;
use window::Silences;

/// A driver that comes later than this was short of CPU, and so perhaps was its kernel: what was sent before is no
/// evidence.
pub const LATE: Span = Span::from_millis(1);
/// First pause of the probing of a peer that has never answered.
pub const DISCOVERY: Span = Span::SECOND;
/// Probes in vain after which a peer is said to answer none. It is probed on.
pub const IN_VAIN: u64 = 2;
/// The longest.
pub const MAX_GAP: Span = Span::from_secs(10);
/// How often a peer is probed that is no longer followed but orphaned, expired, or still master for something: its
/// fence closes, and stays closed, only while it is probed once a second.
pub const GUARD: Span = Span::from_millis(250);
/// How long a peer that says that it is being restarted may be silent: it replaces its program, which some network cards
/// stop for, and a slow processor has no time for anything else while it looks the new one over.
pub const RESTART_WINDOW: Span = Span::from_millis(250);
/// First pause of the verdicts after a wrong one; each further one doubles it.
pub const PAUSE: Span = Span::from_secs(10);
/// The longest. After as long without a wrong verdict the next pause is short again.
pub const MAX_PAUSE: Span = Span::from_secs(600);
/// A sign of life within this time shows that the verdict was wrong. Later the peer may have come back.
pub const WRONG_WITHIN: Span = Span::from_secs(10);

/// A verdict so shortly before the local carrier goes says nothing about the peer: the kernel tells of a cable later than
/// probes do.
pub const OWN_CABLE: Span = Span::SECOND;

/// Whether the responder takes no part in fast failover.
const fn is_apart(reply: &Answered) -> bool {
    reply.flags & APART != 0
}

/// How probes are spaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pace {
    /// Nothing is sent.
    Idle,
    /// The next gap, doubled with each probe: discovery, a silent peer, a guarded one.
    Slow { gap: Span },
    /// The peer answers and is followed.
    Fast,
}

/// The judge of one peer. The module's documentation has the contract.
#[derive(Clone, Debug)]
pub struct PeerJudge {
    settings: Settings,
    following: bool,
    link_up: bool,
    /// When either changed. What arrived before is not looked at.
    since: Time,
    pace: Pace,
    /// When the next probe is due.
    next_send: Time,
    /// When the latest one was due.
    last_send: Time,
    /// When a slow probe's reply is looked for.
    look_at: Time,
    /// Of the latest probe.
    sequence: u64,
    latest: Option<Answered>,
    /// A reply came since the link came up and the peer is followed.
    answers: bool,
    outstanding: Outstanding,
    /// From when silence counts: the latest reply, or the end of a stall.
    quiet_since: Time,
    /// From when it had been silent when it was last found unreachable, until it answers.
    suspected: Option<Time>,
    /// The verdict in force, and its moment.
    verdict: Option<(Verdict, Time)>,
    /// What came of the verdict in force came of our own carrier's loss.
    own_cable: bool,
    restarting: bool,
    paused_until: Time,
    pause: Span,
    trips: RoundTrips,
    lateness: RoundTrips,
    silences: Silences,
    counts: Counts,
    /// What the driver was told to come at.
    promised: Time,
    events: Queue,
}

/// For `status` and metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Probes that were sent.
    pub sent: u64,
    /// Replies that were read. Of several between two readings only the latest is.
    pub answered: u64,
    /// Times that the driver came late, and the evidence of before was dropped.
    pub stalls: u64,
    /// Verdicts, dropped ones included.
    pub verdicts: u64,
    /// Verdicts that a sign of life refuted.
    pub wrong: u64,
    /// Verdicts that fell within a pause and were dropped.
    pub dropped: u64,
}

impl PeerJudge {
    /// A judge of a peer that is not followed yet; the link is up.
    #[must_use]
    pub fn new(settings: Settings, now: Time) -> Self {
        Self {
            settings,
            following: false,
            link_up: true,
            since: now,
            pace: Pace::Idle,
            next_send: Time::NEVER,
            last_send: now,
            look_at: Time::NEVER,
            sequence: 0,
            latest: None,
            answers: false,
            outstanding: Outstanding::new(),
            quiet_since: now,
            suspected: None,
            verdict: None,
            own_cable: false,
            restarting: false,
            paused_until: Time(0),
            pause: Span::ZERO,
            trips: RoundTrips::new(),
            lateness: RoundTrips::new(),
            silences: Silences::new(settings.window, settings.interval),
            counts: Counts::default(),
            promised: Time::NEVER,
            events: Queue::default(),
        }
    }

    /// The number of the latest probe.
    #[must_use]
    pub const fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Goes on counting after the probe of this number, for a judge that takes another's place.
    pub const fn continue_after(&mut self, sequence: u64) {
        self.sequence = sequence;
    }

    /// Other settings, by a reload.
    pub fn reconfigure(&mut self, settings: Settings) {
        self.settings = settings;
        self.silences.reconfigure(settings.window, settings.interval);
    }

    /// Whether some virtual router of ours tracks this peer as its master. Saying the same twice changes nothing.
    pub fn follow(&mut self, following: bool, now: Time) {
        if self.following != following {
            self.following = following;
            self.restart(now);
        }
    }

    /// The local carrier.
    pub fn link(&mut self, up: bool, now: Time) {
        if self.link_up != up {
            self.link_up = up;
            self.own_cable |= !up && self.verdict.is_some_and(|(_, at)| now.span_since(at) <= OWN_CABLE);
            self.restart(now);
        }
    }

    /// An advert of the peer as master (not of priority 0) arrived at `at`, by kernel time.
    pub fn heard(&mut self, at: Time, now: Time) {
        if let Some((Verdict::Unreachable, judged)) = self.verdict
            && at > judged
        {
            self.refuted(judged, at, true, now);
            self.plan_sooner();
        }
    }

    /// The probe of this sequence number went out; `at` was read when the send call had returned.
    pub fn sent(&mut self, sequence: u64, at: Time) {
        self.note_sent(sequence, at);
        self.plan_sooner();
    }

    /// The same, and the map has a new reply already: nobody needs to wake up to look for it.
    pub fn sent_and_answered(&mut self, sequence: u64, reply: &Answered, at: Time) {
        self.note_sent(sequence, at);
        self.answered(reply, at);
        self.plan_sooner();
    }

    fn note_sent(&mut self, sequence: u64, at: Time) {
        self.outstanding.sent(sequence, self.last_send.min(at), at);
        self.lateness.record(at.span_since(self.last_send));
        self.counts.sent += 1;
    }

    /// The latest reply in the map.
    pub fn answered(&mut self, reply: &Answered, now: Time) {
        let known = self.latest.map_or(0, |latest| latest.sequence);
        let new = reply.sequence > known && reply.sequence <= self.sequence && reply.at >= self.since;
        if !new || !self.link_up {
            return;
        }
        let before = self.latest.replace(*reply);
        self.counts.answered += 1;
        self.learn(reply, before.as_ref());
        let apart = is_apart(reply);
        let was_apart = before.as_ref().is_some_and(is_apart);
        if apart && !was_apart {
            self.events.push(Event::Apart { at: reply.at });
        } else if !apart && (before.is_none() || was_apart) {
            self.events.push(Event::Discovered { at: reply.at });
        }
        if let Some(round_trip) = self.outstanding.answered(reply.sequence, reply.at) {
            self.trips.record(round_trip);
        }
        self.quiet_since = self.quiet_since.max(reply.at);
        self.answers = !apart;
        if apart {
            self.outstanding.clear();
        }
        self.weigh(reply, before.as_ref(), now);
        // Whoever takes no part says by adverts alone that it resigns.
        if let Some(before) = before.filter(|_| !apart && !was_apart) {
            let vrids = before.masters.without(&reply.masters);
            if !vrids.is_empty() {
                self.events.push(Event::Resigned { vrids, at: reply.at });
            }
        }
        self.repace(reply);
        self.plan_sooner();
    }

    /// Judges, and says whether a probe is to be sent now.
    pub fn tick(&mut self, now: Time) -> Option<u64> {
        let stalled = now.span_since(self.promised) > LATE;
        if stalled {
            self.counts.stalls += 1;
            self.outstanding.clear();
            self.quiet_since = self.quiet_since.max(now);
        }
        if self.unreachable_at().is_some_and(|at| at <= now) {
            self.unreachable(now);
        }
        self.hurry(now);
        if self.look_at <= now {
            self.look_at = Time::NEVER;
            if !stalled {
                self.affirm(now);
            }
        }
        let due = self.next_send <= now;
        if due {
            self.schedule(now);
            if self.sequence == IN_VAIN && self.latest.is_none() {
                self.events.push(Event::Unanswered);
            }
            self.sequence += 1;
        }
        self.plan();
        due.then_some(self.sequence)
    }

    /// The next thing that the driver must tell.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop()
    }

    /// When [`PeerJudge::tick`] is wanted; [`Time::NEVER`] where it is not.
    #[must_use]
    pub const fn next_deadline(&self) -> Time {
        self.promised
    }

    /// The verdict in force.
    #[must_use]
    pub const fn verdict(&self) -> Option<(Verdict, Time)> {
        self.verdict
    }

    /// The latest reply that was believed.
    #[must_use]
    pub const fn latest(&self) -> Option<&Answered> {
        self.latest.as_ref()
    }

    /// Where this node stands among those that would take over from the peer, as it said last.
    #[must_use]
    pub fn precedence(&self) -> Precedence {
        let Window { span, ceiling, .. } = *self.window();
        let patience = Span(ceiling.0 - span.0);
        self.latest.map_or(Precedence::default(), |latest| Precedence::told(&latest, patience))
    }

    /// The window in force, and what it follows from.
    #[must_use]
    pub const fn window(&self) -> &Window {
        self.silences.window()
    }

    /// Probes that were sent since the one that was answered last.
    #[must_use]
    pub fn unanswered(&self) -> u64 {
        self.latest.map_or(self.sequence, |latest| self.sequence.saturating_sub(latest.sequence))
    }

    /// Whether fast verdicts are possible: the peer is followed and has answered since.
    #[must_use]
    pub const fn is_fast(&self) -> bool {
        self.following && self.answers
    }

    /// Whether it says that it takes no part in fast failover.
    #[must_use]
    pub fn is_apart(&self) -> bool {
        self.latest.as_ref().is_some_and(is_apart)
    }

    /// The end of the pause after a wrong verdict, while there is one.
    #[must_use]
    pub fn paused_until(&self, now: Time) -> Option<Time> {
        (now < self.paused_until).then_some(self.paused_until)
    }

    /// Round trips.
    #[must_use]
    pub fn round_trips(&self) -> Summary {
        self.trips.summary()
    }

    /// How long after the time at which they were due probes had gone out: what the driver, the scheduler and the send
    /// call cost.
    #[must_use]
    pub fn lateness(&self) -> Summary {
        self.lateness.summary()
    }

    /// Whether a probe has been unanswered for the reply wait: no verdict yet, but one may follow.
    #[must_use]
    pub fn has_missed(&self, now: Time) -> bool {
        self.unanswered_at(self.reply_wait()).is_some_and(|at| at <= now)
    }

    /// How long a reply is waited for: twice the 99th percentile of the round trips, within bounds.
    #[must_use]
    pub fn reply_wait(&self) -> Span {
        let Settings { min_wait, max_wait, .. } = self.settings;
        self.trips.p99().times(2).min(max_wait).max(min_wait.min(self.settings.burst_interval()))
    }

    /// What was counted.
    #[must_use]
    pub const fn counts(&self) -> Counts {
        self.counts
    }
}

//! A backup's watch over its master: the down timer, the grace after a stall, and the preemption delay.
//!
//! What must not live here: the change of state itself. [`super::Machine`] calls this and acts on the
//! [`Verdict`].

use core::net::IpAddr;

use super::Heard;
use super::evidence::{Evidence, LastHeard};
use super::io::{Params, Tracked};
use super::last_word::LastWord;
use super::state::Reason;
use super::timers::{master_down_interval, skew_time};
use crate::time::{Span, Time};
use crate::types::{Priority, Version};

/// A timer that fires later than this says that the machine (or its virtual host) had no CPU. Above what a
/// loaded kernel with a coarse tick does to a healthy process most of the time; a false alarm costs [`GRACE`].
pub(super) const LATE: Span = Span::from_millis(2);

/// After a stall, time for the kernel to deliver what the network card holds: a few softirq rounds and a
/// scheduler tick of a 250 Hz kernel.
pub(super) const GRACE: Span = Span::from_millis(5);

/// Graces in a row. A machine that never gets its CPU in time must still believe in a death some day.
pub(super) const MAX_GRACES: u8 = 3;

/// Restarts of the down timer in a row because frames were lost. Among the frames that were not lost there is
/// an advert of a living master sooner or later, and that one starts the count anew.
pub(super) const MAX_LOSSES: u8 = 3;

/// The judge's finding that the master is unreachable is acted on within this time after the wait. A main loop that
/// had no CPU for longer waits until the judge says it again.
pub(super) const STALE: Span = Span::from_millis(20);

/// A master that advertises at least this often is given the time until its next advert when probes do not reach it.
pub const SOON: Span = Span::from_millis(100);

/// An advert may be later than this, or than an eighth of its interval, without being late.
const ADVERT_LATE: Span = Span::from_millis(1);

/// Whoever claims the addresses announces them within this time.
const ANNOUNCED: Span = Span::from_millis(50);

/// What the down timer measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    /// Silence of the master.
    MasterDown,
    /// The skew time after the master's resignation.
    Skew,
    /// The same after our own, which asked whether somebody else is master by now.
    Answer,
}

/// What the machine must do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Nothing,
    Track,
    Untrack,
    Dead(Reason),
}

/// The judge's word that a master is gone, or its own that it resigned.
#[derive(Clone, Copy, Debug)]
pub(super) struct Loss {
    pub(super) source: IpAddr,
    pub(super) at: Time,
    pub(super) wait: Span,
    pub(super) reason: Reason,
    /// When the judge said so last.
    pub(super) affirmed: Time,
}

impl Loss {
    fn due(&self) -> Time {
        self.at.after(self.wait)
    }

    /// Whether a sign of life that shows no better priority ends it.
    fn is_refuted_by(&self, source: IpAddr, at: Time) -> bool {
        self.reason != Reason::MasterLowered && self.source == source && at > self.at
    }

    /// A silence is judged by whoever listens; if that was long ago, nobody knows. What the peer itself said stands.
    fn is_stale(&self, now: Time) -> bool {
        self.reason == Reason::MasterUnreachable && now.span_since(self.affirmed.after(self.wait)) > STALE
    }
}

/// State of the watch. Deadlines are computed from it when asked for, so that a reload or a tracker changes them
/// without restarting anything.
#[derive(Clone, Copy, Debug)]
pub(super) struct Backup {
    /// From when the silence counts: kernel time of the latest advert, or the start.
    anchor: Time,
    wait: Wait,
    /// Learned interval (VRRPv3); outlives the master that it was learned from (RFC: `Active_Adver_Interval`).
    learned: Option<Span>,
    master: Option<Tracked>,
    /// The lower-priority master whose adverts do not count, because this router is about to preempt it. It is
    /// watched all the same: should it die meanwhile, there is nothing to wait for.
    ignored: Option<Tracked>,
    /// First advert of the lower-priority master that preemption is held back from.
    lower_since: Option<Time>,
    grace_until: Option<Time>,
    graces: u8,
    losses: u8,
    /// Who resigned last; nobody once another master is watched.
    resigned: Option<IpAddr>,
    /// A takeover that is under way.
    loss: Option<Loss>,
    /// The better master that was followed until a lower one claimed the addresses. Should that one resign soon, it has
    /// yielded.
    better: Option<Tracked>,
    /// When a router that would have to yield to this one last claimed the addresses.
    claimed: Option<Time>,
    /// What the tracked master is told, to which this router has yielded.
    last_word: LastWord,
    /// A takeover that only the sync group holds back.
    ready: Option<Ready>,
    /// Whether a master has lowered its priority, and for whoever must explain what follows.
    last_heard: LastHeard,
}

/// Why a member of a sync group would be master by now.
#[derive(Clone, Copy, Debug)]
struct Ready {
    reason: Reason,
    /// The loss that it comes from: whose, and when.
    loss: Option<(IpAddr, Time)>,
    evidence: Evidence,
}

impl Backup {
    /// A watch that has heard nothing yet.
    pub(super) const fn new(now: Time) -> Self {
        Self {
            anchor: now,
            wait: Wait::MasterDown,
            learned: None,
            master: None,
            ignored: None,
            lower_since: None,
            grace_until: None,
            graces: 0,
            losses: 0,
            resigned: None,
            loss: None,
            better: None,
            claimed: None,
            last_word: LastWord::NONE,
            ready: None,
            last_heard: LastHeard::NOBODY,
        }
    }

    /// The watch of a master that has just resigned without knowing for whom.
    pub(super) const fn after_resignation(now: Time) -> Self {
        let mut backup = Self::new(now);
        backup.wait = Wait::Answer;
        backup
    }

    /// The watch of a master that has just yielded to `heard`.
    pub(super) fn watching(heard: &Heard) -> Self {
        let mut backup = Self::new(heard.at);
        backup.learned = Some(heard.interval);
        backup.master = Some(tracked(heard));
        backup.last_heard.claims(tracked(heard));
        backup
    }

    /// The master was told that this router has yielded to it, and is told again.
    pub(super) fn insist(&mut self, now: Time) {
        self.last_word = self.master.map_or(LastWord::NONE, |master| LastWord::said(&master, now));
    }

    /// Whether the master is to be told now that this router has yielded.
    pub(super) fn insists(&mut self, now: Time) -> bool {
        self.last_word.due(now) && self.master.is_some()
    }

    /// Whether another router may be announcing the addresses at the moment.
    pub(super) fn is_contested(&self, now: Time) -> bool {
        self.claimed.is_some_and(|at| now.span_since(at) < ANNOUNCED)
    }

    /// Why this member of a sync group would be master by now.
    pub(super) const fn ready(&self) -> Option<Reason> {
        match self.ready {
            Some(ready) => Some(ready.reason),
            None => None,
        }
    }

    /// What a takeover by now would rest on.
    pub(super) fn evidence(&self) -> Evidence {
        let LastHeard { master, fell_from } = self.last_heard;
        let quiet_since = Some(self.anchor);
        let now = Evidence { about: master, fell_from, quiet_since, own_before: None };
        self.ready.map_or(now, |ready| ready.evidence)
    }

    /// The member of a sync group would take over now. Adverts of whoever is master are judged anew, and the down
    /// timer starts again.
    pub(super) fn become_ready(&mut self, reason: Reason, now: Time) -> Verdict {
        let tracked = self.master.is_some();
        // The first reason stays: later ones only say that nothing was heard since.
        let loss = self.loss.map(|loss| (loss.source, loss.at));
        self.ready = self.ready.or(Some(Ready { reason, loss, evidence: self.evidence() }));
        self.anchor = self.anchor.max(now);
        self.wait = Wait::MasterDown;
        self.graces = 0;
        (self.master, self.loss, self.resigned, self.lower_since) = (None, None, None, None);
        if tracked { Verdict::Untrack } else { Verdict::Nothing }
    }

    /// The priority has changed: whoever is no owner any more has to wait like everybody else.
    pub(super) fn forget_ownership(&mut self) {
        self.ready.take_if(|ready| ready.reason == Reason::Owner);
    }

    pub(super) const fn master(&self) -> Option<Tracked> {
        self.master
    }

    /// The master whose death matters: the tracked one, or else the one that is ignored.
    pub(super) fn watched(&self) -> Option<Tracked> {
        self.master.or(self.ignored)
    }

    /// The interval in force: learned in VRRPv3, configured in VRRPv2.
    pub(super) fn interval(&self, params: &Params) -> Span {
        match params.version {
            Version::V2 => params.interval,
            Version::V3 => self.learned.unwrap_or(params.interval),
        }
    }

    /// When the master is due to be given up, graces aside.
    fn down_at(&self, params: &Params, priority: Priority) -> Time {
        let interval = self.interval(params);
        self.anchor.after(match self.wait {
            Wait::MasterDown => {
                master_down_interval(params.version, priority, interval, params.down_timer_adverts)
            }
            Wait::Skew | Wait::Answer => skew_time(params.version, priority, interval),
        })
    }

    /// The same with a loss and a grace that is running.
    fn judged_at(&self, params: &Params, priority: Priority) -> Time {
        let down = self.down_at(params, priority);
        let down = self.loss.map_or(down, |loss| loss.due().min(down));
        self.grace_until.map_or(down, |grace| grace.max(down))
    }

    /// When a lower-priority master is no longer left alone.
    fn preempt_at(&self, params: &Params) -> Option<Time> {
        self.lower_since.map(|since| since.after(params.preempt_delay))
    }

    pub(super) fn next_deadline(&self, params: &Params, priority: Priority) -> Time {
        let down = self.judged_at(params, priority);
        let down = self.last_word.next().map_or(down, |at| down.min(at));
        match self.preempt_at(params) {
            Some(at) if self.master.is_some() => down.min(at),
            Some(_) | None => down,
        }
    }

    /// RFC 9568 section 6.4.2, an advert.
    pub(super) fn advert(
        &mut self,
        heard: &Heard,
        params: &Params,
        priority: Priority,
        now: Time,
    ) -> Verdict {
        self.grace_if_late(params, priority, now);
        // The tracked master was heard since (its stamp overtakes frames that wait in the queue): what they say
        // about resignations and other masters is outdated.
        if let Some(master) = self.master
            && heard.at < self.anchor
        {
            let other = tracked(heard);
            if heard.priority > 0 && other.address != master.address && rank(&other) > rank(&master) {
                self.better = Some(other);
            }
            return Verdict::Nothing;
        }
        if heard.priority == 0 {
            return self.resigned(heard, params, priority);
        }
        if heard.priority >= priority.get() || !params.preempt {
            self.lower_since = None;
        } else {
            self.claimed = Some(heard.at);
            // "Else, if Preempt_Mode is True and the priority is lower: discard."
            if params.preempt_delay == Span::ZERO {
                return self.ignore(heard);
            }
            let since = *self.lower_since.get_or_insert(heard.at);
            if heard.at >= since.after(params.preempt_delay) {
                return self.ignore(heard);
            }
        }
        self.learned = Some(heard.interval);
        self.losses = 0;
        let mut master = tracked(heard);
        match self.master {
            Some(known) if known.address == master.address => {
                self.last_word.heard(&known, heard.at);
                master.last_seen = master.last_seen.max(known.last_seen);
            }
            Some(known) => {
                self.last_word = LastWord::NONE;
                self.better = (rank(&known) > rank(&master)).then_some(known);
            }
            None => self.last_word = LastWord::NONE,
        }
        // Another master that is respected is alive, whatever became of the first.
        if self.loss.is_some_and(|loss| loss.source != master.address) {
            self.loss = None;
        }
        self.resigned = None;
        self.ignored = None;
        self.ready = None;
        self.master = Some(master);
        self.last_heard.claims(master);
        self.wait = Wait::MasterDown;
        self.refresh(heard.at);
        Verdict::Track
    }

    /// An advert of a lower-priority master that is to be preempted. It does not postpone that, but it shows that
    /// its sender is alive.
    fn ignore(&mut self, heard: &Heard) -> Verdict {
        // Somebody is: it is preempted when any other would be.
        if self.wait == Wait::Answer {
            self.wait = Wait::MasterDown;
        }
        if self.loss.is_some_and(|loss| loss.is_refuted_by(heard.source, heard.at)) {
            self.loss = None;
        }
        if self.master.is_none_or(|master| master.address == heard.source) {
            self.last_heard.claims(tracked(heard));
        }
        if self.master.is_some() {
            return Verdict::Nothing;
        }
        let mut ignored = tracked(heard);
        match self.ignored {
            Some(known) if known.address == ignored.address => {
                ignored.last_seen = ignored.last_seen.max(known.last_seen);
            }
            // What became of the one says nothing about the other.
            Some(known) if self.loss.is_some_and(|loss| loss.source == known.address) => self.loss = None,
            Some(_) | None => {}
        }
        // A silent master that then resigned has a successor, which is preempted when any other would be.
        let replaced = |loss: Loss| {
            self.resigned == Some(loss.source) && loss.reason != Reason::MasterResigned && heard.at > loss.at
        };
        if self.loss.is_some_and(replaced) {
            self.loss = None;
        }
        self.ignored = Some(ignored);
        self.resigned = None;
        Verdict::Nothing
    }

    /// "If the Priority in the ADVERTISEMENT is zero, then: Set the Active_Down_Timer to Skew_Time."
    fn resigned(&mut self, heard: &Heard, params: &Params, priority: Priority) -> Verdict {
        let tracked = self.master.is_some();
        if self.master.is_some_and(|master| master.address != heard.source) {
            return Verdict::Nothing;
        }
        let skew = skew_time(params.version, priority, self.interval(params));
        if heard.at.after(skew) < self.down_at(params, priority) {
            self.anchor = heard.at;
            self.wait = Wait::Skew;
        }
        self.master = None;
        self.ignored = None;
        self.resigned = Some(heard.source);
        self.last_heard.seen(heard.source, heard.at);
        self.lower_since = None;
        if tracked { Verdict::Untrack } else { Verdict::Nothing }
    }

    /// The map's stamp. Without a tracked master it belongs to one that is gone.
    pub(super) fn seen(&mut self, stamp: Time, params: &Params, priority: Priority, now: Time) {
        if self.master.is_some() {
            self.grace_if_late(params, priority, now);
        }
        if let Some(master) = &mut self.master {
            self.last_word.heard(master, stamp);
            master.last_seen = master.last_seen.max(stamp);
            self.last_heard.seen(master.address, stamp);
            self.refresh(stamp);
        }
    }

    pub(super) fn frames_lost(&mut self, now: Time) {
        if self.losses < MAX_LOSSES {
            self.losses += 1;
            // Not a sign of life: a loss stands.
            self.anchor = self.anchor.max(now);
            self.graces = 0;
        }
    }

    /// A verdict, or a resignation by the bitmap.
    pub(super) fn lost(&mut self, mut loss: Loss) -> Verdict {
        let known = self.watched().map(|master| master.address).or(self.resigned);
        // What was heard since refutes it.
        let heard = if self.master.is_some() {
            Some(self.anchor)
        } else {
            self.ignored.map(|ignored| ignored.last_seen)
        };
        let outdated = heard.is_some_and(|at| at > loss.at);
        if known != Some(loss.source) || outdated {
            return Verdict::Nothing;
        }
        let silent = |better: &Tracked| loss.at.span_since(better.last_seen) >= better.interval;
        if loss.reason == Reason::MasterResigned
            && let Some(better) = self.better.take().filter(|better| !silent(better))
        {
            // It has yielded, and whoever it yielded to is master: followed from its next advert on.
            let tracked = self.master.take().is_some();
            (self.ignored, self.loss) = (Some(better), None);
            return if tracked { Verdict::Untrack } else { Verdict::Nothing };
        }
        if let Some(advert) = self.advert_soon(&loss) {
            // Every backup waits for it, and they keep their order from then on.
            loss.wait = advert.span_since(loss.at).plus(loss.wait);
        }
        if let Some(known) = &mut self.loss
            && known.due() <= loss.due()
        {
            // A word of the peer's own outlives a silence that was broken by it.
            if known.reason == loss.reason {
                known.affirmed = known.affirmed.max(loss.affirmed);
                return Verdict::Nothing;
            }
            if loss.reason == Reason::MasterUnreachable {
                return Verdict::Nothing;
            }
        }
        self.loss = Some(loss);
        if loss.reason != Reason::MasterResigned || self.watched().is_none() {
            return Verdict::Nothing;
        }
        let tracked = self.master.is_some();
        self.master = None;
        self.ignored = None;
        self.resigned = Some(loss.source);
        self.lower_since = None;
        if tracked { Verdict::Untrack } else { Verdict::Nothing }
    }

    /// When the next advert should have come of a master that is said to be unreachable and has advertised in time so
    /// far, where that is soon: if it comes, the way there is broken, not the master.
    fn advert_soon(&self, loss: &Loss) -> Option<Time> {
        let master = self.watched().filter(|master| master.interval <= SOON)?;
        let due = master.last_seen.after(master.interval);
        let late = Span(master.interval.0 / 8).max(ADVERT_LATE);
        (loss.reason == Reason::MasterUnreachable && due >= loss.at).then(|| due.after(late))
    }

    /// A sign of life that is no advert.
    pub(super) fn alive(&mut self, source: IpAddr, at: Time) {
        if self.loss.is_some_and(|loss| loss.is_refuted_by(source, at)) {
            self.loss = None;
        }
        self.ready.take_if(|ready| {
            ready.reason != Reason::MasterLowered
                && ready.loss.is_some_and(|(whose, lost)| whose == source && at > lost)
        });
    }

    /// Moves the start of the silence, never backwards.
    fn refresh(&mut self, at: Time) {
        if self.loss.is_some_and(|loss| at > loss.at) {
            self.loss = None;
        }
        if at > self.anchor {
            self.anchor = at;
            self.graces = 0;
        }
    }

    /// Grants a grace if the driver has missed the deadline by more than [`LATE`].
    ///
    /// Every input asks this before it moves the deadline: a stamp that is fed after a stall may move it to a
    /// moment before now, and it would look as if the driver had been in time.
    fn grace_if_late(&mut self, params: &Params, priority: Priority, now: Time) -> bool {
        let late = now.span_since(self.judged_at(params, priority)) > LATE && self.graces < MAX_GRACES;
        if late {
            self.graces += 1;
            self.grace_until = Some(now.after(GRACE));
        }
        late
    }

    pub(super) fn timer(&mut self, params: &Params, priority: Priority, now: Time) -> Verdict {
        if now < self.judged_at(params, priority) || self.grace_if_late(params, priority, now) {
            return self.reassess(params, priority, now);
        }
        if let Some(loss) = self.loss.filter(|loss| loss.due() <= now) {
            if !loss.is_stale(now) {
                return Verdict::Dead(loss.reason);
            }
            self.loss = None;
            if now < self.judged_at(params, priority) {
                return self.reassess(params, priority, now);
            }
        }
        Verdict::Dead(match self.wait {
            Wait::MasterDown => self.silence(params, priority, now),
            Wait::Skew | Wait::Answer => Reason::MasterResigned,
        })
    }

    /// What the down timer's end means.
    fn silence(&self, params: &Params, priority: Priority, now: Time) -> Reason {
        let Some(last) = self.last_heard.master else { return Reason::NoMaster };
        let patience = last.interval.times(u64::from(params.down_timer_adverts));
        let talks = now.span_since(last.last_seen) <= patience;
        match self.last_heard.fell_from {
            _ if !talks || last.priority >= priority.get() => Reason::MasterDown,
            Some(_) => Reason::MasterLowered,
            None => Reason::Preempted,
        }
    }

    /// Whether the master that is watched has just fallen below this router, which would preempt it at once.
    pub(super) fn has_fallen(&self, source: IpAddr, params: &Params, priority: Priority) -> bool {
        let LastHeard { master, fell_from } = self.last_heard;
        let below = |known: Tracked| known.address == source && known.priority < priority.get();
        let watched = self.watched().is_some_and(|watched| watched.address == source);
        let at_once = params.preempt && params.preempt_delay == Span::ZERO;
        at_once
            && watched
            && master.is_some_and(below)
            && fell_from.is_some_and(|from| from >= priority.get())
    }

    /// Whether the tracked master may still be tracked: after a change of either priority or of the settings,
    /// and when the preemption delay is over. If not, its adverts no longer count and the down timer runs out.
    pub(super) fn reassess(&mut self, params: &Params, priority: Priority, now: Time) -> Verdict {
        let Some(master) = self.master else { return Verdict::Nothing };
        if master.priority >= priority.get() || !params.preempt {
            self.lower_since = None;
            return Verdict::Nothing;
        }
        let since = *self.lower_since.get_or_insert(now);
        if now < since.after(params.preempt_delay) {
            return Verdict::Nothing;
        }
        // A verdict on it stands.
        self.ignored = self.master.take();
        Verdict::Untrack
    }
}

/// Of two masters, the greater one stays.
const fn rank(master: &Tracked) -> (u8, IpAddr) {
    (master.priority, master.address)
}

const fn tracked(heard: &Heard) -> Tracked {
    Tracked { address: heard.source, priority: heard.priority, interval: heard.interval, last_seen: heard.at }
}

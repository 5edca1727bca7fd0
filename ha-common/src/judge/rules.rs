//! What silence and replies mean, and when the next probe is due.

use super::{
    Answered, DISCOVERY, EXPIRED, Event, GUARD, MAX_GAP, MAX_PAUSE, ORPHANED, PAUSE, Pace, PeerJudge,
    RESTART_WINDOW, RESTARTING, USER_SPACE, Verdict, WRONG_WITHIN, is_apart,
};
use crate::time::{Span, Time};

impl PeerJudge {
    /// The peer is followed or not, or the link came or went: what was known counts for nothing.
    pub(super) fn restart(&mut self, now: Time) {
        self.outstanding.clear();
        self.answers = false;
        self.suspected = None;
        self.since = now;
        self.quiet_since = self.quiet_since.max(now);
        (self.pace, self.next_send) = if !self.link_up {
            (Pace::Idle, Time::NEVER)
        } else if self.following {
            let gap = if self.latest.is_some() { self.settings.interval } else { DISCOVERY };
            (Pace::Slow { gap }, now)
        } else if self.verdict.is_some() || self.latest.as_ref().is_some_and(needs_guard) {
            (Pace::Slow { gap: GUARD }, now.after(GUARD))
        } else {
            (Pace::Idle, Time::NEVER)
        };
        self.plan_sooner();
    }

    /// What a reply says of the responder.
    pub(super) fn weigh(&mut self, reply: &Answered, before: Option<&Answered>, now: Time) {
        let restarting = reply.flags & RESTARTING != 0 && !is_apart(reply);
        if restarting && !self.restarting {
            self.events.push(Event::Restarting { at: reply.at });
        }
        self.restarting = restarting;
        match said(reply) {
            Some(verdict) => {
                if self.verdict.map(|(known, _)| known) != Some(verdict) {
                    self.verdict = Some((verdict, reply.at));
                    self.counts.verdicts += 1;
                    self.events.push(Event::Lost { verdict, at: reply.at, affirmed: reply.at });
                }
            }
            None => {
                if let Some((known, judged)) = self.verdict {
                    // Another incarnation is a peer that came back, and one that has let go is no second master.
                    let same = before.is_some_and(|before| before.responder == reply.responder);
                    let wrong = known == Verdict::Unreachable && same && !reply.masters.is_empty();
                    self.refuted(judged, reply.at, wrong, now);
                }
            }
        }
    }

    /// A sign of life. `wrong` where it shows that the peer has been master all the time.
    pub(super) fn refuted(&mut self, judged: Time, at: Time, wrong: bool, now: Time) {
        self.verdict = None;
        self.events.push(Event::Alive { at });
        let own_cable = core::mem::take(&mut self.own_cable);
        if wrong && !own_cable && at.span_since(judged) <= WRONG_WITHIN {
            self.counts.wrong += 1;
            let calm = now.span_since(self.paused_until) > MAX_PAUSE;
            self.pause = if calm || self.pause == Span::ZERO { PAUSE } else { self.pause.times(2) };
            self.pause = self.pause.min(MAX_PAUSE);
            self.paused_until = now.after(self.pause);
            self.events.push(Event::Paused { until: self.paused_until });
        }
    }

    /// After a reply: the spacing that the peer's state asks for.
    pub(super) fn repace(&mut self, reply: &Answered) {
        let (pace, gap) = if self.following && is_apart(reply) {
            // It is asked now and then whether it does again.
            if matches!(self.pace, Pace::Slow { .. }) {
                return;
            }
            self.pace = Pace::Slow { gap: DISCOVERY };
            self.next_send = self.last_send.after(DISCOVERY);
            return;
        } else if self.following {
            (Pace::Fast, self.settings.interval)
        } else if needs_guard(reply) {
            (Pace::Slow { gap: GUARD }, GUARD)
        } else {
            self.pace = Pace::Idle;
            self.next_send = Time::NEVER;
            return;
        };
        if self.pace != pace {
            self.pace = pace;
            self.next_send = self.next_send.min(self.last_send.after(gap));
        }
    }

    /// When the peer's silence has lasted long enough, if it goes on.
    pub(super) fn unreachable_at(&self) -> Option<Time> {
        let able = self.following && self.link_up && self.answers && self.verdict.is_none();
        if !able || self.pace != Pace::Fast {
            return None;
        }
        // Whose daemon answers itself cannot answer while it is being restarted. Its adverts are waited for.
        if self.latest.is_some_and(|latest| latest.flags & USER_SPACE != 0 && latest.flags & RESTARTING != 0)
        {
            return None;
        }
        // It has never been master by its own word, which a master gives before its first advert: whoever does not take
        // part, in a version that did not say so.
        if self.latest.is_some_and(|latest| latest.masters.is_empty()) {
            return None;
        }
        let last_witness = self.outstanding.nth(usize::from(self.settings.misses.max(1)) - 1)?;
        let window = self.window().span;
        let window = match self.latest {
            Some(latest) if latest.flags & USER_SPACE != 0 => window.max(self.settings.user_space_window),
            Some(latest) if latest.flags & RESTARTING != 0 => window.max(RESTART_WINDOW),
            Some(_) | None => window,
        };
        Some(last_witness.after(self.reply_wait()).max(self.silent_since()?.after(window)))
    }

    /// Since when the peer has been silent, while a probe is unanswered. The prober's own lateness is no silence of the
    /// peer.
    fn silent_since(&self) -> Option<Time> {
        let first_witness = self.outstanding.nth(0)?;
        Some(self.quiet_since.max(Time(first_witness.0.saturating_sub(self.settings.interval.0))))
    }

    /// A reply ends a silence, and the window follows from how long it was: where the peer is the same, was not being
    /// restarted, and was watched all the time.
    pub(super) fn learn(&mut self, reply: &Answered, before: Option<&Answered>) {
        let suspected = self.suspected.take();
        let same = before
            .is_some_and(|before| before.responder == reply.responder && before.flags & RESTARTING == 0);
        let since = if self.answers { self.silent_since() } else { suspected };
        if let Some(since) = since.filter(|_| same) {
            let (silence, before) = (reply.at.span_since(since), self.window().span);
            self.silences.ended(silence);
            let window = self.window().span;
            // What widens it by little is noise.
            if window > before.plus(Span(before.0 / 4)) {
                self.events.push(Event::Widened { silence, before, window });
            }
        }
    }

    pub(super) fn unreachable(&mut self, now: Time) {
        self.counts.verdicts += 1;
        self.suspected = self.silent_since();
        self.outstanding.clear();
        self.answers = false;
        self.pace = Pace::Slow { gap: Span((self.settings.interval.0 / 2).max(1)) };
        if now < self.paused_until {
            self.counts.dropped += 1;
            return;
        }
        self.verdict = Some((Verdict::Unreachable, now));
        self.own_cable = false;
        self.events.push(Event::Lost { verdict: Verdict::Unreachable, at: now, affirmed: now });
    }

    /// The verdict stands: a main loop that was short of CPU does not act on an old one.
    pub(super) fn affirm(&mut self, now: Time) {
        if let Some((verdict @ Verdict::Unreachable, at)) = self.verdict
            && self.following
        {
            self.events.push(Event::Lost { verdict, at, affirmed: now });
        }
    }

    /// When the oldest witness has been unanswered for this long.
    pub(super) fn unanswered_at(&self, wait: Span) -> Option<Time> {
        self.outstanding.nth(0).filter(|_| self.pace == Pace::Fast).map(|sent| sent.after(wait))
    }

    /// When the oldest witness is later than most replies: the next probes then follow faster, which costs little where
    /// the reply is on its way.
    fn late_at(&self) -> Option<Time> {
        self.unanswered_at(Span(self.reply_wait().0 / 2))
    }

    /// The same, while that would change anything.
    fn hurry_at(&self) -> Option<Time> {
        let sooner = self.next_send > self.last_send.after(self.settings.burst_interval());
        self.late_at().filter(|_| sooner)
    }

    /// After a late reply the next probes come in a burst.
    pub(super) fn hurry(&mut self, now: Time) {
        if self.hurry_at().is_some_and(|at| at <= now) {
            self.next_send = self.last_send.after(self.settings.burst_interval()).max(now);
        }
    }

    /// A probe goes out now: when the one after it is due.
    pub(super) fn schedule(&mut self, now: Time) {
        let due = self.next_send;
        self.last_send = now;
        self.next_send = match self.pace {
            Pace::Idle => Time::NEVER,
            Pace::Slow { gap } => {
                // While a backup waits for its turn, an answer is welcome soon.
                let waiting = matches!(self.verdict, Some((Verdict::Unreachable, at))
                    if now < at.after(self.settings.window.ceiling));
                let slower = if waiting { gap } else { gap.times(2) };
                self.pace = Pace::Slow { gap: slower.min(MAX_GAP) };
                self.look_at = now.after(self.reply_wait());
                now.after(gap)
            }
            Pace::Fast => {
                let late = self.late_at().is_some_and(|at| at <= now);
                let step =
                    if late { self.settings.burst_interval() } else { Span(self.settings.interval.0.max(1)) };
                // The phase is kept, but nothing is made up for.
                let next = due.after(step);
                if next > now { next } else { now.after(step) }
            }
        };
    }

    /// When something is to be done next.
    fn next(&self) -> Time {
        let judge = self.unreachable_at().unwrap_or(Time::NEVER);
        let hurry = self.hurry_at().unwrap_or(Time::NEVER);
        self.next_send.min(judge).min(hurry).min(self.look_at)
    }

    pub(super) fn plan(&mut self) {
        self.promised = self.next();
    }

    /// Between two ticks the promise is only brought forward, so that the next one sees how late it is.
    pub(super) fn plan_sooner(&mut self) {
        self.promised = self.promised.min(self.next());
    }
}

/// Whether a peer that is not followed may still answer for addresses of ours, or would if its fence were open.
fn needs_guard(reply: &Answered) -> bool {
    !is_apart(reply) && (unattended(reply).is_some() || !reply.masters.is_empty())
}

/// What the responder says that amounts to a verdict: one that is master for nothing has nobody's role to lose.
fn said(reply: &Answered) -> Option<Verdict> {
    unattended(reply).filter(|_| !reply.masters.is_empty())
}

/// Whether and why nobody vouches for the responder.
const fn unattended(reply: &Answered) -> Option<Verdict> {
    if reply.flags & RESTARTING != 0 {
        None
    } else if reply.flags & ORPHANED != 0 {
        Some(Verdict::Orphaned)
    } else if reply.flags & EXPIRED != 0 {
        Some(Verdict::Expired)
    } else {
        None
    }
}

//! The invariants, judged by what really happened, which no host knows.

use ha_common::judge::{Event as Judged, Settings, Verdict, WindowSettings, takeover_wait};
use ha_common::machine::{LEAVE_MARGIN, Reason, SOON, State};
use ha_common::node::lease;
use ha_common::probe::{EXPIRED, ORPHANED};
use ha_common::time::{Span, Time};
use ha_common::types::Priority;

use super::OVERLAP;
use super::host::Daemon;
use super::world::{HOSTS, World};
use crate::sim::kernel::Program;
use crate::sim::millis;

/// What a takeover from a dead host may take with default settings.
const SLOW_NS: u64 = 3_000_000;

/// What the checks remember.
#[derive(Debug)]
pub(super) struct Check {
    /// Until when two hosts may both answer, because the network between them was cut or one was frozen whole.
    pub(super) apart: [[Time; HOSTS]; HOSTS],
    /// `[prober][peer]`: until when the prober may find the peer unreachable.
    pub(super) silent: [[Time; HOSTS]; HOSTS],
    /// `[headless][other]`: incarnation of the other if it probed the headless host when that lost its head.
    pub(super) watched: [[Option<u64>; HOSTS]; HOSTS],
    /// From when two hosts answer without an excuse, and how long they may.
    both_since: [[Option<(Time, Span)>; HOSTS]; HOSTS],
    /// Two answer since the network between them was cut, or since one could not hear the other take over, and no
    /// daemon of theirs has run since.
    parted: [[bool; HOSTS]; HOSTS],
    /// Until when verdicts may be wrong, as long as nobody acts on them.
    pub(super) doubt: Time,
    /// Nobody may change its state.
    pub(super) unchanged: bool,
    /// This host answers, whatever happens.
    pub(super) serves: Option<usize>,
    /// A death whose successor is timed.
    pub(super) died: Option<Time>,
    /// What a daemon did that it must not do, outside of a step of its own.
    pub(super) wrong: Option<String>,
    /// The latest fault.
    pub(super) last_fault: Time,
    /// Transitions of the step: host, from, to, reason, tracked master before.
    pub(super) transitions: Vec<(usize, State, State, Reason, Option<usize>)>,
}

impl Check {
    pub(super) fn new(_hosts: usize) -> Self {
        Self {
            apart: Default::default(),
            silent: Default::default(),
            watched: Default::default(),
            both_since: Default::default(),
            parted: Default::default(),
            doubt: Time(0),
            unchanged: false,
            serves: None,
            died: None,
            wrong: None,
            last_fault: Time(0),
            transitions: Vec::new(),
        }
    }

    pub(super) fn undisturbed(&self, died: Time, _now: Time) -> bool {
        self.last_fault <= died
    }

    /// A daemon was started: it has its head again.
    pub(super) fn started(&mut self, id: usize) {
        self.watched[id] = Default::default();
    }

    /// Nothing that two hosts do to each other counts until then.
    pub(super) fn excuse(&mut self, a: usize, b: usize, until: Time) {
        for (x, y) in [(a, b), (b, a)] {
            self.apart[x][y] = self.apart[x][y].max(until);
        }
    }

    pub(super) fn silence(&mut self, prober: usize, peer: usize, until: Time) {
        self.silent[prober][peer] = self.silent[prober][peer].max(until);
    }
}

impl World {
    /// A daemon of this host is about to stop running: who watches it?
    pub(super) fn loses_head(&mut self, id: usize) {
        for (other, host) in self.hosts.iter().enumerate() {
            let fast = host.daemon.as_ref().filter(|daemon| daemon.liveness.judges[id].is_fast());
            self.check.watched[id][other] = fast.map(|daemon| daemon.incarnation);
        }
    }

    /// Statement 39, after every step.
    pub(super) fn look(&mut self) -> Result<(), String> {
        let now = self.now;
        if let Some(what) = self.check.wrong.take() {
            return Err(what);
        }
        let mut answering = [false; HOSTS];
        let mut count = 0;
        for (id, host) in self.hosts.iter().enumerate() {
            answering[id] = host.answers(now);
            count += usize::from(answering[id]);
            // A lease is renewed for the last time when the main loop is as much later than it promised.
            let idle = |daemon: &Daemon| now > daemon.promised.after(lease::SLACK).after(host.lease);
            let probed = |program: &Program| now >= program.restart_until && program.probed(now);
            let alone = host.program().is_some_and(probed) && host.daemon.as_ref().is_some_and(idle);
            if answering[id] && alone {
                return Err(format!("39: h{id} answers although its main loop stands still"));
            }
        }
        if let Some(id) = self.check.serves.filter(|&id| !answering[id]) {
            return Err(format!(
                "a stranger has closed the fence of h{id}, which nobody else takes over from"
            ));
        }
        if count < 2 {
            self.check.both_since = Default::default();
            self.check.parted = Default::default();
            return Ok(());
        }
        for a in 0..self.hosts.len() {
            for b in 0..a {
                let both = answering[a] && answering[b];
                if !both {
                    (self.check.both_since[a][b], self.check.parted[a][b]) = (None, false);
                    continue;
                }
                let apart = self.check.apart[a][b] >= now;
                if !apart && (self.headless(a, b) || self.headless(b, a)) {
                    return Err(format!("39: a headless host answers: h{a} and h{b}"));
                }
                let deaf = self.is_deaf(a) || self.is_deaf(b);
                // What that has done is healed by the next advert, of which there is none while neither has a daemon with a CPU.
                let healed = self.can_advertise(a) || self.can_advertise(b);
                self.check.parted[a][b] = apart || deaf || (self.check.parted[a][b] && !healed);
                if self.check.parted[a][b] {
                    self.check.both_since[a][b] = None;
                    continue;
                }
                let allowed = OVERLAP
                    .plus(self.until_next_advert(a, b))
                    .plus(self.until_next_advert(b, a))
                    .plus(self.unanswered());
                // A daemon that comes back before that advert does not take back what was allowed.
                let (since, longest) = self.check.both_since[a][b].get_or_insert((now, allowed));
                *longest = (*longest).max(allowed);
                let (overlap, longest) = (now.span_since(*since), *longest);
                self.stats.overlap_ns = self.stats.overlap_ns.max(overlap.0);
                if overlap > longest {
                    return Err(format!("39: h{a} and h{b} answer for {} ms", millis(overlap)));
                }
            }
        }
        Ok(())
    }

    /// Nobody runs the host, and the other knows that host for fast and has run ever since.
    fn headless(&self, id: usize, other: usize) -> bool {
        let watcher = self.hosts[other].daemon.as_ref().map(|daemon| daemon.incarnation);
        let known = watcher.is_some() && self.check.watched[id][other] == watcher;
        let says = |program: &Program| program.flags(self.now) & (ORPHANED | EXPIRED) != 0;
        known && self.hosts[id].program().is_some_and(|program| program.knows(other) && says(program))
    }

    /// A daemon runs here, and its main loop has the CPU.
    fn can_advertise(&self, id: usize) -> bool {
        let runs = |daemon: &Daemon| !daemon.stopped && daemon.main_stalled <= self.now;
        self.hosts[id].daemon.as_ref().is_some_and(runs)
    }

    /// Nobody vouches for the host, as its program sees it; without one nobody ever does.
    fn is_headless(&self, id: usize) -> bool {
        self.hosts[id].program().is_none_or(|program| program.guard().headless(self.now.0))
    }

    /// The host's main loop can't read an advert at the moment, and its program does not take its place yet.
    fn is_deaf(&self, id: usize) -> bool {
        let host = &self.hosts[id];
        let stalled = |daemon: &Daemon| daemon.stopped || daemon.main_stalled > self.now;
        host.daemon.as_ref().is_none_or(stalled) && !self.is_headless(id)
    }

    /// Who became master before the host lost its head was heard by nobody there: its next advert counts.
    fn until_next_advert(&self, id: usize, other: usize) -> Span {
        let (host, other) = (&self.hosts[id], &self.hosts[other]);
        let end = |program: &Program| program.lease_until.max(program.restart_until);
        let headless_since = host.program().map_or(Time(0), end);
        if !self.is_headless(id) {
            return Span::ZERO;
        }
        match other.daemon.as_ref().map(Daemon::machine) {
            // It has advertised for the last time, and leaves in less than this.
            Some(machine) if machine.state() == State::Leaving => other.params.interval.plus(LEAVE_MARGIN),
            Some(machine) if machine.since() <= headless_since => other.params.interval,
            Some(_) | None => Span::ZERO,
        }
    }

    /// Where a claim is not answered, whoever claims has to wait for the next advert.
    fn unanswered(&self) -> Span {
        let params = &self.hosts[0].params;
        if params.lower_prio_no_advert { params.interval } else { Span::ZERO }
    }

    /// A host that cannot be told from a dead one.
    fn may_be_unreachable(&self, prober: usize, peer: usize) -> bool {
        let host = &self.hosts[peer];
        let gone = !host.powered || host.program().is_none() || host.frozen_until > self.now;
        gone || self.check.silent[prober][peer] >= self.now
    }

    /// Statement 41 for verdicts.
    pub(super) fn judged(&mut self, id: usize, peer: usize, event: Judged) -> Result<(), String> {
        match event {
            Judged::Lost { verdict: Verdict::Unreachable, .. }
                if !self.may_be_unreachable(id, peer) && self.check.doubt < self.now =>
            {
                Err(format!("41: h{id} finds h{peer} unreachable, which it is not"))
            }
            Judged::Paused { .. } => {
                self.stats.wrong += 1;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    pub(super) fn transition(
        &mut self,
        id: usize,
        to: State,
        reason: Reason,
        tracked: Option<usize>,
    ) -> Result<(), String> {
        if self.check.unchanged {
            return Err(format!("what changes nothing changed h{id} to {to}"));
        }
        match reason {
            Reason::MasterUnreachable => self.stats.unreachable += 1,
            Reason::MasterOrphaned => self.stats.orphaned += 1,
            Reason::MasterExpired => self.stats.expired += 1,
            Reason::MasterResigned => self.stats.resigned += 1,
            Reason::NoMaster | Reason::MasterDown => self.stats.down += 1,
            Reason::LeaseExpired => self.stats.step_downs += 1,
            _ => {}
        }
        if to != State::Master {
            return Ok(());
        }
        let now = self.now;
        if let Some(died) = self.check.died.take()
            && self.check.undisturbed(died, now)
        {
            let ranked = tracked.and_then(|master| {
                Some(self.hosts[id].daemon.as_ref()?.liveness.judges[master].precedence().rank)
            });
            self.stats.timed += 1;
            let took = now.span_since(died).0;
            self.stats.slowest_ns = self.stats.slowest_ns.max(took);
            let host = &self.hosts[id];
            let ordinary =
                Settings { user_space_window: host.settings.user_space_window, ..Settings::default() };
            // Replies are known to come at once.
            let ordinary =
                Settings { window: WindowSettings { learning: Span::ZERO, ..ordinary.window }, ..ordinary };
            let in_time = self.weather.sleepy.1 <= Span::from_micros(200)
                && self.weather.latency <= Span::from_micros(100)
                && self.weather.late.1 <= Span::from_micros(100);
            // A hiccup that was seen widens the window, and that takes its time.
            let narrow =
                tracked.and_then(|master| Some(host.daemon.as_ref()?.liveness.judges[master].window().span));
            let quiet = narrow.is_some_and(|window| window <= host.settings.quickest());
            let prompt = host.params.interval > SOON && ranked == Some(0) && quiet;
            if host.settings == ordinary && host.priority >= Priority::DEFAULT && in_time && prompt {
                self.stats.timed_default += 1;
                self.stats.slow_default += u64::from(took > SLOW_NS);
                self.stats.slowest_default_ns = self.stats.slowest_default_ns.max(took);
            }
        }
        let Some(master) = tracked else { return Ok(()) };
        // What was unreachable for a while may have become headless before the main loop came to act.
        let says = |program: &Program| program.flags(now) & (ORPHANED | EXPIRED) != 0;
        let headless = self.hosts[master].program().is_some_and(says);
        if reason == Reason::MasterUnreachable && !headless && !self.may_be_unreachable(id, master) {
            return Err(format!("41: h{id} takes over from h{master}, which is alive"));
        }
        let said = matches!(reason, Reason::MasterOrphaned | Reason::MasterExpired);
        if said && self.hosts[master].answers(now) && self.check.apart[id][master] < now {
            return Err(format!("39: h{id} takes over by \"{reason}\" while h{master} answers"));
        }
        Ok(())
    }

    /// How soon somebody answers after `peer` has died, or `None` where nobody is in a position to notice.
    pub(super) fn bound(&self, peer: usize) -> Option<Span> {
        let now = self.now;
        let fit = |id: usize| {
            let host = &self.hosts[id];
            let daemon = host.daemon.as_ref()?;
            let judge = &daemon.liveness.judges[peer];
            let able = host.powered
                && host.frozen_until <= now
                && !daemon.stopped
                && daemon.main_stalled <= now
                && daemon.live_stalled <= now
                && judge.is_fast()
                && self.hosts[peer].program().is_some_and(|program| program.knows(id))
                && judge.verdict().is_none()
                && judge.paused_until(now).is_none()
                && self.check.silent[id][peer] < now
                && self.check.apart[id][peer] < now
                && host.state() == State::Backup;
            if !able {
                return None;
            }
            let settings = host.settings;
            // Replies that are under way may still move the percentile, by a bucket or two.
            let wait = Span(judge.reply_wait().0 * 3 / 2);
            let misses = u64::from(settings.misses.max(1));
            let burst = settings.burst_interval();
            let witnesses = settings.interval.plus(wait).plus(burst.times(misses - 1)).plus(wait);
            let order = takeover_wait(host.effective(), &settings, judge.precedence());
            let sleepy = self.weather.sleepy.1.times(misses + 2);
            let interval = host.params.interval;
            let advert = if interval <= SOON {
                interval.plus(Span(interval.0 / 8)).plus(Span::from_millis(1))
            } else {
                Span::ZERO
            };
            Some(
                judge
                    .window()
                    .span
                    .max(witnesses)
                    .max(advert)
                    .plus(order)
                    .plus(self.weather.latency.times(2))
                    .plus(sleepy),
            )
        };
        (0..self.hosts.len()).filter(|&id| id != peer).filter_map(fit).min()
    }
}

//! What the node wants done, and what is to be said of it.

use ha_common::machine::{Reason, State};
use ha_common::node::{Effect, Event, HoldKind, RouterId, lease};
use ha_common::time::Span;
use ha_common::types::Priority;

use super::file::Instance;
use super::host::{Daemon, Host, Sinks};
use crate::sim::letter::Letter;
use crate::sim::millis;
use crate::sim::place::label;

/// How long silence may have lasted when a role goes on after a crash. Nobody is patient for longer than three intervals
/// and the skew, and the last advert is up to an interval older than the last sign of life.
const RESUMES_WITHIN: u64 = 4;
/// An advert is late by so much, and by what a main loop that stands still is vouched for.
const LATE: Span = Span::from_millis(10);

impl Host {
    /// Carries out what the node wants done.
    pub(super) fn perform(&mut self, daemon: &mut Daemon, sinks: &mut Sinks<'_>) -> Result<(), String> {
        let me = self.id;
        let (mut spoke, mut said) = (Vec::new(), Vec::new());
        while let Some(effect) = daemon.node.poll_effect() {
            sinks.stats.coverage.effect(&effect);
            let describe = |id: RouterId| daemon.describe(id, me);
            let done = self.kernel.carry_out(effect, &mut spoke, describe, sinks.now);
            match done.map_err(|what| format!("{what}: h{me}"))? {
                Some(Effect::Advert { router, priority }) => {
                    said.push((router, priority));
                    let terms = daemon.instances.get(&router).ok_or("an advert of nobody")?.terms();
                    self.sent.insert(terms.place, (sinks.now, terms.interval));
                    sinks.letters.push(Letter::of(&terms, me, priority));
                }
                Some(Effect::Event(event)) => self.event(daemon, event, sinks)?,
                _ => {}
            }
        }
        said.into_iter().try_for_each(|(id, priority)| self.may_say(daemon, id, priority))
    }

    /// Only who is master says so, and only who was says goodbye; `higher_prio_send_advert` is a master's last word.
    fn may_say(&self, daemon: &Daemon, id: RouterId, priority: u8) -> Result<(), String> {
        let state = daemon.node.router(id).map_or(State::Init, |router| router.machine().state());
        let was_master = daemon.mastered.contains(&id);
        let allowed = if priority > 0 { State::Master } else { State::Leaving };
        if was_master || state == allowed {
            return Ok(());
        }
        let place = daemon.instances.get(&id).map(|of| label(of.place())).unwrap_or_default();
        Err(format!("36: h{} {place} says {priority} as {state}", self.id))
    }

    fn event(&mut self, daemon: &mut Daemon, event: Event, sinks: &mut Sinks<'_>) -> Result<(), String> {
        let me = self.id;
        match event {
            Event::Transition { router, from, to, reason, priority, .. } => {
                let place = daemon.instances.get(&router).map(Instance::place).ok_or("nobody changes")?;
                sinks.note(|| format!("h{me} {} {from} -> {to}: {reason}", label(place)));
                // A start alone changes nothing for anybody.
                sinks.stats.transitions += u64::from((from, to) != (State::Init, State::Backup));
                let in_group = daemon.node[router].group().is_some();
                sinks.stats.group_moves += u64::from(to == State::Master && in_group);
                let before = daemon.states.insert(router, to);
                if before != Some(from) {
                    return Err(format!("36: h{me} {} goes from {from}, was {before:?}", label(place)));
                }
                if to == State::Master {
                    daemon.mastered.insert(router);
                }
                self.change(daemon, router, (from, to), (reason, priority), sinks)
                    .map_err(|what| format!("{what}: h{me} {}, {reason}", label(place)))
            }
            Event::Resumed(id) => {
                let place = daemon.instances[&id].place();
                sinks.note(|| format!("h{me} {} goes on as MASTER", label(place)));
                sinks.stats.resumed += 1;
                daemon.states.insert(id, State::Master);
                daemon.mastered.insert(id);
                let Some((silence, interval)) = self.silence(place) else { return Ok(()) };
                let limit = interval.times(RESUMES_WITHIN).plus(lease::SLACK).plus(LATE);
                if silence > limit {
                    let (silence, place) = (millis(silence), label(place));
                    return Err(format!("resume: h{me} {place} goes on after {silence} ms of silence"));
                }
                Ok(())
            }
            Event::Deaf(on) => {
                daemon.deaf.push(on);
                Ok(())
            }
            Event::DuplicateAddress(_) => Err(format!("26: h{me} heard itself")),
            _ => Ok(()),
        }
    }

    /// Whether a change of state has its reason.
    fn change(
        &mut self,
        daemon: &Daemon,
        id: RouterId,
        (from, to): (State, State),
        (reason, priority): (Reason, Priority),
        sinks: &mut Sinks<'_>,
    ) -> Result<(), String> {
        let (now, router) = (sinks.now, &daemon.node[id]);
        let place = daemon.instances[&id].place();
        let wanted = |kind| daemon.hold.is_some_and(|hold| hold.kind == kind && now <= hold.until);
        match (from, to) {
            (State::Init | State::Fault, State::Backup) => {
                self.witnesses.entry(place).or_default().start(router.machine().since());
            }
            (State::Master, State::Backup) => {
                let own =
                    reason == Reason::LeaseExpired || reason == Reason::Group || wanted(HoldKind::Resigned);
                // It may have been given another priority since.
                let before = daemon.priorities.get(&id).copied().unwrap_or(u8::MAX);
                let ours = before.min(router.machine().priority().get());
                let outranks = |letter: &Letter| letter.place == place && letter.outranks(ours, self.id);
                if own {
                    self.witnesses.entry(place).or_default().yields_to_nobody();
                } else if !daemon.heard.iter().any(outranks) {
                    return Err(format!("25: yields to none of {:?}", daemon.heard));
                }
            }
            (State::Backup, State::Master)
                if !matches!(reason, Reason::Owner | Reason::Group) && !wanted(HoldKind::Preferred) =>
            {
                sinks.stats.takeovers += 1;
                if let Some(why) = self.objection(router, priority, now) {
                    return Err(format!("41: {why}"));
                }
            }
            _ => {}
        }
        Ok(())
    }
}

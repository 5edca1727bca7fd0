//! A turn of the main loop, and what must hold after it.

use ha_common::machine::State;
use ha_common::node::{Heard, Mark, Node, Router};
use ha_common::time::Time;

use super::host::{Daemon, Host, Sinks, Told};
use crate::sim::kernel::Kernel;
use crate::sim::place::{label, place_of};

impl Host {
    /// The main loop has the CPU.
    pub(super) fn main(&mut self, sinks: &mut Sinks<'_>) -> Result<(), String> {
        let Some(mut daemon) = self.daemon.take() else { return Ok(()) };
        let now = sinks.now;
        Self::begin_turn(&mut daemon);
        self.judge(&mut daemon);
        let told = std::mem::take(&mut daemon.told);
        if !told.is_empty() {
            daemon.node.listen(now, &self.kernel);
            self.perform(&mut daemon, sinks)?;
        }
        for what in told {
            self.forget_card();
            self.obey(&mut daemon, what, sinks)?;
        }
        let twin = now.0.is_multiple_of(16).then(|| (daemon.node.clone(), self.kernel.clone()));
        daemon.node.turn(now, &mut self.kernel);
        if let Some((twin, kernel)) = twin {
            self.repeat(daemon.node.clone(), twin, kernel, now)?;
        }
        self.perform(&mut daemon, sinks)?;
        for on in std::mem::take(&mut daemon.deaf) {
            self.kernel.attach(on, self.incarnation);
            daemon.node.attached(on, now);
            self.perform(&mut daemon, sinks)?;
            daemon.node.take_part(now, &self.kernel);
            self.reconsider(&mut daemon, sinks)?;
            daemon.node.turn(now, &mut self.kernel);
            self.perform(&mut daemon, sinks)?;
        }
        for id in daemon.node.forget_retired() {
            daemon.instances.remove(&id);
            daemon.states.remove(&id);
        }
        self.agree(&mut daemon)?;
        if daemon.node.next_deadline() <= now {
            return Err(format!("40: h{} stands still", self.id));
        }
        daemon.promised = daemon.node.next_deadline();
        if daemon.stopping && daemon.node.has_stopped() {
            self.end(&daemon, sinks);
            self.kernel.end();
        } else {
            self.daemon = Some(daemon);
        }
        Ok(())
    }

    pub(super) fn begin_turn(daemon: &mut Daemon) {
        let Daemon { node, heard, mastered, priorities, .. } = daemon;
        heard.clear();
        let is_master = |router: &&Router| router.machine().state() == State::Master;
        *mastered = node.routers().iter().filter(is_master).map(Router::id).collect();
        *priorities =
            node.routers().iter().map(|router| (router.id(), router.machine().priority().get())).collect();
    }

    /// Judges what is queued, and tells the node.
    fn judge(&mut self, daemon: &mut Daemon) {
        for (letter, at) in self.kernel.take_queue() {
            let Some(router) = daemon.router_at(letter.place).map(Router::id) else { continue };
            let Some(instance) = daemon.instances.get(&router) else { continue };
            let Some(judged) = letter.judged(&instance.terms(), self.id) else { continue };
            daemon.heard.push(letter);
            let fingerprint = self.kernel.accept(letter);
            daemon.node.heard(Heard {
                router,
                source: judged.source,
                mac: None,
                priority: judged.advert.priority,
                interval: judged.advert.interval.span(),
                at,
                mark: if self.xdp { Mark::Fingerprint(fingerprint) } else { Mark::None },
                unheard: at < self.started,
            });
        }
    }

    /// Does what it was told.
    fn obey(&mut self, daemon: &mut Daemon, what: Told, sinks: &mut Sinks<'_>) -> Result<(), String> {
        let now = sinks.now;
        match what {
            Told::Reconsider => self.reconsider(daemon, sinks),
            Told::Reload => {
                self.reload(daemon, sinks)?;
                daemon.node.take_part(now, &self.kernel);
                self.perform(daemon, sinks)?;
                self.reconsider(daemon, sinks)
            }
            Told::Hold(hold) => {
                daemon.hold = hold;
                let ids: Vec<_> = daemon.node.routers().iter().map(Router::id).collect();
                for id in ids {
                    daemon.node.hold(id, hold, now, &self.kernel);
                }
                self.perform(daemon, sinks)
            }
            Told::Stop => {
                daemon.stopping = true;
                daemon.node.stop(now, &self.kernel);
                self.perform(daemon, sinks)
            }
        }
    }

    /// Statement 40: the same calls give the same effects.
    fn repeat(&self, mut node: Node, mut twin: Node, mut kernel: Kernel, now: Time) -> Result<(), String> {
        twin.turn(now, &mut kernel);
        loop {
            let (effect, other) = (node.poll_effect(), twin.poll_effect());
            if effect != other {
                return Err(format!("40: h{} does not repeat itself: {effect:?}, {other:?}", self.id));
            }
            if effect.is_none() {
                return Ok(());
            }
        }
    }

    /// Addresses follow the states, states the transitions, and the members of a group share theirs.
    fn agree(&self, daemon: &mut Daemon) -> Result<(), String> {
        for router in daemon.node.routers() {
            let place = place_of(router);
            let state = router.machine().state();
            let there = self.kernel.has_address(place);
            let behind = router.presence().is_behind();
            let me = || format!("h{} {} is {state}", self.id, label(place));
            if !router.is_retired() && there != (behind || state.holds_addresses()) {
                return Err(format!("36: {}, addresses: {there}", me()));
            }
            if behind != self.kernel.is_silent(place) && self.kernel.program(place.0).is_some() {
                return Err(format!("36: {}, behind its fence: {behind}", me()));
            }
            let told = daemon.states.get(&router.id()).copied().unwrap_or(State::Init);
            if told != state {
                return Err(format!("36: {}, its transitions say {told}", me()));
            }
        }
        let Daemon { node, agreed, .. } = daemon;
        for group in node.groups() {
            let states: Vec<_> = group.members().iter().map(|id| node[*id].machine().state()).collect();
            if states.windows(2).all(|pair| pair[0] == pair[1]) {
                if !agreed.contains(&group.id()) {
                    agreed.push(group.id());
                }
            } else if agreed.contains(&group.id())
                && !states.iter().any(|state| matches!(state, State::Init | State::Leaving))
            {
                return Err(format!("group: the members of h{}'s {:?} are {states:?}", self.id, group.id()));
            }
        }
        Ok(())
    }
}

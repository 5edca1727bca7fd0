//! Whether clients reach the master: the invariant of docs/liveness.md's "The winner announces last".
//!
//! While exactly one living router is master, messages flow between it and a client, and have done so for [`REACH`], the
//! client's packets come to it. That is owed from the moment at which the master can know that it has to announce itself:
//! it has become master, another has yielded to it, or the client has reached it before. Nobody can know of what was lost
//! together with whoever said it: after frames were lost elsewhere, or another master died, it is owed again once the
//! client has reached the master. In a story of single stalls ([`Reach::strict`]) nothing is excused.

use ha_common::machine::{Reason, State};
use ha_common::time::{Span, Time};

use super::host::Host;
use super::switch::CLIENTS;
use super::world::{Event, HOSTS, World};
use crate::sim::millis;

/// Until then clients reach the master.
const REACH: Span = Span::from_millis(50);

/// What is remembered of it.
#[derive(Debug, Default)]
pub(super) struct Reach {
    /// The living masters, a bit for each host.
    masters: u8,
    /// From when the sole master is to be reached by a client.
    owed: [Option<Time>; CLIENTS],
    /// Nothing happens but single stalls: everything that follows from them is to be mended.
    pub(super) strict: bool,
    /// No client may be without somebody who answers for longer than this and [`REACH`].
    pub(super) longest: Option<Span>,
    /// Frames may have been lost until then.
    lost_until: Time,
}

impl Reach {
    /// Frames may be lost until then.
    pub(super) fn disturb(&mut self, until: Time) {
        self.lost_until = self.lost_until.max(until);
    }

    /// Frames are held until then. What was lost may have been a claim of which the rest is among them.
    pub(super) fn delay(&mut self, now: Time, until: Time) {
        if now <= self.lost_until {
            self.disturb(until);
        }
    }

    /// The only living master.
    fn sole(&self) -> Option<usize> {
        self.masters.is_power_of_two().then_some(self.masters.trailing_zeros() as usize)
    }
}

fn is_living(host: &Host, now: Time) -> bool {
    host.powered && host.frozen_until <= now && host.daemon.as_ref().is_some_and(|daemon| !daemon.stopped)
}

impl World {
    /// After every step: who is master now, and what follows for the clients?
    pub(super) fn watch_masters(&mut self) {
        let now = self.now;
        let mut masters = 0;
        for (id, host) in self.hosts.iter().enumerate() {
            masters |= u8::from(host.state() == State::Master && is_living(host, now)) << id;
        }
        let before = std::mem::replace(&mut self.reach.masters, masters);
        if before == masters {
            return;
        }
        let told = self.reach.sole().and_then(|master| {
            let took_over = self.hosts[master].daemon.as_ref().is_some_and(|daemon| {
                daemon.machine().since() == now && daemon.machine().reason() != Reason::Resumed
            });
            let gone = || (0..self.hosts.len()).filter(|id| before & !masters & (1 << id) != 0);
            let yielded = before & masters != 0 && gone().all(|id| is_living(&self.hosts[id], now));
            let told = (took_over || yielded) && self.reach.lost_until <= now && self.weather.loss == 0;
            // What they say of that may be held up.
            let heard = gone().map(|id| {
                let link = self.links[id][master].held_until;
                link.max(self.switch.ports[id].outward.over()).max(self.switch.ports[master].inward.over())
            });
            if self.reach.strict {
                Some(now)
            } else {
                told.then(|| heard.max().map_or(now, |at| at.max(now)))
            }
        });
        self.reach.owed = [told; CLIENTS];
    }

    /// A story of single stalls begins or ends.
    pub(super) fn be_strict(&mut self, strict: bool) {
        self.reach.strict = strict;
        if strict {
            let now = self.now;
            self.reach.owed = self.reach.owed.map(|owed| owed.or(Some(now)));
        }
    }

    /// Since when messages flow between a host and a client, and the host's threads run; possibly a time to come.
    fn flows_since(&self, id: usize, client: usize) -> Time {
        let host = &self.hosts[id];
        let threads = host.daemon.as_ref().map(|daemon| daemon.main_stalled.max(daemon.live_stalled));
        let ports = [id, client].map(|port| {
            let port = &self.switch.ports[port];
            port.inward.over().max(port.outward.over())
        });
        let links = [self.links[id][client], self.links[client][id]];
        let links = links.map(|link| link.cut_until.max(link.held_until));
        let times = ports.into_iter().chain(links).chain(threads).chain([host.frozen_until]);
        times.max().unwrap_or(Time(0))
    }

    /// From when a client has had reason to reach the sole master and has not; `None` while nothing is owed.
    fn cut_off_since(&self, client: usize) -> Option<Time> {
        let reach = &self.reach;
        let (master, reached) = (reach.sole()?, self.clients[client].reached);
        let mut since = reach.owed[client]?;
        if !reach.strict && (reach.lost_until > since || self.weather.loss > 0) {
            if reached.master < reach.lost_until || self.weather.loss > 0 {
                return None;
            }
            since = reached.master;
        }
        let since = since.max(self.flows_since(master, HOSTS + client));
        // A question that was lost is asked again after a second, whatever routers do.
        if since > self.now || self.clients[client].asked().is_some_and(|asked| asked < since) {
            return None;
        }
        Some(since.max(reached.master))
    }

    /// What the way to and fro, threads that wake up late, and the client's pace add.
    pub(super) fn slack(&self, client: usize) -> Span {
        let weather = &self.weather;
        let way = weather.latency.plus(weather.late.1).times(3);
        self.clients[client].pace.plus(way).plus(weather.sleepy.1.times(4)).plus(Span::from_millis(1))
    }

    /// A client wants to send.
    pub(super) fn client(&mut self, id: usize) -> Result<(), String> {
        let now = self.now;
        let allowed = REACH.plus(self.slack(id));
        let client = &self.clients[id];
        if let (Some(since), Some(master)) = (self.cut_off_since(id), self.reach.sole()) {
            let gap = now.span_since(since);
            self.stats.cut_off_ns = self.stats.cut_off_ns.max(gap.0);
            if gap > allowed {
                let entry = client.entry();
                return Err(format!(
                    "reach: client {id} ({entry}) does not reach h{master} for {} ms",
                    millis(gap)
                ));
            }
        }
        let gap = now.span_since(client.reached.anybody);
        if let Some(longest) = self.reach.longest
            && gap > longest.plus(allowed).plus(client.pace)
        {
            let (entry, gap, stall) = (client.entry(), millis(gap), millis(longest));
            return Err(format!(
                "gap: client {id} ({entry}) reaches nobody for {gap} ms, the stall took {stall}"
            ));
        }
        self.stats.packets += 1;
        let pace = client.pace;
        for (to, frame) in self.clients[id].send(HOSTS + id, now).into_iter().flatten() {
            self.send(HOSTS + id, super::switch::Mac(HOSTS + id), to, frame);
        }
        self.push(now.after(pace), Event::Client { id });
        Ok(())
    }

    /// A client's packet was taken.
    pub(super) fn reached(&mut self, port: usize, host: usize, sent: Time) {
        let client = port - HOSTS;
        let reached = &mut self.clients[client].reached;
        reached.anybody = reached.anybody.max(sent);
        if self.reach.sole() == Some(host) {
            reached.master = reached.master.max(sent);
            self.reach.owed[client].get_or_insert(sent);
        }
    }

    /// All is well: who does not reach the master now was excused, and begins anew.
    pub(super) fn release_excused(&mut self) {
        for client in 0..self.clients.len() {
            if self.cut_off_since(client).is_none() {
                self.stats.excused += 1;
                self.clients[client].forget();
            } else {
                self.stats.owed += 1;
            }
        }
    }
}

//! What befalls a cluster.

use ha_common::time::{Span, Time};

use super::OVERLAP;
use super::host::Daemon;
use super::switch::Port;
use super::world::{Event, HOSTS, World};
use crate::sim::kernel::Kernel;

/// How long a dead process keeps the program array filled.
const EMPTIED: Span = Span::from_millis(3);

/// A verdict may be acted on so long after it fell: 20 ms, and the skew, a grace and a late wake-up.
const STALE: Span = Span::from_millis(40);

/// One fault. Hosts by number.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    /// The host is gone; `timed` if its successor is to be in time.
    Die { host: usize, timed: bool },
    /// It comes back, and its daemon starts.
    Boot { host: usize },
    /// kill -9.
    Kill { host: usize, timed: bool },
    /// A planned restart that takes so long, after the last start took `start`.
    Restart { host: usize, start: Span, takes: Span },
    /// The daemon starts, unless it runs.
    Start { host: usize },
    /// A graceful stop.
    Stop { host: usize },
    /// Its trackers take so much from its priority.
    Weigh { host: usize, minus: u8 },
    /// SIGSTOP.
    Freeze { host: usize, timed: bool },
    /// SIGCONT.
    Thaw { host: usize },
    /// Neither kernel nor daemon runs; the clock goes on.
    FreezeHost { host: usize, span: Span },
    /// No CPU for the main loop.
    StallMain { host: usize, span: Span },
    /// No CPU for the liveness thread.
    StallLive { host: usize, span: Span },
    /// No CPU for both.
    Stall { host: usize, span: Span },
    /// Frames from one host to another are lost.
    Cut { from: usize, to: usize, span: Span },
    /// A port stands still: frames from it, to it or both are held, or lost.
    Port { port: usize, ways: [bool; 2], lost: bool, span: Span },
    /// The switch loses everything for so short a time that nobody may notice.
    Drop { span: Span },
    /// The switch holds everything for so short a time that nobody may notice.
    Hold { span: Span },
    /// The weather is good from now on.
    ClearUp,
}

impl World {
    /// After trouble: both masters must have heard each other's next advert.
    pub(super) fn at_peace(&self, at: Time) -> Time {
        at.after(self.hosts[0].params.interval).after(OVERLAP).after(Span::from_millis(20))
    }

    /// A fault of the story, unless the cluster is to be spared it.
    pub(super) fn befall(&mut self, fault: Fault) {
        let number = self.faults;
        self.faults += 1;
        if !self.spared.contains(number) {
            self.undergo(fault);
        }
    }

    /// The same for what ends a fault or follows from it: no story is spared that.
    pub(super) fn undergo(&mut self, fault: Fault) {
        self.strike(fault);
        self.watch_masters();
    }

    fn strike(&mut self, fault: Fault) {
        let now = self.now;
        self.note(format!("** {fault:?}"));
        let hiccup = matches!(
            fault,
            Fault::Drop { .. } | Fault::Hold { .. } | Fault::StallLive { .. } | Fault::ClearUp
        );
        if !hiccup {
            self.check.last_fault = now;
        }
        match fault {
            Fault::Die { host, timed } => self.die(host, timed),
            Fault::Boot { host } => {
                if !self.hosts[host].powered {
                    self.hosts[host].powered = true;
                    self.start(host);
                }
            }
            Fault::Kill { host, timed } => {
                let bound = self.timed_bound(host, timed);
                if self.kill(host) {
                    self.expect_successor(bound, EMPTIED);
                }
            }
            Fault::Restart { host, start, takes } => self.restart(host, start, takes),
            Fault::Start { host } => {
                if self.hosts[host].powered && self.hosts[host].daemon.is_none() {
                    self.start(host);
                }
            }
            Fault::Stop { host } => self.tell(host, |daemon| daemon.stop = true),
            Fault::Weigh { host, minus } => {
                self.hosts[host].minus = minus;
                self.tell(host, |daemon| daemon.reweigh = true);
            }
            Fault::Freeze { host, timed } => self.freeze(host, timed),
            Fault::Thaw { host } => self.tell(host, |daemon| daemon.stopped = false),
            Fault::FreezeHost { host, span } => self.freeze_host(host, now.after(span)),
            Fault::StallMain { host, span } => self.stall(host, span, true, false),
            Fault::StallLive { host, span } => self.stall(host, span, false, true),
            Fault::Stall { host, span } => self.stall(host, span, true, true),
            Fault::Cut { from, to, span } => self.cut(from, to, now.after(span)),
            Fault::Port { port, ways, lost, span } => self.stop_port(port, ways, lost, now.after(span)),
            Fault::Drop { span } => {
                self.reach.disturb(now.after(span));
                self.links.iter_mut().flatten().for_each(|link| {
                    link.cut_until = link.cut_until.max(now.after(span));
                });
            }
            Fault::Hold { span } => self.links.iter_mut().flatten().for_each(|link| {
                link.held_until = link.held_until.max(now.after(span));
            }),
            Fault::ClearUp => self.clear_up(),
        }
    }

    /// Tells a host's daemon something, if it runs, and wakes it.
    fn tell(&mut self, host: usize, what: impl FnOnce(&mut Daemon)) {
        if let Some(daemon) = &mut self.hosts[host].daemon {
            what(daemon);
        }
        self.wake(host);
    }

    /// How soon somebody must answer in a host's place, if that is to be timed.
    fn timed_bound(&self, host: usize, timed: bool) -> Option<Span> {
        self.bound(host).filter(|_| timed && self.hosts[host].answers(self.now))
    }

    /// Somebody must answer by then, and by so much later as what happened takes to come about.
    fn expect_successor(&mut self, bound: Option<Span>, later: Span) {
        if let Some(bound) = bound {
            let bound = bound.plus(later);
            self.push(self.now.after(bound), Event::Deadline { died: self.now, bound });
        }
    }

    fn die(&mut self, host: usize, timed: bool) {
        let bound = self.timed_bound(host, timed);
        let dead = &mut self.hosts[host];
        (dead.powered, dead.daemon) = (false, None);
        dead.kernel = Kernel::default();
        dead.card.clear();
        if bound.is_some() {
            self.check.died = Some(self.now);
        }
        self.expect_successor(bound, Span::ZERO);
    }

    fn restart(&mut self, host: usize, start: Span, takes: Span) {
        let now = self.now;
        // The daemon itself writes the window, while its lease holds.
        let running = self.hosts[host].daemon.as_ref().is_some_and(|daemon| !daemon.stopped);
        let vouched = self.hosts[host].program().is_some_and(|program| now < program.lease_until);
        if running && vouched {
            match self.hosts[host].leave(start, now) {
                Ok(output) => self.carry_out(host, output),
                Err(what) => self.check.wrong = Some(what),
            }
        }
        if self.kill(host) {
            self.push(now.after(takes), Event::Start { host });
        }
    }

    fn freeze(&mut self, host: usize, timed: bool) {
        let bound = self.timed_bound(host, timed);
        self.loses_head(host);
        let lease = self.hosts[host].lease;
        if let Some(daemon) = &mut self.hosts[host].daemon {
            daemon.stopped = true;
            self.expect_successor(bound, lease);
        }
    }

    /// Frames from one host to another are lost until then.
    fn cut(&mut self, from: usize, to: usize, until: Time) {
        let held = self.switch.ports.iter().map(|port| port.inward.over().max(port.outward.over()));
        let held = held.max().unwrap_or(self.now);
        self.reach.disturb(until.max(held));
        self.links[from][to].cut_until = until;
        self.check.excuse(from, to, self.at_peace(until));
        for (a, b) in [(from, to), (to, from)] {
            self.check.silence(a, b, until.after(STALE));
        }
    }

    /// A port stands still until then.
    fn stop_port(&mut self, port: usize, [inward, outward]: [bool; 2], lost: bool, until: Time) {
        let now = self.now;
        let Port { inward: into, outward: from } = &mut self.switch.ports[port];
        for trouble in [inward.then_some(into), outward.then_some(from)].into_iter().flatten() {
            let end = if lost { &mut trouble.cut_until } else { &mut trouble.held_until };
            *end = until.max(*end);
        }
        if port < HOSTS {
            for other in (0..self.hosts.len()).filter(|&other| other != port) {
                self.check.excuse(port, other, self.at_peace(until));
                for (a, b) in [(port, other), (other, port)] {
                    self.check.silence(a, b, until.after(STALE));
                }
            }
        }
        self.reach.delay(now, until);
        self.reach.disturb(if lost { until } else { now });
    }

    fn clear_up(&mut self) {
        for host in (0..self.hosts.len()).filter(|&id| self.hosts[id].minus > 0).collect::<Vec<_>>() {
            self.strike(Fault::Weigh { host, minus: 0 });
        }
        if std::mem::take(&mut self.weather.loss) > 0 {
            self.reach.disturb(self.now);
        }
    }

    fn kill(&mut self, id: usize) -> bool {
        self.loses_head(id);
        let Some(daemon) = self.hosts[id].daemon.take() else { return false };
        self.hosts[id].kernel.abandon();
        let late = self.noise.span(Span::ZERO, EMPTIED);
        self.push(self.now.after(late), Event::Emptied { host: id, incarnation: daemon.incarnation });
        true
    }

    fn freeze_host(&mut self, id: usize, until: Time) {
        if !self.hosts[id].powered {
            return;
        }
        let until = until.max(self.hosts[id].frozen_until);
        self.hosts[id].frozen_until = until;
        for other in 0..self.hosts.len() {
            self.check.excuse(id, other, self.at_peace(until));
            self.check.silence(other, id, until.after(STALE));
        }
        self.push(until, Event::Resume { host: id });
    }

    fn stall(&mut self, id: usize, span: Span, main: bool, live: bool) {
        let until = self.now.after(span);
        self.loses_head(id);
        let Some(daemon) = &mut self.hosts[id].daemon else { return };
        if main {
            daemon.main_stalled = daemon.main_stalled.max(until);
        }
        if live {
            daemon.live_stalled = daemon.live_stalled.max(until);
        }
        self.push(until, Event::Resume { host: id });
    }
}

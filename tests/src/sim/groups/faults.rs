//! What befalls a cluster.

use ha_common::node::{Hold, HoldKind};
use ha_common::time::Span;
use ha_common::types::Priority;

use super::cast::Place;
use super::host::{Host, Told, Tracked};
use super::world::World;

/// What is changed in a host's file before it is told to reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Nothing,
    /// Back to what all files say.
    Back,
    Interval(Span),
    Priority(u8),
    Preempt(bool),
    Fast(bool),
    Password(u8),
    /// The n-th instance is gone.
    Without(usize),
    /// No sync groups.
    Ungrouped,
}

/// One fault. Hosts by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Start {
        host: usize,
    },
    Stop {
        host: usize,
    },
    Kill {
        host: usize,
    },
    Die {
        host: usize,
    },
    /// A planned restart that takes so long.
    Restart {
        host: usize,
        takes: Span,
    },
    Reload {
        host: usize,
        change: Change,
    },
    Carrier {
        host: usize,
        on: usize,
        up: bool,
    },
    Track {
        host: usize,
        place: Place,
        tracked: Tracked,
    },
    /// No CPU for the main loop.
    Stall {
        host: usize,
        span: Span,
    },
    /// Neither kernel nor daemon runs; the clock goes on.
    Freeze {
        host: usize,
        span: Span,
    },
    /// Hosts whose bits are equal hear each other.
    Partition {
        on: usize,
        sides: u8,
    },
    Weather {
        loss: u64,
        delay: Span,
    },
    /// Its operator holds all of its virtual routers, or lets them go.
    Hold {
        host: usize,
        kind: Option<HoldKind>,
        span: Span,
    },
    /// Somebody takes the program off an interface.
    Detach {
        host: usize,
        on: usize,
    },
}

impl World {
    /// Does it, unless the cluster is to be spared it.
    pub(super) fn befall(&mut self, fault: Fault) -> Result<(), String> {
        let number = self.faults;
        self.faults += 1;
        if self.spared.contains(number) {
            return Ok(());
        }
        self.note(|| format!("** {fault:?}"));
        self.strike(fault)
    }

    /// Does it, whatever is to be spared: what ends a fault is none.
    pub(super) fn strike(&mut self, fault: Fault) -> Result<(), String> {
        let now = self.now;
        match fault {
            Fault::Start { host } => {
                let frozen = self.hosts[host].frozen_until > now;
                if self.hosts[host].daemon.is_none() && !frozen {
                    self.hosts[host].powered = true;
                    self.act(host, Host::start)?;
                    self.wake_soon(host);
                }
                return Ok(());
            }
            Fault::Stop { host } => self.hosts[host].tell(Told::Stop),
            Fault::Kill { host } => {
                return self.act(host, |host, sinks| {
                    host.kill(sinks);
                    Ok(())
                });
            }
            Fault::Die { host } => {
                return self.act(host, |host, sinks| {
                    host.die(sinks);
                    Ok(())
                });
            }
            Fault::Restart { host, takes } => {
                let stands = self.hosts[host].frozen_until.max(self.hosts[host].stalled_until) > now;
                if self.hosts[host].daemon.is_some() && !stands {
                    self.act(host, Host::leave)?;
                    self.plan_end(now.after(takes), Fault::Start { host });
                }
                return Ok(());
            }
            Fault::Reload { host, change } => {
                self.change(host, change);
                self.stats.reloads += 1;
                self.hosts[host].tell(Told::Reload);
            }
            Fault::Carrier { host, on, up } => {
                self.hosts[host].carrier[on] = up;
                self.hosts[host].tell(Told::Reconsider);
            }
            Fault::Track { host, place, tracked } => {
                self.hosts[host].tracked.insert(place, tracked);
                self.hosts[host].tell(Told::Reconsider);
            }
            Fault::Stall { host, span } => {
                self.hosts[host].stalled_until = self.hosts[host].stalled_until.max(now.after(span));
            }
            Fault::Freeze { host, span } => {
                let until = now.after(span);
                self.hosts[host].frozen_until = self.hosts[host].frozen_until.max(until);
                self.thaw_at(host, until.after(Span(1)));
                return Ok(());
            }
            Fault::Partition { on, sides } => {
                self.sides[on] = sides;
                return Ok(());
            }
            Fault::Weather { loss, delay } => {
                (self.loss, self.delay) = (loss, delay);
                return Ok(());
            }
            Fault::Hold { host, kind, span } => {
                let hold = kind.map(|kind| Hold { kind, until: now.after(span) });
                self.hosts[host].tell(Told::Hold(hold));
            }
            Fault::Detach { host, on } => self.hosts[host].kernel.detach(Self::interface(on)),
        }
        let (Fault::Stop { host }
        | Fault::Reload { host, .. }
        | Fault::Carrier { host, .. }
        | Fault::Track { host, .. }
        | Fault::Stall { host, .. }
        | Fault::Hold { host, .. }
        | Fault::Detach { host, .. }) = fault
        else {
            return Ok(());
        };
        self.wake_soon(host);
        Ok(())
    }

    fn change(&mut self, host: usize, change: Change) {
        let file = &mut self.hosts[host].file;
        match change {
            Change::Nothing => {}
            Change::Back => file.clone_from(&self.files[host]),
            Change::Interval(interval) => file.iter_mut().for_each(|of| of.params.interval = interval),
            Change::Priority(priority) => {
                let priority = Priority::new(priority).unwrap_or(Priority::DEFAULT);
                file.iter_mut().for_each(|of| of.priority = priority);
            }
            Change::Preempt(preempt) => file.iter_mut().for_each(|of| of.params.preempt = preempt),
            Change::Fast(fast) => file.iter_mut().for_each(|of| of.fast = fast),
            Change::Password(password) => file.iter_mut().for_each(|of| of.password = password),
            Change::Without(n) => {
                if n < file.len() && file.len() > 1 {
                    file.remove(n);
                }
            }
            Change::Ungrouped => file.iter_mut().for_each(|of| of.group = None),
        }
    }
}

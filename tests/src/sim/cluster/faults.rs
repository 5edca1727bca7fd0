//! What befalls a cluster.

use ha_common::node::{Hold, HoldKind, InterfaceId};
use ha_common::time::Span;
use ha_common::types::Priority;

pub(in crate::sim) use super::host::Tracked;
pub(in crate::sim) use super::wire::Weather;

use super::host::{Host, Told};
use super::world::World;
use crate::sim::place::Place;

/// What is changed in a host's file before it is told to reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sim) enum Change {
    Nothing,
    /// Back to what all files say.
    Back,
    Interval(Span),
    Priority(u8),
    Preempt(bool),
    Fast(bool),
    Address(u8),
    /// The n-th instance is gone.
    Without(usize),
    /// No sync groups.
    Ungrouped,
}

/// One fault. Hosts by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sim) enum Fault {
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
    Weather(Weather),
    /// Its operator holds all of its virtual routers, or lets them go.
    Hold {
        host: usize,
        kind: Option<HoldKind>,
        span: Span,
    },
    /// Somebody takes the program off an interface.
    Detach {
        host: usize,
        on: InterfaceId,
    },
}

impl World {
    /// Does it, unless the cluster is to be spared it.
    pub(in crate::sim) fn befall(&mut self, fault: Fault) -> Result<(), String> {
        let number = self.faults;
        self.faults += 1;
        if self.spared.contains(number) {
            return Ok(());
        }
        self.note(|| format!("** {fault:?}"));
        self.strike(fault)
    }

    /// Does it, whatever is to be spared: what ends a fault is none.
    pub(in crate::sim) fn strike(&mut self, fault: Fault) -> Result<(), String> {
        let now = self.now;
        let woken = match fault {
            Fault::Start { host } => self.start(host)?.then_some(host),
            Fault::Stop { host } => Some(self.tell(host, Told::Stop)),
            Fault::Kill { host } => {
                self.act(host, Host::kill)?;
                None
            }
            Fault::Die { host } => {
                self.act(host, Host::die)?;
                None
            }
            Fault::Restart { host, takes } => {
                if self.hosts[host].daemon.is_some() && !self.hosts[host].stands_still(now) {
                    self.act(host, Host::leave)?;
                    self.plan_end(now.after(takes), Fault::Start { host });
                }
                None
            }
            Fault::Reload { host, change } => {
                self.change(host, change);
                self.stats.reloads += 1;
                Some(self.tell(host, Told::Reload))
            }
            Fault::Carrier { host, on, up } => {
                self.hosts[host].carrier[on] = up;
                Some(self.tell(host, Told::Reconsider))
            }
            Fault::Track { host, place, tracked } => {
                self.hosts[host].tracked.insert(place, tracked);
                Some(self.tell(host, Told::Reconsider))
            }
            Fault::Stall { host, span } => {
                self.hosts[host].stalled_until = self.hosts[host].stalled_until.max(now.after(span));
                Some(host)
            }
            Fault::Freeze { host, span } => {
                self.freeze(host, span);
                None
            }
            Fault::Partition { on, sides } => {
                self.wires.sides[on] = sides;
                None
            }
            Fault::Weather(weather) => {
                self.wires.weather = weather;
                None
            }
            Fault::Hold { host, kind, span } => {
                let hold = kind.map(|kind| Hold { kind, until: now.after(span) });
                Some(self.tell(host, Told::Hold(hold)))
            }
            Fault::Detach { host, on } => {
                self.hosts[host].kernel.detach(on);
                Some(host)
            }
        };
        if let Some(host) = woken {
            self.wake_soon(host);
        }
        Ok(())
    }

    /// Starts a host's daemon, unless it runs or the host stands still. Whether it was started.
    fn start(&mut self, host: usize) -> Result<bool, String> {
        let able = self.hosts[host].daemon.is_none() && self.hosts[host].frozen_until <= self.now;
        if able {
            self.hosts[host].powered = true;
            self.act(host, Host::start)?;
        }
        Ok(able)
    }

    /// Tells a host's daemon something; it reads that when it has the CPU.
    fn tell(&mut self, host: usize, what: Told) -> usize {
        self.hosts[host].tell(what);
        host
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
            Change::Address(address) => file.iter_mut().for_each(|of| of.address = address),
            Change::Without(n) => {
                if n < file.len() && file.len() > 1 {
                    file.remove(n);
                }
            }
            Change::Ungrouped => file.iter_mut().for_each(|of| of.group = None),
        }
    }
}

//! The switch: which port a MAC address was last seen at, and what is wrong with the cables.
//!
//! What must not live here: what a frame says. Hosts, clients and the stranger have a port each.

use ha_common::time::{Span, Time};

use super::world::HOSTS;
use crate::sim::kernel::PROBERS;

/// Clients, at most.
pub(super) const CLIENTS: usize = 2;

/// The port of the stranger.
pub(super) const STRANGER: usize = HOSTS + CLIENTS;

/// Ports.
pub(super) const PORTS: usize = STRANGER + 1;
const _: () = assert!(PORTS <= PROBERS);

/// An entry that was not used for so long is gone.
const AGEING: Span = Span::from_secs(300);

/// A MAC address: that of the port of this number, or the virtual one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mac(pub(super) usize);

impl Mac {
    pub(super) const VIRTUAL: Self = Self(PORTS);
}

/// Where a frame goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum To {
    All,
    One(Mac),
}

/// What is wrong with one direction of a cable.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Trouble {
    /// Frames are lost until then.
    pub(super) cut_until: Time,
    /// Frames are held until then.
    pub(super) held_until: Time,
}

impl Trouble {
    pub(super) fn over(&self) -> Time {
        self.cut_until.max(self.held_until)
    }
}

/// A port, seen from whoever is connected to it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Port {
    pub(super) inward: Trouble,
    pub(super) outward: Trouble,
}

#[derive(Debug, Default)]
pub(super) struct Switch {
    pub(super) ports: [Port; PORTS],
    table: [Option<(usize, Time)>; PORTS + 1],
}

impl Switch {
    /// A frame from this address has come in.
    pub(super) const fn learn(&mut self, mac: Mac, port: usize, now: Time) {
        self.table[mac.0] = Some((port, now));
    }

    /// Where frames to this address go; `None` for everywhere.
    pub(super) fn port(&self, mac: Mac, now: Time) -> Option<usize> {
        self.table[mac.0].filter(|(_, seen)| now.span_since(*seen) < AGEING).map(|(port, _)| port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_where_it_was_last_seen_and_is_forgotten() {
        let mut switch = Switch::default();
        assert_eq!(switch.port(Mac::VIRTUAL, Time(0)), None);
        switch.learn(Mac::VIRTUAL, 1, Time(0));
        switch.learn(Mac::VIRTUAL, 2, Time(1));
        assert_eq!(switch.port(Mac::VIRTUAL, Time(2)), Some(2));
        assert_eq!(switch.port(Mac::VIRTUAL, Time(1).after(AGEING)), None);
    }
}

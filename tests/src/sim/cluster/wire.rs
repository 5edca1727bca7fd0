//! The wires: who hears whom, and what happens to a frame on its way.

use ha_common::time::{Span, Time};

use super::world::{Event, World};
use crate::sim::letter::Letter;
use crate::sim::place::{HOSTS, INTERFACES, label};

/// What the network does to frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::sim) struct Weather {
    /// In a hundred.
    pub(in crate::sim) loss: u64,
    pub(in crate::sim) duplication: u64,
    pub(in crate::sim) delay: Span,
}

/// The wires of a cluster.
#[derive(Debug, Default)]
pub(super) struct Wires {
    pub(super) weather: Weather,
    /// On each interface, hosts whose bits are equal hear each other.
    pub(super) sides: [u8; INTERFACES],
    /// When the latest frame arrives that one host sent to another.
    latest: [[Time; HOSTS]; HOSTS],
}

impl World {
    pub(super) fn broadcast(&mut self, from: usize, letter: Letter) {
        let on = letter.place.0.0 as usize;
        self.note(|| format!("h{from} {} sends {}", label(letter.place), letter.priority));
        if !self.hosts[from].carrier[on] {
            return;
        }
        let side = |id: usize| (self.wires.sides[on] >> id) & 1;
        let hearers: Vec<usize> =
            (0..self.hosts.len()).filter(|&to| to != from && side(to) == side(from)).collect();
        let letter = self.keep(letter);
        let Weather { loss, duplication, delay } = self.wires.weather;
        for to in hearers {
            if self.noise.chance(loss) {
                continue;
            }
            for _ in 0..1 + u64::from(self.noise.chance(duplication)) {
                let wire = self.noise.span(Span::from_micros(50), Span::from_micros(500));
                let mut at = self.now.after(wire).after(self.noise.span(Span::ZERO, delay));
                if delay == Span::ZERO {
                    // A switch in good health keeps the order.
                    at = at.max(self.wires.latest[from][to].after(Span(1)));
                    self.wires.latest[from][to] = at;
                }
                self.push(at, Event::Arrive { to, letter, held: false });
            }
        }
    }
}

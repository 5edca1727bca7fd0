//! What was seen before: the round trips of each peer. Bounded.

use std::collections::{BTreeMap, VecDeque};

use crate::control::protocol::Status;

/// Wider than any terminal's curve.
const KEPT: usize = 240;

/// One round trip each time somebody looked; `None` where nothing was measured.
pub(super) type Curve = VecDeque<Option<u64>>;

/// By interface and address.
type Peer = (String, String);

/// What was seen.
#[derive(Debug, Default)]
pub(super) struct History {
    /// In microseconds.
    round_trips: BTreeMap<Peer, Curve>,
}

impl History {
    /// Takes what a look has shown.
    pub(super) fn add(&mut self, status: &Status) {
        let mut seen: BTreeMap<Peer, u64> = BTreeMap::new();
        for interface in &status.interfaces {
            for peer in interface.peers.iter().filter(|peer| peer.fast && peer.answered > 0) {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "microseconds; a float beyond the integers saturates"
                )]
                let micros = peer.rtt_median_us.max(0.0).round() as u64;
                seen.insert((interface.name.clone(), peer.address.clone()), micros);
            }
        }
        self.round_trips.retain(|peer, curve| seen.contains_key(peer) || curve.iter().any(Option::is_some));
        for peer in seen.keys() {
            self.round_trips.entry(peer.clone()).or_default();
        }
        for (peer, curve) in &mut self.round_trips {
            push(curve, seen.get(peer).copied());
        }
    }

    /// Nobody answered.
    pub(super) fn gap(&mut self) {
        for curve in self.round_trips.values_mut() {
            push(curve, None);
        }
    }

    /// The round trips of a peer, oldest first.
    pub(super) fn round_trips(&self, interface: &str, address: &str) -> Option<&Curve> {
        self.round_trips.get(&(interface.to_owned(), address.to_owned()))
    }
}

fn push(curve: &mut Curve, value: Option<u64>) {
    if curve.len() == KEPT {
        curve.pop_front();
    }
    curve.push_back(value);
}

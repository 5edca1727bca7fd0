//! A stranger on the network: adverts of others, and probes, of whoever does not know the secret.
//!
//! What is promised is in docs/security.md: without the secret, nothing changes. Here the stranger's frames are bytes, which
//! meet the checks of the daemon and of the XDP program. It has a port and a MAC address of its own: whoever sends in another's
//! MAC address, or answers ARP for the addresses, needs no VRRP.

use ha_common::packet::Auth;
use ha_common::probe::{
    self, Addresses, Body, FIRST_FORMAT, FORMAT, Masters, Probe, is_probe, is_sealed, number, wanted,
};
use ha_common::rank::bid;
use ha_common::time::{Span, Time};
use ha_common::types::{Centis, Version};

use super::host::{Ways, vrid};
use super::switch::{Mac, STRANGER, To};
use super::world::{Event, Frame, World};
use crate::sim::kernel::{Probed, proof};
use crate::sim::letter::Letter;
use crate::sim::place::{ON, host_with, last_byte};

/// Last byte of the stranger's own address.
const UNKNOWN: u8 = 66;

/// Last byte of a virtual address of somebody else's.
const THEIRS: u8 = 200;

/// What the stranger does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attack {
    /// Adverts without the password, or with another.
    WrongPassword,
    /// Adverts of the other version.
    OtherVersion,
    /// Another cluster that has the VRID.
    ForeignCluster,
    /// Adverts with everything that the cluster's have, from an address that is not listed.
    Unlisted,
    /// The same where no addresses are listed, with the lowest priority.
    Lowest,
    /// The same with the highest.
    Highest,
    /// Probes.
    Probes { steady: bool },
    /// Probes of a host of the cluster, once more.
    Replay,
}

#[derive(Debug, Default)]
pub(super) struct Stranger {
    attack: Option<Attack>,
    pace: Span,
    pub(super) until: Time,
    /// What it has sent, and between which addresses.
    probes: Vec<(Body, Addresses)>,
    incarnation: u64,
}

/// Attacks that change nothing, whatever state the cluster is in.
pub(super) fn harmless(ways: &Ways) -> Vec<Attack> {
    let mut attacks = vec![Attack::OtherVersion, Attack::ForeignCluster, Attack::Probes { steady: false }];
    if ways.version == Version::V2 {
        attacks.push(Attack::WrongPassword);
    }
    if ways.listed {
        attacks.push(Attack::Unlisted);
    }
    attacks
}

impl World {
    /// From now on the stranger does this, for a while.
    pub(super) fn attack(&mut self, attack: Attack, span: Span) {
        self.note(format!("** {attack:?} for {} ms", span.0 / 1_000_000));
        self.stats.attacks += 1;
        let pace = match attack {
            // Slow enough for the budgets of frames that daemons look at, even where a port holds them for a second.
            Attack::Probes { steady: false } => Span::from_millis(150),
            Attack::Probes { steady: true } | Attack::Replay => {
                Span::from_millis(self.noise.pick(&[1, 2, 10]))
            }
            _ => Span::from_millis(self.noise.pick(&[50, 100])),
        };
        let until = self.now.after(span);
        let idle = self.stranger.until <= self.now;
        let incarnation = self.noise.next() | 1;
        let stranger = &mut self.stranger;
        (stranger.attack, stranger.pace, stranger.until) = (Some(attack), pace, until);
        stranger.incarnation = incarnation;
        if idle {
            stranger.probes.clear();
            self.push(self.now, Event::Stranger);
        }
    }

    /// The stranger sends its next frame.
    pub(super) fn strange(&mut self) {
        let Some(attack) = self.stranger.attack.filter(|_| self.now < self.stranger.until) else {
            self.stranger.attack = None;
            return;
        };
        let host = self.noise.index(self.hosts.len());
        match attack {
            Attack::Probes { .. } => self.probe(host, None),
            Attack::Replay => {
                let other = (host + 1 + self.noise.index(self.hosts.len() - 1)) % self.hosts.len();
                self.probe(host, Some(other));
            }
            _ => {
                let letter = self.forge(attack);
                self.send(STRANGER, Mac(STRANGER), To::All, Frame::Advert { letter });
            }
        }
        let pace = self.stranger.pace;
        let next = match attack {
            Attack::Probes { steady: false } => pace,
            _ => self.noise.span(Span(pace.0 / 2), Span(pace.0 * 3 / 2)),
        };
        self.push(self.now.after(next), Event::Stranger);
    }

    fn forge(&mut self, attack: Attack) -> Letter {
        let ours = Letter::of(&self.hosts[0].terms(), 0, 0);
        let priority = self.noise.pick(&[0, 1, 50, 100, 100, 150, 254, 255]);
        let anybody = self.noise.pick(&[UNKNOWN, UNKNOWN, last_byte(0), last_byte(1)]);
        let theirs = Letter { priority, source: anybody, ..ours };
        match attack {
            Attack::WrongPassword => {
                Letter { auth: self.noise.pick(&[Auth::None, Auth::Password(*b"secres\0\0")]), ..theirs }
            }
            Attack::OtherVersion => {
                let (version, auth) = match ours.version {
                    Version::V2 => (Version::V3, Auth::None),
                    Version::V3 => (Version::V2, Auth::None),
                };
                Letter { version, auth, interval: Centis::DEFAULT, ..theirs }
            }
            Attack::ForeignCluster => Letter { address: THEIRS, ..theirs },
            Attack::Unlisted => Letter { source: UNKNOWN, ..theirs },
            Attack::Lowest => Letter { source: UNKNOWN, priority: 1, ..theirs },
            Attack::Highest => Letter { source: UNKNOWN, priority: 255, ..theirs },
            Attack::Probes { .. } | Attack::Replay => theirs,
        }
    }

    /// A probe to a host: one of another host's that was sent before, or one of the stranger's own.
    fn probe(&mut self, host: usize, of: Option<usize>) {
        let secret = self.hosts[host].ways.secret;
        let (from, format, key) = match of {
            Some(of) => (last_byte(of), FORMAT, secret.and_then(|secret| secret.key(FORMAT))),
            None => {
                (UNKNOWN, self.noise.pick(&[FIRST_FORMAT, FORMAT]), self.noise.pick(&[None, Some([1, 2])]))
            }
        };
        let incarnation = |id: usize| self.hosts[id].daemon.as_ref().map(|daemon| daemon.incarnation);
        let prober = of.map_or(Some(self.stranger.incarnation), incarnation).unwrap_or(1);
        // What is replayed has been sent.
        let sent = |id: usize| {
            self.hosts[id].daemon.as_ref().map_or(0, |daemon| daemon.liveness.judges[host].sequence())
        };
        let sequence = (self.stranger.probes.len() as u64 + 1).min(of.map_or(u64::MAX, sent));
        if sequence == 0 {
            return;
        }
        let mut masters = Masters::ALL;
        if format == FIRST_FORMAT {
            masters = Masters::NONE;
        }
        let addresses =
            Addresses::V4 { source: [172, 16, 1, from], destination: [172, 16, 1, last_byte(host)] };
        let probe = Probe { slot: 0, sequence, prober, format, wanted: masters, priority: 0 };
        self.stranger.probes.push((probe.emit(key, &addresses), addresses));
        let probe = self.stranger.probes.len() - 1;
        self.send(STRANGER, Mac(STRANGER), To::One(Mac(host)), Frame::Foreign { probe });
    }

    /// The XDP program of a host looks at a probe of the stranger's.
    pub(super) fn answer_stranger(&mut self, to: usize, probe: usize) {
        let Some((body, addresses)) = self.stranger.probes.get(probe) else { return };
        let host = &mut self.hosts[to];
        let key = host.ways.secret.and_then(|secret| secret.key(body[probe::AT_FORMAT]));
        if !is_probe(body) || !is_sealed(body, key, addresses) || !wanted(body).has(vrid()) {
            return;
        }
        let from = match addresses {
            Addresses::V4 { source: [.., last], .. } => host_with(*last),
            Addresses::V6 { .. } => None,
        };
        let (sequence, prober) = (number(body, probe::AT_SEQUENCE), number(body, probe::AT_PROBER));
        let from = from.unwrap_or(STRANGER);
        let proof = proof(host.ways.secret, body[probe::AT_FORMAT]);
        // A stranger would like to be the first.
        let bid = bid(u8::MAX, u32::MAX);
        let probed = Probed { from, proof, bid, sequence, prober };
        if let Some(answer) = host.kernel.reflect(ON, probed, self.now) {
            let reply = Frame::Reply { from: to, prober, answer };
            self.send(to, Mac(to), To::One(Mac(STRANGER)), reply);
        }
    }
}

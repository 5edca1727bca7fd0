//! How frames travel: out of a port, through the switch, into others, and what their receivers' kernels do with them.

use ha_common::judge::Answered;
use ha_common::probe::FORMAT;
use ha_common::time::{Span, Time};

use super::client::Arp;
use super::host::place;
use super::switch::{CLIENTS, Mac, PORTS, To};
use super::world::{Event, Frame, HOSTS, Weather, World};
use crate::sim::kernel::{Probed, proof};
use crate::sim::place::ON;

/// Frames that the card of a frozen host holds.
const CARD: usize = 256;

/// What happens between two ports inside of the network.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Link {
    /// Frames are lost until then.
    pub(super) cut_until: Time,
    /// Frames are held until then.
    pub(super) held_until: Time,
    /// Latest arrival: good switches keep the order.
    latest: Time,
}

impl World {
    /// A frame leaves through a port.
    pub(super) fn send(&mut self, from: usize, mac: Mac, to: To, frame: Frame) {
        if let Some(host) = self.hosts.get(from)
            && (host.frozen_until > self.now || !host.powered)
        {
            return;
        }
        let outward = self.switch.ports[from].outward;
        if outward.cut_until > self.now {
            return;
        }
        if outward.held_until > self.now {
            self.push(outward.held_until, Event::Enter { from, mac, to, frame });
        } else {
            self.enter(from, mac, to, frame);
        }
    }

    /// A frame reaches the switch.
    pub(super) fn enter(&mut self, from: usize, mac: Mac, to: To, frame: Frame) {
        self.switch.learn(mac, from, self.now);
        let port = match to {
            To::One(mac) => self.switch.port(mac, self.now),
            To::All => None,
        };
        let ports = port.map_or(0..PORTS, |port| port..port + 1);
        for port in ports {
            if port != from && self.takes(port, to, &frame) {
                self.deliver(from, port, frame);
            }
        }
    }

    /// Whether whoever is at this port looks at such a frame.
    fn takes(&self, port: usize, to: To, frame: &Frame) -> bool {
        let host = self.hosts.get(port);
        let own = match to {
            To::All => true,
            To::One(Mac::VIRTUAL) => host.is_some_and(|host| host.ways.virtual_mac),
            To::One(mac) => mac == Mac(port),
        };
        let client = (HOSTS..HOSTS + self.clients.len()).contains(&port);
        own && match frame {
            Frame::Arp { kind: Arp::Gratuitous | Arp::Answer, .. } => client,
            _ => host.is_some(),
        }
    }

    fn deliver(&mut self, from: usize, to: usize, frame: Frame) {
        let Weather { latency, late, loss, duplication, .. } = self.weather;
        let link = self.links[from][to];
        let inward = self.switch.ports[to].inward;
        if link.cut_until > self.now || inward.cut_until > self.now || self.noise.below(1000) < loss {
            return;
        }
        for _ in 0..1 + u64::from(self.noise.below(1000) < duplication) {
            let mut at = self.now.after(self.noise.span(Span(latency.0 / 4), latency));
            if self.noise.below(1000) < late.0 {
                at = at.after(self.noise.span(Span::ZERO, late.1));
            } else if loss == 0 {
                at = at.max(self.links[from][to].latest.after(Span(1)));
                self.links[from][to].latest = at;
            }
            at = at.max(link.held_until).max(inward.held_until);
            self.push(at, Event::Arrive { to, frame });
        }
    }

    pub(super) fn arrive(&mut self, to: usize, frame: Frame) {
        if to < HOSTS {
            self.arrive_at_host(to, frame);
        } else if to < HOSTS + CLIENTS
            && let Frame::Arp { kind, mac, .. } = frame
        {
            self.note_arrival(to, frame);
            self.clients[to - HOSTS].hear(kind, mac, self.now);
        }
    }

    fn arrive_at_host(&mut self, to: usize, frame: Frame) {
        let now = self.now;
        let host = &mut self.hosts[to];
        if !host.powered {
            return;
        }
        if host.frozen_until > now {
            // Whoever sends to the address notices, and whoever asks for it asks again.
            let dull = matches!(frame, Frame::Data { .. } | Frame::Arp { .. });
            if !dull && host.card.len() < CARD {
                host.card.push(frame);
            } else if !dull {
                self.reach.disturb(now);
            }
            return;
        }
        match frame {
            Frame::Advert { letter } => {
                if host.hear(letter, now) {
                    self.wake_main(to);
                }
                self.note_arrival(to, frame);
            }
            Frame::Probe { from, bid, sequence, prober } => {
                let proof = proof(host.ways.secret, FORMAT);
                let probed = Probed { from, proof, bid, sequence, prober };
                if let Some(answer) = host.kernel.reflect(ON, probed, now) {
                    let reply = Frame::Reply { from: to, prober, answer };
                    self.send(to, Mac(to), To::One(Mac(from)), reply);
                }
            }
            Frame::Reply { from, prober, answer } => {
                let Some(daemon) = &host.daemon else { return };
                let newest = host.kernel.replies[from].map_or(0, |reply| reply.sequence);
                if daemon.incarnation == prober && answer.sequence > newest {
                    host.kernel.replies[from] = Some(Answered { at: now, ..answer });
                }
            }
            Frame::Foreign { probe } => self.answer_stranger(to, probe),
            Frame::Arp { kind: Arp::Solicitation, from, .. } => {
                if host.answers(now) {
                    let mac = host.mac();
                    let answer = Frame::Arp { kind: Arp::Answer, from: to, mac };
                    self.send(to, mac, To::One(Mac(from)), answer);
                }
            }
            Frame::Arp { .. } => {}
            Frame::Data { from, sent } => {
                if host.kernel.takes(place(), now) {
                    self.reached(from, to, sent);
                }
            }
        }
    }
}

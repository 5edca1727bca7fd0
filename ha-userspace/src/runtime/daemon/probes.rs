//! Probes that come through sockets: this loop answers them where no XDP program does.

use ha_common::counter::Counter;
use ha_common::packet::Endpoints;
use ha_common::probe::{self, Addresses, Answer, Body, Keys};

use super::Daemon;
use crate::net::clock;
use crate::runtime::receive::Frame;
use crate::runtime::router::interface_id;
use crate::runtime::senders::Packet;

impl Daemon {
    /// Answers a probe that came through a socket, for lack of XDP; the reply says so. True where there was one.
    ///
    /// The rules are those of the XDP program, except for the destination's MAC address, which the kernel has checked.
    /// There is no fence without XDP; but a daemon that is dead or frozen answers no probes either.
    pub(super) fn answer_probe(&mut self, interface: usize, frame: &Frame) -> bool {
        let Some(bytes) = frame.pdu.as_array::<{ probe::LEN }>() else { return false };
        let body = &Body::from(*bytes);
        let routers = self.routers.on(interface);
        let family = frame.endpoints.family();
        let masters = self.node.masters(interface_id(interface), family);
        // Who takes no part says so: its silence would be judged, if it took part before.
        let (mut asked, mut apart) = (false, true);
        for router in routers {
            asked = true;
            apart &= !router.config.fast.enabled;
        }
        let addresses = match frame.endpoints {
            Endpoints::V4 { source, destination } => {
                Addresses::V4 { source: source.octets(), destination: destination.octets() }
            }
            Endpoints::V6 { source, destination } => {
                Addresses::V6 { source: source.octets(), destination: destination.octets() }
            }
        };
        let on = &mut self.interfaces[interface];
        let (from, to) = (frame.endpoints.source(), frame.endpoints.destination());
        if !asked || !probe::is_probe(body) || frame.ttl != probe::HOP_LIMIT || !on.own.contains(&to) {
            on.receive.count(Counter::ProbeRejected);
            return true;
        }
        let now = clock::now();
        let keys = on.keys.unwrap_or(Keys::NONE);
        let (current, other) = keys.of_format(body[probe::AT_FORMAT], now);
        let fits = |key: &Option<probe::Key>| probe::is_sealed(body, *key, &addresses);
        let Some(key) = [Some(current), other].into_iter().flatten().find(fits) else {
            on.receive.count(Counter::ProbeTag);
            return true;
        };
        let standing = match body[probe::AT_PRIORITY] {
            0 => None,
            priority => Some(on.rank(from, priority, now)),
        };
        let (rank, ranked) = standing.map_or((0, 0), |standing| (standing.rank, standing.flag(true)));
        let mut reply = *body;
        let lease_ns = self.node.lease_length(interface_id(interface)).0;
        let responder = self.interfaces.setup.incarnation;
        let farewell = key != current && keys.is_farewell(now);
        let flags = probe::flags_of_daemon(apart, self.life.is_restarting(), farewell) | ranked;
        probe::reflect(&mut reply, &Answer { flags, responder, lease_ns, masters, rank });
        probe::seal(&mut reply, key, &addresses.swapped());
        let on = &mut self.interfaces[interface];
        on.receive.count(Counter::ProbeAnswered);
        if let Some(endpoints) = Endpoints::new(to, from) {
            on.senders.queue(Packet::Reply, None, endpoints, probe::HOP_LIMIT, &*reply);
        }
        true
    }

    /// Answers all probes that are queued in sockets, and judges nothing.
    pub(super) fn answer_probes(&mut self) {
        for at in 0..self.interfaces.len() {
            if self.interfaces[at].xdp().is_some() {
                continue;
            }
            let frames = self.interfaces.drain(at);
            for frame in frames.iter().filter(|frame| frame.pdu.first() == Some(&probe::PROBE)) {
                self.answer_probe(at, frame);
            }
            self.interfaces.done_with(frames);
        }
        self.send_adverts();
    }
}

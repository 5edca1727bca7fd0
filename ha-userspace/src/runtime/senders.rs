//! How adverts, and replies to probes, go out through one interface.

use std::net::Ipv4Addr;

use ha_common::node::RouterId;
use ha_common::packet::Endpoints;
use ha_common::types::Family;

use super::router::{Outgoing, Router};
use crate::net::advert_tx::AdvertTx;
use crate::net::error::{SendFailure, SocketError};

/// What is sent, to know it again where it is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packet {
    Advert(RouterId),
    /// To a probe. Whoever probes asks again.
    Reply,
}

/// A sender for each family, and one for each virtual MAC address.
#[derive(Debug, Default)]
pub(super) struct Senders(Vec<AdvertTx<Packet>>);

impl Senders {
    /// Makes sure that packets of a family can be sent, from a MAC address or from the interface's own.
    ///
    /// # Errors
    /// As the system calls.
    pub(super) fn open(
        &mut self,
        index: u32,
        family: Family,
        mac: Option<[u8; 6]>,
    ) -> Result<(), SocketError> {
        if self.find(family, mac).is_none() {
            self.0.push(match mac {
                Some(mac) => AdvertTx::open_link(index, family, mac)?,
                None => AdvertTx::open(index, family)?,
            });
        }
        Ok(())
    }

    /// Queues an advert, one packet for each destination.
    pub(super) fn queue_advert(&mut self, router: &mut Router, priority: u8) {
        let (mac, what) = (router.virtual_mac, Packet::Advert(router.id));
        router.adverts(priority, |advert| match advert {
            Outgoing::Pdu { endpoints, ttl, pdu } => self.queue(what, mac, endpoints, ttl, pdu),
            Outgoing::Packet { destination, packet } => self.queue_packet(what, destination, packet),
        });
    }

    /// Queues a packet. `mac`: the virtual MAC address that it is to come from.
    pub(super) fn queue(
        &mut self,
        what: Packet,
        mac: Option<[u8; 6]>,
        endpoints: Endpoints,
        ttl: u8,
        pdu: &[u8],
    ) {
        if let Some(sender) = self.find(endpoints.family(), mac) {
            // The family fits, and no advert is longer than an IP packet.
            let _ = sender.queue(what, endpoints, ttl, pdu);
        }
    }

    /// The same for an IPv4 packet that is complete with its header.
    fn queue_packet(&mut self, what: Packet, destination: Ipv4Addr, packet: &[u8]) {
        if let Some(sender) = self.0.iter_mut().find(|sender| sender.family() == Family::V4) {
            let _ = sender.queue_packet(what, destination, packet);
        }
    }

    /// Sends everything that is queued with one system call for each sender.
    pub(super) fn flush(&mut self) -> impl Iterator<Item = SendFailure<Packet>> {
        self.0.iter_mut().flat_map(AdvertTx::flush)
    }

    fn find(&mut self, family: Family, mac: Option<[u8; 6]>) -> Option<&mut AdvertTx<Packet>> {
        self.0.iter_mut().find(|sender| (sender.family(), sender.mac()) == (family, mac))
    }
}

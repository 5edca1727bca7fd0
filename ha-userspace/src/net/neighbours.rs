//! The kernel's table of neighbours: which MAC address an address on a link really has.
//!
//! Adverts of a router with a virtual MAC address come from that address, which moves with the role. A probe must go
//! to the router itself.

use std::net::IpAddr;

use netlink_packet_core::NLM_F_CREATE;
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::error::SocketError;
use super::netlink::{Socket, write};

/// A netlink socket for neighbours.
#[derive(Debug)]
pub struct Neighbours {
    socket: Socket,
}

impl Neighbours {
    /// Opens the socket.
    ///
    /// # Errors
    /// No netlink.
    pub fn open() -> Result<Self, SocketError> {
        Ok(Self { socket: Socket::open("reading neighbours")? })
    }

    /// The MAC address of a neighbour, where the kernel knows it. Where it does not, it begins to find out.
    pub fn resolve(&mut self, ifindex: u32, address: IpAddr) -> Option<[u8; 6]> {
        let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
        let mut request = NeighbourMessage::default();
        request.header.family = family;
        let destination = match address {
            IpAddr::V4(address) => NeighbourAddress::Inet(address),
            IpAddr::V6(address) => NeighbourAddress::Inet6(address),
        };
        request.header.ifindex = ifindex;
        request.attributes.push(NeighbourAttribute::Destination(destination));
        let known = self.socket.get(RouteNetlinkMessage::GetNeighbour(request.clone()), |message| {
            let RouteNetlinkMessage::NewNeighbour(held) = message else { return None };
            let usable = matches!(
                held.header.state,
                NeighbourState::Reachable
                    | NeighbourState::Stale
                    | NeighbourState::Delay
                    | NeighbourState::Probe
                    | NeighbourState::Permanent
            );
            held.attributes.iter().filter(|_| usable).find_map(|attribute| match attribute {
                NeighbourAttribute::LinkLayerAddress(mac) => mac.as_slice().try_into().ok(),
                _ => None,
            })
        });
        if known.is_none() {
            request.header.flags = NeighbourFlags::Use;
            request.header.state = NeighbourState::None;
            let message = RouteNetlinkMessage::NewNeighbour(request);
            self.socket.exchange(&write(std::iter::once((message, NLM_F_CREATE))));
        }
        known
    }
}

//! Sends liveness probes: whole frames through a packet socket, one at a time, without waiting.

use std::collections::HashMap;

use nix::errno::Errno;
use socket2::{Domain, SockAddr, Socket, Type};

use super::advert_tx::PRIORITY_CONTROL;
use super::error::SocketError;
use super::sys;

/// Sender of probes on any interface.
#[derive(Debug)]
pub struct ProbeTx {
    socket: Socket,
    destinations: HashMap<u32, SockAddr>,
}

impl ProbeTx {
    /// A packet socket that receives nothing.
    ///
    /// # Errors
    /// No permission (CAP_NET_RAW).
    pub fn open() -> Result<Self, SocketError> {
        let at = |step| SocketError::at("sending liveness probes", step);
        let socket =
            Socket::new(Domain::PACKET, Type::RAW.nonblocking(), None).map_err(at("open a packet socket"))?;
        // Through the queue like everything else, so that tcpdump sees it, but in the first band.
        socket.set_priority(PRIORITY_CONTROL).map_err(at("set the priority"))?;
        Ok(Self { socket, destinations: HashMap::new() })
    }

    /// Sends a frame through an interface.
    ///
    /// # Errors
    /// The kernel did not take it: no such interface, down, or its queue is full.
    pub fn send(&mut self, ifindex: u32, frame: &[u8]) -> Result<(), Errno> {
        let destination = self.destinations.entry(ifindex).or_insert_with(|| sys::link_address(ifindex));
        match self.socket.send_to(frame, destination) {
            Ok(_) => Ok(()),
            Err(error) => Err(error.raw_os_error().map_or(Errno::UnknownErrno, Errno::from_raw)),
        }
    }
}

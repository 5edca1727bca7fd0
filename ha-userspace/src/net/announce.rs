//! Sends gratuitous ARP and unsolicited NA frames: one packet socket, a whole burst in one system call.
//!
//! The frames are complete Ethernet frames, built beforehand by `ha_common::arp` and `ha_common::ndp`. One
//! [`Announcer`] serves all interfaces, so the addresses of an instance may live on another device than its
//! adverts travel on (`dev` of a virtual address).

use std::os::fd::AsFd;

use socket2::{Domain, SockAddr, Socket, Type};

use super::advert_tx::{PRIORITY_CONTROL, enlarge_send_buffer};
use super::error::{SendFailure, SocketError};
use super::sys;

/// Sender of link-layer frames on any interface.
#[derive(Debug)]
pub struct Announcer {
    socket: Socket,
}

/// Frames for one interface, kept ready while the router is backup.
#[derive(Clone, Debug)]
pub struct Burst {
    destination: SockAddr,
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Burst {
    /// An empty burst for `ifindex`.
    #[must_use]
    pub fn new(ifindex: u32) -> Self {
        Self { destination: sys::link_address(ifindex), bytes: Vec::new(), ends: Vec::new() }
    }

    /// Adds one Ethernet frame.
    pub fn push(&mut self, frame: &[u8]) {
        self.bytes.extend_from_slice(frame);
        self.ends.push(self.bytes.len());
    }

    /// How many frames there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are no frames.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    fn frames(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, &end)| self.bytes.get(start..end).unwrap_or(&[]))
    }
}

impl Announcer {
    /// A packet socket that receives nothing.
    ///
    /// # Errors
    /// No permission (CAP_NET_RAW).
    pub fn open() -> Result<Self, SocketError> {
        let at = |step| SocketError::at("sending gratuitous ARP and NA", step);
        // packet(7): protocol zero receives nothing.
        let socket = Socket::new(Domain::PACKET, Type::RAW, None).map_err(at("open a packet socket"))?;
        socket.set_priority(PRIORITY_CONTROL).map_err(at("set the priority"))?;
        enlarge_send_buffer(&socket);
        Ok(Self { socket })
    }

    /// Sends all frames of all bursts, in order, with one system call where nothing is refused.
    ///
    /// Never blocks and never retries. `tag` of a failure is the position of the frame, counted through all
    /// bursts from zero.
    pub fn send<'a>(&self, bursts: impl IntoIterator<Item = &'a Burst>) -> Vec<SendFailure<usize>> {
        let mut messages: Vec<sys::Message<'a>> = Vec::new();
        for burst in bursts {
            messages.extend(burst.frames().map(|frame| (frame, &burst.destination)));
        }
        let mut failures = Vec::new();
        sys::send_each(self.socket.as_fd(), &messages, |tag, errno| {
            failures.push(SendFailure { tag, errno })
        });
        failures
    }
}

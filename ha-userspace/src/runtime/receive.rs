//! How packets come in on one interface: through its XDP program, or through raw sockets. And what becomes of each, in
//! numbers.
//!
//! Nothing is judged here.

use std::task::{Context, Poll};

use ha_common::classify::{Origin, parse_ip_packet};
use ha_common::counter::{Counter, JudgedCounters, XdpCounters};
use ha_common::packet::Endpoints;
use ha_common::time::Time;
use ha_common::types::{Family, Vrid};

use crate::net::advert_rx::{AdvertRx, Membership};
use crate::net::error::SocketError;
use crate::xdp::XdpInterface;

/// Frames that are taken from one interface in one go. More than the ring of the XDP program holds.
const DRAIN_LIMIT: usize = 8192;

/// A packet to be judged, from either way of receiving.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) at: Time,
    /// Zero where it came through a socket.
    pub(super) fingerprint: u64,
    pub(super) endpoints: Endpoints,
    pub(super) ttl: u8,
    pub(super) pdu: Vec<u8>,
    /// `None` where it came through a socket.
    pub(super) source_mac: Option<[u8; 6]>,
    /// The whole IP packet, where an authentication header that nobody has checked precedes the PDU. The fingerprint
    /// does not cover that header, and is zero.
    pub(super) authenticated: Option<Vec<u8>>,
    /// It came before this run had the program, and the run before did not look at it any more.
    pub(super) unheard: bool,
}

impl Frame {
    /// Virtual router that the packet claims to be for.
    pub(super) fn router(&self) -> Option<(Family, Vrid)> {
        Some((self.endpoints.family(), Vrid::new(*self.pdu.get(1)?)?))
    }
}

/// What packets come in through.
#[derive(Debug)]
enum Way {
    /// Nothing: the interface does not exist, or sockets failed too.
    Nothing,
    Xdp(Box<XdpInterface>),
    Sockets(Vec<AdvertRx>),
}

/// Receives on one interface.
#[derive(Debug)]
pub(super) struct Receive {
    way: Way,
    members: Vec<(Family, Membership)>,
    member_authenticated: Option<Membership>,
    /// Packets that the sockets lost.
    socket_losses: u64,
    /// What was decided about frames while there is no map to count in, by [`Counter::index`].
    counted: [u64; Counter::COUNT],
}

impl Receive {
    /// Nothing.
    pub(super) const fn nothing() -> Self {
        Self {
            way: Way::Nothing,
            members: Vec::new(),
            member_authenticated: None,
            socket_losses: 0,
            counted: [0; Counter::COUNT],
        }
    }

    /// Sockets from now on, which [`Receive::listen`] opens.
    pub(super) fn use_sockets(&mut self) {
        self.way = Way::Sockets(Vec::new());
    }

    /// The program from now on.
    pub(super) fn use_program(&mut self, program: XdpInterface) {
        self.way = Way::Xdp(Box::new(program));
    }

    /// The program, which goes on without this.
    pub(super) fn into_program(self) -> Option<Box<XdpInterface>> {
        match self.way {
            Way::Xdp(interface) => Some(interface),
            Way::Nothing | Way::Sockets(_) => None,
        }
    }

    /// The XDP program's memory, where there is one.
    pub(super) fn xdp(&self) -> Option<&XdpInterface> {
        match &self.way {
            Way::Xdp(interface) => Some(interface),
            Way::Nothing | Way::Sockets(_) => None,
        }
    }

    /// The same, to change its maps.
    pub(super) fn xdp_mut(&mut self) -> Option<&mut XdpInterface> {
        match &mut self.way {
            Way::Xdp(interface) => Some(interface),
            Way::Nothing | Way::Sockets(_) => None,
        }
    }

    /// Whether replies to probes have come through to the stack since this was asked last.
    pub(super) fn heard_replies(&self) -> bool {
        // All are asked: each forgets what it has heard.
        self.members.iter().filter(|(_, member)| member.heard_replies()).count() > 0
    }

    /// The word for `status`.
    pub(super) fn word(&self) -> &'static str {
        match &self.way {
            Way::Nothing => "nothing",
            Way::Xdp(interface) => interface.attached().word(),
            Way::Sockets(_) => "raw-socket",
        }
    }

    /// Makes sure that adverts of a family come in. `tap`: also those from virtual MAC addresses that interfaces on this
    /// one have too.
    ///
    /// # Errors
    /// As the system calls.
    pub(super) fn listen(&mut self, index: u32, family: Family, tap: bool) -> Result<(), SocketError> {
        match &mut self.way {
            Way::Nothing => {}
            Way::Xdp(_) => {
                if !self.members.iter().any(|(joined, _)| *joined == family) {
                    self.members.push((family, Membership::join(index, family)?));
                }
            }
            Way::Sockets(sockets) => {
                let plain = |socket: &AdvertRx| socket.family() == family && !socket.is_authenticated();
                if !sockets.iter().any(|socket| plain(socket) && socket.is_tap() == tap) {
                    sockets.retain(|socket| !plain(socket));
                    sockets.push(if tap {
                        AdvertRx::open_tap(index, family)?
                    } else {
                        AdvertRx::open(index, family)?
                    });
                }
                if tap && !self.members.iter().any(|(joined, _)| *joined == family) {
                    self.members.push((family, Membership::join(index, family)?));
                }
            }
        }
        Ok(())
    }

    /// The same for adverts behind an authentication header. XDP hands those up as it does others.
    ///
    /// # Errors
    /// As the system calls.
    pub(super) fn listen_authenticated(&mut self, index: u32) -> Result<(), SocketError> {
        match &mut self.way {
            Way::Nothing => {}
            Way::Xdp(_) if self.member_authenticated.is_none() => {
                self.member_authenticated = Some(Membership::join_authenticated(index)?);
            }
            Way::Xdp(_) => {}
            Way::Sockets(sockets) => {
                if !sockets.iter().any(AdvertRx::is_authenticated) {
                    sockets.push(AdvertRx::open_authenticated(index)?);
                }
            }
        }
        Ok(())
    }

    /// Ready when there may be something to drain.
    pub(super) fn poll_readable(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut ready = false;
        match &self.way {
            Way::Nothing => {}
            Way::Xdp(interface) => ready |= interface.events.poll_readable(context).is_ready(),
            Way::Sockets(sockets) => {
                for socket in sockets {
                    ready |= socket.poll_readable(context).is_ready();
                }
            }
        }
        if ready { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Takes all packets that are queued, oldest first.
    pub(super) fn drain(&mut self, frames: &mut Vec<Frame>) {
        match &mut self.way {
            Way::Nothing => {}
            Way::Xdp(interface) => drain_ring(interface, frames),
            Way::Sockets(sockets) => sockets.iter_mut().for_each(|socket| drain_socket(socket, frames)),
        }
    }

    /// How many frames were lost on the way to user space, ever. Costs a system call.
    pub(super) fn lost_frames(&mut self) -> u64 {
        match &mut self.way {
            Way::Nothing => 0,
            Way::Xdp(interface) => interface.counters.read().map_or(0, |counters| counters.ring_full),
            Way::Sockets(sockets) => {
                self.socket_losses +=
                    sockets.iter_mut().map(|socket| u64::from(socket.take_lost())).sum::<u64>();
                self.socket_losses
            }
        }
    }

    /// Counts what user space decided about a frame.
    pub(super) fn count(&mut self, counter: Counter) {
        let here = counter.index() as usize;
        match (&self.way, self.counted.get_mut(here)) {
            (Way::Xdp(interface), _) if here >= XdpCounters::ALL.len() => interface.judged.count(counter),
            (_, Some(count)) => *count += 1,
            (_, None) => {}
        }
    }

    /// Every counter with its value. Costs a system call where there is a program.
    pub(super) fn counters(&self) -> Vec<(Counter, u64)> {
        let Some(interface) = self.xdp() else {
            return Counter::ALL.iter().copied().zip(self.counted).collect();
        };
        let decided: [u64; XdpCounters::ALL.len()] =
            bytemuck::cast(interface.counters.read().unwrap_or_default());
        let judged: [u64; JudgedCounters::ALL.len()] = bytemuck::cast(interface.judged.read());
        // What the program left to user space is counted here: an unknown VRID that was handed up.
        let decided = decided.iter().zip(self.counted).map(|(decided, counted)| decided + counted);
        let both = XdpCounters::ALL.iter().zip(decided).chain(JudgedCounters::ALL.iter().zip(judged));
        both.map(|(counter, value)| (*counter, value)).collect()
    }

    /// Frames of VRRP that were heard, ever.
    pub(super) fn heard(&self) -> u64 {
        self.counters().into_iter().map(|(_, value)| value).sum()
    }
}

fn drain_ring(interface: &mut XdpInterface, frames: &mut Vec<Frame>) {
    let begin = interface.inherited().map_or(Time(0), |inherited| inherited.at);
    let XdpInterface { events, judged, .. } = interface;
    events.drain(DRAIN_LIMIT, |event| match parse_ip_packet(event.packet, Origin::Xdp) {
        Ok(packet) => {
            let whole = event.packet.get(..packet.packet.ip_len).unwrap_or_default();
            let authenticated = packet.packet.authenticated.then(|| whole.to_vec());
            // The fingerprint is one under the key of the run before.
            let unheard = event.at < begin;
            let fingerprint = if unheard || authenticated.is_some() { 0 } else { event.fingerprint };
            frames.push(Frame {
                at: event.at,
                fingerprint,
                unheard,
                endpoints: packet.endpoints,
                ttl: packet.packet.ttl,
                pdu: packet.pdu.to_vec(),
                source_mac: Some(event.source_mac),
                authenticated,
            });
        }
        Err(reason) => judged.count(reason),
    });
}

fn drain_socket(socket: &mut AdvertRx, frames: &mut Vec<Frame>) {
    for _ in 0..DRAIN_LIMIT {
        let Ok(Some(received)) = socket.try_recv() else { break };
        frames.push(Frame {
            at: received.at,
            fingerprint: 0,
            endpoints: received.endpoints,
            ttl: received.ttl,
            pdu: received.pdu,
            source_mac: None,
            authenticated: received.authenticated,
            unheard: false,
        });
    }
}

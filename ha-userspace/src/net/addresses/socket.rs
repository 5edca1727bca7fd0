//! The synchronous netlink socket: one buffer out, the answers in, never waiting for long.

use std::os::fd::AsFd;
use std::time::Duration;

use netlink_packet_core::{
    ErrorMessage, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkBuffer, NetlinkMessage, NetlinkPayload,
    NlasIterator,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::AddressMessage;
use netlink_sys::SocketAddr;
use netlink_sys::protocols::NETLINK_ROUTE;
use nix::errno::Errno;
use nix::sys::socket::{setsockopt, sockopt};
use socket2::SockRef;

use super::wire::{Chunk, Held};
use crate::net::error::SocketError;

/// 1024 messages of up to 150 bytes, doubled by the kernel for its own needs.
const SEND_BUFFER: usize = 512 << 10;
/// 1024 answers at about a kilobyte of kernel memory each.
const RECEIVE_BUFFER: usize = 2 << 20;
/// The kernel works in the sender's context, so the answers are there when the send returns. This is a safety net.
const PATIENCE: Duration = Duration::from_secs(1);
/// Dumps come in datagrams of at most 32 kB (netlink(7)).
const DATAGRAM: usize = 64 << 10;
/// `NLMSGERR_ATTR_MSG`: the kernel's words, behind the header of the refused message.
const ERROR_TEXT: u16 = 1;
const HEADER: usize = 16;
/// Distinct from the numbers of a chunk's messages.
const DUMP_SEQUENCE: u32 = u32::MAX;

/// The kernel's answer to one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Done,
    Refused { errno: Errno, message: Option<String> },
}

impl Answer {
    pub(super) fn errno(&self) -> Option<Errno> {
        match self {
            Self::Done => None,
            Self::Refused { errno, .. } => Some(*errno),
        }
    }
}

#[derive(Debug)]
pub(super) struct Socket {
    socket: netlink_sys::Socket,
    buffer: Vec<u8>,
}

impl Socket {
    pub(super) fn open() -> Result<Self, SocketError> {
        let at = |step| SocketError::at("setting addresses", step);
        let mut socket = netlink_sys::Socket::new(NETLINK_ROUTE).map_err(at("open a netlink socket"))?;
        socket.bind_auto().map_err(at("bind the netlink socket"))?;
        // The answer names the refused message by its number; there is no need to have it sent back.
        socket.set_cap_ack(true).map_err(at("shorten the answers"))?;
        socket.set_ext_ack(true).map_err(at("ask for error texts"))?;
        // Without CAP_NET_ADMIN no address can be set anyway.
        let _ = setsockopt(&socket, sockopt::SndBufForce, &SEND_BUFFER);
        let _ = setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE_BUFFER);
        SockRef::from(&socket.as_fd()).set_read_timeout(Some(PATIENCE)).map_err(at("limit the wait"))?;
        Ok(Self { socket, buffer: vec![0; DATAGRAM] })
    }

    /// Sends each chunk and returns one answer per message, in order.
    pub(super) fn exchange(&mut self, chunks: &[Chunk]) -> Vec<Answer> {
        let mut answers = Vec::new();
        for chunk in chunks {
            let first = answers.len();
            let count = usize::try_from(chunk.count).unwrap_or(0);
            answers.resize(first + count, Answer::Done);
            let Some(part) = answers.get_mut(first..) else { continue };
            if let Err(errno) = self.exchange_one(chunk, part) {
                part.fill(Answer::Refused { errno, message: None });
                self.reopen();
            }
        }
        answers
    }

    /// Messages without an answer went well: only the last one is always answered.
    fn exchange_one(&mut self, chunk: &Chunk, answers: &mut [Answer]) -> nix::Result<()> {
        self.socket.send_to(&chunk.bytes, &SocketAddr::new(0, 0), 0).map_err(to_errno)?;
        // Every datagram answers at least one message.
        for _ in 0..chunk.count {
            let mut over = false;
            self.receive(|message| {
                let NetlinkPayload::Error(error) = &message.payload else { return };
                let number = message.header.sequence_number;
                over |= number == chunk.count;
                let position = usize::try_from(number).ok().and_then(|number| number.checked_sub(1));
                if let (Some(answer), Some(code)) = (position.and_then(|p| answers.get_mut(p)), error.code) {
                    *answer = Answer::Refused {
                        errno: Errno::from_raw(code.get().saturating_abs()),
                        message: words(error),
                    };
                }
            })?;
            if over {
                return Ok(());
            }
        }
        Err(Errno::ETIMEDOUT)
    }

    /// All addresses of the network namespace.
    pub(super) fn dump(&mut self) -> nix::Result<Vec<Held>> {
        // A dump during which the list changed is repeated.
        for _ in 0..3 {
            match self.dump_once() {
                Ok((held, true)) => return Ok(held),
                Ok((_, false)) => {}
                Err(errno) => {
                    self.reopen();
                    return Err(errno);
                }
            }
        }
        Err(Errno::EAGAIN)
    }

    fn dump_once(&mut self) -> nix::Result<(Vec<Held>, bool)> {
        let mut request = NetlinkMessage::from(RouteNetlinkMessage::GetAddress(AddressMessage::default()));
        request.header.flags = NLM_F_REQUEST | NLM_F_DUMP;
        request.header.sequence_number = DUMP_SEQUENCE;
        request.finalize();
        let mut bytes = vec![0; request.buffer_len()];
        request.serialize(&mut bytes);
        self.socket.send_to(&bytes, &SocketAddr::new(0, 0), 0).map_err(to_errno)?;

        let mut held = Vec::new();
        let (mut consistent, mut over, mut failed) = (true, false, None);
        while !over {
            self.receive(|message| {
                if message.header.sequence_number != DUMP_SEQUENCE {
                    return;
                }
                consistent &= message.header.flags & NLM_F_DUMP_INTR == 0;
                match message.payload {
                    NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewAddress(address)) => {
                        held.extend(Held::new(address));
                    }
                    NetlinkPayload::Done(_) => over = true,
                    NetlinkPayload::Error(error) => {
                        over = true;
                        failed = error.code.map(|code| Errno::from_raw(code.get().saturating_abs()));
                    }
                    _ => {}
                }
            })?;
        }
        failed.map_or(Ok((held, consistent)), Err)
    }

    /// Reads one datagram and hands out its messages.
    fn receive(&mut self, mut each: impl FnMut(NetlinkMessage<RouteNetlinkMessage>)) -> nix::Result<()> {
        let length = loop {
            match self.socket.recv(&mut &mut self.buffer[..], 0).map_err(to_errno) {
                Ok(length) => break length,
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return Err(Errno::ETIMEDOUT),
                Err(errno) => return Err(errno),
            }
        };
        let mut rest = self.buffer.get(..length).unwrap_or(&[]);
        while let Ok(header) = NetlinkBuffer::new_checked(rest) {
            let length = usize::try_from(header.length()).unwrap_or(usize::MAX).max(HEADER);
            // A message that the library cannot read is about an address that is none of ours.
            if let Some(Ok(message)) = rest.get(..length).map(NetlinkMessage::deserialize) {
                each(message);
            }
            rest = rest.get(length.next_multiple_of(4)..).unwrap_or(&[]);
        }
        Ok(())
    }

    /// After an exchange that did not end properly a late answer must not be taken for one of the next.
    fn reopen(&mut self) {
        if let Ok(fresh) = Self::open() {
            *self = fresh;
        }
    }
}

/// The text of an extended acknowledgement.
fn words(error: &ErrorMessage) -> Option<String> {
    // With NETLINK_CAP_ACK only the header of the refused message stands before the attributes.
    let attributes = error.header.get(HEADER..)?;
    let text = NlasIterator::new(attributes).flatten().find(|nla| nla.kind() == ERROR_TEXT)?;
    let text = String::from_utf8_lossy(text.value());
    Some(text.trim_end_matches('\0').to_owned()).filter(|text| !text.is_empty())
}

fn to_errno(error: std::io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}

//! The synchronous netlink socket: one buffer out, the answers in, never waiting for long.
//!
//! Addresses, routes, rules and virtual MAC interfaces go through it. It knows nothing of what the messages mean.

use std::os::fd::AsFd;
use std::time::Duration;

use netlink_packet_core::{
    ErrorMessage, NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkBuffer, NetlinkMessage,
    NetlinkPayload, NlasIterator,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::SocketAddr;
use netlink_sys::protocols::NETLINK_ROUTE;
use nix::errno::Errno;
use nix::sys::socket::{setsockopt, sockopt};
use socket2::SockRef;

use super::error::SocketError;

/// Messages in one buffer. The answers to more of them, should all be refused, still fit the receive buffer.
const MAX_MESSAGES: usize = 1024;

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

/// Messages for one sendmsg, numbered from 1; only the last asks for an answer when all went well.
#[derive(Clone, Debug, Default)]
pub(super) struct Chunk {
    pub(super) bytes: Vec<u8>,
    pub(super) count: u32,
}

/// Numbers and serialises messages, each with its flags.
pub(super) fn write(messages: impl Iterator<Item = (RouteNetlinkMessage, u16)>) -> Vec<Chunk> {
    let mut chunks: Vec<Chunk> = Vec::new();
    let mut messages = messages.peekable();
    let mut chunk = Chunk::default();
    while let Some((message, flags)) = messages.next() {
        chunk.count += 1;
        let full = usize::try_from(chunk.count).is_ok_and(|count| count >= MAX_MESSAGES);
        let last = full || messages.peek().is_none();
        let mut message = NetlinkMessage::from(message);
        message.header.flags = NLM_F_REQUEST | flags | if last { NLM_F_ACK } else { 0 };
        message.header.sequence_number = chunk.count;
        message.finalize();
        let start = chunk.bytes.len();
        // Netlink messages are aligned to four bytes.
        chunk.bytes.resize(start + message.buffer_len().next_multiple_of(4), 0);
        if let Some(place) = chunk.bytes.get_mut(start..start + message.buffer_len()) {
            message.serialize(place);
        }
        if last {
            chunks.push(std::mem::take(&mut chunk));
        }
    }
    chunks
}

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
pub(crate) struct Socket {
    thing: &'static str,
    socket: netlink_sys::Socket,
    buffer: Vec<u8>,
}

impl Socket {
    /// `thing` says what it is for, in messages.
    pub(crate) fn open(thing: &'static str) -> Result<Self, SocketError> {
        let at = |step| SocketError::at(thing, step);
        let mut socket = netlink_sys::Socket::new(NETLINK_ROUTE).map_err(at("open a netlink socket"))?;
        socket.bind_auto().map_err(at("bind the netlink socket"))?;
        // The answer names the refused message by its number; there is no need to have it sent back.
        socket.set_cap_ack(true).map_err(at("shorten the answers"))?;
        socket.set_ext_ack(true).map_err(at("ask for error texts"))?;
        // Without CAP_NET_ADMIN no address can be set anyway.
        let _ = setsockopt(&socket, sockopt::SndBufForce, &SEND_BUFFER);
        let _ = setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE_BUFFER);
        SockRef::from(&socket.as_fd()).set_read_timeout(Some(PATIENCE)).map_err(at("limit the wait"))?;
        Ok(Self { thing, socket, buffer: vec![0; DATAGRAM] })
    }

    /// Dumps are of what the request names only (Linux 4.20).
    pub(super) fn set_strict(&mut self, strict: bool) -> std::io::Result<()> {
        self.socket.set_netlink_get_strict_chk(strict)
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

    /// Has one thing done.
    pub(crate) fn order(&mut self, message: RouteNetlinkMessage) -> nix::Result<()> {
        let answers = self.exchange(&write(std::iter::once((message, 0))));
        answers.iter().find_map(Answer::errno).map_or(Ok(()), Err)
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

    /// Everything that `request` asks for, as far as `take` wants it.
    pub(crate) fn dump<T>(
        &mut self,
        request: &RouteNetlinkMessage,
        mut take: impl FnMut(RouteNetlinkMessage) -> Option<T>,
    ) -> nix::Result<Vec<T>> {
        // A dump during which the list changed is repeated.
        for _ in 0..3 {
            match self.dump_once(request.clone(), &mut take) {
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

    /// The one thing that `request` asks for, where it is there and `take` wants it.
    pub(crate) fn get<T>(
        &mut self,
        request: RouteNetlinkMessage,
        mut take: impl FnMut(RouteNetlinkMessage) -> Option<T>,
    ) -> Option<T> {
        let mut request = NetlinkMessage::from(request);
        request.header.flags = NLM_F_REQUEST;
        request.header.sequence_number = DUMP_SEQUENCE;
        request.finalize();
        let mut bytes = vec![0; request.buffer_len()];
        request.serialize(&mut bytes);
        self.socket.send_to(&bytes, &SocketAddr::new(0, 0), 0).ok()?;
        let mut found = None;
        let received = self.receive(|message| {
            if let NetlinkPayload::InnerMessage(message) = message.payload {
                found = take(message);
            }
        });
        if received.is_err() {
            self.reopen();
        }
        found
    }

    fn dump_once<T>(
        &mut self,
        request: RouteNetlinkMessage,
        take: &mut impl FnMut(RouteNetlinkMessage) -> Option<T>,
    ) -> nix::Result<(Vec<T>, bool)> {
        let mut request = NetlinkMessage::from(request);
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
                    NetlinkPayload::InnerMessage(message) => held.extend(take(message)),
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
            // A message that the library cannot read is about nothing of ours.
            if let Some(Ok(message)) = rest.get(..length).map(NetlinkMessage::deserialize) {
                each(message);
            }
            rest = rest.get(length.next_multiple_of(4)..).unwrap_or(&[]);
        }
        Ok(())
    }

    /// After an exchange that did not end properly a late answer must not be taken for one of the next.
    fn reopen(&mut self) {
        if let Ok(fresh) = Self::open(self.thing) {
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

/// The kernel's own words on a refusal, for the end of an error's text.
pub(super) fn said(message: &Option<String>) -> String {
    message.as_ref().map_or_else(String::new, |message| format!(" ({message})"))
}

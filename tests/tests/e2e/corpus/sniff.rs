//! The adverts that a host sends, as the bytes that they are.

use std::collections::BTreeMap;
use std::io::IoSliceMut;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, OwnedFd};

use anyhow::{Context, Result};
use ha_tests::lab::Host;
use nix::sys::socket::{
    AddressFamily, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType, recvmsg, setsockopt, socket, sockopt,
};
use socket2::SockFilter;

use super::facts::Facts;
use super::place::INTERFACES;

/// A socket that hears what the host itself sends; nothing is read before somebody asks.
pub(super) struct Sniffer {
    socket: OwnedFd,
    /// The interfaces of the wire; what a macvlan sends is seen again below it.
    interfaces: BTreeMap<usize, &'static str>,
    seen: Facts,
}

impl Sniffer {
    pub(super) fn start(host: &Host) -> Result<Self> {
        host.inside(|| {
            let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
            let socket = socket(AddressFamily::Packet, SockType::Raw, flags, SockProtocol::EthAll)?;
            let socket = socket2::Socket::from(socket);
            socket.attach_filter(&filter())?;
            setsockopt(&socket, sockopt::RcvBuf, &(4 << 20))?;
            let mut interfaces = BTreeMap::new();
            for name in INTERFACES {
                interfaces.insert(usize::try_from(nix::net::if_::if_nametoindex(name)?)?, name);
            }
            Ok(Self { socket: socket.into(), interfaces, seen: Facts::new() })
        })?
    }

    /// Adds the newest advert of each router on each interface.
    pub(super) fn facts(&mut self, facts: &mut Facts) -> Result<()> {
        let mut frame = [0; 2048];
        loop {
            let mut parts = [IoSliceMut::new(&mut frame)];
            let (length, from) =
                match recvmsg::<LinkAddr>(self.socket.as_raw_fd(), &mut parts, None, MsgFlags::empty()) {
                    Ok(message) => (message.bytes, message.address),
                    Err(nix::errno::Errno::EAGAIN) => break,
                    Err(error) => return Err(error).context("reading adverts"),
                };
            let Some(from) = from.filter(|from| from.pkttype() == libc::PACKET_OUTGOING) else { continue };
            let Some(interface) = self.interfaces.get(&from.ifindex()) else { continue };
            if let Some((key, value)) = frame.get(..length).and_then(describe) {
                self.seen.insert(format!("advert {interface} {key}"), value);
            }
        }
        facts.extend(self.seen.clone());
        Ok(())
    }
}

/// To whom and for which router; and everything else that must be the same.
fn describe(frame: &[u8]) -> Option<(String, String)> {
    let mac: Vec<String> = frame.get(6..12)?.iter().map(|byte| format!("{byte:02x}")).collect();
    let body = frame.get(14..)?;
    let (source, destination, ttl, tos, mut payload, protocol): (String, String, u8, u8, &[u8], u8) =
        match frame.get(12..14)? {
            [0x08, 0x00] => {
                let header = usize::from(body.first()? & 0x0f) * 4;
                let end = usize::from(u16::from_be_bytes(array(body, 2)?));
                (
                    Ipv4Addr::from(array::<4>(body, 12)?).to_string(),
                    Ipv4Addr::from(array::<4>(body, 16)?).to_string(),
                    *body.get(8)?,
                    *body.get(1)?,
                    body.get(header..end)?,
                    *body.get(9)?,
                )
            }
            [0x86, 0xdd] => {
                let end = 40 + usize::from(u16::from_be_bytes(array(body, 4)?));
                (
                    Ipv6Addr::from(array::<16>(body, 8)?).to_string(),
                    Ipv6Addr::from(array::<16>(body, 24)?).to_string(),
                    *body.get(7)?,
                    body.first()? << 4 | body.get(1)? >> 4,
                    body.get(40..end)?,
                    *body.get(6)?,
                )
            }
            _ => return None,
        };
    let mut header = String::new();
    // Frames that came before the filter was there.
    if !matches!(protocol, 51 | 112) {
        return None;
    }
    if protocol == 51 {
        // The sequence number and what is made of it differ with every advert.
        let length = (usize::from(*payload.get(1)?) + 2) * 4;
        header = " AH".to_owned();
        payload = payload.get(length..)?;
    }
    // xvrrp's probes of its peers are no adverts.
    if payload.first()? & 0x0f != 1 {
        return None;
    }
    let vrid = *payload.get(1)?;
    let bytes: String = payload.iter().map(|byte| format!("{byte:02x}")).collect();
    Some((
        format!("to {destination} vrid {vrid}"),
        format!("mac {} from {source} ttl {ttl} tos {tos}{header} {bytes}", mac.join(":")),
    ))
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

/// A classic BPF program that lets VRRP and AH through.
fn filter() -> Vec<SockFilter> {
    const LOAD_HALF: u16 = 0x28;
    const LOAD_BYTE: u16 = 0x30;
    const JUMP: u16 = 0x05;
    const IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    let op = SockFilter::new;
    vec![
        op(LOAD_HALF, 0, 0, 12),
        op(IF_EQUAL, 0, 2, 0x0800), // not IPv4: look at IPv6
        op(LOAD_BYTE, 0, 0, 23),    // IPv4 protocol
        op(JUMP, 0, 0, 2),
        op(IF_EQUAL, 0, 4, 0x86dd), // not IPv6: drop
        op(LOAD_BYTE, 0, 0, 20),    // IPv6 next header
        op(IF_EQUAL, 1, 0, 112),
        op(IF_EQUAL, 0, 1, 51),
        op(RETURN, 0, 0, 2048),
        op(RETURN, 0, 0, 0),
    ]
}

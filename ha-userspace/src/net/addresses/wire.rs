//! Netlink messages about addresses, both ways. No socket.

use std::net::IpAddr;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::address::{
    AddressAttribute, AddressFlags, AddressHeaderFlags, AddressMessage, AddressProtocol, AddressScope,
    CacheInfo,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::{AddressSpec, Flags, MARK};
use crate::net::netlink::{Chunk, write};

/// `INFINITY_LIFE_TIME` of the kernel.
const FOREVER: u32 = u32::MAX;

/// Addresses to add, written down as the kernel wants them: made while backup, used at the takeover.
#[derive(Clone, Debug)]
pub struct Batch {
    specs: Vec<AddressSpec>,
    chunks: Vec<Chunk>,
}

impl Batch {
    /// Writes the messages.
    #[must_use]
    pub fn prepare(specs: &[AddressSpec]) -> Self {
        Self::prepare_marked(specs, true)
    }

    /// The same, with the mark or without it.
    pub(super) fn prepare_marked(specs: &[AddressSpec], mark: bool) -> Self {
        Self { specs: specs.to_vec(), chunks: write(specs.iter().map(|spec| add_message(spec, mark))) }
    }

    /// The addresses, in order.
    #[must_use]
    pub fn specs(&self) -> &[AddressSpec] {
        &self.specs
    }

    pub(super) fn chunks(&self) -> &[Chunk] {
        &self.chunks
    }
}

/// An address that the kernel has.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) spec: AddressSpec,
    pub(super) protocol: u8,
    pub(super) secondary: bool,
    /// As the kernel described it, to put it back unchanged.
    message: AddressMessage,
}

impl Held {
    /// `None` for other families.
    pub(super) fn new(message: AddressMessage) -> Option<Self> {
        let mut flags = AddressFlags::from_bits_retain(u32::from(message.header.flags.bits()));
        let (mut peer, mut local, mut broadcast, mut label, mut protocol) = (None, None, None, None, 0);
        let mut preferred = None;
        for attribute in &message.attributes {
            match attribute {
                AddressAttribute::Address(ip) => peer = Some(*ip),
                AddressAttribute::Local(ip) => local = Some(*ip),
                AddressAttribute::Broadcast(ip) => broadcast = Some(*ip),
                AddressAttribute::Label(text) => label = Some(text.clone()),
                AddressAttribute::Flags(all) => flags = *all,
                AddressAttribute::CacheInfo(lifetimes) => {
                    preferred = Some(lifetimes.ifa_preferred).filter(|seconds| *seconds != FOREVER);
                }
                AddressAttribute::Protocol(owner) => protocol = u8::from(*owner),
                _ => {}
            }
        }
        let address = local.or(peer)?;
        let spec = AddressSpec {
            ifindex: message.header.index,
            address,
            prefix: message.header.prefix_len,
            broadcast,
            scope: u8::from(message.header.scope),
            label,
            noprefixroute: flags.contains(AddressFlags::Noprefixroute),
            preferred,
            peer: peer.filter(|peer| *peer != address),
            flags: Flags {
                home: flags.contains(AddressFlags::Homeaddress),
                mngtmpaddr: flags.contains(AddressFlags::Managetempaddr),
                autojoin: flags.contains(AddressFlags::Mcautojoin),
            },
        };
        let secondary = address.is_ipv4() && flags.contains(AddressFlags::Secondary);
        Some(Self { spec, protocol, secondary, message })
    }

    /// For a dump.
    pub(super) fn take(message: RouteNetlinkMessage) -> Option<Self> {
        match message {
            RouteNetlinkMessage::NewAddress(address) => Self::new(address),
            _ => None,
        }
    }

    /// The kernel counts addresses of the same mask and network as one subnet, per interface.
    fn shares_subnet(&self, other: &Self) -> bool {
        let (IpAddr::V4(a), IpAddr::V4(b)) = (self.spec.address, other.spec.address) else { return false };
        let mask = u32::MAX.checked_shl(32 - u32::from(self.spec.prefix.min(32))).unwrap_or(0);
        (self.spec.ifindex, self.spec.prefix) == (other.spec.ifindex, other.spec.prefix)
            && a.to_bits() & mask == b.to_bits() & mask
    }
}

/// Asks for all addresses of the network namespace.
pub(super) fn request() -> RouteNetlinkMessage {
    RouteNetlinkMessage::GetAddress(AddressMessage::default())
}

/// The addresses that the kernel drops along with those that are going, and that are to stay.
pub(super) fn dropped_along<'a>(
    held: &'a [Held],
    going: impl Iterator<Item = &'a Held> + Clone,
) -> Vec<&'a Held> {
    let stays = |candidate: &&Held| {
        candidate.secondary
            && going.clone().any(|gone| !gone.secondary && gone.shares_subnet(candidate))
            && !going.clone().any(|gone| gone.spec.key() == candidate.spec.key())
    };
    held.iter().filter(stays).collect()
}

/// Chunks that remove `going` and then put back `staying`.
pub(super) fn removal<'a>(going: impl Iterator<Item = &'a Held>, staying: &[&Held]) -> Batch {
    let remove = going.map(|held| (RouteNetlinkMessage::DelAddress(held.message.clone()), 0));
    let restore = staying
        .iter()
        .map(|held| (RouteNetlinkMessage::NewAddress(held.message.clone()), NLM_F_CREATE | NLM_F_EXCL));
    Batch { specs: Vec::new(), chunks: write(remove.chain(restore)) }
}

fn add_message(spec: &AddressSpec, mark: bool) -> (RouteNetlinkMessage, u16) {
    let mut message = AddressMessage::default();
    let mut flags = AddressFlags::empty();
    message.header.index = spec.ifindex;
    message.header.prefix_len = spec.prefix;
    message.header.scope = AddressScope::from(spec.scope);
    message.attributes.push(AddressAttribute::Local(spec.address));
    message.attributes.push(AddressAttribute::Address(spec.peer.unwrap_or(spec.address)));
    match spec.address {
        IpAddr::V4(_) => {
            message.header.family = AddressFamily::Inet;
            message.attributes.extend(spec.broadcast.map(AddressAttribute::Broadcast));
            message.attributes.extend(spec.label.clone().map(AddressAttribute::Label));
        }
        IpAddr::V6(_) => {
            message.header.family = AddressFamily::Inet6;
            // RFC 9568 section 6.4.2: the master answers at once; and two masters must not find each other's.
            flags |= AddressFlags::Nodad;
        }
    }
    if spec.noprefixroute {
        flags |= AddressFlags::Noprefixroute;
    }
    flags.set(AddressFlags::Homeaddress, spec.flags.home);
    flags.set(AddressFlags::Managetempaddr, spec.flags.mngtmpaddr);
    flags.set(AddressFlags::Mcautojoin, spec.flags.autojoin);
    if let Some(preferred) = spec.preferred {
        let mut lifetimes = CacheInfo::default();
        (lifetimes.ifa_valid, lifetimes.ifa_preferred) = (FOREVER, preferred);
        message.attributes.push(AddressAttribute::CacheInfo(lifetimes));
    }
    // Kernels that do not know IFA_FLAGS (before 3.14) read the header.
    message.header.flags = AddressHeaderFlags::from_bits_retain(flags.bits().to_le_bytes()[0]);
    message.attributes.push(AddressAttribute::Flags(flags));
    if mark {
        message.attributes.push(AddressAttribute::Protocol(AddressProtocol::Other(MARK)));
    }
    (RouteNetlinkMessage::NewAddress(message), NLM_F_CREATE | NLM_F_EXCL)
}

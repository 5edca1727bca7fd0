//! When this node stops answering for its virtual addresses, and which frames that concerns.
//!
//! The rules of docs/liveness.md. Called by `ha-ebpf` for every frame that it answers or might drop; it lives here
//! to be tested on the host and to take part in the simulated cluster.

use crate::classify::{ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6, Packet, link_layer};
use crate::frame::Frame;
use crate::probe::{EXPIRED, ORPHANED, RESTARTING};
use crate::types::{ADVERT_TTL, Family};

/// Version and type of an advert.
const V2_ADVERT: u8 = 0x21;
const V3_ADVERT: u8 = 0x31;

/// How long after a probe somebody is taken to be there who can take over.
pub const PROBED_NS: u64 = 1_000_000_000;

/// How steadily a router has probed that is known: its probes count for the fence.
pub const KNOWN: u32 = 100;

/// A pause that undoes one probe.
const FADES_IN_NS: u64 = 100_000_000;

/// Who probes again after such a pause may have been master meanwhile, and hosts may send to it.
pub const RESUMED_NS: u64 = 20_000_000;

/// How steadily a router has probed, after one more probe that came `pause_ns` after the one before. It grows only while
/// somebody runs this node: whoever first turns up when the daemon is dead, or sends a probe now and then, closes no
/// fence.
#[must_use]
#[inline(always)]
pub const fn steadiness(before: u32, pause_ns: u64, attended: bool) -> u32 {
    if !attended {
        return before;
    }
    // Nearly always; and a division takes its time.
    let faded = if pause_ns < FADES_IN_NS { 0 } else { pause_ns / FADES_IN_NS };
    if faded >= before as u64 {
        return 1;
    }
    #[expect(clippy::cast_possible_truncation, reason = "less than `before`")]
    let left = before - faded as u32;
    if left >= 2 * KNOWN { left } else { left + 1 }
}

/// How a probe shows whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// By a tag under a key that counts.
    Tag,
    /// No key is wanted.
    NoneWanted,
    /// It is of the first format, which has no tag under a key that is derived.
    None,
}

impl Proof {
    /// Whether its sender is known, and its probes count: who has the key is so at once, unless in doubt
    /// ([`crate::probe::Latest::doubtful`]), and any other by its steadiness, where no key is wanted.
    #[must_use]
    #[inline(always)]
    pub const fn makes_known(self, doubtful: bool, steady: u32) -> bool {
        match self {
            Self::Tag => !doubtful || steady >= KNOWN,
            Self::NoneWanted => steady >= KNOWN,
            Self::None => false,
        }
    }
}

/// What decides, as it lies in [`crate::layout::LeaseSlot`]. All times are `CLOCK_MONOTONIC`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Guard {
    /// Nobody runs the program.
    pub orphaned: bool,
    /// Until when the daemon vouches for itself.
    pub lease_until_ns: u64,
    /// Until when a planned restart keeps the fence open.
    pub restart_until_ns: u64,
    /// When a probe was last answered; 0 for never.
    pub last_probe_ns: u64,
}

impl Guard {
    /// What is left of the lease; zero once it has run out.
    #[must_use]
    #[inline(always)]
    pub const fn lease_left_ns(&self, now_ns: u64) -> u64 {
        self.lease_until_ns.saturating_sub(now_ns)
    }

    /// The flags of a reply that is sent now to a router that is `known`. For any other the fence does not close, so it
    /// is told nothing that would make it take over.
    #[must_use]
    #[inline(always)]
    pub const fn flags(&self, now_ns: u64, known: bool) -> u8 {
        let expired = self.lease_until_ns <= now_ns;
        if !self.orphaned && !expired {
            return 0;
        }
        if self.restart_until_ns > now_ns || !known {
            return RESTARTING;
        }
        (if self.orphaned { ORPHANED } else { 0 }) | (if expired { EXPIRED } else { 0 })
    }

    /// Whether no daemon judges adverts here now: it is gone or stands still, be it for a planned restart.
    #[must_use]
    #[inline(always)]
    pub const fn unattended(&self, now_ns: u64) -> bool {
        self.orphaned || self.lease_until_ns <= now_ns
    }

    /// Whether nobody vouches for this node: it is unattended, and its daemon is not being restarted.
    #[must_use]
    #[inline(always)]
    pub const fn headless(&self, now_ns: u64) -> bool {
        self.unattended(now_ns) && self.restart_until_ns <= now_ns
    }

    /// Whether traffic for virtual addresses is dropped that somebody who probes would take over: nobody vouches for this
    /// node.
    #[must_use]
    #[inline(always)]
    pub const fn closed(&self, now_ns: u64) -> bool {
        self.headless(now_ns)
            && self.last_probe_ns != 0
            // Another CPU may have answered a probe after `now_ns` was read.
            && now_ns.saturating_sub(self.last_probe_ns) < PROBED_NS
    }
}

/// An advert that an unattended node hears, as far as the fence looks at it: what its daemon has left behind decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Version and type that this virtual router's adverts have; 0 for any.
    pub kind: u8,
    /// It proves what the adverts of this virtual router prove: the authentication type, and the password.
    pub proven: bool,
    /// Its sender is known: a configured peer, or a router whose adverts were accepted.
    pub known: bool,
    /// Only configured peers count.
    pub peers_only: bool,
    /// One of its first addresses is one of this virtual router's, or that does not matter.
    pub ours: bool,
    /// A planned restart is under way: peers that know of it wait.
    pub restarting: bool,
    /// The priority of this node as master.
    pub priority: u8,
    /// Whose: its source is not the one of our own adverts.
    pub foreign: bool,
    /// It was sent to a group.
    pub multicast: bool,
    /// The virtual router's adverts are unicast here.
    pub unicast_router: bool,
    /// Version and type, VRID, priority and number of addresses: how every version begins.
    pub start: [u8; 4],
}

impl Claim {
    /// Whether it says that its sender answers for the virtual addresses: an advert of another router, in the form and
    /// with the secret that adverts have here, that is no resignation. In a planned restart, a stranger that would have to
    /// yield has not taken over: the next run judges it. Checksum and interval stay unjudged.
    #[must_use]
    #[inline(always)]
    pub const fn is_master(&self, packet: &Packet) -> bool {
        let [kind, _, priority, addresses] = self.start;
        let address_len = match packet.family {
            Family::V4 => 4,
            Family::V6 => 16,
        };
        // VRRPv2 has eight bytes of authentication data behind the addresses.
        let rest = if kind == V2_ADVERT { 16 } else { 8 };
        self.foreign
            && (kind == V2_ADVERT || kind == V3_ADVERT)
            && (self.kind == 0 || kind == self.kind)
            && self.proven
            && self.ours
            && (self.known || !self.peers_only)
            && (self.known || !self.restarting || priority >= self.priority)
            && priority != 0
            && self.multicast != self.unicast_router
            && (!self.multicast || packet.ttl == ADVERT_TTL)
            // CARP, which looks alike, claims seven addresses and has no room for them.
            && addresses != 0
            && packet.pdu_len >= rest + addresses as usize * address_len
    }
}

/// How a frame for a virtual address is treated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ban {
    /// [`Guard::closed`], and a router that probes would take over its virtual router.
    pub closed: bool,
    /// Another router has taken its virtual router over while this node was unattended. That holds until a daemon has
    /// removed the addresses, however often this node is probed or vouched for.
    pub superseded: bool,
    /// Its virtual router is another's, and the address is here beforehand (`hot_standby`).
    pub standby: bool,
    /// Its virtual router is being handed over, and solicitations are the successor's to answer.
    pub suppressed: bool,
    /// It has `no_accept`, and is here: packets for it are for nobody, but its MAC address is no secret.
    pub refused: bool,
}

impl Ban {
    /// Whether the frame must not reach the stack.
    #[must_use]
    #[inline(always)]
    pub const fn keeps_out(&self, wanted: &AddressUse) -> bool {
        self.closed
            || self.superseded
            || self.standby
            || (self.suppressed && wanted.solicitation)
            || (self.refused && !wanted.solicitation && !wanted.answer)
    }
}

/// The VRID of a virtual MAC address (RFC 9568 section 7.3), and its family.
#[must_use]
#[inline(always)]
pub const fn virtual_mac(mac: [u8; 6]) -> Option<(Family, u8)> {
    match mac {
        [0x00, 0x00, 0x5e, 0x00, 0x01, vrid] => Some((Family::V4, vrid)),
        [0x00, 0x00, 0x5e, 0x00, 0x02, vrid] => Some((Family::V6, vrid)),
        _ => None,
    }
}

const ARP_REQUEST: [u8; 2] = [0, 1];
const ICMPV6: u8 = 58;
const NEIGHBOUR_SOLICITATION: u8 = 135;
const NEIGHBOUR_ADVERTISEMENT: u8 = 136;

/// What a frame has to do with an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressUse {
    /// As [`crate::layout::address_key`] has it, in two words as they lie in memory.
    pub address: [u64; 2],
    /// It asks for the address (ARP request, neighbour solicitation); otherwise it goes there.
    pub solicitation: bool,
    /// It answers a solicitation that was asked from the address (neighbour advertisement).
    pub answer: bool,
}

/// The address that a frame asks for or goes to: the target of an ARP request or a neighbour solicitation, the
/// destination of any other IP packet. `None` for everything else, and for frames of another VLAN than `vlan` (0:
/// none).
#[inline(always)]
pub fn wanted_address<F: Frame + ?Sized>(frame: &F, vlan: u16) -> Option<AddressUse> {
    let link = link_layer(frame)?;
    if link.vid != vlan {
        return None;
    }
    let asks = |address| Some(AddressUse { address, solicitation: true, answer: false });
    let goes = |address| Some(AddressUse { address, solicitation: false, answer: false });
    match link.ethertype {
        ETHERTYPE_ARP if frame.read::<2>(link.at + 6)? == ARP_REQUEST => asks(v4(frame.read(link.at + 24)?)),
        ETHERTYPE_IPV4 => goes(v4(frame.read(link.at + 16)?)),
        ETHERTYPE_IPV6 => {
            let [next] = frame.read::<1>(link.at + 6)?;
            let kind = match frame.read::<1>(link.at + 40) {
                Some([kind]) if next == ICMPV6 => kind,
                _ => 0,
            };
            if kind == NEIGHBOUR_SOLICITATION {
                return asks(v6(frame.read(link.at + 48)?));
            }
            let answer = kind == NEIGHBOUR_ADVERTISEMENT;
            Some(AddressUse { address: v6(frame.read(link.at + 24)?), solicitation: false, answer })
        }
        _ => None,
    }
}

#[inline(always)]
const fn v4([a, b, c, d]: [u8; 4]) -> [u64; 2] {
    [0, u64::from_ne_bytes([0, 0, 0xff, 0xff, a, b, c, d])]
}

#[inline(always)]
const fn v6(address: [u8; 16]) -> [u64; 2] {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = address;
    [u64::from_ne_bytes([a, b, c, d, e, f, g, h]), u64::from_ne_bytes([i, j, k, l, m, n, o, p])]
}

#[cfg(test)]
mod tests;

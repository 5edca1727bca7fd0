//! When this node stops answering for its virtual addresses, and which frames that concerns.
//!
//! The rules of docs/liveness.md. Called by `ha-ebpf` for every frame that it answers or might drop; it lives here
//! to be tested on the host and to take part in the simulated cluster.

use crate::classify::{ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6, link_layer};
use crate::frame::Frame;
use crate::probe::{EXPIRED, ORPHANED, RESTARTING};
use crate::types::Family;

/// How long after a probe somebody is taken to be there who can take over.
pub const PROBED_NS: u64 = 1_000_000_000;

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

    /// The flags of a reply that is sent now.
    #[must_use]
    #[inline(always)]
    pub const fn flags(&self, now_ns: u64) -> u8 {
        let expired = self.lease_until_ns <= now_ns;
        if !self.orphaned && !expired {
            return 0;
        }
        if self.restart_until_ns > now_ns {
            return RESTARTING;
        }
        (if self.orphaned { ORPHANED } else { 0 }) | (if expired { EXPIRED } else { 0 })
    }

    /// Whether traffic for the virtual addresses is dropped: nobody vouches for this node, it is not being restarted,
    /// and somebody is there to take over.
    #[must_use]
    #[inline(always)]
    pub const fn closed(&self, now_ns: u64) -> bool {
        (self.orphaned || self.lease_until_ns <= now_ns)
            && self.restart_until_ns <= now_ns
            && self.last_probe_ns != 0
            // Another CPU may have answered a probe after `now_ns` was read.
            && now_ns.saturating_sub(self.last_probe_ns) < PROBED_NS
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

/// The address that a frame asks for or goes to, as [`crate::layout::address_key`] has it, in two words as they lie
/// in memory: the target of an ARP request or a neighbour solicitation, the destination of any other IP packet.
/// `None` for everything else, and for frames of another VLAN than `vlan` (0: none).
#[inline(always)]
pub fn wanted_address<F: Frame + ?Sized>(frame: &F, vlan: u16) -> Option<[u64; 2]> {
    let link = link_layer(frame)?;
    if link.vid != vlan {
        return None;
    }
    match link.ethertype {
        ETHERTYPE_ARP if frame.read::<2>(link.at + 6)? == ARP_REQUEST => Some(v4(frame.read(link.at + 24)?)),
        ETHERTYPE_IPV4 => Some(v4(frame.read(link.at + 16)?)),
        ETHERTYPE_IPV6 => {
            let [next] = frame.read::<1>(link.at + 6)?;
            if next == ICMPV6 && frame.read::<1>(link.at + 40) == Some([NEIGHBOUR_SOLICITATION]) {
                return frame.read(link.at + 48).map(v6);
            }
            frame.read(link.at + 24).map(v6)
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

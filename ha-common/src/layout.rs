//! Layout of the BPF maps, shared by the XDP program and the daemon.
//!
//! Only fixed-width integers with explicit padding: no `bool`, no `enum`, no `Option`. Sizes are asserted below.
//! A change here changes [`ABI_VERSION`], which is part of the pin path.

use bytemuck::{Pod, Zeroable};

use crate::types::{Family, Vrid};

/// Version of everything in this module.
pub const ABI_VERSION: u32 = 1;

/// Entries of `HA_ADVERTS`: 256 VRIDs for each of two families.
pub const ADVERT_SLOTS: u32 = 512;

/// Bytes of the longest packet that an event carries, from the IP header on; a multiple of eight.
///
/// 255 IPv6 addresses make a PDU of 4088 bytes.
pub const EVENT_DATA: usize = 4096 + EVENT_HEADERS;

/// Bytes of the longest IP header, with options or extension headers, that is looked behind.
pub const EVENT_HEADERS: usize = 256;

/// Bytes of the ring buffer `HA_EVENTS`; a power of two and a multiple of the page size.
pub const EVENT_RING_BYTES: u32 = 256 * 1024;

/// Length of a window of the rate limit: short, so that a sender who found the budget used up is heard soon.
pub const RATE_WINDOW_NS: u64 = 100_000_000;

/// Frames of the tracked source that are handed up per window. At the shortest interval (10 ms) a master sends ten
/// adverts per window; only those that differ from the tracked one come here.
pub const RATE_TRACKED: u32 = 16;

/// Frames of all other sources that are handed up per window: three routers contending at 10 ms. A flood costs the
/// daemon at most 480 wake-ups a second and virtual router.
pub const RATE_OTHERS: u32 = 32;

/// Index in `HA_ADVERTS`.
#[must_use]
pub const fn advert_slot(family: Family, vrid: Vrid) -> u32 {
    let base = match family {
        Family::V4 => 0,
        Family::V6 => 256,
    };
    base + vrid.get() as u32
}

/// The one entry of `HA_CONFIG`: settings of the interface. Written by user space only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct InterfaceConfig {
    /// Key of the fingerprints, random per run of the daemon.
    pub fingerprint_key: [u64; 2],
    /// VLAN that frames must carry to belong to this interface; 0 for untagged (or priority-tagged) frames.
    pub vlan: u32,
    /// [`ABI_VERSION`].
    pub abi_version: u32,
}

/// One virtual router's entry in `HA_ADVERTS`, 64 bytes: one cache line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct AdvertSlot {
    /// Written by user space: fingerprint of the tracked master's advert; 0 while no master is tracked.
    pub fingerprint: u64,
    /// Written by XDP (and by user space for the first advert): when the tracked advert was last seen, `CLOCK_MONOTONIC`.
    pub last_seen_ns: u64,
    /// Written by XDP: tracked adverts seen.
    pub count: u64,
    /// Written by XDP: when a frame for this VRID was last handed up (or would have been, had there been room).
    pub last_other_ns: u64,
    /// Written by XDP: start of the current window of the rate limit.
    pub window_start_ns: u64,
    /// Written by XDP: frames handed up in the current window from the tracked source (low 16 bits) and from others.
    pub window_used: u32,
    /// Written by user space: 1 while an instance of this VRID and family is configured here.
    pub configured: u32,
    /// Written by user space: address of the tracked master; IPv4 in the first four bytes.
    pub source: [u8; 16],
}

/// What precedes the frame in a record of `HA_EVENTS`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct EventHeader {
    /// When the frame arrived, `CLOCK_MONOTONIC`.
    pub ktime_ns: u64,
    /// The frame's fingerprint under the key in `HA_CONFIG`.
    pub fingerprint: u64,
    /// Bytes of the IP packet (header included) that follow this header.
    pub len: u32,
    /// Index in `HA_ADVERTS`.
    pub slot: u32,
}

const _: () = assert!(size_of::<InterfaceConfig>() == 24);
const _: () = assert!(size_of::<AdvertSlot>() == 64);
const _: () = assert!(size_of::<EventHeader>() == 24);
const _: () = assert!(core::mem::offset_of!(AdvertSlot, last_seen_ns) == 8);
const _: () = assert!(core::mem::offset_of!(AdvertSlot, source) == 48);

#[cfg(feature = "user")]
#[expect(unsafe_code, reason = "aya's marker trait has no derive")]
mod user {
    use super::{AdvertSlot, InterfaceConfig};

    // SAFETY: plain integers without padding, as bytemuck's derive checked.
    unsafe impl aya::Pod for InterfaceConfig {}
    // SAFETY: plain integers without padding, as bytemuck's derive checked.
    unsafe impl aya::Pod for AdvertSlot {}
}

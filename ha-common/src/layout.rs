//! Layout of the BPF maps, shared by the XDP program and the daemon.
//!
//! Only fixed-width integers with explicit padding: no `bool`, no `enum`, no `Option`. Sizes are asserted below.
//! A change here changes [`ABI_VERSION`], which is part of the pin path.

use core::net::IpAddr;

use bytemuck::{Pod, Zeroable};

use crate::rank::CONTENDERS;
use crate::types::{Family, Vrid};

/// Version of everything in this module.
pub const ABI_VERSION: u32 = 5;

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

/// Entries of `HA_PEERS`: routers on one interface that are probed.
pub const PEER_SLOTS: u16 = 64;

/// Entries of `HA_PROBERS`: routers on one interface that probe us. The longest silent one makes room.
pub const PROBER_SLOTS: u32 = 1024;

/// Entries of `HA_VIPS`: virtual addresses on one interface.
pub const VIP_SLOTS: u32 = 16_384;

/// Bit of [`AdvertSlot::configured`]: an instance of this VRID and family is configured here.
pub const ROUTER_CONFIGURED: u32 = 1;

/// Bit of [`AdvertSlot::configured`]: its adverts are unicast.
pub const ROUTER_UNICAST: u32 = 2;

/// [`LeaseSlot::authenticated`]: probes and replies of all formats have tags.
pub const AUTHENTICATED: u32 = 1;

/// The same: those of the first format have none.
pub const AUTHENTICATED_NEW: u32 = 2;

/// Bit of [`LeaseSlot::special`]: a bit of `suppressed_v4` or `suppressed_v6` is set.
pub const SPECIAL_SUPPRESSED: u32 = 1;

/// Bit of [`LeaseSlot::special`]: an address in `HA_VIPS` has [`VIP_NO_ACCEPT`].
pub const SPECIAL_NO_ACCEPT: u32 = 2;

/// Bit of [`LeaseSlot::special`]: no virtual router here has fast failover, and replies say so. It concerns no other
/// frames.
pub const SPECIAL_APART: u32 = 4;

/// Bit of [`LeaseSlot::special`]: a bit of `standby_v4` or `standby_v6` is set.
pub const SPECIAL_STANDBY: u32 = 8;

/// Bit of [`VipSlot::flags`]: this host takes no packets for the address for itself (`no_accept`).
pub const VIP_NO_ACCEPT: u16 = 1;

/// Probes of one prober that are answered in [`RATE_WINDOW_NS`]: 20,000 a second.
pub const RATE_PROBES: u32 = 2_000;

/// The key of an address in `HA_VIPS` and `HA_PROBERS`, and its form in `HA_PEERS`: IPv4 as `::ffff:a.b.c.d`.
pub type AddressKey = [u8; 16];

/// See [`AddressKey`].
#[must_use]
pub const fn address_key(address: IpAddr) -> AddressKey {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

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

/// One virtual router's entry in `HA_ADVERTS`, two cache lines, of which adverts of the tracked master need the first.
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
    /// Written by user space: [`ROUTER_CONFIGURED`] and [`ROUTER_UNICAST`].
    pub configured: u32,
    /// Written by user space: address of the tracked master, or our own while this node is master; IPv4 in the first
    /// four bytes.
    pub source: [u8; 16],
    /// Written by user space, as all that follows, for adverts that come while nobody judges them: the password of
    /// `auth_type PASS` as it lies in the packet.
    pub claim_password: [u8; 8],
    /// Version and type of this virtual router's adverts, as in their first byte; 0 where every version counts.
    pub claim_kind: u8,
    /// Authentication type of its VRRPv2 adverts; 0xff where it says nothing.
    pub claim_auth: u8,
    /// Its priority while it is master.
    pub claim_priority: u8,
    /// [`CLAIM_PEERS`], [`CLAIM_ADDRESSES`].
    pub claim_flags: u8,
    /// Zero.
    pub reserved: u32,
    /// Routers whose adverts were accepted, or the configured peers; each as [`folded`], 0 for none.
    pub claim_peers: [u32; CLAIM_PEER_SLOTS],
    /// Zero.
    pub reserved_2: [u64; 2],
}

/// Routers that an entry of `HA_ADVERTS` knows.
pub const CLAIM_PEER_SLOTS: usize = 8;

/// Bit of [`AdvertSlot::claim_flags`]: adverts of others than `claim_peers` say nothing.
pub const CLAIM_PEERS: u8 = 1;

/// Bit of [`AdvertSlot::claim_flags`]: an advert whose first addresses are none of this virtual router's says nothing.
pub const CLAIM_ADDRESSES: u8 = 2;

/// An address in one word, for telling a few from each other; never 0.
#[must_use]
#[inline(always)]
pub const fn folded([a, b, c, d]: [u32; 4]) -> u32 {
    let word = a ^ b.rotate_left(8) ^ c.rotate_left(16) ^ d.rotate_left(24);
    if word == 0 { 1 } else { word }
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
    /// MAC address that the frame came from.
    pub source_mac: [u8; 6],
    /// Zero.
    pub reserved: [u8; 2],
}

/// One bit for each VRID: bit `n % 64` of word `n / 64`.
pub type Vrids = [u64; 4];

/// The one entry of `HA_LEASE`: what this node says of itself in replies, and when its fence closes.
///
/// The first three words are the same in every version, so that an upgrade knows of a restart window.
///
/// What ordinary traffic is passed by is in the first cache line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct LeaseSlot {
    /// Written by user space: random id of this run of the daemon; 0 while probes are not answered.
    pub incarnation: u64,
    /// Written by user space: until when the daemon vouches for itself, `CLOCK_MONOTONIC`.
    pub lease_until_ns: u64,
    /// Written by user space: until when a planned restart keeps the fence open, `CLOCK_MONOTONIC`.
    pub restart_until_ns: u64,
    /// Written by XDP: when a known router's probe was last answered, `CLOCK_MONOTONIC`; 0 for never.
    pub last_probe_ns: u64,
    /// Written by XDP: the tick of the kernel's clock in which the fence was last found to be open for a while.
    pub open_tick: u64,
    /// Written by XDP: 1 once it found that nobody runs it, until somebody does again.
    pub orphaned: u32,
    /// Written by user space: [`AUTHENTICATED`] or [`AUTHENTICATED_NEW`] where `key` is in force, 0 where tags are zero.
    pub authenticated: u32,
    /// Set to 1 by XDP after one of `superseded_v4` or `superseded_v6`; cleared by user space when none is left.
    pub superseded: u32,
    /// Written by user space: [`SPECIAL_SUPPRESSED`], [`SPECIAL_NO_ACCEPT`], [`SPECIAL_STANDBY`]: frames for virtual
    /// addresses need a look; [`SPECIAL_APART`].
    pub special: u32,
    /// Written by user space: the interface's own MAC address.
    pub mac: [u8; 6],
    /// Zero.
    pub reserved: [u8; 2],
    /// Written by user space: key of the tags, as two little-endian words.
    pub key: [u64; 2],
    /// Written by user space: the VRIDs that this node is master for over IPv4. Replies say so.
    pub masters_v4: Vrids,
    /// Written by user space: the same over IPv6.
    pub masters_v6: Vrids,
    /// Written by user space: the VRIDs whose addresses may be on the interface: from before they are added until
    /// after they have been removed.
    pub held_v4: Vrids,
    /// Written by user space: the same over IPv6.
    pub held_v6: Vrids,
    /// Written by user space: the VRIDs for whose addresses ARP requests and neighbour solicitations are dropped,
    /// because their successor is to answer them.
    pub suppressed_v4: Vrids,
    /// Written by user space: the same over IPv6.
    pub suppressed_v6: Vrids,
    /// Written by user space: the VRIDs whose addresses are on the interface of a backup (`hot_standby`): nothing for them
    /// is let through, whoever runs the program, until this node is master.
    pub standby_v4: Vrids,
    /// Written by user space: the same over IPv6.
    pub standby_v6: Vrids,
    /// Written by XDP: the VRIDs that known routers would take over, over IPv4, as their probes since `wanted_since_ns`
    /// said. Several CPUs may write at once; what one loses, the next probe sets again.
    pub wanted_v4: Vrids,
    /// Written by XDP: the same over IPv6.
    pub wanted_v6: Vrids,
    /// Written by XDP: what was wanted over IPv4 before `wanted_since_ns`.
    pub earlier_v4: Vrids,
    /// Written by XDP: the same over IPv6.
    pub earlier_v6: Vrids,
    /// Written by XDP: when `wanted_v4` and `wanted_v6` were last empty, `CLOCK_MONOTONIC`.
    pub wanted_since_ns: u64,
    /// Written by user space: the address to which IPv6 probes must be sent, or zeros for any.
    pub own_v6: [u64; 2],
    /// Written by user space: the address to which IPv4 probes must be sent, or zeros for any.
    pub own_v4: [u8; 4],
    /// Written by user space: as `authenticated`, for `other_key`.
    pub other_authenticated: u32,
    /// Written by user space: a second key, such as the one before a reload.
    pub other_key: [u64; 2],
    /// Written by user space: until when that counts, `CLOCK_MONOTONIC`; 1 for no longer, 0 where nobody has said yet
    /// which key counts, the greatest number for ever.
    pub other_until_ns: u64,
    /// Written by XDP: when a known router last probed again after a pause, `CLOCK_MONOTONIC`; 0 for never.
    pub resumed_ns: u64,
    /// Written by XDP: the known routers that would take over, by their probes over IPv4.
    pub contenders_v4: [Contender; CONTENDERS],
    /// The same over IPv6.
    pub contenders_v6: [Contender; CONTENDERS],
    /// Set to 1 by XDP, cleared by user space, by VRID: another router has taken over while nobody vouched for this
    /// node. Bytes, because both sides and several CPUs write, and eBPF in Rust can set no bit at once.
    pub superseded_v4: [u8; 256],
    /// The same over IPv6.
    pub superseded_v6: [u8; 256],
}

/// A router that would take over from this one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Contender {
    /// [`crate::rank::bid`]; 0 for none.
    pub bid: u64,
    /// When it last probed, `CLOCK_MONOTONIC`.
    pub last_ns: u64,
}

impl Default for LeaseSlot {
    fn default() -> Self {
        Self::zeroed()
    }
}

/// A virtual address: one entry of `HA_VIPS`, by [`AddressKey`]. Written by user space only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct VipSlot {
    /// VRID of its virtual router; 0 where that runs on another interface, and its bitmaps with it.
    pub vrid: u8,
    /// 4 or 6: family of the virtual router's adverts, which need not be the address's.
    pub family: u8,
    /// [`VIP_NO_ACCEPT`].
    pub flags: u16,
}

impl VipSlot {
    /// An address of a virtual router on this interface.
    #[must_use]
    pub const fn of(family: Family, vrid: Vrid) -> Self {
        let number = match family {
            Family::V4 => 4,
            Family::V6 => 6,
        };
        Self { vrid: vrid.get(), family: number, flags: 0 }
    }

    /// Family of the virtual router's adverts.
    #[must_use]
    #[inline(always)]
    pub const fn family(self) -> Family {
        if self.family == 6 { Family::V6 } else { Family::V4 }
    }
}

/// A router that is probed: one entry of `HA_PEERS`, three cache lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct PeerSlot {
    /// Written by user space: the peer's address as [`address_key`] has it.
    pub address: AddressKey,
    /// Written by user space: incarnation that our probes to it carry; 0 for an unused entry.
    pub prober: u64,
    /// Written by user space: sequence of the last probe sent, stored before it is sent.
    pub sent: u64,
    /// Zero. What follows is XDP's, on other cache lines.
    pub reserved: [u64; 4],
    /// Written by XDP: odd while an entry is being written.
    pub generation: u64,
    /// When the last believed reply came, `CLOCK_MONOTONIC`.
    pub last_reply_ns: u64,
    /// Its sequence.
    pub sequence: u64,
    /// Its responder's incarnation.
    pub responder: u64,
    /// Nanoseconds that the responder's lease still ran then.
    pub lease_left_ns: u64,
    /// Believed replies.
    pub replies: u64,
    /// The reply's flags.
    pub flags: u64,
    /// The rank that it gives us.
    pub rank: u64,
    /// Bit n % 64 of word n / 64: the peer is master for VRID n.
    pub masters: [u64; 4],
    /// The sequence of the latest one whose tag was right under the key in force.
    pub current_key_sequence: u64,
    /// Zero.
    pub reserved_3: [u64; 3],
}

/// A router that probes us: one entry of `HA_PROBERS`, by [`AddressKey`]. Written by XDP only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct ProberSlot {
    /// When it was last answered, `CLOCK_MONOTONIC`.
    pub last_ns: u64,
    /// Start of the current window of the rate limit.
    pub window_start_ns: u64,
    /// Probes answered.
    pub count: u64,
    /// Probes answered in the current window.
    pub window_used: u32,
    /// How steadily it has probed while a daemon ran: [`crate::fence::steadiness`].
    pub steady: u32,
    /// Of one whose probes have tags: [`crate::probe::Latest::prober`].
    pub prober: u64,
    /// [`crate::probe::Latest::sequence`].
    pub sequence: u64,
    /// [`crate::probe::Latest::doubtful`].
    pub doubtful: u32,
    /// Zero.
    pub reserved: u32,
}

const _: () = assert!(size_of::<InterfaceConfig>() == 24);
const _: () = assert!(size_of::<AdvertSlot>() == 128);
const _: () = assert!(size_of::<EventHeader>() == 32);
const _: () = assert!(size_of::<LeaseSlot>() == 1168);
const _: () = assert!(size_of::<VipSlot>() == 4);
const _: () = assert!(core::mem::offset_of!(LeaseSlot, restart_until_ns) == 16);
const _: () = assert!(core::mem::offset_of!(LeaseSlot, superseded) == 48);
const _: () = assert!(core::mem::offset_of!(LeaseSlot, key) == 64);
const _: () = assert!(size_of::<PeerSlot>() == 192);
const _: () = assert!(size_of::<ProberSlot>() == 56);
const _: () = assert!(core::mem::offset_of!(PeerSlot, generation) == 64);
const _: () = assert!(core::mem::offset_of!(PeerSlot, masters) == 128);
const _: () = assert!(core::mem::offset_of!(AdvertSlot, last_seen_ns) == 8);
const _: () = assert!(core::mem::offset_of!(AdvertSlot, source) == 48);

#[cfg(feature = "user")]
#[expect(unsafe_code, reason = "aya's marker trait has no derive")]
mod user {
    use super::{AdvertSlot, InterfaceConfig, LeaseSlot, PeerSlot, ProberSlot, VipSlot};

    // SAFETY: plain integers without padding, as bytemuck's derive checked.
    unsafe impl aya::Pod for InterfaceConfig {}
    // SAFETY: plain integers without padding, as bytemuck's derive checked.
    unsafe impl aya::Pod for AdvertSlot {}
    // SAFETY: plain integers without padding, as bytemuck's derive checked.
    unsafe impl aya::Pod for LeaseSlot {}
    // SAFETY: plain integers without padding, as bytemuck's derive checked.
    unsafe impl aya::Pod for PeerSlot {}
    // SAFETY: plain integers without padding, as bytemuck's derive checked.
    unsafe impl aya::Pod for VipSlot {}
    // SAFETY: plain integers without padding, as bytemuck's derive checked.
    unsafe impl aya::Pod for ProberSlot {}
}

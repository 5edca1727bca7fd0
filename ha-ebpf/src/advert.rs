//! Adverts: the tracked master's are stamped, all others are handed up within limits.

use core::ffi::c_void;

use aya_ebpf::helpers::bpf_ktime_get_ns;
use aya_ebpf::helpers::bpf_ringbuf_output;
use ha_common::classify::{FingerprintHash, Packet, PacketWords, fingerprint, header_intact};
use ha_common::counter::Counter;
use ha_common::layout::{
    AdvertSlot, CLAIM_PEER_SLOTS, EVENT_DATA, EVENT_HEADERS, EventHeader, InterfaceConfig, advert_slot,
};
use ha_common::rate::Window;
use ha_common::types::Family;

use crate::frame::{Received, opaque};
use crate::log;
use crate::maps::{HA_ADVERTS, HA_EVENTS, HA_SCRATCH, fields};

/// Stamps the tracked master's advert, hands up any other.
#[inline(always)]
pub(crate) fn recognise<F: Received>(frame: &F, config: &InterfaceConfig, packet: &Packet) -> Counter {
    let index = advert_slot(packet.family, packet.vrid);
    let Some(slot) = slot_at(index) else {
        return Counter::UnknownVrid;
    };
    if slot.configured() == 0 {
        log::unknown(frame.context(), packet);
        return Counter::UnknownVrid;
    }
    let Some(scratch) = scratch() else {
        return Counter::Truncated;
    };
    if !scratch.load(frame, packet) {
        return Counter::Truncated;
    }
    let tracked = slot.fingerprint();
    let fingerprint = fingerprint(config.fingerprint_key, packet, scratch);
    // SAFETY: the helper has no conditions.
    let now_ns = unsafe { bpf_ktime_get_ns() };
    if fingerprint == tracked && header_intact(packet, scratch) {
        slot.stamp(now_ns);
        return Counter::Stamped;
    }

    slot.set_last_other_ns(now_ns);
    let from_tracked = tracked != 0 && scratch.is_from(packet.family, &slot);
    let Some(window) = slot.window().admit(now_ns, from_tracked) else {
        return Counter::RateLimited;
    };
    slot.set_window(window);
    // The frame has an Ethernet header, or it would not be here.
    let source_mac = frame.read(6).unwrap_or_default();
    let header =
        EventHeader { ktime_ns: now_ns, fingerprint, len: 0, slot: index, source_mac, reserved: [0; 2] };
    if scratch.send(packet, header) { Counter::ToUser } else { Counter::RingFull }
}
/// A virtual router's slot. The daemon and other CPUs use it at the same time, hence no reference.
pub(crate) struct Slot(*mut AdvertSlot);

/// The slot at `index`; the map has them all.
#[inline(always)]
pub(crate) fn slot_at(index: u32) -> Option<Slot> {
    HA_ADVERTS.get_ptr_mut(index).map(Slot)
}

impl Slot {
    fields! {
        read fingerprint: u64, configured: u32, count: u64, window_start_ns: u64, window_used: u32, claim_kind: u8,
            claim_auth: u8, claim_priority: u8, claim_flags: u8, claim_password: [u8; 8],
            claim_peers: [u32; CLAIM_PEER_SLOTS];
        write set_last_seen_ns last_seen_ns: u64, set_count count: u64, set_last_other_ns last_other_ns: u64,
            set_window_start_ns window_start_ns: u64, set_window_used window_used: u32;
    }

    /// The tracked master is alive. (Two CPUs may do this at once, and one of the counts is lost: a NIC gives the
    /// packets of one sender to one CPU.)
    #[inline(always)]
    fn stamp(&self, now_ns: u64) {
        self.set_last_seen_ns(now_ns);
        self.set_count(self.count() + 1);
    }

    #[inline(always)]
    fn window(&self) -> Window {
        Window { start_ns: self.window_start_ns(), used: self.window_used() }
    }

    #[inline(always)]
    fn set_window(&self, window: Window) {
        self.set_window_start_ns(window.start_ns);
        self.set_window_used(window.used);
    }

    /// The tracked master's address, or our own while this node is master, in words as they lie in memory.
    #[inline(always)]
    pub(crate) fn source(&self) -> [u32; 4] {
        // SAFETY: inside the entry, and four bytes aligned like the fields in front of it.
        unsafe { (&raw const (*self.0).source).cast::<[u32; 4]>().read_volatile() }
    }
}

/// Words of the longest packet, and those that a pair at its end would take from behind it.
const PACKET_WORDS: usize = EVENT_DATA / 4 + 2;

/// Words that the verifier believes could be read behind them: it does not see that longer headers leave less room for
/// what follows.
const MARGIN: usize = EVENT_HEADERS / 4 + 2;

/// A record of [`HA_EVENTS`] in the making.
#[repr(C)]
pub(crate) struct Scratch {
    header: EventHeader,
    packet: [u32; PACKET_WORDS + MARGIN],
    /// The hash that [`ha_absorb`] goes on with.
    hash: [u64; 4],
}

/// This CPU's scratch memory.
#[inline(always)]
pub(crate) fn scratch() -> Option<&'static mut Scratch> {
    // SAFETY: the entry lives as long as the map, and nobody else on this CPU runs before this program has ended.
    HA_SCRATCH.get_ptr_mut(0).map(|scratch| unsafe { &mut *scratch })
}

impl Scratch {
    /// Copies the IP packet in. False where the frame does not have it.
    #[inline(always)]
    pub(crate) fn load<F: Received>(&mut self, frame: &F, packet: &Packet) -> bool {
        // One check, of the number that the helper's argument is made of: old verifiers do not connect two.
        let less_one = opaque(packet.ip_len.wrapping_sub(1));
        if less_one >= EVENT_DATA {
            return false;
        }
        let len = less_one + 1;
        frame.copy(packet.ip_at, (&raw mut self.packet).cast(), len)
    }

    /// Word `n` of the packet as it lies in memory, for `n` below 512.
    #[inline(always)]
    pub(crate) const fn word(&self, n: usize) -> u32 {
        self.packet[n & 511]
    }

    /// Whether the packet comes from the tracked master's address.
    #[inline(always)]
    fn is_from(&self, family: Family, slot: &Slot) -> bool {
        let source = slot.source();
        match family {
            Family::V4 => self.packet[3] == source[0],
            Family::V6 => {
                self.packet[2] == source[0]
                    && self.packet[3] == source[1]
                    && self.packet[4] == source[2]
                    && self.packet[5] == source[3]
            }
        }
    }

    /// Sends the packet to the daemon. False where the ring has no room.
    #[inline(always)]
    fn send(&mut self, packet: &Packet, header: EventHeader) -> bool {
        let len = opaque(packet.ip_len);
        if len > EVENT_DATA {
            return false;
        }
        self.header = EventHeader { len: len as u32, ..header };
        let record = (&raw mut *self).cast::<c_void>();
        let ring = (&raw const HA_EVENTS).cast_mut().cast::<c_void>();
        // SAFETY: the record is as long as the header and `len`, which was checked against the array behind it.
        unsafe { bpf_ringbuf_output(ring, record, (size_of::<EventHeader>() + len) as u64, 0) == 0 }
    }
}

impl PacketWords for Scratch {
    #[inline(always)]
    fn pair(&self, n: usize) -> u64 {
        if n >= PACKET_WORDS - 1 {
            return 0;
        }
        u64::from(u32::from_le(self.packet[n])) | (u64::from(u32::from_le(self.packet[n + 1])) << 32)
    }

    #[inline(always)]
    fn absorb(&self, hash: FingerprintHash, first: usize, count: usize) -> FingerprintHash {
        let Some(scratch) = HA_SCRATCH.get_ptr_mut(0) else { return hash };
        // SAFETY: the entry lives as long as the map, and nobody else on this CPU uses it.
        unsafe {
            (*scratch).hash = hash.state();
            ha_absorb(first as u64, count as u64);
            FingerprintHash::from_state((*scratch).hash)
        }
    }
}

/// [`PacketWords::absorb`] with the hash in scratch memory. A global function is checked by the verifier once, for
/// all numbers that can be handed to it; inlined, its loop would be walked for every way that leads there.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn ha_absorb(first: u64, count: u64) -> u64 {
    let (first, count) = (first as usize, count as usize);
    let Some(scratch) = scratch() else { return 0 };
    if first > EVENT_HEADERS / 4 {
        return 0;
    }
    let mut hash = FingerprintHash::from_state(scratch.hash);
    for n in 0..PACKET_WORDS / 2 {
        if n >= count {
            break;
        }
        hash = hash.word(scratch.pair(first + 2 * n));
    }
    scratch.hash = hash.state();
    1
}

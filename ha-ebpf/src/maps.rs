//! The maps, and what is done with them.

use core::ffi::c_void;

use aya_ebpf::bindings::BPF_F_MMAPABLE;
use aya_ebpf::btf_maps::{Array, PerCpuArray, RingBuf};
use aya_ebpf::helpers::bpf_ringbuf_output;
use aya_ebpf::helpers::generated::bpf_xdp_load_bytes;
use aya_ebpf::macros::btf_map;
use aya_ebpf::programs::XdpContext;
use ha_common::classify::Packet;
use ha_common::counter::{Counter, JudgedCounters, XdpCounters};
use ha_common::layout::{
    ADVERT_SLOTS, AdvertSlot, EVENT_DATA, EVENT_HEADERS, EVENT_RING_BYTES, EventHeader, InterfaceConfig,
};
use ha_common::types::Family;

/// Settings of the interface.
#[btf_map]
pub(crate) static HA_CONFIG: Array<InterfaceConfig, 1> = Array::new();

/// One slot for each virtual router and family, mapped into the daemon's memory.
#[btf_map]
pub(crate) static HA_ADVERTS: Array<AdvertSlot, { ADVERT_SLOTS as usize }, { BPF_F_MMAPABLE as usize }> =
    Array::new();

/// What this program decided.
#[btf_map]
static HA_COUNTERS: PerCpuArray<XdpCounters, 1> = PerCpuArray::new();

/// What the daemon decided. This program does not touch it: the map is here to be seen beside the others.
#[btf_map]
static HA_JUDGED: Array<JudgedCounters, 1, { BPF_F_MMAPABLE as usize }> = Array::new();

/// Frames for the daemon to judge: an [`EventHeader`] and the IP packet each.
#[btf_map]
static HA_EVENTS: RingBuf<EventHeader, { EVENT_RING_BYTES as usize }> = RingBuf::new();

/// Where a packet is laid out for hashing and sending; it is too large for the stack.
#[btf_map]
pub(crate) static SCRATCH: PerCpuArray<Scratch, 1> = PerCpuArray::new();

/// A record of [`HA_EVENTS`] in the making.
#[repr(C)]
pub(crate) struct Scratch {
    pub(crate) header: EventHeader,
    /// With room behind the longest packet: the verifier adds up the largest offset of a PDU and the longest PDU.
    packet: [u32; PACKET_WORDS],
}

const PACKET_WORDS: usize = (EVENT_DATA + EVENT_HEADERS + 8) / 4;

impl Scratch {
    /// Copies the IP packet in. False where the frame does not have it.
    #[inline(always)]
    pub(crate) fn load(&mut self, context: &XdpContext, packet: &Packet) -> bool {
        let len = packet.ip_len;
        if len == 0 || len > EVENT_DATA {
            return false;
        }
        let target = (&raw mut self.packet).cast::<c_void>();
        #[expect(clippy::cast_possible_truncation, reason = "both are below EVENT_DATA plus two VLAN tags")]
        // SAFETY: `len` bytes fit behind `target`.
        let result = unsafe { bpf_xdp_load_bytes(context.ctx, packet.ip_at as u32, target, len as u32) };
        #[expect(clippy::cast_possible_truncation, reason = "at most EVENT_DATA")]
        let len = len as u32;
        self.header.len = len;
        result == 0
    }

    /// The packet's bytes 4n to 4n + 7.
    #[inline(always)]
    pub(crate) fn pair(&self, n: usize) -> u64 {
        if n + 1 >= PACKET_WORDS {
            return 0;
        }
        u64::from(u32::from_le(self.packet[n])) | (u64::from(u32::from_le(self.packet[n + 1])) << 32)
    }

    /// Whether the packet comes from `source`, which holds an IPv4 address in its first four bytes.
    #[inline(always)]
    pub(crate) fn is_from(&self, family: Family, source: &[u8; 16]) -> bool {
        let (words, _) = source.as_chunks::<4>();
        let same = |at: usize, n: usize| self.packet[at] == u32::from_ne_bytes(words[n]);
        match family {
            Family::V4 => same(3, 0),
            Family::V6 => same(2, 0) && same(3, 1) && same(4, 2) && same(5, 3),
        }
    }

    /// Sends header and packet to the daemon. False where the ring has no room.
    #[inline(always)]
    pub(crate) fn send(&mut self) -> bool {
        let len = u64::from(self.header.len);
        if len > EVENT_DATA as u64 {
            return false;
        }
        let record = (&raw mut *self).cast::<c_void>();
        let ring = (&raw const HA_EVENTS).cast_mut().cast::<c_void>();
        // SAFETY: the record is as long as the header and `len`, which was checked against the array behind it.
        unsafe { bpf_ringbuf_output(ring, record, size_of::<EventHeader>() as u64 + len, 0) == 0 }
    }
}

/// Counts one frame on this CPU.
#[inline(always)]
pub(crate) fn count(counter: Counter) {
    let index = counter.index() as usize;
    if index >= XdpCounters::ALL.len() {
        return;
    }
    if let Some(counters) = HA_COUNTERS.get_ptr_mut(0) {
        // SAFETY: the fields are as many u64 in the order of the indices, and this CPU's copy is nobody else's.
        unsafe { *counters.cast::<u64>().add(index) += 1 };
    }
}

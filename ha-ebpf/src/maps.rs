//! The maps. All but `HA_ALIVE` and the scratch memory are pinned.

use aya_ebpf::bindings::{BPF_F_MMAPABLE, BPF_F_NO_PREALLOC};
use aya_ebpf::btf_maps::{Array, HashMap, LruHashMap, PerCpuArray, ProgramArray, RingBuf};
use aya_ebpf::macros::btf_map;
use ha_common::counter::{Counter, JudgedCounters, XdpCounters};
use ha_common::layout::{
    ADVERT_SLOTS, AdvertSlot, EVENT_RING_BYTES, EventHeader, InterfaceConfig, LeaseSlot, PEER_SLOTS,
    PROBER_SLOTS, PeerSlot, ProberSlot, VIP_SLOTS, VipSlot,
};

use crate::advert::Scratch;
use crate::probe::Image;

const MMAPABLE: usize = BPF_F_MMAPABLE as usize;
const NO_PREALLOC: usize = BPF_F_NO_PREALLOC as usize;

/// Settings of the interface.
#[btf_map]
pub(crate) static HA_CONFIG: Array<InterfaceConfig, 1> = Array::new();

/// One slot for each virtual router and family, mapped into the daemon's memory.
#[btf_map]
pub(crate) static HA_ADVERTS: Array<AdvertSlot, { ADVERT_SLOTS as usize }, MMAPABLE> = Array::new();

/// What this program decided.
#[btf_map]
static HA_COUNTERS: PerCpuArray<XdpCounters, 1> = PerCpuArray::new();

/// What the daemon decided. This program does not touch it: the map is here to be seen beside the others.
#[btf_map]
static HA_JUDGED: Array<JudgedCounters, 1, MMAPABLE> = Array::new();

/// Frames for the daemon to judge: an [`EventHeader`] and the IP packet each.
#[btf_map]
pub(crate) static HA_EVENTS: RingBuf<EventHeader, { EVENT_RING_BYTES as usize }> = RingBuf::new();

/// What this node says of itself, and when its fence closes. Mapped into the daemon's memory.
#[btf_map]
pub(crate) static HA_LEASE: Array<LeaseSlot, 1, MMAPABLE> = Array::new();

/// The virtual addresses that the fence is about, by [`ha_common::layout::AddressKey`].
#[btf_map]
pub(crate) static HA_VIPS: HashMap<[u64; 2], VipSlot, { VIP_SLOTS as usize }, NO_PREALLOC> = HashMap::new();

/// The routers that we probe. Mapped into the daemon's memory.
#[btf_map]
pub(crate) static HA_PEERS: Array<PeerSlot, { PEER_SLOTS as usize }, MMAPABLE> = Array::new();

/// The routers that probe us, by [`ha_common::layout::AddressKey`].
#[btf_map]
pub(crate) static HA_PROBERS: LruHashMap<[u64; 2], ProberSlot, { PROBER_SLOTS as usize }> = LruHashMap::new();

/// The dead-man's switch: leads to `ha_live` for as long as the daemon holds a descriptor of it.
#[btf_map]
pub(crate) static HA_ALIVE: ProgramArray<1> = ProgramArray::new();

/// Where a packet is laid out for hashing and sending; it is too large for the stack.
#[btf_map]
pub(crate) static HA_SCRATCH: PerCpuArray<Scratch, 1> = PerCpuArray::new();

/// Where a liveness probe is laid out.
#[btf_map]
pub(crate) static HA_IMAGE: PerCpuArray<Image, 1> = PerCpuArray::new();

/// Counts one frame on this CPU.
#[inline(always)]
pub(crate) fn count(counter: Counter) {
    count_at(counter.index() as usize);
}

/// [`count`] for the index of a counter that is known only at run time. A global function: its argument stays in a
/// register. On the stack there may be a copy of before the comparison, of which the verifier of 5.10 learns nothing.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn ha_count(index: u64) -> u64 {
    count_at(index as usize);
    0
}

#[inline(always)]
fn count_at(index: usize) {
    if index >= XdpCounters::ALL.len() {
        return;
    }
    if let Some(counters) = HA_COUNTERS.get_ptr_mut(0) {
        // SAFETY: the fields are as many u64 in the order of the indices, and this CPU's copy is nobody else's.
        unsafe { *counters.cast::<u64>().add(index) += 1 };
    }
}

/// Methods for the fields of a map entry that `self.0` points to. The daemon and other CPUs use the entry at the same
/// time, hence neither references nor copies of whole entries.
macro_rules! fields {
    (read $($field:ident: $type:ty),*; write $($set:ident $written:ident: $value:ty),+;) => {
        $(
            #[inline(always)]
            pub(crate) fn $field(&self) -> $type {
                // SAFETY: the kernel keeps the entry while the program runs.
                unsafe { (&raw const (*self.0).$field).read_volatile() }
            }
        )*
        $(
            #[inline(always)]
            pub(crate) fn $set(&self, value: $value) {
                // SAFETY: as for reading.
                unsafe { (&raw mut (*self.0).$written).write_volatile(value) }
            }
        )+
    };
}

pub(crate) use fields;

//! What the XDP program read from the replies of the routers that are probed, and who probes us: `HA_PEERS` and
//! `HA_PROBERS`.

use std::io;
use std::mem::offset_of;
use std::net::IpAddr;
use std::num::NonZeroU64;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering, fence};

use aya::maps::{HashMap, MapData, MapError};
use ha_common::layout::{AddressKey, PEER_SLOTS, PeerSlot, ProberSlot, address_key};
use ha_common::probe::{FORMAT, Masters, Reply};
use ha_common::time::{Span, Time};

use super::sys::Mapping;

/// Index in `HA_PEERS`: the `slot` of probes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerIndex(u16);

impl PeerIndex {
    /// `None` where there is no such entry.
    #[must_use]
    pub const fn new(index: u16) -> Option<Self> {
        if index < PEER_SLOTS { Some(Self(index)) } else { None }
    }

    /// The number as it is sent.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }
}

/// The last believed reply of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastReply {
    /// When it came.
    pub at: Time,
    /// What it said; slot and prober are those of the entry.
    pub reply: Reply,
    /// How many replies have been believed.
    pub count: u64,
}

/// `HA_PEERS`, mapped. Clones share the memory; any thread may read, one writes.
#[derive(Clone, Debug)]
pub struct Peers {
    memory: Arc<Mapping>,
}

impl Peers {
    pub(super) fn map(map: impl AsFd) -> io::Result<Self> {
        let bytes = usize::from(PEER_SLOTS) * size_of::<PeerSlot>();
        Ok(Self { memory: Arc::new(Mapping::new(map, bytes)?) })
    }

    /// Whether both are the same memory.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.memory, &other.memory)
    }

    /// Makes an entry for a peer: replies from `address` to probes of `prober` are believed from now on, in the
    /// order of their sequences, which start at 1.
    pub fn configure(&self, index: PeerIndex, address: IpAddr, prober: NonZeroU64) {
        self.clear(index);
        let key = address_key(address);
        let (words, _) = key.as_chunks::<8>();
        for (n, word) in words.iter().enumerate() {
            self.u64(index, offset_of!(PeerSlot, address) + n * 8)
                .store(u64::from_ne_bytes(*word), Ordering::Relaxed);
        }
        self.u64(index, offset_of!(PeerSlot, prober)).store(prober.get(), Ordering::Release);
    }

    /// Empties an entry: no reply is believed for it.
    pub fn clear(&self, index: PeerIndex) {
        // First what lets the program write the rest.
        self.u64(index, offset_of!(PeerSlot, prober)).store(0, Ordering::Release);
        for at in (0..size_of::<PeerSlot>()).step_by(8) {
            if at != offset_of!(PeerSlot, prober) && at != offset_of!(PeerSlot, generation) {
                self.u64(index, at).store(0, Ordering::Release);
            }
        }
    }

    /// Empties all entries.
    pub(super) fn reset(&self) {
        for index in (0..PEER_SLOTS).filter_map(PeerIndex::new) {
            self.clear(index);
        }
    }

    /// Says that the probe `sequence` is about to be sent. Without this its reply is not believed.
    pub fn set_sent(&self, index: PeerIndex, sequence: u64) {
        self.u64(index, offset_of!(PeerSlot, sent)).store(sequence, Ordering::Release);
    }

    /// The sequence of the last reply alone: one load. Zero before the first.
    #[must_use]
    pub fn answered(&self, index: PeerIndex) -> u64 {
        self.u64(index, offset_of!(PeerSlot, sequence)).load(Ordering::Acquire)
    }

    /// The sequence of the last reply under the key in force; zero before the first.
    #[must_use]
    pub fn answered_under_current_key(&self, index: PeerIndex) -> u64 {
        self.u64(index, offset_of!(PeerSlot, current_key_sequence)).load(Ordering::Acquire)
    }

    /// The last believed reply; `None` before the first. Its fields are of one reply
    /// (on CPUs that keep the order of stores, as x86 does; elsewhere they may be of two that follow each other).
    #[must_use]
    pub fn last_reply(&self, index: PeerIndex) -> Option<LastReply> {
        // The program needs some nanoseconds for writing and a millisecond until it writes again: one repetition is
        // enough, unless a hypervisor stops its CPU just there. Then fields of two replies beat waiting.
        let mut last = self.read(index);
        for _ in 0..4 {
            let before = self.u64(index, offset_of!(PeerSlot, generation)).load(Ordering::Acquire);
            last = self.read(index);
            fence(Ordering::Acquire);
            let after = self.u64(index, offset_of!(PeerSlot, generation)).load(Ordering::Relaxed);
            if before == after && before.is_multiple_of(2) {
                break;
            }
            std::hint::spin_loop();
        }
        (last.count > 0).then_some(last)
    }

    fn read(&self, index: PeerIndex) -> LastReply {
        let field = |at| self.u64(index, at).load(Ordering::Relaxed);
        let masters: [u64; 4] = std::array::from_fn(|n| field(offset_of!(PeerSlot, masters) + n * 8));
        let reply = Reply {
            format: FORMAT,
            slot: index.0,
            sequence: field(offset_of!(PeerSlot, sequence)),
            prober: field(offset_of!(PeerSlot, prober)),
            flags: field(offset_of!(PeerSlot, flags)).to_le_bytes()[0],
            responder: field(offset_of!(PeerSlot, responder)),
            lease: Span(field(offset_of!(PeerSlot, lease_left_ns))),
            masters: Masters(bytemuck::cast(masters)),
            rank: field(offset_of!(PeerSlot, rank)).to_le_bytes()[0],
        };
        LastReply {
            at: Time(field(offset_of!(PeerSlot, last_reply_ns))),
            reply,
            count: field(offset_of!(PeerSlot, replies)),
        }
    }

    /// The peer of an entry as the map has it, `None` for an unused one.
    #[must_use]
    pub fn address(&self, index: PeerIndex) -> Option<IpAddr> {
        if self.u64(index, offset_of!(PeerSlot, prober)).load(Ordering::Acquire) == 0 {
            return None;
        }
        let words: [u64; 2] = std::array::from_fn(|n| {
            self.u64(index, offset_of!(PeerSlot, address) + n * 8).load(Ordering::Relaxed)
        });
        let key: AddressKey = bytemuck::cast(words);
        Some(std::net::Ipv6Addr::from(key).to_canonical())
    }

    fn u64(&self, index: PeerIndex, field: usize) -> &AtomicU64 {
        self.memory.u64(usize::from(index.0) * size_of::<PeerSlot>() + field)
    }
}

/// A router that probes us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prober {
    /// Its address.
    pub address: IpAddr,
    /// When it was last answered.
    pub last: Time,
    /// How often it was answered.
    pub count: u64,
}

/// `HA_PROBERS`, which only the program writes.
pub struct Probers {
    map: HashMap<MapData, AddressKey, ProberSlot>,
}

impl std::fmt::Debug for Probers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HA_PROBERS")
    }
}

impl Probers {
    pub(super) const fn new(map: HashMap<MapData, AddressKey, ProberSlot>) -> Self {
        Self { map }
    }

    /// Everybody who probes us, or did until somebody else needed the entry.
    ///
    /// # Errors
    ///
    /// What the kernel says to reading the map.
    pub fn read(&self) -> Result<Vec<Prober>, MapError> {
        self.map
            .iter()
            .map(|entry| {
                let (key, slot) = entry?;
                let address = std::net::Ipv6Addr::from(key).to_canonical();
                Ok(Prober { address, last: Time(slot.last_ns), count: slot.count })
            })
            .collect()
    }
}

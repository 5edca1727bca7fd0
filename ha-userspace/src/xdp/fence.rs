//! What the XDP program says of this node and when it stops answering for it: `HA_LEASE` and `HA_VIPS`.
//!
//! The rules are docs/liveness.md's; the program applies them (`ha-common/src/fence.rs`). Here is only the memory
//! that they are applied to.

use std::collections::BTreeSet;
use std::io;
use std::mem::offset_of;
use std::net::IpAddr;
use std::num::NonZeroU64;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aya::maps::{HashMap, MapData, MapError};
use ha_common::fence::Guard;
use ha_common::layout::{AddressKey, LeaseSlot, address_key};
use ha_common::time::Time;
use ha_common::types::{Family, Vrid};

use super::sys::Mapping;

/// `HA_LEASE`, mapped. Clones share the memory; every call is a few atomic accesses, from any thread.
#[derive(Clone, Debug)]
pub struct Lease {
    memory: Arc<Mapping>,
}

impl Lease {
    pub(super) fn map(map: impl AsFd) -> io::Result<Self> {
        Ok(Self { memory: Arc::new(Mapping::new(map, size_of::<LeaseSlot>())?) })
    }

    /// The id that replies carry, random per run; zero where probes are not answered.
    #[must_use]
    pub fn incarnation(&self) -> u64 {
        self.u64(offset_of!(LeaseSlot, incarnation)).load(Ordering::Relaxed)
    }

    /// Answers probes as `incarnation`, or not at all.
    pub fn set_incarnation(&self, incarnation: Option<NonZeroU64>) {
        self.u64(offset_of!(LeaseSlot, incarnation))
            .store(incarnation.map_or(0, NonZeroU64::get), Ordering::Release);
    }

    /// Vouches for this node until then. Never shortens the lease.
    pub fn renew(&self, until: Time) {
        self.u64(offset_of!(LeaseSlot, lease_until_ns)).fetch_max(until.0, Ordering::Release);
    }

    /// Until when this node is vouched for; long ago where it never was.
    #[must_use]
    pub fn until(&self) -> Time {
        Time(self.u64(offset_of!(LeaseSlot, lease_until_ns)).load(Ordering::Acquire))
    }

    /// A planned restart: until then the fence stays open although nobody may run the program, and replies say
    /// `RESTARTING`. A time in the past ends the window.
    pub fn open_restart_window(&self, until: Time) {
        self.u64(offset_of!(LeaseSlot, restart_until_ns)).store(until.0, Ordering::Release);
    }

    /// The end of the restart window, long ago where there is none.
    #[must_use]
    pub fn restart_until(&self) -> Time {
        Time(self.u64(offset_of!(LeaseSlot, restart_until_ns)).load(Ordering::Acquire))
    }

    /// Says in replies whether this node is master for a virtual router.
    pub fn set_master(&self, family: Family, vrid: Vrid, master: bool) {
        let (word, bit) = self.master_bit(family, vrid);
        if master {
            word.fetch_or(bit, Ordering::Release);
        } else {
            word.fetch_and(!bit, Ordering::Release);
        }
    }

    /// What replies say.
    #[must_use]
    pub fn is_master(&self, family: Family, vrid: Vrid) -> bool {
        let (word, bit) = self.master_bit(family, vrid);
        word.load(Ordering::Acquire) & bit != 0
    }

    /// When a probe was last answered; `None` for never.
    #[must_use]
    pub fn last_probe(&self) -> Option<Time> {
        match self.u64(offset_of!(LeaseSlot, last_probe_ns)).load(Ordering::Acquire) {
            0 => None,
            at => Some(Time(at)),
        }
    }

    /// The MAC address to which probes must be sent.
    pub fn set_mac(&self, mac: [u8; 6]) {
        let [a, b, c, d, e, f] = mac;
        let at = offset_of!(LeaseSlot, mac);
        self.memory.u64(at).store(u64::from_ne_bytes([a, b, c, d, e, f, 0, 0]), Ordering::Release);
    }

    /// Demands and makes tags under `key` (two little-endian words of `fast_key`), or none.
    pub fn set_key(&self, key: Option<[u64; 2]>) {
        let authenticated = self.memory.u32(offset_of!(LeaseSlot, authenticated));
        let at = offset_of!(LeaseSlot, key);
        // No tag is right while the key is being replaced.
        for (n, word) in key.unwrap_or_default().into_iter().enumerate() {
            self.u64(at + n * 8).store(word, Ordering::Release);
        }
        authenticated.store(u32::from(key.is_some()), Ordering::Release);
    }

    /// What decides over the fence and over the flags of replies, as the program sees it.
    #[must_use]
    pub fn guard(&self) -> Guard {
        let LeaseSlot { orphaned, lease_until_ns, restart_until_ns, last_probe_ns, .. } = self.snapshot();
        Guard { orphaned: orphaned != 0, lease_until_ns, restart_until_ns, last_probe_ns }
    }

    /// A copy of everything, for display and for taking over from an earlier run.
    #[must_use]
    pub fn snapshot(&self) -> LeaseSlot {
        const WORDS: usize = size_of::<LeaseSlot>() / 8;
        let words: [u64; WORDS] = std::array::from_fn(|n| self.u64(n * 8).load(Ordering::Relaxed));
        bytemuck::cast(words)
    }

    /// Says in replies that this node is master for nothing.
    pub fn clear_masters(&self) {
        for family in [Family::V4, Family::V6] {
            for n in 0..4 {
                self.u64(Self::masters_at(family) + n * 8).store(0, Ordering::Release);
            }
        }
    }

    const fn masters_at(family: Family) -> usize {
        match family {
            Family::V4 => offset_of!(LeaseSlot, masters_v4),
            Family::V6 => offset_of!(LeaseSlot, masters_v6),
        }
    }

    fn master_bit(&self, family: Family, vrid: Vrid) -> (&AtomicU64, u64) {
        let n = usize::from(vrid.get());
        (self.u64(Self::masters_at(family) + n / 64 * 8), 1 << (n % 64))
    }

    fn u64(&self, at: usize) -> &AtomicU64 {
        self.memory.u64(at)
    }
}

/// `HA_VIPS`: the addresses that the fence is about.
pub struct Vips {
    map: HashMap<MapData, AddressKey, u32>,
    current: BTreeSet<AddressKey>,
}

impl std::fmt::Debug for Vips {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HA_VIPS").field("current", &self.current.len()).finish()
    }
}

impl Vips {
    /// Takes over what an earlier run left in the map.
    pub(super) fn new(map: HashMap<MapData, AddressKey, u32>) -> Result<Self, MapError> {
        let current = map.keys().collect::<Result<_, _>>()?;
        Ok(Self { map, current })
    }

    /// The addresses that this node serves on the interface from now on: all that it holds, before they are
    /// installed.
    ///
    /// # Errors
    ///
    /// What the kernel says to changing the map; the set is then between the old and the new one.
    pub fn set(&mut self, addresses: impl IntoIterator<Item = IpAddr>) -> Result<(), MapError> {
        let wanted: BTreeSet<_> = addresses.into_iter().map(address_key).collect();
        for key in wanted.difference(&self.current.clone()) {
            self.map.insert(key, 1, 0)?;
            self.current.insert(*key);
        }
        for key in self.current.clone().difference(&wanted) {
            self.map.remove(key)?;
            self.current.remove(key);
        }
        Ok(())
    }

    /// The addresses in the map, in no useful order.
    pub fn iter(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.current.iter().map(|key| std::net::Ipv6Addr::from(*key).to_canonical())
    }
}

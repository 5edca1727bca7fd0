//! What the XDP program says of this node and when it stops answering for it: `HA_LEASE` and `HA_VIPS`.
//!
//! The rules are docs/liveness.md's; the program applies them (`ha-common/src/fence.rs`). Here is only the memory
//! that they are applied to.

use std::collections::BTreeMap;
use std::io;
use std::mem::offset_of;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU64;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use aya::maps::{HashMap, MapData, MapError};
use ha_common::fence::Guard;
use ha_common::layout::{
    AddressKey, LeaseSlot, SPECIAL_APART, SPECIAL_NO_ACCEPT, SPECIAL_STANDBY, SPECIAL_SUPPRESSED, VipSlot,
    address_key,
};
use ha_common::probe::{Keys, Secret};
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
        self.set_bit(Self::masters_at(family), vrid, master);
    }

    /// What replies say.
    #[must_use]
    pub fn is_master(&self, family: Family, vrid: Vrid) -> bool {
        self.bit(Self::masters_at(family), vrid)
    }

    /// Says whether addresses of a virtual router may be on the interface: to be said before they are added, and to
    /// be taken back after they have been removed. While that is so, other routers' adverts count when nobody vouches
    /// for this node.
    pub fn set_held(&self, family: Family, vrid: Vrid, held: bool) {
        self.set_bit(Self::held_at(family), vrid, held);
    }

    /// See [`Lease::set_held`].
    #[must_use]
    pub fn is_held(&self, family: Family, vrid: Vrid) -> bool {
        self.bit(Self::held_at(family), vrid)
    }

    /// Leaves solicitations for a virtual router's addresses (ARP requests, neighbour solicitations) to its successor, or
    /// lets them through again. Other traffic is not touched. One thread calls this.
    pub fn set_suppressed(&self, family: Family, vrid: Vrid, suppressed: bool) {
        self.set_special(SPECIAL_SUPPRESSED, Self::suppressed_at, (family, vrid), suppressed);
    }

    /// See [`Lease::set_suppressed`].
    #[must_use]
    pub fn is_suppressed(&self, family: Family, vrid: Vrid) -> bool {
        self.bit(Self::suppressed_at(family), vrid)
    }

    /// Lets nothing for a virtual router's addresses through, whoever runs the program, or lets it through again: they are
    /// on the interface of a backup. One thread calls this.
    pub fn set_standby(&self, family: Family, vrid: Vrid, standby: bool) {
        self.set_special(SPECIAL_STANDBY, Self::standby_at, (family, vrid), standby);
    }

    /// See [`Lease::set_standby`].
    #[must_use]
    pub fn is_standby(&self, family: Family, vrid: Vrid) -> bool {
        self.bit(Self::standby_at(family), vrid)
    }

    /// Sets or clears a virtual router's bit, and the one that says whether any is set: what closes a fence comes first.
    fn set_special(&self, kind: u32, at: fn(Family) -> usize, (family, vrid): (Family, Vrid), set: bool) {
        let special = self.memory.u32(offset_of!(LeaseSlot, special));
        self.set_bit(at(family), vrid, set);
        if set {
            special.fetch_or(kind, Ordering::SeqCst);
        } else if !self.any(at) {
            special.fetch_and(!kind, Ordering::SeqCst);
        }
    }

    /// Looks at packets for virtual addresses with `no_accept`, or at none. One thread calls this.
    pub fn set_refusing(&self, refusing: bool) {
        let special = self.memory.u32(offset_of!(LeaseSlot, special));
        if refusing {
            special.fetch_or(SPECIAL_NO_ACCEPT, Ordering::SeqCst);
        } else {
            special.fetch_and(!SPECIAL_NO_ACCEPT, Ordering::SeqCst);
        }
    }

    /// Says in replies that no virtual router of the interface takes part in fast failover, or that some do. One thread
    /// calls this.
    pub fn set_apart(&self, apart: bool) {
        let special = self.memory.u32(offset_of!(LeaseSlot, special));
        if apart {
            special.fetch_or(SPECIAL_APART, Ordering::SeqCst);
        } else {
            special.fetch_and(!SPECIAL_APART, Ordering::SeqCst);
        }
    }

    /// See [`Lease::set_apart`].
    #[must_use]
    pub fn is_apart(&self) -> bool {
        self.memory.u32(offset_of!(LeaseSlot, special)).load(Ordering::SeqCst) & SPECIAL_APART != 0
    }

    /// Whether another router has taken over a virtual router while nobody vouched for this node: its fence is closed
    /// until [`Lease::clear_superseded`].
    #[must_use]
    pub fn is_superseded(&self, family: Family, vrid: Vrid) -> bool {
        self.superseded_at(family, vrid).load(Ordering::Acquire) != 0
    }

    /// Opens the fence of a virtual router that was superseded. Its addresses must be gone, or this node its master
    /// by right. One thread calls this.
    pub fn clear_superseded(&self, family: Family, vrid: Vrid) {
        if !self.is_superseded(family, vrid) {
            return;
        }
        self.superseded_at(family, vrid).store(0, Ordering::SeqCst);
        // The program sets the router's first, and then this.
        let flag = self.memory.u32(offset_of!(LeaseSlot, superseded));
        flag.store(0, Ordering::SeqCst);
        let mut all = [Family::V4, Family::V6]
            .into_iter()
            .flat_map(|family| (1..=u8::MAX).filter_map(Vrid::new).map(move |vrid| (family, vrid)));
        if all.any(|(family, vrid)| self.is_superseded(family, vrid)) {
            flag.store(1, Ordering::SeqCst);
        }
    }

    /// Whether any virtual router was superseded: one access, for every turn.
    #[must_use]
    pub fn any_superseded(&self) -> bool {
        self.memory.u32(offset_of!(LeaseSlot, superseded)).load(Ordering::Acquire) != 0
    }

    /// Whether a router that probes would take this virtual router over, as it said within the last two seconds of its
    /// probing. Whether it still probes is another question ([`Lease::last_probe`]).
    #[must_use]
    pub fn is_wanted(&self, family: Family, vrid: Vrid) -> bool {
        let [now, earlier] = match family {
            Family::V4 => [offset_of!(LeaseSlot, wanted_v4), offset_of!(LeaseSlot, earlier_v4)],
            Family::V6 => [offset_of!(LeaseSlot, wanted_v6), offset_of!(LeaseSlot, earlier_v6)],
        };
        self.bit(now, vrid) || self.bit(earlier, vrid)
    }

    /// The addresses to which probes must be sent, one of each family; `None` for any.
    pub fn set_own(&self, v4: Option<Ipv4Addr>, v6: Option<Ipv6Addr>) {
        let v4 = v4.map_or([0; 4], |address| address.octets());
        self.memory.u32(offset_of!(LeaseSlot, own_v4)).store(u32::from_ne_bytes(v4), Ordering::Release);
        let words: [u64; 2] = bytemuck::cast(v6.map_or([0; 16], |address| address.octets()));
        for (n, word) in words.into_iter().enumerate() {
            self.u64(offset_of!(LeaseSlot, own_v6) + n * 8).store(word, Ordering::Release);
        }
    }

    /// When a known router last probed again after a pause; long ago for never.
    #[must_use]
    pub fn resumed(&self) -> Time {
        Time(self.u64(offset_of!(LeaseSlot, resumed_ns)).load(Ordering::Acquire))
    }

    /// When a known router's probe was last answered; `None` for never.
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

    /// The keys that count, `None` where nobody has said it yet.
    #[must_use]
    pub fn keys(&self) -> Option<Keys> {
        let slot = self.snapshot();
        let other = match slot.other_until_ns {
            0 => return None,
            1 => None,
            until => Some((Secret::from_stored(slot.other_authenticated, slot.other_key), Time(until))),
        };
        Some(Keys { current: Secret::from_stored(slot.authenticated, slot.key), other })
    }

    /// Demands and makes tags under these keys. One thread calls this.
    pub fn set_keys(&self, keys: &Keys) {
        let put = |mode_at, key_at, secret| {
            let (mode, key) = Secret::stored(secret);
            // No tag is right while a key is being replaced.
            for (n, word) in key.into_iter().enumerate() {
                self.u64(key_at + n * 8).store(word, Ordering::Release);
            }
            self.memory.u32(mode_at).store(mode, Ordering::Release);
        };
        // The key that is to become the other one counts as that before it is replaced.
        let (other, until) = keys.other.map_or((None, 1), |(secret, until)| (secret, until.0));
        put(offset_of!(LeaseSlot, other_authenticated), offset_of!(LeaseSlot, other_key), other);
        self.u64(offset_of!(LeaseSlot, other_until_ns)).store(until, Ordering::Release);
        put(offset_of!(LeaseSlot, authenticated), offset_of!(LeaseSlot, key), keys.current);
    }

    /// The same with one key, or none.
    pub fn set_key(&self, secret: Option<Secret>) {
        self.set_keys(&Keys::new(secret, None));
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

    const fn held_at(family: Family) -> usize {
        match family {
            Family::V4 => offset_of!(LeaseSlot, held_v4),
            Family::V6 => offset_of!(LeaseSlot, held_v6),
        }
    }

    const fn suppressed_at(family: Family) -> usize {
        match family {
            Family::V4 => offset_of!(LeaseSlot, suppressed_v4),
            Family::V6 => offset_of!(LeaseSlot, suppressed_v6),
        }
    }

    const fn standby_at(family: Family) -> usize {
        match family {
            Family::V4 => offset_of!(LeaseSlot, standby_v4),
            Family::V6 => offset_of!(LeaseSlot, standby_v6),
        }
    }

    fn superseded_at(&self, family: Family, vrid: Vrid) -> &AtomicU8 {
        let at = match family {
            Family::V4 => offset_of!(LeaseSlot, superseded_v4),
            Family::V6 => offset_of!(LeaseSlot, superseded_v6),
        };
        self.memory.u8(at + usize::from(vrid.get()))
    }

    /// Whether any virtual router's solicitations are left to a successor.
    #[must_use]
    pub fn any_suppressed(&self) -> bool {
        self.any(Self::suppressed_at)
    }

    /// Whether any virtual router's addresses are on the interface of a backup.
    #[must_use]
    pub fn any_standby(&self) -> bool {
        self.any(Self::standby_at)
    }

    fn any(&self, at: fn(Family) -> usize) -> bool {
        let word = |family, n| self.u64(at(family) + n * size_of::<u64>()).load(Ordering::SeqCst);
        [Family::V4, Family::V6].into_iter().any(|family| (0..4).any(|n| word(family, n) != 0))
    }

    fn bit(&self, at: usize, vrid: Vrid) -> bool {
        let (word, bit) = self.place(at, vrid);
        word.load(Ordering::Acquire) & bit != 0
    }

    fn set_bit(&self, at: usize, vrid: Vrid, set: bool) {
        let (word, bit) = self.place(at, vrid);
        if set {
            word.fetch_or(bit, Ordering::SeqCst);
        } else {
            word.fetch_and(!bit, Ordering::SeqCst);
        }
    }

    fn place(&self, at: usize, vrid: Vrid) -> (&AtomicU64, u64) {
        let n = usize::from(vrid.get());
        (self.u64(at + n / 64 * size_of::<u64>()), 1 << (n % 64))
    }

    fn u64(&self, at: usize) -> &AtomicU64 {
        self.memory.u64(at)
    }
}

/// `HA_VIPS`: the addresses that the fence is about, and whose they are.
pub struct Vips {
    map: HashMap<MapData, AddressKey, VipSlot>,
    current: BTreeMap<AddressKey, VipSlot>,
}

impl std::fmt::Debug for Vips {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HA_VIPS").field("current", &self.current.len()).finish()
    }
}

impl Vips {
    /// Takes over what an earlier run left in the map.
    pub(super) fn new(map: HashMap<MapData, AddressKey, VipSlot>) -> Result<Self, MapError> {
        let current = map.iter().collect::<Result<_, _>>()?;
        Ok(Self { map, current })
    }

    /// The addresses that this node serves on the interface from now on, with their virtual routers: all that it
    /// holds, before they are installed. Of an address that is named twice the first counts.
    ///
    /// # Errors
    ///
    /// What the kernel says to changing the map; the set is then between the old and the new one.
    pub fn set(&mut self, addresses: impl IntoIterator<Item = (IpAddr, VipSlot)>) -> Result<(), MapError> {
        let mut wanted = BTreeMap::new();
        for (address, slot) in addresses {
            wanted.entry(address_key(address)).or_insert(slot);
        }
        for (key, slot) in &wanted {
            if self.current.get(key) != Some(slot) {
                self.map.insert(key, slot, 0)?;
                self.current.insert(*key, *slot);
            }
        }
        let gone: Vec<_> = self.current.keys().filter(|key| !wanted.contains_key(*key)).copied().collect();
        for key in gone {
            self.map.remove(&key)?;
            self.current.remove(&key);
        }
        Ok(())
    }

    /// Whose an address is in the map.
    #[must_use]
    pub fn owner(&self, address: IpAddr) -> Option<VipSlot> {
        self.current.get(&address_key(address)).copied()
    }

    /// The addresses in the map with their virtual routers, in no useful order.
    pub fn iter(&self) -> impl Iterator<Item = (IpAddr, VipSlot)> + '_ {
        self.current.iter().map(|(key, slot)| (Ipv6Addr::from(*key).to_canonical(), *slot))
    }
}

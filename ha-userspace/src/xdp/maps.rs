//! The maps that the daemon and the XDP program share, as typed memory.
//!
//! Every access to the memory is atomic, because the program writes on other CPUs at the same time.

use std::io;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use aya::maps::{MapData, MapError, PerCpuArray};
use ha_common::counter::{Counter, JudgedCounters, XdpCounters};
use ha_common::layout::{
    ADVERT_SLOTS, AdvertSlot, CLAIM_ADDRESSES, CLAIM_PEER_SLOTS, CLAIM_PEERS, ROUTER_CONFIGURED,
    ROUTER_UNICAST, advert_slot, folded,
};
use ha_common::time::Time;
use ha_common::types::{Family, Priority, Version, Vrid};

use super::sys::Mapping;

/// A fingerprint that no advert has, but for one in 2^64, and nobody who does not know the key can look for it.
const UNLIKE_ANY: u64 = u64::MAX;

/// Index of a virtual router in `HA_ADVERTS`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(u32);

impl Slot {
    /// The slot of a virtual router.
    #[must_use]
    pub const fn of(family: Family, vrid: Vrid) -> Self {
        Self(advert_slot(family, vrid))
    }

    /// `None` where `index` is no slot's.
    #[must_use]
    pub const fn from_index(index: u32) -> Option<Self> {
        if index < ADVERT_SLOTS && !index.is_multiple_of(256) { Some(Self(index)) } else { None }
    }

    /// The virtual router.
    #[must_use]
    pub fn router(self) -> (Family, Vrid) {
        let family = if self.0 < 256 { Family::V4 } else { Family::V6 };
        let [vrid, ..] = self.0.to_le_bytes();
        (family, Vrid::new(vrid).expect("no slot has VRID 0"))
    }
}

/// How the adverts of a virtual router travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Travel {
    /// To the standard group.
    Multicast,
    /// To the peers' addresses.
    Unicast,
}

/// Which adverts count while nobody judges them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClaimRule {
    /// The only version.
    pub version: Version,
    /// Authentication type and password of VRRPv2; `None` where the program cannot judge it.
    pub auth: Option<(u8, [u8; 8])>,
    /// This router's priority.
    pub priority: Priority,
    /// Only those of known routers.
    pub peers_only: bool,
    /// Only those with an address of this virtual router.
    pub addresses: bool,
}

/// What the map says of the tracked master and of others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// When the tracked master's advert last came.
    pub at: Time,
    /// How many tracked adverts have been stamped.
    pub count: u64,
    /// When a frame last came that was not the tracked advert, whether or not it could be handed up. Later than
    /// every event that has been drained, where frames were lost or are still queued.
    pub other_at: Time,
}

/// `HA_ADVERTS`, mapped. One thread of the daemon writes; any may read.
#[derive(Debug)]
pub struct Adverts {
    memory: Mapping,
}

impl Adverts {
    pub(super) fn map(map: impl AsFd) -> io::Result<Self> {
        Ok(Self { memory: Mapping::new(map, ADVERT_SLOTS as usize * size_of::<AdvertSlot>())? })
    }

    /// Says whether an instance of this virtual router runs here, and how its adverts travel: only then are its
    /// frames handed up.
    pub fn configure(&self, slot: Slot, router: Option<Travel>) {
        if router.is_none() {
            self.untrack(slot);
        }
        let flags = match router {
            None => 0,
            Some(Travel::Multicast) => ROUTER_CONFIGURED,
            Some(Travel::Unicast) => ROUTER_CONFIGURED | ROUTER_UNICAST,
        };
        self.u32(slot, std::mem::offset_of!(AdvertSlot, configured)).store(flags, Ordering::Release);
    }

    /// Says which adverts count while nobody judges them.
    pub fn judge_claims(&self, slot: Slot, rule: &ClaimRule) {
        let kind = match rule.version {
            Version::V2 => 0x21,
            Version::V3 => 0x31,
        };
        let (auth, password) = rule.auth.unwrap_or((0xff, [0; 8]));
        let flags =
            if rule.peers_only { CLAIM_PEERS } else { 0 } | if rule.addresses { CLAIM_ADDRESSES } else { 0 };
        let at = std::mem::offset_of!(AdvertSlot, claim_password);
        self.u64(slot, at).store(u64::from_ne_bytes(password), Ordering::Release);
        let bytes = [kind, auth, rule.priority.get(), flags];
        let at = std::mem::offset_of!(AdvertSlot, claim_kind);
        self.u32(slot, at).store(u32::from_ne_bytes(bytes), Ordering::Release);
    }

    /// The routers that are known: configured peers, or those whose adverts were accepted. The first
    /// [`CLAIM_PEER_SLOTS`] count.
    pub fn know(&self, slot: Slot, peers: &[IpAddr]) {
        for n in 0..CLAIM_PEER_SLOTS {
            let word = peers.get(n).map_or(0, |peer| {
                let bytes = address_bytes(*peer);
                folded(bytemuck::cast(bytes))
            });
            let at = std::mem::offset_of!(AdvertSlot, claim_peers) + n * size_of::<u32>();
            self.u32(slot, at).store(word, Ordering::Release);
        }
    }

    /// Nobody is tracked, because this node is master itself: adverts from `source` are its own, and say nothing
    /// about a successor.
    pub fn own(&self, slot: Slot, source: IpAddr) {
        self.untrack(slot);
        self.set_source(slot, source);
    }

    /// The master's adverts come from `source`, and no two of them are alike, so that each is judged in user space: they
    /// have the budget of a tracked master, which no flood under other addresses uses up.
    pub fn follow(&self, slot: Slot, at: Time, source: IpAddr) {
        self.track(slot, UNLIKE_ANY, at, source);
    }

    /// From now on the program stamps adverts with this fingerprint. `at` is when the accepted one came.
    pub fn track(&self, slot: Slot, fingerprint: u64, at: Time, source: IpAddr) {
        // While it is zero the program stamps nothing, so no stamp of the old master's counts for the new one.
        let old = self.fingerprint(slot).swap(0, Ordering::AcqRel);
        let same_source = old != 0 && self.source(slot) == address_bytes(source);
        self.set_source(slot, source);
        if same_source {
            self.last_seen_ns(slot).fetch_max(at.0, Ordering::AcqRel);
        } else {
            self.last_seen_ns(slot).store(at.0, Ordering::Release);
        }
        self.fingerprint(slot).store(fingerprint, Ordering::Release);
    }

    /// No master is tracked: every advert goes to user space.
    pub fn untrack(&self, slot: Slot) {
        self.fingerprint(slot).store(0, Ordering::Release);
    }

    /// Forgets every virtual router.
    pub(super) fn reset(&self) {
        for slot in (0..ADVERT_SLOTS).filter_map(Slot::from_index) {
            self.configure(slot, None);
        }
    }

    /// The stamps.
    #[must_use]
    pub fn last_seen(&self, slot: Slot) -> Seen {
        Seen {
            at: Time(self.last_seen_ns(slot).load(Ordering::Acquire)),
            count: self.u64(slot, std::mem::offset_of!(AdvertSlot, count)).load(Ordering::Relaxed),
            other_at: Time(
                self.u64(slot, std::mem::offset_of!(AdvertSlot, last_other_ns)).load(Ordering::Acquire),
            ),
        }
    }

    /// A copy of the whole slot, for display. Its fields may be of slightly different moments.
    #[must_use]
    pub fn snapshot(&self, slot: Slot) -> AdvertSlot {
        let u64_at = |at| self.u64(slot, at).load(Ordering::Relaxed);
        let u32_at = |at| self.u32(slot, at).load(Ordering::Relaxed);
        AdvertSlot {
            fingerprint: u64_at(std::mem::offset_of!(AdvertSlot, fingerprint)),
            last_seen_ns: u64_at(std::mem::offset_of!(AdvertSlot, last_seen_ns)),
            count: u64_at(std::mem::offset_of!(AdvertSlot, count)),
            last_other_ns: u64_at(std::mem::offset_of!(AdvertSlot, last_other_ns)),
            window_start_ns: u64_at(std::mem::offset_of!(AdvertSlot, window_start_ns)),
            window_used: u32_at(std::mem::offset_of!(AdvertSlot, window_used)),
            configured: u32_at(std::mem::offset_of!(AdvertSlot, configured)),
            source: self.source(slot),
            ..AdvertSlot::default()
        }
    }

    fn set_source(&self, slot: Slot, source: IpAddr) {
        let source = address_bytes(source);
        let (words, _) = source.as_chunks::<4>();
        for (n, word) in words.iter().enumerate() {
            self.u32(slot, std::mem::offset_of!(AdvertSlot, source) + n * 4)
                .store(u32::from_ne_bytes(*word), Ordering::Release);
        }
    }

    fn fingerprint(&self, slot: Slot) -> &AtomicU64 {
        self.u64(slot, std::mem::offset_of!(AdvertSlot, fingerprint))
    }

    fn last_seen_ns(&self, slot: Slot) -> &AtomicU64 {
        self.u64(slot, std::mem::offset_of!(AdvertSlot, last_seen_ns))
    }

    fn source(&self, slot: Slot) -> [u8; 16] {
        let mut bytes = [0; 16];
        for (n, word) in bytes.as_chunks_mut::<4>().0.iter_mut().enumerate() {
            let at = std::mem::offset_of!(AdvertSlot, source) + n * 4;
            *word = self.u32(slot, at).load(Ordering::Relaxed).to_ne_bytes();
        }
        bytes
    }

    fn u64(&self, slot: Slot, field: usize) -> &AtomicU64 {
        self.memory.u64(slot.0 as usize * size_of::<AdvertSlot>() + field)
    }

    fn u32(&self, slot: Slot, field: usize) -> &AtomicU32 {
        self.memory.u32(slot.0 as usize * size_of::<AdvertSlot>() + field)
    }
}

/// The map's form of an address: IPv4 in the first four bytes.
fn address_bytes(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
        }
        IpAddr::V6(address) => address.octets(),
    }
}

/// `HA_COUNTERS`: what the XDP program decided.
pub struct Counters {
    map: PerCpuArray<MapData, XdpCounters>,
}

impl std::fmt::Debug for Counters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HA_COUNTERS")
    }
}

impl Counters {
    pub(super) const fn new(map: PerCpuArray<MapData, XdpCounters>) -> Self {
        Self { map }
    }

    /// The sums over all CPUs.
    ///
    /// # Errors
    ///
    /// What the kernel says to reading the map.
    pub fn read(&self) -> Result<XdpCounters, MapError> {
        const FIELDS: usize = XdpCounters::ALL.len();
        let mut sums = [0_u64; FIELDS];
        for counters in self.map.get(&0, 0)?.iter() {
            let fields: [u64; FIELDS] = bytemuck::cast(*counters);
            for (sum, field) in sums.iter_mut().zip(fields) {
                *sum = sum.wrapping_add(field);
            }
        }
        Ok(bytemuck::cast(sums))
    }
}

/// `HA_JUDGED`, mapped: what user space decided.
#[derive(Debug)]
pub struct Judged {
    memory: Mapping,
}

impl Judged {
    pub(super) fn map(map: impl AsFd) -> io::Result<Self> {
        Ok(Self { memory: Mapping::new(map, size_of::<JudgedCounters>())? })
    }

    /// Counts one frame. A counter of the XDP program's is not counted here.
    pub fn count(&self, counter: Counter) {
        let index = (counter.index() as usize).checked_sub(XdpCounters::ALL.len());
        if let Some(index) = index.filter(|index| *index < JudgedCounters::ALL.len()) {
            self.memory.u64(index * size_of::<u64>()).fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The counts.
    #[must_use]
    pub fn read(&self) -> JudgedCounters {
        const FIELDS: usize = JudgedCounters::ALL.len();
        let fields: [u64; FIELDS] =
            std::array::from_fn(|n| self.memory.u64(n * size_of::<u64>()).load(Ordering::Relaxed));
        bytemuck::cast(fields)
    }
}

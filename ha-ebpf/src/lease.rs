//! What the daemon vouches for, and the fence.

use aya_ebpf::helpers::bpf_ktime_get_ns;
use aya_ebpf::helpers::generated::bpf_jiffies64;
use ha_common::counter::Counter;
use ha_common::fence::{Ban, Guard, PROBED_NS, virtual_mac, wanted_address};
use ha_common::frame::Frame;
use ha_common::layout::{
    Contender, InterfaceConfig, LeaseSlot, SPECIAL_APART, SPECIAL_NO_ACCEPT, SPECIAL_STANDBY,
    SPECIAL_SUPPRESSED, VIP_NO_ACCEPT, VipSlot, Vrids,
};
use ha_common::probe::{Addresses, Answer, FAREWELL, Masters, Secret, TAKES_NO_PART};
use ha_common::rank::{CONTENDERS, Standing, standing};
use ha_common::types::Family;

use crate::maps::{HA_LEASE, HA_VIPS, fields};

/// The longest tick of a kernel (HZ 100).
const TICK_NS: u64 = 10_000_000;

/// The one entry of `HA_LEASE`.
pub(crate) struct Lease(*mut LeaseSlot);

#[inline(always)]
fn pick<T>(family: Family, v4: *mut T, v6: *mut T) -> *mut T {
    match family {
        Family::V4 => v4,
        Family::V6 => v6,
    }
}

#[inline(always)]
const fn both([a, b, c, d]: Vrids, [e, f, g, h]: Vrids) -> Vrids {
    [a | e, b | f, c | g, d | h]
}

/// The lease; the map has it.
#[inline(always)]
pub(crate) fn lease() -> Option<Lease> {
    HA_LEASE.get_ptr_mut(0).map(Lease)
}

impl Lease {
    fields! {
        read incarnation: u64, lease_until_ns: u64, restart_until_ns: u64, last_probe_ns: u64, open_tick: u64, orphaned: u32,
            authenticated: u32, superseded: u32, special: u32, key: [u64; 2], mac: [u8; 6], masters_v4: Vrids,
            masters_v6: Vrids, wanted_v4: Vrids, wanted_v6: Vrids, wanted_since_ns: u64, own_v4: [u8; 4],
            own_v6: [u64; 2], other_authenticated: u32, other_key: [u64; 2], other_until_ns: u64;
        write set_last_probe_ns last_probe_ns: u64, set_open_tick open_tick: u64, set_orphaned orphaned: u32,
            set_superseded superseded: u32, set_wanted_v4 wanted_v4: Vrids, set_wanted_v6 wanted_v6: Vrids,
            set_earlier_v4 earlier_v4: Vrids, set_earlier_v6 earlier_v6: Vrids, set_wanted_since_ns wanted_since_ns: u64,
            set_resumed_ns resumed_ns: u64;
    }

    /// Whether a probe was sent to where our adverts come from, by a single host.
    #[inline(always)]
    pub(crate) fn is_own(&self, addresses: &Addresses) -> bool {
        match addresses {
            Addresses::V4 { source, destination } => {
                let own = u32::from_ne_bytes(self.own_v4());
                source[0] < 224 && (own == 0 || own == u32::from_ne_bytes(*destination))
            }
            Addresses::V6 { source, destination } => {
                let own = self.own_v6();
                source[0] != 0xff && (own == [0, 0] || own == bytemuck::cast::<_, [u64; 2]>(*destination))
            }
        }
    }

    /// A known router has probed, and would take `vrids` over. What nobody has wanted for a while is wanted no more.
    #[inline(always)]
    pub(crate) fn note_probe(&self, family: Family, vrids: Vrids, now_ns: u64) {
        if now_ns.saturating_sub(self.wanted_since_ns()) >= PROBED_NS {
            self.set_earlier_v4(self.wanted_v4());
            self.set_earlier_v6(self.wanted_v6());
            self.set_wanted_v4([0; 4]);
            self.set_wanted_v6([0; 4]);
            self.set_wanted_since_ns(now_ns);
        }
        match family {
            Family::V4 => self.set_wanted_v4(both(self.wanted_v4(), vrids)),
            Family::V6 => self.set_wanted_v6(both(self.wanted_v6(), vrids)),
        }
        self.set_last_probe_ns(now_ns);
    }

    /// Whether a router that probes would take over the virtual router of this address. Of one that runs on another
    /// interface that is not known here.
    #[inline(always)]
    fn is_wanted(&self, vip: VipSlot) -> bool {
        // SAFETY: the fields are inside the entry; nothing is read yet.
        let [v4, v6] = unsafe { [&raw mut (*self.0).wanted_v4, &raw mut (*self.0).wanted_v6] };
        // SAFETY: as above.
        let [old_v4, old_v6] = unsafe { [&raw mut (*self.0).earlier_v4, &raw mut (*self.0).earlier_v6] };
        let family = vip.family();
        vip.vrid == 0
            || self.has(vip.vrid, pick(family, v4, v6))
            || self.has(vip.vrid, pick(family, old_v4, old_v6))
    }

    /// The program learns here whether somebody runs it. Ordinary frames only see what was learnt from the last
    /// frame of VRRP, which is early enough: no reply says `ORPHANED` before.
    #[inline(always)]
    pub(crate) fn note_orphaned(&self, orphaned: bool) {
        if self.orphaned() != u32::from(orphaned) {
            self.set_orphaned(u32::from(orphaned));
        }
    }

    /// Whether frames to this MAC address are for this node: the interface's own, and the virtual ones of the routers
    /// that it is master for, which is where the adverts of `use_vmac` come from.
    #[inline(always)]
    pub(crate) fn owns(&self, mac: [u8; 6]) -> bool {
        if mac == self.mac() {
            return true;
        }
        let Some((family, vrid)) = virtual_mac(mac) else {
            return false;
        };
        // SAFETY: the fields are inside the entry; nothing is read yet.
        let [v4, v6] = unsafe { [&raw mut (*self.0).masters_v4, &raw mut (*self.0).masters_v6] };
        self.has(vrid, pick(family, v4, v6))
    }

    /// Whether the addresses of this virtual router may be on the interface.
    #[inline(always)]
    pub(crate) fn holds(&self, family: Family, vrid: u8) -> bool {
        // SAFETY: the fields are inside the entry; nothing is read yet.
        let [v4, v6] = unsafe { [&raw mut (*self.0).held_v4, &raw mut (*self.0).held_v6] };
        self.has(vrid, pick(family, v4, v6))
    }

    /// Takes down that another router has taken over. False where that was known.
    #[inline(always)]
    pub(crate) fn supersede(&self, family: Family, vrid: u8) -> bool {
        let known = self.superseded_at(family, vrid);
        // SAFETY: inside the entry, which the kernel keeps.
        if unsafe { known.read_volatile() } != 0 {
            return false;
        }
        // SAFETY: as above.
        unsafe { known.write_volatile(1) };
        // After that: user space clears this only if it finds none after having cleared it.
        self.set_superseded(1);
        true
    }

    #[inline(always)]
    fn superseded_at(&self, family: Family, vrid: u8) -> *mut u8 {
        // SAFETY: the fields are inside the entry, and have a byte for every VRID; nothing is read yet.
        unsafe {
            let [v4, v6] = [&raw mut (*self.0).superseded_v4, &raw mut (*self.0).superseded_v6];
            pick(family, v4, v6).cast::<u8>().add(usize::from(vrid))
        }
    }

    /// Whether a bit is set in one of the bitmaps.
    #[inline(always)]
    fn has(&self, vrid: u8, vrids: *mut Vrids) -> bool {
        // SAFETY: a VRID divided by 64 is at most 3, and the kernel keeps the entry.
        let word = unsafe { vrids.cast::<u64>().add(usize::from(vrid / 64)).read_volatile() };
        (word >> (vrid % 64)) & 1 != 0
    }

    /// Who vouches for this node.
    #[inline(always)]
    pub(crate) fn guard(&self) -> Guard {
        Guard {
            orphaned: self.orphaned() != 0,
            lease_until_ns: self.lease_until_ns(),
            restart_until_ns: self.restart_until_ns(),
            last_probe_ns: self.last_probe_ns(),
        }
    }

    /// The key of tags in packets of a format, where there is one.
    #[inline(always)]
    pub(crate) fn tag_key(&self, format: u8) -> Option<[u64; 2]> {
        Secret::from_stored(self.authenticated(), self.key())?.key(format)
    }

    /// The other key that counts, and whether that is nearly over.
    #[inline(always)]
    pub(crate) fn other_tag_key(&self, format: u8, now_ns: u64) -> Option<(Option<[u64; 2]>, bool)> {
        let left_ns = self.other_until_ns().saturating_sub(now_ns);
        if left_ns == 0 {
            return None;
        }
        let secret = Secret::from_stored(self.other_authenticated(), self.other_key());
        let key = match secret {
            Some(secret) => secret.key(format),
            None => None,
        };
        Some((key, left_ns <= FAREWELL.0))
    }

    /// Takes down which of those that would take over this router is, and says where it stands. For one that is not
    /// `known` nothing is taken down.
    #[inline(always)]
    pub(crate) fn rank(&self, family: Family, bid: u64, known: bool, now_ns: u64) -> Standing {
        // SAFETY: the fields are inside the entry; nothing is read yet.
        let [v4, v6] = unsafe { [&raw mut (*self.0).contenders_v4, &raw mut (*self.0).contenders_v6] };
        let contenders = pick(family, v4, v6).cast::<Contender>();
        // SAFETY: as many as the field has, which the kernel keeps.
        let read = |n| unsafe { contenders.add(n).read_volatile() };
        let standing = standing(&[read(0), read(1), read(2), read(3)], bid, now_ns);
        if let Some(place) = standing.place
            && known
        {
            // SAFETY: masked, it is one of them.
            unsafe {
                contenders.add(place & (CONTENDERS - 1)).write_volatile(Contender { bid, last_ns: now_ns });
            }
        }
        standing
    }

    /// What a reply of this moment says to a router that is `known`, or is not.
    #[inline(always)]
    pub(crate) fn answer(&self, family: Family, now_ns: u64, known: bool) -> Answer {
        let guard = self.guard();
        let masters = match family {
            Family::V4 => self.masters_v4(),
            Family::V6 => self.masters_v6(),
        };
        Answer {
            flags: if self.special() & SPECIAL_APART == 0 {
                guard.flags(now_ns, known)
            } else {
                TAKES_NO_PART
            },
            responder: self.incarnation(),
            lease_ns: guard.lease_left_ns(now_ns),
            // As they lie in memory.
            masters: Masters(bytemuck::cast(masters)),
            // Filled in behind it.
            rank: 0,
        }
    }

    #[inline(always)]
    fn is_superseded(&self, vip: VipSlot) -> bool {
        // SAFETY: inside the entry, which the kernel keeps.
        unsafe { self.superseded_at(vip.family(), vip.vrid).read_volatile() != 0 }
    }

    #[inline(always)]
    fn is_suppressed(&self, vip: VipSlot) -> bool {
        // SAFETY: as above.
        let [v4, v6] = unsafe { [&raw mut (*self.0).suppressed_v4, &raw mut (*self.0).suppressed_v6] };
        self.has(vip.vrid, pick(vip.family(), v4, v6))
    }

    #[inline(always)]
    fn is_standby(&self, vip: VipSlot) -> bool {
        // SAFETY: as above.
        let [v4, v6] = unsafe { [&raw mut (*self.0).standby_v4, &raw mut (*self.0).standby_v6] };
        self.has(vip.vrid, pick(vip.family(), v4, v6))
    }

    /// Whether the fence is closed for the whole interface. Reading a clock costs more than all the rest of the way of ordinary traffic, so
    /// what was found in one tick holds until the next where nothing can change before: a lease is never shortened,
    /// and the flag is looked at each time.
    #[inline(always)]
    fn is_closed(&self) -> bool {
        // Nobody could take over.
        if self.last_probe_ns() == 0 {
            return false;
        }
        // SAFETY: the helper has no conditions. The verifier makes a load of it.
        let tick = unsafe { bpf_jiffies64() };
        let orphaned = self.orphaned() != 0;
        if !orphaned && self.open_tick() == tick {
            return false;
        }
        let guard = self.guard();
        // SAFETY: the helper has no conditions.
        let now_ns = unsafe { bpf_ktime_get_ns() };
        if !orphaned && guard.lease_left_ns(now_ns) > 2 * TICK_NS {
            self.set_open_tick(tick);
            return false;
        }
        guard.closed(now_ns)
    }
}

/// Whether this frame, which is no VRRP, must not reach the stack, and why.
#[inline(always)]
pub(crate) fn keeps_out(frame: &impl Frame, config: &InterfaceConfig) -> Option<Counter> {
    let lease = lease()?;
    let closed = lease.is_closed();
    let superseded = lease.superseded() != 0;
    let special = lease.special() & (SPECIAL_SUPPRESSED | SPECIAL_NO_ACCEPT | SPECIAL_STANDBY);
    let suppressed = special & SPECIAL_SUPPRESSED != 0;
    let refused = special & SPECIAL_NO_ACCEPT != 0;
    let standby = special & SPECIAL_STANDBY != 0;
    if !closed && !superseded && special == 0 {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, reason = "a VID has twelve bits")]
    let wanted = wanted_address(frame, config.vlan as u16)?;
    // SAFETY: user space replaces whole entries, which are one word.
    let vip = unsafe { HA_VIPS.get_ptr(wanted.address)?.read_volatile() };
    let ban = Ban {
        closed: closed && lease.is_wanted(vip),
        superseded: superseded && lease.is_superseded(vip),
        standby: standby && lease.is_standby(vip),
        suppressed: suppressed && lease.is_suppressed(vip),
        // What is for the address while it is elsewhere is passing through. Of a router on another interface nothing is
        // known here.
        refused: refused
            && vip.flags & VIP_NO_ACCEPT != 0
            && (vip.vrid == 0 || lease.holds(vip.family(), vip.vrid)),
    };
    if !ban.keeps_out(&wanted) {
        return None;
    }
    Some(if ban.closed || ban.superseded {
        Counter::Fenced
    } else if ban.standby {
        Counter::HotStandby
    } else if ban.suppressed && wanted.solicitation {
        Counter::Suppressed
    } else {
        Counter::Refused
    })
}

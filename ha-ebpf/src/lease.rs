//! What the daemon vouches for, and the fence.

use aya_ebpf::helpers::bpf_ktime_get_ns;
use aya_ebpf::helpers::generated::bpf_jiffies64;
use ha_common::counter::Counter;
use ha_common::fence::{Ban, Guard, virtual_mac, wanted_address};
use ha_common::frame::Frame;
use ha_common::layout::{
    InterfaceConfig, LeaseSlot, SPECIAL_APART, SPECIAL_MUTED, SPECIAL_NO_ACCEPT, VIP_NO_ACCEPT, VipSlot,
    Vrids,
};
use ha_common::probe::{Answer, Masters, TAKES_NO_PART};
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

/// The lease; the map has it.
#[inline(always)]
pub(crate) fn lease() -> Option<Lease> {
    HA_LEASE.get_ptr_mut(0).map(Lease)
}

impl Lease {
    fields! {
        read incarnation: u64, lease_until_ns: u64, restart_until_ns: u64, last_probe_ns: u64, open_tick: u64, orphaned: u32,
            authenticated: u32, superseded: u32, special: u32, key: [u64; 2], mac: [u8; 6], masters_v4: Vrids,
            masters_v6: Vrids;
        write set_last_probe_ns last_probe_ns: u64, set_open_tick open_tick: u64, set_orphaned orphaned: u32,
            set_superseded superseded: u32;
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

    /// The key of tags, where there is one.
    #[inline(always)]
    pub(crate) fn tag_key(&self) -> Option<[u64; 2]> {
        if self.authenticated() == 0 { None } else { Some(self.key()) }
    }

    /// What a reply of this moment says.
    #[inline(always)]
    pub(crate) fn answer(&self, family: Family, now_ns: u64) -> Answer {
        let guard = self.guard();
        let masters = match family {
            Family::V4 => self.masters_v4(),
            Family::V6 => self.masters_v6(),
        };
        Answer {
            flags: if self.special() & SPECIAL_APART == 0 { guard.flags(now_ns) } else { TAKES_NO_PART },
            responder: self.incarnation(),
            lease_ns: guard.lease_left_ns(now_ns),
            // As they lie in memory.
            masters: Masters(bytemuck::cast(masters)),
        }
    }

    #[inline(always)]
    fn is_superseded(&self, vip: VipSlot) -> bool {
        // SAFETY: inside the entry, which the kernel keeps.
        unsafe { self.superseded_at(vip.family(), vip.vrid).read_volatile() != 0 }
    }

    #[inline(always)]
    fn is_muted(&self, vip: VipSlot) -> bool {
        // SAFETY: as above.
        let [v4, v6] = unsafe { [&raw mut (*self.0).muted_v4, &raw mut (*self.0).muted_v6] };
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
    let special = lease.special() & (SPECIAL_MUTED | SPECIAL_NO_ACCEPT);
    let muted = special & SPECIAL_MUTED != 0;
    let refused = special & SPECIAL_NO_ACCEPT != 0;
    if !closed && !superseded && special == 0 {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, reason = "a VID has twelve bits")]
    let wanted = wanted_address(frame, config.vlan as u16)?;
    // SAFETY: user space replaces whole entries, which are one word.
    let vip = unsafe { HA_VIPS.get_ptr(wanted.address)?.read_volatile() };
    let ban = Ban {
        closed,
        superseded: superseded && lease.is_superseded(vip),
        muted: muted && lease.is_muted(vip),
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
    } else if ban.muted && wanted.question {
        Counter::Muted
    } else {
        Counter::Refused
    })
}

//! What the daemon vouches for, and the fence.

use aya_ebpf::helpers::bpf_ktime_get_ns;
use aya_ebpf::helpers::generated::bpf_jiffies64;
use ha_common::fence::{Guard, virtual_mac, wanted_address};
use ha_common::layout::{InterfaceConfig, LeaseSlot};
use ha_common::probe::{Answer, Masters};
use ha_common::types::Family;

use crate::frame::ContextFrame;
use crate::maps::{HA_LEASE, HA_VIPS, fields};

/// The longest tick of a kernel (HZ 100).
const TICK_NS: u64 = 10_000_000;

/// The one entry of `HA_LEASE`.
pub(crate) struct Lease(*mut LeaseSlot);

/// The lease; the map has it.
#[inline(always)]
pub(crate) fn lease() -> Option<Lease> {
    HA_LEASE.get_ptr_mut(0).map(Lease)
}

impl Lease {
    fields! {
        read incarnation: u64, lease_until_ns: u64, restart_until_ns: u64, last_probe_ns: u64, open_tick: u64, orphaned: u32,
            authenticated: u32, key: [u64; 2], mac: [u8; 6], masters_v4: [u64; 4], masters_v6: [u64; 4];
        write set_last_probe_ns last_probe_ns: u64, set_open_tick open_tick: u64, set_orphaned orphaned: u32;
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
        let words = match family {
            Family::V4 => self.masters_v4(),
            Family::V6 => self.masters_v6(),
        };
        let word = match vrid / 64 {
            0 => words[0],
            1 => words[1],
            2 => words[2],
            _ => words[3],
        };
        (word >> (vrid % 64)) & 1 != 0
    }

    #[inline(always)]
    fn guard(&self) -> Guard {
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
            flags: guard.flags(now_ns),
            responder: self.incarnation(),
            lease_ns: guard.lease_left_ns(now_ns),
            // As they lie in memory.
            masters: Masters(bytemuck::cast(masters)),
        }
    }

    /// Whether the fence is closed. Reading a clock costs more than all the rest of the way of ordinary traffic, so
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

/// Whether this frame, which is no VRRP, must not reach the stack.
#[inline(always)]
pub(crate) fn keeps_out(frame: &ContextFrame<'_>, config: &InterfaceConfig) -> bool {
    let Some(lease) = lease() else {
        return false;
    };
    if !lease.is_closed() {
        return false;
    }
    #[expect(clippy::cast_possible_truncation, reason = "a VID has twelve bits")]
    let Some(address) = wanted_address(frame, config.vlan as u16) else {
        return false;
    };
    HA_VIPS.get_ptr(address).is_some()
}

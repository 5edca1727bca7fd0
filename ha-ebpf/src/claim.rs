//! Adverts of other routers that an unattended node hears: their senders have taken over.
//!
//! The rules are docs/liveness.md's ("Fence"). Nobody judges these adverts; a daemon that comes back sees what they
//! did in `HA_LEASE`.

use aya_ebpf::helpers::bpf_ktime_get_ns;
use ha_common::classify::Packet;
use ha_common::counter::Counter;
use ha_common::fence::Claim;
use ha_common::frame::Frame;
use ha_common::layout::{ROUTER_UNICAST, advert_slot};
use ha_common::types::Family;

use crate::advert::slot_at;
use crate::lease::Lease;
use crate::maps;

/// Closes the fence of the advert's virtual router where its addresses are here, no daemon judges adverts, and
/// the advert says that another router answers for them.
#[inline(always)]
pub(crate) fn hear(frame: &impl Frame, packet: &Packet, lease: &Lease) {
    let (family, vrid) = (packet.family, packet.vrid);
    if !lease.holds(family, vrid.get()) {
        return;
    }
    // SAFETY: the helper has no conditions.
    if !lease.guard().unattended(unsafe { bpf_ktime_get_ns() }) {
        return;
    }
    if claim(frame, packet).is_some_and(|claim| claim.is_master(packet))
        && lease.supersede(family, vrid.get())
    {
        maps::count(Counter::Superseded);
    }
}

#[inline(always)]
fn claim(frame: &impl Frame, packet: &Packet) -> Option<Claim> {
    let slot = slot_at(advert_slot(packet.family, packet.vrid))?;
    let own = slot.source();
    let (foreign, multicast) = match packet.family {
        Family::V4 => {
            let [source, destination] =
                frame.read::<8>(packet.ip_at + 12).map(bytemuck::cast::<_, [[u8; 4]; 2]>)?;
            (u32::from_ne_bytes(source) != own[0], destination[0] & 0xf0 == 0xe0)
        }
        Family::V6 => {
            let [source] =
                frame.read::<16>(packet.ip_at + 8).map(|source| [bytemuck::cast::<_, [u32; 4]>(source)])?;
            let [first] = frame.read::<1>(packet.ip_at + 24)?;
            (source != own, first == 0xff)
        }
    };
    let start = frame.read(packet.ip_at + packet.pdu_at)?;
    Some(Claim { foreign, multicast, unicast_router: slot.configured() & ROUTER_UNICAST != 0, start })
}

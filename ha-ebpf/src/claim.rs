//! Adverts of other routers that an unattended node hears: their senders have taken over.
//!
//! The rules are docs/liveness.md's ("Fence"). Nobody judges these adverts; a daemon that comes back sees what they
//! did in `HA_LEASE`.

use aya_ebpf::helpers::bpf_ktime_get_ns;
use ha_common::classify::Packet;
use ha_common::counter::Counter;
use ha_common::fence::Claim;
use ha_common::layout::{CLAIM_ADDRESSES, CLAIM_PEERS, ROUTER_UNICAST, advert_slot, folded};
use ha_common::types::Family;

use crate::advert::{scratch, slot_at};
use crate::frame::Received;
use crate::lease::Lease;
use crate::maps::{self, HA_VIPS};

/// Closes the fence of the advert's virtual router where its addresses are here, no daemon judges adverts, and
/// the advert says that another router answers for them.
#[inline(always)]
pub(crate) fn hear<F: Received>(frame: &F, packet: &Packet, lease: &Lease) {
    let (family, vrid) = (packet.family, packet.vrid);
    if !lease.holds(family, vrid.get()) {
        return;
    }
    // SAFETY: the helper has no conditions.
    let now_ns = unsafe { bpf_ktime_get_ns() };
    let guard = lease.guard();
    if !guard.unattended(now_ns) {
        return;
    }
    if claim(frame, packet, guard.restart_until_ns > now_ns).is_some_and(|claim| claim.is_master(packet))
        && lease.supersede(family, vrid.get())
    {
        maps::count(Counter::Superseded);
    }
}

#[inline(always)]
fn claim<F: Received>(frame: &F, packet: &Packet, restarting: bool) -> Option<Claim> {
    let index = advert_slot(packet.family, packet.vrid);
    let slot = slot_at(index)?;
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
    if !scratch()?.load(frame, packet) {
        return None;
    }
    let found = ha_claim(u64::from(index), packet.pdu_at as u64);
    let flags = slot.claim_flags();
    Some(Claim {
        kind: slot.claim_kind(),
        proven: found & PROVEN != 0,
        known: found & KNOWN != 0,
        peers_only: flags & CLAIM_PEERS != 0,
        ours: flags & CLAIM_ADDRESSES == 0 || found & OURS != 0,
        restarting,
        priority: slot.claim_priority(),
        foreign,
        multicast,
        unicast_router: slot.configured() & ROUTER_UNICAST != 0,
        start,
    })
}

/// What [`ha_claim`] finds: the advert has the authentication of ours.
const PROVEN: u64 = 1;
/// Its sender is known.
const KNOWN: u64 = 2;
/// One of its first addresses belongs to this virtual router.
const OURS: u64 = 4;

/// Looks at the advert in scratch memory, whose PDU begins at byte `pdu_at`, beside what is known of the virtual router
/// with this index in `HA_ADVERTS`. A global function: the verifier looks at it once, and not for every way that leads
/// there.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn ha_claim(index: u64, pdu_at: u64) -> u64 {
    let (Some(slot), Some(scratch)) = (slot_at(index as u32), scratch()) else { return 0 };
    let first = (pdu_at / 4) as usize & 63;
    let [kind, _, _, addresses] = scratch.word(first).to_ne_bytes();
    let addresses = usize::from(addresses);
    let v6 = index >= 256;
    let mut found = 0;

    let [auth, ..] = scratch.word(first + 1).to_ne_bytes();
    let wanted = slot.claim_auth();
    let password = slot.claim_password();
    let [low, high]: [u32; 2] = bytemuck::cast(password);
    let end = first + 2 + addresses;
    if kind != V2_ADVERT
        || wanted == ANY_AUTH
        || (auth == wanted
            && (auth != PASSWORD || (scratch.word(end) == low && scratch.word(end + 1) == high)))
    {
        found |= PROVEN;
    }

    let source = if v6 {
        [scratch.word(2), scratch.word(3), scratch.word(4), scratch.word(5)]
    } else {
        [scratch.word(3), 0, 0, 0]
    };
    let source = folded(source);
    for peer in slot.claim_peers() {
        if peer == source {
            found |= KNOWN;
        }
    }

    for n in 0..ADDRESSES {
        if n >= addresses {
            break;
        }
        let key: [u64; 2] = if v6 {
            let at = first + 2 + 4 * n;
            bytemuck::cast([
                scratch.word(at),
                scratch.word(at + 1),
                scratch.word(at + 2),
                scratch.word(at + 3),
            ])
        } else {
            bytemuck::cast([0, 0, u32::from_ne_bytes([0, 0, 0xff, 0xff]), scratch.word(first + 2 + n)])
        };
        // SAFETY: user space replaces whole entries, which are one word.
        let vip = HA_VIPS.get_ptr(key).map(|vip| unsafe { vip.read_volatile() });
        if vip.is_some_and(|vip| u64::from(vip.vrid) == index & 255 && (vip.family == 6) == v6) {
            found |= OURS;
        }
    }
    found
}

/// So many addresses of an advert are looked at.
const ADDRESSES: usize = 4;
const V2_ADVERT: u8 = 0x21;
/// Authentication type of a simple text password (RFC 2338).
const PASSWORD: u8 = 1;
/// The authentication type says nothing.
const ANY_AUTH: u8 = 0xff;

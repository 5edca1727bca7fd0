//! The XDP program of xvrrp: recognise, stamp or hand up, turn probes round, pass.
//!
//! No VRRP logic that user space also has lives here. A frame whose fingerprint user space accepted before is
//! stamped; any other frame for a configured virtual router is copied to user space, within limits; both are passed
//! on to the stack. Probes are answered and replies to ours read (docs/liveness.md). Ordinary traffic is passed,
//! unless it is for a virtual address and the fence is closed, or asks for one that is being handed over.

#![no_std]
#![no_main]
#![expect(
    missing_docs,
    unreachable_pub,
    reason = "the kernel calls the two functions that the macro makes public"
)]
#![expect(unsafe_code, reason = "an eBPF program reads packet memory and map entries through pointers")]

mod advert;
mod claim;
mod frame;
mod lease;
mod log;
mod maps;
mod probe;

use aya_ebpf::bindings::xdp_action::{XDP_DROP, XDP_PASS};
use aya_ebpf::macros::xdp;
use aya_ebpf::programs::XdpContext;
use ha_common::classify::{Verdict, classify};
use ha_common::counter::Counter;
use ha_common::layout::InterfaceConfig;

use crate::frame::ContextFrame;

/// Some helpers are for GPL-compatible programs only.
#[unsafe(no_mangle)]
#[unsafe(link_section = "license")]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

/// Runs on every frame that the interface receives, before the kernel's stack.
#[xdp(frags)]
pub fn ha_xdp(context: XdpContext) -> u32 {
    let frame = ContextFrame::new(&context);
    // The key zero always exists.
    let Some(config) = maps::HA_CONFIG.get(0) else {
        return XDP_PASS;
    };
    match classify_here(&frame, config) {
        Verdict::NotVrrp => {
            let Some(counter) = lease::keeps_out(&frame, config) else {
                return XDP_PASS;
            };
            maps::count(counter);
            XDP_DROP
        }
        Verdict::Rejected(counter) => {
            maps::count(counter);
            log::rejected(&context, counter);
            XDP_PASS
        }
        verdict @ (Verdict::Vrrp(_) | Verdict::Probe(_)) => {
            // SAFETY: nothing here needs dropping. Returns only where nobody runs the program any more.
            unsafe { maps::HA_ALIVE.tail_call(&context, 0) };
            orphaned(&context, &frame, &verdict)
        }
    }
}

/// The half of the program that belongs to a live daemon, for frames that [`ha_xdp`] found to be VRRP.
#[xdp(frags)]
pub fn ha_live(context: XdpContext) -> u32 {
    let frame = ContextFrame::new(&context);
    let (Some(config), Some(lease)) = (maps::HA_CONFIG.get(0), lease::lease()) else {
        return XDP_PASS;
    };
    lease.note_orphaned(false);
    let (action, counter) = match classify_here(&frame, config) {
        Verdict::Vrrp(packet) => {
            claim::hear(&frame, &packet, &lease);
            (XDP_PASS, advert::recognise(&context, &frame, config, &packet))
        }
        Verdict::Probe(at) => probe::take(&context, &frame, &at, &lease, false),
        Verdict::NotVrrp | Verdict::Rejected(_) => return XDP_PASS,
    };
    maps::count(counter);
    action
}

/// The same without a daemon: probes are answered, so that somebody else can take over; adverts are for nobody, but
/// may say that somebody has.
#[inline(always)]
fn orphaned(context: &XdpContext, frame: &ContextFrame<'_>, verdict: &Verdict) -> u32 {
    let Some(lease) = lease::lease() else {
        return XDP_PASS;
    };
    lease.note_orphaned(true);
    let (action, counter) = match verdict {
        Verdict::Probe(at) => probe::take(context, frame, at, &lease, true),
        Verdict::Vrrp(packet) => {
            claim::hear(frame, packet, &lease);
            (XDP_PASS, Counter::Unattended)
        }
        Verdict::NotVrrp | Verdict::Rejected(_) => return XDP_PASS,
    };
    maps::count(counter);
    action
}

#[inline(always)]
fn classify_here(frame: &ContextFrame<'_>, config: &InterfaceConfig) -> Verdict {
    #[expect(clippy::cast_possible_truncation, reason = "a VID has twelve bits")]
    classify(frame, config.vlan as u16)
}

/// The compiler wants one; nothing in here can panic, and the verifier would refuse an endless loop.
#[cfg(not(test))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    loop {}
}

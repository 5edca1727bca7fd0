//! The XDP program of xvrrp: recognise, stamp or hand up, turn probes round, pass.
//!
//! No VRRP logic that user space also has lives here. A frame whose fingerprint user space accepted before is
//! stamped; any other frame for a configured virtual router is copied to user space, within limits; both are passed
//! on to the stack. Probes are answered and replies to ours read (docs/liveness.md). Ordinary traffic is passed,
//! unless it is for a virtual address and the fence is closed, or asks for one that is being handed over.

#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]
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

use aya_ebpf::macros::{classifier, xdp};
use aya_ebpf::programs::{TcContext, XdpContext};
use ha_common::classify::{Verdict, classify};
use ha_common::counter::Counter;
use ha_common::frame::Frame;
use ha_common::layout::InterfaceConfig;

use crate::frame::{Classified, Linear, MultiBuffer, Received};

/// Some helpers are for GPL-compatible programs only.
#[unsafe(no_mangle)]
#[unsafe(link_section = "license")]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

/// Runs on every frame that the interface receives, before the kernel's stack.
#[xdp(frags)]
pub fn ha_xdp(context: XdpContext) -> u32 {
    receive::<MultiBuffer>(&context)
}

/// The half of the program that belongs to a live daemon, for frames that [`ha_xdp`] found to be VRRP.
#[xdp(frags)]
pub fn ha_live(context: XdpContext) -> u32 {
    attend::<MultiBuffer>(&context)
}

/// The same for kernels that give a program only frames in one piece (before 5.18).
#[xdp]
pub fn ha_xdp_linear(context: XdpContext) -> u32 {
    receive::<Linear>(&context)
}

/// See [`ha_live`].
#[xdp]
pub fn ha_live_linear(context: XdpContext) -> u32 {
    attend::<Linear>(&context)
}

/// The same in traffic control, behind another XDP program.
#[classifier]
pub fn ha_tc(context: TcContext) -> i32 {
    Classified::gather(&context);
    receive::<Classified>(&context).cast_signed()
}

/// See [`ha_live`].
#[classifier]
pub fn ha_live_tc(context: TcContext) -> i32 {
    attend::<Classified>(&context).cast_signed()
}

#[inline(always)]
fn receive<F: Received>(context: &F::Context) -> u32 {
    let frame = F::look_up(context);
    // The key zero always exists.
    let Some(config) = maps::HA_CONFIG.get(0) else {
        return F::PASS;
    };
    match classify_here(&frame, config) {
        Verdict::NotVrrp => {
            let Some(counter) = lease::keeps_out(&frame, config) else {
                return F::PASS;
            };
            maps::count(counter);
            F::DROP
        }
        Verdict::Rejected(counter) => {
            maps::count(counter);
            log::rejected(context, counter);
            F::PASS
        }
        Verdict::Vrrp(_) | Verdict::Probe(_) => {
            // SAFETY: nothing here needs dropping. Returns only where nobody runs the program any more.
            unsafe { maps::HA_ALIVE.tail_call(context, 0) };
            orphaned(F::look_up(context), config)
        }
    }
}

#[inline(always)]
fn attend<F: Received>(context: &F::Context) -> u32 {
    let frame = F::look_up(context);
    let (Some(config), Some(lease)) = (maps::HA_CONFIG.get(0), lease::lease()) else {
        return F::PASS;
    };
    lease.note_orphaned(false);
    let (action, counter) = match classify_here(&frame, config) {
        Verdict::Vrrp(packet) => {
            claim::hear(&frame, &packet, &lease);
            (F::PASS, advert::recognise(&frame, config, &packet).index())
        }
        Verdict::Probe(at) => probe::take(frame, &at, &lease, false),
        Verdict::NotVrrp | Verdict::Rejected(_) => return F::PASS,
    };
    maps::ha_count(u64::from(counter));
    action
}

/// The same without a daemon: probes are answered, so that somebody else can take over; adverts are for nobody, but
/// may say that somebody has.
#[inline(always)]
fn orphaned<F: Received>(frame: F, config: &InterfaceConfig) -> u32 {
    let Some(lease) = lease::lease() else {
        return F::PASS;
    };
    lease.note_orphaned(true);
    let (action, counter) = match classify_here(&frame, config) {
        Verdict::Probe(at) => probe::take(frame, &at, &lease, true),
        Verdict::Vrrp(packet) => {
            claim::hear(&frame, &packet, &lease);
            (F::PASS, Counter::Unattended.index())
        }
        Verdict::NotVrrp | Verdict::Rejected(_) => return F::PASS,
    };
    maps::ha_count(u64::from(counter));
    action
}

#[inline(always)]
fn classify_here(frame: &impl Frame, config: &InterfaceConfig) -> Verdict {
    #[expect(clippy::cast_possible_truncation, reason = "a VID has twelve bits")]
    classify(frame, config.vlan as u16)
}

/// The compiler wants one; nothing in here can panic, and the verifier would refuse an endless loop.
#[cfg(not(test))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    loop {}
}

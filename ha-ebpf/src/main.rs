//! The XDP program of xvrrp: recognise, stamp or hand up, pass.
//!
//! No VRRP logic that user space also has lives here. A frame whose fingerprint user space accepted before is
//! stamped; any other frame for a configured virtual router is copied to user space, within limits; everything is
//! passed on to the stack.

#![no_std]
#![no_main]
#![expect(
    missing_docs,
    unreachable_pub,
    reason = "the kernel calls the one function that the macro makes public"
)]
#![expect(unsafe_code, reason = "an eBPF program reads packet memory and map entries through pointers")]

mod frame;
mod log;
mod maps;

use aya_ebpf::bindings::xdp_action;
use aya_ebpf::helpers::bpf_ktime_get_ns;
use aya_ebpf::macros::xdp;
use aya_ebpf::programs::XdpContext;
use ha_common::classify::{Packet, Verdict, classify, fingerprint, header_intact};
use ha_common::counter::Counter;
use ha_common::layout::{EventHeader, InterfaceConfig, advert_slot};

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
    if let Some(config) = maps::HA_CONFIG.get(0) {
        #[expect(clippy::cast_possible_truncation, reason = "a VID has twelve bits")]
        match classify(&frame, config.vlan as u16) {
            Verdict::NotVrrp => {}
            Verdict::Rejected(counter) => {
                maps::count(counter);
                log::rejected(&context, counter);
            }
            Verdict::Vrrp(packet) => {
                let counter = recognise(&context, config, &packet);
                maps::count(counter);
            }
        }
    }
    xdp_action::XDP_PASS
}

/// Stamps the tracked master's advert, hands up any other.
#[inline(always)]
fn recognise(context: &XdpContext, config: &InterfaceConfig, packet: &Packet) -> Counter {
    let index = advert_slot(packet.family, packet.vrid);
    let Some(slot) = maps::advert_slot(index) else {
        return Counter::UnknownVrid;
    };
    if slot.configured() == 0 {
        log::unknown(context, packet);
        return Counter::UnknownVrid;
    }
    let Some(scratch) = maps::scratch() else {
        return Counter::Truncated;
    };
    if !scratch.load(context, packet) {
        return Counter::Truncated;
    }
    let tracked = slot.fingerprint();
    let fingerprint = fingerprint(config.fingerprint_key, packet, scratch);
    // SAFETY: the helper has no conditions.
    let now_ns = unsafe { bpf_ktime_get_ns() };
    if fingerprint == tracked && header_intact(packet, scratch) {
        slot.stamp(now_ns);
        return Counter::Stamped;
    }

    slot.set_last_other_ns(now_ns);
    let from_tracked = tracked != 0 && scratch.is_from(packet.family, &slot);
    let Some(window) = slot.window().admit(now_ns, from_tracked) else {
        return Counter::RateLimited;
    };
    slot.set_window(window);
    let header = EventHeader { ktime_ns: now_ns, fingerprint, len: 0, slot: index };
    if scratch.send(packet, header) { Counter::ToUser } else { Counter::RingFull }
}

/// The compiler wants one; nothing in here can panic, and the verifier would refuse an endless loop.
#[cfg(not(test))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    loop {}
}

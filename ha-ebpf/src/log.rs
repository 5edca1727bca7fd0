//! Messages for `xvrrp run --bpf-log`: off unless asked for, and never on the path of an advert that is stamped.
//!
//! The level is a read-only global, which the verifier treats as a constant: what is off is not in the program.

use aya_ebpf::EbpfContext;
use aya_log_ebpf::{debug, info};
use ha_common::classify::Packet;
use ha_common::counter::Counter;

/// A frame was rejected.
#[inline(always)]
pub(crate) fn rejected(context: &impl EbpfContext, counter: Counter) {
    info!(context, "rejected a frame: {}", counter.word());
}

/// VRRP for somebody else.
#[inline(always)]
pub(crate) fn unknown(context: &impl EbpfContext, packet: &Packet) {
    debug!(context, "VRRP for VRID {}, which is not configured here", packet.vrid.get());
}

//! The received frame, as `ha-common`'s classifier reads it, and what a program of its kind can do with it.
//!
//! Verifiers before Linux 6.18 forget packet pointers over a tail call, also over one that fails, and before 6.3
//! the bounds of a number that was on the stack meanwhile. Hence [`Received::look_up`] after such a call, and
//! [`opaque`] before a length is checked for a helper.

mod tc;
mod xdp;

use core::arch::asm;

use aya_ebpf::EbpfContext;
use ha_common::frame::Frame;
use ha_common::types::Family;

pub(crate) use tc::Classified;
pub(crate) use xdp::{Linear, MultiBuffer};

/// No header starts behind this offset; the verifier wants a bound.
const MAX_OFFSET: usize = 0x3fff;

/// A frame that a program was called for. Headers are read directly, whole packets are copied.
pub(crate) trait Received: Frame {
    /// What the kernel gives the program.
    type Context: EbpfContext;

    /// On to the next program, and to the stack.
    const PASS: u32;
    /// Away with it.
    const DROP: u32;

    /// Finds the frame, again after a call that may have moved it.
    fn look_up(context: &Self::Context) -> Self;

    /// What the kernel gave.
    fn context(&self) -> &Self::Context;

    /// Copies `len` bytes from offset `at` to `target`, which has room for them: `len` is a constant, or has been
    /// checked right before. False where the frame does not have them.
    fn copy(&self, at: usize, target: *mut u8, len: usize) -> bool;

    /// Sends the frame back where it came from, with the `len` bytes (a constant) from offset `at` replaced: the
    /// action for that. `None` where the frame does not have them.
    fn send_back(self, at: usize, source: *const u8, len: usize) -> Option<u32>;
}

/// The part of a frame that lies in one piece.
struct Direct {
    data: usize,
    data_end: usize,
}

impl Direct {
    #[inline(always)]
    fn read<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        if at > MAX_OFFSET {
            return None;
        }
        let start = self.data + at;
        if start + N > self.data_end {
            return None;
        }
        // SAFETY: start to start + N lies between the frame's start and end.
        Some(unsafe { *(start as *const [u8; N]) })
    }

    #[inline(always)]
    fn swap_macs(&self) -> bool {
        if self.data + 12 > self.data_end {
            return false;
        }
        // Frames are aligned for two bytes at least.
        let words = self.data as *mut [u16; 6];
        // SAFETY: twelve bytes lie between the frame's start and end, and nobody else has the frame.
        unsafe {
            let [a, b, c, d, e, f] = *words;
            *words = [d, e, f, a, b, c];
        }
        true
    }
}

/// A number of which the compiler knows nothing, so that it neither drops a check that only the verifier needs nor
/// computes it anew behind one.
#[inline(always)]
pub(crate) fn opaque(mut number: usize) -> usize {
    // SAFETY: a register keeps what it has. (Without an instruction, the line numbers of two would be the same.)
    unsafe { asm!("{0} = {0}", inout(reg) number, options(pure, nomem, nostack, preserves_flags)) };
    number
}

/// Bytes of the IP header of a probe.
pub(crate) const fn header_len(family: Family) -> usize {
    match family {
        Family::V4 => 20,
        Family::V6 => 40,
    }
}

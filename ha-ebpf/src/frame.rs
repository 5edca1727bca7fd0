//! The received frame, as `ha-common`'s classifier reads it.

use aya_ebpf::helpers::generated::bpf_xdp_get_buff_len;
use aya_ebpf::programs::XdpContext;
use ha_common::frame::Frame;

/// No header starts behind this offset; the verifier wants a bound.
const MAX_OFFSET: usize = 0x3fff;

/// The linear part of the frame that the program was called for.
pub(crate) struct ContextFrame<'a> {
    context: &'a XdpContext,
    data: usize,
    data_end: usize,
}

impl<'a> ContextFrame<'a> {
    #[inline(always)]
    pub(crate) fn new(context: &'a XdpContext) -> Self {
        Self { context, data: context.data(), data_end: context.data_end() }
    }

    /// Sends the frame back where it came from. False where it has no Ethernet header.
    #[inline(always)]
    pub(crate) fn swap_macs(&self) -> bool {
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

impl Frame for ContextFrame<'_> {
    #[inline(always)]
    fn size(&self) -> usize {
        // SAFETY: the context is the one that the kernel gave.
        unsafe { bpf_xdp_get_buff_len(self.context.ctx) as usize }
    }

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
}

//! Frames before they become the kernel's `sk_buff`: in the driver, or in generic mode.

use core::ffi::c_void;

use aya_ebpf::bindings::xdp_action::{XDP_DROP, XDP_PASS, XDP_TX};
use aya_ebpf::helpers::generated::{
    bpf_probe_read_kernel, bpf_xdp_get_buff_len, bpf_xdp_load_bytes, bpf_xdp_store_bytes,
};
use aya_ebpf::programs::XdpContext;
use ha_common::frame::Frame;

use super::{Direct, Received, opaque};

impl Direct {
    #[inline(always)]
    fn of(context: &XdpContext) -> Self {
        Self { data: context.data(), data_end: context.data_end() }
    }
}

/// A frame in one or more buffers (Linux 5.18).
pub(crate) struct MultiBuffer {
    context: XdpContext,
    first: Direct,
}

impl Frame for MultiBuffer {
    #[inline(always)]
    fn size(&self) -> usize {
        // SAFETY: the context is the one that the kernel gave.
        unsafe { bpf_xdp_get_buff_len(self.context.ctx) as usize }
    }

    #[inline(always)]
    fn read<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        self.first.read(at)
    }
}

impl Received for MultiBuffer {
    type Context = XdpContext;
    const PASS: u32 = XDP_PASS;
    const DROP: u32 = XDP_DROP;

    #[inline(always)]
    fn look_up(context: &XdpContext) -> Self {
        Self { context: XdpContext::new(context.ctx), first: Direct::of(context) }
    }

    #[inline(always)]
    fn context(&self) -> &XdpContext {
        &self.context
    }

    #[inline(always)]
    fn copy(&self, at: usize, target: *mut u8, len: usize) -> bool {
        // SAFETY: `len` bytes fit behind `target`.
        unsafe { bpf_xdp_load_bytes(self.context.ctx, at as u32, target.cast(), len as u32) == 0 }
    }

    #[inline(always)]
    fn send_back(self, at: usize, source: *const u8, len: usize) -> Option<u32> {
        let source = source.cast_mut().cast::<c_void>();
        // SAFETY: `len` bytes are behind `source`, from which the helper only reads.
        let stored = unsafe { bpf_xdp_store_bytes(self.context.ctx, at as u32, source, len as u32) == 0 };
        (stored && self.first.swap_macs()).then_some(XDP_TX)
    }
}

/// A frame in one piece, of kernels that know no others.
pub(crate) struct Linear {
    context: XdpContext,
    all: Direct,
}

impl Frame for Linear {
    #[inline(always)]
    fn size(&self) -> usize {
        // Or the compiler would find that a check against the end which follows is none.
        opaque(self.all.data_end - self.all.data)
    }

    #[inline(always)]
    fn read<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        self.all.read(at)
    }
}

impl Received for Linear {
    type Context = XdpContext;
    const PASS: u32 = XDP_PASS;
    const DROP: u32 = XDP_DROP;

    #[inline(always)]
    fn look_up(context: &XdpContext) -> Self {
        Self { context: XdpContext::new(context.ctx), all: Direct::of(context) }
    }

    #[inline(always)]
    fn context(&self) -> &XdpContext {
        &self.context
    }

    #[inline(always)]
    fn copy(&self, at: usize, target: *mut u8, len: usize) -> bool {
        // Not `at + len > size`: Linux 6.12 forgets the bound of a number that has been compared with something added.
        let size = self.size();
        if at > size || len > size - at {
            return false;
        }
        let source = (self.all.data + at) as *const c_void;
        // SAFETY: `len` bytes fit behind `target`, and are in the frame from `at` on.
        unsafe { bpf_probe_read_kernel(target.cast(), len as u32, source) == 0 }
    }

    #[inline(always)]
    fn send_back(self, at: usize, source: *const u8, len: usize) -> Option<u32> {
        if at > super::MAX_OFFSET {
            return None;
        }
        let start = self.all.data + at;
        if start + len > self.all.data_end {
            return None;
        }
        // Of two bytes each, which is what frames are aligned for.
        for n in 0..len / 2 {
            // SAFETY: `len` bytes lie between the frame's start and end, and as many behind `source`, which is aligned
            // for words; nobody else has the frame.
            unsafe { *(start as *mut u16).add(n) = *source.cast::<u16>().add(n) };
        }
        self.all.swap_macs().then_some(XDP_TX)
    }
}

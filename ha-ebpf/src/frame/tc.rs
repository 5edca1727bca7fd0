//! Frames as traffic control sees them on their way in: where another XDP program has the interface.

use aya_ebpf::bindings::{TC_ACT_SHOT, TC_ACT_UNSPEC};
use aya_ebpf::helpers::generated::{
    bpf_redirect, bpf_skb_load_bytes, bpf_skb_pull_data, bpf_skb_store_bytes,
};
use aya_ebpf::programs::TcContext;
use ha_common::frame::Frame;

use super::{Direct, Received};

/// The longest headers of VRRP without options, tags and extensions, and the first bytes of its PDU.
const HEADERS: u32 = 64;

/// A frame whose outer VLAN tag, if it had one, is not in it any more.
pub(crate) struct Classified {
    context: TcContext,
    first: Direct,
}

impl Classified {
    /// Makes sure that the headers lie in the first piece: drivers may leave them in pages.
    #[inline(always)]
    pub(crate) fn gather(context: &TcContext) {
        let wanted = context.len().min(HEADERS);
        if context.data() + wanted as usize > context.data_end() {
            // Where there is no memory, the frame is not recognised.
            // SAFETY: the context is the one that the kernel gave.
            unsafe { bpf_skb_pull_data(context.skb.skb, wanted) };
        }
    }
}

impl Frame for Classified {
    #[inline(always)]
    fn size(&self) -> usize {
        self.context.len() as usize
    }

    #[inline(always)]
    fn read<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        self.first.read(at)
    }

    #[inline(always)]
    fn tag(&self) -> u16 {
        // SAFETY: the kernel keeps the context while the program runs.
        let (present, tci) =
            unsafe { ((*self.context.skb.skb).vlan_present, (*self.context.skb.skb).vlan_tci) };
        if present == 0 { 0 } else { tci as u16 }
    }
}

impl Received for Classified {
    type Context = TcContext;
    /// Other programs of traffic control come after this one.
    const PASS: u32 = TC_ACT_UNSPEC.cast_unsigned();
    const DROP: u32 = TC_ACT_SHOT.cast_unsigned();

    #[inline(always)]
    fn look_up(context: &TcContext) -> Self {
        Self {
            context: TcContext::new(context.skb.skb),
            first: Direct { data: context.data(), data_end: context.data_end() },
        }
    }

    #[inline(always)]
    fn context(&self) -> &TcContext {
        &self.context
    }

    #[inline(always)]
    fn copy(&self, at: usize, target: *mut u8, len: usize) -> bool {
        // SAFETY: `len` bytes fit behind `target`.
        unsafe { bpf_skb_load_bytes(self.context.skb.skb.cast(), at as u32, target.cast(), len as u32) == 0 }
    }

    #[inline(always)]
    fn send_back(self, at: usize, source: *const u8, len: usize) -> Option<u32> {
        let [a, b, c, d, e, f, g, h, i, j, k, l] = self.first.read::<12>(0)?;
        let macs = [g, h, i, j, k, l, a, b, c, d, e, f];
        let skb = self.context.skb.skb;
        // SAFETY: the context is the one that the kernel gave; as many bytes are behind the pointers.
        unsafe {
            if bpf_skb_store_bytes(skb, 0, macs.as_ptr().cast(), 12, 0) != 0
                || bpf_skb_store_bytes(skb, at as u32, source.cast(), len as u32, 0) != 0
            {
                return None;
            }
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small action")]
            Some(bpf_redirect((*skb).ifindex, 0) as u32)
        }
    }
}

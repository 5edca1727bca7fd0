//! Bounds-checked reading of a received frame.
//!
//! The trait is all that [`crate::classify`] knows of a frame. It is implemented for byte slices here and for the
//! context of the XDP program in `ha-ebpf`, where a slice would be opaque to the kernel's verifier.

/// A frame that can be read piecewise.
pub trait Frame {
    /// Bytes of the whole frame. In XDP some of them may be out of reach of [`Frame::read`].
    fn size(&self) -> usize;

    /// The `N` bytes from offset `at` on, `None` where one of them is missing.
    fn read<const N: usize>(&self, at: usize) -> Option<[u8; N]>;

    /// The outer VLAN tag's control information, where card or kernel took the tag off the frame and said so; else 0.
    #[inline(always)]
    fn tag(&self) -> u16 {
        0
    }
}

impl Frame for [u8] {
    #[inline(always)]
    fn size(&self) -> usize {
        self.len()
    }

    #[inline(always)]
    fn read<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        self.get(at..)?.first_chunk().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_stops_at_the_end() {
        let frame: &[u8] = &[1, 2, 3, 4];
        assert_eq!(frame.read::<4>(0), Some([1, 2, 3, 4]));
        assert_eq!(frame.read::<2>(2), Some([3, 4]));
        assert_eq!(frame.read::<2>(3), None);
        assert_eq!(frame.read::<0>(4), Some([]));
        assert_eq!(frame.read::<1>(usize::MAX), None);
    }
}

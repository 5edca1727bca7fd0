//! The Internet checksum (RFC 1071) and the pseudo-headers that go into it.
//!
//! Called by [`crate::packet`] and [`crate::ndp`]. What a protocol covers with it is decided there, not here.

use crate::packet::Endpoints;

/// A running one's complement sum of 16-bit words in network order.
///
/// Slices are added one behind the other as if they were one, so a slice of odd length in the middle is handled:
/// the next slice's first byte completes the word. A slice of odd length at the end is padded with a zero byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    folded: u16,
    /// An odd number of bytes has been added: the next byte is the low half of a word.
    odd: bool,
}

impl Sum {
    /// Nothing added yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { folded: 0, odd: false }
    }

    /// The sum of a pseudo-header: RFC 793 section 3.1 for IPv4, RFC 8200 section 8.1 for IPv6.
    ///
    /// `length` is that of the upper-layer message. The IPv4 form has 16 bits for it and the IPv6 form 32; a sum of
    /// 16-bit words is the same for both, because IPv4 lengths leave the upper half zero.
    #[must_use]
    pub fn pseudo_header(endpoints: &Endpoints, next_header: u8, length: usize) -> Self {
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        let addresses = match endpoints {
            Endpoints::V4 { source, destination } => {
                Self::new().with(&source.octets()).with(&destination.octets())
            }
            Endpoints::V6 { source, destination } => {
                Self::new().with(&source.octets()).with(&destination.octets())
            }
        };
        addresses.with(&length.to_be_bytes()).with(&[0, next_header])
    }

    /// The sum with `bytes` behind what was added before.
    #[must_use]
    pub fn with(self, bytes: &[u8]) -> Self {
        let (words, rest) = bytes.as_chunks::<2>();
        // 48 bits above the words: no slice that fits a machine overflows this.
        let mut total: u64 = words.iter().map(|word| u64::from(u16::from_be_bytes(*word))).sum();
        if let [last] = rest {
            total += u64::from(u16::from_be_bytes([*last, 0]));
        }
        // RFC 1071 section 2 (B): a sum that is off by one byte is the byte-swapped sum.
        let part = if self.odd { fold(total).swap_bytes() } else { fold(total) };
        Self { folded: fold(u64::from(self.folded) + u64::from(part)), odd: self.odd ^ (rest.len() == 1) }
    }

    /// The value for a checksum field that was zero (or left out) when the bytes were added.
    #[must_use]
    pub const fn checksum(self) -> u16 {
        !self.folded
    }

    /// Whether bytes that include their checksum field are as they were sent.
    #[must_use]
    pub const fn is_valid(self) -> bool {
        self.folded == 0xffff
    }
}

/// Carries added back in until 16 bits are left.
const fn fold(mut total: u64) -> u16 {
    while total > 0xffff {
        total = (total & 0xffff) + (total >> 16);
    }
    // The loop left at most 16 bits.
    total as u16
}

#[cfg(test)]
mod tests {
    use core::net::{Ipv4Addr, Ipv6Addr};

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_example_of_rfc_1071_section_3() {
        let sum = Sum::new().with(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]);
        assert_eq!(sum.checksum(), !0xddf2);
    }

    #[test]
    fn an_odd_last_byte_is_the_high_half_of_a_word() {
        assert_eq!(Sum::new().with(&[0x12, 0x34, 0x56]), Sum { folded: 0x6834, odd: true });
        assert_eq!(Sum::new().checksum(), 0xffff);
    }

    #[test]
    fn s20_pseudo_headers_have_the_words_that_the_rfcs_draw() {
        let v4 = Endpoints::V4 {
            source: Ipv4Addr::new(172, 16, 1, 11),
            destination: Ipv4Addr::new(224, 0, 0, 18),
        };
        let drawn = [172, 16, 1, 11, 224, 0, 0, 18, 0, 112, 0, 20];
        assert_eq!(Sum::pseudo_header(&v4, 112, 20), Sum::new().with(&drawn));

        let v6 = Endpoints::V6 {
            source: Ipv6Addr::new(0xfe80, 0, 0, 0, 1, 2, 3, 4),
            destination: Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x12),
        };
        let words = [0xfe80u16, 0, 0, 0, 1, 2, 3, 4, 0xff02, 0, 0, 0, 0, 0, 0, 0x12, 0, 40, 0, 112];
        let drawn = words.map(u16::to_be_bytes);
        assert_eq!(Sum::pseudo_header(&v6, 112, 40), Sum::new().with(drawn.as_flattened()));
    }

    proptest! {
        #[test]
        fn cutting_a_message_anywhere_changes_nothing(
            bytes in prop::collection::vec(any::<u8>(), 0..600),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        ) {
            let mut cuts: std::vec::Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            cuts.sort_unstable();
            let (mut sum, mut start) = (Sum::new(), 0);
            for cut in cuts {
                sum = sum.with(&bytes[start..cut]);
                start = cut;
            }
            prop_assert_eq!(sum.with(&bytes[start..]).checksum(), Sum::new().with(&bytes).checksum());
        }

        #[test]
        fn one_changed_byte_is_always_noticed(
            mut bytes in prop::collection::vec(any::<u8>(), 2..200),
            at in any::<prop::sample::Index>(),
            change in 1u8..,
        ) {
            bytes[..2].fill(0);
            let checksum = Sum::new().with(&bytes).checksum();
            bytes[..2].copy_from_slice(&checksum.to_be_bytes());
            prop_assert!(Sum::new().with(&bytes).is_valid());
            let at = at.index(bytes.len());
            bytes[at] ^= change;
            prop_assert!(!Sum::new().with(&bytes).is_valid());
        }
    }

    extern crate std;
}

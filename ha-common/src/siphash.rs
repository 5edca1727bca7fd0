//! SipHash-c-d (Aumasson and Bernstein, 2012) over 64-bit words.
//!
//! Fed word by word, without slices, so that the XDP program and the host run the same code: a slice of variable
//! length is what the kernel's verifier cannot follow. [`crate::classify`] computes fingerprints with SipHash-1-3.

/// A SipHash in progress: `C` rounds for each word, `D` rounds at the end.
#[derive(Clone, Copy, Debug)]
pub struct SipHash<const C: u32, const D: u32> {
    v: [u64; 4],
}

impl<const C: u32, const D: u32> SipHash<C, D> {
    /// Starts a hash under a 128-bit key, as two words in little-endian order.
    #[must_use]
    #[inline(always)]
    pub const fn new(key: [u64; 2]) -> Self {
        Self {
            v: [
                key[0] ^ 0x736f_6d65_7073_6575,
                key[1] ^ 0x646f_7261_6e64_6f6d,
                key[0] ^ 0x6c79_6765_6e65_7261,
                key[1] ^ 0x7465_6462_7974_6573,
            ],
        }
    }

    /// What [`Self::from_state`] makes the same hash of.
    #[must_use]
    #[inline(always)]
    pub const fn state(self) -> [u64; 4] {
        self.v
    }

    /// A hash in progress.
    #[must_use]
    #[inline(always)]
    pub const fn from_state(v: [u64; 4]) -> Self {
        Self { v }
    }

    /// Takes in the next eight bytes of the message, read as a little-endian word.
    #[must_use]
    #[inline(always)]
    pub const fn word(mut self, word: u64) -> Self {
        self.v[3] ^= word;
        let mut round = 0;
        while round < C {
            self.v = sip_round(self.v);
            round += 1;
        }
        self.v[0] ^= word;
        self
    }

    /// The hash of a message of `length` bytes whose last zero to seven bytes are in `tail`, zero-padded.
    #[must_use]
    #[inline(always)]
    pub const fn finish(self, length: u64, tail: u64) -> u64 {
        let mut v = self.word((length << 56) | tail).v;
        v[2] ^= 0xff;
        let mut round = 0;
        while round < D {
            v = sip_round(v);
            round += 1;
        }
        v[0] ^ v[1] ^ v[2] ^ v[3]
    }
}

#[inline(always)]
const fn sip_round([mut v0, mut v1, mut v2, mut v3]: [u64; 4]) -> [u64; 4] {
    v0 = v0.wrapping_add(v1);
    v2 = v2.wrapping_add(v3);
    v1 = v1.rotate_left(13) ^ v0;
    v3 = v3.rotate_left(16) ^ v2;
    v0 = v0.rotate_left(32).wrapping_add(v3);
    v2 = v2.wrapping_add(v1);
    v3 = v3.rotate_left(21) ^ v0;
    v1 = v1.rotate_left(17) ^ v2;
    v2 = v2.rotate_left(32);
    [v0, v1, v2, v3]
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::hash::Hasher;
    use std::vec::Vec;

    use super::*;

    fn hash<const C: u32, const D: u32>(key: [u64; 2], message: &[u8]) -> u64 {
        let (words, tail) = message.as_chunks::<8>();
        let mut last = [0; 8];
        last[..tail.len()].copy_from_slice(tail);
        words
            .iter()
            .fold(SipHash::<C, D>::new(key), |hash, word| hash.word(u64::from_le_bytes(*word)))
            .finish(message.len() as u64, u64::from_le_bytes(last))
    }

    /// Key of the paper's appendix A and of the reference implementation's vectors: bytes 0 to 15.
    const KEY: [u64; 2] = [0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908];

    #[test]
    fn siphash_2_4_agrees_with_the_paper() {
        let message: Vec<u8> = (0..15).collect();
        assert_eq!(hash::<2, 4>(KEY, &message), 0xa129_ca61_49be_45e5);
        assert_eq!(hash::<2, 4>(KEY, &[]), 0x726f_db47_dd0e_0e31);
        assert_eq!(hash::<2, 4>(KEY, &message[..8]), 0x93f5_f579_9a93_2462);
    }

    #[test]
    #[expect(deprecated, reason = "std's SipHasher is the independent implementation of SipHash-2-4 at hand")]
    fn siphash_2_4_agrees_with_std() {
        for length in 0..100 {
            let message: Vec<u8> = (0..length).map(|byte| byte ^ 0x5a).collect();
            let mut std = std::hash::SipHasher::new_with_keys(KEY[0], KEY[1]);
            std.write(&message);
            assert_eq!(hash::<2, 4>(KEY, &message), std.finish(), "{length} bytes");
        }
    }

    #[test]
    fn siphash_1_3_agrees_with_std() {
        // `DefaultHasher` is SipHash-1-3 with a key of zeros in every release so far.
        for length in 0..100 {
            let message: Vec<u8> = (0..length).map(|byte| byte ^ 0x5a).collect();
            let mut std = std::hash::DefaultHasher::new();
            std.write(&message);
            assert_eq!(hash::<1, 3>([0, 0], &message), std.finish(), "{length} bytes");
        }
    }
}

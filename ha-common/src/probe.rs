//! Liveness probe and reply: the wire format of `docs/liveness.md`.
//!
//! What lives here: offsets, writing, reading, turning a probe round in place, the tag, and whole frames for the
//! prober. What must not: who is probed, when, and what an answer means ([`crate::judge`]), and which map a number
//! comes from. The XDP program calls the `inline(always)` functions on packet memory (all offsets are constants,
//! nothing can panic); the daemon calls the rest.

mod frame;
mod keys;
mod order;

#[cfg(test)]
mod tests;

pub use frame::{MAX_FRAME, ProbeFrame};
pub use keys::{FAREWELL, GRACE, Keys};
pub use order::Latest;

use core::ops::{Deref, DerefMut};

use bytemuck::{Pod, Zeroable};

use crate::layout::{AUTHENTICATED, AUTHENTICATED_NEW};
use crate::siphash::SipHash;
use crate::time::Span;
use crate::types::Vrid;

/// Bytes of a probe and of a reply, behind the IP header.
pub const LEN: usize = 80;
/// Version 3, type 14.
pub const PROBE: u8 = 0x3e;
/// Version 3, type 15.
pub const REPLY: u8 = 0x3f;
/// The VRID of every probe and reply, which no router may use.
pub const VRID: u8 = 0;
/// The newest format: a probe says which VRIDs its sender would take over.
pub const FORMAT: u8 = 2;
/// The oldest: a probe says nothing of that, and is taken for a wish for everything.
pub const FIRST_FORMAT: u8 = 1;
/// The only TTL or hop limit that is answered or believed.
pub const HOP_LIMIT: u8 = 255;

/// Flag: nobody runs the responder.
pub const ORPHANED: u8 = 1;
/// Flag: the responder's lease has run out.
pub const EXPIRED: u8 = 2;
/// Flag: nobody runs the responder for the moment; the restart was planned and its window is open.
pub const RESTARTING: u8 = 4;
/// Flag: the daemon itself answered, for lack of XDP. It needs more patience, and has no fence.
pub const USER_SPACE: u8 = 8;
/// Flag: the responder takes no part in fast failover (`fast_failover off`), whatever it did before. It is not judged,
/// and its silence means nothing. It goes with [`RESTARTING`] and [`USER_SPACE`], which tell the same to a prober that
/// does not know it.
pub const APART: u8 = 16;
/// Flag: the rank in this reply counts, because the responder tells the others that probe it of this prober too. Who goes
/// first need not wait for anybody.
pub const RANKED: u8 = 32;
/// The flags of a responder that takes no part.
pub const TAKES_NO_PART: u8 = APART | RESTARTING | USER_SPACE;

/// The flags of a reply that the daemon itself sends, for lack of XDP. `apart`: no virtual router there takes part.
/// `farewell`: the probe has the key before the last change, which counts for only a moment more.
#[must_use]
pub const fn flags_of_daemon(apart: bool, restarting: bool, farewell: bool) -> u8 {
    if apart {
        TAKES_NO_PART
    } else if restarting {
        USER_SPACE | RESTARTING
    } else if farewell {
        TAKES_NO_PART
    } else {
        USER_SPACE
    }
}

/// Offset of version and type.
pub const AT_TYPE: usize = 0;
/// Offset of the VRID.
pub const AT_VRID: usize = 1;
/// Offset of the format.
pub const AT_FORMAT: usize = 2;
/// Offset of the flags.
pub const AT_FLAGS: usize = 3;
/// Offset of the slot, two bytes.
pub const AT_SLOT: usize = 4;
/// Offset of the priority with which the prober would take over; 0 where it would not, and in the first format.
pub const AT_PRIORITY: usize = 6;
/// Offset of the prober's rank among those that would take over, in replies ([`crate::rank`]); 0 in the first format.
pub const AT_RANK: usize = 7;
/// Offset of the sequence number, eight bytes.
pub const AT_SEQUENCE: usize = 8;
/// Offset of the prober's incarnation id, eight bytes.
pub const AT_PROBER: usize = 16;
/// Offset of the responder's incarnation id, eight bytes.
pub const AT_RESPONDER: usize = 24;
/// Offset of what is left of the responder's lease, eight bytes.
pub const AT_LEASE: usize = 32;
/// Offset of the bitmap, [`MASTERS_LEN`] bytes: what the responder is master for, in a probe what the prober would take.
pub const AT_MASTERS: usize = 40;
/// Offset of the tag, eight bytes.
pub const AT_TAG: usize = 72;
/// Bytes of the bitmap.
pub const MASTERS_LEN: usize = 32;

/// A key of the tag, as two words in little-endian order. `None` where it is asked for means tags of zero.
pub type Key = [u64; 2];

/// Probe or reply, byte by byte as it lies in the packet, but aligned: the XDP program reads and writes it in words, which
/// its compiler does not make of single bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(transparent)]
pub struct Body([u64; LEN / 8]);

impl From<[u8; LEN]> for Body {
    fn from(bytes: [u8; LEN]) -> Self {
        Self(bytemuck::cast(bytes))
    }
}

impl Deref for Body {
    type Target = [u8; LEN];

    #[inline(always)]
    fn deref(&self) -> &Self::Target {
        bytemuck::cast_ref(&self.0)
    }
}

impl DerefMut for Body {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut Self::Target {
        bytemuck::cast_mut(&mut self.0)
    }
}

/// A set of VRIDs, those that a responder is master for or that a prober would take: bit `n % 8` of byte `n / 8`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct Masters(pub [u8; MASTERS_LEN]);

impl Masters {
    /// No VRID.
    pub const NONE: Self = Self([0; MASTERS_LEN]);
    /// Every VRID.
    pub const ALL: Self = Self([0xff; MASTERS_LEN]);

    /// Whether the bit is set.
    #[must_use]
    pub const fn has(&self, vrid: Vrid) -> bool {
        self.0[(vrid.get() / 8) as usize] & (1 << (vrid.get() % 8)) != 0
    }

    /// Sets or clears the bit.
    pub const fn set(&mut self, vrid: Vrid, master: bool) {
        let bit = 1 << (vrid.get() % 8);
        let byte = &mut self.0[(vrid.get() / 8) as usize];
        *byte = if master { *byte | bit } else { *byte & !bit };
    }

    /// From words of which bit `n % 64` of word `n / 64` is for VRID `n`.
    #[must_use]
    #[inline(always)]
    pub const fn from_words(words: [u64; 4]) -> Self {
        let mut bits = [0; MASTERS_LEN];
        let mut index = 0;
        while index < MASTERS_LEN {
            bits[index] = words[index / 8].to_le_bytes()[index % 8];
            index += 1;
        }
        Self(bits)
    }

    /// Whether no bit is set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0 == [0; MASTERS_LEN]
    }

    /// The bits that are set here and not in `other`.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        let mut bits = self.0;
        for (mine, theirs) in bits.iter_mut().zip(other.0) {
            *mine &= !theirs;
        }
        Self(bits)
    }
}

/// Source and destination of one packet, as its IP header has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addresses {
    /// IPv4.
    V4 {
        /// Source.
        source: [u8; 4],
        /// Destination.
        destination: [u8; 4],
    },
    /// IPv6.
    V6 {
        /// Source.
        source: [u8; 16],
        /// Destination.
        destination: [u8; 16],
    },
}

impl Addresses {
    /// Those of the packet that goes the other way.
    #[must_use]
    #[inline(always)]
    pub const fn swapped(self) -> Self {
        match self {
            Self::V4 { source, destination } => Self::V4 { source: destination, destination: source },
            Self::V6 { source, destination } => Self::V6 { source: destination, destination: source },
        }
    }
}

/// The eight bytes at `at`, a multiple of eight.
#[inline(always)]
const fn word(body: &Body, at: usize) -> [u8; 8] {
    body.0[at / 8].to_ne_bytes()
}

/// Writes a 64-bit number at one of the `AT_` offsets.
#[inline(always)]
pub const fn put(body: &mut Body, at: usize, word: u64) {
    body.0[at / 8] = word.to_be();
}

/// The 64-bit number at one of the `AT_` offsets.
#[must_use]
#[inline(always)]
pub const fn number(body: &Body, at: usize) -> u64 {
    u64::from_be_bytes(word(body, at))
}

/// The slot.
#[must_use]
#[inline(always)]
pub const fn slot(body: &Body) -> u16 {
    let [_, _, _, _, high, low, _, _] = word(body, 0);
    u16::from_be_bytes([high, low])
}

/// The bitmap.
#[must_use]
#[inline(always)]
pub fn masters(body: &Body) -> Masters {
    let mut masters = Masters::NONE;
    let mut at = 0;
    while at < MASTERS_LEN {
        masters.0.as_chunks_mut::<8>().0[at / 8] = word(body, AT_MASTERS + at);
        at += 8;
    }
    masters
}

/// Whether this is a probe in exactly the form that is answered. The tag is another question ([`is_sealed`]).
#[must_use]
#[inline(always)]
pub const fn is_probe(body: &Body) -> bool {
    let mut blank = number(body, AT_RESPONDER) | number(body, AT_LEASE);
    let [_, _, format, flags, _, _, _, rank] = word(body, 0);
    if format == FIRST_FORMAT {
        let mut index = 0;
        while index < MASTERS_LEN {
            blank |= number(body, AT_MASTERS + index);
            index += 8;
        }
    }
    is_form(body, PROBE) && flags == 0 && rank == 0 && blank == 0
}

/// The VRIDs that the sender of a probe would take over if this node were gone.
#[must_use]
#[inline(always)]
pub fn wanted(body: &Body) -> Masters {
    if body[AT_FORMAT] == FIRST_FORMAT { Masters::ALL } else { masters(body) }
}

/// Whether this is a reply in the form that is believed. Whose it is and whether it is new is another question.
#[must_use]
#[inline(always)]
pub const fn is_reply(body: &Body) -> bool {
    is_form(body, REPLY) && number(body, AT_RESPONDER) != 0
}

/// What probe and reply have in common.
#[inline(always)]
const fn is_form(body: &Body, first: u8) -> bool {
    let [kind, vrid, format, _, _, _, priority, rank] = word(body, 0);
    kind == first
        && vrid == VRID
        && (format == FORMAT || (format == FIRST_FORMAT && priority | rank == 0))
        && number(body, AT_SEQUENCE) != 0
        && number(body, AT_PROBER) != 0
}

/// SipHash-2-4 over the addresses and everything before the tag.
#[must_use]
#[inline(always)]
pub fn tag(key: Key, addresses: &Addresses, body: &Body) -> u64 {
    let hash = SipHash::<2, 4>::new(key);
    let (mut hash, length) = match addresses {
        Addresses::V4 { source: s, destination: d } => {
            let word = u64::from_le_bytes([s[0], s[1], s[2], s[3], d[0], d[1], d[2], d[3]]);
            (hash.word(word), 8 + AT_TAG as u64)
        }
        Addresses::V6 { source, destination } => {
            let hash = hash.word(half(source, 0)).word(half(source, 8));
            (hash.word(half(destination, 0)).word(half(destination, 8)), 32 + AT_TAG as u64)
        }
    };
    let mut n = 0;
    while n < AT_TAG / 8 {
        hash = hash.word(u64::from_le(body.0[n]));
        n += 1;
    }
    hash.finish(length, 0)
}

#[inline(always)]
const fn half(address: &[u8; 16], at: usize) -> u64 {
    u64::from_le_bytes(address.as_chunks::<8>().0[at / 8])
}

/// Writes the tag: the last thing that is done to a body.
#[inline(always)]
pub fn seal(body: &mut Body, key: Option<Key>, addresses: &Addresses) {
    let tag = match key {
        Some(key) => tag(key, addresses, body),
        None => 0,
    };
    put(body, AT_TAG, tag);
}

/// Whether the tag is right; without a key it must be zero.
#[must_use]
#[inline(always)]
pub fn is_sealed(body: &Body, key: Option<Key>, addresses: &Addresses) -> bool {
    let wanted = match key {
        Some(key) => tag(key, addresses, body),
        None => 0,
    };
    number(body, AT_TAG) == wanted
}

/// What a responder has to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// [`ORPHANED`], [`EXPIRED`], [`RESTARTING`], [`USER_SPACE`], [`APART`], [`RANKED`].
    pub flags: u8,
    /// Its incarnation id, never 0.
    pub responder: u64,
    /// Nanoseconds that its lease still runs; 0 when it has run out.
    pub lease_ns: u64,
    /// What it is master for.
    pub masters: Masters,
    /// How many of those that probe it would take over before this prober.
    pub rank: u8,
}

/// Makes the reply to the probe in `body`. To be sealed with the swapped addresses afterwards.
#[inline(always)]
pub fn reflect(body: &mut Body, answer: &Answer) {
    body[AT_TYPE] = REPLY;
    body[AT_FLAGS] = answer.flags;
    put(body, AT_RESPONDER, answer.responder);
    put(body, AT_LEASE, answer.lease_ns);
    if body[AT_FORMAT] != FIRST_FORMAT {
        body[AT_RANK] = answer.rank;
    }
    put_bitmap(body, &answer.masters);
}

#[inline(always)]
fn put_bitmap(body: &mut Body, bitmap: &Masters) {
    let mut at = 0;
    while at < MASTERS_LEN {
        body.0[(AT_MASTERS + at) / 8] = u64::from_ne_bytes(bitmap.0.as_chunks::<8>().0[at / 8]);
        at += 8;
    }
}

/// A probe, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// The prober's index of the peer.
    pub slot: u16,
    /// Counts up from 1.
    pub sequence: u64,
    /// The prober's incarnation id, never 0.
    pub prober: u64,
    /// [`FORMAT`] or [`FIRST_FORMAT`].
    pub format: u8,
    /// The VRIDs that the prober would take over; [`Masters::ALL`] in the first format, which cannot say it.
    pub wanted: Masters,
    /// The highest priority with which it would take one over; 0 for none, and in the first format.
    pub priority: u8,
}

impl Probe {
    /// The bytes behind the IP header of a packet from and to `addresses`.
    #[must_use]
    pub fn emit(&self, key: Option<Key>, addresses: &Addresses) -> Body {
        let mut body = Body::zeroed();
        body[AT_TYPE] = PROBE;
        body[AT_FORMAT] = self.format;
        [body[AT_SLOT], body[AT_SLOT + 1]] = self.slot.to_be_bytes();
        put(&mut body, AT_SEQUENCE, self.sequence);
        put(&mut body, AT_PROBER, self.prober);
        if self.format != FIRST_FORMAT {
            body[AT_PRIORITY] = self.priority;
            put_bitmap(&mut body, &self.wanted);
        }
        seal(&mut body, key, addresses);
        body
    }

    /// `None` where the body is not a probe in exactly the form that is answered. Does not look at the tag.
    #[must_use]
    pub fn parse(body: &Body) -> Option<Self> {
        if !is_probe(body) {
            return None;
        }
        Some(Self {
            slot: slot(body),
            sequence: number(body, AT_SEQUENCE),
            prober: number(body, AT_PROBER),
            format: body[AT_FORMAT],
            wanted: wanted(body),
            priority: body[AT_PRIORITY],
        })
    }
}

/// A reply, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    /// As in the probe.
    pub slot: u16,
    /// As in the probe.
    pub sequence: u64,
    /// As in the probe.
    pub prober: u64,
    /// As in the probe.
    pub format: u8,
    /// [`ORPHANED`], [`EXPIRED`], [`RESTARTING`], [`USER_SPACE`]; unknown flags are kept.
    pub flags: u8,
    /// The responder's incarnation id, never 0.
    pub responder: u64,
    /// What is left of its lease.
    pub lease: Span,
    /// What it is master for.
    pub masters: Masters,
    /// How many of those that probe it would take over before this prober; 0 in the first format.
    pub rank: u8,
}

impl Reply {
    /// The bytes behind the IP header of a packet from and to `addresses`.
    #[must_use]
    pub fn emit(&self, key: Option<Key>, addresses: &Addresses) -> Body {
        let probe = Probe {
            slot: self.slot,
            sequence: self.sequence,
            prober: self.prober,
            format: self.format,
            wanted: Masters::NONE,
            priority: 0,
        };
        let mut body = probe.emit(None, addresses);
        let Self { flags, responder, lease, masters, rank, .. } = *self;
        reflect(&mut body, &Answer { flags, responder, lease_ns: lease.0, masters, rank });
        seal(&mut body, key, addresses);
        body
    }

    /// `None` where the body is not a reply. Does not look at the tag.
    #[must_use]
    pub fn parse(body: &Body) -> Option<Self> {
        if !is_reply(body) {
            return None;
        }
        Some(Self {
            slot: slot(body),
            sequence: number(body, AT_SEQUENCE),
            prober: number(body, AT_PROBER),
            format: body[AT_FORMAT],
            flags: body[AT_FLAGS],
            responder: number(body, AT_RESPONDER),
            lease: Span(number(body, AT_LEASE)),
            masters: masters(body),
            rank: body[AT_RANK],
        })
    }
}

/// Where the key of tags comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Secret {
    /// `fast_key`: every packet has a tag.
    Configured(Key),
    /// The secret of the adverts. Packets of the first format have no tag, because who sends them knows of no such key.
    Derived(Key),
}

impl Secret {
    /// The key of packets in a format; `None` where their tag is zero.
    #[must_use]
    #[inline(always)]
    pub const fn key(self, format: u8) -> Option<Key> {
        match self {
            Self::Configured(key) => Some(key),
            Self::Derived(_) if format == FIRST_FORMAT => None,
            Self::Derived(key) => Some(key),
        }
    }
}

impl Secret {
    /// `authenticated` and `key` of [`crate::layout::LeaseSlot`]; `None` is no key.
    #[must_use]
    pub const fn stored(secret: Option<Self>) -> (u32, Key) {
        match secret {
            None => (0, [0; 2]),
            Some(Self::Configured(key)) => (AUTHENTICATED, key),
            Some(Self::Derived(key)) => (AUTHENTICATED_NEW, key),
        }
    }

    /// The other way round.
    #[must_use]
    #[inline(always)]
    pub const fn from_stored(authenticated: u32, key: Key) -> Option<Self> {
        match authenticated {
            0 => None,
            AUTHENTICATED_NEW => Some(Self::Derived(key)),
            _ => Some(Self::Configured(key)),
        }
    }
}

impl core::fmt::Debug for Secret {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Configured(_) => "Configured(…)",
            Self::Derived(_) => "Derived(…)",
        })
    }
}

/// The key that follows from the secret of adverts, where there is no `fast_key`: of the kind of authentication (`PASS` or
/// `AH`) and the secret, padded with zeros to eight bytes.
#[must_use]
pub fn derived_key(kind: [u8; 4], secret: [u8; 8]) -> Key {
    let mut text = *b"xvrrp probe         ";
    if let Some(end) = text.last_chunk_mut::<8>() {
        *end = secret;
    }
    let mut whole = [0; 24];
    for (byte, from) in whole.iter_mut().zip(text.into_iter().chain(kind)) {
        *byte = from;
    }
    key(&whole)
}

/// The key that `fast_key` stands for: SipHash-2-4 of its bytes under the keys (0, 0) and (1, 0).
#[must_use]
pub fn key(secret: &[u8]) -> Key {
    let (words, tail) = secret.as_chunks::<8>();
    let mut last = [0; 8];
    for (byte, &from) in last.iter_mut().zip(tail) {
        *byte = from;
    }
    [0, 1].map(|half| {
        words
            .iter()
            .fold(SipHash::<2, 4>::new([half, 0]), |hash, word| hash.word(u64::from_le_bytes(*word)))
            .finish(secret.len() as u64, u64::from_le_bytes(last))
    })
}

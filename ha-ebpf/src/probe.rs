//! Liveness probes are reflected here, and replies to our own are read. The rules are docs/liveness.md's.

use aya_ebpf::helpers::bpf_ktime_get_ns;
use ha_common::classify::ProbeAt;
use ha_common::counter::Counter;
use ha_common::fence::{Proof, RESUMED_NS, steadiness};
use ha_common::layout::{PEER_SLOTS, PeerSlot, ProberSlot};
use ha_common::probe::{
    self, AT_FLAGS, AT_LEASE, AT_PRIORITY, AT_PROBER, AT_RANK, AT_RESPONDER, AT_SEQUENCE, AT_TAG, Addresses,
    Body, HOP_LIMIT, Latest, TAKES_NO_PART, is_probe, is_reply, reflect, wanted,
};
use ha_common::rank::bid;
use ha_common::rate;
use ha_common::types::Family;

use crate::frame::{Received, header_len};
use crate::lease::Lease;
use crate::maps::{HA_IMAGE, HA_PEERS, HA_PROBERS, fields};

/// What becomes of the frame, and the index of the counter that counts it.
pub(crate) type Outcome = (u32, u32);

/// The IP packet of a probe in words as they lie in memory (the compiler does not make words of single bytes): an
/// IPv4 header takes the last half of `header`. It is too large for the stack.
#[repr(C)]
pub(crate) struct Image {
    header: [u64; 5],
    body: Body,
}

impl Image {
    /// The packet's first byte, and its length.
    #[inline(always)]
    fn packet(&mut self, family: Family) -> (*mut u8, usize) {
        let header = header_len(family);
        // SAFETY: inside the image; nothing is read yet.
        let first = unsafe { (&raw mut *self).cast::<u8>().add(40 - header) };
        (first, header + probe::LEN)
    }

    /// Copies the packet in. False where the frame does not have it.
    #[inline(always)]
    fn load<F: Received>(&mut self, frame: &F, at: &ProbeAt) -> bool {
        let (first, len) = self.packet(at.family);
        frame.copy(at.ip_at, first, len)
    }

    /// Sends the frame back with this packet in it.
    #[inline(always)]
    fn send_back<F: Received>(&mut self, frame: F, at: &ProbeAt) -> Option<u32> {
        let (first, len) = self.packet(at.family);
        frame.send_back(at.ip_at, first, len)
    }

    #[inline(always)]
    fn swap_addresses(&mut self, family: Family) {
        let [first, a, b, c, d] = self.header;
        self.header = match family {
            Family::V4 => [first, a, b, c, d.rotate_left(32)],
            Family::V6 => [first, c, d, a, b],
        };
    }
}

/// Source and destination in the words of an image's header.
#[inline(always)]
fn addresses_of(&[_, a, b, c, d]: &[u64; 5], family: Family) -> Addresses {
    match family {
        Family::V4 => {
            let [source, destination] = bytemuck::cast(d);
            Addresses::V4 { source, destination }
        }
        Family::V6 => Addresses::V6 { source: bytemuck::cast([a, b]), destination: bytemuck::cast([c, d]) },
    }
}

/// The source as maps have it ([`ha_common::layout::AddressKey`]), in words as they lie in memory.
#[inline(always)]
fn source_key(addresses: &Addresses) -> [u64; 2] {
    match addresses {
        Addresses::V4 { source: [a, b, c, d], .. } => {
            [0, u64::from_ne_bytes([0, 0, 0xff, 0xff, *a, *b, *c, *d])]
        }
        Addresses::V6 { source, .. } => bytemuck::cast(*source),
    }
}

/// Takes a probe or a reply. Without a daemon (`orphaned`) probes are answered all the same, and replies are for
/// nobody.
#[inline(always)]
pub(crate) fn take<F: Received>(frame: F, at: &ProbeAt, lease: &Lease, orphaned: bool) -> Outcome {
    if lease.incarnation() == 0 {
        return (F::PASS, Counter::UnknownVrid.index());
    }
    if at.ttl != HOP_LIMIT || !frame.read(0).is_some_and(|mac| lease.owns(mac)) {
        return (F::PASS, Counter::ProbeRejected.index());
    }
    let truncated = (F::PASS, Counter::Truncated.index());
    let Some(image) = image() else {
        return truncated;
    };
    if !image.load(&frame, at) {
        return truncated;
    }
    let v6 = u64::from(at.family == Family::V6);
    // Each of these has a stack of its own, and the verifier looks at it once, not for every way that leads there.
    // SAFETY: the helper has no conditions. Reading a clock takes longer than most of the rest.
    let now_ns = unsafe { bpf_ktime_get_ns() };
    let seal = ha_unseal(v6, now_ns);
    let judged = ha_probe(v6, u64::from(orphaned), seal, now_ns);
    let counter = judged as u32;
    if judged & (ANSWER | DROP) == ANSWER {
        ha_seal(v6, seal, u64::from(judged & KNOWN_PROBER != 0), now_ns);
        return match self::image().and_then(|image| image.send_back(frame, at)) {
            Some(action) => (action, counter),
            None => truncated,
        };
    }
    (if judged & DROP == 0 { F::PASS } else { F::DROP }, counter)
}

/// Bits of what [`ha_probe`] says; bits 0 to 31 are the index of a counter.
const DROP: u64 = 1 << 32;
/// What is in the image goes back.
const ANSWER: u64 = 1 << 33;
/// To a known router.
const KNOWN_PROBER: u64 = 1 << 34;

const fn pass(counter: Counter) -> u64 {
    counter.index() as u64
}

const fn drop(counter: Counter) -> u64 {
    DROP | counter.index() as u64
}

/// Bits of what [`ha_unseal`] says: the packet's tag is right.
const SEALED: u64 = 1;
/// Under the key in force.
const CURRENT: u64 = 2;
/// Under a key, and not zero for want of one.
const TAGGED: u64 = 4;
/// Under a key that counts for a moment longer.
const LEAVING: u64 = 8;
/// No key is wanted. Where one is, tags of the first format may be zero too.
const OPEN: u64 = 16;

/// Finds out which key the packet in the image is under.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn ha_unseal(v6: u64, now_ns: u64) -> u64 {
    let (Some(lease), Some(image)) = (crate::lease::lease(), image()) else { return 0 };
    let (format, sealed) = (image.body[probe::AT_FORMAT], probe::number(&image.body, AT_TAG));
    let key = lease.tag_key(format);
    if sealed == tag(key, v6) {
        let open = if lease.authenticated() == 0 { OPEN } else { 0 };
        return SEALED | CURRENT | open | if key.is_some() { TAGGED } else { 0 };
    }
    match lease.other_tag_key(format, now_ns) {
        Some((key, leaving)) if sealed == tag(key, v6) => {
            let open = if lease.other_authenticated() == 0 { OPEN } else { 0 };
            SEALED | open | if key.is_some() { TAGGED } else { 0 } | if leaving { LEAVING } else { 0 }
        }
        _ => 0,
    }
}

/// The tag of the packet in the image.
#[inline(always)]
fn tag(key: Option<[u64; 2]>, v6: u64) -> u64 {
    match key {
        Some([low, high]) => ha_tag(low, high, v6),
        None => 0,
    }
}

/// The same under a key.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn ha_tag(low: u64, high: u64, v6: u64) -> u64 {
    let Some(image) = image() else { return 0 };
    probe::tag([low, high], &addresses_of(&image.header, family_of(v6)), &image.body)
}

#[inline(always)]
const fn family_of(v6: u64) -> Family {
    if v6 == 0 { Family::V4 } else { Family::V6 }
}

/// Judges the packet in the image, and makes the reply there to what is a probe. Its rank and its tag are
/// [`ha_seal`]'s.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn ha_probe(v6: u64, orphaned: u64, seal: u64, now_ns: u64) -> u64 {
    let family = family_of(v6);
    let (Some(lease), Some(image)) = (crate::lease::lease(), image()) else {
        return pass(Counter::Truncated);
    };
    let body = &mut image.body;
    let is_reply = is_reply(body);
    if !is_reply && !is_probe(body) {
        return pass(Counter::ProbeRejected);
    }
    if seal & SEALED == 0 {
        return pass(Counter::ProbeTag);
    }
    let addresses = addresses_of(&image.header, family);
    let from = source_key(&addresses);
    if is_reply {
        return if orphaned == 0 {
            believe(body, from, seal & CURRENT != 0, now_ns)
        } else {
            pass(Counter::Unattended)
        };
    }
    if !lease.is_own(&addresses) {
        return pass(Counter::ProbeRejected);
    }
    let tagged = seal & TAGGED != 0;
    let admitted = match admit(from, body, tagged, now_ns, !lease.guard().unattended(now_ns)) {
        Ok(admitted) => admitted,
        Err(counter) => return drop(counter),
    };
    let proof = if tagged {
        Proof::Tag
    } else if seal & OPEN != 0 {
        Proof::NoneWanted
    } else {
        Proof::None
    };
    let known = proof.makes_known(admitted.doubtful, admitted.steady);
    if known {
        // Before the reply is sent: when it says that the fence is closed, it is.
        lease.note_probe(family, bytemuck::cast(wanted(body).0), now_ns);
        if admitted.pause_ns >= RESUMED_NS {
            lease.set_resumed_ns(now_ns);
        }
    }
    let mut answer = lease.answer(family, now_ns, known);
    if seal & LEAVING != 0 {
        answer.flags |= TAKES_NO_PART;
    }
    reflect(body, &answer);
    image.swap_addresses(family);
    ANSWER | if known { KNOWN_PROBER } else { 0 } | pass(Counter::ProbeAnswered)
}

/// Completes the reply in the image: with the rank of its receiver, which is `known` or not, and the tag.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn ha_seal(v6: u64, seal: u64, known: u64, now_ns: u64) -> u64 {
    let (Some(lease), Some(image)) = (crate::lease::lease(), image()) else { return 0 };
    let format = image.body[probe::AT_FORMAT];
    let priority = image.body[AT_PRIORITY];
    if priority != 0 {
        let bid = bid(priority, receiver_end(&image.header));
        let standing = lease.rank(family_of(v6), bid, known != 0, now_ns);
        image.body[AT_RANK] = standing.rank;
        image.body[AT_FLAGS] |= standing.flag(known != 0);
    }
    let key = match lease.other_tag_key(format, now_ns) {
        Some((key, _)) if seal & CURRENT == 0 => key,
        _ => lease.tag_key(format),
    };
    let tag = tag(key, v6);
    if let Some(image) = self::image() {
        probe::put(&mut image.body, AT_TAG, tag);
    }
    0
}

/// The last four bytes of the destination in the words of an image's header.
#[inline(always)]
fn receiver_end(&[_, _, _, _, last]: &[u64; 5]) -> u32 {
    let [_, end]: [[u8; 4]; 2] = bytemuck::cast(last);
    u32::from_be_bytes(end)
}

/// This CPU's memory for the packet. Called once per run.
#[inline(always)]
fn image() -> Option<&'static mut Image> {
    // SAFETY: the entry lives as long as the map, and nobody else on this CPU runs before this program has ended.
    HA_IMAGE.get_ptr_mut(0).map(|image| unsafe { &mut *image })
}

/// What is known of the sender of a probe that is answered.
struct Admitted {
    /// How steadily it has probed.
    steady: u32,
    /// Its pause before this probe.
    pause_ns: u64,
    /// [`Latest::doubtful`].
    doubtful: bool,
}

/// Takes down a probe that is to be answered, or says why it is not.
#[inline(always)]
fn admit(
    from: [u64; 2],
    body: &Body,
    tagged: bool,
    now_ns: u64,
    attended: bool,
) -> Result<Admitted, Counter> {
    let (id, sequence) = (probe::number(body, AT_PROBER), probe::number(body, AT_SEQUENCE));
    let Some(prober) = HA_PROBERS.get_ptr_mut(from).map(Prober) else {
        let steady = steadiness(0, 0, attended);
        let first = ProberSlot {
            last_ns: now_ns,
            window_start_ns: now_ns,
            count: 1,
            window_used: 1,
            steady,
            prober: if tagged { id } else { 0 },
            sequence: if tagged { sequence } else { 0 },
            ..ProberSlot::default()
        };
        return match HA_PROBERS.insert(from, first, 0) {
            Ok(()) => Ok(Admitted { steady, pause_ns: 0, doubtful: false }),
            Err(_) => Err(Counter::ProbeRateLimited),
        };
    };
    // Another CPU may have answered a probe after `now_ns` was read.
    let pause_ns = now_ns.saturating_sub(prober.last_ns());
    let mut doubtful = false;
    if tagged {
        let latest =
            Latest { prober: prober.prober(), sequence: prober.sequence(), doubtful: prober.doubtful() != 0 };
        let Some(latest) = latest.followed_by(id, sequence, pause_ns) else {
            return Err(Counter::ProbeReplayed);
        };
        prober.set_prober(latest.prober);
        prober.set_sequence(latest.sequence);
        prober.set_doubtful(u32::from(latest.doubtful));
        doubtful = latest.doubtful;
    }
    let window = rate::Window { start_ns: prober.window_start_ns(), used: prober.window_used() };
    let Some(window) = window.admit_probe(now_ns) else {
        return Err(Counter::ProbeRateLimited);
    };
    prober.set_window_start_ns(window.start_ns);
    prober.set_window_used(window.used);
    let steady = steadiness(prober.steady(), pause_ns, attended);
    prober.set_steady(steady);
    prober.set_last_ns(now_ns);
    prober.set_count(prober.count() + 1);
    Ok(Admitted { steady, pause_ns, doubtful })
}

/// Writes a reply down if it answers a probe that is on its way.
#[inline(always)]
fn believe(body: &Body, from: [u64; 2], current: bool, now_ns: u64) -> u64 {
    let ignored = pass(Counter::ReplyIgnored);
    let slot = probe::slot(body);
    if slot >= PEER_SLOTS {
        return ignored;
    }
    let Some(peer) = HA_PEERS.get_ptr_mut(u32::from(slot)).map(Peer) else {
        return ignored;
    };
    let sequence = probe::number(body, AT_SEQUENCE);
    if probe::number(body, AT_PROBER) != peer.prober()
        || peer.address() != from
        || sequence <= peer.sequence()
        || sequence > peer.sent()
    {
        return ignored;
    }
    // The compiler keeps the order of these, and so does x86. On other CPUs the daemon may see fields of two replies
    // at once, which are an interval apart: eBPF in Rust has no barrier.
    let generation = peer.generation() | 1;
    peer.set_generation(generation);
    peer.set_last_reply_ns(now_ns);
    peer.set_sequence(sequence);
    peer.set_responder(probe::number(body, AT_RESPONDER));
    peer.set_lease_left_ns(probe::number(body, AT_LEASE));
    peer.set_flags(u64::from(body[AT_FLAGS]));
    peer.set_masters(bytemuck::cast(probe::masters(body).0));
    peer.set_rank(u64::from(body[AT_RANK]));
    if current {
        peer.set_current_key_sequence(sequence);
    }
    peer.set_replies(peer.replies() + 1);
    peer.set_generation(generation + 1);
    drop(Counter::ReplyBelieved)
}

/// An entry of `HA_PEERS`.
struct Peer(*mut PeerSlot);

impl Peer {
    /// In words, like the keys of maps.
    #[inline(always)]
    fn address(&self) -> [u64; 2] {
        // SAFETY: the field is inside the entry and aligned for words; the kernel keeps the entry.
        unsafe { (&raw const (*self.0).address).cast::<[u64; 2]>().read_volatile() }
    }

    fields! {
        read prober: u64, sent: u64, sequence: u64, replies: u64, generation: u64;
        write set_generation generation: u64, set_last_reply_ns last_reply_ns: u64, set_sequence sequence: u64,
            set_responder responder: u64, set_lease_left_ns lease_left_ns: u64, set_flags flags: u64,
            set_masters masters: [u64; 4], set_replies replies: u64, set_rank rank: u64,
            set_current_key_sequence current_key_sequence: u64;
    }
}

/// An entry of `HA_PROBERS`.
struct Prober(*mut ProberSlot);

impl Prober {
    fields! {
        read window_start_ns: u64, window_used: u32, last_ns: u64, count: u64, steady: u32, prober: u64, sequence: u64,
            doubtful: u32;
        write set_window_start_ns window_start_ns: u64, set_window_used window_used: u32, set_last_ns last_ns: u64,
            set_count count: u64, set_steady steady: u32, set_prober prober: u64, set_sequence sequence: u64,
            set_doubtful doubtful: u32;
    }
}

//! Liveness probes are turned round here, and replies to our own are read. The rules are docs/liveness.md's.

use aya_ebpf::helpers::bpf_ktime_get_ns;
use ha_common::classify::ProbeAt;
use ha_common::counter::Counter;
use ha_common::fence::{KNOWN, RESUMED_NS, steadiness};
use ha_common::layout::{PEER_SLOTS, PeerSlot, ProberSlot};
use ha_common::probe::{
    self, AT_LEASE, AT_PROBER, AT_RESPONDER, AT_SEQUENCE, Addresses, Body, HOP_LIMIT, is_probe, is_reply,
    is_sealed, seal, turn_round, wanted,
};
use ha_common::rate;
use ha_common::types::Family;

use crate::frame::{Received, header_len};
use crate::lease::Lease;
use crate::maps::{HA_IMAGE, HA_PEERS, HA_PROBERS, fields};

/// What becomes of the frame, and how it is counted.
pub(crate) type Outcome = (u32, Counter);

/// The IP packet of a probe in words as they lie in memory (the compiler does not make words of single bytes): an
/// IPv4 header takes the last half of `header`. It is too large for the stack.
#[repr(C)]
pub(crate) struct Image {
    header: [u64; 5],
    body: [u64; 10],
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
    fn addresses(&self, family: Family) -> Addresses {
        let [_, a, b, c, d] = self.header;
        match family {
            Family::V4 => {
                let [source, destination] = bytemuck::cast(d);
                Addresses::V4 { source, destination }
            }
            Family::V6 => {
                Addresses::V6 { source: bytemuck::cast([a, b]), destination: bytemuck::cast([c, d]) }
            }
        }
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
    // SAFETY: the helper has no conditions.
    let now_ns = unsafe { bpf_ktime_get_ns() };
    if lease.incarnation() == 0 {
        return (F::PASS, Counter::UnknownVrid);
    }
    if at.ttl != HOP_LIMIT || !frame.read(0).is_some_and(|mac| lease.owns(mac)) {
        return (F::PASS, Counter::ProbeRejected);
    }
    let Some(image) = image() else {
        return (F::PASS, Counter::Truncated);
    };
    if !image.load(&frame, at) {
        return (F::PASS, Counter::Truncated);
    }
    let mut body: Body = bytemuck::cast(image.body);
    let is_reply = is_reply(&body);
    if !is_reply && !is_probe(&body) {
        return (F::PASS, Counter::ProbeRejected);
    }
    let addresses = image.addresses(at.family);
    let key = lease.tag_key(body[probe::AT_FORMAT]);
    if !is_sealed(&body, key, &addresses) {
        return (F::PASS, Counter::ProbeTag);
    }
    let from = source_key(&addresses);
    if is_reply {
        return if orphaned { (F::PASS, Counter::Unattended) } else { believe::<F>(&body, from, now_ns) };
    }
    if !lease.is_own(&addresses) {
        return (F::PASS, Counter::ProbeRejected);
    }
    let Some((steady, pause_ns)) = admit(from, now_ns, !lease.guard().unattended(now_ns)) else {
        return (F::DROP, Counter::ProbeRateLimited);
    };
    // Who has the key is known at once.
    let known = key.is_some() || steady >= KNOWN;
    if known {
        // Before the reply is sent: when it says that the fence is closed, it is.
        lease.note_probe(at.family, bytemuck::cast(wanted(&body).0), now_ns);
        if pause_ns >= RESUMED_NS {
            lease.set_resumed_ns(now_ns);
        }
    }
    turn_round(&mut body, &lease.answer(at.family, now_ns, known));
    seal(&mut body, key, &addresses.swapped());
    image.body = bytemuck::cast(body);
    image.swap_addresses(at.family);
    match image.send_back(frame, at) {
        Some(action) => (action, Counter::ProbeAnswered),
        None => (F::PASS, Counter::Truncated),
    }
}

/// This CPU's memory for the packet. Called once per run.
#[inline(always)]
fn image() -> Option<&'static mut Image> {
    // SAFETY: the entry lives as long as the map, and nobody else on this CPU runs before this program has ended.
    HA_IMAGE.get_ptr_mut(0).map(|image| unsafe { &mut *image })
}

/// How steadily this router has probed, and its pause before this probe; `None` where one more probe of it is not answered.
#[inline(always)]
fn admit(from: [u64; 2], now_ns: u64, attended: bool) -> Option<(u32, u64)> {
    let Some(prober) = HA_PROBERS.get_ptr_mut(from).map(Prober) else {
        let steady = steadiness(0, 0, attended);
        let first = ProberSlot { last_ns: now_ns, window_start_ns: now_ns, count: 1, window_used: 1, steady };
        return HA_PROBERS.insert(from, first, 0).is_ok().then_some((steady, 0));
    };
    let window = rate::Window { start_ns: prober.window_start_ns(), used: prober.window_used() };
    let window = window.admit_probe(now_ns)?;
    prober.set_window_start_ns(window.start_ns);
    prober.set_window_used(window.used);
    // Another CPU may have answered a probe after `now_ns` was read.
    let pause_ns = now_ns.saturating_sub(prober.last_ns());
    let steady = steadiness(prober.steady(), pause_ns, attended);
    prober.set_steady(steady);
    prober.set_last_ns(now_ns);
    prober.set_count(prober.count() + 1);
    Some((steady, pause_ns))
}

/// Writes a reply down if it answers a probe that is on its way.
#[inline(always)]
fn believe<F: Received>(body: &Body, from: [u64; 2], now_ns: u64) -> Outcome {
    let ignored = (F::PASS, Counter::ReplyIgnored);
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
    peer.set_flags(u64::from(body[probe::AT_FLAGS]));
    peer.set_masters(bytemuck::cast(probe::masters(body).0));
    peer.set_replies(peer.replies() + 1);
    peer.set_generation(generation + 1);
    (F::DROP, Counter::ReplyBelieved)
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
            set_masters masters: [u64; 4], set_replies replies: u64;
    }
}

/// An entry of `HA_PROBERS`.
struct Prober(*mut ProberSlot);

impl Prober {
    fields! {
        read window_start_ns: u64, window_used: u32, last_ns: u64, count: u64, steady: u32;
        write set_window_start_ns window_start_ns: u64, set_window_used window_used: u32, set_last_ns last_ns: u64,
            set_count count: u64, set_steady steady: u32;
    }
}

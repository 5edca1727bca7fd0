//! The loaded program and the host's `classify` agree on every frame of a corpus, and so do their fingerprints.

mod xdp_support;

use std::net::IpAddr;
use std::process::ExitCode;

use aya::TestRunOptions;
use ha_common::checksum::Sum;
use ha_common::classify::{self, Origin, Packet, Verdict, classify, parse_ip_packet};
use ha_common::counter::{Counter, XdpCounters};
use ha_common::time::Time;
use ha_common::types::{Family, Vrid};
use ha_userspace::xdp::{Adverts, Alive, Counters, Events, Program, Slot, Travel, Variant};
use xdp_support::program::{PASS, takes, test_run};
use xdp_support::{advert, ethernet, ipv4, ipv6, variant};

fn main() -> ExitCode {
    xdp_support::main_for_variants(&[
        ("program_and_host_agree", agree),
        ("program_and_host_agree_inside_a_vlan", agree_inside_a_vlan),
        ("s14_a_jumbo_advert_is_fingerprinted_whole", jumbo),
    ])
}

const KEY: [u64; 2] = [0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210];
const SEED: u64 = 0x5eed_0f0b_ad0c_0ffe;
const FRAMES: usize = 12_000;

/// A generator of reproducible noise (xorshift64*).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() >> 33).expect("31 bits") % limit
    }

    fn byte(&mut self) -> u8 {
        self.next().to_be_bytes()[0]
    }
}

/// An IPv6 extension header of eight bytes times `units`, and the rest.
fn extension(next: u8, units: u8, rest: &[u8]) -> Vec<u8> {
    let mut header = vec![next, units - 1, 1, 4, 0, 0, 0, 0];
    header.resize(usize::from(units) * 8, 0);
    header.extend(rest);
    header
}

/// Frames of every kind that the classifier tells apart.
fn kinds() -> Vec<Vec<u8>> {
    let pdu = advert(51, 100);
    let mut probe = vec![0x3e, 0, 1];
    probe.resize(80, 0);
    let v4 = |packet: &[u8]| ethernet(&[], 0x0800, packet);
    let v6 = |packet: &[u8]| ethernet(&[], 0x86dd, packet);
    let plain = ipv4(1, 112, &[], &pdu);
    let mut padded = v4(&plain);
    padded.resize(60, 0);
    let mut fragment = plain.clone();
    fragment[6] = 0x20;
    let mut authenticated = vec![112, 4, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1];
    authenticated.extend([0xee; 12]);
    authenticated.extend(&pdu);
    let chain =
        |count| (0..count).fold(pdu.clone(), |rest, n| extension(if n == 0 { 112 } else { 60 }, 1, &rest));
    vec![
        v4(&plain),
        padded,
        v4(&ipv4(1, 112, &[1; 4], &pdu)),
        v4(&ipv4(1, 112, &[1; 40], &pdu)),
        v4(&ipv4(1, 112, &[], &[&pdu[..], &[1, 2, 3]].concat())),
        v4(&ipv4(1, 112, &[], &[&pdu[..], &[7; 400]].concat())),
        v4(&fragment),
        v4(&ipv4(1, 51, &[], &authenticated)),
        v4(&ipv4(1, 112, &[], &advert(0, 100))),
        v4(&ipv4(1, 112, &[], &probe)),
        v4(&ipv4(1, 112, &[1; 4], &probe)),
        v6(&ipv6(112, &probe)),
        v4(&ipv4(1, 112, &[], &advert(99, 100))),
        v4(&ipv4(1, 6, &[], &[0; 40])),
        ethernet(&[], 0x0806, &[0; 46]),
        ethernet(&[(0x8100, 0)], 0x0800, &plain),
        ethernet(&[(0x8100, 7)], 0x0800, &plain),
        ethernet(&[(0x88a8, 0), (0x8100, 7)], 0x0800, &plain),
        ethernet(&[(0x88a8, 7), (0x8100, 7)], 0x0800, &plain),
        ethernet(&[(0x8100, 7); 3], 0x0800, &plain),
        v6(&ipv6(112, &pdu)),
        v6(&ipv6(112, &[&pdu[..], &[7; 200]].concat())),
        v6(&ipv6(0, &extension(60, 1, &extension(43, 3, &extension(112, 2, &pdu))))),
        v6(&ipv6(60, &chain(5))),
        v6(&ipv6(60, &chain(6))),
        v6(&ipv6(60, &extension(112, 40, &pdu))),
        v6(&ipv6(44, &[&[112, 0, 0, 1, 0, 0, 0, 9], &pdu[..]].concat())),
        v6(&ipv6(51, &authenticated)),
        v6(&ipv6(58, &[143, 0, 0, 0])),
        ethernet(&[(0x8100, 7)], 0x86dd, &ipv6(112, &pdu)),
        ethernet(&[(0x8100, 7)], 0x0800, &ipv4(1, 112, &[], &probe)),
    ]
}

/// The kinds, all their truncations, and mutations of them.
fn corpus() -> Vec<Vec<u8>> {
    // What the kernel takes for a test run at least.
    const SHORTEST: usize = 14;
    let kinds = kinds();
    let mut frames = kinds.clone();
    for kind in &kinds {
        frames.extend((SHORTEST..kind.len()).map(|len| kind[..len].to_vec()));
    }
    let mut random = Random(SEED);
    while frames.len() < FRAMES {
        let mut frame = kinds[random.below(kinds.len())].clone();
        for _ in 0..=random.below(4) {
            // Mostly in the headers, where it matters.
            let limit = if random.below(4) == 0 { frame.len() } else { frame.len().min(64) };
            let at = random.below(limit - 12) + 12;
            frame[at] = match random.below(4) {
                0 => random.byte(),
                1 => frame[at] ^ (1 << random.below(8)),
                2 => [0, 43, 44, 51, 60, 112][random.below(6)],
                _ => frame[at].wrapping_add(1),
            };
        }
        if random.below(2) == 0 {
            mend(&mut frame);
        }
        if random.below(8) == 0 {
            frame.truncate(SHORTEST + random.below(frame.len() - SHORTEST + 1));
        }
        frames.push(frame);
    }
    frames
}

/// Makes the IPv4 header checksum right, if it is VRRP over IPv4 that the frame carries.
fn mend(frame: &mut [u8]) {
    if let Verdict::Vrrp(Packet { family: Family::V4, ip_at, .. }) = classify(frame, 0) {
        let header = ip_at..ip_at + usize::from(frame[ip_at] & 0x0f) * 4;
        frame[ip_at + 10..ip_at + 12].fill(0);
        let sum = Sum::new().with(&frame[header]).checksum();
        frame[ip_at + 10..ip_at + 12].copy_from_slice(&sum.to_be_bytes());
    }
}

/// A loaded program, its maps, and what it has counted.
struct Loaded {
    program: Program,
    _alive: Alive,
    adverts: Adverts,
    counters: Counters,
    events: Events,
    before: XdpCounters,
    /// Adverts that were stamped, over IPv4 and over IPv6.
    stamped: [usize; 2],
}

impl Loaded {
    fn new(vlan: u16) -> Self {
        let mut program = Program::load_variant(variant(), vlan, KEY).expect("loadable");
        let alive = program.alive().expect("there");
        let adverts = program.adverts().expect("mappable");
        let counters = program.counters().expect("there");
        let events = program.events().expect("there");
        // VRID 99 and others that mutations make are left out.
        for vrid in (1..=98).filter_map(Vrid::new) {
            for family in [Family::V4, Family::V6] {
                adverts.configure(Slot::of(family, vrid), Some(Travel::Multicast));
            }
        }
        Self {
            program,
            _alive: alive,
            adverts,
            counters,
            events,
            before: XdpCounters::default(),
            stamped: [0; 2],
        }
    }

    /// Runs the program over a frame and returns the counter that it moved.
    fn run(&mut self, frame: &[u8]) -> Option<Counter> {
        let mut options = TestRunOptions::new();
        options.data_in = Some(frame);
        assert_eq!(test_run(&mut self.program, options).return_value, PASS);

        let after = self.counters.read().expect("readable");
        let fields = |counters: XdpCounters| bytemuck::cast::<_, [u64; XdpCounters::ALL.len()]>(counters);
        let (before, after) = (fields(std::mem::replace(&mut self.before, after)), fields(after));
        let mut moved = XdpCounters::ALL.iter().zip(before.iter().zip(after)).filter(|(_, (b, a))| *b != a);
        let counter = moved.next().map(|(counter, (before, after))| {
            assert_eq!(after - before, 1);
            *counter
        });
        assert!(moved.next().is_none(), "one frame, one counter");
        counter
    }

    /// Compares program and host on one frame.
    fn check(&mut self, frame: &[u8], vlan: u16) -> Verdict {
        let verdict = classify(frame, vlan);
        match verdict {
            Verdict::NotVrrp => assert_eq!(self.run(frame), None),
            Verdict::Rejected(counter) => assert_eq!(self.run(frame), Some(counter)),
            Verdict::Vrrp(packet) if packet.vrid.get() > 98 => {
                assert_eq!(self.run(frame), Some(Counter::UnknownVrid));
            }
            Verdict::Vrrp(packet) => self.check_vrrp(frame, &packet),
            // Probes are not answered here.
            Verdict::Probe(_) => assert_eq!(self.run(frame), Some(Counter::UnknownVrid)),
        }
        verdict
    }

    fn check_vrrp(&mut self, frame: &[u8], packet: &Packet) {
        let ip = &frame[packet.ip_at..packet.ip_at + packet.ip_len];
        let fingerprint = classify::fingerprint(KEY, packet, ip);
        let slot = Slot::of(packet.family, packet.vrid);

        let counter = self.run(frame);
        let mut events = 0;
        self.events.drain(10, |event| {
            assert_eq!((event.slot, event.fingerprint, event.packet), (slot, fingerprint, ip));
            let parsed = parse_ip_packet(event.packet, Origin::Socket).expect("VRRP");
            assert_eq!(Packet { ip_at: packet.ip_at, ..parsed.packet }, *packet);
            events += 1;
        });
        match counter {
            Some(Counter::ToUser) => assert_eq!(events, 1),
            Some(Counter::RateLimited) => assert_eq!(events, 0),
            other => panic!("{other:?} for an advert that is not tracked"),
        }

        self.adverts.track(slot, fingerprint, Time(1), IpAddr::from([172, 16, 1, 1]));
        let before = self.adverts.last_seen(slot).count;
        let counter = self.run(frame);
        let seen = self.adverts.last_seen(slot);
        if classify::header_intact(packet, ip) {
            assert_eq!(counter, Some(Counter::Stamped));
            assert!(seen.count == before + 1 && seen.at > Time(1));
            self.stamped[usize::from(packet.family == Family::V6)] += 1;
        } else {
            assert!(matches!(counter, Some(Counter::ToUser | Counter::RateLimited)), "{counter:?}");
            assert!(seen.count == before && seen.at == Time(1));
            self.events.drain(10, |_| {});
        }
        self.adverts.untrack(slot);
    }
}

/// Prints the frame before a failure goes on.
fn explain(frame: &[u8], check: impl FnOnce() -> Verdict) -> Verdict {
    let check = std::panic::AssertUnwindSafe(check);
    std::panic::catch_unwind(check).unwrap_or_else(|panic| {
        let hex: String = frame.iter().map(|byte| format!("{byte:02x}")).collect();
        eprintln!(
            "seed {SEED:#x}, frame of {} bytes, host says {:?}: {hex}",
            frame.len(),
            classify(frame, 0)
        );
        std::panic::resume_unwind(panic)
    })
}

fn compare(vlan: u16) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let _inside = runtime.enter();
    let mut loaded = Loaded::new(vlan);
    let mut seen = std::collections::HashSet::new();
    let frames: Vec<_> = corpus().into_iter().filter(|frame| takes(variant(), frame)).collect();
    assert!(frames.len() >= FRAMES / 2, "{} frames", frames.len());
    for frame in &frames {
        seen.insert(match explain(frame, || loaded.check(frame, vlan)) {
            Verdict::NotVrrp => "not VRRP",
            Verdict::Rejected(counter) => counter.word(),
            Verdict::Vrrp(_) => "VRRP",
            Verdict::Probe(_) => "probe",
        });
    }
    // The corpus would be worth little if it missed a verdict.
    assert!(loaded.stamped.iter().all(|count| *count > 100) || vlan > 0, "{:?} stamped", loaded.stamped);
    for verdict in [
        "not VRRP",
        "VRRP",
        "probe",
        "unknown_vrid",
        "other_vlan",
        "fragment",
        "truncated",
        "extension_headers",
    ] {
        let possible = vlan == 0 || !["fragment", "extension_headers", "truncated"].contains(&verdict);
        assert!(seen.contains(verdict) || !possible, "{verdict} is missing: {seen:?}");
    }
}

fn agree() {
    compare(0);
}

fn agree_inside_a_vlan() {
    compare(7);
}

/// Larger than a page: the frame reaches the program in pieces.
fn jumbo() {
    if variant() != Variant::MultiBuffer {
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let _inside = runtime.enter();
    let mut loaded = Loaded::new(0);
    let mut pdu = advert(51, 100);
    pdu.truncate(8);
    pdu.extend((0..255_u8).flat_map(|n| [n; 16]));
    let frame = ethernet(&[], 0x86dd, &ipv6(112, &pdu));
    assert!(matches!(explain(&frame, || loaded.check(&frame, 0)), Verdict::Vrrp(_)));
    let last = frame.len() - 1;
    let mut other = frame.clone();
    other[last] ^= 1;
    let fingerprint = |frame: &[u8]| match classify(frame, 0) {
        Verdict::Vrrp(packet) => classify::fingerprint(KEY, &packet, &frame[packet.ip_at..]),
        verdict => panic!("{verdict:?}"),
    };
    assert_ne!(fingerprint(&frame), fingerprint(&other));
    assert!(matches!(explain(&other, || loaded.check(&other, 0)), Verdict::Vrrp(_)));

    pdu.extend([0; 264]);
    let oversized = ethernet(&[], 0x86dd, &ipv6(112, &pdu));
    assert_eq!(explain(&oversized, || loaded.check(&oversized, 0)), Verdict::Rejected(Counter::Oversized));
}

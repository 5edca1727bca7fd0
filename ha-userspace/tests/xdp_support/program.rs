//! A loaded program that is run on frames without an interface.

use std::cell::RefCell;
use std::num::NonZeroU64;
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::{Duration, Instant};

use aya::{TestRun as _, TestRunOptions, TestRunResult};
use ha_common::classify::{Verdict, classify, fingerprint};
use ha_common::counter::XdpCounters;
use ha_common::fence::KNOWN;
use ha_common::time::Span;
use ha_userspace::net::clock;
use ha_userspace::xdp::{Adverts, Alive, Counters, Lease, Peers, Probers, Program, Variant, Vips};

use super::variant;

/// What the program can decide, in XDP's numbers.
pub(crate) const DROP: u32 = 1;
pub(crate) const PASS: u32 = 2;
pub(crate) const TX: u32 = 3;

/// The MAC address that probes must be sent to.
pub(crate) const OWN_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
/// The other router's.
pub(crate) const PEER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];

const FINGERPRINT_KEY: [u64; 2] = [1, 2];

/// The program with its handles.
pub(crate) struct Loaded {
    program: RefCell<Program>,
    /// Frames that [`Loaded::orphan`] made it count.
    uncounted: u64,
    alive: Option<Alive>,
    pub(crate) lease: Lease,
    pub(crate) peers: Peers,
    pub(crate) probers: Probers,
    pub(crate) vips: Vips,
    pub(crate) adverts: Adverts,
    counters: Counters,
}

impl Loaded {
    /// Loads it for frames with this VLAN tag; it answers as incarnation 1234.
    pub(crate) fn new(vlan: u16) -> Self {
        let mut program =
            Program::load_variant(variant(), vlan, FINGERPRINT_KEY).unwrap_or_else(|error| panic!("{error}"));
        let alive = program.alive().expect("connectable");
        let lease = program.lease().expect("mappable");
        lease.set_mac(OWN_MAC);
        lease.set_incarnation(NonZeroU64::new(1234));
        Self {
            alive: Some(alive),
            lease,
            peers: program.peers().expect("mappable"),
            probers: program.probers().expect("there"),
            vips: program.vips().expect("there"),
            adverts: program.adverts().expect("mappable"),
            counters: program.counters().expect("there"),
            program: RefCell::new(program),
            uncounted: 0,
        }
    }

    /// Runs it on a frame: what it decides, and the frame afterwards.
    pub(crate) fn run(&self, frame: &[u8]) -> (u32, Vec<u8>) {
        let (action, frame, _) = self.time(frame, 1);
        (action, frame)
    }

    /// The same many times over, with the mean time of one run.
    pub(crate) fn time(&self, frame: &[u8], repeat: u32) -> (u32, Vec<u8>, Duration) {
        let mut after = vec![0; frame.len() + 64];
        let mut options = TestRunOptions::new();
        options.data_in = Some(frame);
        options.data_out = Some(&mut after);
        options.repeat = repeat;
        let result = test_run(&mut self.program.borrow_mut(), options);
        after.truncate(usize::try_from(result.data_size_out).expect("small"));
        (result.return_value, after, result.duration)
    }

    /// The fingerprint of a VRRP frame.
    pub(crate) fn fingerprint(&self, frame: &[u8]) -> u64 {
        match classify(frame, 0) {
            Verdict::Vrrp(packet) => fingerprint(FINGERPRINT_KEY, &packet, &frame[packet.ip_at..]),
            verdict => panic!("{verdict:?}"),
        }
    }

    /// A descriptor of the program.
    pub(crate) fn descriptor(&self) -> OwnedFd {
        let mut program = self.program.borrow_mut();
        let descriptor = match program.variant() {
            Variant::Tc => program.tc().expect("there").fd(),
            Variant::MultiBuffer | Variant::Linear => program.xdp().expect("there").fd(),
        };
        descriptor.expect("loaded").as_fd().try_clone_to_owned().expect("a descriptor")
    }

    /// Drops the last descriptor of the program array, as the end of the process does, and waits for the effect.
    pub(crate) fn orphan(&mut self) {
        self.orphan_in(0);
    }

    /// The same where it looks at frames of this VLAN.
    pub(crate) fn orphan_in(&mut self, vlan: u16) {
        self.alive = None;
        let deadline = Instant::now() + Duration::from_secs(60);
        // An advert for nobody: the live half would count it as unknown.
        let tags: &[(u16, u16)] = if vlan == 0 { &[] } else { &[(0x8100, vlan)] };
        let advert = super::ethernet(tags, 0x0800, &super::ipv4(1, 112, &[], &super::advert(200, 100)));
        let before = self.counters().unattended;
        while self.counters().unattended == before {
            assert!(Instant::now() < deadline, "the program array is not emptied");
            std::thread::sleep(Duration::from_millis(1));
            self.run(&advert);
        }
        self.uncounted += 1;
    }

    /// What it has counted, without what [`Loaded::orphan`] made it count.
    pub(crate) fn counters(&self) -> XdpCounters {
        let mut counters = self.counters.read().expect("readable");
        counters.unattended -= self.uncounted;
        counters
    }
}

/// Runs a program of any kind. What it decides is given in XDP's numbers.
pub(crate) fn test_run(program: &mut Program, options: TestRunOptions<'_>) -> TestRunResult {
    match program.variant() {
        Variant::MultiBuffer | Variant::Linear => {
            program.xdp().expect("there").test_run(options).expect("runs")
        }
        Variant::Tc => {
            let mut result = program.tc().expect("there").test_run(options).expect("runs");
            result.return_value = match result.return_value.cast_signed() {
                -1 => PASS,
                2 => DROP,
                7 => TX,
                other => panic!("action {other}"),
            };
            result
        }
    }
}

/// Whether `BPF_PROG_TEST_RUN` can hand a frame to programs of this kind: in one piece, and with the headers that the
/// kernel looks at before.
pub(crate) fn takes(variant: Variant, frame: &[u8]) -> bool {
    match variant {
        Variant::MultiBuffer => true,
        Variant::Linear => frame.len() <= 3_000,
        Variant::Tc => (54..=3_000).contains(&frame.len()),
    }
}

/// The frame with a tag of VLAN 0.
pub(crate) fn priority_tag(frame: &[u8]) -> Vec<u8> {
    [&frame[..12], &[0x81, 0x00, 0x60, 0x00], &frame[12..]].concat()
}

impl Loaded {
    /// Probes like these count for the fence from now on: they came steadily while a daemon ran. Its lease is over when
    /// this returns, unless it was longer.
    pub(crate) fn introduce(&self, probes: &[Vec<u8>]) {
        let until = clock::now().after(Span::from_millis(200));
        self.lease.renew(until);
        for _ in 0..2 * KNOWN {
            for probe in probes {
                self.run(probe);
            }
        }
        while clock::now().since(until) < 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

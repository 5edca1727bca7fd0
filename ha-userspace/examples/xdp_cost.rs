//! What each path through the XDP program costs: nanoseconds a packet, from `BPF_PROG_TEST_RUN`, as JSON lines
//! `{"name": …, "ns": [one figure for each batch]}`. `cargo xtask bench` runs it and prints the result.
//!
//! The figures contain the kernel's own loop, which the first line, a program that only returns, shows.
//! Generic mode adds what the kernel does to build the context, native mode next to nothing.

#[path = "../tests/xdp_support/mod.rs"]
mod xdp_support;

use std::net::IpAddr;
use std::num::NonZeroU64;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use aya::{TestRun as _, TestRunOptions};
use ha_common::classify::{Verdict, classify, fingerprint};
use ha_common::layout::{RATE_PROBES, RATE_WINDOW_NS};
use ha_common::probe::{FORMAT, Masters, Probe, ProbeFrame};
use ha_common::time::{Span, Time};
use ha_common::types::{Family, Vrid};
use ha_userspace::net::clock;
use ha_userspace::xdp::{Adverts, Program, Slot, Travel};
use xdp_support::program::{OWN_MAC, PASS, PEER_MAC, TX};
use xdp_support::raw::Raw;
use xdp_support::{advert, ethernet, ipv4, ipv6};

/// Frames for one path, and what must be in the maps for it.
struct Path {
    name: &'static str,
    frame: Vec<u8>,
    /// Whether the frame is the advert of the master that is followed.
    followed: bool,
}

fn paths() -> Vec<Path> {
    let v4 = |packet: &[u8]| ethernet(&[], 0x0800, packet);
    let v6 = |packet: &[u8]| ethernet(&[], 0x86dd, packet);
    let path = |name, frame| Path { name, frame, followed: false };
    let followed = |name, frame| Path { followed: true, ..path(name, frame) };
    // RFC 3768 with a password, as the tutorial's: 20 bytes.
    let mut v2 = advert(51, 100);
    v2[0] = 0x21;
    v2.extend(*b"1111\0\0\0\0");
    let long = [&advert(51, 100)[..], &[7; 254 * 4]].concat();
    vec![
        path("ordinary IPv4 frame (TCP, 1500 bytes)", v4(&ipv4(1, 6, &[], &[0; 1480]))),
        path("ordinary IPv6 frame (TCP, 1500 bytes)", v6(&ipv6(6, &[0; 1460]))),
        path("ARP", ethernet(&[], 0x0806, &[0; 46])),
        followed("advert of the followed master, stamped (v2, password)", v4(&ipv4(1, 112, &[], &v2))),
        followed("advert of the followed master, stamped (v3)", v4(&ipv4(1, 112, &[], &advert(51, 100)))),
        followed("advert of the followed master, stamped (v3, IPv6)", v6(&ipv6(112, &advert(51, 100)))),
        followed("advert with 255 addresses, stamped", v4(&ipv4(1, 112, &[], &long))),
        path("advert of an unknown virtual router", v4(&ipv4(1, 112, &[], &advert(99, 100)))),
        path("another advert: to user space, or over its limit", v4(&ipv4(1, 112, &[], &advert(52, 100)))),
    ]
}

fn probe() -> Vec<u8> {
    let ips = ([172, 16, 1, 2].into(), [172, 16, 1, 1].into());
    let probe = Probe { slot: 0, sequence: 1, prober: 1, format: FORMAT, wanted: Masters::ALL, priority: 0 };
    ProbeFrame::new((PEER_MAC, OWN_MAC), ips, probe, None).expect("one family").bytes().to_vec()
}

const KEY: [u64; 2] = [0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210];
/// VRID 99 is left out.
const CONFIGURED: [u8; 2] = [51, 52];
const BATCHES: usize = 25;
const BATCH: u32 = 20_000;
fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let _inside = runtime.enter();
    let empty = Raw::empty();
    let frame = ethernet(&[], 0x0800, &ipv4(1, 6, &[], &[0; 1480]));
    print("no work: a program that only returns", &batches(|| Ok(empty.time(&frame, BATCH).1))?);

    let mut program = Program::load(0, KEY, None)?;
    let adverts = program.adverts()?;
    let _events = program.events()?;
    let counters = program.counters()?;
    // As a daemon that lives.
    let _alive = program.alive()?;
    let lease = program.lease()?;
    lease.set_mac(OWN_MAC);
    lease.set_incarnation(NonZeroU64::new(1));
    lease.renew(clock::now().after(Span::from_secs(3600)));
    for vrid in CONFIGURED.into_iter().filter_map(Vrid::new) {
        for family in [Family::V4, Family::V6] {
            adverts.configure(Slot::of(family, vrid), Some(Travel::Multicast));
        }
    }
    for path in paths() {
        let followed = if path.followed { Some(follow(&adverts, &path.frame)?) } else { None };
        let stamped = counters.read()?.stamped;
        let ns = batches(|| {
            let mut options = TestRunOptions::new();
            options.data_in = Some(&path.frame);
            options.repeat = BATCH;
            let run = program.xdp()?.test_run(options)?;
            ensure!(run.return_value == PASS, "{}: action {}", path.name, run.return_value);
            // The kernel reports the average of the runs.
            Ok(u64::try_from(run.duration.as_nanos())?)
        })?;
        let stamps = counters.read()?.stamped > stamped;
        ensure!(stamps == path.followed, "{}: not on the path that it is for", path.name);
        print(path.name, &ns);
        if let Some(slot) = followed {
            adverts.untrack(slot);
        }
    }
    let turned = reflected(program.xdp()?.fd()?.as_fd(), &empty, &frame)?;
    print("probe reflected", &turned);
    Ok(())
}

/// A program makes the reply a probe again and calls ours. What that program costs by itself is taken off, and what
/// one costs that only returns, which the other figures contain, is put on.
fn reflected(program: BorrowedFd<'_>, empty: &Raw, frame: &[u8]) -> Result<Vec<u64>> {
    let probe = probe();
    let (turning, returning) = (Raw::renewing(&probe, program), Raw::renewing(&probe, empty.descriptor()));
    batches(|| {
        // The budget of this prober is used up otherwise.
        std::thread::sleep(Duration::from_nanos(RATE_WINDOW_NS + 1_000_000));
        let (action, time) = turning.time(&probe, RATE_PROBES / 2);
        ensure!(action == TX, "probe: action {action}");
        let net = time.saturating_sub(returning.time(&probe, RATE_PROBES / 2).1);
        Ok(net + empty.time(frame, BATCH).1)
    })
}

/// What each batch says.
fn batches(batch: impl FnMut() -> Result<u64>) -> Result<Vec<u64>> {
    std::iter::repeat_with(batch).take(BATCHES).collect()
}

/// Makes the program take `frame` for the advert of the master that is followed.
fn follow(adverts: &Adverts, frame: &[u8]) -> Result<Slot> {
    let Verdict::Vrrp(packet) = classify(frame, 0) else { anyhow::bail!("not an advert") };
    let slot = Slot::of(packet.family, packet.vrid);
    let ip = frame.get(packet.ip_at..packet.ip_at + packet.ip_len).context("no packet")?;
    adverts.track(slot, fingerprint(KEY, &packet, ip), Time(1), IpAddr::from([172, 16, 1, 1]));
    Ok(slot)
}

fn print(name: &str, ns: &[u64]) {
    println!("{}", serde_json::json!({ "name": name, "ns": ns }));
}

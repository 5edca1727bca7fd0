//! What the loaded program costs for each kind of frame, by BPF_PROG_TEST_RUN, beside a program that does nothing.
//!
//! Costs are compared with each other. The best of several rounds counts: others use the
//! machine too. `-- --nocapture` prints the table.

mod xdp_support;

use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU64;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::process::ExitCode;
use std::time::Duration;

use ha_common::layout::{RATE_PROBES, RATE_WINDOW_NS, VipSlot};
use ha_common::probe::{Addresses, FORMAT, Key, Masters, Probe, ProbeFrame, Reply, Secret};
use ha_common::time::Span;
use ha_common::types::{Family, Vrid};
use ha_userspace::net::clock;
use ha_userspace::xdp::{PeerIndex, Slot, Travel};
use xdp_support::program::{DROP, Loaded, OWN_MAC, PASS, PEER_MAC, TX};
use xdp_support::raw::Raw;
use xdp_support::{advert, ethernet, ipv4};

fn main() -> ExitCode {
    xdp_support::main(&[("the_program_is_cheap", costs)])
}

const ROUNDS: u32 = 20;
const REPEAT: u32 = 100_000;

/// Nanoseconds of the best round.
fn best(loaded: &Loaded, frame: &[u8], action: u32) -> u64 {
    let rounds = (0..ROUNDS).map(|_| {
        let (seen, _, time) = loaded.time(frame, REPEAT);
        assert_eq!(seen, action);
        u64::try_from(time.as_nanos()).expect("short")
    });
    rounds.min().expect("some rounds")
}

/// What a tag costs both ways: of single runs, because a probe that comes again is a replay, with and without one.
fn tagged(loaded: &Loaded) -> u64 {
    let mut sequence = 0;
    let mut best = |key: Option<Key>| {
        loaded.lease.set_key(key.map(Secret::Configured));
        std::thread::sleep(Duration::from_nanos(RATE_WINDOW_NS + 1_000_000));
        let runs = (0..RATE_PROBES / 2).map(|_| {
            sequence += 1;
            let (seen, _, time) = loaded.time(&numbered(sequence, key), 1);
            assert_eq!(seen, TX);
            u64::try_from(time.as_nanos()).expect("short")
        });
        runs.min().expect("some runs")
    };
    let (with, without) = (best(Some([1, 2])), best(None));
    with.saturating_sub(without)
}

/// A probe, and what turning it round costs: less the time of a program that makes the reply a probe again.
fn reflected(loaded: &Loaded) -> u64 {
    let probe = numbered(1, None);
    let best = |program: BorrowedFd<'_>, action| {
        let renewing = Raw::renewing(&probe, program);
        let rounds = (0..10).map(|_| {
            // The budget of this prober is used up otherwise.
            std::thread::sleep(Duration::from_nanos(RATE_WINDOW_NS + 1_000_000));
            let (seen, time) = renewing.time(&probe, RATE_PROBES / 2);
            assert_eq!(seen, action);
            time
        });
        rounds.min().expect("some rounds")
    };
    let before = loaded.counters().probe_answered;
    let time = best(loaded.descriptor().as_fd(), TX);
    assert_eq!(loaded.counters().probe_answered - before, 10 * u64::from(RATE_PROBES / 2));
    time.saturating_sub(best(Raw::empty().descriptor(), PASS))
}

fn reply() -> Vec<u8> {
    let mut frame = numbered(1, None);
    let reply = Reply {
        slot: 0,
        sequence: 1,
        prober: 1,
        format: FORMAT,
        flags: 0,
        responder: 5,
        lease: Span::SECOND,
        masters: Masters::NONE,
        rank: 0,
    };
    let addresses = Addresses::V4 { source: [172, 16, 1, 2], destination: [172, 16, 1, 1] };
    frame[34..].copy_from_slice(&*reply.emit(None, &addresses));
    frame
}

fn numbered(sequence: u64, key: Option<Key>) -> Vec<u8> {
    let probe = Probe { slot: 0, sequence, prober: 1, format: FORMAT, wanted: Masters::ALL, priority: 0 };
    let ips = ([172, 16, 1, 2].into(), [172, 16, 1, 1].into());
    ProbeFrame::new((PEER_MAC, OWN_MAC), ips, probe, key).expect("one family").bytes().to_vec()
}

fn costs() {
    let empty = Raw::empty();
    let mut loaded = Loaded::new(0);
    let vip = Ipv4Addr::new(172, 16, 1, 25);
    loaded.vips.set([(IpAddr::V4(vip), VipSlot::default())]).expect("room");
    let udp = |destination: Ipv4Addr| {
        let mut packet = ipv4(2, 17, &[], &[0; 1000]);
        packet[16..20].copy_from_slice(&destination.octets());
        ethernet(&[], 0x0800, &packet)
    };
    let ordinary = udp(Ipv4Addr::new(172, 16, 1, 1));
    let advert = ethernet(&[], 0x0800, &ipv4(1, 112, &[], &advert(51, 100)));

    let baseline = (0..ROUNDS).map(|_| empty.time(&ordinary, REPEAT).1).min().expect("some rounds");
    let mut table = Vec::new();
    let mut add = |name, time| {
        table.push((name, time));
        time
    };

    add("ordinary, never probed", best(&loaded, &ordinary, PASS));
    let slot = Slot::of(Family::V4, Vrid::new(51).expect("not zero"));
    loaded.adverts.configure(slot, Some(Travel::Multicast));
    let fingerprint = loaded.fingerprint(&advert);
    loaded.adverts.track(slot, fingerprint, clock::now(), IpAddr::from([172, 16, 1, 1]));
    let stamped = add("advert, stamped", best(&loaded, &advert, PASS));
    assert!(loaded.counters().stamped >= u64::from(REPEAT));
    loaded.adverts.untrack(slot);
    add("advert, rate-limited", best(&loaded, &advert, PASS));
    loaded.adverts.configure(slot, None);
    add("advert, unknown VRID", best(&loaded, &advert, PASS));

    loaded.lease.renew(clock::now().after(Span::from_secs(3600)));
    let turned = add("probe reflected", baseline + reflected(&loaded));
    add("probe reflected, with a tag", turned + tagged(&loaded));
    loaded.lease.set_key(None);
    let index = PeerIndex::new(0).expect("a slot");
    loaded.peers.configure(index, [172, 16, 1, 2].into(), NonZeroU64::new(1).expect("not zero"));
    loaded.peers.set_sent(index, 1);
    add("reply, seen before", best(&loaded, &reply(), PASS));

    let ordinary_ns = add("ordinary, probed, fence open", best(&loaded, &ordinary, PASS));
    loaded.orphan();
    // The fence opens a second after the last probe.
    let closed = |loaded: &Loaded, frame: &[u8], action| {
        let rounds = (0..ROUNDS).map(|_| {
            loaded.run(&numbered(1, None));
            let (seen, _, time) = loaded.time(frame, REPEAT);
            assert_eq!(seen, action);
            u64::try_from(time.as_nanos()).expect("short")
        });
        rounds.min().expect("some rounds")
    };
    add("fence closed, for another address", closed(&loaded, &ordinary, PASS));
    add("fence closed, for a virtual address", closed(&loaded, &udp(vip), DROP));
    add("advert without a daemon", best(&loaded, &advert, PASS));

    println!("{:42} {baseline:5} ns", "a program that does nothing");
    for (name, time) in &table {
        println!("{name:42} {time:5} ns, {:4} more than nothing", time.saturating_sub(baseline));
    }
    // A stamped advert costs a hash, which is the reference: ordinary traffic pays for none, and a probe for no more than
    // another one, without a secret. `cargo xtask bench xdp` has the figures.
    let [ordinary, stamped, turned] =
        [ordinary_ns, stamped, turned].map(|time| time.saturating_sub(baseline));
    assert!(
        ordinary * 4 <= stamped,
        "{ordinary} ns for ordinary traffic, and {stamped} ns for a stamped advert"
    );
    assert!(turned <= stamped * 2, "{turned} ns for a probe, and {stamped} ns for a stamped advert");
}

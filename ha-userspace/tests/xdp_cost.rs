//! What the loaded program costs for each kind of frame, by BPF_PROG_TEST_RUN, beside a program that does nothing.
//!
//! The bounds are those that ordinary traffic and liveness need. The best of several rounds counts: others use the
//! machine too. `-- --nocapture` prints the table.

mod xdp_support;

use std::net::{IpAddr, Ipv4Addr};
use std::process::ExitCode;

use ha_common::probe::{Key, Probe, ProbeFrame};
use ha_common::time::Span;
use ha_common::types::{Family, Vrid};
use ha_userspace::net::clock;
use ha_userspace::xdp::Slot;
use xdp_support::program::{DROP, Empty, Loaded, OWN_MAC, PASS, PEER_MAC, TX};
use xdp_support::{advert, ethernet, ipv4};

fn main() -> ExitCode {
    xdp_support::main(&[("the_program_is_cheap", costs)])
}

const ROUNDS: u32 = 20;
const REPEAT: u32 = 100_000;
/// Runs of a frame that the program changes: it can be run over each only once.
const SINGLE: usize = 20_000;

/// Nanoseconds of the best round.
fn best(loaded: &Loaded, frame: &[u8], action: u32) -> u64 {
    let rounds = (0..ROUNDS).map(|_| {
        let (seen, _, time) = loaded.time(frame, REPEAT);
        assert_eq!(seen, action);
        u64::try_from(time.as_nanos()).expect("short")
    });
    rounds.min().expect("some rounds")
}

/// Median of single runs, in nanoseconds.
fn single(mut run: impl FnMut(usize) -> u64) -> u64 {
    let mut times: Vec<_> = (0..SINGLE).map(&mut run).collect();
    times.sort_unstable();
    times[SINGLE / 2]
}

fn probes(key: Option<Key>) -> Vec<Vec<u8>> {
    let probe = Probe { slot: 0, sequence: 1, prober: 1 };
    let own = IpAddr::V4(Ipv4Addr::new(172, 16, 1, 1));
    let frame = |host| {
        let ips = (IpAddr::V4(Ipv4Addr::new(172, 16, 2, host)), own);
        ProbeFrame::new((PEER_MAC, OWN_MAC), ips, probe, key).expect("one family").bytes().to_vec()
    };
    (0..64).map(frame).collect()
}

fn reflected(loaded: &Loaded, key: Option<Key>) -> u64 {
    loaded.lease.set_key(key);
    let frames = probes(key);
    single(|n| {
        let (action, _, time) = loaded.time(&frames[n % frames.len()], 1);
        assert_eq!(action, TX);
        u64::try_from(time.as_nanos()).expect("short")
    })
}

fn costs() {
    let empty = Empty::load();
    let mut loaded = Loaded::new(0);
    let vip = Ipv4Addr::new(172, 16, 1, 25);
    loaded.vips.set([IpAddr::V4(vip)]).expect("room");
    let udp = |destination: Ipv4Addr| {
        let mut packet = ipv4(2, 17, &[], &[0; 1000]);
        packet[16..20].copy_from_slice(&destination.octets());
        ethernet(&[], 0x0800, &packet)
    };
    let ordinary = udp(Ipv4Addr::new(172, 16, 1, 1));
    let advert = ethernet(&[], 0x0800, &ipv4(1, 112, &[], &advert(51, 100)));

    let baseline = (0..ROUNDS).map(|_| empty.time(&ordinary, REPEAT)).min().expect("some rounds");
    let mut table = vec![("nothing at all", baseline)];
    let mut add = |name, time| {
        table.push((name, time));
        time
    };

    add("ordinary, never probed", best(&loaded, &ordinary, PASS));
    let slot = Slot::of(Family::V4, Vrid::new(51).expect("not zero"));
    loaded.adverts.configure(slot, true);
    let fingerprint = loaded.fingerprint(&advert);
    loaded.adverts.track(slot, fingerprint, clock::now(), IpAddr::from([172, 16, 1, 1]));
    let stamped = add("advert, stamped", best(&loaded, &advert, PASS));
    assert!(loaded.counters().stamped >= u64::from(REPEAT));
    loaded.adverts.untrack(slot);
    add("advert, rate-limited", best(&loaded, &advert, PASS));
    loaded.adverts.configure(slot, false);
    add("advert, unknown VRID", best(&loaded, &advert, PASS));

    loaded.lease.renew(clock::now().after(Span::from_secs(3600)));
    let single_baseline = single(|_| empty.time(&ordinary, 1));
    let key = Some([1, 2]);
    let turned = reflected(&loaded, None).saturating_sub(single_baseline);
    let sealed = reflected(&loaded, key).saturating_sub(single_baseline);
    loaded.lease.set_key(None);
    add("nothing at all, one run at a time", single_baseline);
    add("probe turned round, less the line above", turned);
    add("the same with a tag", sealed);

    let ordinary_ns = add("ordinary, probed, fence open", best(&loaded, &ordinary, PASS));
    loaded.orphan();
    // The fence opens a second after the last probe.
    let closed = |loaded: &Loaded, frame: &[u8], action| {
        let rounds = (0..ROUNDS).map(|_| {
            loaded.run(&probes(None)[0]);
            let (seen, _, time) = loaded.time(frame, REPEAT);
            assert_eq!(seen, action);
            u64::try_from(time.as_nanos()).expect("short")
        });
        rounds.min().expect("some rounds")
    };
    add("fence closed, for another address", closed(&loaded, &ordinary, PASS));
    add("fence closed, for a virtual address", closed(&loaded, &udp(vip), DROP));
    add("advert without a daemon", best(&loaded, &advert, PASS));

    for (name, time) in &table {
        println!("{name:42} {time:5} ns");
    }
    let cost = ordinary_ns.saturating_sub(baseline);
    assert!(cost <= 20, "{cost} ns for ordinary traffic");
    assert!(stamped <= 150, "{stamped} ns for a stamped advert");
    assert!(turned <= 200, "{turned} ns for a probe");
}

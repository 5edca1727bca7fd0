//! What the loaded program lets strangers do to a router that nobody runs: docs/security.md, row by row.

mod xdp_support;

use std::net::{IpAddr, Ipv4Addr};
use std::process::ExitCode;

use ha_common::fence::KNOWN;
use ha_common::layout::VipSlot;
use ha_common::probe::{FIRST_FORMAT, FORMAT, Key, Masters, ORPHANED, Probe, ProbeFrame, RESTARTING, Secret};
use ha_common::time::Span;
use ha_common::types::{Family, Priority, Version, Vrid};
use ha_userspace::net::clock;
use ha_userspace::xdp::{ClaimRule, Slot, Travel};
use xdp_support::program::{DROP, Loaded, OWN_MAC, PASS, PEER_MAC, TX};
use xdp_support::{ethernet, ipv4};

fn main() -> ExitCode {
    xdp_support::main_for_variants(&[
        ("without_the_key_no_probe_closes_a_fence", keyless),
        ("beside_a_derived_key_nobody_is_known_by_the_first_format", first_format),
        ("what_needs_a_key_to_be_judged_closes_the_fence", unjudged),
    ])
}

const VIP: Ipv4Addr = Ipv4Addr::new(172, 16, 1, 25);
const OWN: Ipv4Addr = Ipv4Addr::new(172, 16, 1, 1);
const PEER: Ipv4Addr = Ipv4Addr::new(172, 16, 1, 2);
const KEY: Key = [1, 2];
const OTHER_KEY: Key = [1, 3];
/// Where the flags of a reply over IPv4 are.
const FLAGS: usize = 14 + 20 + 3;

fn probe(format: u8, key: Option<Key>) -> Vec<u8> {
    let wanted = if format == FIRST_FORMAT { Masters::NONE } else { Masters::ALL };
    let probe = Probe { slot: 0, sequence: 1, prober: 1, format, wanted, priority: 0 };
    let ips = (IpAddr::V4(PEER), IpAddr::V4(OWN));
    ProbeFrame::new((PEER_MAC, OWN_MAC), ips, probe, key).expect("one family").bytes().to_vec()
}

/// An ARP request for the virtual address.
fn question() -> Vec<u8> {
    let mut packet = vec![0, 1, 8, 0, 6, 4, 0, 1];
    packet.extend(PEER_MAC);
    packet.extend(PEER.octets());
    packet.extend([0; 6]);
    packet.extend(VIP.octets());
    ethernet(&[], 0x0806, &packet)
}

fn vrid() -> Vrid {
    Vrid::new(51).expect("not zero")
}

/// A master with this secret.
fn master(secret: Option<Secret>) -> Loaded {
    let mut loaded = Loaded::new(0);
    loaded.vips.set([(IpAddr::V4(VIP), VipSlot::of(Family::V4, vrid()))]).expect("room");
    loaded.lease.set_key(secret);
    loaded.lease.set_held(Family::V4, vrid(), true);
    let slot = Slot::of(Family::V4, vrid());
    loaded.adverts.configure(slot, Some(Travel::Multicast));
    loaded.adverts.own(slot, IpAddr::V4(OWN));
    loaded.lease.renew(clock::now().after(Span::from_secs(60)));
    loaded
}

fn is_closed(loaded: &Loaded) -> bool {
    match loaded.run(&question()).0 {
        DROP => true,
        PASS => false,
        action => panic!("action {action}"),
    }
}

/// Somebody who probes all the time, before and after the daemon's death.
fn keyless() {
    let strange = |secret| {
        let mut frames = vec![probe(FORMAT, None), probe(FORMAT, Some(OTHER_KEY))];
        if matches!(secret, Secret::Configured(_)) {
            frames.extend([probe(FIRST_FORMAT, None), probe(FIRST_FORMAT, Some(OTHER_KEY))]);
        }
        frames
    };
    for secret in [Secret::Configured(KEY), Secret::Derived(KEY)] {
        let mut loaded = master(Some(secret));
        for dead in [false, true] {
            if dead {
                loaded.orphan();
            }
            for frame in strange(secret).iter().cycle().take(12 * KNOWN as usize) {
                assert_eq!(loaded.run(frame), (PASS, frame.clone()), "{secret:?}: not answered");
            }
            assert!(!is_closed(&loaded), "{secret:?}, dead: {dead}");
        }
        let (action, reply) = loaded.run(&probe(FORMAT, Some(KEY)));
        assert_eq!((action, reply[FLAGS]), (TX, ORPHANED), "{secret:?}");
        assert!(is_closed(&loaded), "{secret:?}: who has the key closes it");
    }
}

/// An older router knows of no key that follows from a password. It is answered, but cannot be told from a stranger. Where
/// there is no key, steadiness tells.
fn first_format() {
    for secret in [Some(Secret::Derived(KEY)), None] {
        for steady in [false, true] {
            let mut loaded = master(secret);
            let frame = probe(FIRST_FORMAT, None);
            let before = if steady { KNOWN } else { 1 };
            for _ in 0..before {
                assert_eq!(loaded.run(&frame).0, TX);
            }
            loaded.orphan();
            for _ in 0..3 * KNOWN {
                let (action, reply) = loaded.run(&frame);
                let known = steady && secret.is_none();
                let flags = if known { ORPHANED } else { RESTARTING };
                assert_eq!((action, reply[FLAGS]), (TX, flags), "{secret:?}");
            }
            assert_eq!(is_closed(&loaded), steady && secret.is_none(), "{secret:?}");
        }
    }
}

/// Right in everything but what takes a key to see.
fn unjudged() {
    let rule = |version| ClaimRule {
        version,
        auth: None,
        priority: Priority::new(101).expect("in range"),
        peers_only: false,
        addresses: true,
    };
    let closes = |version, frame: &[u8]| {
        let mut loaded = master(None);
        loaded.adverts.judge_claims(Slot::of(Family::V4, vrid()), &rule(version));
        assert_eq!(loaded.run(frame).0, PASS);
        assert!(!is_closed(&loaded), "a daemon judges it");
        loaded.orphan();
        loaded.run(frame);
        is_closed(&loaded)
    };
    let advert = |version_and_type: u8, auth: u8, address: Ipv4Addr, rest: &[u8]| {
        let [a, b, c, d] = address.octets();
        [&[version_and_type, 51, 150, 1, auth, 1, 0, 0, a, b, c, d][..], rest].concat()
    };
    // Next header, length, reserved, SPI, sequence number and ICV; the PDU's authentication type is 2.
    let with_header = |address| {
        let header = [&[112, 4, 0, 0][..], &[0; 8], &[0x5a; 12]].concat();
        ethernet(&[], 0x0800, &ipv4(2, 51, &[], &[header, advert(0x21, 2, address, &[0; 8])].concat()))
    };
    let with_trailer =
        |address| ethernet(&[], 0x0800, &ipv4(2, 112, &[], &advert(0x31, 0, address, &[0x5a; 28])));
    assert!(closes(Version::V2, &with_header(VIP)), "AH");
    assert!(closes(Version::V3, &with_trailer(VIP)), "auth_hmac");
    // What it can see it does compare.
    assert!(!closes(Version::V2, &with_header(PEER)) && !closes(Version::V3, &with_trailer(PEER)), "address");
    assert!(!closes(Version::V3, &with_header(VIP)) && !closes(Version::V2, &with_trailer(VIP)), "version");
}

extern crate std;

use std::vec::Vec;

use super::*;
use crate::layout::address_key;

const SECOND: u64 = 1_000_000_000;
/// Vouched for, probed just now.
const HEALTHY: Guard = Guard {
    orphaned: false,
    lease_until_ns: 100 * SECOND + 1,
    restart_until_ns: 0,
    last_probe_ns: 100 * SECOND,
};
const NOW: u64 = 100 * SECOND;

#[test]
fn s39_the_fence_closes_exactly_when_the_reply_says_that_nobody_is_home() {
    for orphaned in [false, true] {
        for lease_until_ns in [0, NOW - 1, NOW, NOW + 1] {
            for restart_until_ns in [0, NOW, NOW + 1] {
                let guard = Guard { orphaned, lease_until_ns, restart_until_ns, ..HEALTHY };
                let gone = guard.flags(NOW, true) & (ORPHANED | EXPIRED) != 0;
                assert_eq!(guard.closed(NOW), gone, "{guard:?}");
                assert_eq!(guard.flags(NOW, true) & EXPIRED != 0, gone && guard.lease_left_ns(NOW) == 0);
                assert_eq!(guard.flags(NOW, true) & ORPHANED != 0, gone && orphaned);
            }
        }
    }
}

#[test]
fn a_restart_is_said_only_where_somebody_would_wonder() {
    let window = Guard { restart_until_ns: NOW + 1, ..HEALTHY };
    assert_eq!(window.flags(NOW, true), 0);
    assert_eq!(window.flags(NOW + 1, true), EXPIRED, "window and lease are over");
    assert_eq!(Guard { orphaned: true, ..window }.flags(NOW, true), RESTARTING);
    assert_eq!(Guard { lease_until_ns: NOW, ..window }.flags(NOW, true), RESTARTING);
}

#[test]
fn nobody_probing_means_that_the_addresses_stay_served() {
    let orphaned = Guard { orphaned: true, ..HEALTHY };
    assert!(orphaned.closed(NOW));
    assert!(orphaned.closed(NOW + PROBED_NS - 1));
    assert!(!orphaned.closed(NOW + PROBED_NS));
    assert!(orphaned.closed(NOW - 5), "another CPU answered meanwhile");
    assert!(
        !Guard { last_probe_ns: 0, ..orphaned }.closed(5),
        "never, although the machine has just started"
    );
}

const fn asks(address: [u64; 2]) -> AddressUse {
    AddressUse { address, solicitation: true, answer: false }
}

const fn goes(address: [u64; 2]) -> AddressUse {
    AddressUse { address, solicitation: false, answer: false }
}

fn ethernet(ethertype: [u8; 2], packet: &[u8]) -> Vec<u8> {
    [&[2; 12][..], &ethertype, packet].concat()
}

#[test]
fn every_truncation_is_survived_and_none_invents_an_address() {
    let mut arp = std::vec![0, 1, 8, 0, 6, 4, 0, 1];
    arp.extend([9; 16]);
    arp.extend([172, 16, 1, 25]);
    let frame = ethernet([0x08, 0x06], &arp);
    let key: [u64; 2] = bytemuck::cast(address_key([172, 16, 1, 25].into()));
    for len in 0..=frame.len() {
        let wanted = wanted_address(&frame[..len], 0);
        assert_eq!(wanted, (len == frame.len()).then_some(asks(key)), "{len}");
    }
    let mut tagged = frame.clone();
    tagged.splice(12..12, [0x81, 0, 0, 7]);
    assert_eq!(wanted_address(&tagged[..], 0), None);
    assert_eq!(wanted_address(&tagged[..], 7), Some(asks(key)));
    assert_eq!(wanted_address(&frame[..], 7), None);
}

#[test]
fn solicitations_are_for_their_target_and_other_packets_for_their_destination() {
    let mut packet = std::vec![0x60, 0, 0, 0, 0, 24, 58, 255];
    packet.extend([1; 16]);
    packet.extend([2; 16]);
    packet.extend([135, 0, 0, 0, 0, 0, 0, 0]);
    packet.extend([3; 16]);
    let wanted = |packet: &[u8]| wanted_address(&ethernet([0x86, 0xdd], packet)[..], 0);
    assert_eq!(wanted(&packet), Some(asks(bytemuck::cast([3_u8; 16]))));
    assert_eq!(wanted(&packet[..50]), None, "a solicitation without a target");
    packet[40] = 136;
    let advertisement = AddressUse { answer: true, ..goes(bytemuck::cast([2_u8; 16])) };
    assert_eq!(wanted(&packet), Some(advertisement));
    packet[40] = 135;
    packet[6] = 17;
    assert_eq!(wanted(&packet), Some(goes(bytemuck::cast([2_u8; 16]))));
}

/// How a VRRPv2 advert with one address and a password begins.
const ADVERT: [u8; 4] = [0x21, 51, 100, 1];
const CLAIM: Claim = Claim {
    kind: 0x21,
    proven: true,
    known: false,
    peers_only: false,
    ours: true,
    restarting: false,
    priority: 101,
    foreign: true,
    multicast: true,
    unicast_router: false,
    start: ADVERT,
};

fn packet(family: Family, ttl: u8, pdu_len: usize) -> Packet {
    let vrid = crate::types::Vrid::new(51).expect("not zero");
    Packet { family, vrid, ip_at: 14, ip_len: 20 + pdu_len, pdu_at: 20, pdu_len, ttl, authenticated: false }
}

#[test]
fn s39_whoever_advertises_in_earnest_has_taken_over() {
    let v2 = packet(Family::V4, 255, 20);
    assert!(CLAIM.is_master(&v2));
    let v3 = Claim { kind: 0, start: [0x31, 51, 1, 1], ..CLAIM };
    assert!(v3.is_master(&packet(Family::V4, 255, 12)));
    assert!(v3.is_master(&packet(Family::V6, 255, 24)));
    let unicast = Claim { multicast: false, unicast_router: true, ..CLAIM };
    assert!(unicast.is_master(&v2));
    assert!(unicast.is_master(&packet(Family::V4, 3, 20)), "peers may be behind routers");
}

#[test]
fn s39_in_a_restart_a_peer_has_taken_over_and_a_stranger_if_it_need_not_yield() {
    let v2 = packet(Family::V4, 255, 20);
    assert!(Claim { restarting: true, known: true, ..CLAIM }.is_master(&v2));
    assert!(Claim { restarting: true, priority: 100, ..CLAIM }.is_master(&v2));
    assert!(Claim { peers_only: true, known: true, ..CLAIM }.is_master(&v2));
}

#[test]
fn s39_what_nobody_would_follow_takes_nothing_over() {
    let v2 = packet(Family::V4, 255, 20);
    let no = [
        ("our own", Claim { foreign: false, ..CLAIM }),
        ("a resignation", Claim { start: [0x21, 51, 0, 1], ..CLAIM }),
        ("a version that is not ours", Claim { kind: 0x31, ..CLAIM }),
        ("a wrong password", Claim { proven: false, ..CLAIM }),
        ("another cluster's", Claim { ours: false, known: true, ..CLAIM }),
        ("no peer", Claim { peers_only: true, ..CLAIM }),
        ("a stranger in a restart, who would yield", Claim { restarting: true, ..CLAIM }),
        ("another version", Claim { start: [0x41, 51, 100, 1], ..CLAIM }),
        ("another type", Claim { start: [0x22, 51, 100, 1], ..CLAIM }),
        ("no addresses", Claim { start: [0x21, 51, 100, 0], ..CLAIM }),
        ("more addresses than fit", Claim { start: [0x21, 51, 100, 4], ..CLAIM }),
        ("unicast here", Claim { unicast_router: true, ..CLAIM }),
        ("multicast here", Claim { multicast: false, ..CLAIM }),
    ];
    for (name, claim) in no {
        assert!(!claim.is_master(&v2), "{name}");
    }
    assert!(!CLAIM.is_master(&packet(Family::V4, 254, 20)), "from off the link");
    let carp = Claim { start: [0x21, 51, 100, 7], ..CLAIM };
    assert!(!carp.is_master(&packet(Family::V4, 255, 36)), "CARP");
    assert!(!CLAIM.is_master(&packet(Family::V6, 255, 20)), "an IPv6 address does not fit");
}

#[test]
fn s39_only_an_unattended_node_is_superseded() {
    assert!(!HEALTHY.unattended(NOW));
    assert!(Guard { orphaned: true, ..HEALTHY }.unattended(NOW));
    assert!(Guard { last_probe_ns: 0, ..HEALTHY }.unattended(NOW + 1), "whether or not it is probed");
    let window = Guard { orphaned: true, restart_until_ns: NOW + 1, ..HEALTHY };
    assert!(window.unattended(NOW), "peers wait in the window; who does not has taken over");
    assert!(!window.headless(NOW) && window.headless(NOW + 1));
}

#[test]
fn a_suppressed_router_serves_but_does_not_answer() {
    let (asks, goes) = (asks([0, 1]), goes([0, 1]));
    let ban = Ban::default();
    assert!(!ban.keeps_out(&asks) && !ban.keeps_out(&goes));
    let suppressed = Ban { suppressed: true, ..ban };
    assert!(suppressed.keeps_out(&asks) && !suppressed.keeps_out(&goes));
    for shut in [Ban { closed: true, ..ban }, Ban { superseded: true, ..ban }] {
        assert!(shut.keeps_out(&asks) && shut.keeps_out(&goes));
    }
}

#[test]
fn a_refused_address_is_found_but_takes_nothing() {
    let refused = Ban { refused: true, ..Ban::default() };
    assert!(!refused.keeps_out(&asks([0, 1])) && refused.keeps_out(&goes([0, 1])));
    let advertisement = AddressUse { answer: true, ..goes([0, 1]) };
    assert!(
        !refused.keeps_out(&advertisement),
        "the answer to a solicitation that was asked from the address"
    );
}

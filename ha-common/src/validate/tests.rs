//! Every receive check with the packet that fails it, and the order of the checks.

extern crate std;

use core::net::{Ipv4Addr, Ipv6Addr};
use std::vec::Vec;

use super::*;
use crate::packet::captures::*;
use crate::packet::generate::Sent;

const V4_VIP: &[IpAddr] = &[IpAddr::V4(VIP)];
const PASSWORD: Auth = Auth::Password(*b"1111\0\0\0\0");

/// The backup at 172.16.1.12 that belongs to [`KEEPALIVED_V2_PASS`].
const RULES: Rules<'_> = Rules {
    vrid: Vrid::new(51).unwrap(),
    family: Family::V4,
    version: Version::V2,
    interval: Centis::DEFAULT,
    auth: PASSWORD,
    transport: Transport::Multicast { group: standard_group(Family::V4), sources: &[] },
    addresses: V4_VIP,
    any_addresses: false,
    own_addresses: &[IpAddr::V4(PEER)],
};

/// The same for VRRPv3 with an interval of 100 ms.
const RULES_V3: Rules<'_> =
    Rules { version: Version::V3, auth: Auth::None, interval: Centis::new(10).unwrap(), ..RULES };

const META: Meta = Meta { endpoints: TO_GROUP, ttl: 255 };

fn with<const N: usize>(mut bytes: [u8; N], at: usize, value: u8) -> [u8; N] {
    bytes[at] = value;
    bytes
}

/// The bytes with a checksum over the message only, as VRRPv2 and CARP have it.
fn sealed<const N: usize>(mut bytes: [u8; N]) -> [u8; N] {
    bytes[6..8].fill(0);
    let checksum = Sum::new().with(&bytes).checksum();
    bytes[6..8].copy_from_slice(&checksum.to_be_bytes());
    bytes
}

fn reason(rules: &Rules<'_>, meta: &Meta, pdu: &[u8]) -> Option<Counter> {
    validate(rules, meta, pdu).err()
}

fn peer(address: Ipv4Addr, min_ttl: u8, max_ttl: u8) -> Peer {
    Peer { address: address.into(), min_ttl, max_ttl }
}

#[test]
fn adverts_of_real_routers_are_accepted() {
    let judged = validate(&RULES, &META, &KEEPALIVED_V2_PASS).unwrap();
    let advert = Advert {
        vrid: RULES.vrid,
        priority: 150,
        interval: Centis::DEFAULT,
        version: Version::V2,
        family: Family::V4,
    };
    let expected = Judged {
        advert,
        source: ROUTER.into(),
        addresses_match: true,
        interval_differs: false,
        checksum: ChecksumForm::MessageOnly,
    };
    assert_eq!(judged, expected);

    let resigned = validate(&RULES, &META, &KEEPALIVED_V2_RESIGN).unwrap();
    assert_eq!(resigned, Judged { advert: Advert { priority: 0, ..advert }, ..expected });

    let open = Rules { auth: Auth::None, ..RULES };
    assert_eq!(validate(&open, &META, &FRR_V2).unwrap(), expected);
    let slow = Rules {
        interval: Centis::new(200).unwrap(),
        addresses: &[IpAddr::V4(VIP), IpAddr::V4(VIP_2)],
        ..open
    };
    assert!(validate(&slow, &META, &KEEPALIVED_V2_NONE).unwrap().addresses_match);

    let judged = validate(&RULES_V3, &META, &FRR_V3_V4).unwrap();
    assert!(judged.addresses_match && !judged.interval_differs);
    assert_eq!(judged.checksum, ChecksumForm::PseudoHeader);

    let to_us = Rules {
        transport: Transport::Unicast { peers: &[peer(ROUTER, 0, 255)], check_source: true },
        ..RULES_V3
    };
    let meta = Meta { endpoints: TO_PEER, ttl: 255 };
    assert!(validate(&to_us, &meta, &KEEPALIVED_V3_UNICAST).unwrap().addresses_match);
}

#[test]
fn adverts_of_real_routers_over_ipv6_are_accepted() {
    let rules = Rules {
        family: Family::V6,
        transport: Transport::Multicast { group: standard_group(Family::V6), sources: &[] },
        addresses: &[IpAddr::V6(VIP_V6), IpAddr::V6(VIP_LINK_LOCAL)],
        own_addresses: &[],
        ..RULES_V3
    };
    let meta = Meta { endpoints: KEEPALIVED_V3_V6_ENDPOINTS, ttl: 255 };
    let judged = validate(&rules, &meta, &KEEPALIVED_V3_V6).unwrap();
    // Same addresses in another order; 1 s instead of 100 ms is learned (s04).
    assert!(judged.addresses_match && judged.interval_differs);
    assert_eq!(judged.advert.interval, Centis::DEFAULT);

    let meta = Meta { endpoints: FRR_V3_V6_ENDPOINTS, ttl: 255 };
    let judged = validate(&rules, &meta, &FRR_V3_V6).unwrap();
    assert!(!judged.addresses_match && !judged.interval_differs);

    // The message-only form exists over IPv4 only.
    let message_only = sealed(FRR_V3_V6);
    assert_eq!(reason(&rules, &meta, &message_only), Some(Counter::BadChecksum));
}

#[test]
fn s05_a_v2_interval_that_differs_drops_the_advert() {
    let two_seconds = sealed(with(KEEPALIVED_V2_PASS, 5, 2));
    assert_eq!(reason(&RULES, &META, &two_seconds), Some(Counter::IntervalMismatch));
    let zero = sealed(with(KEEPALIVED_V2_PASS, 5, 0));
    assert_eq!(reason(&RULES, &META, &zero), Some(Counter::IntervalMismatch));
    // More seconds than a Centis has.
    let longest = sealed(with(KEEPALIVED_V2_PASS, 5, 255));
    assert_eq!(reason(&RULES, &META, &longest), Some(Counter::IntervalMismatch));
}

#[test]
fn s06_the_reserved_nibble_is_ignored_and_zero_is_rejected() {
    let nibble = sealed(with(FRR_V3_V4, 4, 0xf0));
    let judged = validate(&RULES_V3, &META, &nibble).unwrap();
    assert_eq!(judged.advert.interval, RULES_V3.interval);
    let longest = sealed(with(with(FRR_V3_V4, 4, 0xff), 5, 0xff));
    assert_eq!(validate(&RULES_V3, &META, &longest).unwrap().advert.interval, Centis::MAX_V3);
    let zero = sealed(with(FRR_V3_V4, 5, 0));
    assert_eq!(reason(&RULES_V3, &META, &zero), Some(Counter::BadInterval));
    let zero_behind_the_nibble = sealed(with(with(FRR_V3_V4, 4, 0x70), 5, 0));
    assert_eq!(reason(&RULES_V3, &META, &zero_behind_the_nibble), Some(Counter::BadInterval));
}

#[test]
fn s09_multicast_needs_ttl_255() {
    for ttl in [0, 1, 254] {
        assert_eq!(reason(&RULES, &Meta { ttl, ..META }, &KEEPALIVED_V2_PASS), Some(Counter::BadTtl));
    }
}

#[test]
fn s09_unicast_has_the_ttl_limits_of_its_peer() {
    let judge = |peers: &[Peer], check_source, ttl| {
        let rules = Rules { transport: Transport::Unicast { peers, check_source }, ..RULES_V3 };
        reason(&rules, &Meta { endpoints: TO_PEER, ttl }, &KEEPALIVED_V3_UNICAST)
    };
    let other = Ipv4Addr::new(172, 16, 1, 13);
    for ttl in [0, 64, 255] {
        assert_eq!(judge(&[peer(ROUTER, 0, 255)], true, ttl), None);
        assert_eq!(judge(&[peer(other, 0, 255)], false, ttl), None);
    }
    let limited = [peer(other, 0, 255), peer(ROUTER, 250, 254)];
    assert_eq!(judge(&limited, false, 249), Some(Counter::BadTtl));
    assert_eq!(judge(&limited, false, 250), None);
    assert_eq!(judge(&limited, false, 254), None);
    assert_eq!(judge(&limited, false, 255), Some(Counter::BadTtl));
}

#[test]
fn s12_another_version_or_type_is_dropped_both_ways() {
    assert_eq!(reason(&RULES_V3, &META, &KEEPALIVED_V2_PASS), Some(Counter::BadVersion));
    assert_eq!(reason(&RULES, &META, &KEEPALIVED_V3_V4), Some(Counter::BadVersion));
    assert_eq!(reason(&RULES, &META, &sealed(with(FRR_V2, 0, 0x11))), Some(Counter::BadVersion));
    for kind in (0..16).filter(|kind| *kind != 1) {
        let (v2, v3) = (with(FRR_V2, 0, 0x20 | kind), with(FRR_V3_V4, 0, 0x30 | kind));
        assert_eq!(reason(&RULES, &META, &sealed(v2)), Some(Counter::BadType), "type {kind}");
        assert_eq!(reason(&RULES_V3, &META, &sealed(v3)), Some(Counter::BadType), "type {kind}");
    }
}

#[test]
fn s13_v3_with_eight_trailing_bytes_is_a_length_error() {
    let mut long = [0; 20];
    long[..12].copy_from_slice(&FRR_V3_V4);
    assert_eq!(reason(&RULES_V3, &META, &sealed(long)), Some(Counter::BadLength));
}

#[test]
fn every_length_but_the_right_one_is_a_length_error() {
    let mut padded = [0xee; 64];
    padded[..20].copy_from_slice(&KEEPALIVED_V2_PASS);
    for len in (0..64).filter(|len| *len != 20) {
        assert_eq!(reason(&RULES, &META, &padded[..len]), Some(Counter::BadLength), "{len} bytes");
    }
    assert_eq!(reason(&RULES, &META, &padded[..20]), None);
}

#[test]
fn a_v2_advert_without_its_authentication_data_is_a_length_error() {
    // RFC 3768 section 5.3.10 has the field whatever the type, and both keepalived and FRR send it.
    let rules = Rules { auth: Auth::None, ..RULES };
    let mut short = [0; 12];
    short.copy_from_slice(&FRR_V2[..12]);
    assert_eq!(reason(&rules, &META, &sealed(short)), Some(Counter::BadLength));
}

#[test]
fn s14_address_counts_at_both_ends() {
    assert_eq!(reason(&RULES_V3, &META, &sealed(with(FRR_V3_V4, 3, 0))), Some(Counter::NoAddresses));

    let addresses: Vec<IpAddr> =
        (1..=255).map(|n| Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, n).into()).collect();
    let sent = Sent {
        advert: Advert {
            vrid: RULES.vrid,
            priority: 1,
            interval: Centis::DEFAULT,
            version: Version::V3,
            family: Family::V6,
        },
        addresses: addresses.iter().rev().copied().collect(),
        auth: Auth::None,
        form: ChecksumForm::PseudoHeader,
        endpoints: KEEPALIVED_V3_V6_ENDPOINTS,
    };
    let rules = Rules {
        family: Family::V6,
        transport: Transport::Multicast { group: standard_group(Family::V6), sources: &[] },
        addresses: &addresses,
        own_addresses: &[],
        ..RULES_V3
    };
    let meta = Meta { endpoints: sent.endpoints, ttl: 255 };
    let bytes = sent.bytes();
    assert_eq!(bytes.len(), crate::packet::MAX_LEN);
    assert!(validate(&rules, &meta, &bytes).unwrap().addresses_match);
    for len in 8..bytes.len() {
        assert_eq!(reason(&rules, &meta, &bytes[..len]), Some(Counter::BadLength));
    }
}

#[test]
fn s15_a_list_that_differs_is_accepted_and_said() {
    let judge = |ours: &[IpAddr], theirs: &[u8; 8]| {
        let mut bytes = KEEPALIVED_V3_V4;
        bytes[8..].copy_from_slice(theirs);
        let rules = Rules { addresses: ours, ..RULES_V3 };
        validate(&rules, &META, &sealed(bytes)).unwrap().addresses_match
    };
    let (a, b) = (IpAddr::V4(VIP), IpAddr::V4(VIP_2));
    let (ab, ba, aa) = (
        &[172, 16, 1, 25, 172, 16, 1, 26],
        &[172, 16, 1, 26, 172, 16, 1, 25],
        &[172, 16, 1, 25, 172, 16, 1, 25],
    );
    assert!(judge(&[a, b], ab));
    assert!(judge(&[a, b], ba));
    assert!(!judge(&[a, b], aa));
    assert!(!judge(&[a], aa));
    assert!(!judge(&[a], ab));
    assert!(!judge(&[a, b, VIP_V6.into()], ab));
    assert!(!judge(&[], ab));
    assert!(!judge(&[a, VIP_V6.into()], ab));
}

#[test]
fn a_list_with_nothing_in_common_is_another_service_s() {
    let judge = |ours: &[IpAddr], any: bool| {
        let rules = Rules { addresses: ours, any_addresses: any, ..RULES_V3 };
        validate(&rules, &META, &KEEPALIVED_V3_V4).map(|judged| judged.addresses_match)
    };
    let (a, other) = (IpAddr::V4(VIP), IpAddr::V4(Ipv4Addr::new(172, 16, 1, 200)));
    assert_eq!(judge(&[other], false), Err(Counter::AddressListMismatch));
    assert_eq!(judge(&[other, VIP_V6.into()], false), Err(Counter::AddressListMismatch));
    assert_eq!(judge(&[other], true), Ok(false));
    // One in common is enough, and who has none can be nobody else.
    assert_eq!(judge(&[other, a], false), Ok(false));
    assert_eq!(judge(&[], false), Ok(false));
    // What is wrong otherwise is said first.
    let rules = Rules { addresses: &[other], interval: Centis::DEFAULT, ..RULES };
    let wrong = sealed(with(KEEPALIVED_V2_PASS, 12, b'2'));
    assert_eq!(reason(&rules, &META, &wrong), Some(Counter::AuthFailure));
}

#[test]
fn multicast_from_others_than_check_source_is_dropped() {
    let from = |sources| {
        let transport = Transport::Multicast { group: standard_group(Family::V4), sources };
        reason(&Rules { transport, ..RULES }, &META, &KEEPALIVED_V2_PASS)
    };
    assert_eq!(from(&[IpAddr::V4(ROUTER)]), None);
    assert_eq!(from(&[IpAddr::V4(PEER), IpAddr::V4(ROUTER)]), None);
    assert_eq!(from(&[IpAddr::V4(PEER)]), Some(Counter::UnknownPeer));
}

#[test]
fn s16_authentication_that_differs_is_dropped() {
    let open = Rules { auth: Auth::None, ..RULES };
    assert_eq!(reason(&open, &META, &KEEPALIVED_V2_PASS), Some(Counter::AuthTypeMismatch));
    assert_eq!(reason(&RULES, &META, &FRR_V2), Some(Counter::AuthTypeMismatch));
    // RFC 2338's type 2, as keepalived's AH has it, but without the AH header in front.
    assert_eq!(reason(&RULES, &META, &sealed(with(FRR_V2, 4, 2))), Some(Counter::AuthTypeMismatch));
    for unknown in [3, 4, 254, 255] {
        let bytes = sealed(with(KEEPALIVED_V2_PASS, 4, unknown));
        assert_eq!(reason(&RULES, &META, &bytes), Some(Counter::InvalidAuthType));
        assert_eq!(reason(&open, &META, &bytes), Some(Counter::InvalidAuthType));
    }
    let other = sealed(with(KEEPALIVED_V2_PASS, 12, b'2'));
    assert_eq!(reason(&RULES, &META, &other), Some(Counter::AuthFailure));
    let longer = sealed(with(KEEPALIVED_V2_PASS, 19, b'1'));
    assert_eq!(reason(&RULES, &META, &longer), Some(Counter::AuthFailure));
}

#[test]
fn s16_a_password_with_the_same_checksum_is_another_password() {
    let mut swapped = KEEPALIVED_V2_PASS;
    swapped[12..].copy_from_slice(b"abcdefgh");
    let right = sealed(swapped);
    swapped[12..].copy_from_slice(b"cdabghef");
    let wrong = sealed(swapped);
    assert_eq!(right[6..8], wrong[6..8]);

    let rules = Rules { auth: Auth::Password(*b"abcdefgh"), ..RULES };
    assert_eq!(reason(&rules, &META, &right), None);
    assert_eq!(reason(&rules, &META, &wrong), Some(Counter::AuthFailure));
}

#[test]
fn without_authentication_the_data_is_ignored() {
    let rules = Rules { auth: Auth::None, ..RULES };
    assert_eq!(reason(&rules, &META, &sealed(with(FRR_V2, 15, 0xff))), None);
}

/// CARP as OpenBSD sends it: VHID 51, advskew 150, advbase 1, a counter and a MAC.
fn carp(authlen: u8) -> [u8; 36] {
    let mut bytes = [0x5a; 36];
    bytes[..8].copy_from_slice(&[0x21, 51, 150, authlen, 0, 1, 0, 0]);
    sealed(bytes)
}

#[test]
fn s17_carp_is_called_carp_whatever_else_is_wrong() {
    let everything = [
        RULES,
        RULES_V3,
        Rules { auth: Auth::None, ..RULES },
        Rules { vrid: Vrid::new(1).unwrap(), ..RULES },
        Rules { own_addresses: &[IpAddr::V4(ROUTER)], ..RULES },
        Rules { transport: Transport::Unicast { peers: &[], check_source: true }, ..RULES },
    ];
    for rules in everything {
        for meta in [META, Meta { ttl: 1, ..META }, Meta { endpoints: TO_PEER, ttl: 255 }] {
            assert_eq!(reason(&rules, &meta, &carp(7)), Some(Counter::Carp));
        }
        // A checksum that fails does not make it anything else.
        assert_eq!(reason(&rules, &META, &with(carp(7), 20, 0)), Some(Counter::Carp));
        for authlen in (0..=255).filter(|authlen| *authlen != 5) {
            assert_eq!(reason(&rules, &META, &carp(authlen)), Some(Counter::Carp), "authlen {authlen}");
        }
    }
    let over_ipv6 = Meta { endpoints: KEEPALIVED_V3_V6_ENDPOINTS, ttl: 255 };
    assert_eq!(reason(&RULES_V3, &over_ipv6, &carp(7)), Some(Counter::Carp));
    let mut other = carp(6);
    other[6..8].fill(0);
    let sum = Sum::pseudo_header(&over_ipv6.endpoints, IPPROTO_VRRP, 36).with(&other);
    other[6..8].copy_from_slice(&sum.checksum().to_be_bytes());
    assert_eq!(reason(&RULES_V3, &over_ipv6, &other), Some(Counter::Carp));
}

#[test]
fn s17_vrrp_of_carps_length_is_vrrp() {
    // Five addresses make a VRRPv2 advert of 36 bytes.
    let rules = Rules { auth: Auth::None, any_addresses: true, ..RULES };
    assert_eq!(reason(&rules, &META, &carp(5)), None);
    // Seven make 44, which CARP never is.
    let mut seven = [0; 44];
    seven[..8].copy_from_slice(&[0x21, 51, 150, 7, 0, 1, 0, 0]);
    assert_eq!(reason(&rules, &META, &sealed(seven)), None);
    // 36 bytes with another count and a wrong checksum are merely broken.
    assert_eq!(reason(&rules, &META, &with(carp(6), 20, 0)), Some(Counter::BadLength));
}

#[test]
fn s18_another_virtual_router_or_family_is_not_ours() {
    let other = Rules { vrid: Vrid::new(52).unwrap(), ..RULES };
    assert_eq!(reason(&other, &META, &KEEPALIVED_V2_PASS), Some(Counter::UnknownVrid));
    let v6 = Rules { family: Family::V6, ..RULES_V3 };
    assert_eq!(reason(&v6, &META, &FRR_V3_V4), Some(Counter::UnknownVrid));
    let over_v6 = Meta { endpoints: FRR_V3_V6_ENDPOINTS, ttl: 255 };
    assert_eq!(reason(&RULES_V3, &over_v6, &FRR_V3_V6), Some(Counter::UnknownVrid));
}

#[test]
fn s18_our_own_packet_is_nobody_elses() {
    let rules = Rules { own_addresses: &[IpAddr::V4(PEER), IpAddr::V4(ROUTER)], ..RULES };
    assert_eq!(reason(&rules, &META, &KEEPALIVED_V2_PASS), Some(Counter::OwnPacket));
}

#[test]
fn s19_multicast_and_unicast_do_not_mix() {
    let unicast = Rules {
        transport: Transport::Unicast { peers: &[peer(ROUTER, 0, 255)], check_source: false },
        ..RULES
    };
    assert_eq!(reason(&unicast, &META, &KEEPALIVED_V2_PASS), Some(Counter::MulticastAtUnicast));
    let to_us = Meta { endpoints: TO_PEER, ttl: 255 };
    assert_eq!(reason(&RULES, &to_us, &KEEPALIVED_V2_PASS), Some(Counter::UnicastAtMulticast));
    assert_eq!(reason(&unicast, &to_us, &KEEPALIVED_V2_PASS), None);
}

#[test]
fn s19_another_group_is_another_set_of_routers() {
    let group = Ipv4Addr::new(224, 0, 0, 99);
    let elsewhere = Meta { endpoints: Endpoints::V4 { source: ROUTER, destination: group }, ttl: 255 };
    assert_eq!(reason(&RULES, &elsewhere, &KEEPALIVED_V2_PASS), Some(Counter::OtherGroup));
    let rules = Rules { transport: Transport::Multicast { group: group.into(), sources: &[] }, ..RULES };
    assert_eq!(reason(&rules, &elsewhere, &KEEPALIVED_V2_PASS), None);
    assert_eq!(reason(&rules, &META, &KEEPALIVED_V2_PASS), Some(Counter::OtherGroup));
}

#[test]
fn s19_strangers_are_dropped_where_the_source_is_checked() {
    let judge = |peers: &[Peer], check_source| {
        let rules = Rules { transport: Transport::Unicast { peers, check_source }, ..RULES_V3 };
        reason(&rules, &Meta { endpoints: TO_PEER, ttl: 255 }, &KEEPALIVED_V3_UNICAST)
    };
    let other = Ipv4Addr::new(172, 16, 1, 13);
    assert_eq!(judge(&[peer(other, 0, 255)], true), Some(Counter::UnknownPeer));
    assert_eq!(judge(&[peer(other, 0, 255)], false), None);
    assert_eq!(judge(&[], true), Some(Counter::UnknownPeer));
    // keepalived.conf(5): min_ttl or max_ttl turns check_unicast_src on.
    assert_eq!(judge(&[peer(other, 1, 255)], false), Some(Counter::UnknownPeer));
    assert_eq!(judge(&[peer(other, 0, 254)], false), Some(Counter::UnknownPeer));
}

#[test]
fn s21_either_form_of_checksum_is_taken_over_ipv4() {
    let message_only = sealed(FRR_V3_V4);
    assert_ne!(message_only, FRR_V3_V4);
    let judged = validate(&RULES_V3, &META, &message_only).unwrap();
    assert_eq!(judged.checksum, ChecksumForm::MessageOnly);
    let judged = validate(&RULES_V3, &META, &FRR_V3_V4).unwrap();
    assert_eq!(judged.checksum, ChecksumForm::PseudoHeader);
    // The pseudo-header is that of the packet at hand.
    let elsewhere = Endpoints::V4 { source: PEER, destination: MULTICAST_V4 };
    let rules = Rules { own_addresses: &[], ..RULES_V3 };
    assert_eq!(
        reason(&rules, &Meta { endpoints: elsewhere, ttl: 255 }, &FRR_V3_V4),
        Some(Counter::BadChecksum)
    );
    // VRRPv2 has no pseudo-header.
    let mut v2 = FRR_V2;
    v2[6..8].fill(0);
    let sum = Sum::pseudo_header(&TO_GROUP, IPPROTO_VRRP, v2.len()).with(&v2);
    v2[6..8].copy_from_slice(&sum.checksum().to_be_bytes());
    let rules = Rules { auth: Auth::None, ..RULES };
    assert_eq!(reason(&rules, &META, &v2), Some(Counter::BadChecksum));
}

#[test]
fn the_most_telling_reason_wins() {
    // A packet with everything wrong, repaired check by check in the order of the checks.
    let group = Transport::Multicast { group: Ipv4Addr::new(224, 0, 0, 99).into(), sources: &[] };
    let mut rules = Rules {
        vrid: Vrid::new(1).unwrap(),
        own_addresses: &[IpAddr::V4(ROUTER)],
        transport: group,
        auth: Auth::Password(*b"elsewher"),
        ..RULES
    };
    let mut meta = Meta { ttl: 3, ..META };
    let mut bytes = [0; 24];
    bytes[..20].copy_from_slice(&KEEPALIVED_V2_PASS);
    bytes[0] = 0x35;
    bytes[3] = 0;
    bytes[4] = 9;
    bytes[5] = 0;
    let mut len = 24;

    let expect = |rules: &Rules<'_>, meta: &Meta, pdu: &[u8], counter| {
        assert_eq!(reason(rules, meta, pdu), Some(counter));
    };
    expect(&rules, &meta, &bytes[..len], Counter::UnknownVrid);
    rules.vrid = RULES.vrid;
    expect(&rules, &meta, &bytes[..len], Counter::OwnPacket);
    rules.own_addresses = &[];
    expect(&rules, &meta, &bytes[..len], Counter::OtherGroup);
    rules.transport = RULES.transport;
    expect(&rules, &meta, &bytes[..len], Counter::BadTtl);
    meta.ttl = 255;
    expect(&rules, &meta, &bytes[..len], Counter::BadVersion);
    bytes[0] = 0x25;
    expect(&rules, &meta, &bytes[..len], Counter::BadType);
    bytes[0] = 0x21;
    expect(&rules, &meta, &bytes[..len], Counter::NoAddresses);
    bytes[3] = 1;
    expect(&rules, &meta, &bytes[..len], Counter::BadLength);
    len = 20;
    expect(&rules, &meta, &bytes[..len], Counter::BadChecksum);
    let seal = |bytes: &mut [u8; 24]| {
        bytes[6..8].fill(0);
        let checksum = Sum::new().with(&bytes[..20]).checksum();
        bytes[6..8].copy_from_slice(&checksum.to_be_bytes());
    };
    seal(&mut bytes);
    expect(&rules, &meta, &bytes[..len], Counter::InvalidAuthType);
    bytes[4] = 0;
    seal(&mut bytes);
    expect(&rules, &meta, &bytes[..len], Counter::AuthTypeMismatch);
    bytes[4] = 1;
    seal(&mut bytes);
    expect(&rules, &meta, &bytes[..len], Counter::AuthFailure);
    rules.auth = PASSWORD;
    expect(&rules, &meta, &bytes[..len], Counter::IntervalMismatch);
    bytes[5] = 1;
    seal(&mut bytes);
    assert_eq!(reason(&rules, &meta, &bytes[..len]), None);
}

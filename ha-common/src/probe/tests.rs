//! Fixed bytes, round trips, and what must not pass.

extern crate std;

use core::net::IpAddr;
use std::hash::Hasher;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;

const PROBER: u64 = 0x0102_0304_0506_0708;
const RESPONDER: u64 = 0x1112_1314_1516_1718;
const KEY: Key = [0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908];
const V4: Addresses = Addresses::V4 { source: [172, 16, 1, 12], destination: [172, 16, 1, 11] };

fn vrid(value: u8) -> Vrid {
    Vrid::new(value).expect("a VRID")
}

fn probe() -> Probe {
    Probe {
        slot: 0x0203,
        sequence: 7,
        prober: PROBER,
        format: FIRST_FORMAT,
        wanted: Masters::ALL,
        priority: 0,
    }
}

fn masters(vrids: &[u8]) -> Masters {
    let mut masters = Masters::NONE;
    vrids.iter().for_each(|&n| masters.set(vrid(n), true));
    masters
}

fn answer() -> Answer {
    let masters = masters(&[1, 25, 255]);
    Answer { flags: EXPIRED, responder: RESPONDER, lease_ns: 0x0abc, masters, rank: 0 }
}

/// The page's table, byte by byte.
#[rustfmt::skip]
const PROBE_BYTES: [u8; 24] = [
    0x3e, 0, 1, 0, 2, 3, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 7,
    1, 2, 3, 4, 5, 6, 7, 8,
];
#[rustfmt::skip]
const REPLY_BYTES: [u8; 40] = [
    0x3f, 0, 1, 2, 2, 3, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 7,
    1, 2, 3, 4, 5, 6, 7, 8,
    0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18,
    0, 0, 0, 0, 0, 0, 0x0a, 0xbc,
];

#[test]
fn a_probe_is_these_bytes() {
    let body = probe().emit(None, &V4);
    assert_eq!(body[..24], PROBE_BYTES);
    assert_eq!(body[24..], [0; 56]);
    assert!(is_probe(&body) && !is_reply(&body));
    assert_eq!(Probe::parse(&body), Some(probe()));
}

#[test]
fn a_reply_is_these_bytes() {
    let mut body = probe().emit(None, &V4);
    reflect(&mut body, &answer());
    seal(&mut body, None, &V4.swapped());
    assert_eq!(body[..40], REPLY_BYTES);
    let mut bitmap = [0; 32];
    (bitmap[0], bitmap[3], bitmap[31]) = (2, 2, 0x80);
    assert_eq!(body[40..72], bitmap);
    assert_eq!(body[72..], [0; 8]);
    assert!(is_reply(&body) && !is_probe(&body));
    let reply = Reply::parse(&body).expect("a reply");
    assert_eq!(reply.emit(None, &V4.swapped()), body);
    assert_eq!((reply.flags, reply.lease, reply.responder), (EXPIRED, Span(0x0abc), RESPONDER));
    assert!([1, 25, 255].iter().all(|&n| reply.masters.has(vrid(n))) && !reply.masters.has(vrid(2)));
}

/// The standard library's SipHash-2-4 over the concatenation that the page names.
#[expect(deprecated, reason = "the independent implementation of SipHash-2-4 at hand")]
fn tag_by_std(parts: &[&[u8]]) -> u64 {
    let mut std = std::hash::SipHasher::new_with_keys(KEY[0], KEY[1]);
    std.write(&parts.concat());
    std.finish()
}

#[test]
fn the_tag_covers_addresses_and_body() {
    let body = probe().emit(Some(KEY), &V4);
    let wanted = tag_by_std(&[&[172, 16, 1, 12], &[172, 16, 1, 11], &body[..72]]);
    assert_eq!(body[72..], wanted.to_be_bytes());

    let (source, destination) = ([0xfd; 16], core::array::from_fn(|n| n as u8));
    let v6 = Addresses::V6 { source, destination };
    let body = probe().emit(Some(KEY), &v6);
    assert_eq!(body[72..], tag_by_std(&[&source, &destination, &body[..72]]).to_be_bytes());

    assert!(is_sealed(&body, Some(KEY), &v6));
    assert!(!is_sealed(&body, Some(KEY), &v6.swapped()), "a reflected frame is no new one");
    assert!(!is_sealed(&body, Some([KEY[0], 0]), &v6));
    assert!(!is_sealed(&body, None, &v6), "without a key only zero will do");
    assert!(is_sealed(&probe().emit(None, &v6), None, &v6));
    assert!(!is_sealed(&probe().emit(None, &v6), Some(KEY), &v6));
}

#[test]
fn a_reply_is_sealed_for_its_own_way() {
    let mut body = probe().emit(Some(KEY), &V4);
    reflect(&mut body, &answer());
    assert!(!is_sealed(&body, Some(KEY), &V4.swapped()));
    seal(&mut body, Some(KEY), &V4.swapped());
    assert!(is_sealed(&body, Some(KEY), &V4.swapped()));
    assert_eq!(Reply::parse(&body).expect("a reply").emit(Some(KEY), &V4.swapped()), body);
}

#[test]
fn a_secret_makes_a_key() {
    #[expect(deprecated, reason = "the independent implementation of SipHash-2-4 at hand")]
    let by_std = |half, secret: &[u8]| {
        let mut std = std::hash::SipHasher::new_with_keys(half, 0);
        std.write(secret);
        std.finish()
    };
    for secret in [&b""[..], b"12345678", b"a longer secret, not a multiple"] {
        assert_eq!(key(secret), [by_std(0, secret), by_std(1, secret)]);
    }
}

/// Every bit that is fixed in a probe, flipped alone.
#[test]
fn nothing_but_a_probe_is_answered() {
    let good = probe().emit(None, &V4);
    for at in (0..72).filter(|at| !(4..6).contains(at) && !(8..24).contains(at)) {
        for bit in 0..8 {
            let mut body = good;
            body[at] ^= 1 << bit;
            assert!(!is_probe(&body), "byte {at}, bit {bit}");
        }
    }
    let mut anonymous = good;
    anonymous[16..24].fill(0);
    assert!(!is_probe(&anonymous));
    let mut unnumbered = good;
    unnumbered[8..16].fill(0);
    assert!(!is_probe(&unnumbered));
}

#[test]
fn a_reply_needs_a_responder() {
    let mut body = probe().emit(None, &V4);
    reflect(&mut body, &Answer { responder: 0, ..answer() });
    assert!(!is_reply(&body));
    assert_eq!(Reply::parse(&body), None);
}

#[test]
fn a_frame_over_ipv4_is_these_bytes() {
    let ips: (IpAddr, IpAddr) = ([172, 16, 1, 12].into(), [172, 16, 1, 11].into());
    let mut frame =
        ProbeFrame::new(([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]), ips, probe(), None).expect("a frame");
    #[rustfmt::skip]
    let headers: [u8; 34] = [
        2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x08, 0x00,
        0x45, 0xc0, 0, 100, 0, 0, 0x40, 0, 255, 112, 0x20, 0x32,
        172, 16, 1, 12, 172, 16, 1, 11,
    ];
    assert_eq!(frame.bytes().len(), 14 + 20 + 80);
    assert!(crate::checksum::Sum::new().with(&frame.bytes()[14..34]).is_valid());
    assert_eq!(frame.bytes()[..34], headers);
    assert_eq!(frame.bytes()[34..], *probe().emit(None, &V4));
    assert_eq!(frame.renew(8)[34..], *Probe { sequence: 8, ..probe() }.emit(None, &V4));
}

#[test]
fn a_frame_over_ipv6_is_these_bytes() {
    let (source, destination) = ([0xfd; 16], [0xfc; 16]);
    let mut frame =
        ProbeFrame::new(([1; 6], [2; 6]), (source.into(), destination.into()), probe(), Some(KEY))
            .expect("a frame");
    assert_eq!(frame.bytes().len(), MAX_FRAME);
    assert_eq!(frame.bytes()[12..22], [0x86, 0xdd, 0x6c, 0, 0, 0, 0, 80, 112, 255]);
    assert_eq!(frame.bytes()[22..54], [source, destination].concat());
    let addresses = Addresses::V6 { source, destination };
    assert_eq!(frame.bytes()[54..], *probe().emit(Some(KEY), &addresses));
    assert_eq!(frame.renew(9)[54..], *Probe { sequence: 9, ..probe() }.emit(Some(KEY), &addresses));
    assert_eq!(frame.probe().sequence, 9);
    let mixed = (source.into(), [10, 0, 0, 1].into());
    assert!(ProbeFrame::new(([1; 6], [2; 6]), mixed, probe(), None).is_none());
}

#[test]
fn bitmaps() {
    let (a, b) = (masters(&[1, 2, 200]), masters(&[2]));
    assert_eq!(a.without(&b), masters(&[1, 200]));
    assert!(b.without(&a).is_empty());
    let mut cleared = a;
    cleared.set(vrid(200), false);
    assert_eq!(cleared, masters(&[1, 2]));
    assert_eq!(Masters::from_words([6, 0, 0, 1 << (200 - 192)]), a);
}

proptest! {
    #[test]
    fn what_parses_is_what_was_sent(bytes in prop::collection::vec(any::<u8>(), LEN), first in 0u8..3) {
        let bytes: [u8; LEN] = Vec::try_into(bytes).expect("80 bytes");
        let mut body = Body::from(bytes);
        if first > 0 {
            body[..4].copy_from_slice(&[if first == 1 { PROBE } else { REPLY }, 0, 1, 0]);
            body[6..8].fill(0);
        }
        let tag = number(&body, AT_TAG);
        if let Some(reply) = Reply::parse(&body) {
            let mut again = reply.emit(None, &V4);
            put(&mut again, AT_TAG, tag);
            prop_assert_eq!(again, body);
        }
        if let Some(probe) = Probe::parse(&body) {
            let mut again = probe.emit(None, &V4);
            put(&mut again, AT_TAG, tag);
            prop_assert_eq!(again, body);
        }
    }
}

#[test]
fn a_daemon_says_that_it_answers_itself_and_who_takes_no_part_says_only_that() {
    assert_eq!(flags_of_daemon(false, false, false), USER_SPACE);
    assert_eq!(flags_of_daemon(false, true, true), USER_SPACE | RESTARTING, "it will be back");
    assert_eq!(flags_of_daemon(false, false, true), TAKES_NO_PART, "a probe under a key that is being left");
    assert!(
        [false, true].iter().all(|restarting| flags_of_daemon(true, *restarting, false) == TAKES_NO_PART)
    );
}

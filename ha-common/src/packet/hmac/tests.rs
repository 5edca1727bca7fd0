use core::net::{Ipv4Addr, Ipv6Addr};

use super::*;
use crate::packet::{Advert, Auth, ChecksumForm, Packet};
use crate::types::{Centis, MULTICAST_V4, MULTICAST_V6, Version, Vrid};

/// 00 01 02 … 1f, as in keepalived's manual page.
fn key() -> Key {
    let mut bytes = [0; 32];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::try_from(at).expect("below 32");
    }
    Key::new(&bytes).expect("32 bytes")
}

/// keepalived 2.4.3: `key 1`, VRRPv2, VRID 51, priority 200, 1 s, from 10.9.0.1, address 10.9.0.25.
const V2: [u8; 48] = [
    0x21, 0x33, 0xc8, 0x01, 0x00, 0x01, 0x0c, 0xa8, 0x0a, 0x09, 0x00, 0x19, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x01, 0x01, 0x00, 0x00, 0x6b, 0x0b, 0x43, 0x49, 0xb4, 0xcc, 0x00, 0x00, 0xdb, 0x9b,
    0x96, 0x91, 0x5c, 0x03, 0x70, 0xbe, 0x7b, 0x25, 0xd1, 0x8f, 0x59, 0xcf, 0x88, 0x0a,
];
/// keepalived 2.4.3: the same key as `key 7`, VRRPv3, 0.5 s.
const V3: [u8; 40] = [
    0x31, 0x33, 0xc8, 0x01, 0x00, 0x32, 0x11, 0xde, 0x0a, 0x09, 0x00, 0x19, 0x01, 0x07, 0x00, 0x00, 0x6b,
    0x0b, 0x43, 0x5f, 0xf6, 0xa0, 0x00, 0x00, 0xf3, 0x3c, 0x70, 0xd1, 0x96, 0xee, 0x5a, 0x65, 0xb5, 0xa0,
    0xe5, 0x84, 0xb3, 0x0e, 0xb3, 0xc6,
];
/// keepalived 2.4.3: `key 1`, IPv6, 1 s, from fe80::a8ae:afff:fe16:c889, address fd00:9::25.
const V6: [u8; 52] = [
    0x31, 0x33, 0xc8, 0x01, 0x00, 0x64, 0xdd, 0xcf, 0xfd, 0x00, 0x00, 0x09, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x25, 0x01, 0x01, 0x00, 0x00, 0x6b, 0x0b, 0x43, 0x61, 0x9e, 0x0d,
    0x00, 0x00, 0x31, 0x50, 0xa9, 0x2a, 0xd7, 0x41, 0x27, 0x54, 0xc5, 0x4e, 0x53, 0xc8, 0x1f, 0x18, 0xaf,
    0x23,
];
const FROM_V4: Endpoints = Endpoints::V4 { source: Ipv4Addr::new(10, 9, 0, 1), destination: MULTICAST_V4 };
const FROM_V6: Endpoints = Endpoints::V6 {
    source: Ipv6Addr::new(0xfe80, 0, 0, 0, 0xa8ae, 0xafff, 0xfe16, 0xc889),
    destination: MULTICAST_V6,
};
/// The time of `V2` in nanoseconds.
const SENT: u64 = 1_795_900_233 * S + 706_300_000;
const S: u64 = 1_000_000_000;
const OTHER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 9, 0, 3));
const WINDOW: AntiReplay = AntiReplay::Time(5);

fn advert(version: Version, family: Family, centis: u16) -> Advert {
    let interval = Centis::new(centis).expect("not zero");
    Advert { vrid: Vrid::new(51).expect("51"), priority: 200, interval, version, family }
}

fn trailer(bytes: &[u8]) -> &[u8; LEN] {
    bytes.last_chunk().expect("long enough")
}

#[test]
fn keepalived_is_believed_and_spoken_to() {
    let vip: IpAddr = Ipv4Addr::new(10, 9, 0, 25).into();
    let vip6: IpAddr = Ipv6Addr::new(0xfd00, 9, 0, 0, 0, 0, 0, 0x25).into();
    let cases: [(&[u8], _, _, _, _, _); 3] = [
        (&V2, 1, FROM_V4, advert(Version::V2, Family::V4, 100), vip, 0x6b0b_4349_b4cc_0000),
        (&V3, 7, FROM_V4, advert(Version::V3, Family::V4, 50), vip, 0x6b0b_435f_f6a0_0000),
        (&V6, 1, FROM_V6, advert(Version::V3, Family::V6, 100), vip6, 0x6b0b_4361_9e0d_0000),
    ];
    for (bytes, id, endpoints, advert, vip, sequence) in cases {
        let (pdu, found) = split(bytes, endpoints.family());
        assert_eq!(found, Some(trailer(bytes)));
        let keys = [(3, Key::new(&[7; 64]).expect("64 bytes")), (id, key())];
        let heard = check(&keys, endpoints.source(), pdu, trailer(bytes));
        assert_eq!(heard, Ok(Sequence(sequence)), "key {id}");

        let mut buffer = [0xa5; 100];
        let form = ChecksumForm::PseudoHeader;
        let len = advert.emit(&[vip], Auth::None, form, &endpoints, &mut buffer).expect("valid");
        let len = seal(&(id, key()), Sequence(sequence), &endpoints, &mut buffer, len).expect("fits");
        assert_eq!(&buffer[..len], bytes);
        assert_eq!(seal(&(id, key()), Sequence(1), &endpoints, &mut buffer[..len - 1], len - LEN), None);
    }
}

#[test]
fn the_checksum_covers_the_trailer_over_ipv6_only() {
    let (pdu, found) = split(&V6, Family::V6);
    let packet = Packet::new_checked(pdu, Family::V6).expect("well formed");
    let trailer = found.expect("signed");
    assert_eq!(packet.checksum_form_with(&FROM_V6, trailer), Some(ChecksumForm::PseudoHeader));
    assert_eq!(packet.checksum_form(&FROM_V6), None);
    let packet = Packet::new_checked(&V3[..12], Family::V4).expect("well formed");
    assert_eq!(packet.checksum_form(&FROM_V4), Some(ChecksumForm::PseudoHeader));
}

#[test]
fn every_byte_counts_but_the_checksum() {
    for at in 0..V2.len() {
        let mut changed = V2;
        changed[at] ^= 1;
        let source = FROM_V4.source();
        let checksum = at == 6 || at == 7;
        let heard = check(&[(1, key())], source, &changed[..20], trailer(&changed));
        assert_eq!(heard.is_ok(), checksum, "byte {at}");
    }
    let with = |keys: &[Numbered], source| check(keys, source, &V2[..20], trailer(&V2));
    assert_eq!(with(&[(1, key())], OTHER), Err(Refused::Invalid), "another sender's");
    assert_eq!(with(&[(1, Key::new(&[9; 32]).expect("32"))], FROM_V4.source()), Err(Refused::Invalid));
    assert_eq!(with(&[(2, key())], FROM_V4.source()), Err(Refused::UnknownKey));
    assert_eq!(with(&[], FROM_V4.source()), Err(Refused::UnknownKey));
    for (at, value) in [(20, 0), (20, 2), (22, 1), (23, 1)] {
        let mut changed = V2;
        changed[at] = value;
        let heard = check(&[(1, key())], FROM_V4.source(), &changed[..20], trailer(&changed));
        assert_eq!(heard, Err(Refused::Malformed), "byte {at} is {value}");
    }
}

#[test]
fn rotation_takes_every_configured_key_and_no_other() {
    let (old, new) = (key(), Key::new(&[9; 40]).expect("40 bytes"));
    let vip: IpAddr = Ipv4Addr::new(10, 9, 0, 25).into();
    let advert = advert(Version::V2, Family::V4, 100);
    let send = |numbered: Numbered| {
        let mut buffer = [0; 48];
        let form = ChecksumForm::PseudoHeader;
        let len = advert.emit(&[vip], Auth::None, form, &FROM_V4, &mut buffer).expect("valid");
        seal(&numbered, Sequence::at(SENT), &FROM_V4, &mut buffer, len).expect("fits");
        buffer
    };
    let heard = |keys: &[Numbered], bytes: [u8; 48]| {
        check(keys, FROM_V4.source(), &bytes[..20], trailer(&bytes)).map(|_| ())
    };
    // Old only, both with either active, new only: whoever is one step behind is understood.
    let steps: [&[Numbered]; 3] = [&[(1, old)], &[(1, old), (2, new)], &[(2, new)]];
    let sent = [(1, old), (2, new)];
    let expected = [[Ok(()), Err(Refused::UnknownKey)], [Ok(()), Ok(())], [Err(Refused::UnknownKey), Ok(())]];
    for (keys, expected) in steps.into_iter().zip(expected) {
        for (numbered, expected) in sent.into_iter().zip(expected) {
            assert_eq!(heard(keys, send(numbered)), expected, "{keys:?} hears key {}", numbered.0);
        }
    }
}

#[test]
fn keys_have_32_to_64_bytes_and_are_not_shown() {
    for (len, good) in [(0, false), (31, false), (32, true), (64, true), (65, false)] {
        assert_eq!(Key::new(&[b'x'; 70][..len]).is_some(), good, "{len}");
    }
    extern crate std;
    assert_eq!(std::format!("{:?}", key()), "Key(..)");
}

#[test]
fn only_the_exact_length_is_a_trailer() {
    for len in 0..V2.len() + 2 {
        let mut bytes = [0; 50];
        bytes[..48].copy_from_slice(&V2);
        let (pdu, found) = split(&bytes[..len], Family::V4);
        assert_eq!(found.is_some(), len == 48, "{len}");
        assert_eq!(pdu.len(), if len == 48 { 20 } else { len });
    }
}

#[test]
fn a_sequence_is_the_time() {
    assert_eq!(Sequence::at(0), Sequence(0));
    assert_eq!(Sequence::at(S - 1), Sequence(0xffff_0000));
    assert_eq!(Sequence::at(SENT).0 >> 32, 0x6b0b_4349);
    // 2106.
    assert_eq!(Sequence::at((1 << 32) * S), Sequence(0));
    assert!(Sequence(0).is_after(Sequence::at(((1 << 32) - 1) * S)));
    assert!(!Sequence(5).is_after(Sequence(5)));
    assert_eq!(Sequence::at(S).seconds_ahead_of(Sequence::at(((1 << 32) - 1) * S)), 2);
}

#[test]
fn a_sender_grows_with_its_clock_and_without_it() {
    let mut sender = Sender::default();
    assert_eq!(sender.next(WINDOW, SENT), Sequence::at(SENT));
    assert_eq!(sender.next(WINDOW, SENT), Sequence(Sequence::at(SENT).0 + 1), "the same moment");
    assert_eq!(sender.next(WINDOW, SENT + S), Sequence::at(SENT + S));
    // Set back within the window: it goes on from where it was.
    assert_eq!(sender.next(WINDOW, SENT - 4 * S), Sequence(Sequence::at(SENT + S).0 + 1));
    // Set back farther: with the clock again, where receivers look at the clock.
    let mut other = sender;
    assert_eq!(sender.next(WINDOW, SENT - 100 * S), Sequence::at(SENT - 100 * S));
    let went_on = Sequence(Sequence::at(SENT + S).0 + 2);
    assert_eq!(other.next(AntiReplay::Monotonic, SENT - 100 * S), went_on);
}

#[test]
fn the_window_has_its_edges() {
    let heard = |ahead: i64| {
        let sent = Sequence::at(SENT.checked_add_signed(ahead * 1_000_000_000).expect("after 1970"));
        Receiver::default().accept(WINDOW, OTHER, sent, SENT)
    };
    assert_eq!(
        [-6, -5, 0, 5, 6].map(heard),
        [Err(Refused::Stale), Ok(-5), Ok(0), Ok(5), Err(Refused::Stale)]
    );
    let monotonic = |sent| Receiver::default().accept(AntiReplay::Monotonic, OTHER, Sequence::at(sent), SENT);
    assert!(monotonic(0).is_ok() && monotonic(SENT * 2).is_ok());
}

#[test]
fn a_used_sequence_is_a_replay() {
    let mut receiver = Receiver::default();
    let source = FROM_V4.source();
    let mut hear = |from, sent, now| receiver.accept(WINDOW, from, Sequence::at(sent), now);
    assert_eq!(hear(source, SENT, SENT), Ok(0));
    assert_eq!(hear(source, SENT, SENT), Err(Refused::Replay));
    assert_eq!(hear(source, SENT - 1_000_000, SENT), Err(Refused::Replay));
    assert_eq!(hear(OTHER, SENT - S, SENT), Ok(-1), "each sender has its own");
    assert_eq!(hear(source, SENT + 3 * S, SENT), Ok(3));
    assert_eq!(hear(source, SENT + S, SENT + S), Err(Refused::Replay));
    // The sender's clock was set back by six seconds, and so was ours.
    assert_eq!(hear(source, SENT - 3 * S, SENT - 3 * S), Ok(0), "what was heard is out of the window");
    let mut monotonic = Receiver::default();
    let mut hear = |sent| monotonic.accept(AntiReplay::Monotonic, source, Sequence::at(sent), SENT);
    assert!(hear(SENT + 3 * S).is_ok());
    assert_eq!(hear(SENT - 3 * S), Err(Refused::Replay));
}

#[test]
fn the_oldest_of_many_senders_is_forgotten() {
    let mut receiver = Receiver::default();
    let from = |last| IpAddr::V4(Ipv4Addr::new(10, 9, 1, last));
    for last in 0..17 {
        let sent = Sequence::at(SENT + u64::from(last) * 1_000_000);
        assert!(receiver.accept(WINDOW, from(last), sent, SENT).is_ok(), "{last}");
    }
    let again = |receiver: &mut Receiver, last: u8| {
        receiver.accept(WINDOW, from(last), Sequence::at(SENT + u64::from(last) * 1_000_000), SENT).is_ok()
    };
    assert!(again(&mut receiver.clone(), 0), "forgotten");
    assert!((1..17).all(|last| !again(&mut receiver, last)), "remembered");
}

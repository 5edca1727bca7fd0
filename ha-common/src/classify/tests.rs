extern crate std;

use std::vec;
use std::vec::Vec;

use proptest::collection::vec as any_vec;
use proptest::prelude::*;

use super::*;

const MACS: [u8; 12] = [0x01, 0x00, 0x5e, 0x00, 0x00, 0x12, 0x00, 0x00, 0x5e, 0x00, 0x01, 0x33];
const KEY: [u64; 2] = [0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210];

/// A VRRPv3 advert for VRID 51; the checksum is nobody's business here.
const PDU: [u8; 12] = [0x31, 51, 100, 1, 0, 100, 0, 0, 172, 16, 1, 25];

/// An Ethernet frame: tags as (ethertype, VID), then `ethertype` and the rest.
fn ethernet(tags: &[(u16, u16)], ethertype: u16, packet: &[u8]) -> Vec<u8> {
    let mut frame = MACS.to_vec();
    for (tag, vid) in tags {
        frame.extend(tag.to_be_bytes());
        frame.extend((vid | 0xe000).to_be_bytes());
    }
    frame.extend(ethertype.to_be_bytes());
    frame.extend(packet);
    frame
}

fn ipv4(protocol: u8, options: &[u8], payload: &[u8]) -> Vec<u8> {
    let header_len = 20 + options.len();
    let [high, low] = u16::try_from(header_len + payload.len()).unwrap().to_be_bytes();
    let first = 0x40 | u8::try_from(header_len / 4).unwrap();
    let mut packet =
        vec![first, 0xc0, high, low, 0, 1, 0, 0, 255, protocol, 0, 0, 172, 16, 1, 1, 224, 0, 0, 18];
    packet.extend(options);
    packet.extend(payload);
    let sum: u32 =
        packet[..header_len].as_chunks::<2>().0.iter().map(|word| u32::from(u16::from_be_bytes(*word))).sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    packet[10..12].copy_from_slice(&(!u16::try_from(sum).unwrap()).to_be_bytes());
    packet
}

fn ipv6(next: u8, payload: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(payload.len()).unwrap().to_be_bytes();
    let mut packet = vec![0x60, 0, 0, 0, high, low, next, 255];
    packet.extend([0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    packet.extend([0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x12]);
    packet.extend(payload);
    packet
}

/// An extension header of `units` times eight bytes, followed by the rest.
fn extension(next: u8, units: u8, rest: &[u8]) -> Vec<u8> {
    let mut header = vec![next, units - 1, 1, 4, 0, 0, 0, 0];
    header.resize(usize::from(units) * 8, 0);
    header.extend(rest);
    header
}

fn v4_frame(packet: &[u8]) -> Vec<u8> {
    ethernet(&[], 0x0800, packet)
}

fn v6_frame(packet: &[u8]) -> Vec<u8> {
    ethernet(&[], 0x86dd, packet)
}

#[track_caller]
fn vrrp(frame: &[u8], vlan: u16) -> Packet {
    match classify(frame, vlan) {
        Verdict::Vrrp(packet) => packet,
        verdict => panic!("{verdict:?}"),
    }
}

#[test]
fn s10_ipv4_options_and_s11_padding() {
    let plain = vrrp(&v4_frame(&ipv4(112, &[], &PDU)), 0);
    assert_eq!((plain.family, plain.vrid.get(), plain.ttl), (Family::V4, 51, 255));
    assert_eq!((plain.ip_at, plain.ip_len, plain.pdu_at, plain.pdu_len), (14, 32, 20, 12));

    for words in 1..=10 {
        let options = vec![1; words * 4];
        let packet = vrrp(&v4_frame(&ipv4(112, &options, &PDU)), 0);
        assert_eq!((packet.pdu_at, packet.pdu_len), (20 + words * 4, 12));
    }

    let mut padded = v4_frame(&ipv4(112, &[], &PDU));
    padded.resize(60, 0xaa);
    assert_eq!(vrrp(&padded, 0), plain);
    assert_eq!(fingerprint(KEY, &plain, &padded[14..]), fingerprint(KEY, &plain, &padded[14..46]));
}

#[test]
fn vlan_tags() {
    let packet = ipv4(112, &[], &PDU);
    let tagged = |tags: &[(u16, u16)]| ethernet(tags, 0x0800, &packet);
    let other = Verdict::Rejected(Counter::OtherVlan);

    assert_eq!(vrrp(&tagged(&[(0x8100, 0)]), 0).ip_at, 18);
    assert_eq!(vrrp(&tagged(&[(0x8100, 7)]), 7).ip_at, 18);
    assert_eq!(vrrp(&tagged(&[(0x88a8, 0), (0x8100, 7)]), 7).ip_at, 22);
    assert_eq!(classify(&tagged(&[(0x8100, 7)])[..], 0), other);
    assert_eq!(classify(&tagged(&[(0x8100, 7)])[..], 8), other);
    assert_eq!(classify(&tagged(&[])[..], 7), other);
    assert_eq!(classify(&tagged(&[(0x88a8, 7), (0x8100, 7)])[..], 7), other);
    assert_eq!(classify(&tagged(&[(0x8100, 0); 3])[..], 0), Verdict::NotVrrp);
    // Ordinary traffic is ordinary in every VLAN.
    assert_eq!(classify(&ethernet(&[(0x8100, 7)], 0x0800, &ipv4(6, &[], &[0; 20]))[..], 0), Verdict::NotVrrp);
}

#[test]
fn fragments() {
    for (field, verdict) in [
        (0x2000_u16, Verdict::Rejected(Counter::Fragment)),
        (0x0001, Verdict::Rejected(Counter::Fragment)),
        (0x2001, Verdict::Rejected(Counter::Fragment)),
    ] {
        let mut packet = ipv4(112, &[], &PDU);
        packet[6..8].copy_from_slice(&field.to_be_bytes());
        assert_eq!(classify(&v4_frame(&packet)[..], 0), verdict, "{field:#x}");
    }
    let mut packet = ipv4(112, &[], &PDU);
    packet[6] = 0x40;
    vrrp(&v4_frame(&packet), 0);

    let fragment = [112, 0, 0, 1, 0, 0, 0, 9];
    let packet = ipv6(44, &[&fragment[..], &PDU[..]].concat());
    assert_eq!(classify(&v6_frame(&packet)[..], 0), Verdict::Rejected(Counter::Fragment));
    let packet = ipv6(44, &[&[17, 0, 0, 1, 0, 0, 0, 9][..], &PDU[..]].concat());
    assert_eq!(classify(&v6_frame(&packet)[..], 0), Verdict::NotVrrp);
}

#[test]
fn ipv6_extension_headers() {
    let plain = vrrp(&v6_frame(&ipv6(112, &PDU)), 0);
    assert_eq!((plain.family, plain.ip_len, plain.pdu_at, plain.pdu_len), (Family::V6, 52, 40, 12));

    let packet = ipv6(0, &extension(60, 1, &extension(43, 3, &extension(112, 2, &PDU))));
    let packet = vrrp(&v6_frame(&packet), 0);
    assert_eq!((packet.pdu_at, packet.pdu_len, packet.authenticated), (40 + 48, 12, false));

    let chain =
        |count| (0..count).fold(PDU.to_vec(), |rest, n| extension(if n == 0 { 112 } else { 60 }, 1, &rest));
    vrrp(&v6_frame(&ipv6(60, &chain(5))), 0);
    let too_long = Verdict::Rejected(Counter::ExtensionHeaders);
    assert_eq!(classify(&v6_frame(&ipv6(60, &chain(6)))[..], 0), too_long);
    assert_eq!(classify(&v6_frame(&ipv6(60, &extension(112, 100, &PDU)))[..], 0), too_long);
    // A chain that ends in something else is ordinary traffic.
    assert_eq!(classify(&v6_frame(&ipv6(0, &extension(58, 1, &[143, 0, 0, 0])))[..], 0), Verdict::NotVrrp);
}

#[test]
fn authentication_header() {
    // Next header, length in words less two, reserved, SPI, sequence number, twelve bytes of data (RFC 2338).
    let mut payload = vec![112, 4, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1];
    payload.extend([0xee; 12]);
    payload.extend(PDU);
    let packet = vrrp(&v4_frame(&ipv4(51, &[], &payload)), 0);
    assert_eq!((packet.pdu_at, packet.pdu_len, packet.authenticated), (44, 12, true));
    payload[0] = 6;
    assert_eq!(classify(&v4_frame(&ipv4(51, &[], &payload))[..], 0), Verdict::NotVrrp);
}

#[test]
fn every_truncation_is_noticed() {
    for (frame, known_from) in [
        (v4_frame(&ipv4(112, &[1; 8], &PDU)), 14 + 10),
        (v6_frame(&ipv6(112, &PDU)), 14 + 7),
        (ethernet(&[(0x8100, 0), (0x8100, 0)], 0x0800, &ipv4(112, &[], &PDU)), 22 + 10),
    ] {
        for len in 0..frame.len() {
            // What cannot even be told to be VRRP is ordinary traffic.
            let expected =
                if len < known_from { Verdict::NotVrrp } else { Verdict::Rejected(Counter::Truncated) };
            assert_eq!(classify(&frame[..len], 0), expected, "{len} of {} bytes", frame.len());
        }
        vrrp(&frame, 0);
    }
}

#[test]
fn headers_that_contradict_themselves() {
    let truncated = Verdict::Rejected(Counter::Truncated);
    let change = |at: usize, value: u8| {
        let mut packet = ipv4(112, &[], &PDU);
        packet[at] = value;
        classify(&v4_frame(&packet)[..], 0)
    };
    assert_eq!(change(0, 0x44), truncated, "header of 16 bytes");
    assert_eq!(change(0, 0x65), truncated, "version 6 under IPv4's ethertype");
    assert_eq!(change(0, 0x4f), truncated, "header longer than the packet");
    assert_eq!(change(3, 27), truncated, "seven bytes of PDU");
    assert_eq!(change(3, 33), truncated, "longer than the frame");
    let mut packet = ipv6(112, &PDU);
    packet[0] = 0x45;
    assert_eq!(classify(&v6_frame(&packet)[..], 0), truncated);
}

#[test]
fn s14_the_longest_advert_fits_and_a_longer_packet_is_refused() {
    let longest = vrrp(&v6_frame(&ipv6(112, &[&PDU[..8], &[7; 255 * 16]].concat())), 0);
    assert_eq!(longest.pdu_len, 8 + 255 * 16);
    let frame = v4_frame(&ipv4(112, &[], &vec![0x31; EVENT_DATA - 19]));
    assert_eq!(classify(&frame[..], 0), Verdict::Rejected(Counter::Oversized));
}

#[test]
fn vrid_zero_is_nobodys() {
    let frame = v4_frame(&ipv4(112, &[], &[0x3e, 0, 0, 0, 0, 0, 0, 0]));
    assert_eq!(classify(&frame[..], 0), Verdict::Rejected(Counter::UnknownVrid));
}

#[test]
fn s16_s18_the_fingerprint_depends_on_everything() {
    let frames = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut packet = ipv4(112, &[], &[&PDU[..], &[0, 0, 0, 1, 2, 3, 4]].concat());
        change(&mut packet);
        let parsed = classify(&v4_frame(&packet)[..], 0);
        let Verdict::Vrrp(parsed) = parsed else { panic!("{parsed:?}") };
        fingerprint(KEY, &parsed, &packet[..])
    };
    let original = frames(&|_| {});
    assert_ne!(original, 0);
    // Source, destination, TTL and every byte of the PDU.
    for at in [8].into_iter().chain(12..39).filter(|at| *at != 21) {
        assert_ne!(frames(&|packet| packet[at] ^= 0x10), original, "byte {at}");
    }
    // Two words exchanged, which the Internet checksum does not see.
    let exchange = |packet: &mut Vec<u8>| {
        packet.swap(28, 30);
        packet.swap(29, 31);
    };
    assert_ne!(frames(&exchange), original);
    // A zero byte less, or more.
    assert_ne!(frames(&|packet| packet[3] -= 1), original);
    // Not type of service, identification and header checksum, which say nothing about the advert.
    for at in [1, 4, 5, 10, 11] {
        assert_eq!(frames(&|packet| packet[at] ^= 0x10), original, "byte {at}");
    }
}

#[test]
fn the_fingerprint_is_siphash_1_3_of_what_the_documentation_says() {
    let packet = ipv4(112, &[], &PDU);
    let Verdict::Vrrp(parsed) = classify(&v4_frame(&packet)[..], 0) else { panic!() };
    let mut message = vec![255, 0, 0, 0, 12, 0, 0, 0];
    message.extend(&packet[12..]);
    let (words, tail) = message.as_chunks::<8>();
    let mut hash = FingerprintHash::new(KEY);
    for word in words {
        hash = hash.word(u64::from_le_bytes(*word));
    }
    let mut last = [0; 8];
    last[..tail.len()].copy_from_slice(tail);
    let expected = hash.finish(message.len() as u64, u64::from_le_bytes(last));
    assert_eq!(fingerprint(KEY, &parsed, &packet[..]), expected);
}

#[test]
fn packets_are_taken_apart() {
    let packet = ipv4(112, &[1; 4], &PDU);
    let parsed = parse_ip_packet(&packet, Origin::Xdp).unwrap();
    let endpoints =
        Endpoints::V4 { source: Ipv4Addr::new(172, 16, 1, 1), destination: crate::types::MULTICAST_V4 };
    assert_eq!((parsed.endpoints, parsed.pdu, parsed.packet.ttl), (endpoints, &PDU[..], 255));

    let packet = ipv6(112, &PDU);
    let parsed = parse_ip_packet(&packet, Origin::Xdp).unwrap();
    let source = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
    let endpoints = Endpoints::V6 { source, destination: crate::types::MULTICAST_V6 };
    assert_eq!((parsed.endpoints, parsed.pdu), (endpoints, &PDU[..]));

    assert_eq!(parse_ip_packet(&[], Origin::Xdp), Err(Counter::Truncated));
    assert_eq!(parse_ip_packet(&ipv4(6, &[], &[0; 20]), Origin::Xdp), Err(Counter::Truncated));
}

#[test]
fn a_bad_ipv4_header_checksum_is_noticed_where_the_kernel_has_not_looked() {
    let mut packet = ipv4(112, &[1; 4], &PDU);
    packet[1] ^= 4;
    assert_eq!(parse_ip_packet(&packet, Origin::Xdp), Err(Counter::BadChecksum));
    assert!(parse_ip_packet(&packet, Origin::Socket).is_ok());
}

proptest! {
    /// Total over arbitrary bytes, and what it says lies inside the frame.
    #[test]
    fn classify_is_total(frame in any_vec(any::<u8>(), 0..200), vlan in 0_u16..4096) {
        check(&frame, vlan)?;
    }

    /// The same for bytes that get past the first look.
    #[test]
    fn classify_is_total_behind_the_ethertype(
        v6 in any::<bool>(),
        next in prop::sample::select(vec![0_u8, 43, 44, 51, 60, 112]),
        mut packet in any_vec(any::<u8>(), 0..300),
    ) {
        if let Some(byte) = packet.get_mut(if v6 { 6 } else { 9 }) {
            *byte = next;
        }
        if let Some(byte) = packet.first_mut() {
            *byte = if v6 { 0x60 } else { 0x40 | (*byte & 0x0f) };
        }
        check(&ethernet(&[], if v6 { 0x86dd } else { 0x0800 }, &packet), 0)?;
        let _ = parse_ip_packet(&packet, Origin::Xdp);
    }
}

fn check(frame: &[u8], vlan: u16) -> Result<(), TestCaseError> {
    if let Verdict::Vrrp(packet) = classify(frame, vlan) {
        prop_assert!(packet.ip_at + packet.ip_len <= frame.len());
        prop_assert_eq!(packet.pdu_at + packet.pdu_len, packet.ip_len);
        prop_assert!(packet.pdu_len >= 8 && packet.pdu_at.is_multiple_of(4));
        prop_assert!(packet.pdu_at <= EVENT_HEADERS && packet.ip_len <= EVENT_DATA);
        let parsed = parse_ip_packet(&frame[packet.ip_at..packet.ip_at + packet.ip_len], Origin::Socket);
        prop_assert_eq!(parsed.map(|parsed| parsed.pdu.len()), Ok(packet.pdu_len));
        prop_assert_ne!(fingerprint(KEY, &packet, &frame[packet.ip_at..]), 0);
    }
    Ok(())
}

#[test]
fn probes_are_told_by_vrid_length_and_place() {
    let mut pdu = std::vec![0x3e, 0, 1];
    pdu.resize(80, 0);
    let at = |verdict| match verdict {
        Verdict::Probe(ProbeAt { family, ip_at, ttl: 255 }) => Some((family, ip_at)),
        Verdict::Rejected(Counter::UnknownVrid) => None,
        other => panic!("{other:?}"),
    };
    let v4 = |packet: &[u8]| at(classify(&ethernet(&[], 0x0800, packet)[..], 0));
    let v6 = |packet: &[u8]| at(classify(&ethernet(&[], 0x86dd, packet)[..], 0));
    assert_eq!(v4(&ipv4(112, &[], &pdu)), Some((Family::V4, 14)));
    assert_eq!(v6(&ipv6(112, &pdu)), Some((Family::V6, 14)));
    let tagged = ethernet(&[(0x8100, 0)], 0x0800, &ipv4(112, &[], &pdu));
    assert_eq!(at(classify(&tagged[..], 0)), Some((Family::V4, 18)));

    assert_eq!(v4(&ipv4(112, &[1; 4], &pdu)), None, "options");
    assert_eq!(v6(&ipv6(60, &extension(112, 1, &pdu))), None, "extension headers");
    assert_eq!(v4(&ipv4(112, &[], &pdu[..79])), None, "too short");
    pdu.push(0);
    assert_eq!(v4(&ipv4(112, &[], &pdu)), None, "too long");
    assert_eq!(
        parse_ip_packet(&ipv4(112, &[], &pdu[..80]), Origin::Socket),
        Err(Counter::UnknownVrid),
        "no virtual router's"
    );
}

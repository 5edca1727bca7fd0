//! Fixed bytes in both directions, with captures of real routers, and properties over all valid adverts.

extern crate std;

use core::net::IpAddr;
use std::vec::Vec;

use proptest::prelude::*;

use super::captures::*;
use super::generate::any_sent;
use super::*;

const PASSWORD: Auth = Auth::Password(*b"1111\0\0\0\0");

fn advert(version: Version, family: Family, interval: u16) -> Advert {
    Advert {
        vrid: Vrid::new(51).unwrap(),
        priority: 150,
        interval: Centis::new(interval).unwrap(),
        version,
        family,
    }
}

/// A capture is read as what its router was configured to say, and saying the same gives the same bytes.
fn both_ways(
    bytes: &[u8],
    endpoints: &Endpoints,
    advert: Advert,
    addresses: &[IpAddr],
    auth: Auth,
    form: ChecksumForm,
) {
    let packet = Packet::new_checked(bytes, advert.family).unwrap();
    assert_eq!(packet.version(), advert.version);
    assert_eq!(packet.vrid(), advert.vrid);
    assert_eq!(packet.priority(), advert.priority);
    assert_eq!(packet.interval_cs(), advert.interval.get());
    assert_eq!(packet.addresses().collect::<Vec<_>>(), addresses);
    assert_eq!(packet.checksum_form(endpoints), Some(form));
    match advert.version {
        Version::V2 => {
            assert_eq!(packet.auth_type(), Some(auth.number()));
            let data = match auth {
                Auth::None | Auth::Header(_) => [0; 8],
                Auth::Password(password) => password,
            };
            assert_eq!(packet.auth_data(), Some(&data));
        }
        Version::V3 => assert_eq!((packet.auth_type(), packet.auth_data()), (None, None)),
    }

    let mut buffer = [0xa5; MAX_LEN];
    let len = advert.emit(addresses, auth, form, endpoints, &mut buffer).unwrap();
    assert_eq!(&buffer[..len], bytes);
    assert_eq!(len, advert.emitted_len(addresses.len()));
    assert_eq!(u16::from_be_bytes([buffer[6], buffer[7]]), packet.checksum());
}

#[test]
fn s20_v2_with_password_as_keepalived_sends_it() {
    let mut advert = advert(Version::V2, Family::V4, 100);
    let (endpoints, form) = (&TO_GROUP, ChecksumForm::MessageOnly);
    both_ways(&KEEPALIVED_V2_PASS, endpoints, advert, &[VIP.into()], PASSWORD, form);
    advert.priority = 0;
    both_ways(&KEEPALIVED_V2_RESIGN, endpoints, advert, &[VIP.into()], PASSWORD, form);
}

#[test]
fn s20_v2_without_authentication_as_keepalived_and_frr_send_it() {
    let (endpoints, form) = (&TO_GROUP, ChecksumForm::MessageOnly);
    let slow = advert(Version::V2, Family::V4, 200);
    both_ways(&KEEPALIVED_V2_NONE, endpoints, slow, &[VIP.into(), VIP_2.into()], Auth::None, form);
    let fast = advert(Version::V2, Family::V4, 100);
    both_ways(&FRR_V2, endpoints, fast, &[VIP.into()], Auth::None, form);
}

#[test]
fn s21_v3_over_ipv4_as_keepalived_and_frr_send_it() {
    let advert = advert(Version::V3, Family::V4, 10);
    let form = ChecksumForm::PseudoHeader;
    let vips = [VIP.into(), VIP_2.into()];
    both_ways(&KEEPALIVED_V3_V4, &TO_GROUP, advert, &vips, Auth::None, form);
    both_ways(&KEEPALIVED_V3_UNICAST, &TO_PEER, advert, &vips[..1], Auth::None, form);
    both_ways(&FRR_V3_V4, &TO_GROUP, advert, &vips[..1], Auth::None, form);
}

#[test]
fn s21_v3_over_ipv4_with_the_checksum_of_rfc_9568() {
    // FRR's packet with the checksum over the message only, added up by hand.
    let mut bytes = FRR_V3_V4;
    bytes[6..8].copy_from_slice(&[0x8b, 0x97]);
    let advert = advert(Version::V3, Family::V4, 10);
    let form = ChecksumForm::MessageOnly;
    both_ways(&bytes, &TO_GROUP, advert, &[VIP.into()], Auth::None, form);
    both_ways(&bytes, &TO_PEER, advert, &[VIP.into()], Auth::None, form);
}

#[test]
fn s20_v3_over_ipv6_as_keepalived_and_frr_send_it() {
    let form = ChecksumForm::PseudoHeader;
    let slow = advert(Version::V3, Family::V6, 100);
    let vips = [VIP_LINK_LOCAL.into(), VIP_V6.into()];
    both_ways(&KEEPALIVED_V3_V6, &KEEPALIVED_V3_V6_ENDPOINTS, slow, &vips, Auth::None, form);
    let fast = advert(Version::V3, Family::V6, 10);
    both_ways(&FRR_V3_V6, &FRR_V3_V6_ENDPOINTS, fast, &vips[1..], Auth::None, form);
}

#[test]
fn s20_ipv6_and_v2_have_one_form_each_whatever_is_asked_for() {
    let mut buffer = [0; MAX_LEN];
    let v6 = advert(Version::V3, Family::V6, 10);
    let len = v6
        .emit(&[VIP_V6.into()], Auth::None, ChecksumForm::MessageOnly, &FRR_V3_V6_ENDPOINTS, &mut buffer)
        .unwrap();
    assert_eq!(buffer[..len], FRR_V3_V6);
    let v2 = advert(Version::V2, Family::V4, 100);
    let len = v2.emit(&[VIP.into()], PASSWORD, ChecksumForm::PseudoHeader, &TO_GROUP, &mut buffer).unwrap();
    assert_eq!(buffer[..len], KEEPALIVED_V2_PASS);
}

#[test]
fn the_ipv4_header_is_keepalives() {
    assert_eq!(ipv4::header(ROUTER, crate::types::MULTICAST_V4, 255, 1, 20), KEEPALIVED_IPV4_HEADER);
}

#[test]
fn s06_the_interval_is_twelve_bits() {
    let mut bytes = KEEPALIVED_V3_V4;
    bytes[4] = 0xf0;
    assert_eq!(Packet::new_checked(&bytes, Family::V4).unwrap().interval_cs(), 10);
    bytes[4..6].copy_from_slice(&[0x5f, 0xff]);
    assert_eq!(Packet::new_checked(&bytes, Family::V4).unwrap().interval_cs(), 4095);

    let mut buffer = [0; 12];
    let form = ChecksumForm::PseudoHeader;
    advert(Version::V3, Family::V4, 4095)
        .emit(&[VIP.into()], Auth::None, form, &TO_GROUP, &mut buffer)
        .unwrap();
    assert_eq!(buffer[4..6], [0x0f, 0xff]);
}

#[test]
fn what_is_not_an_advert() {
    let changed = |at: usize, value: u8| {
        let mut bytes = KEEPALIVED_V3_V4;
        bytes[at] = value;
        Packet::new_checked(&bytes, Family::V4).err()
    };
    assert_eq!(changed(0, 0x11), Some(Malformed::Version));
    assert_eq!(changed(0, 0x41), Some(Malformed::Version));
    assert_eq!(changed(0, 0x30), Some(Malformed::Type));
    assert_eq!(changed(0, 0x3e), Some(Malformed::Type));
    assert_eq!(changed(1, 0), Some(Malformed::Vrid));
    assert_eq!(changed(3, 0), Some(Malformed::NoAddresses));
    assert_eq!(changed(3, 1), Some(Malformed::Length));
    assert_eq!(changed(3, 3), Some(Malformed::Length));
    assert_eq!(changed(3, 255), Some(Malformed::Length));
    assert_eq!(changed(0, 0x21), Some(Malformed::Length));
    assert_eq!(changed(2, 0), None);
    assert_eq!(Packet::new_checked(&KEEPALIVED_V2_NONE, Family::V6).err(), Some(Malformed::Version));
    assert_eq!(Packet::new_checked(&[], Family::V4).err(), Some(Malformed::Header));
}

#[test]
fn every_truncation_is_noticed() {
    for (bytes, family) in [
        (&KEEPALIVED_V2_PASS[..], Family::V4),
        (&KEEPALIVED_V2_NONE[..], Family::V4),
        (&KEEPALIVED_V3_V4[..], Family::V4),
        (&KEEPALIVED_V3_V6[..], Family::V6),
    ] {
        for len in 0..bytes.len() {
            let expected = if len < HEADER_LEN { Malformed::Header } else { Malformed::Length };
            assert_eq!(Packet::new_checked(&bytes[..len], family).err(), Some(expected), "{len} bytes");
        }
    }
}

#[test]
fn what_cannot_be_written() {
    let form = ChecksumForm::PseudoHeader;
    let v3 = advert(Version::V3, Family::V4, 10);
    let emit = |advert: Advert, addresses: &[IpAddr], endpoints: &Endpoints, len: usize| {
        advert.emit(addresses, Auth::None, form, endpoints, &mut std::vec![0; len]).err()
    };
    let to = &TO_GROUP;
    assert_eq!(emit(v3, &[VIP.into()], to, 12), None);
    assert_eq!(emit(v3, &[VIP.into()], to, 11), Some(EmitError::Buffer));
    assert_eq!(emit(v3, &[], to, 100), Some(EmitError::AddressCount));
    assert_eq!(emit(v3, &[VIP.into(); 255], to, MAX_LEN), None);
    assert_eq!(emit(v3, &[VIP.into(); 256], to, MAX_LEN), Some(EmitError::AddressCount));
    assert_eq!(emit(v3, &[VIP_V6.into()], to, 100), Some(EmitError::Family));
    assert_eq!(emit(v3, &[VIP.into()], &FRR_V3_V6_ENDPOINTS, 100), Some(EmitError::Family));
    let v2_over_ipv6 = advert(Version::V2, Family::V6, 100);
    assert_eq!(emit(v2_over_ipv6, &[VIP_V6.into()], &FRR_V3_V6_ENDPOINTS, 100), Some(EmitError::Family));
    let fraction = advert(Version::V2, Family::V4, 150);
    assert_eq!(emit(fraction, &[VIP.into()], to, 100), Some(EmitError::Interval));
}

proptest! {
    #[test]
    fn what_is_written_reads_back(sent in any_sent()) {
        let bytes = sent.bytes();
        let packet = Packet::new_checked(&bytes, sent.advert.family).unwrap();
        prop_assert_eq!(packet.vrid(), sent.advert.vrid);
        prop_assert_eq!(packet.version(), sent.advert.version);
        prop_assert_eq!(packet.family(), sent.advert.family);
        prop_assert_eq!(packet.priority(), sent.advert.priority);
        prop_assert_eq!(packet.interval_cs(), sent.advert.interval.get());
        prop_assert_eq!(usize::from(packet.address_count()), sent.addresses.len());
        prop_assert_eq!(packet.addresses().len(), sent.addresses.len());
        prop_assert!(packet.addresses().eq(sent.addresses.iter().copied()));
        // A message whose two forms agree is read as the first.
        let form = packet.checksum_form(&sent.endpoints);
        prop_assert!(form == Some(sent.form) || form == Some(ChecksumForm::PseudoHeader));
    }

    #[test]
    fn s14_arbitrary_bytes_are_read_within_their_bounds(
        head in prop::collection::vec(any::<u8>(), 0..9),
        first in prop_oneof![Just(0x21), Just(0x31), any::<u8>()],
        count in prop_oneof![Just(0u8), Just(1), Just(255), any::<u8>()],
        tail in prop::collection::vec(any::<u8>(), 0..200),
        v6 in any::<bool>(),
    ) {
        let family = if v6 { Family::V6 } else { Family::V4 };
        let mut bytes = head;
        bytes.extend(tail);
        if let Some(byte) = bytes.get_mut(0) { *byte = first }
        if let Some(byte) = bytes.get_mut(3) { *byte = count }
        if let Ok(packet) = Packet::new_checked(&bytes, family) {
            prop_assert_eq!(packet.addresses().count(), usize::from(packet.address_count()));
            let auth = packet.auth_data().map_or(0, |data| data.len());
            prop_assert_eq!(HEADER_LEN + packet.addresses().len() * address_len(family) + auth, bytes.len());
        }
    }
}

#[test]
fn intervals_that_a_version_cannot_carry_are_not_sent() {
    let endpoints =
        Endpoints::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), IpAddr::V4(crate::types::MULTICAST_V4))
            .unwrap();
    let addresses = [IpAddr::V4(Ipv4Addr::new(192, 0, 2, 9))];
    let emit = |version, centis| {
        let advert = Advert {
            vrid: Vrid::new(1).unwrap(),
            priority: 100,
            interval: Centis::new(centis).unwrap(),
            version,
            family: Family::V4,
        };
        advert.emit(&addresses, Auth::None, ChecksumForm::MessageOnly, &endpoints, &mut [0; MAX_LEN])
    };
    assert_eq!(emit(Version::V3, 4095), Ok(12));
    assert_eq!(emit(Version::V3, 4096), Err(EmitError::Interval));
    assert_eq!(emit(Version::V2, 25_500), Ok(20));
    assert_eq!(emit(Version::V2, 50), Err(EmitError::Interval));
}

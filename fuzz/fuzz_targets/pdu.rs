//! Any PDU from any sender: reading it neither panics nor reads beyond its end, and whatever is accepted can
//! be judged again with the same result.
#![cfg_attr(feature = "link", no_main)]

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ha_common::{
    packet::{Auth, Endpoints},
    types::{Centis, Family, Version, Vrid},
    validate::{Meta, Rules, Transport, standard_group, validate},
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, u8, u8, &[u8])| {
    let (kind, vrid, ttl, pdu) = input;
    let (family, version) = match kind % 3 {
        0 => (Family::V4, Version::V2),
        1 => (Family::V4, Version::V3),
        _ => (Family::V6, Version::V3),
    };
    let Some(vrid) = Vrid::new(vrid) else { return };
    let source: IpAddr = match family {
        Family::V4 => Ipv4Addr::new(172, 16, 1, 3).into(),
        Family::V6 => Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 3).into(),
    };
    let group = standard_group(family);
    let Some(endpoints) = Endpoints::new(source, group) else { return };
    let Some(interval) = Centis::new(100) else { return };
    let auth = if kind & 0x80 == 0 { Auth::None } else { Auth::Password(*b"12345\0\0\0") };
    let transport = Transport::Multicast { group, sources: &[] };
    let rules = Rules {
        vrid,
        family,
        version,
        interval,
        auth,
        transport,
        addresses: &[group],
        any_addresses: true,
        own_addresses: &[],
    };
    let meta = Meta { endpoints, ttl };
    let judged = validate(&rules, &meta, pdu);
    assert_eq!(judged, validate(&rules, &meta, pdu));
    if let Ok(judged) = judged {
        assert_eq!((judged.advert.vrid, judged.source), (vrid, source));
        assert_eq!(ttl, 255);
    }
});

#[cfg(not(feature = "link"))]
fn main() {}

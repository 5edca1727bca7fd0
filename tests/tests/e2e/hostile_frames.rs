//! Frames that a router must not believe, and unusual ones that it must.
//!
//! Each bad frame is the real master's advert, source address and password included, with one thing wrong.
//! The IP header is built here byte by byte, because most of what is wrong cannot be said to a library.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::{Result, anyhow};
use ha_common::checksum::Sum;
use ha_common::packet::{Advert, Auth, ChecksumForm, Endpoints, MAX_LEN};
use ha_common::types::{Centis, Family, MULTICAST_V4, MULTICAST_V6, Version, Vrid};
use ha_tests::lab::HostSpec;

/// The instances that [`config`] makes.
pub(crate) const V2: u8 = 9;
pub(crate) const V3: u8 = 20;
pub(crate) const UNICAST: u8 = 30;
pub(crate) const V6: u8 = 40;

/// Four instances, each of another kind, on `ens160`; `peer` is the other router.
pub(crate) fn config(priority: u8, peer: &HostSpec, xdp_mode: &str) -> String {
    let pass = "authentication { auth_type PASS\n auth_pass 1111\n }";
    let instance = |name: &str, vrid: u8, vip: &str, more: &str| {
        format!(
            "vrrp_instance {name} {{\n interface ens160\n virtual_router_id {vrid}\n priority {priority}\n \
             advert_int 1\n virtual_ipaddress {{ {vip} }}\n {more}\n}}\n"
        )
    };
    let unicast = format!("{pass}\n check_unicast_src\n unicast_peer {{ {} }}", peer.v4);
    format!(
        "global_defs {{ xdp_mode {xdp_mode} }}\n{}{}{}{}",
        instance("VI_2", V2, "172.16.1.25", pass),
        instance("VI_3", V3, "172.16.1.26", "version 3"),
        instance("VI_U", UNICAST, "172.16.1.27", &unicast),
        instance("VI_6", V6, "fe80::25", "version 3\n native_ipv6"),
    )
}

/// A VRRP packet in an Ethernet frame, every part of which can be wrong.
#[derive(Clone, Debug)]
pub(crate) struct Packet {
    pub(crate) source_mac: [u8; 6],
    /// Instead of the one that belongs to the IP destination.
    pub(crate) destination_mac: Option<[u8; 6]>,
    pub(crate) endpoints: Endpoints,
    pub(crate) ttl: u8,
    /// IPv4 options, or IPv6 extension headers each of which is complete but for its next-header byte.
    pub(crate) options: Vec<u8>,
    /// Flags and fragment offset of an IPv4 header.
    pub(crate) fragment: u16,
    /// Total length in the IP header less the true one.
    pub(crate) length_error: i16,
    pub(crate) bad_header_checksum: bool,
    pub(crate) tags: Vec<u16>,
    pub(crate) padding: usize,
    pub(crate) pdu: Vec<u8>,
}

impl Packet {
    /// One with which nothing is wrong.
    pub(crate) fn new(source_mac: [u8; 6], endpoints: Endpoints, pdu: Vec<u8>) -> Self {
        Self {
            source_mac,
            destination_mac: None,
            endpoints,
            ttl: 255,
            options: Vec::new(),
            fragment: 0,
            length_error: 0,
            bad_header_checksum: false,
            tags: Vec::new(),
            padding: 0,
            pdu,
        }
    }

    /// The frame.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut frame = self.destination_mac().to_vec();
        frame.extend(self.source_mac);
        for tag in &self.tags {
            frame.extend(0x8100_u16.to_be_bytes());
            frame.extend(tag.to_be_bytes());
        }
        match self.endpoints {
            Endpoints::V4 { source, destination } => self.ipv4(&mut frame, source, destination),
            Endpoints::V6 { source, destination } => self.ipv6(&mut frame, source, destination),
        }
        frame.extend(&self.pdu);
        frame.resize(frame.len() + self.padding, 0xee);
        frame
    }

    fn destination_mac(&self) -> [u8; 6] {
        if let Some(mac) = self.destination_mac {
            return mac;
        }
        match self.endpoints.destination() {
            IpAddr::V4(group) if group.is_multicast() => {
                let [_, b, c, d] = group.octets();
                [1, 0, 0x5e, b & 0x7f, c, d]
            }
            IpAddr::V6(group) if group.is_multicast() => {
                let octets = group.octets();
                [0x33, 0x33, octets[12], octets[13], octets[14], octets[15]]
            }
            // The lab's hosts have the last byte of their address in the MAC.
            IpAddr::V4(host) => [2, 0, 0, 0, 0, host.octets()[3]],
            IpAddr::V6(host) => [2, 0, 0, 0, 0, host.octets()[15]],
        }
    }

    fn ipv4(&self, frame: &mut Vec<u8>, source: Ipv4Addr, destination: Ipv4Addr) {
        let header_len = 20 + self.options.len();
        let total = i64::try_from(header_len + self.pdu.len()).unwrap_or(0) + i64::from(self.length_error);
        let mut header = vec![0x40 | u8::try_from(header_len / 4).unwrap_or(0), 0xc0];
        header.extend(u16::try_from(total).unwrap_or(0).to_be_bytes());
        header.extend([0, 7]);
        header.extend(self.fragment.to_be_bytes());
        header.extend([self.ttl, 112, 0, 0]);
        header.extend(source.octets());
        header.extend(destination.octets());
        header.extend(&self.options);
        let sum = Sum::new().with(&header).checksum() ^ u16::from(self.bad_header_checksum);
        header[10..12].copy_from_slice(&sum.to_be_bytes());
        frame.extend([8, 0]);
        frame.extend(header);
    }

    fn ipv6(&self, frame: &mut Vec<u8>, source: Ipv6Addr, destination: Ipv6Addr) {
        const DESTINATION_OPTIONS: u8 = 60;
        let length =
            i64::try_from(self.options.len() + self.pdu.len()).unwrap_or(0) + i64::from(self.length_error);
        let mut options = self.options.clone();
        let extensions = options.len() / 8;
        for (at, extension) in options.chunks_mut(8).enumerate() {
            extension[0] = if at + 1 == extensions { 112 } else { DESTINATION_OPTIONS };
        }
        frame.extend([0x86, 0xdd, 0x6c, 0, 0, 0]);
        frame.extend(u16::try_from(length).unwrap_or(0).to_be_bytes());
        frame.extend([if extensions > 0 { DESTINATION_OPTIONS } else { 112 }, self.ttl]);
        frame.extend(source.octets());
        frame.extend(destination.octets());
        frame.extend(options);
    }

    /// The same with another PDU.
    fn pdu(&self, change: impl FnOnce(&mut Vec<u8>)) -> Self {
        let mut packet = self.clone();
        change(&mut packet.pdu);
        packet
    }

    /// The same with another PDU whose checksum is right.
    pub(crate) fn content(&self, change: impl FnOnce(&mut Vec<u8>)) -> Self {
        let mut packet = self.pdu(change);
        packet.pdu[6..8].fill(0);
        let start = match (packet.pdu[0] >> 4, self.endpoints.family()) {
            (2, Family::V4) => Sum::new(),
            _ => Sum::pseudo_header(&packet.endpoints, 112, packet.pdu.len()),
        };
        let sum = start.with(&packet.pdu).checksum();
        packet.pdu[6..8].copy_from_slice(&sum.to_be_bytes());
        packet
    }

    fn with(&self, change: impl FnOnce(&mut Self)) -> Self {
        let mut packet = self.clone();
        change(&mut packet);
        packet
    }

    /// The same, sent to another address; the PDU of a VRRPv2 advert does not depend on it.
    fn to(&self, destination: Ipv4Addr) -> Self {
        self.with(|packet| {
            if let Endpoints::V4 { destination: to, .. } = &mut packet.endpoints {
                *to = destination;
            }
        })
    }
}

/// The adverts that the master `from` sends to `to`, as [`config`] has it send them.
#[derive(Debug)]
pub(crate) struct Genuine {
    pub(crate) v2: Packet,
    pub(crate) v3: Packet,
    pub(crate) unicast: Packet,
    pub(crate) v6: Packet,
}

impl Genuine {
    pub(crate) fn new(from: &HostSpec, to: &HostSpec, link_local: Ipv6Addr, priority: u8) -> Result<Self> {
        let auth = Auth::Password(*b"1111\0\0\0\0");
        let multicast = Endpoints::V4 { source: from.v4, destination: MULTICAST_V4 };
        let build = |vrid, version, auth, endpoints: Endpoints, vip: &str| -> Result<Packet> {
            let advert = Advert {
                vrid: Vrid::new(vrid).ok_or_else(|| anyhow!("VRID {vrid}"))?,
                priority,
                interval: Centis::DEFAULT,
                version,
                family: endpoints.family(),
            };
            let mut pdu = vec![0; MAX_LEN];
            let length = advert
                .emit(&[vip.parse()?], auth, ChecksumForm::PseudoHeader, &endpoints, &mut pdu)
                .map_err(|error| anyhow!("{error}"))?;
            pdu.truncate(length);
            Ok(Packet::new(from.mac, endpoints, pdu))
        };
        Ok(Self {
            v2: build(V2, Version::V2, auth, multicast, "172.16.1.25")?,
            v3: build(V3, Version::V3, Auth::None, multicast, "172.16.1.26")?,
            unicast: build(
                UNICAST,
                Version::V2,
                auth,
                Endpoints::V4 { source: from.v4, destination: to.v4 },
                "172.16.1.27",
            )?,
            v6: build(
                V6,
                Version::V3,
                Auth::None,
                Endpoints::V6 { source: link_local, destination: MULTICAST_V6 },
                "fe80::25",
            )?,
        })
    }
}

/// A frame that refreshes nothing, and the counter that says so.
#[derive(Clone, Debug)]
pub(crate) struct Bad {
    pub(crate) name: &'static str,
    pub(crate) packet: Packet,
    /// Where frames are read through XDP.
    pub(crate) xdp: &'static str,
    /// Where they are read from sockets; `None` where the kernel does not deliver them.
    pub(crate) socket: Option<&'static str>,
}

/// Every kind of frame that must be rejected. `own` is the victim's own address.
pub(crate) fn bad(genuine: &Genuine, own: Ipv4Addr, stranger: Ipv4Addr) -> Vec<Bad> {
    let Genuine { v2, v3, unicast, v6 } = genuine;
    let mut list = Vec::new();
    let mut add = |name, packet: Packet, xdp, socket| list.push(Bad { name, packet, xdp, socket });
    let mut both = |name, packet, counter| add(name, packet, counter, Some(counter));

    both("s09 TTL 254", v2.with(|p| p.ttl = 254), "bad_ttl");
    both("s09 hop limit 64", v6.with(|p| p.ttl = 64), "bad_ttl");
    both("s12 version 3 at version 2", v3.content(|pdu| pdu[1] = V2), "bad_version");
    both("s12 version 2 at version 3", v2.content(|pdu| pdu[1] = V3), "bad_version");
    both("s12 version 4", v2.content(|pdu| pdu[0] = 0x41), "bad_version");
    both("s12 type 2", v2.content(|pdu| pdu[0] = 0x22), "bad_type");
    both("s13 version 3 with eight trailing bytes", v3.content(|pdu| pdu.extend([0; 8])), "bad_length");
    both("s13 version 2 without authentication data", v2.content(|pdu| pdu.truncate(12)), "bad_length");
    both("s14 address count 0", v2.content(|pdu| pdu[3] = 0), "no_addresses");
    both("s14 address count 255", v6.content(|pdu| pdu[3] = 255), "bad_length");
    both(
        "s16 another password",
        v2.content(|pdu| pdu[12..20].copy_from_slice(b"2222\0\0\0\0")),
        "auth_failure",
    );
    both(
        "s16 another password with the same checksum",
        v2.pdu(|pdu| pdu[12..20].copy_from_slice(b"\0\0\0\x001111")),
        "auth_failure",
    );
    both("s16 no authentication", v2.content(|pdu| pdu[4] = 0), "auth_type_mismatch");
    both("s16 authentication type 9", v2.content(|pdu| pdu[4] = 9), "invalid_auth_type");
    both("s17 CARP", v2.with(|p| p.pdu = carp()), "carp");
    both("s19 unicast at multicast", v2.to(own), "unicast_at_multicast");
    both("s19 multicast at unicast", unicast.to(MULTICAST_V4), "multicast_at_unicast");
    let unknown_peer = unicast.with(|p| p.endpoints = Endpoints::V4 { source: stranger, destination: own });
    both("s19 not a peer", unknown_peer, "unknown_peer");
    both("s20 checksum", v2.pdu(|pdu| pdu[7] ^= 1), "bad_checksum");
    both("s21 checksum", v3.pdu(|pdu| pdu[7] ^= 1), "bad_checksum");
    both("s20 checksum over IPv6", v6.pdu(|pdu| pdu[7] ^= 1), "bad_checksum");
    both("s06 interval 0", v3.content(|pdu| pdu[4..6].fill(0)), "bad_interval");
    both("s05 another interval", v2.content(|pdu| pdu[5] = 2), "interval_mismatch");
    // Of low priority: the other router is not to take it for a better master.
    let from_us = v2.with(|p| p.endpoints = Endpoints::V4 { source: own, destination: MULTICAST_V4 });
    let from_us = from_us.content(|pdu| pdu[2] = 1);
    both("s18 another VRID", v2.content(|pdu| pdu[1] = 99), "unknown_vrid");
    // The kernel does not deliver these to a socket.
    add("s26 from our own address", from_us, "own_packet", None);
    add("s18 another group", v2.to(Ipv4Addr::new(224, 0, 0, 19)), "other_group", None);
    // Flooded by a switch: addressed to another host, but delivered here.
    let elsewhere = unicast.to(Ipv4Addr::new(172, 16, 1, 77)).with(|p| p.destination_mac = Some([0xff; 6]));
    add("s18 another destination", elsewhere, "other_destination", None);
    add("s18 in a VLAN", v2.with(|p| p.tags = vec![5]), "other_vlan", None);
    add("s18 first fragment", v2.with(|p| p.fragment = 0x2000), "fragment", None);
    add("s18 later fragment", v2.with(|p| p.fragment = 8), "fragment", None);
    add("s11 longer than the frame", v2.with(|p| p.length_error = 40), "truncated", None);
    add("s11 shorter than VRRP", v2.with(|p| p.length_error = -16), "truncated", Some("bad_length"));
    add("s18 header checksum", v2.with(|p| p.bad_header_checksum = true), "bad_checksum", None);
    let extensions = [0, 0, 1, 4, 0, 0, 0, 0].repeat(6);
    // Here the kernel reads on where the XDP program gives up.
    add(
        "s18 six extension headers",
        v6.with(|p| p.options = extensions),
        "extension_headers",
        Some("accepted"),
    );
    list
}

/// CARP of OpenBSD: advbase 1, advskew 0, VHID 9, a counter and a digest.
fn carp() -> Vec<u8> {
    let mut pdu = vec![0x21, V2, 0, 7, 0, 1, 0, 0];
    pdu.extend([0x5a; 28]);
    let sum = Sum::new().with(&pdu).checksum();
    pdu[6..8].copy_from_slice(&sum.to_be_bytes());
    pdu
}

/// The same advert in unusual clothes: all of them count as the master's.
pub(crate) fn unusual(genuine: &Genuine) -> Vec<(&'static str, Packet)> {
    let Genuine { v2, v3, v6, .. } = genuine;
    vec![
        // A router alert option (RFC 2113).
        ("s10 IPv4 options", v2.with(|p| p.options = vec![0x94, 4, 0, 0])),
        ("s11 Ethernet padding", v2.with(|p| p.padding = 6)),
        ("s11 much padding", v3.with(|p| p.padding = 700)),
        ("priority tag", v2.with(|p| p.tags = vec![0xe000])),
        (
            "s21 checksum over the message only",
            v3.pdu(|pdu| {
                pdu[6..8].fill(0);
                let sum = Sum::new().with(pdu).checksum();
                pdu[6..8].copy_from_slice(&sum.to_be_bytes());
            }),
        ),
        ("s06 reserved nibble", v3.content(|pdu| pdu[4] |= 0xf0)),
        ("IPv6 destination options", v6.with(|p| p.options = vec![0, 0, 1, 4, 0, 0, 0, 0])),
    ]
}

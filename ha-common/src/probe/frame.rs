//! Whole Ethernet frames for the prober's packet socket.

use core::net::IpAddr;

use super::{AT_SEQUENCE, AT_TAG, Addresses, Body, HOP_LIMIT, Key, LEN, Probe, put, seal};
use crate::checksum::Sum;
use crate::types::IPPROTO_VRRP;

/// Ethernet, IPv6 and probe.
pub const MAX_FRAME: usize = ETHERNET + IPV6 + LEN;

const ETHERNET: usize = 14;
const IPV4: usize = 20;
const IPV6: usize = 40;

/// DSCP CS6, as adverts have it.
const TRAFFIC_CLASS: u8 = 0xc0;

/// A probe to one peer, written once and renewed for each sending.
#[derive(Clone, Debug)]
pub struct ProbeFrame {
    bytes: [u8; MAX_FRAME],
    addresses: Addresses,
    key: Option<Key>,
    probe: Probe,
}

impl ProbeFrame {
    /// A frame from MAC to MAC and from address to address; `None` for addresses of two families.
    ///
    /// No VLAN tag: the kernel adds it where the socket is bound to the VLAN's interface. IPv4 with "don't fragment"
    /// and identification 0 (RFC 6864 section 4.1).
    #[must_use]
    pub fn new(
        macs: ([u8; 6], [u8; 6]),
        ips: (IpAddr, IpAddr),
        probe: Probe,
        key: Option<Key>,
    ) -> Option<Self> {
        let (source_mac, destination_mac) = macs;
        let mut bytes = [0; MAX_FRAME];
        let (ethernet, ip) = bytes.split_first_chunk_mut::<ETHERNET>()?;
        let (to, rest) = ethernet.split_first_chunk_mut::<6>()?;
        let (from, ether_type) = rest.split_first_chunk_mut::<6>()?;
        *to = destination_mac;
        *from = source_mac;
        let addresses = match ips {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                ether_type.copy_from_slice(&[0x08, 0x00]);
                let (source, destination) = (source.octets(), destination.octets());
                *ip.first_chunk_mut()? = ipv4(source, destination);
                Addresses::V4 { source, destination }
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                ether_type.copy_from_slice(&[0x86, 0xdd]);
                let (source, destination) = (source.octets(), destination.octets());
                *ip.first_chunk_mut()? = ipv6(source, destination);
                Addresses::V6 { source, destination }
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return None,
        };
        let mut frame = Self { bytes, addresses, key, probe };
        *frame.body_mut()? = *probe.emit(key, &addresses);
        Some(frame)
    }

    /// The frame with another sequence number and its tag.
    pub fn renew(&mut self, sequence: u64) -> &[u8] {
        self.probe.sequence = sequence;
        let (key, addresses) = (self.key, self.addresses);
        if let Some(bytes) = self.body_mut() {
            let mut body = Body::from(*bytes);
            put(&mut body, AT_SEQUENCE, sequence);
            seal(&mut body, key, &addresses);
            *bytes = *body;
        }
        self.bytes()
    }

    /// What goes on the wire.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.body_at() + LEN).unwrap_or(&self.bytes)
    }

    /// The probe in it.
    #[must_use]
    pub const fn probe(&self) -> Probe {
        self.probe
    }

    const fn body_at(&self) -> usize {
        match self.addresses {
            Addresses::V4 { .. } => ETHERNET + IPV4,
            Addresses::V6 { .. } => ETHERNET + IPV6,
        }
    }

    fn body_mut(&mut self) -> Option<&mut [u8; LEN]> {
        let at = self.body_at();
        self.bytes.get_mut(at..)?.first_chunk_mut()
    }
}

const _: () = assert!(AT_TAG + 8 == LEN);

fn ipv4([s0, s1, s2, s3]: [u8; 4], [d0, d1, d2, d3]: [u8; 4]) -> [u8; IPV4] {
    #[rustfmt::skip]
    let mut header = [
        0x45, TRAFFIC_CLASS, 0, 100, // 20 bytes and the probe
        0, 0, 0x40, 0,
        HOP_LIMIT, IPPROTO_VRRP, 0, 0,
        s0, s1, s2, s3,
        d0, d1, d2, d3,
    ];
    [header[10], header[11]] = Sum::new().with(&header).checksum().to_be_bytes();
    header
}

fn ipv6(source: [u8; 16], destination: [u8; 16]) -> [u8; IPV6] {
    let mut header = [0; IPV6];
    let start = [0x60 | TRAFFIC_CLASS >> 4, (TRAFFIC_CLASS & 0xf) << 4, 0, 0, 0, 80, IPPROTO_VRRP, HOP_LIMIT];
    let parts = start.into_iter().chain(source).chain(destination);
    for (byte, from) in header.iter_mut().zip(parts) {
        *byte = from;
    }
    header
}

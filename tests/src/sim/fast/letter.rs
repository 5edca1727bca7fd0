//! An advert on the wire, whoever wrote it: what it says, the bytes of that, and what receivers make of them.
//!
//! The bytes are judged by [`ha_common::validate`] where a daemon runs, and by [`ha_common::fence::Claim`] where none
//! does, as the daemon and the XDP program do.

use std::net::{IpAddr, Ipv4Addr};

use ha_common::announce;
use ha_common::classify::Packet;
use ha_common::fence::Claim;
use ha_common::packet::{AUTH_LEN, Advert, Auth, ChecksumForm, Endpoints, HEADER_LEN};
use ha_common::probe::Secret;
use ha_common::time::{Span, Time};
use ha_common::types::{ADVERT_TTL, Centis, Family, Version};
use ha_common::validate::{Judged, Meta, Rules, Transport, standard_group, validate};

use super::host::{Host, address};
use super::kernel::vrid;
use super::world::HOSTS;

/// The virtual address.
pub(super) const OURS: u8 = 100;

/// Bytes of the longest PDU with one address.
const MAX: usize = HEADER_LEN + 4 + AUTH_LEN;

/// How the routers of a cluster speak.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ways {
    pub(super) version: Version,
    pub(super) auth: Auth,
    /// Only adverts of the cluster's hosts count (`check_source`).
    pub(super) listed: bool,
    /// What the key of probes comes from.
    pub(super) secret: Option<Secret>,
    /// Adverts and addresses have the virtual MAC address.
    pub(super) virtual_mac: bool,
    pub(super) garp: announce::Settings,
    /// After a claim: the last burst comes so much later, and how many rounds each has.
    pub(super) again: (Span, u32),
}

/// What an advert says. Two with the same words have the same fingerprint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Letter {
    /// Last byte of the IP source address.
    pub(super) source: u8,
    pub(super) priority: u8,
    pub(super) interval: Centis,
    pub(super) version: Version,
    pub(super) auth: Auth,
    /// Last byte of the virtual address.
    pub(super) address: u8,
}

fn v4(last: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(172, 16, 1, last))
}

/// Hundredths of a second.
pub(super) fn centis(interval: Span) -> Centis {
    u16::try_from(interval.0 / 10_000_000).ok().and_then(Centis::new).unwrap_or(Centis::DEFAULT)
}

impl Letter {
    pub(super) fn of(host: &Host, priority: u8) -> Self {
        Self {
            source: source(host.id),
            priority,
            interval: centis(host.params.interval),
            version: host.ways.version,
            auth: host.ways.auth,
            address: OURS,
        }
    }

    /// The host whose address it comes from, if it is one of the cluster.
    pub(super) fn sender(&self) -> usize {
        (0..HOSTS).find(|&id| source(id) == self.source).unwrap_or(HOSTS)
    }

    fn endpoints(&self) -> Endpoints {
        Endpoints::new(v4(self.source), standard_group(Family::V4)).expect("both are IPv4")
    }

    fn bytes(&self) -> ([u8; MAX], usize) {
        let Self { priority, interval, version, .. } = *self;
        let mut bytes = [0; MAX];
        let advert = Advert { vrid: vrid(), priority, interval, version, family: Family::V4 };
        let form = ChecksumForm::PseudoHeader;
        let len = advert
            .emit(&[v4(self.address)], self.auth, form, &self.endpoints(), &mut bytes)
            .expect("an advert with one address");
        (bytes, len)
    }

    /// What the daemon of `host` makes of it.
    pub(super) fn judged(&self, host: &Host) -> Option<Judged> {
        let sources = [0, 1, 2, 3].map(address);
        let rules = Rules {
            vrid: vrid(),
            family: Family::V4,
            version: host.ways.version,
            interval: centis(host.params.interval),
            auth: host.ways.auth,
            transport: Transport::Multicast {
                group: standard_group(Family::V4),
                sources: if host.ways.listed { &sources } else { &[] },
            },
            addresses: &[v4(OURS)],
            any_addresses: false,
            own_addresses: &[address(host.id)],
        };
        let (bytes, len) = self.bytes();
        let meta = Meta { endpoints: self.endpoints(), ttl: ADVERT_TTL };
        validate(&rules, &meta, &bytes[..len]).ok()
    }

    /// Whether it says, to the program of a host that nobody runs, that another router has taken over. `known` are the
    /// senders of adverts that were accepted.
    pub(super) fn supersedes(&self, host: &Host, known: &[u8], now: Time) -> bool {
        let (bytes, len) = self.bytes();
        let [kind, _, priority, addresses] = [bytes[0], bytes[1], bytes[2], bytes[3]];
        let Ways { version, auth, listed, .. } = host.ways;
        let claim = Claim {
            kind: (version.number() << 4) | 1,
            proven: kind >> 4 != 2 || self.auth == auth,
            known: if listed { self.sender() < HOSTS } else { known.contains(&self.source) },
            peers_only: listed,
            ours: self.address == OURS,
            restarting: now < host.kernel.restart_until,
            priority: host.effective().get(),
            foreign: self.source != source(host.id),
            multicast: true,
            unicast_router: false,
            start: [kind, vrid().get(), priority, addresses],
        };
        let (ip_at, pdu_at) = (14, 20);
        let packet = Packet {
            family: Family::V4,
            vrid: vrid(),
            ip_at,
            ip_len: pdu_at + len,
            pdu_at,
            pdu_len: len,
            ttl: ADVERT_TTL,
            authenticated: false,
        };
        claim.is_master(&packet)
    }
}

/// Last byte of a host's address.
pub(super) fn source(id: usize) -> u8 {
    u8::try_from(id + 11).unwrap_or(u8::MAX)
}

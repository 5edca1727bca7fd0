//! An advert on the wire, whoever wrote it: what it says, the bytes of that, and what receivers make of them.
//!
//! The bytes are judged by [`ha_common::validate`] where a daemon runs, and by [`ha_common::fence::Claim`] where none
//! does, as the daemon and the XDP program do.

use ha_common::classify::Packet;
use ha_common::fence::Claim;
use ha_common::packet::{AUTH_LEN, Advert, Auth, ChecksumForm, Endpoints, HEADER_LEN};
use ha_common::time::Span;
use ha_common::types::{ADVERT_TTL, Centis, Family, Version};
use ha_common::validate::{Judged, Meta, Rules, Transport, standard_group, validate};

use super::place::{HOSTS, Place, address, address_of, host_with, last_byte};

/// Last byte of the virtual addresses.
pub(super) const OURS: u8 = 100;

/// Bytes of the longest PDU with one address.
const MAX: usize = HEADER_LEN + 16 + AUTH_LEN;

/// How a host's virtual router speaks, and what it accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Terms {
    pub(super) place: Place,
    pub(super) version: Version,
    pub(super) interval: Span,
    pub(super) auth: Auth,
    /// Only adverts of the cluster's hosts count (`check_source`).
    pub(super) listed: bool,
    /// Last byte of the virtual address.
    pub(super) address: u8,
}

/// What an advert says. Two with the same words have the same fingerprint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Letter {
    pub(super) place: Place,
    /// Last byte of the IP source address.
    pub(super) source: u8,
    pub(super) priority: u8,
    pub(super) interval: Centis,
    pub(super) version: Version,
    pub(super) auth: Auth,
    /// Last byte of the virtual address.
    pub(super) address: u8,
}

/// What a program judges adverts by while nobody runs it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Description {
    pub(super) terms: Terms,
    pub(super) id: usize,
    /// Of the host as master.
    pub(super) priority: u8,
}

/// Hundredths of a second.
fn centis(interval: Span) -> Centis {
    u16::try_from(interval.0 / 10_000_000).ok().and_then(Centis::new).unwrap_or(Centis::DEFAULT)
}

impl Letter {
    /// A host's own.
    pub(super) fn of(terms: &Terms, id: usize, priority: u8) -> Self {
        let Terms { place, version, interval, auth, address, .. } = *terms;
        Self { place, source: last_byte(id), priority, interval: centis(interval), version, auth, address }
    }

    /// The host whose address it comes from, if it is one of the cluster.
    pub(super) fn sender(&self) -> Option<usize> {
        host_with(self.source)
    }

    /// Statement 25: whether a master must yield to it.
    pub(super) fn outranks(&self, priority: u8, id: usize) -> bool {
        (self.priority, self.source) > (priority, last_byte(id))
    }

    fn family(&self) -> Family {
        self.place.1
    }

    fn endpoints(&self) -> Endpoints {
        let family = self.family();
        Endpoints::new(address(self.source, family), standard_group(family)).expect("both are of one family")
    }

    fn bytes(&self) -> ([u8; MAX], usize) {
        let Self { priority, interval, version, place: (_, family, vrid), .. } = *self;
        let mut bytes = [0; MAX];
        let advert = Advert { vrid, priority, interval, version, family };
        let form = ChecksumForm::PseudoHeader;
        let len = advert
            .emit(&[address(self.address, family)], self.auth, form, &self.endpoints(), &mut bytes)
            .expect("an advert with one address");
        (bytes, len)
    }

    /// What the daemon of host `id` makes of it.
    pub(super) fn judged(&self, terms: &Terms, id: usize) -> Option<Judged> {
        let (_, family, vrid) = terms.place;
        if self.place != terms.place {
            return None;
        }
        let sources: [_; HOSTS] = std::array::from_fn(|id| address_of(id, family));
        let rules = Rules {
            vrid,
            family,
            version: terms.version,
            interval: centis(terms.interval),
            auth: terms.auth,
            transport: Transport::Multicast {
                group: standard_group(family),
                sources: if terms.listed { &sources } else { &[] },
            },
            addresses: &[address(terms.address, family)],
            any_addresses: false,
            own_addresses: &[address_of(id, family)],
        };
        let (bytes, len) = self.bytes();
        let meta = Meta { endpoints: self.endpoints(), ttl: ADVERT_TTL };
        validate(&rules, &meta, &bytes[..len]).ok()
    }

    /// Whether it says, to the program of a host that nobody runs, that another router has taken over. `restarting`: the
    /// host is. `known`: whose adverts were accepted there.
    pub(super) fn supersedes(&self, host: &Description, restarting: bool, known: &[u8]) -> bool {
        let (bytes, len) = self.bytes();
        let [kind, _, priority, addresses] = [bytes[0], bytes[1], bytes[2], bytes[3]];
        let Terms { place: (_, family, vrid), version, auth, listed, address, .. } = host.terms;
        let claim = Claim {
            kind: (version.number() << 4) | 1,
            proven: kind >> 4 != 2 || self.auth == auth,
            known: if listed { self.sender().is_some() } else { known.contains(&self.source) },
            peers_only: listed,
            ours: self.address == address,
            restarting,
            priority: host.priority,
            foreign: self.source != last_byte(host.id),
            multicast: true,
            unicast_router: false,
            start: [kind, vrid.get(), priority, addresses],
        };
        let (ip_at, pdu_at) = (14, if family == Family::V4 { 20 } else { 40 });
        let packet = Packet {
            family,
            vrid,
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

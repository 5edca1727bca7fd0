//! Properties of the receive checks over all adverts that a router can send, and over damaged ones.

extern crate std;

use proptest::prelude::*;

use super::*;
use crate::packet::captures::{VIP, VIP_V6};
use crate::packet::generate::{Sent, any_sent};

/// The rules of a router that has the same configuration as the sender of `sent`.
fn rules_of<'a>(sent: &'a Sent, peers: &'a [Peer]) -> Rules<'a> {
    let destination = sent.endpoints.destination();
    Rules {
        vrid: sent.advert.vrid,
        family: sent.advert.family,
        version: sent.advert.version,
        interval: sent.advert.interval,
        auth: sent.auth,
        transport: if is_multicast(destination) {
            Transport::Multicast { group: destination, sources: &[] }
        } else {
            Transport::Unicast { peers, check_source: true }
        },
        addresses: &sent.addresses,
        any_addresses: false,
        own_addresses: &[],
    }
}

fn peers_of(sent: &Sent) -> [Peer; 1] {
    [Peer { address: sent.endpoints.source(), min_ttl: 255, max_ttl: 255 }]
}

/// Sets the checksum so that it is right in the form of `sent`, if there is room for one.
fn seal_as(sent: &Sent, bytes: &mut [u8]) {
    if bytes.len() < 8 {
        return;
    }
    bytes[6..8].fill(0);
    let start = match sent.form {
        ChecksumForm::PseudoHeader => Sum::pseudo_header(&sent.endpoints, IPPROTO_VRRP, bytes.len()),
        ChecksumForm::MessageOnly => Sum::new(),
    };
    let checksum = start.with(bytes).checksum();
    bytes[6..8].copy_from_slice(&checksum.to_be_bytes());
}

proptest! {
    #[test]
    fn what_a_router_sends_its_twin_accepts(sent in any_sent()) {
        let (bytes, peers) = (sent.bytes(), peers_of(&sent));
        let meta = Meta { endpoints: sent.endpoints, ttl: 255 };
        let judged = validate(&rules_of(&sent, &peers), &meta, &bytes);
        let Ok(judged) = judged else { panic!("{judged:?}") };
        prop_assert_eq!(judged.advert, sent.advert);
        prop_assert_eq!(judged.source, sent.endpoints.source());
        prop_assert!(judged.addresses_match);
        prop_assert!(!judged.interval_differs);
    }

    #[test]
    fn order_does_not_matter_and_one_other_address_does(
        (sent, shuffled) in any_sent().prop_flat_map(|sent| {
            let shuffled = Just(sent.addresses.clone()).prop_shuffle();
            (Just(sent), shuffled)
        }),
        at in any::<prop::sample::Index>(),
    ) {
        let (bytes, peers) = (sent.bytes(), peers_of(&sent));
        let meta = Meta { endpoints: sent.endpoints, ttl: 255 };
        let same = Rules { addresses: &shuffled, ..rules_of(&sent, &peers) };
        prop_assert!(validate(&same, &meta, &bytes).unwrap().addresses_match);

        let mut other = shuffled.clone();
        let at = at.index(other.len());
        // An address of the other family is in no packet.
        other[at] = match sent.advert.family { Family::V4 => VIP_V6.into(), Family::V6 => VIP.into() };
        let different = Rules { addresses: &other, any_addresses: true, ..rules_of(&sent, &peers) };
        prop_assert!(!validate(&different, &meta, &bytes).unwrap().addresses_match);
    }

    #[test]
    fn one_changed_byte_is_never_accepted(
        sent in any_sent(),
        at in any::<prop::sample::Index>(),
        change in 1u8..,
    ) {
        let (mut bytes, peers) = (sent.bytes(), peers_of(&sent));
        let at = at.index(bytes.len());
        bytes[at] ^= change;
        let meta = Meta { endpoints: sent.endpoints, ttl: 255 };
        if let Ok(judged) = validate(&rules_of(&sent, &peers), &meta, &bytes) {
            // The price of taking both forms, see validate(): the damage made one form into the other.
            prop_assert_eq!((sent.advert.version, sent.advert.family), (Version::V3, Family::V4));
            prop_assert_ne!(judged.checksum, sent.form);
        }
    }

    #[test]
    fn what_is_accepted_is_what_the_rules_ask_for(
        sent in any_sent(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        in_header in any::<bool>(),
        cut in prop_oneof![8 => Just(0usize), 1 => 0usize..40],
        extra in prop_oneof![8 => Just(0usize), 1 => 0usize..40],
    ) {
        let (mut bytes, peers) = (sent.bytes(), peers_of(&sent));
        for (at, value) in changes {
            let len = if in_header { 8 } else { bytes.len() };
            bytes[at.index(len)] = value;
        }
        bytes.truncate(bytes.len().saturating_sub(cut));
        bytes.resize(bytes.len() + extra, 0);
        seal_as(&sent, &mut bytes);
        let rules = rules_of(&sent, &peers);
        let meta = Meta { endpoints: sent.endpoints, ttl: 255 };
        if let Ok(judged) = validate(&rules, &meta, &bytes) {
            prop_assert_eq!(bytes[0], rules.version.number() << 4 | 1);
            prop_assert_eq!(bytes[1], rules.vrid.get());
            prop_assert_eq!(judged.advert.priority, bytes[2]);
            let count = usize::from(bytes[3]);
            prop_assert!(count > 0);
            prop_assert_eq!(bytes.len(), judged.advert.emitted_len(count));
            if rules.version == Version::V2 {
                prop_assert_eq!(bytes[4], rules.auth.number());
                prop_assert_eq!(u16::from(bytes[5]) * 100, rules.interval.get());
                if let Auth::Password(password) = rules.auth {
                    prop_assert_eq!(&bytes[bytes.len() - 8..], &password);
                }
            } else {
                let interval = u16::from_be_bytes([bytes[4] & 0x0f, bytes[5]]);
                prop_assert_eq!(judged.advert.interval.get(), interval);
                prop_assert_eq!(judged.interval_differs, interval != rules.interval.get());
            }
        }
    }

    #[test]
    fn arbitrary_bytes_are_judged_without_a_panic(
        sent in any_sent(),
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        first in prop_oneof![Just(0x21u8), Just(0x31)],
        ttl in any::<u8>(),
    ) {
        let peers = peers_of(&sent);
        let rules = rules_of(&sent, &peers);
        let meta = Meta { endpoints: sent.endpoints, ttl };
        _ = validate(&rules, &meta, &bytes);
        let mut bytes = bytes;
        if let [a, b, ..] = &mut bytes[..] {
            (*a, *b) = (first, rules.vrid.get());
        }
        seal_as(&sent, &mut bytes);
        _ = validate(&rules, &meta, &bytes);
    }
}

//! Generators of adverts for the property tests of this crate.

extern crate std;

use core::net::IpAddr;
use std::vec::Vec;

use proptest::prelude::*;

use super::{Advert, Auth, ChecksumForm, Endpoints};
use crate::types::{Centis, Family, Version, Vrid};

/// An advert that can be sent, with everything that goes into it.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) advert: Advert,
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) auth: Auth,
    pub(crate) form: ChecksumForm,
    pub(crate) endpoints: Endpoints,
}

impl Sent {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = std::vec![0xa5; self.advert.emitted_len(self.addresses.len())];
        let len = self
            .advert
            .emit(&self.addresses, self.auth, self.form, &self.endpoints, &mut bytes)
            .expect("the strategy makes valid adverts");
        assert_eq!(len, bytes.len());
        bytes
    }
}

/// Every advert that can be sent. The form is the one that ends up on the wire.
pub(crate) fn any_sent() -> impl Strategy<Value = Sent> {
    let kinds = prop_oneof![
        Just((Version::V2, Family::V4)),
        Just((Version::V3, Family::V4)),
        Just((Version::V3, Family::V6)),
    ];
    let address = move |family| match family {
        Family::V4 => any::<[u8; 4]>().prop_map(IpAddr::from).boxed(),
        Family::V6 => any::<[u8; 16]>().prop_map(IpAddr::from).boxed(),
    };
    let count = prop_oneof![4 => 1usize..6, 1 => 1usize..256, 1 => Just(255usize)];
    (kinds, count).prop_flat_map(move |((version, family), count)| {
        let addresses = prop::collection::hash_set(address(family), count);
        let ends = (address(family), prop_oneof![Just(true), Just(false)], address(family));
        let auth = prop_oneof![Just(Auth::None), any::<[u8; 8]>().prop_map(Auth::Password)];
        (addresses, ends, auth, any::<bool>(), 1u8.., any::<u8>(), 1u16..=4095).prop_map(
            move |(addresses, (source, group, other), auth, pseudo, vrid, priority, interval)| {
                let standard = crate::validate::standard_group(family);
                let destination = if group { standard } else { other };
                let interval = match version {
                    Version::V2 => (interval / 100).max(1) * 100,
                    Version::V3 => interval,
                };
                let form = match (version, family) {
                    (Version::V2, _) => ChecksumForm::MessageOnly,
                    (_, Family::V6) => ChecksumForm::PseudoHeader,
                    _ if pseudo => ChecksumForm::PseudoHeader,
                    _ => ChecksumForm::MessageOnly,
                };
                Sent {
                    advert: Advert {
                        vrid: Vrid::new(vrid).unwrap(),
                        priority,
                        interval: Centis::new(interval).unwrap(),
                        version,
                        family,
                    },
                    addresses: addresses.into_iter().collect(),
                    auth,
                    form,
                    endpoints: Endpoints::new(source, destination).unwrap(),
                }
            },
        )
    })
}

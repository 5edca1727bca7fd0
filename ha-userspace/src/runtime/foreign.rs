//! Virtual routers that are not configured here, and whose adverts list an address of ours: whoever mistyped a VRID has
//! two masters for one address.
//!
//! The XDP program hands up one advert of each unknown VRID. Those that are remembered here are listened to again ten
//! times a second at most, the others once a minute: a flood of them costs next to nothing.

use std::net::IpAddr;

use ha_common::time::{Span, Time};
use ha_common::types::{Family, Vrid};

/// VRIDs that are remembered on an interface.
const VRIDS: usize = 8;
/// Between two looks at VRIDs that had none of our addresses when they were first heard.
const AGAIN: Span = Span::from_secs(60);

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ForeignAdvert {
    pub(super) family: Family,
    pub(super) vrid: Vrid,
    pub(super) source: IpAddr,
    /// The first address in it that is ours.
    pub(super) address: IpAddr,
    pub(super) count: u64,
    pub(super) last: Time,
}

/// Those of an interface.
#[derive(Debug, Default)]
pub(super) struct Foreign {
    adverts: Vec<ForeignAdvert>,
    /// When the others were last listened to.
    looked: Time,
}

impl Foreign {
    /// Remembers an advert, unless there is no room for one more VRID.
    pub(super) fn heard(&mut self, new: ForeignAdvert) {
        let same = |known: &&mut ForeignAdvert| (known.family, known.vrid) == (new.family, new.vrid);
        if let Some(known) = self.adverts.iter_mut().find(same) {
            *known = ForeignAdvert { count: known.count + 1, ..new };
        } else if self.adverts.len() < VRIDS {
            self.adverts.push(ForeignAdvert { count: 1, ..new });
        }
    }

    /// All that are remembered.
    pub(super) fn iter(&self) -> impl Iterator<Item = &ForeignAdvert> {
        self.adverts.iter()
    }

    /// Nothing is known any more, as after a reload.
    pub(super) fn forget(&mut self) {
        self.adverts.clear();
    }

    /// Whether it is time to listen to all of them again.
    pub(super) fn is_due(&mut self, now: Time) -> bool {
        let due = now.span_since(self.looked) >= AGAIN;
        if due {
            self.looked = now;
            self.adverts.retain(|known| now.span_since(known.last) < AGAIN);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_vrids_are_remembered_and_those_that_fall_silent_make_room() {
        let mut foreign = Foreign::default();
        let advert = |vrid: u8, seconds: u64| ForeignAdvert {
            family: Family::V4,
            vrid: Vrid::new(vrid).expect("not zero"),
            source: IpAddr::from([172, 16, 1, 2]),
            address: IpAddr::from([172, 16, 1, 25]),
            count: 0,
            last: Time(seconds * 1_000_000_000),
        };
        (1..=12).for_each(|vrid| foreign.heard(advert(vrid, 100)));
        assert_eq!(foreign.iter().count(), VRIDS);
        foreign.heard(advert(3, 130));
        assert_eq!(foreign.iter().find(|known| known.vrid.get() == 3).map(|known| known.count), Some(2));
        assert!(foreign.is_due(Time(161 * 1_000_000_000)));
        assert!(!foreign.is_due(Time(162 * 1_000_000_000)));
        assert_eq!(foreign.iter().count(), 1);
        foreign.heard(advert(12, 163));
        assert_eq!(foreign.iter().count(), 2);
    }
}

//! Who else advertises a virtual router: whose adverts were accepted, and whose were rejected and why.
//!
//! For `status`; nothing is decided by it. It is bounded, whatever arrives.

use std::net::IpAddr;

use ha_common::counter::Counter;
use ha_common::time::{Span, Time};

/// Sources that are remembered; of more, the one that has been silent for longest is forgotten.
const SOURCES: usize = 8;
/// After such a pause an advert is the first of a new series.
const PAUSE: Span = Span::from_secs(60);

/// One source, as far as its adverts fared alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Other {
    pub(super) address: IpAddr,
    /// Why they were rejected; `None` where they were accepted.
    pub(super) rejected: Option<Counter>,
    pub(super) priority: u8,
    /// The interval that it advertises, where that could be believed.
    pub(super) interval: Option<Span>,
    /// Adverts of this series.
    pub(super) count: u64,
    pub(super) last: Time,
    /// Between the latest two.
    pub(super) every: Option<Span>,
}

/// The sources.
#[derive(Debug, Default)]
pub(super) struct Others(Vec<Other>);

impl Others {
    /// An advert that is not a resignation has come; `new` counts nothing yet.
    pub(super) fn heard(&mut self, new: Other) {
        let same = |known: &&mut Other| (known.address, known.rejected) == (new.address, new.rejected);
        if let Some(known) = self.0.iter_mut().find(same) {
            let pause = new.last.span_since(known.last);
            let (count, every) = if pause > PAUSE { (0, None) } else { (known.count, Some(pause)) };
            *known = Other { count: count + 1, every, ..new };
            return;
        }
        if self.0.len() >= SOURCES
            && let Some((oldest, _)) = self.0.iter().enumerate().min_by_key(|(_, known)| known.last)
        {
            self.0.swap_remove(oldest);
        }
        self.0.push(Other { count: 1, every: None, ..new });
    }

    /// All, in no useful order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Other> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn other(last_octet: u8, rejected: Option<Counter>, seconds: u64) -> Other {
        let address = IpAddr::from([172, 16, 1, last_octet]);
        let last = Time(seconds * 1_000_000_000);
        Other { address, rejected, priority: 100, interval: None, count: 0, last, every: None }
    }

    #[test]
    fn a_series_is_counted_and_ends_with_a_pause() {
        let mut others = Others::default();
        for seconds in [100, 101, 103] {
            others.heard(other(1, Some(Counter::AuthFailure), seconds));
        }
        others.heard(other(1, None, 103));
        let count = |others: &Others| others.iter().map(|known| known.count).collect::<Vec<_>>();
        assert_eq!(count(&others), [3, 1]);
        assert_eq!(others.iter().next().and_then(|known| known.every), Some(Span::from_secs(2)));
        others.heard(other(1, Some(Counter::AuthFailure), 164));
        assert_eq!(count(&others), [1, 1]);
        assert_eq!(others.iter().next().and_then(|known| known.every), None);
    }

    #[test]
    fn a_flood_of_sources_displaces_the_silent_ones() {
        let mut others = Others::default();
        for n in 0..200 {
            others.heard(other(n, None, 1_000 + u64::from(n)));
        }
        assert_eq!(others.0.len(), SOURCES);
        assert!(others.iter().all(|known| known.last >= Time(1_192 * 1_000_000_000)));
    }
}

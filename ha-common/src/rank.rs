//! The order among several backups: how many would take over from a master before one of them.
//!
//! A master hears all of its backups, and they do not hear each other. So it takes down who probes it with which
//! priority, and tells each how many go before it. Whoever is not the first waits longer before a takeover
//! ([`crate::judge::takeover_wait`]), long enough to hear the advert of the one that goes first.
//!
//! Called by `ha-ebpf` for every probe that it answers, and by the daemon where it answers itself.

use crate::fence::PROBED_NS;
use crate::layout::Contender;
use crate::probe::RANKED;

/// Routers that a master ranks in each family: clusters of five.
pub const CONTENDERS: usize = 4;

/// Where one of them stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// How many go before it.
    pub rank: u8,
    /// Its entry; `None` where all are taken by others.
    pub place: Option<usize>,
}

impl Standing {
    /// The flag of the reply to it: the others are told of it, where it is `known` and has an entry.
    #[must_use]
    #[inline(always)]
    pub const fn flag(&self, known: bool) -> u8 {
        if known && self.place.is_some() { RANKED } else { 0 }
    }
}

/// A router in one number, of which the greater goes first: by priority, and then by address as RFC 9568 section 6.4.3
/// has it for masters (of IPv6 addresses, the last four bytes).
#[must_use]
#[inline(always)]
pub const fn bid(priority: u8, address_end: u32) -> u64 {
    (priority as u64) << 32 | address_end as u64
}

/// Where the router of this bid stands among those that have probed within the last second.
#[must_use]
#[inline(always)]
pub const fn standing(contenders: &[Contender; CONTENDERS], bid: u64, now_ns: u64) -> Standing {
    let mut standing = Standing { rank: 0, place: None };
    let (mut own, mut index) = (false, 0);
    while index < CONTENDERS {
        let Contender { bid: other, last_ns } = contenders[index];
        if other as u32 == bid as u32 && other != 0 {
            standing.place = Some(index);
            own = true;
        } else if now_ns.saturating_sub(last_ns) >= PROBED_NS || other == 0 {
            if !own {
                standing.place = Some(index);
            }
        } else if other > bid {
            standing.rank += 1;
        }
        index += 1;
    }
    standing
}

/// Takes down that the router of this bid has probed, if it is `known` and there is room. Where it stands.
pub fn take_down(contenders: &mut [Contender; CONTENDERS], bid: u64, known: bool, now_ns: u64) -> Standing {
    let standing = standing(contenders, bid, now_ns);
    if let Some(entry) = standing.place.filter(|_| known).and_then(|place| contenders.get_mut(place)) {
        *entry = Contender { bid, last_ns: now_ns };
    }
    standing
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 10_000_000_000;

    fn table(bids: &[u64]) -> [Contender; CONTENDERS] {
        core::array::from_fn(|n| {
            bids.get(n)
                .map_or_else(Contender::default, |bid| Contender { bid: *bid, last_ns: NOW - 1_000_000 })
        })
    }

    #[test]
    fn the_highest_priority_goes_first_and_then_the_greater_address() {
        let [a, b, c] = [bid(150, 2), bid(100, 9), bid(100, 3)];
        let table = table(&[c, a, b]);
        let rank = |bid| standing(&table, bid, NOW).rank;
        assert_eq!([rank(a), rank(b), rank(c)], [0, 1, 2]);
        assert_eq!(rank(bid(1, 77)), 3, "a newcomer is ranked before it has an entry");
    }

    #[test]
    fn a_router_keeps_its_entry_when_its_priority_changes() {
        let table = table(&[bid(100, 1), bid(100, 2), bid(100, 3)]);
        assert_eq!(standing(&table, bid(50, 3), NOW), Standing { rank: 2, place: Some(2) });
        assert_eq!(standing(&table, bid(200, 1), NOW), Standing { rank: 0, place: Some(0) });
    }

    #[test]
    fn who_is_silent_for_a_second_counts_no_more_and_makes_room() {
        let mut table = table(&[bid(100, 1), bid(101, 2), bid(102, 3), bid(103, 4)]);
        assert_eq!(standing(&table, bid(99, 5), NOW), Standing { rank: 4, place: None });
        table[1].last_ns = NOW - PROBED_NS;
        assert_eq!(standing(&table, bid(99, 5), NOW), Standing { rank: 3, place: Some(1) });
    }

    #[test]
    fn whoever_is_taken_down_goes_before_others() {
        let mut table = table(&[bid(100, 1)]);
        let mut rank = |bid, known| take_down(&mut table, bid, known, NOW).rank;
        assert_eq!(rank(bid(200, 3), false), 0);
        assert_eq!(rank(bid(150, 2), true), 0);
        assert_eq!(rank(bid(100, 1), true), 1, "and a stranger does not");
    }

    #[test]
    fn a_rank_counts_where_the_others_are_told_of_it() {
        let mut table = table(&[bid(100, 1), bid(101, 2), bid(102, 3)]);
        let mut flag = |bid, known| take_down(&mut table, bid, known, NOW).flag(known);
        assert_eq!(flag(bid(90, 4), false), 0, "a stranger is told of to nobody");
        assert_eq!(flag(bid(90, 4), true), RANKED);
        assert_eq!(flag(bid(200, 5), true), 0, "there is no room");
    }

    #[test]
    fn another_processor_may_be_ahead() {
        let mut table = table(&[bid(100, 1)]);
        table[0].last_ns = NOW + 5;
        assert_eq!(standing(&table, bid(99, 5), NOW).rank, 1);
    }
}

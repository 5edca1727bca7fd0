//! The distance between announcements on one interface, or on all of a `garp_group`, whoever they are for.
//!
//! Pure. What has a distance to keep queues up in a pacer, one for each interface or group and kind of message; the
//! pacer gives one message away whenever its interval has passed. Each address has its turn before any has a second
//! one. `vrrp_garp_interval`, `vrrp_gna_interval` and `garp_group` of keepalived.conf(5), which counts over instances
//! in the same way.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::IpAddr;

use ha_common::time::{Span, Time};
use ha_common::types::{Family, Vrid};

/// Whose announcement it is, and of which address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Message {
    /// Position of the interface of the virtual router.
    pub(super) interface: usize,
    pub(super) family: Family,
    pub(super) vrid: Vrid,
    pub(super) address: IpAddr,
}

/// What shares a distance: a group by its number, an interface by its name. The two kinds of messages never do.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Shared {
    Group(usize, MessageKind),
    Interface(String, MessageKind),
}

/// Kinds of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum MessageKind {
    Arp,
    Na,
}

/// All pacers.
#[derive(Debug, Default)]
pub(super) struct Pacers(BTreeMap<Shared, Pacer>);

/// One queue.
#[derive(Debug, Default)]
pub(super) struct Pacer {
    interval: Span,
    /// Nothing is given away before.
    free_at: Time,
    queue: VecDeque<Message>,
    /// Rounds that each message still has (it is in the queue while it has one), and how many it has had. Further
    /// rounds may come a moment after the first one was sent.
    rounds: HashMap<Message, (u32, u32)>,
}

impl Pacers {
    /// Adds a round of a message, to at most `most`: claims that follow each other do not pile up.
    pub(super) fn add(&mut self, shared: Shared, interval: Span, message: Message, most: u32) {
        let pacer = self.0.entry(shared).or_default();
        pacer.interval = interval;
        let (left, _) = pacer.rounds.entry(message).or_default();
        if *left == 0 {
            pacer.queue.push_back(message);
        }
        *left = left.saturating_add(1).min(most.max(1));
    }

    /// When the next message is due; `None` for never.
    pub(super) fn next(&self) -> Option<Time> {
        self.0.values().filter(|pacer| !pacer.queue.is_empty()).map(|pacer| pacer.free_at).min()
    }

    /// Every pacer that has something to send now, with the kind of its messages.
    pub(super) fn due(&mut self, now: Time) -> impl Iterator<Item = (MessageKind, &mut Pacer)> {
        // What is empty and was not used for its interval knows nothing that a new one does not know.
        self.0.retain(|_, pacer| !pacer.queue.is_empty() || pacer.free_at > now);
        self.0.iter_mut().filter(move |(_, pacer)| pacer.free_at <= now).map(|(shared, pacer)| {
            let (Shared::Group(_, kind) | Shared::Interface(_, kind)) = shared;
            (*kind, pacer)
        })
    }
}

impl Pacer {
    /// The next message, and how many times it was taken before. It has been sent only after [`Pacer::sent`]; one whose
    /// router is master no more costs no time.
    pub(super) fn take(&mut self) -> Option<(Message, u32)> {
        let message = self.queue.pop_front()?;
        let (left, had) = self.rounds.get_mut(&message)?;
        let before = *had;
        *left = left.saturating_sub(1);
        *had = had.wrapping_add(1);
        if *left > 0 {
            self.queue.push_back(message);
        }
        Some((message, before))
    }

    /// A message goes out at `now`.
    pub(super) fn sent(&mut self, now: Time) {
        self.free_at = now.after(self.interval);
    }

    /// Nothing is left of a message's rounds.
    pub(super) fn forget(&mut self, message: &Message) {
        if self.rounds.remove(message).is_some() {
            self.queue.retain(|queued| queued != message);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Span = Span::from_millis(100);

    fn message(vrid: u8, address: u8) -> Message {
        Message {
            interface: 0,
            family: Family::V4,
            vrid: Vrid::new(vrid).expect("not 0"),
            address: [10, 0, 0, address].into(),
        }
    }

    fn shared() -> Shared {
        Shared::Interface("eth0".to_owned(), MessageKind::Arp)
    }

    /// Everything that is sent, with its time in milliseconds, the VRID and the address's last byte.
    fn run(pacers: &mut Pacers) -> Vec<(u64, u8, u8)> {
        let mut sent = Vec::new();
        while let Some(next) = pacers.next() {
            for (_, pacer) in pacers.due(next) {
                let (message, _) = pacer.take().expect("due");
                pacer.sent(next);
                let IpAddr::V4(address) = message.address else { panic!("IPv4") };
                sent.push((next.0 / 1_000_000, message.vrid.get(), address.octets()[3]));
            }
        }
        sent
    }

    #[test]
    fn instances_share_the_distance_and_take_turns() {
        let mut pacers = Pacers::default();
        for _ in 0..2 {
            for vrid in [1, 2] {
                for address in [8, 9] {
                    pacers.add(shared(), INTERVAL, message(vrid, address), 2);
                }
            }
        }
        let once = [(0, 1, 8), (100, 1, 9), (200, 2, 8), (300, 2, 9)];
        let again = once.map(|(at, vrid, address)| (at + 400, vrid, address));
        assert_eq!(run(&mut pacers), [once, again].concat());
    }

    #[test]
    fn interfaces_and_kinds_do_not_wait_for_each_other() {
        let mut pacers = Pacers::default();
        for shared in [
            shared(),
            Shared::Interface("eth1".to_owned(), MessageKind::Arp),
            Shared::Interface("eth0".to_owned(), MessageKind::Na),
            Shared::Group(0, MessageKind::Arp),
        ] {
            pacers.add(shared, INTERVAL, message(1, 1), 1);
        }
        assert_eq!(run(&mut pacers).len(), 4);
        assert_eq!(pacers.next(), None);
    }

    #[test]
    fn claims_do_not_pile_up_and_what_is_stale_costs_no_time() {
        let mut pacers = Pacers::default();
        for _ in 0..1000 {
            pacers.add(shared(), INTERVAL, message(1, 1), 3);
        }
        pacers.add(shared(), INTERVAL, message(2, 2), 1);
        let (_, pacer) = pacers.due(Time(0)).next().expect("due");
        let (stale, had) = pacer.take().expect("there");
        assert_eq!((stale, had), (message(1, 1), 0));
        pacer.forget(&stale);
        assert_eq!(run(&mut pacers), [(0, 2, 2)]);
    }

    #[test]
    fn a_round_that_comes_later_counts_on() {
        let mut pacers = Pacers::default();
        for had in 0..3 {
            pacers.add(shared(), INTERVAL, message(1, 1), 5);
            let (_, pacer) = pacers.due(Time(0)).next().expect("due");
            assert_eq!(pacer.take(), Some((message(1, 1), had)));
        }
    }

    #[test]
    fn the_distance_holds_after_the_queue_was_empty() {
        let mut pacers = Pacers::default();
        pacers.add(shared(), INTERVAL, message(1, 1), 1);
        assert_eq!(run(&mut pacers), [(0, 1, 1)]);
        let later = Time(50_000_000);
        assert_eq!(pacers.due(later).count(), 0);
        pacers.add(shared(), INTERVAL, message(1, 1), 1);
        assert_eq!(run(&mut pacers), [(100, 1, 1)]);
    }
}

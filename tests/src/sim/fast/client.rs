//! A host that sends to the virtual address at a steady pace, and the entry of its ARP cache.
//!
//! The entry is Linux's: gratuitous ARP updates one that exists and makes none; an answer confirms it; one that was not
//! confirmed for a while is used for some time and then asked about, first where it points to.

use ha_common::time::{Span, Time};

use super::switch::{Mac, To};
use super::world::Frame;

/// Between two solicitations.
const RETRANSMIT: Span = Span::SECOND;

/// Solicitations before the entry is given up.
const SOLICITATIONS: u8 = 3;

/// So long after a change an answer from elsewhere is not believed; gratuitous ARP is.
const LOCKTIME: Span = Span::SECOND;

/// What an ARP frame for the virtual address is. Gratuitous ones come as requests and as replies, which make no
/// difference here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arp {
    Gratuitous,
    Solicitation,
    Answer,
}

/// The entry for the virtual address, in the kernel's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Entry {
    None,
    /// Asked so often, lastly then.
    Incomplete(u8, Time),
    Reachable(Mac, Time),
    Stale(Mac),
    Delay(Mac, Time),
    Probe(Mac, u8, Time),
    Failed,
}

/// What has become of a client's packets.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reached {
    /// When the latest packet was sent that somebody with the address took.
    pub(super) anybody: Time,
    /// The same, and it was the only living master.
    pub(super) master: Time,
}

#[derive(Debug)]
pub(super) struct Client {
    entry: Entry,
    /// When the entry last changed.
    updated: Time,
    pub(super) pace: Span,
    /// How long an entry is used without being confirmed.
    delay: Span,
    /// How long a confirmed one is not doubted.
    reachable: Span,
    pub(super) reached: Reached,
}

impl Client {
    pub(super) const fn new(pace: Span, delay: Span, reachable: Span) -> Self {
        Self {
            entry: Entry::None,
            updated: Time(0),
            pace,
            delay,
            reachable,
            reached: Reached { anybody: Time(0), master: Time(0) },
        }
    }

    /// What it knows is lost: it asks anew.
    pub(super) const fn forget(&mut self) {
        self.entry = Entry::None;
    }

    /// When it asked, while it has nothing to send to.
    pub(super) const fn asked(&self) -> Option<Time> {
        match self.entry {
            Entry::Incomplete(_, at) => Some(at),
            _ => None,
        }
    }

    pub(super) fn entry(&self) -> String {
        format!("{:?}", self.entry)
    }

    /// It wants to send: a solicitation, a packet, or both.
    pub(super) fn send(&mut self, id: usize, now: Time) -> [Option<(To, Frame)>; 2] {
        let solicitation = Frame::Arp { kind: Arp::Solicitation, from: id, mac: Mac(id) };
        let everybody = Some((To::All, solicitation));
        let asks = |mac| Some((To::One(mac), solicitation));
        let data = |mac| Some((To::One(mac), Frame::Data { from: id, sent: now }));
        match self.entry {
            Entry::None | Entry::Failed => {
                self.entry = Entry::Incomplete(1, now);
                [everybody, None]
            }
            Entry::Incomplete(_, at) if now.span_since(at) < RETRANSMIT => [None, None],
            Entry::Incomplete(times, _) if times < SOLICITATIONS => {
                self.entry = Entry::Incomplete(times + 1, now);
                [everybody, None]
            }
            Entry::Incomplete(..) => {
                self.entry = Entry::Failed;
                [None, None]
            }
            Entry::Reachable(mac, until) => {
                if until <= now {
                    self.entry = Entry::Delay(mac, now.after(self.delay));
                }
                [data(mac), None]
            }
            Entry::Stale(mac) => {
                self.entry = Entry::Delay(mac, now.after(self.delay));
                [data(mac), None]
            }
            Entry::Delay(mac, until) if until <= now => {
                self.entry = Entry::Probe(mac, 1, now);
                [asks(mac), data(mac)]
            }
            Entry::Probe(mac, times, at) if now.span_since(at) >= RETRANSMIT => {
                if times < SOLICITATIONS {
                    self.entry = Entry::Probe(mac, times + 1, now);
                    [asks(mac), data(mac)]
                } else {
                    self.entry = Entry::Failed;
                    [None, None]
                }
            }
            Entry::Delay(mac, _) | Entry::Probe(mac, ..) => [data(mac), None],
        }
    }

    fn mac(&self) -> Option<Mac> {
        match self.entry {
            Entry::Reachable(mac, _) | Entry::Stale(mac) | Entry::Delay(mac, _) | Entry::Probe(mac, ..) => {
                Some(mac)
            }
            Entry::None | Entry::Incomplete(..) | Entry::Failed => None,
        }
    }

    /// ARP from a router that says it has the address.
    pub(super) fn hear(&mut self, kind: Arp, mac: Mac, now: Time) {
        let new = match kind {
            // No entry is made for what nobody asked for, and one that says the same is neither confirmed nor doubted.
            Arp::Gratuitous if self.entry == Entry::None || self.mac() == Some(mac) => return,
            Arp::Gratuitous => Entry::Stale(mac),
            Arp::Answer => {
                let locked =
                    self.mac().is_some_and(|known| known != mac) && now.span_since(self.updated) < LOCKTIME;
                if locked || self.entry == Entry::None {
                    return;
                }
                Entry::Reachable(mac, now.after(self.reachable))
            }
            Arp::Solicitation => return,
        };
        (self.entry, self.updated) = (new, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client() -> Client {
        Client::new(Span::from_millis(5), Span::from_secs(5), Span::from_secs(30))
    }

    const START: Time = Time(10_000_000_000);

    fn asks(frames: [Option<(To, Frame)>; 2]) -> Option<To> {
        let solicitation = |(to, frame): (To, Frame)| {
            matches!(frame, Frame::Arp { kind: Arp::Solicitation, .. }).then_some(to)
        };
        frames.into_iter().flatten().find_map(solicitation)
    }

    fn sends(frames: [Option<(To, Frame)>; 2]) -> Option<To> {
        let data = |(to, frame): (To, Frame)| matches!(frame, Frame::Data { .. }).then_some(to);
        frames.into_iter().flatten().find_map(data)
    }

    #[test]
    fn gratuitous_arp_makes_no_entry_and_answers_a_question_that_is_open() {
        let mut client = client();
        client.hear(Arp::Gratuitous, Mac(1), START);
        let frames = client.send(4, START);
        assert_eq!((asks(frames), sends(frames)), (Some(To::All), None));
        client.hear(Arp::Gratuitous, Mac(1), START);
        assert_eq!(sends(client.send(4, START)), Some(To::One(Mac(1))));
    }

    #[test]
    fn gratuitous_arp_moves_an_entry_and_an_answer_from_elsewhere_does_not_for_a_second() {
        let mut client = client();
        client.send(4, START);
        client.hear(Arp::Answer, Mac(1), START);
        client.hear(Arp::Gratuitous, Mac(2), START.after(Span::from_millis(1)));
        client.hear(Arp::Answer, Mac(1), START.after(Span::from_millis(900)));
        assert_eq!(sends(client.send(4, START.after(Span::from_millis(900)))), Some(To::One(Mac(2))));
        client.hear(Arp::Answer, Mac(1), START.after(Span::from_millis(1_001)));
        assert_eq!(sends(client.send(4, START.after(Span::from_millis(1_001)))), Some(To::One(Mac(1))));
    }

    #[test]
    fn an_entry_that_nobody_confirms_is_asked_about_where_it_points_to_and_then_everywhere() {
        let mut client = client();
        client.send(4, START);
        client.hear(Arp::Gratuitous, Mac(1), START);
        let at = |secs| START.after(Span::from_secs(secs));
        assert_eq!(asks(client.send(4, at(0))), None);
        assert_eq!(asks(client.send(4, at(4))), None);
        for secs in 5..8 {
            let frames = client.send(4, at(secs));
            assert_eq!((asks(frames), sends(frames)), (Some(To::One(Mac(1))), Some(To::One(Mac(1)))));
        }
        client.send(4, at(8));
        assert_eq!(asks(client.send(4, at(9))), Some(To::All));
    }
}

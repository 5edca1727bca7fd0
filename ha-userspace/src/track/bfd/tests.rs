//! What reaches a session, and what does not.

use std::num::NonZeroU32;
use std::time::Duration;

use ha_common::bfd::{Packet, Session, Settings, State};
use ha_common::time::{Span, Time};

use super::socket::Datagram;
use super::speaker::{Peer, hand_over};
use crate::config::model::{Bfd, Place, Weight};

fn spec(neighbor: &str, max_hops: u8) -> Bfd {
    Bfd {
        name: neighbor.to_owned(),
        neighbor: neighbor.parse().expect("an address"),
        source: None,
        min_rx: Duration::from_millis(10),
        min_tx: Duration::from_millis(10),
        idle_tx: Duration::from_secs(1),
        multiplier: 3,
        passive: false,
        ttl: 255,
        max_hops,
        weight: Weight::default(),
        place: Place::default(),
    }
}

fn id(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).expect("not zero")
}

fn packet() -> Packet {
    let settings = Settings {
        desired_min_tx: Span::from_millis(10),
        required_min_rx: Span::from_millis(10),
        idle_tx: Span::SECOND,
        multiplier: 3,
        passive: false,
    };
    Session::new(settings, id(99), Time(0)).poll_transmit(Time(0), 0).expect("due")
}

/// State of a session after one datagram.
fn after(max_hops: u8, source: &str, ttl: Option<u8>, bytes: &[u8]) -> State {
    let now = Time(1_000_000_000);
    let mut peers = [Peer::new(spec("10.0.0.2", max_hops), id(7), now)];
    hand_over(&mut peers, &Datagram::new(source.parse().expect("an address"), ttl, now, bytes));
    peers[0].state()
}

#[test]
fn only_the_neighbour_on_this_link_is_heard() {
    let good = packet().emit();
    assert_eq!(after(0, "10.0.0.2", Some(255), &good), State::Init);
    assert_eq!(after(0, "10.0.0.2", Some(254), &good), State::Down);
    assert_eq!(after(0, "10.0.0.2", None, &good), State::Down);
    assert_eq!(after(0, "10.0.0.3", Some(255), &good), State::Down);
    assert_eq!(after(2, "10.0.0.2", Some(253), &good), State::Init);
    assert_eq!(after(2, "10.0.0.2", Some(252), &good), State::Down);
    assert_eq!(after(255, "10.0.0.2", Some(1), &good), State::Init);
    assert_eq!(after(0, "10.0.0.2", Some(255), &good[..23]), State::Down);
}

#[test]
fn a_packet_for_another_discriminator_is_nobodys() {
    let to = |yours: u32| Packet { yours, ..packet() }.emit();
    assert_eq!(after(0, "10.0.0.2", Some(255), &to(7)), State::Init);
    assert_eq!(after(0, "10.0.0.2", Some(255), &to(8)), State::Down);
}

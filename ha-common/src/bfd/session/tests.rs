//! Two sessions on one virtual clock, and single ones that are lied to.

use proptest::prelude::*;

use super::*;

const MS: fn(u64) -> Span = Span::from_millis;

fn settings(tx: u64, rx: u64, multiplier: u8) -> Settings {
    Settings {
        desired_min_tx: MS(tx),
        required_min_rx: MS(rx),
        idle_tx: Span::SECOND,
        multiplier,
        passive: false,
    }
}

fn id(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).expect("not zero")
}

fn at(ms: u64) -> Time {
    Time(1_000_000_000).after(MS(ms))
}

/// Two neighbours on a link that takes no time.
struct Pair {
    ends: [Session; 2],
    alive: [bool; 2],
    now: Time,
    sent: [usize; 2],
    /// State of each end after each change.
    story: Vec<(u64, usize, State)>,
}

extern crate std;
use std::vec::Vec;

impl Pair {
    fn new(one: Settings, other: Settings) -> Self {
        let ends = [Session::new(one, id(11), at(0)), Session::new(other, id(22), at(0))];
        Self { ends, alive: [true; 2], now: at(0), sent: [0; 2], story: Vec::new() }
    }

    fn run(&mut self, until: u64) {
        while self.now < at(until) {
            let alive = |n: usize| self.alive[n];
            let next = (0..2).filter(|n| alive(*n)).map(|n| self.ends[n].next_deadline()).min();
            self.now = next.unwrap_or(Time::NEVER).min(at(until)).max(self.now);
            for n in 0..2 {
                if !self.alive[n] {
                    continue;
                }
                let before = self.ends[n].state();
                self.ends[n].handle_timeout(self.now);
                self.note(n, before);
                while let Some(packet) = self.ends[n].poll_transmit(self.now, 128) {
                    self.sent[n] += 1;
                    let packet = Packet::parse(&packet.emit()).expect("what is sent is acceptable");
                    let to = 1 - n;
                    if self.alive[to] {
                        let before = self.ends[to].state();
                        self.ends[to].receive(&packet, self.now);
                        self.note(to, before);
                    }
                }
            }
        }
    }

    fn note(&mut self, n: usize, before: State) {
        if self.ends[n].state() != before {
            self.story.push((self.now.since(at(0)).unsigned_abs() / 1_000_000, n, self.ends[n].state()));
        }
    }

    fn states(&self) -> [State; 2] {
        [self.ends[0].state(), self.ends[1].state()]
    }
}

#[test]
fn two_neighbours_come_up_at_once_and_then_send_at_the_slower_wish() {
    let mut pair = Pair::new(settings(10, 20, 3), settings(50, 30, 5));
    pair.run(200);
    assert_eq!(pair.states(), [State::Up; 2], "{:?}", pair.story);
    // 10 wished, 30 borne; 50 wished, 20 borne.
    assert_eq!(pair.ends[0].transmit_interval(), Some(MS(30)));
    assert_eq!(pair.ends[1].transmit_interval(), Some(MS(50)));
    // The other's multiplier times the slower wish.
    assert_eq!(pair.ends[0].detection_time(), Some(MS(250)));
    assert_eq!(pair.ends[1].detection_time(), Some(MS(90)));
    pair.sent = [0; 2];
    pair.run(1200);
    assert!((33..46).contains(&pair.sent[0]) && (20..28).contains(&pair.sent[1]), "{:?}", pair.sent);
}

#[test]
fn a_death_is_noticed_after_the_detection_time_and_not_before() {
    let mut pair = Pair::new(settings(10, 10, 3), settings(10, 10, 3));
    pair.run(500);
    pair.alive[1] = false;
    pair.story.clear();
    pair.run(2000);
    let [(when, 0, State::Down)] = pair.story[..] else { panic!("{:?}", pair.story) };
    assert!((520..=530).contains(&when), "down at {when} ms");
    assert_eq!(pair.ends[0].diagnostic(), Diagnostic::EXPIRED);
    // Back, with a new discriminator, it comes up again although the first life's is still known.
    pair.ends[1] = Session::new(settings(10, 10, 3), id(33), pair.now);
    pair.alive[1] = true;
    pair.run(3200);
    assert_eq!(pair.states(), [State::Up; 2], "{:?}", pair.story);
}

#[test]
fn a_stall_of_this_side_is_not_the_neighbours_death() {
    let mut pair = Pair::new(settings(10, 10, 3), settings(10, 10, 3));
    pair.run(500);
    let packet = pair.ends[1].poll_transmit(at(520), 0).expect("due");
    // Read a second late, but stamped by the kernel when it came; the timeout is judged after it.
    let session = &mut pair.ends[0];
    session.receive(&packet, at(1495));
    session.handle_timeout(at(1500));
    assert_eq!(session.state(), State::Up);
    session.handle_timeout(at(1526));
    assert_eq!(session.state(), State::Down);
}

#[test]
fn administrative_down_is_told_and_is_no_failure() {
    let mut pair = Pair::new(settings(10, 10, 3), settings(10, 10, 3));
    pair.run(500);
    pair.ends[0].disable();
    pair.run(510);
    assert_eq!(pair.states(), [State::AdminDown, State::Down]);
    assert_eq!(pair.ends[1].diagnostic(), Diagnostic::NEIGHBOR);
    pair.run(3000);
    assert_eq!(pair.states(), [State::AdminDown, State::Down]);
    pair.ends[0].enable();
    pair.run(5000);
    assert_eq!(pair.states(), [State::Up; 2]);
}

/// Who stops sends once more and is gone: what had to wait for the next packet's turn would never be sent.
#[test]
fn administrative_down_is_told_right_after_another_packet() {
    let mut pair = Pair::new(settings(10, 10, 3), settings(10, 10, 3));
    pair.run(500);
    let session = &mut pair.ends[0];
    let mut now = at(500);
    while session.poll_transmit(now, 0).is_none() {
        now = now.after(Span::from_millis(1));
    }
    for _ in 0..2 {
        session.disable();
        let told = session.poll_transmit(now, 0).map(|packet| (packet.state, packet.diagnostic));
        assert_eq!(told, Some((State::AdminDown, Diagnostic::ADMINISTRATIVE)));
    }
}

#[test]
fn other_intervals_are_agreed_on_by_a_poll_without_a_flap() {
    let mut pair = Pair::new(settings(10, 10, 3), settings(10, 10, 3));
    pair.run(500);
    pair.story.clear();
    let changed = settings(200, 200, 4);
    pair.ends[0].configure(changed);
    // Slower sending waits for the neighbour's consent.
    assert_eq!(pair.ends[0].transmit_interval(), Some(MS(10)));
    assert!(pair.ends[0].polling);
    pair.run(800);
    assert!(!pair.ends[0].polling);
    assert_eq!(pair.ends[0].transmit_interval(), Some(MS(200)));
    assert_eq!(pair.ends[1].detection_time(), Some(MS(800)));
    pair.ends[0].configure(settings(10, 10, 3));
    pair.run(2000);
    assert_eq!(
        (pair.ends[0].transmit_interval(), pair.ends[1].detection_time()),
        (Some(MS(10)), Some(MS(30)))
    );
    assert_eq!(pair.story, []);
    pair.ends[0].configure(settings(10, 10, 3));
    assert!(!pair.ends[0].polling, "nothing changed");
}

#[test]
fn a_passive_session_is_silent_until_it_is_spoken_to() {
    let passive = Settings { passive: true, ..settings(10, 10, 3) };
    let mut pair = Pair::new(passive, passive);
    pair.run(5000);
    assert_eq!(pair.sent, [0; 2]);
    let mut pair = Pair::new(passive, settings(10, 10, 3));
    pair.run(3000);
    assert_eq!(pair.states(), [State::Up; 2]);
}

#[test]
fn until_it_is_up_a_session_sends_once_a_second() {
    let mut pair = Pair::new(settings(10, 10, 3), settings(10, 10, 3));
    pair.alive[1] = false;
    pair.run(10_000);
    assert!((10..=14).contains(&pair.sent[0]), "{:?}", pair.sent);
    let mut slow = Pair::new(Settings { idle_tx: MS(5000), ..settings(10, 10, 3) }, settings(10, 10, 3));
    slow.alive[1] = false;
    slow.run(10_000);
    assert!(slow.sent[0] <= 3, "{:?}", slow.sent);
}

#[test]
fn a_neighbour_that_wants_no_packets_gets_none_but_answers() {
    let mut session = Session::new(settings(10, 10, 3), id(1), at(0));
    let mut packet = Packet::parse(
        &Session::new(settings(10, 10, 3), id(2), at(0)).poll_transmit(at(0), 0).expect("due").emit(),
    )
    .expect("good");
    while session.poll_transmit(at(0), 0).is_some() {}
    packet.required_min_rx = 0;
    session.receive(&packet, at(5));
    assert!(session.poll_transmit(at(6), 0).is_some(), "its new state");
    assert_eq!(session.poll_transmit(at(9000), 0), None);
    packet.poll = true;
    session.receive(&packet, at(9000));
    let answer = session.poll_transmit(at(9000), 0).expect("an answer");
    assert!(answer.last && !answer.poll);
    assert_eq!(session.poll_transmit(at(9001), 0), None);
}

#[test]
fn demand_mode_of_the_neighbour_stops_periodic_packets() {
    let mut pair = Pair::new(settings(10, 10, 3), settings(10, 10, 3));
    pair.run(500);
    let mut packet = pair.ends[1].poll_transmit(at(510), 0).expect("due");
    packet.demand = true;
    let session = &mut pair.ends[0];
    session.receive(&packet, at(510));
    assert_eq!(session.poll_transmit(at(530), 0), None);
    assert_eq!(session.next_deadline(), at(540));
}

#[test]
fn jitter_shortens_by_a_quarter_at_most() {
    for jitter in 0..=255 {
        let plain = jittered(MS(100), 3, jitter);
        assert!(plain >= MS(75) && plain <= MS(100));
        let single = jittered(MS(100), 1, jitter);
        assert!(single >= MS(75) && single <= MS(90));
    }
}

#[test]
fn a_packet_for_another_life_changes_nothing() {
    let mut session = Session::new(settings(10, 10, 3), id(1), at(0));
    let other = Session::new(settings(10, 10, 3), id(2), at(0)).poll_transmit(at(0), 0).expect("due");
    session.receive(&Packet { yours: 7, ..other }, at(1));
    assert_eq!((session.state(), session.yours), (State::Down, 0));
}

fn packets() -> impl Strategy<Value = Packet> {
    (proptest::array::uniform24(any::<u8>()), 0..4_u8).prop_filter_map("acceptable", |(mut bytes, state)| {
        bytes[0] = bytes[0] & 0x1f | 0x20;
        bytes[1] = bytes[1] & 0x2a | state << 6;
        bytes[2] = bytes[2].max(1);
        bytes[3] = 24;
        bytes[4..8].copy_from_slice(&[0, 0, 0, 2]);
        let yours = u8::from(bytes[8] & 1 == 1 || state >= 2);
        bytes[8..12].copy_from_slice(&[0, 0, 0, yours]);
        Packet::parse(&bytes).ok()
    })
}

proptest! {
    /// Whatever a neighbour says: time goes on, and what is sent stays bounded.
    #[test]
    fn nothing_that_is_heard_makes_a_session_babble(heard in proptest::collection::vec((packets(), 0..50_u64), 1..200)) {
        let mut session = Session::new(settings(10, 10, 3), id(1), at(0));
        let (mut now, mut sent) = (0_u64, 0_u64);
        for (packet, gap) in heard {
            now += gap;
            session.receive(&packet, at(now));
            session.handle_timeout(at(now));
            while session.poll_transmit(at(now), 0).is_some() {
                sent += 1;
                prop_assert!(sent <= now + 2, "{sent} packets in {now} ms");
            }
            prop_assert!(session.next_deadline() > at(now));
        }
    }
}

//! Verdicts, pacing and pauses, one rule at a time. The simulated cluster has them all at once.

extern crate std;

mod adaptive;

use std::vec::Vec;

use super::*;
use crate::probe::{Masters, TAKES_NO_PART};
use crate::types::{Priority, Vrid};

const US: u64 = 1_000;
const MS: u64 = 1_000_000;
const TRIP: Span = Span::from_micros(20);
const WINDOW: Span = Span::from_micros(2_500);

/// With a window that is always the same.
fn settings() -> Settings {
    Settings { window: WindowSettings::fixed(WINDOW), ..Settings::default() }
}

fn masters() -> Masters {
    let mut masters = Masters::NONE;
    masters.set(Vrid::new(25).expect("a VRID"), true);
    masters
}

/// A judge, a clock, and a peer that answers or not.
struct Rig {
    judge: PeerJudge,
    now: Time,
    answering: bool,
    reply: Answered,
    sent: Vec<Time>,
    events: Vec<(Time, Event)>,
}

impl Rig {
    fn new() -> Self {
        let now = Time(1000 * MS);
        let reply = Answered {
            sequence: 0,
            at: now,
            flags: 0,
            responder: 7,
            lease: Span::from_millis(90),
            masters: masters(),
            rank: 0,
        };
        let judge = PeerJudge::new(settings(), now);
        Self { judge, now, answering: true, reply, sent: Vec::new(), events: Vec::new() }
    }

    /// A peer that is followed and has answered for a while.
    fn fast() -> Self {
        let mut rig = Self::new();
        rig.judge.follow(true, rig.now);
        rig.pass(100 * MS);
        assert!(rig.judge.is_fast());
        rig.sent.clear();
        rig.events.clear();
        rig
    }

    /// One wake-up, on time.
    fn step(&mut self) {
        if self.reply.sequence > 0 && self.reply.at <= self.now {
            let reply = self.reply;
            self.judge.answered(&reply, self.now);
        }
        if let Some(sequence) = self.judge.tick(self.now) {
            self.sent.push(self.now);
            self.judge.sent(sequence, self.now);
            if self.answering {
                (self.reply.sequence, self.reply.at) = (sequence, self.now.after(TRIP));
            }
        }
        assert!(self.judge.next_deadline() > self.now, "40: the deadline moves on");
        while let Some(event) = self.judge.poll_event() {
            self.events.push((self.now, event));
        }
    }

    /// Wakes up at every deadline of so many nanoseconds.
    fn pass(&mut self, ns: u64) {
        let end = self.now.after(Span(ns));
        while self.judge.next_deadline() <= end {
            self.now = self.judge.next_deadline().max(self.now);
            self.step();
        }
        self.now = end;
    }

    fn gaps(&self) -> Vec<u64> {
        self.sent.windows(2).map(|pair| pair[1].span_since(pair[0]).0 / US).collect()
    }

    fn verdicts(&self) -> Vec<(Time, Verdict)> {
        let verdict = |(at, event): &(Time, Event)| match event {
            Event::Lost { verdict, .. } => Some((*at, *verdict)),
            _ => None,
        };
        self.events.iter().filter_map(verdict).collect()
    }
}

#[test]
fn nobody_is_probed_who_is_not_followed() {
    let rig = Rig::new();
    assert_eq!(rig.judge.next_deadline(), Time::NEVER);
}

#[test]
fn a_peer_that_never_answers_is_probed_ever_more_rarely() {
    let mut rig = Rig::new();
    rig.answering = false;
    rig.judge.follow(true, rig.now);
    rig.pass(60_000 * MS);
    assert_eq!(rig.gaps(), [1, 2, 4, 8, 10, 10, 10, 10].map(|seconds| seconds * 1_000_000));
    let events: Vec<_> = rig.events.iter().map(|(_, event)| *event).collect();
    assert_eq!(events, [Event::Unanswered], "it is judged by its adverts alone, and that is said once");
}

/// A veth delivers the reply within the send call; that took 20 us.
#[test]
fn a_reply_before_the_send_call_returns_has_a_round_trip_too() {
    let mut outstanding = Outstanding::new();
    outstanding.sent(1, Time(1_000_000), Time(1_030_000));
    assert_eq!(outstanding.answered(1, Time(1_020_000)), Some(Span(20_000)));
    outstanding.sent(2, Time(2_000_000), Time(2_030_000));
    assert_eq!(outstanding.answered(2, Time(2_050_000)), Some(Span(20_000)), "of the wire, not of the call");
}

/// Where the reply is there when the send call returns, there is nothing to look for until the next probe.
#[test]
fn a_reply_that_is_there_at_once_saves_a_wake_up() {
    let mut rig = Rig::fast();
    let mut wake_ups = 0;
    let end = rig.now.after(Span::from_millis(100));
    while rig.judge.next_deadline() <= end {
        rig.now = rig.judge.next_deadline();
        wake_ups += 1;
        if let Some(sequence) = rig.judge.tick(rig.now) {
            (rig.reply.sequence, rig.reply.at) = (sequence, rig.now.after(TRIP));
            let (reply, returned) = (rig.reply, rig.now.after(TRIP.times(2)));
            rig.judge.sent_and_answered(sequence, &reply, returned);
        }
    }
    assert!((99..=102).contains(&wake_ups), "{wake_ups} wake-ups in 100 intervals");
}

#[test]
fn the_first_reply_makes_it_fast() {
    let mut rig = Rig::new();
    let begin = rig.now;
    rig.judge.follow(true, begin);
    rig.pass(20 * MS);
    assert!(matches!(rig.events[..], [(at, Event::Discovered { .. })] if at.span_since(begin) < Span(MS)));
    assert!(rig.gaps().iter().all(|&gap| (990..=1200).contains(&gap)), "{:?}", rig.gaps());
}

#[test]
fn silence_of_a_window_is_unreachable() {
    let mut rig = Rig::fast();
    rig.answering = false;
    let last = rig.reply.at;
    rig.pass(5 * MS);
    let [(at, Verdict::Unreachable), ..] = rig.verdicts()[..] else { panic!("{:?}", rig.events) };
    assert_eq!(at, last.after(WINDOW), "not sooner and not later");
    let before: Vec<_> = rig.sent.iter().filter(|&&sent| sent < at).collect();
    assert!(before.len() >= 3, "{before:?}");
    assert_eq!(rig.gaps()[..2], [200, 200], "after the first miss at a fifth of the interval");
}

#[test]
fn two_misses_are_not_three() {
    let mut rig = Rig::fast();
    rig.judge.reconfigure(Settings { window: WindowSettings::fixed(Span(1)), misses: 60, ..settings() });
    rig.answering = false;
    rig.pass(10 * MS);
    assert!(rig.verdicts().is_empty());
    rig.pass(10 * MS);
    assert!(!rig.verdicts().is_empty());
}

#[test]
fn one_answer_out_of_three_will_do() {
    let mut rig = Rig::fast();
    for round in 0..300 {
        rig.answering = round % 3 == 0;
        rig.pass(MS / 2);
    }
    assert!(rig.verdicts().is_empty(), "{:?}", rig.events);
}

#[test]
fn a_verdict_needs_a_reply_since_the_link_came_up() {
    let mut rig = Rig::fast();
    rig.judge.link(false, rig.now);
    rig.pass(50 * MS);
    rig.answering = false;
    rig.judge.link(true, rig.now);
    rig.pass(100 * MS);
    assert!(rig.verdicts().is_empty() && !rig.judge.is_fast());
    rig.answering = true;
    rig.pass(200 * MS);
    assert!(rig.judge.is_fast());
}

#[test]
fn nothing_is_sent_without_a_carrier() {
    let mut rig = Rig::fast();
    rig.judge.link(false, rig.now);
    rig.pass(50 * MS);
    assert!(rig.sent.is_empty() && rig.judge.next_deadline() == Time::NEVER);
}

#[test]
fn s41_a_stalled_prober_needs_three_more_misses_and_a_window() {
    for stall in [2, 10, 1000] {
        let mut rig = Rig::fast();
        rig.answering = false;
        rig.pass(2 * MS);
        rig.now = rig.now.after(Span::from_millis(stall));
        let woke = rig.now;
        rig.pass(20 * MS);
        let (at, _) = rig.verdicts()[0];
        assert!(at.span_since(woke) >= WINDOW, "{stall} ms: {at:?}");
        assert_eq!(rig.judge.counts().stalls, 1);
    }
}

#[test]
fn s41_the_probers_own_lateness_is_no_silence() {
    let mut rig = Rig::fast();
    rig.answering = false;
    let late = Span::from_micros(900);
    rig.now = rig.judge.next_deadline();
    rig.step();
    if rig.sent.is_empty() {
        rig.now = rig.judge.next_deadline();
    }
    // The reply is read, and the next probe goes out late: that is when the silence begins.
    rig.now = rig.now.after(late);
    rig.step();
    let first = rig.sent[0];
    assert!(first.span_since(rig.reply.at) > Span::from_micros(1500), "{first:?} {:?}", rig.reply);
    rig.pass(10 * MS);
    assert_eq!(rig.judge.counts().stalls, 0);
    let Settings { interval, .. } = settings();
    assert_eq!(rig.verdicts()[0].0.0, first.0 - interval.0 + WINDOW.0);
}

#[test]
fn what_was_not_sent_accuses_nobody() {
    let mut rig = Rig::fast();
    for _ in 0..1000 {
        rig.now = rig.judge.next_deadline();
        let _not_sent = rig.judge.tick(rig.now);
        assert_eq!(rig.judge.poll_event(), None);
    }
}

#[test]
fn what_the_peer_says_is_judged_at_once() {
    for (flags, wanted) in [
        (ORPHANED, Some(Verdict::Orphaned)),
        (EXPIRED, Some(Verdict::Expired)),
        (ORPHANED | RESTARTING, None),
        (EXPIRED | RESTARTING, None),
        (0x80, None),
    ] {
        let mut rig = Rig::fast();
        rig.reply.flags = flags;
        rig.pass(3 * MS);
        let verdicts: Vec<_> = rig.verdicts().into_iter().map(|(_, verdict)| verdict).collect();
        assert_eq!(verdicts, Vec::from_iter(wanted));
        let restarting =
            rig.events.iter().filter(|(_, event)| matches!(event, Event::Restarting { .. })).count();
        assert_eq!(restarting, usize::from(flags & RESTARTING != 0));
    }
}

#[test]
fn a_bit_that_is_cleared_is_a_resignation() {
    let mut rig = Rig::fast();
    rig.reply.masters = Masters::NONE;
    rig.pass(3 * MS);
    let [(_, Event::Resigned { vrids, .. })] = rig.events[..] else { panic!("{:?}", rig.events) };
    assert_eq!(vrids, masters());
}

#[test]
fn a_wrong_verdict_pauses_the_next_ones() {
    let mut rig = Rig::fast();
    let mut pauses = Vec::new();
    for _ in 0..8 {
        rig.answering = false;
        rig.pass(4 * MS);
        rig.answering = true;
        rig.pass(50 * MS);
        let until = rig.judge.paused_until(rig.now).expect("a pause");
        pauses.push(until.span_since(rig.now).0.div_ceil(1000 * MS));
        // A silence within the pause is no verdict.
        rig.events.clear();
        rig.answering = false;
        rig.pass(4 * MS);
        assert!(rig.verdicts().is_empty());
        rig.answering = true;
        let rest = until.span_since(rig.now);
        rig.pass(rest.0);
    }
    assert_eq!(pauses, [10, 20, 40, 80, 160, 320, 600, 600]);
    assert_eq!((rig.judge.counts().wrong, rig.judge.counts().dropped), (8, 8));
}

#[test]
fn a_peer_that_came_back_was_not_judged_wrongly() {
    for change in 0..3 {
        let mut rig = Rig::fast();
        rig.answering = false;
        rig.pass(4 * MS);
        match change {
            0 => rig.reply.responder += 1,
            1 => rig.reply.masters = Masters::NONE,
            _ => rig.pass(11_000 * MS),
        }
        rig.answering = true;
        rig.pass(30_000 * MS);
        assert!(rig.events.iter().any(|(_, event)| matches!(event, Event::Alive { .. })));
        assert_eq!(rig.judge.counts().wrong, 0, "{change}");
    }
}

#[test]
fn an_advert_refutes_a_verdict_too() {
    let mut rig = Rig::fast();
    rig.answering = false;
    rig.pass(4 * MS);
    let judged = rig.verdicts()[0].0;
    rig.judge.heard(judged, rig.now);
    assert_eq!(rig.judge.counts().wrong, 0, "it came before");
    rig.judge.heard(judged.after(Span(1)), rig.now);
    assert_eq!((rig.judge.counts().wrong, rig.judge.verdict()), (1, None));
}

#[test]
fn a_headless_peer_is_guarded_when_it_is_no_longer_followed() {
    let mut rig = Rig::fast();
    rig.reply.flags = ORPHANED;
    rig.pass(5 * MS);
    rig.judge.follow(false, rig.now);
    rig.sent.clear();
    rig.pass(5000 * MS);
    assert!(rig.gaps().iter().all(|&gap| gap <= 252_000), "its fence must stay closed: {:?}", rig.gaps());
    assert!(rig.sent.len() < 25);
    rig.reply.flags = 0;
    rig.pass(5000 * MS);
    assert!(rig.judge.next_deadline() < Time::NEVER, "it runs again, and is still master");
    rig.reply.masters = Masters::NONE;
    rig.pass(1000 * MS);
    assert_eq!(rig.judge.next_deadline(), Time::NEVER);
}

#[test]
fn only_news_of_this_run_is_believed() {
    let mut rig = Rig::fast();
    rig.answering = false;
    rig.pass(MS);
    let mut reply = rig.reply;
    assert_eq!(rig.judge.latest(), Some(&reply));
    reply.flags = ORPHANED;
    rig.judge.answered(&reply, rig.now);
    reply.sequence = u64::MAX;
    rig.judge.answered(&reply, rig.now);
    assert_eq!(rig.judge.verdict(), None, "neither the same again nor the future");
}

#[test]
fn several_replies_between_two_readings_are_one() {
    let mut rig = Rig::fast();
    rig.answering = false;
    let before = rig.judge.counts().answered;
    let mut sent = 0;
    while sent < 2 {
        rig.now = rig.judge.next_deadline();
        let Some(sequence) = rig.judge.tick(rig.now) else { continue };
        rig.judge.sent(sequence, rig.now);
        (rig.reply.sequence, rig.reply.at) = (sequence, rig.now.after(TRIP));
        sent += 1;
    }
    rig.now = rig.now.after(TRIP);
    rig.step();
    assert_eq!(rig.judge.counts().answered, before + 1);
    rig.pass(2 * MS);
    assert!(rig.verdicts().is_empty());
}

#[test]
fn the_reply_wait_follows_the_round_trips() {
    let mut rig = Rig::fast();
    assert_eq!(rig.judge.reply_wait(), Span::from_micros(100));
    assert_eq!(rig.judge.round_trips().max, TRIP);
    for _ in 0..2000 {
        rig.judge.trips.record(Span::from_micros(500));
    }
    let wait = rig.judge.reply_wait();
    assert!(wait >= Span::from_micros(1000) && wait < Span::from_micros(1300), "{wait:?}");
}

#[test]
fn a_daemon_that_answers_itself_gets_more_patience() {
    let mut rig = Rig::fast();
    rig.reply.flags = USER_SPACE;
    rig.pass(3 * MS);
    rig.answering = false;
    let last = rig.reply.at;
    rig.pass(200 * MS);
    assert_eq!(rig.verdicts()[0].0, last.after(Settings::default().user_space_window));
}

#[test]
fn a_peer_that_is_restarted_may_be_silent_for_longer() {
    let mut rig = Rig::fast();
    rig.reply.flags = RESTARTING;
    rig.pass(3 * MS);
    rig.answering = false;
    let last = rig.reply.at;
    rig.pass(300 * MS);
    assert_eq!(rig.verdicts()[0], (last.after(RESTART_WINDOW), Verdict::Unreachable));
}

#[test]
fn a_daemon_that_answers_itself_is_silent_while_it_is_restarted() {
    let mut rig = Rig::fast();
    rig.reply.flags = USER_SPACE | RESTARTING;
    rig.pass(3 * MS);
    rig.answering = false;
    rig.pass(2000 * MS);
    assert_eq!(rig.verdicts(), [], "its adverts are waited for");
    rig.reply.flags = USER_SPACE;
    rig.reply.responder += 1;
    rig.answering = true;
    rig.pass(50 * MS);
    rig.answering = false;
    rig.pass(200 * MS);
    assert_eq!(rig.verdicts()[0].1, Verdict::Unreachable, "later it is judged as before");
}

#[test]
fn a_verdict_is_affirmed_while_nothing_comes() {
    let mut rig = Rig::fast();
    rig.answering = false;
    rig.pass(30 * MS);
    let times: Vec<_> = rig.verdicts().iter().map(|(at, _)| at.0).collect();
    assert!(times.len() > 3 && times.len() < 14, "{times:?}");
    rig.judge.follow(false, rig.now);
    rig.events.clear();
    rig.pass(3000 * MS);
    assert!(rig.verdicts().is_empty(), "it is of no concern any more");
}

#[test]
fn the_skew_keeps_the_order() {
    let skew = |priority| fast_skew_time(Priority::new(priority).expect("a priority"), WINDOW);
    assert_eq!(skew(100), Span(WINDOW.0 * 156 / 256));
    assert!(skew(254) > Span::ZERO && (1..255).all(|n| skew(n) > skew(n + 1)));
}

/// What a responder says that takes no part: `fast_failover off`, by a reload or since its start.
#[test]
fn a_peer_that_takes_no_part_is_not_judged() {
    for silent in [false, true] {
        let mut rig = Rig::fast();
        rig.reply.flags = TAKES_NO_PART;
        rig.pass(5 * MS);
        let events: Vec<_> = rig.events.drain(..).map(|(_, event)| event).collect();
        assert!(matches!(events[..], [Event::Apart { .. }]), "{events:?}");
        assert!(rig.judge.is_apart() && !rig.judge.is_fast());
        // Whether it goes on answering, resigns, or says nothing any more.
        rig.answering = !silent;
        rig.reply.masters = Masters::NONE;
        rig.sent.clear();
        rig.pass(60_000 * MS);
        assert_eq!(rig.events, [], "silent: {silent}");
        assert!(rig.sent.len() < 12, "{} probes in a minute", rig.sent.len());
        // It does again.
        (rig.answering, rig.reply.flags, rig.reply.masters) = (true, 0, masters());
        rig.pass(11_000 * MS);
        assert!(matches!(rig.events[..], [(_, Event::Discovered { .. })]), "{:?}", rig.events);
        rig.answering = false;
        rig.pass(10 * MS);
        assert!(!rig.verdicts().is_empty());
    }
}

/// To a prober that does not know the flag, it is a router whose daemon answers itself and is being restarted.
#[test]
fn an_older_prober_does_not_judge_it_either() {
    let mut rig = Rig::fast();
    rig.reply.flags = TAKES_NO_PART & !APART;
    rig.pass(5 * MS);
    rig.answering = false;
    rig.pass(60_000 * MS);
    assert_eq!(rig.verdicts(), []);
}

/// An older version with `fast_failover off` answered as one whose lease had run out, master for nothing.
#[test]
fn who_is_master_for_nothing_has_nothing_to_lose() {
    let mut rig = Rig::new();
    (rig.reply.flags, rig.reply.masters) = (EXPIRED, Masters::NONE);
    rig.judge.follow(true, rig.now);
    rig.pass(100 * MS);
    rig.answering = false;
    rig.pass(100 * MS);
    assert_eq!(rig.verdicts(), []);
}

#[test]
fn a_verdict_that_came_of_the_own_cable_is_none_against_the_peer() {
    let pulled = |plug_after_ms: u64| {
        let mut rig = Rig::fast();
        rig.answering = false;
        rig.pass(10 * MS);
        assert_eq!(rig.judge.verdict().map(|(verdict, _)| verdict), Some(Verdict::Unreachable));
        // The kernel tells of it later.
        rig.pass(plug_after_ms * MS);
        rig.judge.link(false, rig.now);
        rig.pass(3_000 * MS);
        rig.judge.link(true, rig.now);
        rig.answering = true;
        rig.events.clear();
        rig.pass(1_000 * MS);
        assert!(rig.events.iter().any(|(_, event)| matches!(event, Event::Alive { .. })));
        (rig.judge.counts().wrong, rig.judge.paused_until(rig.now).is_some())
    };
    assert_eq!(pulled(5), (0, false));
    assert_eq!(pulled(2_000), (1, true), "that late it has nothing to do with it");
}

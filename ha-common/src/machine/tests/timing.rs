//! Statements 1 to 4, 7 and 8: timers in nanoseconds.

use super::super::timers::next_advert;
use super::super::{master_down_interval, skew_time};
use super::*;

#[test]
fn s01_skew_of_v3_is_exact_and_never_zero() {
    let table = [
        (254, 10 * MS, 78_125),
        (255, 10 * MS, 39_062),
        (1, 10 * MS, 9_960_937),
        (100, 1000 * MS, 609_375_000),
        (255, 40_950 * MS, 159_960_937),
        (255, 1, 1),
    ];
    for (priority, interval, skew) in table {
        assert_eq!(
            skew_time(Version::V3, prio(priority), Span(interval)),
            Span(skew),
            "{priority} {interval}"
        );
    }
}

#[test]
fn s02_skew_of_v2_does_not_depend_on_the_interval() {
    for interval in [1, 10, 255].map(Span::from_secs) {
        assert_eq!(skew_time(Version::V2, prio(100), interval), Span(609_375_000));
        assert_eq!(skew_time(Version::V2, prio(255), interval), Span(3_906_250));
    }
}

#[test]
fn s03_master_down_interval_is_three_intervals_and_the_skew() {
    let of = |version, adverts| master_down_interval(version, prio(100), Span::from_secs(2), adverts);
    assert_eq!(of(Version::V2, 3), Span(6_609_375_000));
    assert_eq!(of(Version::V3, 3), Span(7_218_750_000));
    assert_eq!(of(Version::V3, 5), Span(11_218_750_000));
}

#[test]
fn s04_v3_learns_the_interval_and_v2_does_not() {
    let learn = |version, priority| {
        let mut rig = Rig::backup(Params { version, ..params() }, 100);
        rig.feed(Input::Advert { source: ip(20), priority, interval: Span::from_secs(2), at: rig.now });
        rig.machine.master_down_interval()
    };
    assert_eq!(learn(Version::V3, 150), Span(7_218_750_000));
    assert_eq!(learn(Version::V2, 150), Span(909_375_000));
    // Priority zero and a discarded advert teach nothing.
    assert_eq!(learn(Version::V3, 0), Span(360_937_500));
    assert_eq!(learn(Version::V3, 50), Span(360_937_500));
}

#[test]
fn s07_a_new_master_advertises_its_own_interval() {
    let mut rig = Rig::backup(params(), 100);
    rig.feed(Input::Advert { source: ip(20), priority: 150, interval: Span::from_secs(2), at: rig.now });
    rig.run_to_deadline();
    assert_eq!(rig.machine.state(), State::Master);
    assert_eq!(rig.machine.interval(), Span::from_millis(100));
    assert!(rig.remaining() <= Span::from_millis(100));
}

#[test]
fn s08_a_changed_priority_is_in_the_next_advert() {
    let mut rig = Rig::master(params(), 100);
    let deadline = rig.machine.next_deadline();
    assert_eq!(rig.feed(Input::SetPriority(prio(110))), []);
    assert_eq!(rig.machine.next_deadline(), deadline);
    assert_eq!(rig.run_to_deadline(), [Action::SendAdvert { priority: 110 }]);
    // Whoever may be better by now need not wait for it.
    rig.pass(30);
    assert_eq!(rig.feed(Input::SetPriority(prio(90))), [Action::SendAdvert { priority: 90 }]);
    assert!(rig.remaining() > Span::from_millis(90));
    // Up and down all the time: it is not a flood.
    let mut sent = 0;
    for n in 0..1_000_u32 {
        let input = Input::SetPriority(prio(if n % 2 == 0 { 80 } else { 81 }));
        rig.now = rig.now.after(Span::from_micros(100));
        sent += rig.feed(input).len();
        if rig.machine.next_deadline() <= rig.now {
            sent += rig.feed(Input::Timer).len();
        }
    }
    assert!((6..=9).contains(&sent), "{sent} in an interval");
}

#[test]
fn s08_a_changed_interval_is_advertised_at_once() {
    let mut rig = Rig::master(params(), 100);
    rig.pass(10);
    let slower = Params { interval: Span::from_secs(2), ..params() };
    assert_eq!(rig.feed(Input::Reconfigure(slower)), [Action::SendAdvert { priority: 100 }]);
    assert_eq!(rig.machine.interval(), Span::from_secs(2));
    assert!(rig.remaining() > Span::from_millis(1900));
}

#[test]
fn an_unrelated_reload_resets_no_timer() {
    for mut rig in [Rig::backup(params(), 100), Rig::master(params(), 100)] {
        rig.pass(7);
        let before = rig.machine.next_deadline();
        let other = Params { preempt_delay: Span::SECOND, lower_prio_no_advert: true, ..params() };
        assert_eq!(rig.feed(Input::Reconfigure(other)), []);
        assert_eq!(rig.machine.next_deadline(), before);
    }
}

#[test]
fn a_reload_of_the_interval_moves_the_deadline_by_the_difference() {
    let mut rig = Rig::backup(Params { version: Version::V2, interval: Span::from_secs(1), ..params() }, 100);
    rig.pass(700);
    let before = rig.machine.next_deadline();
    let slower = Params { interval: Span::from_secs(2), ..*rig.machine.params() };
    rig.feed(Input::Reconfigure(slower));
    assert_eq!(rig.machine.next_deadline(), before.after(Span::from_secs(3)));
}

#[test]
fn adverts_keep_their_phase_and_never_burst() {
    let interval = Span::from_millis(100);
    let at = |millis: u64| Time(millis * MS);
    let table = [
        // due, sent, next: on time, late by less than an interval, late by several.
        (1000, 1000, 1100),
        (1000, 1060, 1100),
        (1000, 1100, 1200),
        (1000, 1730, 1830),
    ];
    for (due, sent, next) in table {
        assert_eq!(next_advert(at(due), at(sent), interval), at(next), "due {due} sent {sent}");
    }
}

#[test]
fn adverts_of_all_machines_with_one_interval_end_in_one_phase() {
    let interval = Span::from_millis(10);
    for start in [0, 1, 3_333_333, 5 * MS, 9_999_999] {
        let (first, mut due) = (Time(7 * MS + start), Time(7 * MS + start));
        for n in 1..=40 {
            let next = next_advert(due, due, interval);
            assert!(next.span_since(due) <= interval);
            assert!(next.span_since(first).0 >= n * interval.0 * 31 / 32, "too fast");
            due = next;
        }
        assert_eq!(due.0 % interval.0, 0);
    }
}

#[test]
fn a_hundred_masters_come_to_share_their_wake_ups() {
    let mut rigs: Vec<Rig> = (0..100)
        .map(|nth| {
            let mut rig = Rig::new(Params { interval: Span::from_millis(10), ..params() }, 255);
            rig.now = rig.now.after(Span(97_001 * nth));
            rig.feed(Input::Ready(true));
            rig
        })
        .collect();
    let mut wakes = 0;
    loop {
        let now = rigs.iter().map(|rig| rig.machine.next_deadline()).min().expect("some rigs");
        if now > Time(2500 * MS) {
            break;
        }
        wakes += u32::from(now > Time(1500 * MS));
        // The driver is a little late, and serves all that are due.
        for rig in &mut rigs {
            rig.now = now.after(Span::from_micros(80));
            rig.feed(Input::Timer);
        }
    }
    assert!(wakes <= 100, "{wakes} wake-ups for a second of 100 intervals");
}

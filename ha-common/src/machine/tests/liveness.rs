//! Statement 41: a stall of the backup is not a death of the master, and a death is believed all the same.

use super::super::Reason;
use super::super::backup::{GRACE, MAX_GRACES, MAX_LOSSES};
use super::*;

const OURS: u8 = 100;

/// A backup of a master with 10 ms.
fn watching() -> Rig {
    let mut rig = Rig::backup(Params { interval: Span::from_millis(10), ..params() }, OURS);
    hear_at(&mut rig, Time(1000 * MS));
    rig
}

fn hear_at(rig: &mut Rig, at: Time) -> Vec<Action> {
    rig.feed(Input::Advert { source: ip(20), priority: 200, interval: Span::from_millis(10), at })
}

#[test]
fn s41_a_stamp_moves_the_deadline_and_never_back() {
    let mut rig = watching();
    let deadline = rig.machine.next_deadline();
    rig.feed(Input::Seen(Time(1010 * MS)));
    assert_eq!(rig.machine.next_deadline(), deadline.after(Span::from_millis(10)));
    rig.feed(Input::Seen(Time(1005 * MS)));
    assert_eq!(rig.machine.next_deadline(), deadline.after(Span::from_millis(10)));
    assert_eq!(rig.machine.master().map(|master| master.last_seen), Some(Time(1010 * MS)));
}

#[test]
fn s41_silence_counts_from_the_arrival_not_from_the_reading() {
    let mut rig = watching();
    rig.pass(25);
    hear_at(&mut rig, Time(1010 * MS));
    assert_eq!(rig.remaining(), Span(21_093_750));
}

#[test]
fn s41_ten_seconds_without_cpu_with_stamps() {
    let mut rig = watching();
    rig.pass(10_000);
    // The stamp may be newer than the time that the driver took.
    let stamp = rig.now.after(Span(300));
    rig.feed(Input::Seen(stamp));
    assert_eq!(rig.feed(Input::Timer), []);
    assert_eq!(rig.machine.state(), State::Backup);
}

#[test]
fn s41_ten_seconds_without_cpu_with_a_queue() {
    let mut rig = watching();
    rig.pass(10_000);
    for n in 0..200 {
        hear_at(&mut rig, Time((1000 + 10 * n) * MS));
    }
    rig.feed(Input::FramesLost);
    assert_eq!(rig.feed(Input::Timer), []);
    assert_eq!(rig.remaining(), Span(36_093_750), "the queue overflowed: a new beginning");
}

#[test]
fn s41_a_late_timer_gives_the_kernel_one_more_moment() {
    let mut rig = watching();
    rig.pass(500);
    assert_eq!(rig.feed(Input::Timer), []);
    assert_eq!(rig.remaining(), GRACE);
    // What the card held comes in.
    rig.pass(1);
    let at = rig.now;
    rig.feed(Input::Seen(at));
    assert_eq!(rig.remaining(), Span(36_093_750));
}

#[test]
fn a_punctual_timer_gives_no_grace() {
    let mut rig = watching();
    let dead = Action::Transition { from: State::Backup, to: State::Master, reason: Reason::MasterDown };
    assert_eq!(rig.run_to_deadline(), [Action::SendAdvert { priority: OURS }, dead, Action::Untrack]);
    let mut rig = watching();
    rig.now = rig.machine.next_deadline().after(Span::from_millis(2));
    assert_eq!(states(&rig.feed(Input::Timer)).len(), 1);
}

#[test]
fn a_backup_without_cpu_believes_in_a_death_all_the_same() {
    let mut rig = watching();
    let mut graces = 0;
    while rig.machine.state() == State::Backup {
        rig.now = rig.machine.next_deadline().after(Span::from_millis(50));
        rig.feed(Input::Timer);
        graces += 1;
    }
    assert_eq!(graces, u32::from(MAX_GRACES) + 1);
}

#[test]
fn a_flood_does_not_keep_a_dead_master_alive() {
    let mut rig = watching();
    for _ in 0..1000 {
        rig.pass(10).feed(Input::FramesLost);
        if rig.now >= rig.machine.next_deadline() {
            rig.feed(Input::Timer);
        }
    }
    assert_eq!(rig.machine.state(), State::Master);
    assert!(rig.machine.since() < Time((1100 + 10 * u64::from(MAX_LOSSES)) * MS));
}

#[test]
fn an_early_timer_is_a_no_op() {
    for mut rig in [watching(), Rig::master(params(), OURS)] {
        let deadline = rig.machine.next_deadline();
        rig.now = Time(deadline.0 - 1);
        assert_eq!(rig.feed(Input::Timer), []);
        assert_eq!(rig.machine.next_deadline(), deadline);
    }
}

#[test]
fn s41_a_master_that_resigned_and_came_back_during_a_stall_is_alive() {
    let mut rig = watching();
    rig.pass(10_000);
    let stamp = Time(rig.now.0 - 2 * MS);
    rig.feed(Input::Seen(stamp));
    let at = Time(5000 * MS);
    rig.feed(Input::Advert { source: ip(20), priority: 0, interval: Span::from_millis(10), at });
    rig.feed(Input::Seen(stamp));
    assert_eq!(rig.feed(Input::Timer), []);
    assert_eq!(rig.remaining(), Span(34_093_750));
}

#[test]
fn s41_a_stamp_that_was_just_too_old_does_not_hide_a_stall() {
    let mut rig = watching();
    rig.pass(500);
    // 36.1 ms of silence: the deadline that the stamp makes is not missed by much, but the driver was not there.
    let stamp = Time(rig.now.0 - 36_100_000);
    rig.feed(Input::Seen(stamp));
    assert_eq!(rig.feed(Input::Timer), []);
    assert_eq!(rig.remaining(), GRACE);
}

#[test]
fn a_hundred_backups_wake_up_as_rarely_as_one() {
    let mut rigs: Vec<Rig> = (1..=100)
        .map(|priority| {
            let mut rig = Rig::backup(Params { interval: Span::from_millis(10), ..params() }, priority);
            hear_at(&mut rig, Time(1000 * MS));
            rig
        })
        .collect();
    let mut wakes = 0;
    loop {
        let now = rigs.iter().map(|rig| rig.machine.next_deadline()).min().expect("some rigs");
        if now > Time(2000 * MS) {
            break;
        }
        wakes += 1;
        for rig in &mut rigs {
            rig.now = now;
            rig.feed(Input::Seen(Time(now.0 - now.0 % (10 * MS))));
            rig.feed(Input::Timer);
            assert_eq!(rig.machine.state(), State::Backup);
        }
    }
    assert!(wakes < 40, "{wakes} wake-ups in a second");
}

#[test]
fn s41_a_stamp_from_the_far_future_is_not_believed() {
    for input in [
        Input::Seen(Time(u64::MAX)),
        Input::Advert { source: ip(20), priority: 200, interval: Span::from_millis(10), at: Time(u64::MAX) },
    ] {
        let mut rig = watching();
        rig.feed(input);
        assert!(rig.remaining() < Span::from_millis(1_100), "{:?}", rig.remaining());
    }
}

//! Verdicts of the judge, resignations by the bitmap, step-down, and the role of an earlier run.

use super::*;
use crate::judge::Verdict;
use crate::machine::{Reason, skew_time};

const WAIT: Span = Span::from_micros(1_500);

/// A backup that tracks host 20 since now, whose next advert is not soon.
fn tracking() -> Rig {
    tracking_every(200)
}

fn tracking_every(millis: u64) -> Rig {
    let mut rig = Rig::backup(params(), 100);
    rig.pass(10);
    rig.hear_every(millis, 20, 200);
    rig.pass(50);
    rig
}

fn lost(rig: &Rig, host: u8, verdict: Verdict) -> Input {
    Input::MasterLost { source: ip(host), verdict, at: rig.now, affirmed: rig.now, wait: WAIT }
}

fn takeover(rig: &mut Rig) -> Reason {
    let due = rig.now.after(WAIT);
    assert_eq!(rig.machine.next_deadline(), due);
    let actions = rig.run_to_deadline();
    assert_eq!(actions[0], Action::SendAdvert { priority: 100 });
    assert_eq!(states(&actions), [(State::Backup, State::Master)]);
    assert_eq!(rig.now, due);
    rig.machine.reason()
}

#[test]
fn a_verdict_on_the_master_is_a_takeover_after_the_wait() {
    for (verdict, reason) in [
        (Verdict::Unreachable, Reason::MasterUnreachable),
        (Verdict::Orphaned, Reason::MasterOrphaned),
        (Verdict::Expired, Reason::MasterExpired),
    ] {
        let mut rig = tracking();
        let input = lost(&rig, 20, verdict);
        assert!(rig.feed(input).is_empty(), "still tracked: a stamp may refute it");
        assert_eq!(takeover(&mut rig), reason);
    }
}

/// Unicast packets may be lost where adverts are not. Where the next advert is soon, it decides.
#[test]
fn a_master_that_advertises_often_is_given_until_its_next_advert() {
    for millis in [51, 60, 100, 101, 1_000] {
        let mut rig = tracking_every(millis);
        let heard = Time(rig.now.0 - 50 * MS);
        let input = lost(&rig, 20, Verdict::Unreachable);
        rig.feed(input);
        let due = rig.machine.next_deadline();
        // It may be an eighth late. All backups wait for it, and take over in their order after that.
        let advert = heard.after(Span::from_millis(millis)).after(Span(millis * MS / 8));
        let from = if millis <= 100 { advert } else { rig.now };
        assert_eq!(due, from.after(WAIT), "every {millis} ms");
        // It comes: nothing has happened.
        rig.now = Time(due.0 - 1);
        rig.hear_every(millis, 20, 200);
        assert!(rig.remaining() > Span::from_millis(millis), "every {millis} ms");
    }
    // What a host says of itself is no silence, and one that is late already has had its time.
    let mut rig = tracking_every(60);
    let input = lost(&rig, 20, Verdict::Orphaned);
    rig.feed(input);
    assert_eq!(takeover(&mut rig), Reason::MasterOrphaned);
    let mut rig = tracking_every(40);
    let input = lost(&rig, 20, Verdict::Unreachable);
    rig.feed(input);
    assert_eq!(takeover(&mut rig), Reason::MasterUnreachable);
}

#[test]
fn a_verdict_on_somebody_else_is_nothing() {
    let mut rig = tracking();
    let before = rig.machine.next_deadline();
    let input = lost(&rig, 30, Verdict::Orphaned);
    rig.feed(input);
    assert_eq!(rig.machine.next_deadline(), before);
    let mut master = Rig::master(params(), 100);
    let input = lost(&master, 20, Verdict::Orphaned);
    assert!(master.feed(input).is_empty());
}

#[test]
fn a_later_sign_of_life_refutes_a_verdict() {
    let at = |rig: &Rig, ns: i64| Time(rig.now.0.checked_add_signed(ns).expect("in range"));
    let signs: [fn(Time) -> Input; 4] = [
        Input::Seen,
        |at| Input::MasterAlive { source: ip(20), at },
        |at| Input::Advert { source: ip(20), priority: 200, interval: Span::from_millis(100), at },
        // Another master took over already.
        |at| Input::Advert { source: ip(30), priority: 150, interval: Span::from_millis(100), at },
    ];
    for (n, sign) in signs.into_iter().enumerate() {
        for (offset, refutes) in [(1, true), (0, false)] {
            let mut rig = tracking();
            let input = lost(&rig, 20, Verdict::Unreachable);
            rig.feed(input);
            let judged = rig.now;
            let input = sign(at(&rig, offset));
            rig.feed(input);
            let due = rig.machine.next_deadline();
            assert_eq!(due > judged.after(WAIT), refutes || n == 3, "sign {n}, {offset}");
        }
    }
}

#[test]
fn a_verdict_older_than_the_latest_stamp_is_outdated() {
    let mut rig = tracking();
    let input = lost(&rig, 20, Verdict::Unreachable);
    rig.pass(1);
    rig.feed(Input::Seen(rig.now));
    let before = rig.machine.next_deadline();
    rig.feed(input);
    assert_eq!(rig.machine.next_deadline(), before);
}

#[test]
fn lost_frames_do_not_save_a_dead_master() {
    let mut rig = tracking();
    let input = lost(&rig, 20, Verdict::Unreachable);
    rig.feed(input);
    rig.feed(Input::FramesLost);
    assert_eq!(takeover(&mut rig), Reason::MasterUnreachable);
}

#[test]
fn s41_an_old_verdict_waits_until_it_is_said_again() {
    let mut rig = tracking();
    let input = lost(&rig, 20, Verdict::Unreachable);
    rig.feed(input);
    rig.pass(100);
    for _ in 0..4 {
        rig.feed(Input::Timer);
        assert_eq!(rig.machine.state(), State::Backup);
        rig.pass(6);
    }
    assert!(rig.remaining() > Span::from_millis(10), "the RFC's timer is left");
    let input = lost(&rig, 20, Verdict::Unreachable);
    rig.feed(input);
    assert_eq!(takeover(&mut rig), Reason::MasterUnreachable);
}

#[test]
fn an_affirmation_does_not_revive_what_was_refuted() {
    let mut rig = tracking();
    let at = rig.now;
    let verdict = Verdict::Unreachable;
    rig.feed(Input::MasterLost { source: ip(20), verdict, at, affirmed: at, wait: WAIT });
    rig.pass(1);
    rig.feed(Input::Seen(rig.now));
    rig.pass(1);
    let before = rig.machine.next_deadline();
    rig.feed(Input::MasterLost { source: ip(20), verdict, at, affirmed: rig.now, wait: WAIT });
    assert_eq!(rig.machine.next_deadline(), before);
}

#[test]
fn a_late_main_loop_gets_its_grace_and_acts_on_an_affirmed_verdict() {
    let mut rig = tracking();
    let input = lost(&rig, 20, Verdict::Unreachable);
    rig.feed(input);
    let (at, verdict) = (rig.now, Verdict::Unreachable);
    rig.pass(30);
    rig.feed(Input::MasterLost { source: ip(20), verdict, at, affirmed: rig.now, wait: WAIT });
    rig.feed(Input::Timer);
    assert_eq!(rig.machine.state(), State::Backup, "a grace");
    rig.run_to_deadline();
    assert_eq!(rig.machine.reason(), Reason::MasterUnreachable);
}

#[test]
fn a_resignation_by_the_bitmap_is_faster_than_priority_0() {
    let mut rig = tracking();
    let resigned = Input::MasterResigned { source: ip(20), at: rig.now, wait: WAIT };
    assert_eq!(rig.feed(resigned), [Action::Untrack]);
    assert_eq!(takeover(&mut rig), Reason::MasterResigned);

    // Priority 0 came first.
    let mut rig = tracking();
    rig.hear(20, 0);
    let resigned = Input::MasterResigned { source: ip(20), at: rig.now, wait: WAIT };
    assert!(rig.feed(resigned).is_empty());
    assert_eq!(takeover(&mut rig), Reason::MasterResigned);

    // It is master again before the wait is over.
    let mut rig = tracking();
    rig.feed(Input::MasterResigned { source: ip(20), at: rig.now, wait: WAIT });
    rig.pass(1);
    assert_eq!(rig.hear(20, 200), [Action::Track]);
    assert!(rig.remaining() > Span::from_millis(200));
}

#[test]
fn a_delayed_preemption_does_not_delay_a_verdict() {
    let mut rig = Rig::backup(Params { preempt_delay: Span::from_secs(60), ..params() }, 100);
    rig.hear_every(200, 20, 50);
    rig.pass(50);
    let input = lost(&rig, 20, Verdict::Unreachable);
    rig.feed(input);
    assert_eq!(takeover(&mut rig), Reason::MasterUnreachable);
}

#[test]
fn an_own_expired_lease_steps_down() {
    let mut rig = Rig::master(params(), 100);
    let actions = rig.feed(Input::StepDown);
    assert_eq!(actions[0], Action::SendAdvert { priority: 0 });
    assert_eq!(states(&actions), [(State::Master, State::Backup)]);
    assert_eq!(rig.machine.reason(), Reason::LeaseExpired);
    assert!(rig.feed(Input::StepDown).is_empty(), "a backup has nothing to step down from");
    assert_eq!(rig.remaining(), skew_time(Version::V3, prio(100), params().interval), "as its successors do");
    // Whoever took over has been asked, and says so.
    rig.pass(1);
    assert_eq!(rig.hear(20, 50), []);
    assert!(rig.remaining() > Span::from_millis(300), "it is preempted like any other");

    let mut leaving = Rig::master(params(), 100);
    leaving.feed(Input::Stop);
    assert_eq!(states(&leaving.feed(Input::StepDown)), [(State::Leaving, State::Init)]);

    let mut fault = Rig::backup(params(), 100);
    fault.feed(Input::Ready(false));
    assert!(fault.feed(Input::StepDown).is_empty());
}

#[test]
fn an_earlier_role_goes_on_without_a_transition() {
    let now = Time(1000 * MS);
    let mut machine = Machine::resume_master(params(), prio(100), ip(10), now);
    let actions: Vec<_> = core::iter::from_fn(|| machine.poll_action()).collect();
    assert_eq!(actions, [Action::SendAdvert { priority: 100 }]);
    assert_eq!((machine.state(), machine.reason()), (State::Master, Reason::Resumed));
    assert!(machine.next_deadline() > now && machine.next_deadline() <= now.after(Span::from_millis(100)));
    machine.handle(Input::Ready(true), now);
    assert_eq!(machine.poll_action(), None);
    // The address is known: the tie-break works.
    let interval = Span::from_millis(100);
    machine.handle(Input::Advert { source: ip(9), priority: 100, interval, at: now }, now);
    assert_eq!(machine.state(), State::Master);
    machine.handle(
        Input::Advert { source: ip(11), priority: 100, interval, at: now.after(Span(1)) },
        now.after(Span(2)),
    );
    assert_eq!(machine.state(), State::Backup);
}

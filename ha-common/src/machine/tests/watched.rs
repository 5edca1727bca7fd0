//! A router that is about to preempt a lower-priority master watches it; and whose job it is to answer questions.

use super::*;
use crate::judge::Verdict;
use crate::machine::{FAST_HANDOVER, Reason};

const WAIT: Span = Span::from_micros(1_500);

/// A backup of priority 100 that ignores host 20 with priority 50, and would preempt it by the RFC's timer.
fn returning() -> Rig {
    let mut rig = Rig::backup(params(), 100);
    rig.pass(10);
    assert!(rig.hear_every(200, 20, 50).is_empty(), "not tracked");
    assert_eq!(rig.machine.master(), None);
    assert_eq!(watched(&rig), Some(20));
    rig.pass(50);
    rig
}

fn watched(rig: &Rig) -> Option<u8> {
    rig.machine.watched().map(|master| match master.address {
        IpAddr::V4(address) => address.octets()[3],
        IpAddr::V6(_) => 0,
    })
}

fn lost(rig: &Rig, host: u8) -> Input {
    let verdict = Verdict::Unreachable;
    Input::MasterLost { source: ip(host), verdict, at: rig.now, affirmed: rig.now, wait: WAIT }
}

fn resigned(rig: &Rig, host: u8) -> Input {
    Input::MasterResigned { source: ip(host), at: rig.now, wait: WAIT }
}

fn takes_over(rig: &mut Rig) -> Reason {
    let due = rig.now.after(WAIT);
    assert_eq!(rig.machine.next_deadline(), due);
    assert_eq!(states(&rig.run_to_deadline()), [(State::Backup, State::Master)]);
    assert_eq!(watched(rig), None);
    rig.machine.reason()
}

#[test]
fn the_death_of_an_ignored_master_is_a_takeover_after_the_wait() {
    let mut rig = returning();
    let input = lost(&rig, 20);
    assert!(rig.feed(input).is_empty());
    assert_eq!(takes_over(&mut rig), Reason::MasterUnreachable);
}

#[test]
fn the_resignation_of_an_ignored_master_is_one_too() {
    let mut rig = returning();
    let input = resigned(&rig, 20);
    assert!(rig.feed(input).is_empty(), "there is no fingerprint to clear");
    assert_eq!(watched(&rig), None);
    assert_eq!(takes_over(&mut rig), Reason::MasterResigned);

    let mut rig = returning();
    rig.hear(20, 0);
    assert_eq!(watched(&rig), None);
    let input = resigned(&rig, 20);
    rig.feed(input);
    assert_eq!(takes_over(&mut rig), Reason::MasterResigned);
}

#[test]
fn watching_postpones_no_preemption() {
    let mut rig = Rig::backup(params(), 100);
    let preemption = rig.machine.next_deadline();
    for _ in 0..3 {
        rig.pass(100);
        rig.hear(20, 50);
        assert_eq!(rig.machine.next_deadline(), preemption);
    }
    rig.run_to_deadline();
    assert_eq!(rig.machine.reason(), Reason::Preempted);
}

#[test]
fn a_verdict_on_one_ignored_master_does_not_count_for_another() {
    // The other took over before this router could.
    let mut rig = returning();
    let input = lost(&rig, 20);
    let before = rig.machine.next_deadline();
    rig.feed(input);
    rig.now = rig.now.after(Span::from_micros(500));
    rig.hear(30, 60);
    assert_eq!(watched(&rig), Some(30));
    assert_eq!(rig.machine.next_deadline(), before);

    // The verdict comes after the other has been heard.
    let mut rig = returning();
    rig.hear(30, 60);
    let input = lost(&rig, 20);
    rig.feed(input);
    let input = resigned(&rig, 20);
    rig.feed(input);
    assert_eq!(rig.machine.next_deadline(), before);

    // The first one resigned; that the second one is alive counts.
    let mut rig = returning();
    rig.hear(20, 0);
    rig.pass(1);
    rig.hear(30, 60);
    let before = rig.machine.next_deadline();
    let input = lost(&rig, 20);
    rig.feed(input);
    assert_eq!(rig.machine.next_deadline(), before);
}

/// The verdict waits for the next advert of a master that advertises often; that one resigns meanwhile, and a lower router takes
/// over. What was held against the first is no reason to take over from the second.
#[test]
fn a_silent_master_that_resigned_has_a_successor() {
    let mut rig = Rig::backup(params(), 100);
    rig.pass(10);
    rig.hear_every(200, 30, 200);
    let (mut input, judged) = (lost(&rig, 30), rig.now);
    if let Input::MasterLost { wait, .. } = &mut input {
        *wait = Span::from_millis(60);
    }
    rig.feed(input);
    rig.pass(10);
    rig.hear(30, 0);
    assert_eq!(watched(&rig), None);
    rig.pass(10);
    rig.hear(20, 50);
    assert_eq!(watched(&rig), Some(20));
    let due = judged.after(Span::from_millis(60));
    assert!(
        rig.machine.next_deadline() > due,
        "the skew time of its resignation counts, and not the verdict"
    );
}

#[test]
fn signs_of_life_of_an_ignored_master_refute_a_verdict() {
    let before = returning().machine.next_deadline();
    for refute in [
        |rig: &mut Rig| {
            rig.hear(20, 50);
        },
        |rig: &mut Rig| {
            let at = rig.now;
            rig.feed(Input::MasterAlive { source: ip(20), at });
        },
    ] {
        let mut rig = returning();
        let input = lost(&rig, 20);
        rig.feed(input);
        rig.pass(1);
        refute(&mut rig);
        assert_eq!(rig.machine.next_deadline(), before);
        // A verdict from before that sign.
        rig.hear(20, 50);
        rig.feed(input);
        assert_eq!(rig.machine.next_deadline(), before);
    }
}

#[test]
fn a_master_that_is_followed_is_the_one_that_is_watched() {
    let mut rig = returning();
    assert_eq!(rig.hear(30, 200), [Action::Track]);
    assert_eq!(watched(&rig), Some(30));
    // An intruder of lower priority is neither.
    rig.hear(20, 50);
    assert_eq!(watched(&rig), Some(30));
    let before = rig.machine.next_deadline();
    let input = lost(&rig, 20);
    rig.feed(input);
    assert_eq!(rig.machine.next_deadline(), before);
}

#[test]
fn a_preemption_delay_ends_without_losing_sight_of_the_master() {
    let delayed = Params { preempt_delay: Span::from_millis(250), ..params() };
    let mut rig = Rig::backup(delayed, 100);
    for _ in 0..3 {
        assert_eq!(rig.hear_every(200, 20, 50), [Action::Track]);
        rig.pass(100);
    }
    assert_eq!(rig.hear_every(200, 20, 50), [], "the delay is over");
    assert_eq!(rig.feed(Input::Timer), [Action::Untrack]);
    assert_eq!((rig.machine.master(), watched(&rig)), (None, Some(20)));
    let input = lost(&rig, 20);
    rig.feed(input);
    assert_eq!(takes_over(&mut rig), Reason::MasterUnreachable);

    // A verdict that fell before the end of the delay stands.
    let mut rig = Rig::backup(delayed, 100);
    rig.hear_every(200, 20, 50);
    rig.pass(249);
    let input = lost(&rig, 20);
    rig.feed(input);
    rig.pass(1);
    assert_eq!(rig.feed(Input::Timer), [Action::Untrack]);
    rig.run_to_deadline();
    assert_eq!(rig.machine.reason(), Reason::MasterUnreachable);
}

#[test]
fn without_preemption_the_lower_master_is_followed() {
    let mut rig = Rig::backup(Params { preempt: false, ..params() }, 100);
    assert_eq!(rig.hear(20, 50), [Action::Track]);
    assert_eq!(watched(&rig), Some(20));
}

#[test]
fn only_masters_answer_solicitations_and_those_that_wait_for_a_slow_successor() {
    let mut rig = Rig::backup(params(), 100);
    assert!(!rig.machine.answers());
    rig.run_to_deadline();
    assert!(rig.machine.answers());
    rig.feed(Input::Stop);
    assert_eq!(rig.machine.state(), State::Leaving);
    assert!(rig.machine.answers(), "keepalived needs time");
    rig.pass(1);
    rig.hear(20, 50);
    assert_eq!(rig.machine.state(), State::Leaving);
    assert!(!rig.machine.answers(), "its addresses come next");

    let mut rig = Rig::master(params(), 100);
    rig.feed(Input::Reconfigure(Params { handover: FAST_HANDOVER, ..params() }));
    assert!(rig.machine.answers());
    rig.feed(Input::Stop);
    assert!(!rig.machine.answers(), "a prompt successor answers before long");

    let mut rig = Rig::master(params(), 100);
    rig.pass(1);
    rig.hear(20, 200);
    assert!(!rig.machine.answers());
}

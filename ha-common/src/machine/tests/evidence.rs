//! Each change says what it rests on, and no two of them look alike.

use super::*;
use crate::machine::{Evidence, Reason};

const WAIT: Span = Span::from_micros(1_500);

fn told(rig: &Rig) -> (Reason, Evidence) {
    (rig.machine.reason(), *rig.machine.evidence())
}

fn about(evidence: &Evidence) -> Option<(u8, u8)> {
    evidence.about.map(|about| match about.address {
        IpAddr::V4(address) => (address.octets()[3], about.priority),
        IpAddr::V6(_) => (0, about.priority),
    })
}

/// A backup of priority 100 that follows host 20 with 150.
fn following() -> Rig {
    let mut rig = Rig::backup(params(), 100);
    rig.pass(10).hear(20, 150);
    rig.pass(50);
    rig
}

fn lowered(rig: &Rig, host: u8) -> Input {
    Input::MasterLowered { source: ip(host), at: rig.now, wait: WAIT }
}

#[test]
fn a_first_start_has_heard_nobody() {
    let mut rig = Rig::backup(params(), 100);
    let start = rig.now;
    rig.run_to_deadline();
    let (reason, evidence) = told(&rig);
    assert_eq!((reason, about(&evidence), evidence.quiet_since), (Reason::NoMaster, None, Some(start)));
}

#[test]
fn silence_is_that_of_the_master_and_has_a_beginning() {
    let mut rig = following();
    let heard = rig.now;
    rig.feed(Input::Seen(heard));
    rig.run_to_deadline();
    let (reason, evidence) = told(&rig);
    assert_eq!((reason, about(&evidence)), (Reason::MasterDown, Some((20, 150))));
    assert_eq!(evidence.about.map(|about| about.last_seen), Some(heard));
}

#[test]
fn a_lowered_priority_is_told_from_a_lower_router() {
    let mut rig = following();
    while rig.machine.state() == State::Backup {
        rig.hear(20, 80);
        let next = rig.now.after(Span::from_millis(100));
        if rig.machine.next_deadline() <= next {
            rig.run_to_deadline();
        } else {
            rig.now = next;
        }
    }
    let (reason, evidence) = told(&rig);
    assert_eq!(
        (reason, about(&evidence), evidence.fell_from),
        (Reason::MasterLowered, Some((20, 80)), Some(150))
    );

    let mut rig = Rig::backup(params(), 100);
    for _ in 0..3 {
        rig.pass(90).hear(20, 80);
    }
    rig.run_to_deadline();
    let (reason, evidence) = told(&rig);
    assert_eq!((reason, about(&evidence), evidence.fell_from), (Reason::Preempted, Some((20, 80)), None));
}

#[test]
fn a_master_that_was_preempted_but_died_meanwhile_is_silent() {
    let mut rig = Rig::backup(params(), 100);
    rig.hear_every(10, 20, 80);
    rig.run_to_deadline();
    assert_eq!(told(&rig).0, Reason::MasterDown);
}

#[test]
fn an_own_change_is_told() {
    let mut rig = following();
    rig.feed(Input::SetPriority(prio(200)));
    let changed = rig.now;
    for _ in 0..2 {
        rig.pass(90).hear(20, 150);
    }
    rig.run_to_deadline();
    let (reason, evidence) = told(&rig);
    assert_eq!((reason, about(&evidence)), (Reason::Preempted, Some((20, 150))));
    assert_eq!(evidence.own_before, Some((prio(100), changed)));
    // And back.
    rig.feed(Input::SetPriority(prio(90)));
    rig.pass(1).hear(20, 150);
    let (reason, evidence) = told(&rig);
    assert_eq!((reason, about(&evidence)), (Reason::HigherPriority, Some((20, 150))));
    assert_eq!(evidence.own_before.map(|(before, _)| before), Some(prio(200)));
}

#[test]
fn a_peer_that_lowers_its_priority_is_replaced_after_the_wait() {
    let mut rig = following();
    rig.hear(20, 80);
    let input = lowered(&rig, 20);
    rig.feed(input);
    assert_eq!(rig.remaining(), WAIT);
    // Neither its next advert nor its replies change anything.
    rig.now = rig.now.after(Span::from_micros(500));
    rig.hear(20, 80);
    rig.feed(Input::MasterAlive { source: ip(20), at: rig.now });
    assert_eq!(states(&rig.run_to_deadline()), [(State::Backup, State::Master)]);
    let (reason, evidence) = told(&rig);
    assert_eq!(
        (reason, about(&evidence), evidence.fell_from),
        (Reason::MasterLowered, Some((20, 80)), Some(150))
    );
}

#[test]
fn it_is_not_where_it_rises_again_or_the_rules_say_otherwise() {
    // It is better again in time.
    let mut rig = following();
    rig.hear(20, 80);
    let input = lowered(&rig, 20);
    rig.feed(input);
    rig.now = rig.now.after(Span::from_micros(500));
    rig.hear(20, 150);
    assert!(rig.remaining() > Span::from_millis(300));

    let unmoved = |params: Params, host: u8, priority: u8| {
        let mut rig = Rig::backup(params, 100);
        rig.pass(10).hear(20, 150);
        rig.pass(50).hear(host, priority);
        let before = rig.machine.next_deadline();
        let input = lowered(&rig, host);
        rig.feed(input);
        assert_eq!(rig.machine.next_deadline(), before, "{params:?} {host} {priority}");
    };
    unmoved(Params { preempt: false, ..params() }, 20, 80);
    unmoved(Params { preempt_delay: Span::SECOND, ..params() }, 20, 80);
    unmoved(params(), 20, 120);
    unmoved(params(), 20, 100);
    unmoved(params(), 30, 80);
}

#[test]
fn a_member_of_a_sync_group_keeps_why_it_was_ready() {
    let mut rig = Rig::backup(Params { grouped: true, ..params() }, 100);
    rig.pass(10).hear(20, 150);
    rig.run_to_deadline();
    assert!(rig.machine.is_ready_to_take_over());
    rig.pass(500);
    rig.feed(Input::TakeOver);
    let (reason, evidence) = told(&rig);
    assert_eq!((reason, about(&evidence)), (Reason::MasterDown, Some((20, 150))));
}

//! Members of sync groups: ready to take over instead of master, until the group says so.

use super::*;
use crate::judge::Verdict;
use crate::machine::Reason;

fn grouped() -> Params {
    Params { grouped: true, ..params() }
}

/// A member whose master, host 20 with priority 150, is gone.
fn ready() -> Rig {
    let mut rig = Rig::backup(grouped(), 100);
    rig.hear(20, 150);
    rig.run_to_deadline();
    assert!(rig.machine.is_ready_to_take_over());
    assert_eq!(rig.machine.state(), State::Backup);
    rig
}

#[test]
fn a_member_takes_over_when_the_group_does() {
    let mut early = Rig::backup(grouped(), 100);
    assert!(early.feed(Input::TakeOver).is_empty(), "not ready");
    let mut rig = ready();
    assert!(rig.machine.next_deadline() > rig.now, "the deadline lies ahead");
    assert!(rig.run_to_deadline().is_empty(), "it is ready already");
    let actions = rig.feed(Input::TakeOver);
    assert_eq!(states(&actions), [(State::Backup, State::Master)]);
    assert_eq!(rig.machine.reason(), Reason::MasterDown);
}

#[test]
fn a_masters_advert_ends_readiness() {
    let mut rig = ready();
    assert_eq!(rig.hear(21, 50), [], "one that must yield does not count");
    assert!(rig.machine.is_ready_to_take_over());
    assert_eq!(rig.hear(21, 150), [Action::Track]);
    assert!(!rig.machine.is_ready_to_take_over());
}

#[test]
fn a_sign_of_life_ends_readiness_by_verdict() {
    let mut rig = Rig::backup(grouped(), 100);
    rig.hear_every(200, 20, 150);
    let lost = Input::MasterLost {
        source: ip(20),
        verdict: Verdict::Unreachable,
        at: rig.now,
        affirmed: rig.now,
        wait: Span::from_millis(2),
    };
    rig.feed(lost);
    rig.pass(2);
    assert_eq!(rig.feed(Input::Timer), [Action::Untrack]);
    assert!(rig.machine.is_ready_to_take_over());
    rig.feed(Input::MasterAlive { source: ip(21), at: rig.now });
    assert!(rig.machine.is_ready_to_take_over(), "somebody else's");
    rig.feed(Input::MasterAlive { source: ip(20), at: rig.now });
    assert!(!rig.machine.is_ready_to_take_over());
}

#[test]
fn a_master_resigns_when_the_group_yields() {
    let mut rig = ready();
    rig.feed(Input::TakeOver);
    let actions = rig.feed(Input::Yield);
    assert_eq!(actions[0], Action::SendAdvert { priority: 0 });
    assert_eq!(states(&actions), [(State::Master, State::Backup)]);
    assert!(rig.feed(Input::Yield).is_empty());
}

#[test]
fn an_owner_waits_for_its_group_and_nobody_else_does() {
    let mut rig = Rig::backup(grouped(), 255);
    assert!(rig.machine.is_ready_to_take_over());
    rig.feed(Input::SetPriority(prio(100)));
    assert!(!rig.machine.is_ready_to_take_over());
    rig.feed(Input::SetPriority(prio(255)));
    assert!(rig.machine.is_ready_to_take_over());
    let left = rig.feed(Input::Reconfigure(params()));
    assert_eq!(states(&left), [(State::Backup, State::Master)], "the group is gone");
}

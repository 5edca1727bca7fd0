//! Statements 22 to 31: who is master.

use super::super::{Effect, FAST_HANDOVER, HANDOVER, LEAVE_MARGIN, Reason};
use super::*;

const OURS: u8 = 100;

#[test]
fn start_is_as_backup_and_for_the_owner_as_master() {
    let mut rig = Rig::new(params(), OURS);
    assert_eq!(rig.machine.next_deadline(), Time::NEVER);
    let started = Action::Transition { from: State::Init, to: State::Backup, reason: Reason::Started };
    assert_eq!(rig.feed(Input::Ready(true)), [started]);
    assert_eq!(rig.remaining(), Span(360_937_500));
}

#[test]
fn s27_the_owner_does_not_wait() {
    let mut rig = Rig::new(params(), 255);
    let owner = Action::Transition { from: State::Init, to: State::Master, reason: Reason::Owner };
    assert_eq!(rig.feed(Input::Ready(true)), [Action::SendAdvert { priority: 255 }, owner]);

    let mut rig = Rig::backup(params(), OURS);
    rig.hear(20, 200);
    let actions = rig.feed(Input::SetPriority(Priority::OWNER));
    assert_eq!(states(&actions), [(State::Backup, State::Master)]);
}

#[test]
fn s22_priority_zero_leaves_the_skew_time() {
    let mut rig = Rig::backup(params(), OURS);
    assert_eq!(rig.hear(20, 200), [Action::Track]);
    assert_eq!(rig.pass(50).hear(20, 0), [Action::Untrack]);
    assert_eq!(rig.machine.state(), State::Backup);
    assert_eq!(rig.remaining(), Span(60_937_500));
    // A duplicate does not postpone it.
    let deadline = rig.machine.next_deadline();
    rig.pass(20).hear(20, 0);
    assert_eq!(rig.machine.next_deadline(), deadline);
    let resigned =
        Action::Transition { from: State::Backup, to: State::Master, reason: Reason::MasterResigned };
    assert_eq!(rig.run_to_deadline(), [Action::SendAdvert { priority: OURS }, resigned]);
}

#[test]
fn s22_a_successor_heard_in_the_skew_time_is_the_master() {
    let mut rig = Rig::backup(params(), OURS);
    rig.hear(20, 200);
    rig.pass(50).hear(20, 0);
    assert_eq!(rig.pass(10).hear(30, 150), [Action::Track]);
    assert_eq!(rig.remaining(), Span(360_937_500));
}

#[test]
fn s22_a_resignation_of_somebody_else_changes_nothing() {
    let mut rig = Rig::backup(params(), OURS);
    rig.hear(20, 200);
    let deadline = rig.machine.next_deadline();
    assert_eq!(rig.pass(10).hear(30, 0), []);
    assert_eq!(rig.machine.next_deadline(), deadline);
}

#[test]
fn s23_a_master_answers_priority_zero_at_once() {
    let mut rig = Rig::master(params(), OURS);
    assert_eq!(rig.pass(33).hear(20, 0), [Action::Yielded, Action::SendAdvert { priority: OURS }]);
    assert!(rig.remaining() > Span::from_millis(96), "the advert timer starts anew");
}

#[test]
fn s24_a_master_answers_a_lower_priority_at_once() {
    let mut rig = Rig::master(params(), OURS);
    assert_eq!(rig.pass(33).hear(20, 50), [Action::Contested, Action::SendAdvert { priority: OURS }]);

    let mut rig = Rig::master(Params { lower_prio_no_advert: true, ..params() }, OURS);
    let deadline = rig.machine.next_deadline();
    assert_eq!(rig.pass(33).hear(20, 50), [Action::Contested]);
    assert_eq!(rig.machine.next_deadline(), deadline);
}

#[test]
fn s24_adverts_older_than_our_latest_are_answered_already() {
    let mut rig = Rig::master(params(), OURS);
    rig.pass(10_000);
    let mut sent = 0;
    for millis in 0..1000 {
        let at = Time(rig.now.0 - (1000 - millis) * MS);
        let actions =
            rig.feed(Input::Advert { source: ip(20), priority: 50, interval: Span::from_millis(100), at });
        sent += actions.iter().filter(|action| matches!(action, Action::SendAdvert { .. })).count();
    }
    assert_eq!(sent, 1);
}

#[test]
fn s43_what_came_while_nobody_ran_the_router_is_contested() {
    let resumed = || {
        let now = Time(1000 * MS);
        let mut machine = Machine::resume_master(params(), prio(OURS), ip(10), now);
        assert_eq!(machine.poll_action(), Some(Action::SendAdvert { priority: OURS }));
        assert_eq!(machine.poll_action(), None);
        Rig { machine, now }
    };
    let before = |rig: &mut Rig, host, priority| {
        let at = Time(rig.now.0 - 50 * MS);
        rig.feed(Input::Advert { source: ip(host), priority, interval: Span::from_millis(100), at })
    };
    let mut rig = resumed();
    assert_eq!(before(&mut rig, 20, 50), [Action::Contested], "our advert has answered it already");
    assert_eq!(before(&mut rig, 20, 0), [], "whoever resigned is no master any more");
    assert_eq!(before(&mut rig, 10, 50), [Action::DuplicateAddress]);
    assert_eq!(rig.machine.state(), State::Master);
    assert_eq!(states(&before(&mut rig, 20, 200)), [(State::Master, State::Backup)]);

    // Later as well: an advert of ours answered it, but its addresses were announced after that.
    let mut rig = resumed();
    rig.pass(200).run_to_deadline();
    rig.pass(200).run_to_deadline();
    assert_eq!(before(&mut rig, 20, 50), [Action::Contested]);
}

#[test]
fn s25_ties_are_broken_by_address_and_only_while_master() {
    // Unsigned and in network order: 172.16.1.200 is above 172.16.1.10, 172.16.1.9 below.
    for (host, yields) in [(200, true), (11, true), (9, false)] {
        let mut rig = Rig::master(params(), OURS);
        let actions = rig.pass(5).hear(host, OURS);
        assert_eq!(rig.machine.state() == State::Backup, yields, "{host}");
        assert_eq!(actions.contains(&Action::Track), yields);
        // As backup, an equal priority is the master's, whatever its address.
        let mut rig = Rig::backup(params(), OURS);
        assert_eq!(rig.pass(5).hear(host, OURS), [Action::Track]);
        assert_eq!(rig.remaining(), Span(360_937_500));
    }
}

#[test]
fn s26_our_own_address_is_reported_and_does_not_flap() {
    let mut rig = Rig::master(params(), OURS);
    let deadline = rig.machine.next_deadline();
    assert_eq!(rig.pass(5).hear(10, OURS), [Action::DuplicateAddress]);
    assert_eq!(rig.machine.state(), State::Master);
    assert_eq!(rig.machine.next_deadline(), deadline);
}

#[test]
fn a_master_yields_to_a_higher_priority() {
    let mut rig = Rig::master(params(), OURS);
    let yields =
        Action::Transition { from: State::Master, to: State::Backup, reason: Reason::HigherPriority };
    assert_eq!(rig.pass(5).hear(9, 101), [yields, Action::Track]);
    assert_eq!(rig.remaining(), Span(360_937_500));

    let mut rig = Rig::master(Params { higher_prio_send_advert: true, ..params() }, OURS);
    assert_eq!(rig.pass(5).hear(9, 101), [Action::SendAdvert { priority: OURS }, yields, Action::Track]);
}

#[test]
fn a_lower_priority_is_discarded_while_preempting() {
    let mut rig = Rig::backup(params(), OURS);
    let deadline = rig.machine.next_deadline();
    assert_eq!(rig.pass(50).hear(20, 50), []);
    assert_eq!(rig.machine.next_deadline(), deadline);
    assert_eq!(states(&rig.run_to_deadline()), [(State::Backup, State::Master)]);
}

#[test]
fn nopreempt_leaves_a_lower_priority_alone_until_it_dies() {
    let mut rig = Rig::backup(Params { preempt: false, ..params() }, OURS);
    for _ in 0..50 {
        assert_eq!(rig.pass(100).hear(20, 50), [Action::Track]);
    }
    assert_eq!(states(&rig.run_to_deadline()), [(State::Backup, State::Master)]);
}

#[test]
fn s28_preempt_delay_counts_from_the_first_lower_advert() {
    let delayed = Params { preempt_delay: Span::from_secs(2), ..params() };
    let mut rig = Rig::backup(delayed, OURS);
    for _ in 0..20 {
        assert_eq!(rig.hear(20, 50), [Action::Track]);
        rig.pass(100);
    }
    // The delay is over: its adverts count no longer, and the down timer runs from the last that did.
    assert_eq!(rig.hear(20, 50), []);
    assert_eq!(rig.feed(Input::Timer), [Action::Untrack]);
    assert_eq!(rig.remaining(), Span(260_937_500));
}

#[test]
fn s28_preempt_delay_ends_also_where_no_advert_wakes_anybody() {
    let delayed = Params { preempt_delay: Span::from_secs(2), ..params() };
    let mut rig = Rig::backup(delayed, OURS);
    let start = rig.now;
    rig.hear(20, 50);
    let mut untracked = None;
    while rig.machine.state() == State::Backup {
        rig.now = rig.machine.next_deadline();
        let stamp = Time(rig.now.0 - rig.now.0 % (100 * MS));
        rig.feed(Input::Seen(stamp));
        if rig.feed(Input::Timer).contains(&Action::Untrack) {
            untracked.get_or_insert(rig.now);
        }
    }
    assert_eq!(untracked, Some(start.after(Span::from_secs(2))));
    assert_eq!(rig.now.span_since(start), Span(2_360_937_500));
}

#[test]
fn s28_preempt_delay_never_delays_taking_over_from_a_dead_or_resigned_master() {
    let delayed = Params { preempt_delay: Span::from_secs(1000), ..params() };
    let mut rig = Rig::backup(delayed, OURS);
    rig.hear(20, 50);
    assert_eq!(rig.remaining(), Span(360_937_500));
    rig.hear(20, 0);
    assert_eq!(rig.remaining(), Span(60_937_500));
    assert_eq!(states(&rig.run_to_deadline()), [(State::Backup, State::Master)]);
}

#[test]
fn a_tracker_that_raises_our_priority_ends_the_tracking() {
    let mut rig = Rig::backup(params(), OURS);
    rig.hear(20, 150);
    assert_eq!(rig.feed(Input::SetPriority(prio(200))), [Action::Untrack]);
    // The stamp of its further adverts no longer counts.
    let deadline = rig.machine.next_deadline();
    rig.pass(50);
    let stamp = rig.now;
    rig.feed(Input::Seen(stamp));
    assert_eq!(rig.machine.next_deadline(), deadline);
}

#[test]
fn s29_a_stop_resigns_and_waits_for_the_successor() {
    let mut rig = Rig::master(params(), OURS);
    rig.pass(5);
    let leaving = Action::Transition { from: State::Master, to: State::Leaving, reason: Reason::Stopped };
    assert_eq!(rig.feed(Input::Stop), [Action::SendAdvert { priority: 0 }, leaving]);
    assert_eq!(rig.remaining(), Span(99_609_375).plus(LEAVE_MARGIN));
    let heard = Action::Transition { from: State::Leaving, to: State::Init, reason: Reason::SuccessorHeard };
    assert_eq!(rig.pass(20).hear(20, 0), []);
    // The successor's first advert comes before its addresses and its gratuitous ARP.
    assert_eq!(rig.hear(20, 50), []);
    assert_eq!(rig.remaining(), HANDOVER);
    assert_eq!(rig.pass(20).hear(20, 50), []);
    assert_eq!(rig.pass(29).feed(Input::Timer), []);
    assert_eq!(rig.machine.state(), State::Leaving);
    assert_eq!(rig.pass(1).feed(Input::Timer), [heard]);
    assert_eq!(rig.machine.next_deadline(), Time::NEVER);
    assert_eq!(rig.feed(Input::Ready(true)), [], "stopped for good");
}

#[test]
fn s29_a_successor_at_the_last_moment_has_its_time_too() {
    let mut rig = Rig::master(params(), OURS);
    rig.feed(Input::Stop);
    rig.pass(149);
    rig.hear(20, 50);
    assert_eq!(rig.remaining(), HANDOVER);
}

#[test]
fn s29_a_prompt_successor_is_waited_for_less_long() {
    let mut rig = Rig::master(params(), OURS);
    rig.feed(Input::Reconfigure(Params { handover: FAST_HANDOVER, ..params() }));
    rig.feed(Input::Stop);
    rig.pass(3);
    rig.hear(20, 50);
    assert_eq!(rig.remaining(), FAST_HANDOVER);
}

#[test]
fn s29_other_ends_of_leaving() {
    let table = [
        (Input::Timer, 1000, Reason::SuccessorTimeout),
        (Input::Stop, 10, Reason::Stopped),
        (Input::Ready(false), 10, Reason::NotReady),
    ];
    for (input, after, reason) in table {
        let mut rig = Rig::master(params(), OURS);
        rig.feed(Input::Stop);
        let end = Action::Transition { from: State::Leaving, to: State::Init, reason };
        assert_eq!(rig.pass(after).feed(input), [end]);
    }
    for mut rig in [Rig::backup(params(), OURS), Rig::new(params(), OURS)] {
        let actions = rig.feed(Input::Stop);
        assert!(!actions.iter().any(|action| matches!(action, Action::SendAdvert { .. })));
        assert_eq!(rig.machine.state(), State::Init);
    }
}

#[test]
fn s29_an_interface_that_goes_down_is_a_fault_that_sends_nothing() {
    for mut rig in [Rig::backup(params(), OURS), Rig::master(params(), OURS), Rig::new(params(), OURS)] {
        let from = rig.machine.state();
        let fault = Action::Transition { from, to: State::Fault, reason: Reason::NotReady };
        assert_eq!(rig.feed(Input::Ready(false)), [fault]);
        assert_eq!(rig.machine.next_deadline(), Time::NEVER);
        assert_eq!(rig.hear(20, 50), []);
        let back = Action::Transition { from: State::Fault, to: State::Backup, reason: Reason::Recovered };
        assert_eq!(rig.pass(100).feed(Input::Ready(true)), [back]);
        assert_eq!(rig.remaining(), Span(360_937_500));
    }
}

#[test]
fn s29_a_master_that_becomes_unfit_resigns() {
    let mut rig = Rig::master(params(), OURS);
    let fault = |from| Action::Transition { from, to: State::Fault, reason: Reason::NotReady };
    assert_eq!(rig.feed(Input::Unfit), [Action::SendAdvert { priority: 0 }, fault(State::Master)]);
    assert_eq!(rig.feed(Input::Unfit), []);
    assert_eq!(Rig::backup(params(), OURS).feed(Input::Unfit), [fault(State::Backup)]);
    assert_eq!(Rig::new(params(), OURS).feed(Input::Unfit), [fault(State::Init)]);
}

#[test]
fn s36_effects_follow_from_the_states_alone() {
    for from in State::ALL {
        for to in State::ALL {
            let answers = |state| matches!(state, State::Master | State::Leaving);
            let expected = match (answers(from), answers(to)) {
                (false, true) => Effect::TakeOver,
                (true, false) => Effect::Release,
                _ => Effect::Keep,
            };
            assert_eq!(Effect::of(from, to), expected, "{from} {to}");
        }
    }
}

//! Any sequence of inputs: what must hold after each of them.

use proptest::prelude::*;

use super::*;
use crate::judge::Verdict;

/// The most actions that one input may cause; the queue holds twice as many.
const MOST_ACTIONS: usize = 4;

fn any_params() -> impl Strategy<Value = Params> {
    let interval = prop_oneof![1..50 * MS, Just(1000 * MS), any::<u64>()];
    let delay = prop_oneof![Just(0), 0..500 * MS, any::<u64>()];
    (interval, any::<bool>(), delay, any::<[bool; 3]>(), any::<u8>()).prop_map(
        |(interval, preempt, delay, [v2, no_advert, send], adverts)| Params {
            version: if v2 { Version::V2 } else { Version::V3 },
            interval: Span(interval),
            preempt,
            preempt_delay: Span(delay),
            lower_prio_no_advert: no_advert,
            higher_prio_send_advert: send,
            down_timer_adverts: adverts,
            ..params()
        },
    )
}

/// An input; times are offsets to now that wrap around.
fn any_input() -> impl Strategy<Value = Input> {
    let offset = prop_oneof![-20_000_000_i64..1_000_000, any::<i64>()];
    let stamp = offset.prop_map(|offset| Time(offset.cast_unsigned()));
    let advert = (5_u8..15, prop_oneof![0_u8..=2, any::<u8>()], any::<u32>(), stamp.clone()).prop_map(
        |(host, priority, interval, at)| Input::Advert {
            source: ip(host),
            priority,
            interval: Span(u64::from(interval)),
            at,
        },
    );
    prop_oneof![
        5 => prop_oneof![4 => any::<bool>().prop_map(Input::Ready), 1 => Just(Input::Unfit)],
        20 => advert,
        10 => stamp.prop_map(Input::Seen),
        40 => Just(Input::Timer),
        2 => Just(Input::FramesLost),
        5 => (1_u8..=255).prop_map(|value| Input::SetPriority(prio(value))),
        2 => any_params().prop_map(Input::Reconfigure),
        2 => (5_u8..15).prop_map(|host| Input::SetAddress(ip(host))),
        2 => prop_oneof![Just(Input::Stop), Just(Input::StepDown)],
        10 => verdict(),
    ]
}

/// What the judge says, of hosts that may be master or not.
fn verdict() -> impl Strategy<Value = Input> {
    let said = prop_oneof![Just(Verdict::Unreachable), Just(Verdict::Orphaned), Just(Verdict::Expired)];
    let offset = (-20_000_000_i64..1_000_000).prop_map(|offset| Time(offset.cast_unsigned()));
    (5_u8..15, said, offset.clone(), offset, 0..5 * MS, 0..4_u8).prop_map(
        |(host, verdict, at, affirmed, wait, kind)| {
            let (source, wait) = (ip(host), Span(wait));
            match kind {
                0 => Input::MasterAlive { source, at },
                1 => Input::MasterResigned { source, at, wait },
                _ => Input::MasterLost { source, verdict, at, affirmed, wait },
            }
        },
    )
}

/// Makes the offset of a generated input a time near `now`.
fn at_now(input: Input, now: Time) -> Input {
    let near = |offset: Time| Time(now.0.wrapping_add(offset.0));
    match input {
        Input::Advert { source, priority, interval, at } => {
            Input::Advert { source, priority, interval, at: near(at) }
        }
        Input::Seen(stamp) => Input::Seen(near(stamp)),
        Input::MasterAlive { source, at } => Input::MasterAlive { source, at: near(at) },
        Input::MasterResigned { source, at, wait } => Input::MasterResigned { source, at: near(at), wait },
        Input::MasterLost { source, verdict, at, affirmed, wait } => {
            Input::MasterLost { source, verdict, at: near(at), affirmed: near(affirmed), wait }
        }
        other => other,
    }
}

fn check(machine: &mut Machine, input: Input, now: Time) -> Result<(), TestCaseError> {
    let before = machine.state();
    let deadline = machine.next_deadline();
    let mut twin = machine.clone();
    machine.handle(input, now);
    twin.handle(input, now);
    prop_assert!(machine.actions.len() <= MOST_ACTIONS);

    let mut state = before;
    while let Some(action) = machine.poll_action() {
        prop_assert_eq!(twin.poll_action(), Some(action), "the same inputs give the same actions");
        match action {
            Action::Transition { from, to, .. } => {
                prop_assert_eq!(from, state, "the chain of transitions has no gap");
                prop_assert_ne!(from, to);
                state = to;
            }
            Action::SendAdvert { priority: 0 } => {
                let stepped_down = input == Input::StepDown && machine.state() == State::Backup;
                prop_assert!(stepped_down || matches!(machine.state(), State::Leaving | State::Fault));
            }
            Action::SendAdvert { priority } => {
                // A backup's last word as master is repeated by the timer.
                let insists = before == State::Backup && input == Input::Timer;
                prop_assert!(insists || before == State::Master || machine.state() == State::Master);
                prop_assert_eq!(priority, machine.priority().get());
            }
            Action::Track => prop_assert!(machine.master().is_some()),
            Action::Untrack => prop_assert!(machine.master().is_none()),
            Action::DuplicateAddress | Action::Contested | Action::Yielded => {}
        }
    }
    prop_assert_eq!(state, machine.state());
    if machine.state() != before {
        prop_assert_eq!(machine.since(), now);
    }
    match input {
        Input::Timer => prop_assert!(machine.next_deadline() > now, "40: the deadline moves forward"),
        Input::Seen(_) => prop_assert!(machine.next_deadline() >= deadline, "a stamp postpones"),
        _ => {}
    }
    if let Some(master) = machine.master() {
        prop_assert_eq!(machine.watched(), Some(master));
    }
    prop_assert!(machine.watched().is_none() || machine.state() == State::Backup);
    if matches!(machine.state(), State::Init | State::Fault) {
        prop_assert_eq!(machine.next_deadline(), Time::NEVER);
    } else {
        prop_assert_ne!(machine.next_deadline(), Time::NEVER);
    }
    Ok(())
}

proptest! {
    #[test]
    fn s40_any_sequence_of_inputs(
        params in any_params(),
        priority in 1_u8..=255,
        inputs in prop::collection::vec((any_input(), 0_u64..30 * MS), 1..200),
    ) {
        let mut now = Time(1000 * MS);
        let mut machine = Machine::new(params, prio(priority), now);
        check(&mut machine, Input::SetAddress(ip(10)), now)?;
        check(&mut machine, Input::Ready(true), now)?;
        for (input, pause) in inputs {
            now = now.after(Span(pause));
            check(&mut machine, at_now(input, now), now)?;
        }
    }

    #[test]
    fn s27_weights_keep_every_priority_in_its_range(base in 1_u8..=255, weight in any::<i32>()) {
        let weighted = prio(base).weighted(weight).get();
        prop_assert_eq!(weighted == 255, base == 255);
        prop_assert!(weighted >= 1);
    }
}

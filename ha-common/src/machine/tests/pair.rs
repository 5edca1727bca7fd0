//! Two machines on one virtual clock, over a cable without delay.

use super::*;

/// Runs both to `end`; returns the first machine's and the second's transitions with their milliseconds.
fn run(pair: &mut [Rig; 2], cut: core::ops::Range<u64>, end: u64) -> Vec<(u64, usize, State)> {
    let mut story = Vec::new();
    loop {
        let next = pair[0].machine.next_deadline().min(pair[1].machine.next_deadline());
        if next > Time(end * MS) {
            return story;
        }
        for node in 0..2 {
            pair[node].now = next;
            pair[1 - node].now = next;
            let mut pending: Vec<(usize, Action)> =
                pair[node].feed(Input::Timer).into_iter().map(|action| (node, action)).collect();
            while let Some((from, action)) = (!pending.is_empty()).then(|| pending.remove(0)) {
                let to = 1 - from;
                match action {
                    Action::Transition { to: state, .. } => story.push((next.0 / MS, from, state)),
                    Action::SendAdvert { priority } if !cut.contains(&(next.0 / MS)) => {
                        let interval = pair[from].machine.interval();
                        let source = ip(20 + u8::try_from(from).expect("two nodes"));
                        let heard = pair[to].feed(Input::Advert { source, priority, interval, at: next });
                        pending.extend(heard.into_iter().map(|action| (to, action)));
                    }
                    _ => {}
                }
            }
        }
    }
}

#[test]
fn s38_the_better_router_wins_loses_nothing_to_a_cut_and_wins_again() {
    let mut pair = [Rig::backup(params(), 150), Rig::backup(params(), 100)];
    for (rig, host) in pair.iter_mut().zip([20, 21]) {
        rig.feed(Input::SetAddress(ip(host)));
    }
    let story = run(&mut pair, 3000..4000, 6000);
    assert_eq!(
        story,
        [
            (1341, 0, State::Master),
            // The last advert before the cut was that of 2.9 s.
            (3260, 1, State::Master),
            (4000, 1, State::Backup),
        ]
    );
}

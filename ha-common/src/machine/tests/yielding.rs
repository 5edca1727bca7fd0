//! What a router that yields owes the winner, the clients and the other backups.

use super::*;
use crate::judge::Verdict;

const EVERY: u64 = 200;
const WAIT: Span = Span::from_micros(1_500);
const LAST_WORD: [Action; 1] = [Action::SendAdvert { priority: 100 }];

fn lost(rig: &Rig, host: u8) -> Input {
    let verdict = Verdict::Unreachable;
    Input::MasterLost { source: ip(host), verdict, at: rig.now, affirmed: rig.now, wait: WAIT }
}

/// Took over from host 20, which probes did not reach, and yields to its next advert.
fn yielded(params: Params) -> Rig {
    let mut rig = Rig::backup(params, 100);
    rig.hear_every(EVERY, 20, 200);
    let input = lost(&rig, 20);
    rig.pass(1).feed(input);
    rig.run_to_deadline();
    assert_eq!(rig.machine.state(), State::Master);
    rig.pass(10).hear_every(EVERY, 20, 200);
    assert_eq!(rig.machine.state(), State::Backup);
    rig
}

fn speaking() -> Params {
    Params { higher_prio_send_advert: true, ..params() }
}

/// When the timer makes it say that it has yielded, in milliseconds from now.
fn last_words(rig: &mut Rig, within: u64) -> Vec<u64> {
    let start = rig.now;
    let mut times = Vec::new();
    while rig.machine.next_deadline() <= start.after(Span::from_millis(within)) {
        let actions = rig.run_to_deadline();
        if actions == LAST_WORD {
            times.push(rig.now.span_since(start).0 / MS);
        }
    }
    times
}

#[test]
fn the_last_word_is_repeated_until_the_winner_answers() {
    let mut rig = yielded(speaking());
    assert_eq!(last_words(&mut rig, 100), [40, 80]);
    // An advert at its time is no answer.
    rig.now = rig.now.after(Span::from_millis(EVERY - 80));
    rig.hear_every(EVERY, 20, 200);
    assert_ne!(last_words(&mut rig, 100), []);
    rig.pass(1).hear_every(EVERY, 20, 200);
    assert_eq!(last_words(&mut rig, 500), [], "one that comes sooner is");
}

/// What comes after the first word may be a copy of the winner's advert.
#[test]
fn a_stamp_may_be_the_answer_to_the_second_word() {
    let mut rig = yielded(speaking());
    for wanted in [true, false] {
        let stamp = rig.now.after(Span(MS / 100));
        rig.pass(1).feed(Input::Seen(stamp));
        assert_eq!(last_words(&mut rig, 50), if wanted { [39].as_slice() } else { &[] });
    }
    assert_eq!(last_words(&mut rig, 500), []);
}

#[test]
fn a_winner_that_never_answers_is_told_for_a_second() {
    let mut rig = yielded(Params { down_timer_adverts: 100, ..speaking() });
    let words = last_words(&mut rig, 5_000);
    assert_eq!((words.len(), words.last()), (25, Some(&1_000)));
}

/// Whoever was not found unreachable hears what is sent to it, and behind a virtual MAC address nobody speaks.
#[test]
fn nobody_else_is_told_twice() {
    assert_eq!(last_words(&mut yielded(params()), 500), []);
    let mut rig = Rig::master(speaking(), 100);
    rig.pass(5).hear_every(EVERY, 20, 200);
    assert_eq!(last_words(&mut rig, 500), []);
}

/// Another backup follows whoever claims the addresses, and is told by its bitmap that it has let go.
#[test]
fn whoever_yielded_to_a_better_one_has_not_resigned() {
    let resigned = |rig: &Rig| Input::MasterResigned { source: ip(20), at: rig.now, wait: WAIT };
    let mut rig = Rig::backup(params(), 100);
    rig.hear_every(EVERY, 20, 150);
    rig.pass(10).hear_every(EVERY, 30, 200);
    assert_eq!(rig.pass(1).hear_every(EVERY, 20, 150), [Action::Track], "its last word");
    let input = resigned(&rig);
    assert_eq!(rig.pass(1).feed(input), [Action::Untrack]);
    assert_eq!(rig.machine.watched().map(|master| master.address), Some(ip(30)));
    assert!(rig.remaining() > Span::from_millis(EVERY));
    assert_eq!(rig.pass(50).hear_every(EVERY, 30, 200), [Action::Track]);

    // The advert of the better one may be read after the stamp of the last word.
    let mut rig = Rig::backup(params(), 100);
    rig.hear_every(EVERY, 20, 150);
    let at = rig.pass(10).now;
    rig.pass(1);
    let stamp = rig.now;
    rig.feed(Input::Seen(stamp));
    let interval = Span::from_millis(EVERY);
    rig.feed(Input::Advert { source: ip(30), priority: 200, interval, at });
    let input = resigned(&rig);
    assert_eq!(rig.pass(1).feed(input), [Action::Untrack]);
    assert_eq!(rig.machine.watched().map(|master| master.address), Some(ip(30)));

    // A better one of long ago is gone.
    let mut rig = Rig::backup(params(), 100);
    rig.hear_every(EVERY, 30, 200);
    rig.pass(EVERY).hear_every(EVERY, 20, 150);
    let input = resigned(&rig);
    rig.feed(input);
    assert_eq!(rig.remaining(), WAIT);
    assert_eq!(states(&rig.run_to_deadline()), [(State::Backup, State::Master)]);
}

/// Who took the addresses just before us announces them after us, before it hears our advert.
#[test]
fn a_claim_just_before_the_takeover_is_answered() {
    for (millis, answered) in [(1, true), (45, true), (55, false)] {
        let mut rig = Rig::backup(params(), 100);
        let due = rig.remaining().0 / MS;
        rig.pass(due - millis).hear(30, 50);
        let actions = rig.run_to_deadline();
        assert_eq!(states(&actions), [(State::Backup, State::Master)]);
        assert_eq!(actions.contains(&Action::Yielded), answered, "{millis} ms");
    }
}

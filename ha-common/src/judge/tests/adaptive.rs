//! The window follows from what the peer has shown.

use super::*;

/// A peer that has been watched for so long, with a window that adapts.
fn watched(seconds: u64) -> Rig {
    let mut rig = Rig::new();
    rig.judge.reconfigure(Settings::default());
    rig.judge.follow(true, rig.now);
    rig.pass(seconds * 1_000 * MS);
    rig.sent.clear();
    rig.events.clear();
    rig
}

/// The peer says nothing for so long.
fn hiccup(rig: &mut Rig, ns: u64) {
    rig.answering = false;
    rig.pass(ns);
    rig.answering = true;
    rig.pass(20 * MS);
}

/// How long after the peer's last reply it is found unreachable.
fn detection(rig: &mut Rig) -> Span {
    let last = rig.reply.at;
    rig.answering = false;
    rig.pass(30 * MS);
    rig.verdicts()[0].0.span_since(last)
}

#[test]
fn at_first_it_is_as_wide_as_it_may_be() {
    let mut rig = watched(1);
    let took = detection(&mut rig);
    assert!(took > Span::from_micros(9_500) && took <= Span::from_millis(10), "{took:?}");
}

/// A probe, its miss, and two more at a fifth of the interval: that is all that a clean network needs.
#[test]
fn a_quiet_peer_is_found_dead_by_a_burst() {
    let mut rig = watched(61);
    let took = detection(&mut rig);
    assert!(took <= Span::from_micros(1_650), "{took:?}");
    let mut rig = watched(61);
    rig.judge.reconfigure(Settings { interval: Span::from_micros(250), ..Settings::default() });
    rig.pass(1_000 * MS);
    let took = detection(&mut rig);
    assert!(took <= Span::from_micros(1_100), "{took:?}");
}

#[test]
fn a_hiccup_that_was_seen_is_no_death_the_next_time() {
    let mut rig = watched(61);
    // Shorter than the window, but longer than what was seen before.
    hiccup(&mut rig, 1_300_000);
    assert!(rig.verdicts().is_empty());
    assert!(rig.judge.window().span > Span::from_micros(1_800), "{:?}", rig.judge.window());
    hiccup(&mut rig, 1_500_000);
    hiccup(&mut rig, 2_000_000);
    assert!(rig.verdicts().is_empty(), "{:?}", rig.judge.window());
}

/// The verdict was wrong; the next time it would not fall, whether or not verdicts are paused.
#[test]
fn a_refuted_suspicion_widens_it() {
    let mut rig = watched(61);
    hiccup(&mut rig, 5 * MS);
    assert_eq!(rig.judge.counts().wrong, 1);
    let widened = |(_, event): &(Time, Event)| matches!(event, Event::Widened { .. });
    assert_eq!(rig.events.iter().filter(|event| widened(event)).count(), 1, "and that is told");
    assert!(rig.judge.window().span > Span::from_millis(7), "{:?}", rig.judge.window());
    let before = rig.judge.counts().verdicts;
    hiccup(&mut rig, 5 * MS);
    assert_eq!(rig.judge.counts().verdicts, before);
}

#[test]
fn a_microburst_every_two_seconds_is_learned_before_it_is_taken_for_a_death() {
    for (ms, found) in [(1, 0), (3, 0), (8, 0)] {
        let mut rig = watched(2);
        for _ in 0..120 {
            hiccup(&mut rig, ms * MS);
            rig.pass(1_980 * MS);
        }
        assert_eq!(rig.judge.counts().verdicts, found, "{ms} ms, {:?}", rig.judge.window());
    }
}

#[test]
fn what_is_no_silence_of_the_peer_teaches_nothing() {
    let mut rig = watched(61);
    let before = rig.judge.window().longest;
    // The own prober had no CPU.
    rig.now = rig.now.after(Span::from_millis(7));
    rig.pass(20 * MS);
    // The own cable.
    rig.judge.link(false, rig.now);
    rig.pass(9 * MS);
    rig.judge.link(true, rig.now);
    rig.pass(20 * MS);
    // Another incarnation.
    rig.answering = false;
    rig.pass(8 * MS);
    (rig.answering, rig.reply.responder) = (true, 8);
    rig.pass(20 * MS);
    // A planned restart.
    rig.reply.flags = RESTARTING;
    rig.pass(20 * MS);
    rig.answering = false;
    rig.pass(60 * MS);
    (rig.answering, rig.reply.flags) = (true, 0);
    rig.pass(20 * MS);
    assert_eq!(rig.judge.window().longest, before);
}

#[test]
fn the_order_among_backups_leaves_time_for_a_wider_window() {
    let mut rig = watched(61);
    rig.reply.flags = crate::probe::RANKED;
    rig.reply.rank = 1;
    rig.pass(5 * MS);
    let order = rig.judge.precedence();
    assert!(order.ranked && order.rank == 1);
    assert_eq!(order.patience.plus(rig.judge.window().span), Span::from_millis(10));
    assert_eq!(Rig::new().judge.precedence(), Precedence::default());
}

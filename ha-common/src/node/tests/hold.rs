//! Holds change what a router is fit for, and end by themselves.

use super::*;

/// A master that nobody else is beside.
fn alone() -> (Rig, RouterId) {
    let mut rig = Rig::new(&[settings(0, 25, false)], &[]).start();
    rig.run_until(ms(1_000));
    let id = rig.node.routers()[0].id();
    assert_eq!(rig.states(), [State::Master]);
    (rig, id)
}

fn hold(rig: &mut Rig, id: RouterId, kind: HoldKind, length: u64) {
    let until = rig.now.after(Span::from_millis(length));
    assert!(rig.node.hold(id, Some(Hold { kind, until }), rig.now, &rig.maps));
    rig.drain(true);
}

/// The priority in the next advert.
fn advertised(rig: &mut Rig) -> Option<u8> {
    rig.adverts.clear();
    rig.run_until(rig.now.after(Span::from_millis(110)));
    rig.adverts.last().map(|(_, priority)| *priority)
}

#[test]
fn whoever_resigns_with_nobody_there_stays_master() {
    let (mut rig, id) = alone();
    hold(&mut rig, id, HoldKind::Resigned, 1_000);
    assert_eq!(advertised(&mut rig), Some(1));
    hold(&mut rig, id, HoldKind::Preferred, 300);
    assert_eq!(advertised(&mut rig), Some(254));
    assert_eq!(rig.states(), [State::Master]);
    rig.run_until(rig.now.after(Span::from_millis(300)));
    assert_eq!(advertised(&mut rig), Some(100), "its time is over");
    assert!(rig.events.contains(&Event::HoldEnded(id)));
}

#[test]
fn what_is_frozen_heeds_no_tracker_until_its_time_is_over() {
    let (mut rig, id) = alone();
    hold(&mut rig, id, HoldKind::Frozen, 500);
    let priority = Priority::LOWEST;
    let fell = Fitness { fitness: Input::Unfit, waits: false, priority, source: Some(peer(1)) };
    rig.node.set_fitness(id, fell, rig.now);
    rig.node.settle_fitness(rig.now, &rig.maps);
    rig.drain(true);
    assert_eq!((advertised(&mut rig), rig.states()), (Some(100), [State::Master].to_vec()));
    rig.run_until(rig.now.after(Span::from_millis(500)));
    assert_eq!(rig.states(), [State::Fault]);
}

#[test]
fn a_link_that_is_down_is_no_tracker() {
    let (mut rig, id) = alone();
    hold(&mut rig, id, HoldKind::Frozen, 500);
    rig.fitness(0, Input::Ready(false));
    rig.turn();
    assert_eq!(rig.states(), [State::Fault]);
}

#[test]
fn a_frozen_backup_preempts_nobody_and_believes_in_a_death() {
    let mut rig = Rig::new(&[settings(0, 25, false)], &[]).start();
    rig.turn();
    let id = rig.node.routers()[0].id();
    hold(&mut rig, id, HoldKind::Frozen, 10_000);
    for _ in 0..20 {
        rig.advert(0, 9, 50);
        rig.run_until(rig.now.after(Span::from_millis(100)));
    }
    assert_eq!(rig.states(), [State::Backup]);
    rig.run_until(rig.now.after(Span::from_millis(1_000)));
    assert_eq!(rig.states(), [State::Master]);
}

#[test]
fn the_owner_is_held_to_nothing_but_its_role() {
    let owner = Settings { priority: Priority::OWNER, ..settings(0, 25, false) };
    let mut rig = Rig::new(&[owner], &[]).start();
    let id = rig.node.routers()[0].id();
    let until = Time::NEVER;
    assert!(!rig.node.hold(id, Some(Hold { kind: HoldKind::Resigned, until }), rig.now, &rig.maps));
    assert!(rig.node.hold(id, Some(Hold { kind: HoldKind::Frozen, until }), rig.now, &rig.maps));
    assert!(!rig.node.hold(RouterId(77), None, rig.now, &rig.maps));
}

#[test]
fn what_is_not_known_to_be_fit_for_anything_is_not_started_or_failed_by_a_hold() {
    let mut rig = Rig::new(&[settings(0, 25, false)], &[]);
    let id = rig.node.routers()[0].id();
    hold(&mut rig, id, HoldKind::Preferred, 1_000);
    assert_eq!(rig.states(), [State::Init]);
    let mut rig = rig.start();
    assert_eq!(advertised(&mut rig), None);
    rig.run_until(rig.now.after(Span::from_millis(400)));
    assert_eq!(advertised(&mut rig), Some(254));
}

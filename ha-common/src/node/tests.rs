//! The order of effects, as a property of what is drained; and the rules that no single virtual router has.

mod hold;
mod standby;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr};

use proptest::prelude::*;

use super::*;
use crate::judge::{Event as Judged, Precedence, Verdict};
use crate::machine::{Input, Params, Reason, State};
use crate::time::Span;
use crate::types::{Family, Priority, Version, Vrid};
use crate::{announce, judge};

type Place = (InterfaceId, Family, Vrid);

/// The maps of two interfaces, as the node's writes make them.
#[derive(Clone, Debug, Default)]
struct Maps {
    until: BTreeMap<InterfaceId, Time>,
    window: BTreeMap<InterfaceId, Time>,
    held: BTreeSet<Place>,
    master: BTreeSet<Place>,
    superseded: BTreeSet<Place>,
    /// Nothing for their addresses is let through.
    silent: BTreeSet<Place>,
    /// The program has been taken off.
    gone: bool,
    last_probe: Option<Time>,
    stamp: Time,
    inherited: Option<Inherited>,
    left_at: Option<Time>,
    lost: u64,
}

impl Kernel for Maps {
    fn lease(&self, on: InterfaceId) -> Option<LeaseView> {
        Some(LeaseView {
            until: self.until.get(&on).copied().unwrap_or(Time(0)),
            apart: false,
            any_superseded: self.superseded.iter().any(|(at, ..)| *at == on),
            last_probe: self.last_probe,
        })
    }

    fn is_superseded(&self, on: InterfaceId, family: Family, vrid: Vrid) -> bool {
        self.superseded.contains(&(on, family, vrid))
    }

    fn is_wanted(&self, _on: InterfaceId, _family: Family, _vrid: Vrid) -> bool {
        self.last_probe.is_some()
    }

    fn stamp(&self, _on: InterfaceId, _family: Family, _vrid: Vrid) -> Option<Stamp> {
        Some(Stamp { at: self.stamp, other_at: Time(0) })
    }

    fn inherited(&self, _on: InterfaceId, _family: Family, _vrid: Vrid) -> Option<Inherited> {
        self.inherited
    }

    fn left_at(&self, _on: InterfaceId, _family: Family, _vrid: Vrid) -> Option<Time> {
        self.left_at
    }

    fn is_deaf(&mut self, _on: InterfaceId, _urgent: bool) -> bool {
        self.gone
    }

    fn frames_lost(&mut self, _on: InterfaceId) -> u64 {
        self.lost
    }
}

impl Maps {
    fn write(&mut self, on: InterfaceId, write: Write) {
        let mut set = |set: fn(&mut Self) -> &mut BTreeSet<Place>, family, vrid, there| {
            if there {
                set(self).insert((on, family, vrid));
            } else {
                set(self).remove(&(on, family, vrid));
            }
        };
        match write {
            Write::Held(family, vrid, held) => set(|maps| &mut maps.held, family, vrid, held),
            Write::Master(family, vrid, master) => set(|maps| &mut maps.master, family, vrid, master),
            Write::Standby(family, vrid, silent) => set(|maps| &mut maps.silent, family, vrid, silent),
            Write::ClearSuperseded(family, vrid) => set(|maps| &mut maps.superseded, family, vrid, false),
            Write::Renew { until } => {
                let lease = self.until.entry(on).or_insert(until);
                *lease = (*lease).max(until);
            }
            Write::RestartWindow { until } => {
                self.window.insert(on, until);
            }
            Write::Apart(_) | Write::Own(_) | Write::Describe(_) | Write::Suppressed(..) => {}
        }
    }
}

/// A node, its maps, and where its addresses are.
struct Rig {
    node: Node,
    maps: Maps,
    there: BTreeSet<RouterId>,
    now: Time,
    events: Vec<Event>,
    adverts: Vec<(RouterId, u8)>,
}

fn ms(ms: u64) -> Time {
    Time(1_000_000_000 + ms * 1_000_000)
}

fn peer(last: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, last))
}

fn settings(interface: u32, vrid: u8, virtual_mac: bool) -> Settings {
    let vrid = Vrid::new(vrid).expect("not zero");
    Settings {
        interface: InterfaceId(interface),
        params: Params { interval: Span::from_millis(100), ..Params::new(vrid, Family::V4, Version::V3) },
        priority: Priority::DEFAULT,
        fast: true,
        judge: judge::Settings::default(),
        lease: Span::from_millis(100),
        announce: announce::Settings { repeat: 2, delay: Span::ZERO, refresh: Span::ZERO, refresh_repeat: 1 },
        again: (Span::ZERO, 2),
        virtual_mac,
        hot_standby: false,
        owner_ignores_adverts: false,
    }
}

impl Rig {
    fn new(routers: &[Settings], grouped: &[u32]) -> Self {
        let mut node = Node::new();
        for settings in routers {
            node.add(*settings, ms(0));
        }
        if !grouped.is_empty() {
            node.regroup([(GroupId(0), grouped.iter().map(|id| RouterId(*id)).collect())], ms(0));
        }
        let mut rig = Self {
            node,
            maps: Maps::default(),
            there: BTreeSet::new(),
            now: ms(0),
            events: Vec::new(),
            adverts: Vec::new(),
        };
        rig.drain(true);
        rig
    }

    fn start(mut self) -> Self {
        for n in 0..self.node.routers().len() {
            self.fitness(n, Input::Ready(true));
        }
        self.node.end_start(self.now);
        self.drain(true);
        self.node.close_restart_windows();
        self.drain(true);
        self
    }

    fn fitness(&mut self, n: usize, fitness: Input) {
        let id = self.node.routers()[n].id();
        let fit = Fitness { fitness, waits: false, priority: Priority::DEFAULT, source: Some(peer(1)) };
        self.node.set_fitness(id, fit, self.now);
        self.node.settle_fitness(self.now, &self.maps);
        self.drain(true);
    }

    fn advert(&mut self, n: usize, from: u8, priority: u8) {
        let router = self.node.routers()[n].id();
        let (interval, at) = (Span::from_millis(100), self.now);
        self.node.heard(Heard {
            router,
            source: peer(from),
            mac: Some([from; 6]),
            priority,
            interval,
            at,
            mark: Mark::Fingerprint(from.into()),
            unheard: false,
        });
    }

    fn turn(&mut self) {
        self.node.turn(self.now, &mut self.maps);
        self.drain(false);
    }

    /// Lets time pass, with a turn whenever one is wanted.
    fn run_until(&mut self, end: Time) {
        while self.node.next_deadline() <= end {
            self.now = self.now.max(self.node.next_deadline());
            self.turn();
        }
        self.now = end;
        self.turn();
    }

    fn place(&self, id: RouterId) -> Place {
        let router = &self.node[id];
        (router.interface(), router.family(), router.vrid())
    }

    fn states(&self) -> Vec<State> {
        self.node.routers().iter().map(|router| router.machine().state()).collect()
    }

    /// Carries out what was decided, and looks at the order.
    fn drain(&mut self, between_turns: bool) {
        let mut told = false;
        let mut advertised = BTreeSet::new();
        let mut said = BTreeSet::new();
        while let Some(effect) = self.node.poll_effect() {
            if between_turns {
                let kind = matches!(
                    effect,
                    Effect::Write(..) | Effect::Track { .. } | Effect::Untrack(_) | Effect::ForgetOthers(..)
                );
                assert!(
                    kind || matches!(effect, Effect::Advert { .. } | Effect::RemoveAddresses(_)),
                    "{effect:?} does not wait for a turn"
                );
            }
            assert!(!told || matches!(effect, Effect::Event(_)), "{effect:?} comes after an event");
            match effect {
                Effect::Write(on, write) => {
                    if let Write::Master(family, vrid, true) = write
                        && !self.maps.master.contains(&(on, family, vrid))
                    {
                        let until = self.maps.until.get(&on).copied().unwrap_or(Time(0));
                        assert!(until > self.now, "master before anybody vouches for it");
                        assert!(!said.contains(&(on, family, vrid)), "master after its advert");
                    }
                    if let Write::Held(family, vrid, false) = write {
                        let here = |id: &RouterId| self.place(*id) == (on, family, vrid);
                        assert!(
                            !self.there.iter().any(here) || self.maps.silent.contains(&(on, family, vrid)),
                            "the fence opens before the addresses are gone"
                        );
                    }
                    if let Write::Standby(family, vrid, false) = write {
                        let place = (on, family, vrid);
                        let here = self.there.iter().find(|id| self.place(**id) == place);
                        let opens = here.filter(|_| self.maps.silent.contains(&place));
                        assert!(opens.is_none_or(|id| advertised.contains(id)), "answers before its advert");
                        let held = self.maps.held.contains(&place);
                        assert!(opens.is_none() || held, "answers before the fence knows");
                    }
                    self.maps.write(on, write);
                }
                Effect::AddBehind(id) => {
                    assert!(self.maps.silent.contains(&self.place(id)), "added before it is silent");
                    self.there.insert(id);
                }
                Effect::Advert { router, priority } => {
                    advertised.insert(router);
                    if priority > 0 && !self.maps.master.contains(&self.place(router)) {
                        said.insert(self.place(router));
                    }
                    self.adverts.push((router, priority));
                }
                Effect::AddAddresses(id) => {
                    assert!(self.maps.held.contains(&self.place(id)), "added before the fence knows");
                    let early = self.node.routers().iter().any(|router| router.settings().virtual_mac);
                    let claims = !self.there.contains(&id);
                    assert!(early || !claims || advertised.contains(&id), "added before the advert");
                    self.there.insert(id);
                }
                Effect::Announce { router, .. } => {
                    assert!(self.there.contains(&router), "announced before it is there");
                    assert!(!self.maps.silent.contains(&self.place(router)), "announced before it answers");
                }
                Effect::RemoveAddresses(id) => {
                    let place = self.place(id);
                    let fenced = self.maps.held.contains(&place) || self.maps.silent.contains(&place);
                    assert!(fenced, "open before it is gone");
                    self.there.remove(&id);
                }
                Effect::Event(event) => {
                    told = true;
                    self.events.push(event);
                }
                Effect::ForgetOthers(on, kept) => {
                    let ours = |(at, family, vrid): &Place| *at != on || kept.contains(&(*family, *vrid));
                    self.maps.held.retain(ours);
                    self.maps.master.retain(ours);
                    self.maps.superseded.retain(ours);
                    self.maps.silent.retain(ours);
                }
                Effect::Track { .. } | Effect::Untrack(_) => {}
            }
        }
        if !between_turns {
            for router in self.node.routers() {
                let holds = router.machine().state().holds_addresses();
                let stands_by = router.presence().is_behind();
                let there = self.there.contains(&router.id());
                assert_eq!(there, holds || stands_by, "{:?}", router.machine().state());
                let place = self.place(router.id());
                assert_eq!(self.maps.held.contains(&place), holds);
                assert_eq!(self.maps.silent.contains(&place), stands_by);
            }
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Wait(u64),
    Advert(usize, u8, u8),
    Fitness(usize, bool, bool),
    Lost(u8),
    Superseded(usize),
    Frozen(u64),
    AddAgain(usize),
    /// Whether it can stand by; whether it is to.
    Standby(usize, bool, bool),
    /// Somebody takes the programs off, and they are attached again.
    Gone,
    Stop,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0_u64..400).prop_map(Step::Wait),
        4 => (0_usize..3, 2_u8..4, prop_oneof![Just(0_u8), Just(50), Just(100), Just(200)])
            .prop_map(|(n, from, priority)| Step::Advert(n, from, priority)),
        2 => (0_usize..3, any::<bool>(), any::<bool>()).prop_map(|(n, fit, up)| Step::Fitness(n, fit, up)),
        2 => (2_u8..4).prop_map(Step::Lost),
        1 => (0_usize..3).prop_map(Step::Superseded),
        1 => (50_u64..500).prop_map(Step::Frozen),
        1 => (0_usize..3).prop_map(Step::AddAgain),
        2 => (0_usize..3, any::<bool>(), any::<bool>()).prop_map(|(n, can, to)| Step::Standby(n, can, to)),
        1 => Just(Step::Gone),
        1 => Just(Step::Stop),
    ];
    prop::collection::vec(step, 1..40)
}

proptest! {
    #[test]
    fn effects_come_in_the_order_that_is_promised(steps in steps(), virtual_mac in any::<bool>(), grouped in any::<bool>()) {
        let routers = [settings(0, 1, virtual_mac), settings(0, 2, false), settings(1, 1, false)];
        let group: &[u32] = if grouped { &[0, 2] } else { &[] };
        let mut rig = Rig::new(&routers, group).start();
        for step in steps {
            match step {
                Step::Wait(span) => {
                    // As the threads do that vouch for this node.
                    let end = rig.now.after(Span::from_millis(span));
                    while rig.now < end {
                        for on in [InterfaceId(0), InterfaceId(1)] {
                            if rig.node.needs_lease(on) && rig.maps.until.get(&on).is_some_and(|until| *until > rig.now) {
                                let until = rig.now.after(Span::from_millis(100));
                                rig.maps.write(on, Write::Renew { until });
                            }
                        }
                        let next = rig.now.after(Span::from_millis(30)).min(end);
                        rig.run_until(next);
                    }
                }
                Step::Advert(n, from, priority) => {
                    rig.advert(n, from, priority);
                    rig.turn();
                }
                Step::Fitness(n, fit, up) => {
                    rig.fitness(n, if fit { Input::Ready(up) } else { Input::Unfit });
                    rig.turn();
                }
                Step::Lost(from) => {
                    let event = Judged::Lost { verdict: Verdict::Unreachable, at: rig.now, affirmed: rig.now };
                    rig.node.report(InterfaceId(0), peer(from), event, Precedence::default(), rig.now, &rig.maps);
                    rig.drain(true);
                    rig.turn();
                }
                Step::Superseded(n) => {
                    let place = rig.place(rig.node.routers()[n].id());
                    if rig.maps.held.contains(&place) {
                        rig.maps.superseded.insert(place);
                    }
                    rig.turn();
                }
                Step::Frozen(span) => {
                    rig.maps.last_probe = Some(rig.now.after(Span::from_millis(span)));
                    rig.now = rig.now.after(Span::from_millis(span));
                    rig.turn();
                }
                Step::AddAgain(n) => {
                    let id = rig.node.routers()[n].id();
                    rig.node.add_addresses_again(id, rig.now);
                    rig.turn();
                }
                Step::Standby(n, can, to) => rig.stand_by(n, can, to),
                Step::Gone => rig.lose_programs(),
                Step::Stop => {
                    rig.node.stop(rig.now, &rig.maps);
                    rig.drain(true);
                    rig.turn();
                }
            }
        }
    }
}

#[test]
fn a_lease_that_ran_out_while_somebody_probed_is_a_step_down() {
    let mut rig = Rig::new(&[settings(0, 1, false)], &[]).start();
    rig.run_until(ms(1000));
    assert_eq!(rig.states(), [State::Master]);
    // The last turn was the last that anybody vouched for.
    let until = rig.maps.until[&InterfaceId(0)];
    rig.maps.last_probe = Some(until.after(Span::from_millis(5)));
    rig.adverts.clear();
    rig.now = until.after(Span::from_millis(10));
    rig.turn();
    assert_eq!((rig.states(), rig.adverts.as_slice()), (alloc::vec![State::Backup], &[(RouterId(0), 0)][..]));
    assert!(rig.maps.until[&InterfaceId(0)] > rig.now, "renewed after the addresses are gone");
    assert!(rig.events.iter().any(|event| matches!(event, Event::LeaseRanOut { superseded: false, .. })));
}

#[test]
fn nobody_steps_down_where_nobody_probed() {
    let mut rig = Rig::new(&[settings(0, 1, false)], &[]).start();
    rig.run_until(ms(1000));
    rig.now = ms(3000);
    rig.turn();
    assert_eq!(rig.states(), [State::Master]);
}

#[test]
fn a_role_goes_on_within_three_intervals_of_the_last_sign_and_not_later() {
    let resumed = |silence: u64, orphaned: bool, was_wanted: bool| {
        let mut rig = Rig::new(&[settings(0, 1, false)], &[]);
        rig.there.insert(RouterId(0));
        let at = rig.now;
        // The lease was last renewed its length before its end.
        let lease_until = Time(at.0 - silence * 1_000_000 + 100_000_000);
        let is_unbroken = false;
        rig.maps.inherited =
            Some(Inherited { at, was_master: true, was_wanted, is_unbroken, orphaned, lease_until });
        rig.fitness(0, Input::Ready(true));
        rig.states() == [State::Master]
    };
    assert!(resumed(299, false, false) && !resumed(300, false, false));
    assert!(resumed(299, true, false), "nobody would take it over");
    assert!(!resumed(299, true, true), "somebody was told that nobody runs it");
}

#[test]
fn a_group_takes_over_when_all_of_it_can() {
    let mut rig = Rig::new(&[settings(0, 1, false), settings(1, 1, false)], &[0, 1]).start();
    for n in [0, 1] {
        rig.advert(n, 2, 200);
    }
    rig.turn();
    let lost = |rig: &mut Rig, on: u32| {
        let event = Judged::Lost { verdict: Verdict::Orphaned, at: rig.now, affirmed: rig.now };
        rig.node.report(InterfaceId(on), peer(2), event, Precedence::default(), rig.now, &rig.maps);
        rig.drain(true);
    };
    rig.now = ms(10);
    lost(&mut rig, 0);
    rig.run_until(ms(50));
    assert_eq!(rig.states(), [State::Backup; 2], "the other member's master is alive");
    lost(&mut rig, 1);
    rig.run_until(ms(60));
    assert_eq!(rig.states(), [State::Master; 2]);
    let of_group = rig.events.iter().filter(|event| matches!(event, Event::GroupState { .. }));
    assert_eq!(of_group.count(), 2, "backup, then master");
}

#[test]
fn a_master_announces_again_when_one_that_it_probes_falls_silent() {
    let once = Settings { again: (Span::ZERO, 1), ..settings(0, 1, false) };
    let mut rig = Rig::new(&[once], &[]).start();
    rig.run_until(ms(1000));
    let mut rounds = |affirmed: u64| {
        let event = Judged::Lost { verdict: Verdict::Orphaned, at: rig.now, affirmed: ms(affirmed) };
        rig.node.report(InterfaceId(0), peer(2), event, Precedence::default(), rig.now, &rig.maps);
        rig.drain(true);
        rig.node.turn(rig.now, &mut rig.maps);
        let mut rounds = 0;
        while let Some(effect) = rig.node.poll_effect() {
            rounds += u32::from(matches!(effect, Effect::Announce { .. }));
        }
        rounds
    };
    assert_eq!([rounds(1000), rounds(1100)], [1, 0], "for the verdict, not each time that it is affirmed");
}

#[test]
fn a_reload_touches_what_it_changes() {
    let one = settings(0, 1, false);
    let other = settings(1, 1, false);
    let mut rig = Rig::new(&[one, other], &[]).start();
    rig.run_until(ms(1000));
    rig.advert(1, 9, 200);
    rig.turn();
    assert_eq!(rig.states(), [State::Master, State::Backup]);
    let nothing_else = |_, _| false;
    let again = rig.node.reload(&[other, one], nothing_else, rig.now);
    assert_eq!(again.fates, [Fate::Unchanged(RouterId(1)), Fate::Unchanged(RouterId(0))]);
    assert_eq!((again.retired.as_slice(), rig.node.poll_effect()), (&[][..], None));
    let password = rig.node.reload(&[one, other], |n, _| n == 0, rig.now);
    assert_eq!(password.fates, [Fate::Configured(RouterId(0)), Fate::Unchanged(RouterId(1))]);
    rig.drain(true);
    let slower = Settings {
        params: Params { interval: Span::from_millis(200), ..one.params },
        ..settings(0, 1, false)
    };
    let new = settings(0, 7, false);
    let changed = rig.node.reload(&[slower, new], nothing_else, rig.now);
    assert_eq!(changed.fates, [Fate::Configured(RouterId(0)), Fate::Added(RouterId(2))]);
    assert_eq!(changed.retired, [RouterId(1)]);
    rig.drain(true);
    rig.turn();
    assert_eq!(rig.states(), [State::Master, State::Init, State::Init], "the first has not even noticed");
    assert_eq!(rig.node.forget_retired(), [RouterId(1)]);
    let version = Settings { params: Params { version: Version::V2, ..slower.params }, ..slower };
    let another = rig.node.reload(&[version, new], nothing_else, rig.now);
    assert_eq!(another.retired, [RouterId(0)], "another version is another virtual router");
}

#[test]
fn a_reload_that_comes_during_a_stop_starts_nothing() {
    let mut rig = Rig::new(&[settings(0, 1, false)], &[]).start();
    rig.run_until(ms(1000));
    rig.node.stop(rig.now, &rig.maps);
    rig.drain(true);
    rig.turn();
    let reload = rig.node.reload(&[settings(0, 1, false), settings(0, 2, false)], |_, _| false, rig.now);
    assert_eq!(reload.fates[1], Fate::Added(RouterId(1)));
    rig.fitness(1, Input::Ready(true));
    rig.run_until(ms(5000));
    assert!(rig.node.has_stopped(), "{:?}", rig.states());
}

#[test]
fn what_a_reload_adds_has_no_role_to_go_on_with() {
    let (one, other) = (settings(0, 1, false), settings(0, 2, false));
    let mut rig = Rig::new(&[one, other], &[]);
    rig.there.extend([RouterId(0), RouterId(1)]);
    let (at, lease_until) = (rig.now, rig.now);
    let inherited = Inherited {
        at,
        was_master: true,
        was_wanted: false,
        is_unbroken: true,
        orphaned: false,
        lease_until,
    };
    rig.maps.inherited = Some(inherited);
    let (priority, source) = (Priority::DEFAULT, Some(peer(1)));
    for id in [RouterId(0), RouterId(1)] {
        let fit = Fitness { fitness: Input::Ready(true), waits: false, priority, source };
        rig.node.set_fitness(id, fit, rig.now);
    }
    let mut rig = rig.start();
    rig.turn();
    assert_eq!(rig.states(), [State::Master; 2]);
    rig.node.reload(&[one], |_, _| false, rig.now);
    rig.drain(true);
    rig.turn();
    rig.node.forget_retired();
    rig.node.reload(&[one, other], |_, _| false, rig.now);
    rig.drain(true);
    rig.fitness(1, Input::Ready(true));
    rig.turn();
    assert_eq!(rig.states(), [State::Master, State::Backup]);
}

#[test]
fn what_an_earlier_run_lost_postpones_nothing() {
    let took = |lost: u64| {
        let mut rig = Rig::new(&[settings(0, 1, false)], &[]);
        rig.maps.lost = lost;
        let mut rig = rig.start();
        rig.turn();
        rig.run_until(ms(2000));
        assert_eq!(rig.states(), [State::Master]);
        rig.node.routers()[0].machine().since()
    };
    assert_eq!(took(0), took(7));
}

/// The owner of the addresses was killed, and is started beside another owner, to whom it yields at once.
#[test]
fn what_an_earlier_run_left_goes_with_a_role_that_did_not_last_for_a_turn() {
    let mut rig = Rig::new(&[settings(0, 1, false)], &[]);
    let id = RouterId(0);
    rig.there.insert(id);
    let fit = Fitness {
        fitness: Input::Ready(true),
        waits: false,
        priority: Priority::OWNER,
        source: Some(peer(1)),
    };
    rig.node.set_fitness(id, fit, rig.now);
    rig.node.settle_fitness(rig.now, &rig.maps);
    rig.drain(true);
    assert!(rig.node[id].presence().is_kept(), "the start leaves them where they are");
    rig.node.end_start(rig.now);
    rig.drain(true);
    rig.advert(0, 2, 255);
    rig.turn();
    assert_eq!(rig.states(), [State::Backup]);
    assert!(rig.there.is_empty());
}

#[test]
fn what_was_lost_before_the_latest_sign_of_life_postpones_nothing() {
    let took = |lost_at: u64| {
        let mut rig = Rig::new(&[settings(0, 1, false)], &[]).start();
        for n in 0..10 {
            rig.now = ms(n * 100);
            if n * 100 >= lost_at {
                rig.maps.lost = 7;
            }
            rig.advert(0, 2, 200);
            rig.turn();
        }
        if lost_at > 900 {
            rig.maps.lost = 7;
        }
        rig.run_until(ms(2000));
        let master = |event: &Event| {
            matches!(event, Event::Transition { to: State::Master, reason: Reason::MasterDown, .. })
        };
        assert!(rig.events.iter().any(master));
        rig.node.routers()[0].machine().since()
    };
    assert_eq!(took(100), took(5_000 - 4_000 - 500), "long before");
    assert!(took(901) > took(100), "after it");
}

#[test]
fn the_same_calls_give_the_same_effects() {
    let mut one = Rig::new(&[settings(0, 1, false), settings(1, 1, true)], &[]).start();
    let mut two = Rig::new(&[settings(0, 1, false), settings(1, 1, true)], &[]).start();
    for rig in [&mut one, &mut two] {
        rig.run_until(ms(700));
        rig.advert(0, 2, 200);
        rig.run_until(ms(900));
    }
    assert_eq!((one.events, one.adverts), (two.events, two.adverts));
}

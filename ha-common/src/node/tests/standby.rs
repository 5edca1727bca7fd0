//! Addresses that a backup has behind its fence.

use super::*;

impl Rig {
    /// Whether a router can stand by, and by a new configuration whether it is to.
    pub(super) fn stand_by(&mut self, n: usize, can: bool, to: bool) {
        let router = &self.node.routers()[n];
        let (id, settings) = (router.id(), Settings { hot_standby: to, ..*router.settings() });
        if can && !settings.virtual_mac {
            self.node.allow_standby(id);
        } else {
            self.node.bar_standby(id);
        }
        self.drain(true);
        self.node.configure(id, settings, self.now);
        self.drain(true);
        self.turn();
    }

    /// Somebody takes the programs off, which is noticed; then they are there again, with empty maps.
    pub(super) fn lose_programs(&mut self) {
        self.maps.gone = true;
        self.now = self.now.after(Span::from_millis(600));
        self.turn();
        self.maps.gone = false;
        for on in [InterfaceId(0), InterfaceId(1)] {
            self.node.attached(on, self.now);
            self.drain(true);
        }
        for id in self.node.routers().iter().map(Router::id).collect::<Vec<_>>() {
            if !self.node[id].settings().virtual_mac {
                self.node.allow_standby(id);
            }
        }
        self.drain(true);
        self.turn();
    }

    fn standby() -> Self {
        let hot = Settings { hot_standby: true, ..settings(0, 1, false) };
        let mut rig = Self::new(&[hot], &[]);
        rig.node.allow_standby(RouterId(0));
        rig.drain(true);
        let mut rig = rig.start();
        rig.advert(0, 2, 200);
        rig.turn();
        rig
    }

    fn is_silent(&self) -> (bool, bool) {
        let id = RouterId(0);
        (self.there.contains(&id), self.maps.silent.contains(&self.place(id)))
    }
}

#[test]
fn a_backup_has_them_behind_the_fence_and_a_master_answers() {
    let mut rig = Rig::standby();
    assert_eq!((rig.states()[0], rig.is_silent()), (State::Backup, (true, true)));
    rig.run_until(ms(2000));
    assert_eq!((rig.states()[0], rig.is_silent()), (State::Master, (true, false)));
    rig.advert(0, 2, 200);
    rig.turn();
    assert_eq!((rig.states()[0], rig.is_silent()), (State::Backup, (true, true)));
}

#[test]
fn a_takeover_adds_nothing_and_opens_between_advert_and_announcements() {
    let mut rig = Rig::standby();
    let mut effects = Vec::new();
    while rig.states() == [State::Backup] {
        rig.now = rig.now.max(rig.node.next_deadline());
        rig.node.turn(rig.now, &mut rig.maps);
        effects = core::iter::from_fn(|| rig.node.poll_effect()).collect();
    }
    let touches = |effect: &Effect| {
        matches!(effect, Effect::AddAddresses(_) | Effect::AddBehind(_) | Effect::RemoveAddresses(_))
    };
    assert!(!effects.iter().any(touches), "{effects:?}");
    let at = |wanted: fn(&Effect) -> bool| effects.iter().position(wanted);
    let advert = at(|effect| matches!(effect, Effect::Advert { .. })).expect("an advert");
    let opened = at(|effect| matches!(effect, Effect::Write(_, Write::Standby(.., false)))).expect("opened");
    let announced = at(|effect| matches!(effect, Effect::Announce { .. })).expect("announced");
    assert!(advert < opened && opened < announced, "{effects:?}");
}

#[test]
fn a_step_down_closes_them_before_it_is_vouched_for_again() {
    let mut rig = Rig::standby();
    rig.run_until(ms(1000));
    assert_eq!(rig.states(), [State::Master]);
    let until = rig.maps.until[&InterfaceId(0)];
    rig.maps.last_probe = Some(until.after(Span::from_millis(5)));
    rig.now = until.after(Span::from_millis(10));
    rig.node.turn(rig.now, &mut rig.maps);
    let effects: Vec<_> = core::iter::from_fn(|| rig.node.poll_effect()).collect();
    let at = |wanted: fn(&Effect) -> bool| effects.iter().position(wanted);
    let closed = at(|effect| matches!(effect, Effect::Write(_, Write::Standby(.., true)))).expect("closed");
    let renewed = at(|effect| matches!(effect, Effect::Write(_, Write::Renew { .. }))).expect("renewed");
    assert!(closed < renewed, "{effects:?}");
}

#[test]
fn one_that_cannot_or_may_not_has_nothing_there() {
    let mut rig = Rig::standby();
    rig.node.bar_standby(RouterId(0));
    rig.drain(true);
    assert_eq!(rig.is_silent(), (false, false));
    rig.stand_by(0, true, true);
    assert_eq!(rig.is_silent(), (true, true));
    rig.stand_by(0, true, false);
    assert_eq!(rig.is_silent(), (false, false));
}

#[test]
fn whose_program_is_gone_removes_them_by_the_next_look() {
    let mut rig = Rig::standby();
    rig.maps.gone = true;
    let end = rig.now.after(Span::from_millis(600));
    while rig.is_silent().0 && rig.node.next_deadline() <= end {
        rig.now = rig.node.next_deadline();
        rig.turn();
    }
    assert!(!rig.is_silent().0, "still there");
    assert!(rig.events.contains(&Event::Deaf(InterfaceId(0))));
}

#[test]
fn what_leaves_for_good_is_removed() {
    for fit in [false, true] {
        let mut rig = Rig::standby();
        if fit {
            rig.node.stop(rig.now, &rig.maps);
            rig.drain(true);
        } else {
            rig.fitness(0, Input::Ready(false));
        }
        rig.turn();
        assert_eq!(rig.is_silent(), (false, false));
        let mut rig = Rig::standby();
        rig.node.retire(RouterId(0), rig.now);
        rig.drain(true);
        assert_eq!(rig.is_silent(), (false, false), "at once: the program forgets whose addresses these are");
    }
}

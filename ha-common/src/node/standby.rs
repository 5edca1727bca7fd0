//! Hot standby: the addresses of a backup are on its interface beforehand, behind the fence, so that a takeover is a write
//! into a map and needs no netlink.
//!
//! Whether the fence can be closed for them alone is the driver's to say. What closes it is written before there is
//! anything to answer for, and what opens it after the advert.

use super::io::{Effect, Kernel, RouterId, Write};
use super::router::{Presence, Router};
use super::{InterfaceId, Node};
use crate::machine::State;
use crate::time::{Span, Time};

/// How often a backup looks whether the program is still there that keeps its addresses silent.
const LOOK: Span = Span::from_millis(500);

impl Router {
    /// Where the addresses are to be while this router does not hold them. What is there is closed up or removed by the
    /// turn.
    pub(super) fn place(&mut self) {
        let state = self.machine.state();
        if state.holds_addresses() {
            return;
        }
        let behind = state == State::Backup && self.settings.hot_standby && self.can_stand_by;
        self.presence = match (self.presence, behind) {
            (there @ (Presence::Behind { .. } | Presence::Closing), true)
            | (there @ (Presence::Absent | Presence::Leftover), false) => there,
            (Presence::Present, true) => Presence::Closing,
            (Presence::Opening, true) => Presence::Behind { all: true },
            (Presence::Absent | Presence::Leftover | Presence::Wanted { .. } | Presence::Unwanted, true) => {
                Presence::Behind { all: false }
            }
            (Presence::Wanted { some: false }, false) => Presence::Absent,
            (_, false) => Presence::Unwanted,
        };
    }

    fn standby(&self, closed: bool) -> Write {
        Write::Standby(self.family(), self.vrid(), closed)
    }
}

impl Node {
    /// The addresses of a router can be kept silent while it is backup: the program is attached and outlives the daemon,
    /// and knows them all as this router's.
    pub fn allow_standby(&mut self, id: RouterId) {
        let Some(at) = self.position(id) else { return };
        if !core::mem::replace(&mut self.routers[at].can_stand_by, true) {
            self.routers[at].place();
            self.show(id);
        }
    }

    /// They cannot, or not for much longer: what is behind the fence is removed before anything else happens.
    pub fn bar_standby(&mut self, id: RouterId) {
        let Some(at) = self.position(id) else { return };
        if core::mem::replace(&mut self.routers[at].can_stand_by, false) {
            let was_behind = self.routers[at].presence.is_behind();
            self.routers[at].place();
            self.remove_exposed(at, was_behind);
        }
    }

    /// Whether [`Node::allow_standby`] was called last.
    #[must_use]
    pub fn may_stand_by(&self, id: RouterId) -> bool {
        self.router(id).is_some_and(|router| router.can_stand_by)
    }

    /// Between two turns, addresses are removed at once whose fence is about to go.
    pub(super) fn remove_exposed(&mut self, at: usize, was_behind: bool) {
        let router = &mut self.routers[at];
        if was_behind && router.presence == Presence::Unwanted {
            router.presence = Presence::Absent;
            let id = router.id;
            self.effects.now(Effect::RemoveAddresses(id));
            self.show(id);
        }
    }

    /// The program of an interface is gone: what it kept silent is removed by this turn.
    pub(super) fn lose_fence(&mut self, on: InterfaceId) {
        for router in self.routers.iter_mut().filter(|router| router.interface() == on) {
            router.can_stand_by = false;
            router.place();
        }
    }

    /// Whether the program of an interface has gone that keeps addresses silent, where it is time to look.
    pub(super) fn has_lost_fence<K: Kernel + ?Sized>(&mut self, n: usize, now: Time, kernel: &mut K) -> bool {
        let on = self.interfaces[n].id;
        if self.interfaces[n].look_at > now || !self.stands_by(on) {
            return false;
        }
        self.interfaces[n].look_at = now.after(LOOK);
        kernel.is_deaf(on, false)
    }

    /// Whether addresses are behind the fence of an interface.
    #[must_use]
    pub fn stands_by(&self, on: InterfaceId) -> bool {
        self.on(on).any(|router| router.presence.is_behind())
    }

    /// When that is to be looked at next.
    pub(super) fn next_look(&self) -> Time {
        let here = self.interfaces.iter().filter(|interface| self.stands_by(interface.id));
        here.map(|interface| interface.look_at).min().unwrap_or(Time::NEVER)
    }

    /// Those who have become master answer from now on.
    pub(super) fn open(&mut self) {
        for router in &mut self.routers {
            if router.presence == Presence::Opening {
                router.presence = Presence::Present;
            } else if !matches!(router.presence, Presence::Wanted { .. } | Presence::Present) {
                continue;
            }
            if core::mem::replace(&mut router.closed, false) {
                self.effects.write(router.interface(), router.standby(false));
            }
        }
    }

    /// Those who are no longer master do not answer from now on.
    pub(super) fn close_up(&mut self) {
        for id in self.ids() {
            let Some(at) = self.position(id) else { continue };
            let router = &mut self.routers[at];
            match router.presence {
                Presence::Closing => router.presence = Presence::Behind { all: true },
                Presence::Behind { .. } if !router.closed => {}
                _ => continue,
            }
            self.show(id);
        }
    }

    /// Puts addresses behind the fence that are not there yet.
    pub(super) fn add_behind(&mut self, now: Time) {
        for router in &mut self.routers {
            if router.presence == (Presence::Behind { all: false }) {
                router.presence = Presence::Behind { all: true };
                self.effects.now(Effect::AddBehind(router.id));
            }
        }
        for n in 0..self.interfaces.len() {
            // The program was there a moment ago.
            if self.interfaces[n].look_at <= now && self.stands_by(self.interfaces[n].id) {
                self.interfaces[n].look_at = now.after(LOOK);
            }
        }
    }
}

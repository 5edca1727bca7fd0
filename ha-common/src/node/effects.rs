//! Effects on their way out, in the order that the node's documentation has.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use super::io::{Effect, Event, InterfaceId, RouterId, Write};

/// What was decided and has not been carried out.
#[derive(Clone, Debug, Default)]
pub(super) struct Effects {
    /// Ready to be taken.
    out: VecDeque<Effect>,
    adverts: Vec<Effect>,
    events: Vec<Event>,
}

impl Effects {
    pub(super) fn poll(&mut self) -> Option<Effect> {
        self.out.pop_front()
    }

    /// To be carried out before anything that is decided later.
    pub(super) fn write(&mut self, on: InterfaceId, write: Write) {
        self.out.push_back(Effect::Write(on, write));
    }

    pub(super) fn now(&mut self, effect: Effect) {
        self.out.push_back(effect);
    }

    /// To go out with the turn's other adverts.
    pub(super) fn advert(&mut self, router: RouterId, priority: u8) {
        self.adverts.push(Effect::Advert { router, priority });
    }

    pub(super) fn event(&mut self, event: Event) {
        self.events.push(event);
    }

    /// What will be told at the end of the turn.
    pub(super) const fn events(&mut self) -> &mut Vec<Event> {
        &mut self.events
    }

    /// Lets adverts go out.
    pub(super) fn release_adverts(&mut self) {
        self.out.extend(self.adverts.drain(..));
    }

    /// Lets events be told.
    pub(super) fn release_events(&mut self) {
        self.out.extend(self.events.drain(..).map(Effect::Event));
    }
}

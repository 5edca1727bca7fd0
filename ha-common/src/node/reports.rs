//! What verdicts on peers mean for each virtual router.

use core::net::IpAddr;

use super::Node;
use super::io::{InterfaceId, Kernel};
use crate::judge::{Event, Precedence, Verdict, takeover_wait};
use crate::machine::{Input, State};
use crate::time::Time;
use crate::types::Family;

/// Peers that are remembered to answer probes: more than are probed at a time. The oldest makes way.
const MOST_ANSWERING: usize = 256;

impl Node {
    /// Takes what the judge of a peer has found, and where this node stands among those that would take over from it.
    pub fn report<K: Kernel + ?Sized>(
        &mut self,
        on: InterfaceId,
        peer: IpAddr,
        event: Event,
        order: Precedence,
        now: Time,
        kernel: &K,
    ) {
        self.note_answers(on, peer, event, order);
        let silent = matches!(event, Event::Lost { verdict: Verdict::Unreachable, .. });
        let order = if silent { order } else { order.at_its_word() };
        // When the peer was last heard decides over how long its next advert is waited for.
        self.read_stamps(now, kernel);
        for at in 0..self.routers.len() {
            let router = &self.routers[at];
            let same_family = router.family() == Family::of(peer);
            if router.interface() != on || !same_family || !router.settings.fast {
                continue;
            }
            // A master that probes another one does so because that one was master too. What it announced may have been
            // held up on the way, and reach hosts after our own announcements; from now on it says nothing that we could
            // answer.
            if router.machine.state() == State::Master
                && matches!(event, Event::Lost { at, affirmed, .. } if at == affirmed)
            {
                self.routers[at].announce_again(now);
            }
            let router = &self.routers[at];
            let wait = takeover_wait(router.machine.priority(), &router.settings.judge, order);
            let input = match event {
                Event::Lost { verdict, at, affirmed } => {
                    Input::MasterLost { source: peer, verdict, at, affirmed, wait }
                }
                Event::Resigned { vrids, at } if vrids.has(router.vrid()) => {
                    Input::MasterResigned { source: peer, at, wait }
                }
                Event::Alive { at } => Input::MasterAlive { source: peer, at },
                Event::Resigned { .. }
                | Event::Discovered { .. }
                | Event::Unanswered
                | Event::Restarting { .. }
                | Event::Apart { .. }
                | Event::Widened { .. }
                | Event::Paused { .. } => continue,
            };
            self.feed(at, input, now, None);
        }
    }

    fn note_answers(&mut self, on: InterfaceId, peer: IpAddr, event: Event, order: Precedence) {
        let answers = match event {
            Event::Discovered { .. } | Event::Alive { .. } | Event::Restarting { .. } => true,
            Event::Unanswered | Event::Lost { .. } | Event::Apart { .. } | Event::Paused { .. } => false,
            Event::Resigned { .. } | Event::Widened { .. } => return,
        };
        self.answering.retain(|known| (known.0, known.1) != (on, peer));
        if answers {
            if self.answering.len() >= MOST_ANSWERING {
                self.answering.remove(0);
            }
            self.answering.push((on, peer, order.at_its_word()));
        }
    }

    /// On this interface a known router probes again after a pause. It may have taken our addresses meanwhile, and yielded
    /// where we did not hear it: whoever sends to it hears of us again.
    pub fn probes_resumed(&mut self, on: InterfaceId, now: Time) {
        for router in &mut self.routers {
            if router.interface() == on && router.machine.state() == State::Master && router.settings.fast {
                router.announce_again(now);
            }
        }
    }

    /// The program of an interface was gone for some time: what was held against masters there was our own deafness.
    pub(super) fn was_deaf(&mut self, on: InterfaceId, now: Time) {
        for at in 0..self.routers.len() {
            if self.routers[at].interface() != on {
                continue;
            }
            if let Some(master) = self.routers[at].machine.master() {
                self.feed(at, Input::MasterAlive { source: master.address, at: now }, now, None);
            }
            self.feed(at, Input::FramesLost, now, None);
        }
    }
}

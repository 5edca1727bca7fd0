//! Transitions as tables, timers as numbers, sequences as properties.

extern crate std;

mod election;
mod evidence;
mod group;
mod liveness;
mod pair;
mod sequences;
mod timing;
mod verdict;
mod watched;
mod yielding;

use core::net::{IpAddr, Ipv4Addr};
use std::vec::Vec;

use super::{Action, Input, Machine, Params, State};
use crate::time::{Span, Time};
use crate::types::{Family, Priority, Version, Vrid};

const MS: u64 = 1_000_000;

fn ip(host: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(172, 16, 1, host))
}

fn prio(value: u8) -> Priority {
    Priority::new(value).expect("a priority")
}

/// VRRPv3 with 100 ms; tests change what they are about.
fn params() -> Params {
    let vrid = Vrid::new(25).expect("a VRID");
    Params { interval: Span::from_millis(100), ..Params::new(vrid, Family::V4, Version::V3) }
}

/// A machine with the host number 10, and the actions of the latest input.
struct Rig {
    machine: Machine,
    now: Time,
}

impl Rig {
    /// Not started yet, at one second.
    fn new(params: Params, priority: u8) -> Self {
        let now = Time(1000 * MS);
        let mut machine = Machine::new(params, prio(priority), now);
        machine.handle(Input::SetAddress(ip(10)), now);
        Self { machine, now }
    }

    fn backup(params: Params, priority: u8) -> Self {
        let mut rig = Self::new(params, priority);
        rig.feed(Input::Ready(true));
        assert_eq!(rig.machine.state(), State::Backup);
        rig
    }

    fn master(params: Params, priority: u8) -> Self {
        let mut rig = Self::backup(params, priority);
        rig.run_to_deadline();
        assert_eq!(rig.machine.state(), State::Master);
        rig
    }

    fn feed(&mut self, input: Input) -> Vec<Action> {
        self.machine.handle(input, self.now);
        core::iter::from_fn(|| self.machine.poll_action()).collect()
    }

    /// An advert that arrives now.
    fn hear(&mut self, host: u8, priority: u8) -> Vec<Action> {
        self.hear_every(100, host, priority)
    }

    /// An advert that arrives now, of a router that sends one in so many milliseconds.
    fn hear_every(&mut self, millis: u64, host: u8, priority: u8) -> Vec<Action> {
        let interval = Span::from_millis(millis);
        self.feed(Input::Advert { source: ip(host), priority, interval, at: self.now })
    }

    fn pass(&mut self, millis: u64) -> &mut Self {
        self.now = self.now.after(Span::from_millis(millis));
        self
    }

    fn run_to_deadline(&mut self) -> Vec<Action> {
        self.now = self.machine.next_deadline();
        self.feed(Input::Timer)
    }

    /// From now to the deadline.
    fn remaining(&self) -> Span {
        self.machine.next_deadline().span_since(self.now)
    }
}

fn states(actions: &[Action]) -> Vec<(State, State)> {
    let step = |action: &Action| match *action {
        Action::Transition { from, to, .. } => Some((from, to)),
        _ => None,
    };
    actions.iter().filter_map(step).collect()
}

//! Orders as tables, and two routers with a group of three on three links, seeded.

extern crate std;

use core::net::{IpAddr, Ipv4Addr};
use std::vec::Vec;
use std::{format, vec};

use super::{Member, Order, common_state, order};
use crate::machine::{Action, Input, Machine, Params, State};
use crate::time::{Span, Time};
use crate::types::{Family, Priority, Version, Vrid};

/// `B` backup, `R` backup that is ready to take over, `M` master, `F` FAULT, `I` INIT, `L` leaving; small letters are newcomers.
fn members(word: &str) -> Vec<Member> {
    let member = |letter: char| Member {
        state: match letter.to_ascii_uppercase() {
            'B' | 'R' => State::Backup,
            'M' => State::Master,
            'F' => State::Fault,
            'L' => State::Leaving,
            _ => State::Init,
        },
        ready: letter.eq_ignore_ascii_case(&'R'),
        newcomer: letter.is_ascii_lowercase(),
    };
    word.chars().map(member).collect()
}

#[test]
fn orders_follow_from_the_members() {
    let table = [
        ("", None),
        ("BBB", None),
        ("MMM", None),
        ("RBB", None),
        ("RRB", None),
        ("RRR", Some(Order::TakeOver)),
        ("MRR", Some(Order::TakeOver)),
        ("MMB", Some(Order::Yield)),
        ("MRB", Some(Order::Yield)),
        ("FMM", Some(Order::Fault)),
        ("BFR", Some(Order::Fault)),
        ("FFF", None),
        ("FFI", None),
        ("III", None),
        ("LLI", None),
        ("MMb", None),
        ("MMr", Some(Order::TakeOver)),
        ("RRb", None),
        ("rr", Some(Order::TakeOver)),
    ];
    for (word, wanted) in table {
        assert_eq!(order(members(word).into_iter()), wanted, "{word}");
    }
    assert_eq!(common_state(members("MMM").into_iter()), Some(State::Master));
    assert_eq!(common_state(members("MMB").into_iter()), None);
}

const MS: u64 = 1_000_000;
const LINKS: usize = 3;

/// SplitMix64.
struct Rng(u64);

impl Rng {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }
}

struct Router {
    members: Vec<Machine>,
    up: [bool; LINKS],
}

/// Two routers; member n of both is on link n.
struct World {
    routers: [Router; 2],
    /// Of each link: adverts lost, in percent.
    loss: [u64; LINKS],
    rng: Rng,
    now: Time,
    /// Arrival, receiver, link, priority.
    flying: Vec<(Time, usize, usize, u8)>,
}

fn address(router: usize, link: usize) -> IpAddr {
    let [link, host] = [link, router + 1].map(|n| u8::try_from(n).unwrap_or(0));
    IpAddr::V4(Ipv4Addr::new(10, 0, link, host))
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = Rng(seed);
        let version = if rng.below(2) == 0 { Version::V2 } else { Version::V3 };
        let preempt = rng.below(4) > 0;
        let now = Time(1_000 * MS);
        let router = |which: usize| {
            let machine = |link: usize| {
                let vrid = Vrid::new(u8::try_from(link + 1).unwrap_or(1)).expect("a VRID");
                let interval = if version == Version::V2 { Span::SECOND } else { Span::from_millis(100) };
                let params =
                    Params { interval, preempt, grouped: true, ..Params::new(vrid, Family::V4, version) };
                let priority = Priority::new(if which == 0 { 150 } else { 100 }).expect("a priority");
                let mut machine = Machine::new(params, priority, now);
                machine.handle(Input::SetAddress(address(which, link)), now);
                machine
            };
            Router { members: (0..LINKS).map(machine).collect(), up: [true; LINKS] }
        };
        let mut world = Self { routers: [router(0), router(1)], loss: [0; LINKS], rng, now, flying: vec![] };
        for which in 0..2 {
            world.fitness(which);
        }
        world
    }

    fn feed(&mut self, which: usize, link: usize, input: Input) {
        let machine = &mut self.routers[which].members[link];
        machine.handle(input, self.now);
        while let Some(action) = self.routers[which].members[link].poll_action() {
            let Action::SendAdvert { priority } = action else { continue };
            let through = self.routers.iter().all(|router| router.up[link]);
            if through && self.rng.below(100) >= self.loss[link] {
                let delay = Span(self.rng.below(2 * MS) + 1);
                self.flying.push((self.now.after(delay), 1 - which, link, priority));
            }
        }
    }

    /// What the driver does after anything has happened.
    fn settle(&mut self, which: usize) {
        let members = |router: &Router| {
            let member = |machine: &Machine| Member {
                state: machine.state(),
                ready: machine.is_ready_to_take_over(),
                newcomer: false,
            };
            router.members.iter().map(member).collect::<Vec<_>>()
        };
        for _ in 0..3 {
            let Some(order) = order(members(&self.routers[which]).into_iter()) else { break };
            for link in 0..LINKS {
                self.feed(which, link, order.input());
            }
        }
        let settled = members(&self.routers[which]);
        assert_eq!(order(settled.iter().copied()), None, "asked again: {settled:?}");
        let master = |member: &Member| member.state == State::Master;
        assert_eq!(settled.iter().any(master), settled.iter().all(master), "half a group: {settled:?}");
    }

    fn fitness(&mut self, which: usize) {
        let up = self.routers[which].up;
        let fit = up.iter().all(|up| *up);
        for (link, up) in up.into_iter().enumerate() {
            let input = if fit || !up { Input::Ready(fit) } else { continue };
            self.feed(which, link, input);
        }
        self.settle(which);
    }

    fn run(&mut self, until: Time) {
        loop {
            let timers = self.routers.iter().flat_map(|router| &router.members).map(Machine::next_deadline);
            let arrivals = self.flying.iter().map(|flying| flying.0);
            let next = timers.chain(arrivals).min().unwrap_or(Time::NEVER);
            if next > until {
                self.now = until;
                return;
            }
            self.now = self.now.max(next);
            let now = self.now;
            while let Some(at) = self.flying.iter().position(|flying| flying.0 <= now) {
                let (at, to, link, priority) = self.flying.remove(at);
                if !self.routers[to].up[link] {
                    continue;
                }
                let interval = self.routers[to].members[link].interval();
                let source = address(1 - to, link);
                self.feed(to, link, Input::Advert { source, priority, interval, at });
                self.settle(to);
            }
            for which in 0..2 {
                for link in 0..LINKS {
                    if self.routers[which].members[link].next_deadline() <= now {
                        self.feed(which, link, Input::Timer);
                    }
                }
                self.settle(which);
            }
        }
    }

    fn trouble(&mut self) {
        let link = usize::try_from(self.rng.below(3)).unwrap_or(0);
        let which = usize::try_from(self.rng.below(2)).unwrap_or(0);
        match self.rng.below(4) {
            0 | 1 => {
                self.routers[which].up[link] ^= true;
                self.fitness(which);
            }
            2 => self.loss[link] = [0, 30, 100][usize::try_from(self.rng.below(3)).unwrap_or(0)],
            _ => self.loss = [0; LINKS],
        }
    }
}

#[test]
fn after_quiet_all_members_share_one_state_and_one_router_is_master_of_all() {
    for seed in 0..2_000 {
        let mut world = World::new(seed);
        for _ in 0..20 {
            let pause = world.rng.below(4_000 * MS);
            world.run(world.now.after(Span(pause)));
            world.trouble();
        }
        world.loss = [0; LINKS];
        for which in 0..2 {
            world.routers[which].up = [true; LINKS];
            world.fitness(which);
        }
        world.run(world.now.after(Span::from_secs(15)));
        let states = |router: &Router| -> Vec<State> { router.members.iter().map(Machine::state).collect() };
        let both = format!("{:?} {:?}", states(&world.routers[0]), states(&world.routers[1]));
        let masters = world.routers.iter().filter(|router| states(router) == [State::Master; LINKS]).count();
        let backups = world.routers.iter().filter(|router| states(router) == [State::Backup; LINKS]).count();
        assert_eq!((masters, backups), (1, 1), "seed {seed}: {both}");
    }
}

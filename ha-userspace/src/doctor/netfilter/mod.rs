//! Do the firewall's rules let VRRP through? Pure.
//!
//! Rules come from [`nft`] and [`iptables`] in one form; here they are followed for a packet of which not everything is
//! known. What cannot be told is neither let through nor dropped: then the verdict is [`Verdict::MayDrop`].

pub mod iptables;
pub mod nft;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ha_common::types::Family;

/// All chains that were found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ruleset(pub Vec<Chain>);

/// A chain of rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chain {
    /// Whose: `inet filter` as nft(8) writes family and table, or `iptables filter`.
    pub table: String,
    /// Family of the table: `ip`, `ip6`, `inet`, `netdev`, `bridge` or `arp`.
    pub family: String,
    /// Name of the chain.
    pub name: String,
    /// Where it hooks in; `None` where other chains jump to it.
    pub hook: Option<Hook>,
    /// The interfaces of a chain in `ingress` or `egress`; empty where that is not said.
    pub devices: Vec<String>,
    /// What no rule decides is dropped.
    pub drops: bool,
    /// Rules in their order.
    pub rules: Vec<Rule>,
}

/// Where packets meet a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the words of nft(8)")]
pub enum Hook {
    Ingress,
    Prerouting,
    Input,
    Output,
    Postrouting,
    Egress,
}

/// A rule: what it does with packets for which all tests hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Tests.
    pub tests: Vec<Test>,
    /// What becomes of the packet.
    pub action: Action,
    /// The rule for people: `handle 7`, or its text.
    pub name: String,
}

/// What a rule does.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the words of nft(8)")]
pub enum Action {
    Accept,
    Drop,
    /// A program decides.
    Queue,
    Jump(String),
    Goto(String),
    Return,
}

/// A test of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Test {
    /// The protocol above IP is one of these.
    Protocol(Words),
    /// The family.
    Family(Family),
    /// The interface that it came in by.
    In(Words),
    /// The interface that it leaves by.
    Out(Words),
    /// The destination is in one of these ranges; `true`: or in some that are not known.
    Destination(Vec<(IpAddr, IpAddr)>, bool),
    /// It goes to many, or to one.
    Multicast(bool),
    /// The state of its connection.
    State(Words),
    /// TTL or hop limit.
    Ttl(Words),
    /// Holds for no such packet.
    Never,
    /// Nobody knows.
    Unknown,
    /// The contrary.
    Not(Box<Self>),
}

/// A list of words, some of which may not be known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words {
    /// The words.
    pub known: Vec<String>,
    /// There are others.
    pub others: bool,
}

/// A packet that must get through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Family.
    pub family: Family,
    /// Interface.
    pub interface: String,
    /// It comes in, else it goes out.
    pub inbound: bool,
    /// It goes to the group of VRRP, else to one address.
    pub multicast: bool,
    /// It begins with an authentication header (`auth_type AH`), whose protocol number is another one.
    pub authenticated: bool,
}

/// What becomes of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It gets through.
    Accept,
    /// It may be dropped here, by a rule of which not everything is understood or known.
    MayDrop(Place),
    /// It is dropped here.
    Drop(Place),
}

/// Where a packet is dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// As [`Chain::table`].
    pub table: String,
    /// Name of the chain.
    pub chain: String,
    /// Name of the rule; `None`: the policy.
    pub rule: Option<String>,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.table, self.chain)?;
        match &self.rule {
            Some(rule) => write!(f, " ({rule})"),
            None => f.write_str(" (its policy)"),
        }
    }
}

/// The protocols, as rules may write them.
const VRRP: [&str; 2] = ["112", "vrrp"];
const HEADER: [&str; 2] = ["51", "ah"];
const GROUP_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(224, 0, 0, 18));
const GROUP_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x12));
/// nft(8) follows no more jumps.
const DEPTH: usize = 16;

/// Whether something holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tri {
    Yes,
    No,
    Maybe,
}

impl From<bool> for Tri {
    fn from(value: bool) -> Self {
        if value { Self::Yes } else { Self::No }
    }
}

impl Words {
    fn has(&self, wanted: impl Fn(&str) -> bool) -> Tri {
        match self.known.iter().any(|word| wanted(word)) {
            true => Tri::Yes,
            false if self.others => Tri::Maybe,
            false => Tri::No,
        }
    }
}

impl Test {
    fn holds(&self, packet: &Packet) -> Tri {
        match self {
            Self::Protocol(words) => {
                let protocol = if packet.authenticated { HEADER } else { VRRP };
                words.has(|word| protocol.contains(&word))
            }
            Self::Family(family) => (*family == packet.family).into(),
            Self::In(words) if packet.inbound => words.has(|word| is_interface(word, &packet.interface)),
            Self::Out(words) if !packet.inbound => words.has(|word| is_interface(word, &packet.interface)),
            Self::Destination(ranges, others) => destination(ranges, *others, packet),
            Self::Multicast(many) => (*many == packet.multicast).into(),
            Self::State(words) => state(words, packet),
            Self::Ttl(words) => words.has(|word| word == "255"),
            Self::In(_) | Self::Out(_) | Self::Never => Tri::No,
            Self::Unknown => Tri::Maybe,
            Self::Not(test) => match test.holds(packet) {
                Tri::Yes => Tri::No,
                Tri::No => Tri::Yes,
                Tri::Maybe => Tri::Maybe,
            },
        }
    }
}

fn is_interface(word: &str, interface: &str) -> bool {
    match word.strip_suffix(['*', '+']) {
        Some(beginning) => interface.starts_with(beginning),
        None => word == interface,
    }
}

fn destination(ranges: &[(IpAddr, IpAddr)], others: bool, packet: &Packet) -> Tri {
    let group = if packet.family == Family::V4 { GROUP_V4 } else { GROUP_V6 };
    let is_family = |address: &IpAddr| address.is_ipv4() == group.is_ipv4();
    let mut ranges = ranges.iter().filter(|(first, _)| is_family(first));
    let holds = if packet.multicast {
        Tri::from(ranges.any(|(first, last)| (first..=last).contains(&&group)))
    } else if ranges.all(|(first, _)| first.is_multicast()) {
        Tri::No
    } else {
        // Which of this host's addresses it goes to is not known.
        Tri::Maybe
    };
    if holds == Tri::No && others { Tri::Maybe } else { holds }
}

/// Nobody answers to a group, so adverts to one are always new; between unicast peers they soon are not. Packets of
/// protocols that connection tracking does not know are never invalid.
fn state(words: &Words, packet: &Packet) -> Tri {
    match (words.has(|word| word == "new"), words.has(|word| word == "established")) {
        (Tri::Yes, _) if packet.multicast => Tri::Yes,
        (Tri::No, Tri::Yes) if packet.multicast => Tri::No,
        (Tri::Yes, Tri::Yes) => Tri::Yes,
        (Tri::No, Tri::No) => {
            let untracked = words.has(|word| word == "untracked");
            if untracked == Tri::No { Tri::No } else { Tri::Maybe }
        }
        _ => Tri::Maybe,
    }
}

/// What has been learnt on the way.
#[derive(Default)]
struct Way {
    may_drop: Option<Place>,
    may_accept: bool,
}

enum End {
    Accept,
    Drop(Place),
    /// The calling chain goes on.
    Return,
    /// The base chain's policy decides.
    Policy,
}

impl Ruleset {
    /// What becomes of a packet at all hooks that it comes by.
    #[must_use]
    pub fn verdict(&self, packet: &Packet, hooks: &[Hook]) -> Verdict {
        let mut worst = Verdict::Accept;
        for chain in &self.0 {
            let Some(hook) = chain.hook.filter(|hook| hooks.contains(hook)) else { continue };
            let family = match chain.family.as_str() {
                "ip" => packet.family == Family::V4,
                "ip6" => packet.family == Family::V6,
                "inet" | "netdev" => true,
                _ => false,
            };
            let at_device = matches!(hook, Hook::Ingress | Hook::Egress);
            let elsewhere = !chain.devices.is_empty() && !chain.devices.contains(&packet.interface);
            if !family || at_device && elsewhere {
                continue;
            }
            let mut verdict = self.base(chain, packet);
            if at_device && chain.devices.is_empty() {
                // For which interfaces it is, older versions of nft do not say.
                verdict = match verdict {
                    Verdict::Drop(place) => Verdict::MayDrop(place),
                    other => other,
                };
            }
            match (&worst, &verdict) {
                (_, Verdict::Drop(_)) => return verdict,
                (Verdict::Accept, Verdict::MayDrop(_)) => worst = verdict,
                _ => {}
            }
        }
        worst
    }

    fn base(&self, chain: &Chain, packet: &Packet) -> Verdict {
        let mut way = Way::default();
        let dropped = match self.follow(chain, packet, &mut way, 0) {
            End::Accept => None,
            End::Drop(place) => Some(place),
            End::Return | End::Policy => chain.drops.then(|| chain.place(None)),
        };
        match (dropped, way.may_drop) {
            (Some(place), _) if way.may_accept => Verdict::MayDrop(place),
            (Some(place), _) => Verdict::Drop(place),
            (None, Some(place)) => Verdict::MayDrop(place),
            (None, None) => Verdict::Accept,
        }
    }

    fn follow(&self, chain: &Chain, packet: &Packet, way: &mut Way, depth: usize) -> End {
        for rule in &chain.rules {
            let holds = rule.tests.iter().fold(Tri::Yes, |all, test| match (all, test.holds(packet)) {
                (Tri::No, _) | (_, Tri::No) => Tri::No,
                (Tri::Yes, Tri::Yes) => Tri::Yes,
                _ => Tri::Maybe,
            });
            if holds == Tri::No {
                continue;
            }
            let place = || chain.place(Some(rule.name.clone()));
            let end = match &rule.action {
                Action::Accept => End::Accept,
                Action::Drop => End::Drop(place()),
                Action::Queue => {
                    way.may_drop.get_or_insert_with(place);
                    End::Accept
                }
                Action::Return => End::Return,
                Action::Jump(target) | Action::Goto(target) => {
                    let target = self.0.iter().find(|other| {
                        other.table == chain.table && other.name == *target && other.hook.is_none()
                    });
                    let end = match target.filter(|_| depth < DEPTH) {
                        Some(target) => self.follow(target, packet, way, depth + 1),
                        None => End::Return,
                    };
                    match (&rule.action, end) {
                        (Action::Goto(_), End::Return) => End::Policy,
                        (Action::Jump(_), End::Return) => continue,
                        (_, end) => end,
                    }
                }
            };
            if holds == Tri::Yes {
                return end;
            }
            match end {
                End::Drop(place) => drop(way.may_drop.get_or_insert(place)),
                // What comes after this rule may not matter.
                End::Accept | End::Return => way.may_accept = true,
                End::Policy => {}
            }
        }
        End::Return
    }
}

impl Chain {
    fn place(&self, rule: Option<String>) -> Place {
        Place { table: self.table.clone(), chain: self.name.clone(), rule }
    }
}

#[cfg(test)]
mod tests;

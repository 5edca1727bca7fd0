//! Adds and removes routes and rules of the routing policy: synchronous, one system call for all of them.
//!
//! What the daemon adds carries [`MARK`] as its protocol (`ip route` shows `proto 112`), unless the configuration
//! names another one. A removal names the protocol too, so that the kernel never takes somebody else's route or rule
//! for ours; and what an earlier run left behind is found by it. What has another protocol is on file instead
//! ([`Remembered`]).
//!
//! What lives here: batches, answers, leftovers. What must not: when anything is due ([`crate::runtime`]), or what an
//! option means in netlink (`route.rs`, `rule.rs`).

mod remembered;
mod route;
mod rule;
mod watch;

use netlink_packet_core::{NLM_F_APPEND, NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::route::RouteMessage;
use netlink_packet_route::rule::RuleMessage;
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use nix::errno::Errno;

use super::addresses::MARK;
use super::error::SocketError;
use super::netlink::{Answer, Socket, said, write};
use crate::config::model::{Route, Rule};
pub use remembered::Remembered;
pub use watch::Watch;

/// A route or a rule, as the kernel is told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    message: Message,
    /// Behind what is there of the same kind, instead of before it.
    append: bool,
    name: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Message {
    Route(RouteMessage),
    Rule(RuleMessage),
}

/// A device that a route names is not there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{route} waits for interface {device}, which does not exist")]
pub struct MissingDevice {
    /// The route in words.
    pub route: String,
    /// The device.
    pub device: String,
}

impl Entry {
    /// A route of the configuration. `index` knows the devices; a way without gateway and device leads to `device`.
    ///
    /// # Errors
    /// A device is not there.
    pub fn route(
        route: &Route,
        device: Option<&str>,
        index: impl Fn(&str) -> Option<u32>,
    ) -> Result<Self, MissingDevice> {
        let name = route::words(route);
        match route::message(route, device, index) {
            Ok(message) => Ok(Self { message: Message::Route(message), append: route.append, name }),
            Err(device) => Err(MissingDevice { route: format!("route {name}"), device }),
        }
    }

    /// A rule of the configuration.
    #[must_use]
    pub fn rule(rule: &Rule) -> Self {
        Self { message: Message::Rule(rule::message(rule)), append: false, name: rule::words(rule) }
    }

    /// The words of ip-route(8) or ip-rule(8), with "route" or "rule" in front.
    #[must_use]
    pub fn name(&self) -> String {
        match &self.message {
            Message::Route(_) => format!("route {}", self.name),
            Message::Rule(_) => format!("rule {}", self.name),
        }
    }

    /// Whether it carries the daemon's mark, so that it is found again after kill -9 and missed when it is gone.
    #[must_use]
    pub fn is_marked(&self) -> bool {
        match &self.message {
            Message::Route(message) => u8::from(message.header.protocol) == MARK,
            Message::Rule(message) => rule::protocol(message) == MARK,
        }
    }

    /// Whether the kernel would take the two for the same.
    #[must_use]
    pub fn same(&self, other: &Self) -> bool {
        match (&self.message, &other.message) {
            (Message::Route(a), Message::Route(b)) => route::same(a, b),
            (Message::Rule(a), Message::Rule(b)) => rule::same(a, b),
            _ => false,
        }
    }

    fn add(&self) -> (RouteNetlinkMessage, u16) {
        match &self.message {
            Message::Route(message) => {
                let place = if self.append { NLM_F_APPEND } else { 0 };
                (RouteNetlinkMessage::NewRoute(message.clone()), NLM_F_CREATE | place)
            }
            // The kernel has nothing against doubled rules.
            Message::Rule(message) => {
                (RouteNetlinkMessage::NewRule(message.clone()), NLM_F_CREATE | NLM_F_EXCL)
            }
        }
    }

    fn delete(&self) -> (RouteNetlinkMessage, u16) {
        match &self.message {
            Message::Route(message) => (RouteNetlinkMessage::DelRoute(message.clone()), 0),
            Message::Rule(message) => (RouteNetlinkMessage::DelRule(message.clone()), 0),
        }
    }
}

/// What became of an entry that was to be added or removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouteOutcome {
    /// Added, or removed.
    Done,
    /// It was there, or not there, already.
    Already,
    /// It is not as it should be.
    Failed(RoutingError),
}

/// Why the kernel did not do as it was told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot {verb} {entry}: {}{}{}", errno.desc(), said(.message), hint(*errno))]
pub struct RoutingError {
    /// "add" or "remove".
    pub verb: &'static str,
    /// The route or rule in words.
    pub entry: String,
    /// The kernel's answer.
    pub errno: Errno,
    /// The kernel's own words, where it has some.
    pub message: Option<String>,
}

fn hint(errno: Errno) -> &'static str {
    match errno {
        Errno::EPERM => "; run as root or give the daemon CAP_NET_ADMIN",
        Errno::ENETUNREACH | Errno::EHOSTUNREACH => {
            "; no interface has an address of the gateway's network, or write `onlink`"
        }
        Errno::ENETDOWN | Errno::ENODEV => "; the interface is down or gone",
        Errno::EINVAL => "; check its options in the configuration",
        Errno::EOPNOTSUPP | Errno::EAFNOSUPPORT => "; this kernel does not have that option",
        _ => "",
    }
}

/// A netlink socket for routes and rules.
#[derive(Debug)]
pub struct Routing {
    socket: Socket,
}

impl Routing {
    /// Opens the socket.
    ///
    /// # Errors
    /// No netlink.
    pub fn open() -> Result<Self, SocketError> {
        Ok(Self { socket: Socket::open("setting routes")? })
    }

    /// Adds all entries, in order: one sendmsg, and one answer where all went well. The outcomes are in their order.
    pub fn add(&mut self, entries: &[Entry]) -> Vec<RouteOutcome> {
        let answers = self.socket.exchange(&write(entries.iter().map(Entry::add)));
        outcomes("add", entries, answers, |errno| errno == Errno::EEXIST)
    }

    /// Removes all entries, in order.
    pub fn remove(&mut self, entries: &[Entry]) -> Vec<RouteOutcome> {
        let answers = self.socket.exchange(&write(entries.iter().map(Entry::delete)));
        // The device may have gone, and the route with it.
        let gone = |errno| matches!(errno, Errno::ESRCH | Errno::ENOENT | Errno::ENODEV);
        outcomes("remove", entries, answers, gone)
    }

    /// All routes and rules that carry the mark: what an earlier run left behind, or what this one has added.
    ///
    /// Reads the whole routing table where the kernel cannot pick (before Linux 4.20), so only for the start.
    ///
    /// # Errors
    /// The kernel cannot list them.
    pub fn ours(&mut self) -> nix::Result<Vec<Entry>> {
        let mut ours = Vec::new();
        // Where it is refused, more is read than needed.
        let _ = self.socket.set_strict(true);
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let request = RouteNetlinkMessage::GetRoute(route::request(family));
            let routes = self.socket.dump(&request, |message| match message {
                RouteNetlinkMessage::NewRoute(message) if u8::from(message.header.protocol) == MARK => {
                    Some(message)
                }
                _ => None,
            });
            ours.extend(routes?.into_iter().map(|message| {
                let message = route::without_state(message);
                Entry { name: route::held_words(&message), message: Message::Route(message), append: false }
            }));
            let request = RouteNetlinkMessage::GetRule(rule::request(family));
            let rules = self.socket.dump(&request, |message| match message {
                RouteNetlinkMessage::NewRule(message) if rule::protocol(&message) == MARK => Some(message),
                _ => None,
            });
            ours.extend(rules?.into_iter().map(|message| Entry {
                name: rule::held_words(&message),
                message: Message::Rule(message),
                append: false,
            }));
        }
        let _ = self.socket.set_strict(false);
        Ok(ours)
    }
}

fn outcomes(
    verb: &'static str,
    entries: &[Entry],
    answers: Vec<Answer>,
    already: impl Fn(Errno) -> bool,
) -> Vec<RouteOutcome> {
    let outcome = |(entry, answer): (&Entry, Answer)| match answer {
        Answer::Done => RouteOutcome::Done,
        Answer::Refused { errno, .. } if already(errno) => RouteOutcome::Already,
        Answer::Refused { errno, message } => {
            RouteOutcome::Failed(RoutingError { verb, entry: entry.name(), errno, message })
        }
    };
    entries.iter().zip(answers).map(outcome).collect()
}

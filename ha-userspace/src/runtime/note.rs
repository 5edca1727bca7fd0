//! What happened in a turn and is to be logged, once the turn's work has been done.
//!
//! Writing a log line may take longer than the whole takeover, so nothing is written before it.

use std::net::IpAddr;

use ha_common::counter::Counter;
use ha_common::judge::Event;
use ha_common::machine::{Evidence, Reason, State};
use ha_common::node::{Node, RouterId};
use ha_common::time::{Span, Time};
use ha_common::types::{Centis, Priority};
use tracing::{error, info, warn};

use super::fast::Fast;
use super::interfaces::Interfaces;
use super::reasons::{Change, Judgement, milliseconds};
use super::rejections;
use super::router::Router;
use super::routers::Routers;
use super::senders::Packet;
use super::told_peers;
use super::vips::vips;
use crate::config::model::Instance;
use crate::liveness::Silence;
use crate::net::addresses::AddressError;
use crate::net::error::SendFailure;

/// A line for the log.
#[derive(Debug)]
pub(super) enum Note {
    Transition {
        router: RouterId,
        from: State,
        to: State,
        reason: Reason,
        priority: Priority,
        evidence: Evidence,
        at: Time,
        /// What holds it in FAULT.
        fault: String,
    },
    Rejected {
        router: RouterId,
        source: IpAddr,
        reason: Counter,
        quiet: u64,
    },
    AddressesDiffer {
        router: RouterId,
        source: IpAddr,
    },
    IntervalLearned {
        router: RouterId,
        source: IpAddr,
        interval: Centis,
    },
    Unsigned {
        router: RouterId,
        source: IpAddr,
    },
    ClockSkew {
        router: RouterId,
        source: IpAddr,
        skew: i32,
    },
    Duplicate {
        router: RouterId,
    },
    FramesLost {
        interface: usize,
    },
    SendFailure {
        router: RouterId,
        failure: SendFailure<Packet>,
    },
    AnnounceFailure {
        failure: SendFailure<usize>,
    },
    NoDevice {
        router: RouterId,
        device: String,
    },
    ForeignAddress {
        router: RouterId,
        address: IpAddr,
    },
    Address {
        router: RouterId,
        error: AddressError,
    },
    NotRemoved {
        error: AddressError,
    },
    Installed {
        added: usize,
        took: Span,
    },
    /// Addresses that have been put behind the fence of a backup.
    Behind {
        added: usize,
    },
    /// An address, a route or a rule that somebody removed; `router` is `None` for what is static.
    PutBack {
        router: Option<RouterId>,
        entry: String,
    },
    /// Something is not as the configuration wants it.
    Lacks {
        router: Option<RouterId>,
        text: String,
    },
    Resumed {
        router: RouterId,
    },
    GroupState {
        group: String,
        state: State,
    },
    /// The effective priority changed.
    Priority {
        router: RouterId,
    },
    /// What an operator held it to is over.
    HoldEnded {
        router: RouterId,
    },
    /// A master heard an advert of somebody who must yield.
    LowerPriority {
        router: RouterId,
    },
    /// A script that had not answered at the start has failed.
    FaultAfterAll {
        router: RouterId,
    },
    UnknownVrid {
        interface: usize,
        source: IpAddr,
        vrid: u8,
    },
    /// `superseded`: another router's advert came meanwhile.
    LeaseRanOut {
        interface: usize,
        late: Span,
        superseded: bool,
    },
    /// `keyed`: with `fast_key`.
    Liveness {
        interface: usize,
        source: IpAddr,
        event: Event,
        keyed: bool,
        silence: Silence,
    },
}

/// What notes are told with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scene<'a> {
    pub(super) routers: &'a Routers,
    pub(super) interfaces: &'a Interfaces,
    pub(super) node: &'a Node,
    pub(super) fast: &'a Fast,
}

impl Scene<'_> {
    fn judgement(&self, evidence: &Evidence) -> Option<Judgement> {
        evidence.about.and_then(|about| self.fast.judgement(about.address))
    }
}

impl Note {
    /// Why a virtual router changed its state, in a sentence.
    pub(super) fn why(&self, scene: Scene<'_>) -> Option<String> {
        let Self::Transition { reason, priority, evidence, at, fault, .. } = self else { return None };
        let judgement = scene.judgement(evidence);
        let (reason, priority, at) = (*reason, *priority, *at);
        Some(Change { reason, priority, at, evidence, judgement, fault }.sentence())
    }

    pub(super) fn log(self, scene: Scene<'_>) {
        let Scene { routers, interfaces, node, .. } = scene;
        let name = |n: RouterId| routers.get(n).map_or("?", |router| router.config.name.as_str());
        // Nothing for what is static.
        let whose = |n: Option<RouterId>| n.map_or_else(String::new, |n| format!("({}) ", name(n)));
        match self {
            Self::Transition { router, from, to, reason, priority, evidence, at, fault } => {
                let Some(router) = routers.get(router) else { return };
                let judgement = scene.judgement(&evidence);
                let change = Change { reason, priority, at, evidence: &evidence, judgement, fault: &fault };
                transition(router, (from, to), &change);
            }
            Self::Rejected { router, source, reason, quiet } => {
                let vrid = routers.get(router).map_or(0, |router| router.config.vrid.get());
                rejected(name(router), source, vrid, reason, quiet);
            }
            Self::AddressesDiffer { router, source } => {
                warn!("({}) {source} advertises other addresses than this router has", name(router));
            }
            Self::IntervalLearned { router, source, interval } => info!(
                "({}) {source} advertises every {} ms, this router every {} ms; a backup follows its master",
                name(router),
                u32::from(interval.get()) * 10,
                routers.get(router).map_or(0, |router| u32::from(router.config.interval.get()) * 10)
            ),
            Self::Unsigned { router, source } => info!(
                "({}) {source} does not sign its adverts; they are accepted until mode is enforce",
                name(router)
            ),
            Self::ClockSkew { router, source, skew } => clock_skew(name(router), source, skew),
            Self::Duplicate { router } => {
                error!("({}) another router sends adverts from this router's own address", name(router));
            }
            Self::FramesLost { interface } => warn!(
                "{}: adverts came faster than they could be judged; masters get another interval to be heard",
                interface_name(interfaces, interface)
            ),
            Self::SendFailure { router, failure } => error!("({}) advert: {failure}", name(router)),
            Self::AnnounceFailure { failure } => error!("gratuitous ARP or NA: {failure}"),
            Self::NoDevice { router, device } => {
                error!("({}) no interface {device} to put an address on", name(router));
            }
            Self::ForeignAddress { router, address } => warn!(
                "({}) {address} was on the interface before and is not removed when this router stops",
                name(router)
            ),
            Self::Address { router, error } => error!("({}) {error}", name(router)),
            Self::NotRemoved { error } => error!("{error}"),
            Self::PutBack { router, entry } => {
                warn!("{}{entry} was removed by somebody; it is there again", whose(router));
            }
            Self::Lacks { router, text } => error!("{}{text}", whose(router)),
            Self::Resumed { router } => {
                info!(
                    kind = "resumed",
                    instance = name(router),
                    "({}) is still MASTER: the role of the earlier run goes on",
                    name(router)
                )
            }
            Self::GroupState { group, state } => {
                info!(kind = "group", to = state.word(), "sync group {group} is {state}")
            }
            Self::Priority { router } => {
                if let Some(core) = node.router(router) {
                    let priority = core.machine().priority().get();
                    info!(
                        kind = "priority",
                        instance = name(router),
                        priority = priority,
                        "({}) priority is {priority} now",
                        name(router)
                    );
                }
            }
            Self::HoldEnded { router } => info!(
                kind = "hold",
                instance = name(router),
                reason = "over",
                "({}) is held no longer: its time is over",
                name(router)
            ),
            // The burst that answers it, or the transition that came of it, is logged.
            Self::LowerPriority { .. } | Self::FaultAfterAll { .. } => {}
            Self::UnknownVrid { interface, source, vrid } => warn!(
                kind = "rejected",
                interface = interface_name(interfaces, interface),
                peer = source.to_string(),
                reason = Counter::UnknownVrid.word(),
                "{}: {source} advertises VRID {vrid}, which is not configured here; said once",
                interface_name(interfaces, interface)
            ),
            Self::LeaseRanOut { interface, late, superseded } => {
                lease_ran_out(interface_name(interfaces, interface), late, superseded);
            }
            Self::Liveness { interface, source, event, keyed, silence } => {
                told_peers::log(interface_name(interfaces, interface), source, (event, silence), keyed)
            }
            Self::Installed { added, took } => installed(added, took),
            Self::Behind { added } => behind(added),
        }
    }
}

fn interface_name(interfaces: &Interfaces, at: usize) -> &str {
    interfaces.get(at).map_or("?", |interface| interface.name.as_str())
}

fn transition(router: &Router, (from, to): (State, State), change: &Change<'_>) {
    let Instance { name, interface, .. } = &router.config;
    let addresses: Vec<_> =
        vips(&router.config).map(|vip| format!("{}/{}", vip.address, vip.prefix)).collect();
    let moved = match addresses.as_slice() {
        [first, more @ ..] if from.holds_addresses() != to.holds_addresses() => {
            let address = first.split('/').next().unwrap_or(first);
            if more.is_empty() { format!(" {address}") } else { format!(" {address} +{}", more.len()) }
        }
        _ => String::new(),
    };
    let (why, priority) = (change.sentence(), change.priority);
    let about = change.evidence.about;
    let silence = change.judgement.map(|judgement| judgement.silence);
    let last_sign = silence.and_then(|silence| silence.last_reply).max(about.map(|about| about.last_seen));
    let line = format!("({name}) {from} -> {to}{moved}: {why}; priority {priority}");
    macro_rules! tell {
        ($level:ident) => {
            tracing::$level!(
                kind = "transition",
                instance = name.as_str(),
                interface = interface.as_str(),
                peer = about.map(|about| about.address.to_string()).as_deref(),
                from = from.word(),
                to = to.word(),
                reason = change.reason.word(),
                why = why.as_str(),
                priority = priority.get(),
                addresses = addresses.join(", ").as_str(),
                silent_ms = last_sign.map(|last| milliseconds(change.at.span_since(last))),
                unanswered = silence.map(|silence| silence.unanswered),
                "{line}"
            )
        };
    }
    if to == State::Fault { tell!(warn) } else { tell!(info) }
}

fn rejected(name: &str, source: IpAddr, vrid: u8, reason: Counter, quiet: u64) {
    let more = if quiet > 0 { format!("; {quiet} other kinds before it") } else { String::new() };
    warn!(
        kind = "rejected",
        instance = name,
        peer = source.to_string(),
        reason = reason.word(),
        "({name}) advert from {source} for VRID {vrid} dropped: {}{more}",
        rejections::explain(reason)
    );
}

fn clock_skew(name: &str, source: IpAddr, skew: i32) {
    warn!(
        "({name}) the clock of {source} is {} s {} ours, more than half of time_window; compare NTP on both",
        skew.unsigned_abs(),
        if skew < 0 { "behind" } else { "ahead of" }
    );
}

fn lease_ran_out(interface: &str, late: Span, superseded: bool) {
    warn!(
        kind = "stall",
        interface = interface,
        "{interface}: this daemon was frozen: its lease ran out {} ms ago and {}; stepping down",
        late.0 / 1_000_000,
        if superseded { "another router has taken over" } else { "somebody probed it" }
    );
}

impl Note {
    /// The same of addresses that nobody is to hear of.
    pub(super) fn behind(self) -> Self {
        match self {
            Self::Installed { added, .. } => Self::Behind { added },
            other => other,
        }
    }
}

fn behind(added: usize) {
    let addresses = if added == 1 { "address" } else { "addresses" };
    info!(kind = "hot_standby", "hot standby: {added} virtual {addresses} added behind the fence");
}

fn installed(added: usize, took: Span) {
    let addresses = if added == 1 { "address" } else { "addresses" };
    info!(
        kind = "installed",
        took_us = took.0 / 1000,
        "{added} virtual {addresses} added in {} us",
        took.0 / 1000
    );
}

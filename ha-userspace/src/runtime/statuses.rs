//! Parts of what `xvrrp status` and `xvrrp counters` show, each from one thing that the daemon has.

use ha_common::counter::Counter;
use ha_common::packet::hmac::AntiReplay;
use ha_common::time::{Span, Time};
use ha_common::types::Family;

use super::interface::Interface;
pub(in crate::runtime) use super::reasons::milliseconds;
use crate::config::model::Hmac;
use crate::control::protocol::{
    CounterValue, FenceStatus, HmacStatus, InterfaceCounters, InterfaceStatus, PeerStatus,
};
use crate::liveness;
use crate::xdp::XdpInterface;

pub(in crate::runtime) fn hmac(settings: &Hmac, unsigned: u64) -> HmacStatus {
    let (anti_replay, time_window_s) = match settings.anti_replay {
        AntiReplay::Time(window) => ("time", Some(window)),
        AntiReplay::Monotonic => ("monotonic", None),
    };
    HmacStatus {
        mode: settings.mode.word().to_owned(),
        active_key: settings.active.0,
        keys: settings.keys.iter().map(|(id, _)| *id).collect(),
        anti_replay: anti_replay.to_owned(),
        time_window_s,
        unsigned,
    }
}

pub(in crate::runtime) fn fence(xdp: &XdpInterface, master: bool, now: Time) -> FenceStatus {
    let lease = &xdp.lease;
    let state = if lease.any_superseded() {
        "superseded"
    } else if master && lease.guard().closed(now.0) {
        "closed"
    } else if lease.any_suppressed() {
        "handing over"
    } else {
        "open"
    };
    FenceStatus {
        now: state.to_owned(),
        state: if xdp.pin_directory().is_some() { "armed" } else { "not pinned" }.to_owned(),
        lease_left_ms: master.then(|| milliseconds(xdp.lease.until().span_since(now))),
        probed_ms_ago: xdp.lease.last_probe().map(|at| age_ms(now, at)),
    }
}

pub(in crate::runtime) fn peer(peer: &liveness::PeerStatus, now: Time) -> PeerStatus {
    PeerStatus {
        address: peer.key.1.to_string(),
        fast: peer.fast,
        verdict: peer.verdict.map(|(verdict, _)| verdict.word().to_owned()),
        paused_ms: peer.paused_until.map(|until| millis(until.span_since(now))),
        user_space: peer.user_space,
        apart: peer.apart,
        sent: peer.counts.sent,
        answered: peer.counts.answered,
        verdicts: peer.counts.verdicts,
        wrong: peer.counts.wrong,
        last_reply_ms_ago: peer.last_reply.map(|at| age_ms(now, at)),
        rtt_median_us: milliseconds(peer.round_trips.median) * 1000.0,
        rtt_p99_us: milliseconds(peer.round_trips.p99) * 1000.0,
        rtt_max_us: milliseconds(peer.round_trips.max) * 1000.0,
        late_median_us: milliseconds(peer.lateness.median) * 1000.0,
        late_p99_us: milliseconds(peer.lateness.p99) * 1000.0,
        late_max_us: milliseconds(peer.lateness.max) * 1000.0,
        stalls: peer.counts.stalls,
        window_ms: milliseconds(peer.window.span),
        window_most_ms: milliseconds(peer.window.ceiling),
        window_fixed: peer.window.fixed,
        longest_silence_ms: milliseconds(peer.window.longest),
        learning_ms: millis(peer.window.learning),
    }
}

pub(in crate::runtime) fn interface_status(interface: &Interface) -> InterfaceStatus {
    InterfaceStatus {
        name: interface.name.clone(),
        index: interface.index.unwrap_or(0),
        up: interface.up,
        xdp: interface.xdp().map_or("none", |xdp| xdp.attached().word()).to_owned(),
        xdp_reason: interface.reason(),
        improvable: interface.is_improvable(),
        lost: interface.lost().iter().map(|lost| lost.word().to_owned()).collect(),
        ..InterfaceStatus::default()
    }
}

pub(in crate::runtime) fn counters(interface: &Interface) -> InterfaceCounters {
    let value = |(counter, value): (Counter, u64)| CounterValue { name: counter.word().to_owned(), value };
    InterfaceCounters {
        interface: interface.name.clone(),
        counters: interface.receive.counters().into_iter().map(value).collect(),
    }
}

pub(in crate::runtime) fn family(family: Family) -> &'static str {
    match family {
        Family::V4 => "ipv4",
        Family::V6 => "ipv6",
    }
}

pub(in crate::runtime) fn millis(span: Span) -> u64 {
    span.0 / 1_000_000
}

/// Milliseconds with a fraction; a stamp that is newer than `now` has age zero.
pub(in crate::runtime) fn age_ms(now: Time, seen: Time) -> f64 {
    milliseconds(now.span_since(seen))
}

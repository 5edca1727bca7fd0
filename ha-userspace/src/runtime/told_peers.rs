//! What is told of a router that is probed.

use std::net::IpAddr;

use ha_common::judge::{Event, Verdict};

use super::reasons::{self, milliseconds};
use crate::liveness::Silence;

pub(super) fn log(interface: &str, source: IpAddr, (event, silence): (Event, Silence), keyed: bool) {
    let peer = source.to_string();
    macro_rules! tell {
        ($level:ident, $reason:expr, $($text:tt)+) => {
            tracing::$level!(
                kind = "peer",
                interface = interface,
                peer = peer.as_str(),
                reason = $reason,
                $($text)+
            )
        };
    }
    match event {
        Event::Unanswered if keyed => tell!(
            warn,
            "unanswered",
            "{interface}: {source} answers no probes, so only the RFC's timers count for it; if it runs xvrrp, it has \
             another fast_key or none"
        ),
        Event::Unanswered => tell!(
            info,
            "unanswered",
            "{interface}: {source} answers no probes, so only the RFC's timers count for it; if it runs xvrrp, it has \
             a fast_key or no fast failover"
        ),
        Event::Discovered { .. } => {
            tell!(info, "discovered", "{interface}: {source} answers probes, fast failover is on for it")
        }
        Event::Lost { verdict, at, .. } => {
            let last = silence.last_reply.map(|last| milliseconds(at.span_since(last)));
            let seen = match verdict {
                Verdict::Unreachable => format!(": {}", reasons::evidence(silence, at)),
                Verdict::Orphaned | Verdict::Expired => String::new(),
            };
            tracing::warn!(
                kind = "peer",
                interface = interface,
                peer = peer.as_str(),
                reason = verdict.word(),
                silent_ms = last,
                unanswered = silence.unanswered,
                "{interface}: {source} is {verdict}{seen}"
            );
        }
        Event::Resigned { .. } => tell!(info, "resigned", "{interface}: {source} has resigned"),
        Event::Restarting { .. } => {
            tell!(info, "restarting", "{interface}: {source} is being restarted, its role stays")
        }
        Event::Apart { .. } => tell!(
            info,
            "apart",
            "{interface}: {source} takes no part in fast failover (fast_failover off), so only the RFC's timers count for it"
        ),
        Event::Alive { .. } => tell!(info, "alive", "{interface}: {source} is alive"),
        Event::Widened { silence, before, window } => tell!(
            info,
            "window widened",
            "{interface}: {source} said nothing for {:.1} ms; its window is {:.1} ms from now on, it was {:.1}",
            milliseconds(silence),
            milliseconds(window),
            milliseconds(before)
        ),
        Event::Paused { until } => tell!(
            warn,
            "wrong verdict",
            "{interface}: the verdict on {source} was wrong; only the RFC's timers count for it for {} s",
            until.span_since(crate::net::clock::now()).0.div_ceil(1_000_000_000)
        ),
    }
}

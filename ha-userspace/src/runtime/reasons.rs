//! Why a virtual router changed its state, in a sentence with names and figures.
//!
//! What lives here: words. What must not: a rule; what is told rests on what the machine kept beside its decision
//! ([`ha_common::machine::Evidence`]) and on what the judge of a peer saw.

use std::fmt::Write as _;

use ha_common::judge::Verdict;
use ha_common::machine::{Evidence, Reason, Tracked};
use ha_common::time::{Span, Time};
use ha_common::types::Priority;

use crate::liveness::Silence;

/// What the judge found about a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Judgement {
    pub(super) verdict: Verdict,
    pub(super) at: Time,
    pub(super) silence: Silence,
}

/// A change of state.
#[derive(Clone, Copy, Debug)]
pub(super) struct Change<'a> {
    pub(super) reason: Reason,
    pub(super) priority: Priority,
    /// When it happened.
    pub(super) at: Time,
    pub(super) evidence: &'a Evidence,
    /// The latest verdict on the peer that it is about.
    pub(super) judgement: Option<Judgement>,
    /// What holds it in FAULT.
    pub(super) fault: &'a str,
}

impl Change<'_> {
    /// The sentence, without an end.
    pub(super) fn sentence(&self) -> String {
        let own = self.priority.get();
        let Some(about) = self.evidence.about else { return self.about_nobody() };
        let who = about.address;
        match self.reason {
            Reason::MasterDown => format!(
                "{who} is silent: its last advert came {} ago, and they come every {}",
                self.ago(about.last_seen),
                span(about.interval)
            ),
            Reason::Preempted => format!("preempted {who} ({} < {own}){}", about.priority, self.own_change()),
            Reason::MasterLowered => format!(
                "{who} lowered its priority {} -> {} (ours {own}); last advert {} ago",
                self.evidence.fell_from.unwrap_or(about.priority),
                about.priority,
                self.ago(about.last_seen)
            ),
            Reason::MasterResigned => format!("{who} resigned"),
            Reason::MasterUnreachable | Reason::MasterOrphaned | Reason::MasterExpired => self.judged(&about),
            Reason::HigherPriority => {
                format!("{who} has priority {}, ours is {own}{}", about.priority, self.own_change())
            }
            Reason::HigherAddress => {
                format!("{who} has the same priority, {own}, and the higher address")
            }
            _ => self.about_nobody(),
        }
    }

    fn about_nobody(&self) -> String {
        match self.reason {
            Reason::NotReady if !self.fault.is_empty() => self.fault.to_owned(),
            Reason::NoMaster => {
                let quiet = self.evidence.quiet_since.map_or(Span::ZERO, |since| self.at.span_since(since));
                format!("no master heard for {}", span(quiet))
            }
            Reason::Owner => "priority 255: the addresses are its own".to_owned(),
            Reason::MasterResigned => "no other router is master".to_owned(),
            Reason::LeaseExpired => {
                "this daemon was frozen: its lease ran out while another router probed it".to_owned()
            }
            Reason::Group => "another member of its sync group is no longer master".to_owned(),
            reason => reason.word().to_owned(),
        }
    }

    /// By the judge's word.
    fn judged(&self, about: &Tracked) -> String {
        let who = about.address;
        let mut text = match self.reason {
            Reason::MasterOrphaned => {
                format!("{who} is orphaned: its daemon is gone, says the program that it left")
            }
            Reason::MasterExpired => format!("{who} does not renew its lease: its daemon is frozen"),
            _ => format!("{who} is unreachable"),
        };
        let Some(Judgement { silence, at, .. }) = self.judgement else { return text };
        if self.reason == Reason::MasterUnreachable {
            let _ = write!(text, ": {}", evidence(silence, at));
        }
        text
    }

    /// `, was 101 until 0.4 s ago`, where that is what it was about.
    fn own_change(&self) -> String {
        match self.evidence.own_before {
            Some((before, at)) if self.at.span_since(at) < RECENT => {
                format!("; it was {before} until {} ago", self.ago(at))
            }
            _ => String::new(),
        }
    }

    fn ago(&self, at: Time) -> String {
        span(self.at.span_since(at))
    }
}

/// A change of the own priority that is longer ago explains nothing.
const RECENT: Span = Span::from_secs(60);

/// `3 probes unanswered, last reply 2.6 ms before`.
pub(super) fn evidence(silence: Silence, at: Time) -> String {
    let probes = if silence.unanswered == 1 { "probe" } else { "probes" };
    let last = silence.last_reply.map(|last| span(at.span_since(last)));
    let last = last.map_or(String::new(), |last| format!(", last reply {last} before"));
    format!("{} {probes} unanswered{last}", silence.unanswered)
}

/// Milliseconds with a fraction.
pub(super) fn milliseconds(of: Span) -> f64 {
    std::time::Duration::from_nanos(of.0).as_secs_f64() * 1000.0
}

/// Two digits that count, and a unit.
pub(super) fn span(of: Span) -> String {
    let ns = of.0;
    let with = |unit: u64, name: &str| {
        let (whole, tenth) = (ns / unit, ns % unit * 10 / unit);
        if whole < 10 { format!("{whole}.{tenth} {name}") } else { format!("{whole} {name}") }
    };
    match ns {
        0..1_000 => "0 us".to_owned(),
        1_000..1_000_000 => format!("{} us", ns / 1_000),
        1_000_000..1_000_000_000 => with(1_000_000, "ms"),
        1_000_000_000..120_000_000_000 => with(1_000_000_000, "s"),
        _ => format!("{} min", ns / 60_000_000_000),
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    const NOW: Time = Time(100_000_000_000);

    fn ago(ms: u64) -> Time {
        Time(NOW.0 - ms * 1_000_000)
    }

    fn tracked(priority: u8, last_seen: Time) -> Tracked {
        let address: IpAddr = "172.16.1.1".parse().expect("an address");
        Tracked { address, priority, interval: Span::SECOND, last_seen }
    }

    fn said(reason: Reason, own: u8, evidence: Evidence) -> String {
        let silence = Silence { unanswered: 3, last_reply: Some(Time(NOW.0 - 2_600_000)) };
        let judgement = Some(Judgement { verdict: Verdict::Unreachable, at: NOW, silence });
        let priority = Priority::new(own).expect("not 0");
        let fault = "interface ens160 is down";
        Change { reason, priority, at: NOW, evidence: &evidence, judgement, fault }.sentence()
    }

    #[test]
    fn each_reason_names_who_and_how_much() {
        let about = Some(tracked(81, ago(500)));
        let known = Evidence { about, ..Evidence::default() };
        let fell = Evidence { fell_from: Some(101), ..known };
        let own = Evidence { own_before: Some((Priority::new(101).expect("not 0"), ago(400))), ..known };
        let nobody = Evidence { quiet_since: Some(ago(3_609)), ..Evidence::default() };
        let is = |reason, evidence, text: &str| assert_eq!(said(reason, 99, evidence), text);
        is(
            Reason::MasterLowered,
            fell,
            "172.16.1.1 lowered its priority 101 -> 81 (ours 99); last advert 500 ms ago",
        );
        is(Reason::Preempted, known, "preempted 172.16.1.1 (81 < 99)");
        is(Reason::Preempted, own, "preempted 172.16.1.1 (81 < 99); it was 101 until 400 ms ago");
        is(Reason::NoMaster, nobody, "no master heard for 3.6 s");
        is(
            Reason::MasterDown,
            known,
            "172.16.1.1 is silent: its last advert came 500 ms ago, and they come every 1.0 s",
        );
        is(
            Reason::MasterUnreachable,
            known,
            "172.16.1.1 is unreachable: 3 probes unanswered, last reply 2.6 ms before",
        );
        is(Reason::MasterResigned, known, "172.16.1.1 resigned");
        is(Reason::MasterResigned, nobody, "no other router is master");
        is(Reason::NotReady, nobody, "interface ens160 is down");
        is(Reason::HigherPriority, known, "172.16.1.1 has priority 81, ours is 99");
    }

    #[test]
    fn spans_have_two_digits() {
        let of = |ns: u64| span(Span(ns));
        let all = [
            0,
            999,
            250_000,
            2_600_000,
            42_000_000,
            999_999_999,
            3_609_000_000,
            59_000_000_000,
            600_000_000_000,
        ];
        let said: Vec<_> = all.into_iter().map(of).collect();
        assert_eq!(said, ["0 us", "0 us", "250 us", "2.6 ms", "42 ms", "999 ms", "3.6 s", "59 s", "10 min"]);
    }
}

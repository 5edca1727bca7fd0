//! What can be expected of each interface: how adverts are received, how soon a dead master is noticed, whether there
//! is a fence, and what would be better. Pure.

use std::time::Duration;

use ha_common::judge::{FLOOR, WindowSettings};
use ha_common::machine::master_down_interval;
use ha_common::packet::Auth;
use ha_common::time::Span;
use ha_common::types::{Centis, Family, Priority, Version};
use schemars::JsonSchema;
use serde::Serialize;

use crate::config::model::{Config, Fast, Global, Instance, XdpMode};
use crate::liveness::judge_settings;
use crate::lost::{self, Lost};
use crate::xdp::Attached;
use crate::xdp::facts::Facts;
use crate::xdp::prospect::{Effect, Finding, Prospect, Why, prospect};

use super::Level;
use super::kernel::Kernel;

/// What the configuration wants of an interface.
#[derive(Clone, Debug, PartialEq)]
pub struct Expected {
    /// Its name.
    pub interface: String,
    /// The configuration names it.
    pub configured: bool,
    /// `xdp_mode`.
    pub mode: XdpMode,
    /// Liveness probes of its instances; switched off where none has them.
    pub fast: Fast,
    /// The longest time after which an instance takes a silent master for dead by the RFC's timers.
    pub down: Span,
    /// Families of its instances.
    pub families: Vec<Family>,
    /// Some instance sends to a group.
    pub multicast: bool,
    /// Some instance sends to single addresses.
    pub unicast: bool,
    /// Some instance has `auth_type AH`, and some has not.
    pub authenticated: (bool, bool),
    /// Every instance sends from a virtual MAC address, through a packet socket.
    pub frames: bool,
}

impl Expected {
    /// The interfaces of a configuration, in its order.
    #[must_use]
    pub fn of(config: &Config) -> Vec<Self> {
        let mut all: Vec<Self> = Vec::new();
        for instance in &config.instances {
            let one = Self::one(instance);
            let Some(wanted) = all.iter_mut().find(|wanted| wanted.interface == one.interface) else {
                all.push(one);
                continue;
            };
            if !wanted.fast.enabled {
                wanted.fast = one.fast;
            }
            wanted.down = wanted.down.max(one.down);
            for family in one.families {
                if !wanted.families.contains(&family) {
                    wanted.families.push(family);
                }
            }
            wanted.multicast |= one.multicast;
            wanted.unicast |= one.unicast;
            wanted.authenticated.0 |= one.authenticated.0;
            wanted.authenticated.1 |= one.authenticated.1;
            wanted.frames &= one.frames;
        }
        all
    }

    fn one(instance: &Instance) -> Self {
        let Instance { version, priority, interval, down_timer_adverts, .. } = *instance;
        Self {
            interface: instance.interface.clone(),
            configured: true,
            mode: instance.xdp_mode,
            fast: instance.fast,
            down: master_down_interval(version, priority, interval.span(), down_timer_adverts),
            families: vec![instance.family],
            multicast: instance.unicast.is_none(),
            unicast: instance.unicast.is_some(),
            authenticated: match instance.auth {
                Auth::Header(_) => (true, false),
                _ => (false, true),
            },
            frames: instance.link.is_some(),
        }
    }

    /// An interface of which no configuration says anything.
    #[must_use]
    pub fn plain(interface: &str, global: &Global) -> Self {
        Self {
            interface: interface.to_owned(),
            configured: false,
            mode: global.xdp_mode,
            fast: Fast::default(),
            down: master_down_interval(Version::V2, Priority::DEFAULT, Centis::DEFAULT.span(), 3),
            families: vec![Family::V4],
            multicast: true,
            unicast: false,
            authenticated: (false, true),
            frames: false,
        }
    }

    /// How soon the silence of a dead host is noticed (docs/liveness.md), where replies come as fast as can be: on a network
    /// that is known to be quiet, and at most.
    #[must_use]
    pub fn detection(&self) -> [Duration; 2] {
        let settings = judge_settings(&self.fast);
        let WindowSettings { ceiling, fixed, .. } = settings.window;
        let least = if fixed { ceiling } else { ceiling.min(FLOOR) };
        [least, ceiling].map(|window| Duration::from_nanos(settings.quickest().max(window).0))
    }
}

/// What can be expected of an interface.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Expectation {
    /// Its name.
    pub interface: String,
    /// How good it is.
    pub level: Level,
    /// `native`, `generic`, `tc`, `raw-socket`, or `none` where the interface does not exist.
    pub mode: &'static str,
    /// The configuration wants fast failover.
    pub fast_failover: bool,
    /// Within what time the death of a master that runs xvrrp is noticed; `None` where only the RFC's timers notice it.
    pub detection_ms: Option<f64>,
    /// The same on a network that is known to be quiet.
    pub detection_quiet_ms: Option<f64>,
    /// After how long a dead master is replaced by the RFC's timers.
    pub rfc_ms: f64,
    /// `armed`, `not pinned` or `none`.
    pub fence: &'static str,
    /// What is lost.
    #[serde(serialize_with = "super::words")]
    #[schemars(with = "Vec<String>")]
    pub lost: Vec<Lost>,
    /// Why it is not better; `None` where nothing is lost.
    pub reason: Option<String>,
    /// What to change for the next better one.
    pub better: Option<String>,
}

/// What was found out about an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// It exists.
    There(Box<Facts>),
    /// It does not, or the kernel does not tell.
    Missing(String),
}

/// What can be expected. `privileged`: what this process is refused, the daemon would be refused too.
#[must_use]
pub fn expect(wanted: &Expected, found: &Found, kernel: &Kernel, privileged: bool) -> Expectation {
    let rfc_ms = ms(Duration::from_nanos(wanted.down.0));
    let mut expected = Expectation {
        interface: wanted.interface.clone(),
        level: Level::Ok,
        mode: "raw-socket",
        fast_failover: wanted.fast.enabled,
        detection_ms: None,
        detection_quiet_ms: None,
        rfc_ms,
        fence: "none",
        lost: Vec::new(),
        reason: None,
        better: None,
    };
    let facts = match found {
        Found::There(facts) => facts,
        Found::Missing(reason) => {
            expected.level = Level::Fail;
            expected.mode = "none";
            expected.reason = Some(reason.clone());
            return expected;
        }
    };
    let prospect = prospect(facts, wanted.mode);
    match (prospect.expected, kernel.no_xdp().filter(|_| privileged)) {
        (None, _) => {
            let (reason, advice) = refusal(&prospect);
            without_xdp(&mut expected, reason, advice);
        }
        (Some(_), Some((reason, fix))) => without_xdp(&mut expected, reason, fix),
        (Some(attached), None) => {
            expected.mode = attached.word();
            expected.fence = "armed";
            let detection = wanted.fast.enabled.then(|| wanted.detection().map(ms));
            (expected.detection_quiet_ms, expected.detection_ms) = detection.map(Into::into).unzip();
            expected.better = better(&prospect, attached);
            expected.reason = why_not_better(&prospect, attached);
            if let Some(reason) = kernel.no_pins().filter(|_| privileged) {
                expected.fence = "not pinned";
                expected.lost = vec![Lost::FenceAfterDeath];
                expected.reason = Some(reason.to_owned());
                expected.better = Some("`mount -t bpf bpf /sys/fs/bpf`".to_owned());
            }
        }
    }
    if !wanted.fast.enabled {
        // Nobody misses it.
        expected.lost.clear();
        expected.level = Level::Note;
        expected.fence = "none";
    } else if !expected.lost.is_empty() {
        expected.level = Level::Warn;
    }
    expected
}

fn without_xdp(expected: &mut Expectation, reason: String, better: Option<String>) {
    expected.reason = Some(reason);
    expected.better = better;
    expected.lost = lost::WITHOUT_XDP.to_vec();
}

/// Why no mode is possible, and what can be done about it.
fn refusal(prospect: &Prospect) -> (String, Option<String>) {
    let refusal = prospect.refusal().or(prospect.findings.first());
    let advice = refusal.and_then(|finding| match finding.why {
        Why::Off => Some("remove `xdp_mode off`".to_owned()),
        _ => finding.advice.clone(),
    });
    (refusal.map_or_else(|| "no mode is possible".to_owned(), |finding| finding.text.clone()), advice)
}

/// The first thing that can be done for a better mode than the one that is expected.
fn better(prospect: &Prospect, attached: Attached) -> Option<String> {
    hindrances(prospect, attached).find_map(|finding| finding.advice.clone())
}

fn why_not_better(prospect: &Prospect, attached: Attached) -> Option<String> {
    hindrances(prospect, attached).next().map(|finding| finding.text.clone())
}

/// What keeps an interface from a better mode than this one.
fn hindrances(prospect: &Prospect, attached: Attached) -> impl Iterator<Item = &Finding> {
    prospect.findings.iter().filter(move |finding| match attached {
        Attached::Native => false,
        Attached::Generic => matches!(finding.effect, Effect::NoNative | Effect::NativeDoubtful),
        Attached::Tc => finding.effect == Effect::Tc,
    })
}

impl Expectation {
    /// The line for people, without the interface's name.
    #[must_use]
    pub fn text(&self) -> String {
        let rfc = time(self.rfc_ms);
        let how = if self.mode == "tc" { "traffic control".to_owned() } else { format!("{} XDP", self.mode) };
        let quiet = match self.detection_quiet_ms {
            Some(quiet) if self.detection_ms != Some(quiet) => {
                format!(", {} on a quiet network", time(quiet))
            }
            _ => String::new(),
        };
        let mut text = match (self.mode, self.detection_ms) {
            ("none", _) => String::from("nothing"),
            ("raw-socket", _) => format!("raw sockets, a dead master is replaced after {rfc}"),
            (_, Some(detection)) => format!(
                "{how}, a dead master is noticed within {}{quiet} (after {rfc} where it does not run xvrrp), fence {}",
                time(detection),
                self.fence
            ),
            (_, None) => format!("{how}, a dead master is replaced after {rfc}"),
        };
        if !self.fast_failover && self.mode != "none" {
            text.push_str(" (fast_failover is off)");
        }
        if !self.lost.is_empty() {
            text = format!("{text}; {}", lost::list(&self.lost));
        }
        if let Some(reason) = &self.reason {
            text = format!("{text}: {reason}");
        }
        match &self.better {
            Some(better) => format!("{text}; {better}"),
            None => text,
        }
    }
}

fn ms(span: Duration) -> f64 {
    span.as_secs_f64() * 1e3
}

/// A time in milliseconds for people.
fn time(ms: f64) -> String {
    if ms < 1_000.0 { format!("{ms:.1} ms") } else { format!("{:.1} s", ms / 1e3) }
}

#[cfg(test)]
#[path = "expect_tests.rs"]
pub(super) mod tests;

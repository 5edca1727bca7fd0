//! What can be expected of XDP on an interface: which modes are tried, which of them works, and what would get a better
//! one. Pure.
//!
//! [`super::facts`] asks the kernel, `driver` knows the drivers. `xvrrp check`, `xvrrp doctor` and attaching
//! itself all ask [`prospect`], so that they say the same.

use std::fmt;

use super::attached::Attached;
use super::driver::LinkCost;
use super::facts::{Controller, DeviceKind, Facts};
use crate::config::model::XdpMode;

/// What can be expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prospect {
    /// The modes to try, in this order. Empty: XDP is not used, adverts are received through sockets.
    pub attempts: Vec<Attached>,
    /// The mode that will work, as far as can be known without trying. `None`: none.
    pub expected: Option<Attached>,
    /// Why not a better mode, and what else is to be known. The ones that cost most come first.
    pub findings: Vec<Finding>,
    /// What attaching in native mode does to the link.
    pub native_cost: LinkCost,
}

/// A reason against a mode, or something to be known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it is about.
    pub why: Why,
    /// What comes of it.
    pub effect: Effect,
    /// One sentence without a full stop, and without the name of the interface in front.
    pub text: String,
    /// What to do for a better mode, where something can be done.
    pub advice: Option<String>,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.advice {
            Some(advice) => write!(f, "{}; {advice}", self.text),
            None => f.write_str(&self.text),
        }
    }
}

/// What a finding leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// XDP is not used on the interface.
    NoXdp,
    /// Traffic control is used instead of XDP.
    Tc,
    /// Native mode is not tried.
    NoNative,
    /// Native mode is tried, and will probably be refused.
    NativeDoubtful,
    /// Nothing; to be known.
    Note,
}

/// What a finding is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// `xdp_mode off`.
    Off,
    /// Frames without Ethernet headers.
    NotEthernet,
    /// Another XDP program is there.
    Busy,
    /// It is a member of a bond or team, which takes its frames.
    Member,
    /// It is a port of a bridge, which takes its frames.
    BridgePort,
    /// VLAN tags are taken off before XDP sees the frames.
    HiddenVlans,
    /// A device without hardware, on which native mode does not exist or is of no use.
    Virtual,
    /// The driver has no native XDP.
    NoNative,
    /// The driver is not known, and the kernel does not say.
    UnknownDriver,
    /// Attaching in native mode takes the link down.
    LinkRestart,
    /// Attaching in native mode makes the driver set up its queues anew.
    QueueRestart,
    /// The MTU is too large for native mode.
    Mtu,
    /// Large receive offload is on.
    Lro,
    /// Hardware GRO is on.
    GroHw,
    /// There are too few queues, or of the wrong kind.
    Queues,
    /// The bond's mode.
    BondMode,
    /// A member of the bond stands in the way.
    BondMember,
    /// The interface is down.
    Down,
}

impl Why {
    const fn is_about_native(self) -> bool {
        matches!(self, Self::LinkRestart | Self::QueueRestart | Self::Queues)
    }

    /// The word for JSON.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::NotEthernet => "not_ethernet",
            Self::Busy => "busy",
            Self::Member => "member",
            Self::BridgePort => "bridge_port",
            Self::HiddenVlans => "hidden_vlans",
            Self::Virtual => "virtual",
            Self::NoNative => "no_native",
            Self::UnknownDriver => "unknown_driver",
            Self::LinkRestart => "link_restart",
            Self::QueueRestart => "queue_restart",
            Self::Mtu => "mtu",
            Self::Lro => "lro",
            Self::GroHw => "gro_hw",
            Self::Queues => "queues",
            Self::BondMode => "bond_mode",
            Self::BondMember => "bond_member",
            Self::Down => "down",
        }
    }
}

impl Prospect {
    /// What to tell the operator once the program is attached in this mode, each without the name of the interface.
    #[must_use]
    pub fn notes(&self, attached: Attached) -> Vec<String> {
        let matters = |finding: &&Finding| match (finding.effect, attached) {
            _ if finding.why == Why::Down => false,
            (Effect::Tc, attached) => attached == Attached::Tc,
            // A program that is there disproves a doubt; where nothing can be done, nothing needs to be said.
            (Effect::NoNative | Effect::NativeDoubtful, Attached::Generic) => finding.advice.is_some(),
            (Effect::NoXdp | Effect::NoNative | Effect::NativeDoubtful, _) => false,
            (Effect::Note, Attached::Native) => true,
            (Effect::Note, Attached::Generic | Attached::Tc) => !finding.why.is_about_native(),
        };
        self.findings.iter().filter(matters).map(Finding::to_string).collect()
    }

    /// The findings about which something can be done. That an interface is down is said by whoever looks at links.
    pub fn worth_saying(&self) -> impl Iterator<Item = &Finding> {
        let worth = |finding: &&Finding| finding.advice.is_some() && finding.why != Why::Down;
        self.findings.iter().filter(worth)
    }

    /// Why XDP is not used at all, where it is not.
    #[must_use]
    pub fn refusal(&self) -> Option<&Finding> {
        self.findings.iter().find(|finding| finding.effect == Effect::NoXdp)
    }
}

/// What can be expected of an interface under `xdp_mode` `mode`. A program of ours that is attached already does not
/// count.
#[must_use]
pub fn prospect(facts: &Facts, mode: XdpMode) -> Prospect {
    let mut findings = Findings(Vec::new());
    findings.usable(facts, mode);
    findings.native(facts, mode);
    let mut findings = findings.0;
    findings.sort_by_key(|finding| finding.effect);

    let worst = findings.first().map_or(Effect::Note, |finding| finding.effect);
    let wanted: &[Attached] = match mode {
        XdpMode::Off => &[],
        XdpMode::Native => &[Attached::Native],
        XdpMode::Generic => &[Attached::Generic],
        XdpMode::Tc => &[Attached::Tc],
        XdpMode::Auto if worst == Effect::Tc => &[Attached::Tc],
        XdpMode::Auto => &[Attached::Native, Attached::Generic],
    };
    let attempts: Vec<_> = wanted
        .iter()
        .copied()
        .filter(|&attempt| match worst {
            Effect::NoXdp => false,
            // What the configuration asks for is tried.
            Effect::NoNative => attempt != Attached::Native || mode == XdpMode::Native,
            Effect::Tc | Effect::NativeDoubtful | Effect::Note => true,
        })
        .collect();
    let works = |attempt: &Attached| *attempt != Attached::Native || worst == Effect::Note;
    let expected = attempts.iter().copied().find(works);
    Prospect { attempts, expected, findings, native_cost: native::cost(facts) }
}

struct Findings(Vec<Finding>);

impl Findings {
    fn push(&mut self, why: Why, effect: Effect, text: impl Into<String>, advice: Option<String>) {
        self.0.push(Finding { why, effect, text: text.into(), advice });
    }

    /// Can XDP be used at all?
    fn usable(&mut self, facts: &Facts, mode: XdpMode) {
        let name = &facts.interface;
        if mode == XdpMode::Off {
            self.push(Why::Off, Effect::NoXdp, "XDP is switched off by xdp_mode", None);
        }
        if !facts.ethernet {
            self.push(Why::NotEthernet, Effect::NoXdp, "it is not an Ethernet interface", None);
        }
        self.occupied(facts, mode);
        self.belonging(facts, mode);
        if !facts.vlans.is_empty() && facts.offloads.rx_vlan.is_some_and(|offload| offload.on) {
            self.push(
                Why::HiddenVlans,
                if mode == XdpMode::Auto { Effect::Tc } else { Effect::Note },
                "there are VLANs on it, and their tags are taken off before XDP sees the frames, so that adverts from \
                 a VLAN look like its own",
                Some(format!("`ethtool -K {name} rxvlan off` leaves them on")),
            );
        }
        if !facts.up {
            self.push(Why::Down, Effect::Note, "it is down", Some(format!("`ip link set dev {name} up`")));
        }
    }

    /// By other XDP programs.
    fn occupied(&mut self, facts: &Facts, mode: XdpMode) {
        let name = &facts.interface;
        let busy = match mode {
            XdpMode::Auto | XdpMode::Tc => Effect::Tc,
            XdpMode::Native | XdpMode::Generic | XdpMode::Off => Effect::NoXdp,
        };
        for program in facts.programs.iter().filter(|program| !program.is_ours()) {
            let detach = format!("`ip link set dev {name} xdp off` (or `bpftool link detach`)");
            let (text, advice) = match busy {
                Effect::Tc => (
                    format!(
                        "{program} has the interface: it runs first, and what it drops or redirects is not seen"
                    ),
                    format!("for XDP detach it with {detach}"),
                ),
                _ => (
                    format!("{program} is attached already"),
                    format!("detach it with {detach}, or set `xdp_mode` to auto, tc or off"),
                ),
            };
            self.push(Why::Busy, busy, text, Some(advice));
        }
    }

    /// What it is a part of, and where VRRP belongs then.
    fn belonging(&mut self, facts: &Facts, mode: XdpMode) {
        // Whoever names a mode wants it in spite of doubts.
        let unless_named = if mode == XdpMode::Auto { Effect::NoXdp } else { Effect::Note };
        match &facts.controller {
            Some(Controller { kind: kind @ (DeviceKind::Bond | DeviceKind::Team), name: controller }) => self.push(
                Why::Member,
                unless_named,
                format!(
                    "it is a member of the {} {controller}, which takes its frames: VRRP belongs on {controller}",
                    kind.word()
                ),
                Some(format!("write `interface {controller}`")),
            ),
            Some(Controller { kind: DeviceKind::Bridge, name: controller }) => self.push(
                Why::BridgePort,
                Effect::NoNative,
                format!(
                    "it is a port of the bridge {controller}, which takes its frames: addresses and VRRP belong on \
                     {controller}"
                ),
                Some(format!("write `interface {controller}`")),
            ),
            Some(_) | None => {}
        }
    }
}

mod native;
#[cfg(test)]
mod tests;

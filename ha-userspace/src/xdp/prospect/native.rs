//! Reasons against native mode, and what it costs.

use super::{Effect, Findings, Why};
use crate::config::model::XdpMode;
use crate::xdp::driver::{self, Card, Joined, Lack, LinkCost};
use crate::xdp::facts::{DeviceKind, Facts, Features, Offload, Offloads};

/// What native mode does to the link; of a bond, what it does to that of the worst member.
pub(super) fn cost(facts: &Facts) -> LinkCost {
    if facts.kind == DeviceKind::Bond {
        return facts
            .members
            .iter()
            .map(|member| driver::card(&member.driver).cost)
            .max()
            .unwrap_or_default();
    }
    driver::card(&facts.driver).cost
}

impl Findings {
    /// Is native mode possible, and what does it cost?
    pub(super) fn native(&mut self, facts: &Facts, mode: XdpMode) {
        if mode == XdpMode::Generic {
            return;
        }
        match facts.kind {
            DeviceKind::Bond => self.bond(facts, mode),
            DeviceKind::Physical => self.card(facts, mode),
            _ => self.push(
                Why::Virtual,
                Effect::NoNative,
                match facts.kind {
                    DeviceKind::Veth => "native mode on a veth loses what the program sends".to_owned(),
                    kind => format!("there is no native mode on a {}", kind.word()),
                },
                None,
            ),
        }
    }

    fn bond(&mut self, facts: &Facts, mode: XdpMode) {
        let costs = |cost| {
            let named = facts.members.iter().filter(|member| driver::card(&member.driver).cost == cost);
            named.map(|member| format!("{} ({})", member.name, member.driver)).collect::<Vec<_>>().join(", ")
        };
        self.cost(facts, mode, &costs(cost(facts)));
        if facts.features.is_some_and(|features| !features.contains(Features::BASIC)) {
            self.push(
                Why::BondMode,
                Effect::NoNative,
                "the bond has no native mode: not every member's driver has one, or the bond's mode is not \
                 balance-rr, active-backup, balance-xor or 802.3ad",
                None,
            );
        } else if facts.features.is_none() {
            self.push(
                Why::UnknownDriver,
                Effect::NativeDoubtful,
                "native mode on a bond needs Linux 5.15 and members whose drivers have it",
                None,
            );
        }
    }

    fn card(&mut self, facts: &Facts, mode: XdpMode) {
        let (name, driver) = (&facts.interface, &facts.driver);
        let Card { native, mtu, joined, queues, .. } = driver::card(driver);
        let basic = facts.features.map(|features| features.contains(Features::BASIC));
        match (basic, native) {
            (Some(false), _) | (None, Some(false)) => {
                self.push(
                    Why::NoNative,
                    Effect::NoNative,
                    format!("the driver {driver} has no native mode"),
                    None,
                );
                return;
            }
            (None, None) => self.push(
                Why::UnknownDriver,
                Effect::NativeDoubtful,
                format!("whether the driver {driver} has a native mode is found out by trying"),
                None,
            ),
            (Some(true), _) | (None, Some(true)) => {}
        }
        self.cost(facts, mode, driver);
        let takes_frags = facts.features.is_some_and(|features| features.contains(Features::RX_SG));
        if let Some(limit) = mtu.filter(|&limit| facts.mtu > limit && !takes_frags) {
            self.push(
                Why::Mtu,
                Effect::NativeDoubtful,
                format!("its MTU is {}, and the driver {driver} does native mode up to {limit}", facts.mtu),
                Some(format!(
                    "`ip link set dev {name} mtu {limit}`, on every host of the link, makes it possible"
                )),
            );
        }
        self.joined(facts, joined);
        if let Some(counts) = facts.queues
            && let Some(lack) = queues.lack(counts, facts.processors)
        {
            let (text, advice) = lack.words(name, counts, facts.processors);
            // A kernel that tells features is one whose virtio_net shares queues.
            let shares = lack == Lack::Spare && facts.features.is_some();
            let effect = if shares { Effect::Note } else { Effect::NativeDoubtful };
            self.push(Why::Queues, effect, text, advice);
        }
    }

    /// Packets that are joined before the driver sees them.
    fn joined(&mut self, facts: &Facts, joined: Joined) {
        let (name, driver) = (&facts.interface, &facts.driver);
        let Offloads { lro, gro_hw, .. } = facts.offloads;
        let on = |offload: Option<Offload>| offload.is_some_and(|offload| offload.on);
        match joined {
            Joined::Harmless => {}
            Joined::Refuses => {
                for (offload, why, word, switch) in [
                    (lro, Why::Lro, "large receive offload", "lro"),
                    (gro_hw, Why::GroHw, "hardware GRO", "rx-gro-hw"),
                ] {
                    if on(offload) {
                        self.push(
                            why,
                            Effect::NativeDoubtful,
                            format!("{word} is on, with which the driver {driver} refuses native mode"),
                            Some(format!("`ethtool -K {name} {switch} off` makes it possible")),
                        );
                    }
                }
            }
            Joined::RefusesWhereFixed => {
                if gro_hw.is_some_and(|offload| offload.on && offload.fixed) {
                    self.push(
                        Why::GroHw,
                        Effect::NativeDoubtful,
                        format!("the hypervisor joins packets, which the driver {driver} cannot stop"),
                        Some(
                            "native mode is possible once the card's guest_tso4, guest_tso6, guest_ecn and guest_ufo \
                             are switched off in the hypervisor"
                                .to_owned(),
                        ),
                    );
                }
            }
        }
    }

    fn cost(&mut self, facts: &Facts, mode: XdpMode, who: &str) {
        let name = &facts.interface;
        match cost(facts) {
            LinkCost::Link if mode == XdpMode::Auto => self.push(
                Why::LinkRestart,
                Effect::NoNative,
                format!("native mode takes the link down for a moment when it begins and when it ends ({who})"),
                Some("`xdp_mode native` has it nevertheless, at a fresh start and at a stop".to_owned()),
            ),
            LinkCost::Link => self.push(
                Why::LinkRestart,
                Effect::Note,
                format!("native mode takes the link of {name} down at a fresh start and at a stop ({who})"),
                Some("`xdp_mode generic` avoids it".to_owned()),
            ),
            LinkCost::Queues => self.push(
                Why::QueueRestart,
                Effect::Note,
                format!(
                    "native mode sets the queues up anew at a fresh start and at a stop: frames of some milliseconds are \
                     lost ({who})"
                ),
                None,
            ),
            LinkCost::Nothing | LinkCost::Unknown => {}
        }
    }
}

//! What is known of network drivers: whether they have native XDP, what they ask for, and what attaching costs.
//!
//! From the drivers' own checks and from trying. What the kernel says of an interface (Linux 6.3) comes before what
//! stands here; a driver that is not here is found out about by trying.

use super::facts::QueueCounts;

/// What attaching in native mode does to the link. The order is that of the damage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum LinkCost {
    /// Nothing.
    Nothing,
    /// Nobody has tried.
    #[default]
    Unknown,
    /// The queues are set up anew: frames of some milliseconds are lost, the partner notices nothing.
    Queues,
    /// The link goes down, for a part of a second or longer.
    Link,
}

impl LinkCost {
    /// The word for JSON.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Unknown => "unknown",
            Self::Queues => "queues",
            Self::Link => "link",
        }
    }
}

/// The queues that a driver asks for in native mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Queues {
    /// Any.
    Any,
    /// It wants a free transmit queue for each processor, besides those in use.
    SparePerProcessor,
    /// Half of the channels must stay free for XDP.
    HalfFree,
    /// Receive and transmit queues must come in pairs.
    Combined,
}

/// What a driver does where received packets are joined before it sees them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Joined {
    /// Nothing, or it stops that itself.
    Harmless,
    /// It refuses native mode while LRO or hardware GRO is on.
    Refuses,
    /// It stops it itself, and refuses where the hypervisor has left it no means to do so.
    RefusesWhereFixed,
}

/// What is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lack {
    Spare,
    Half,
    Pairs,
}

impl Queues {
    pub(super) fn lack(self, counts: QueueCounts, processors: u32) -> Option<Lack> {
        match self {
            Self::Any => None,
            // The kernel's queues are fewer than the device's for as long as some are spare.
            Self::SparePerProcessor => {
                (counts.combined.saturating_add(processors) > counts.max_combined).then_some(Lack::Spare)
            }
            Self::HalfFree => (counts.combined > counts.max_combined / 2).then_some(Lack::Half),
            Self::Combined => (counts.rx > 0 || counts.tx > 0).then_some(Lack::Pairs),
        }
    }
}

impl Lack {
    /// What to say, and what to do.
    pub(super) fn words(self, name: &str, counts: QueueCounts, processors: u32) -> (String, Option<String>) {
        let QueueCounts { combined, max_combined, .. } = counts;
        match self {
            Self::Spare => (
                format!(
                    "native mode wants a transmit queue for each of {processors} processors besides {combined} in \
                     use, and the card has {max_combined}: it shares them, or refuses (before Linux 5.13)"
                ),
                max_combined
                    .checked_sub(processors)
                    .filter(|&free| free > 0)
                    .map(|free| format!("`ethtool -L {name} combined {free}` leaves enough")),
            ),
            Self::Half => (
                format!(
                    "native mode wants half of the card's {max_combined} channels free, and {combined} are in use"
                ),
                (max_combined >= 2)
                    .then(|| format!("`ethtool -L {name} combined {}` leaves enough", max_combined / 2)),
            ),
            Self::Pairs => (
                "native mode wants combined channels, and the card has separate ones".to_owned(),
                Some(format!("`ethtool -L {name} rx 0 tx 0 combined {}`", counts.rx.max(1))),
            ),
        }
    }
}

/// What is known of a driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Card {
    /// Whether it has native mode, in kernels that do not say.
    pub(super) native: Option<bool>,
    /// The greatest MTU in native mode, where frames may not have several buffers.
    pub(super) mtu: Option<u32>,
    /// What it does beside LRO and hardware GRO.
    pub(super) joined: Joined,
    /// The queues that it wants.
    pub(super) queues: Queues,
    /// What attaching does.
    pub(super) cost: LinkCost,
}

const UNKNOWN: Card =
    Card { native: None, mtu: None, joined: Joined::Harmless, queues: Queues::Any, cost: LinkCost::Unknown };

const fn native(mtu: u32, cost: LinkCost) -> Card {
    Card { native: Some(true), mtu: Some(mtu), cost, ..UNKNOWN }
}

/// What is known of the driver of this name. The greatest MTUs are those of pages of 4 KiB.
pub(super) fn card(driver: &str) -> Card {
    use Joined::{Refuses, RefusesWhereFixed};
    match driver {
        "virtio_net" => Card {
            joined: RefusesWhereFixed,
            queues: Queues::SparePerProcessor,
            ..native(3506, LinkCost::Nothing)
        },
        "vmxnet3" => native(3506, LinkCost::Queues),
        "hv_netvsc" => Card { joined: Refuses, ..native(3506, LinkCost::Nothing) },
        "ena" => Card { queues: Queues::HalfFree, ..native(3498, LinkCost::Queues) },
        "igb" => native(3046, LinkCost::Link),
        // It does so even when one program takes another's place.
        "igc" => native(1500, LinkCost::Link),
        "ixgbe" => native(3050, LinkCost::Link),
        "ixgbevf" => native(3050, LinkCost::Queues),
        "i40e" | "ice" => native(3046, LinkCost::Queues),
        "mlx5_core" => Card { joined: Refuses, ..native(3498, LinkCost::Queues) },
        "mlx4_en" => native(3498, LinkCost::Queues),
        "bnxt_en" => Card { queues: Queues::Combined, ..native(3498, LinkCost::Queues) },
        "e1000" | "e1000e" | "r8169" | "8139cp" | "8139too" | "ne2k-pci" | "tg3" | "bnx2" | "be2net" => {
            Card { native: Some(false), ..UNKNOWN }
        }
        _ => UNKNOWN,
    }
}

//! The guest's lab with the routers' cards: pairs of virtual ones, or cards that QEMU joins outside.

use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::lab::{Lab, Switch, Topology, wait_for};

/// A link of a real card takes its time.
const LINK: Duration = Duration::from_secs(30);

/// Routers r1 and r2, a client, and the switch. With `card`, the routers' interfaces are the machine's cards with the
/// MAC addresses of the lab's hosts, and the switch's ports those that end in 11 and 12.
pub(super) fn lab(card: Option<&str>) -> Result<Lab> {
    let mut lab = Lab::new(Topology::two_node())?;
    if card.is_none() {
        return Ok(lab);
    }
    for (n, host) in ["r1", "r2"].into_iter().enumerate() {
        let find = |mac: String| {
            Switch::card_of_machine(&mac)
                .with_context(|| format!("the machine has no card {mac}: no driver?"))
        };
        let router = find(format!("02:00:00:00:00:0{}", n + 1))?;
        let port = find(format!("52:54:00:00:00:1{}", n + 1))?;
        lab.use_cards(host, &router, &port)?;
    }
    for host in lab.hosts() {
        let path = format!("/sys/class/net/{}/carrier", host.interface());
        let up = || host.read(&path).ok().filter(|text| text.trim() == "1").map(drop);
        wait_for(LINK, up).with_context(|| format!("the link of {} does not come up", host.name()))?;
    }
    Ok(lab)
}

/// The driver of a host's interface, as ethtool names it.
pub(super) fn driver(lab: &Lab, host: &str) -> Result<String> {
    let host = lab.host(host)?;
    let text = host.output(&["ethtool", "-i", host.interface()])?;
    let line = text.lines().find_map(|line| line.strip_prefix("driver: "));
    Ok(line.unwrap_or("unknown").to_owned())
}

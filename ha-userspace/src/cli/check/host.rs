//! What `xvrrp check` knows of the host that it runs on.

use std::net::IpAddr;
use std::time::Duration;

use nix::time::{ClockId, clock_getres};

use crate::config::analysis::host::{Host, Interface};
use crate::doctor::look;
use crate::doctor::network::Rules;
use crate::net::monitor::Links;
use crate::realtime;
use crate::xdp::facts::Facts;

/// The priority that the main loop asks for.
const REALTIME_PRIORITY: u8 = 51;

/// Looks at interfaces, clocks and rights. Of the interfaces in `named`, it asks the drivers too.
pub(super) fn look(links: &Links, named: &[&str]) -> Host {
    let interfaces = links.iter().map(|link| {
        // What the daemon itself has put there says nothing about the network.
        let v4 = link.v4.iter().filter(|own| !own.ours).map(|own| (IpAddr::V4(own.address), own.prefix));
        let v6 = link.v6.iter().filter(|own| !own.ours).map(|own| (IpAddr::V6(own.address), own.prefix));
        Interface {
            name: link.name.clone(),
            up: link.up,
            addresses: v4.chain(v6).collect(),
            facts: named.contains(&&*link.name).then(|| Facts::of(&link.name).ok()).flatten(),
        }
    });
    // Only what root is refused says something: the daemon runs as root.
    let no_realtime = nix::unistd::geteuid().is_root().then(refusal).flatten();
    Host {
        interfaces: interfaces.collect(),
        resolution: clock_getres(ClockId::CLOCK_MONOTONIC).ok().map(Duration::from),
        no_realtime,
        firewall: nix::unistd::geteuid().is_root().then(look::rules).and_then(|rules| match rules {
            Rules::Read(rules) => Some(rules),
            Rules::None | Rules::Unknown(_) => None,
        }),
        processors: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
    }
}

/// Tries it, on a thread that ends at once.
fn refusal() -> Option<String> {
    let tried = std::thread::spawn(|| realtime::set_priority(REALTIME_PRIORITY));
    tried.join().ok()?.err().map(|error| error.to_string())
}

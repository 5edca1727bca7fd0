//! Who the hosts are, and what their files say.

use ha_common::machine::Params;
use ha_common::node::InterfaceId;
use ha_common::time::Span;
use ha_common::types::{Family, Priority, Version, Vrid};

use crate::rng::Rng;
use crate::sim::cluster::Instance;

/// Hosts in a cluster, at most.
const HOSTS: usize = 4;

/// The files of a cluster: two groups at most, over two interfaces, and what is in none.
pub(super) fn files(rng: &mut Rng) -> Vec<Vec<Instance>> {
    let interval = Span::from_millis(rng.pick(&[50, 100, 100, 200]));
    let (preempt, virtual_mac, fast) = (!rng.chance(20), rng.chance(25), rng.chance(70));
    let hot_standby = rng.chance(30) && !virtual_mac;
    let mut shared = Vec::new();
    for (vrid, group) in [(1, Some(0)), (2, Some(0)), (3, None), (4, Some(1)), (5, Some(1)), (6, None)] {
        // The first group is always there.
        if vrid > 2 && rng.chance(50) {
            continue;
        }
        let on = InterfaceId(u32::from(vrid % 2 == 0));
        let family = if rng.chance(30) { Family::V6 } else { Family::V4 };
        let number = Vrid::new(vrid).expect("not zero");
        let params = Params { interval, preempt, ..Params::new(number, family, Version::V3) };
        let fast = if rng.chance(10) { !fast } else { fast };
        let priority = Priority::DEFAULT;
        shared.push(Instance { on, params, priority, fast, virtual_mac, hot_standby, group, address: 0 });
    }
    // Each has the same order of its hosts in all virtual routers; nobody has two that wait for each other.
    let equal = rng.chance(15);
    let host = |priority: u8| {
        let priority = Priority::new(priority).expect("not zero");
        shared.iter().map(|instance| Instance { priority, ..*instance }).collect()
    };
    (0..2 + rng.index(HOSTS - 1))
        .map(|_| host(if equal { 100 } else { rng.pick(&[60, 90, 100, 101, 150, 254]) }))
        .collect()
}

//! Fast failover as users get it: the daemon as shipped, gaps as a client sees them.

#[path = "fast/apart.rs"]
mod apart;
#[path = "fast/cluster.rs"]
mod cluster;
#[path = "fast/death.rs"]
mod death;
#[path = "fast/floods.rs"]
mod floods;
#[path = "fast/freeze.rs"]
mod freeze;
#[path = "fast/harmless.rs"]
mod harmless;
#[path = "fast/headless.rs"]
mod headless;
#[path = "fast/hot_standby.rs"]
mod hot_standby;
#[path = "fast/keys.rs"]
mod keys;
#[path = "fast/lowered.rs"]
mod lowered;
#[path = "fast/outward.rs"]
mod outward;
#[path = "fast/peers.rs"]
mod peers;
#[path = "fast/planned.rs"]
mod planned;
#[path = "fast/socket.rs"]
mod socket;

use crate::harness::Test;

pub(crate) fn tests() -> Vec<Test> {
    [
        apart::tests(),
        death::tests(),
        floods::tests(),
        freeze::tests(),
        harmless::tests(),
        headless::tests(),
        hot_standby::tests(),
        keys::tests(),
        lowered::tests(),
        outward::tests(),
        planned::tests(),
        peers::tests(),
        socket::tests(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

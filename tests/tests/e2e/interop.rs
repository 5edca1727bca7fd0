//! Mixed pairs: xvrrp beside keepalived and beside FRR's vrrpd, as the better and as the worse router.
//!
//! [`pair`] is the run that every pair goes through; [`neighbours`] has routers that are configured differently;
//! [`checksum`] the two checksum forms of VRRPv3 over IPv4.

#[path = "interop/checksum.rs"]
mod checksum;
#[path = "interop/dialect.rs"]
mod dialect;
#[path = "interop/neighbours.rs"]
mod neighbours;
#[path = "interop/pair.rs"]
mod pair;
#[path = "interop/router.rs"]
mod router;

use crate::harness::Test;

pub(crate) fn tests() -> Vec<Test> {
    let all = [pair::tests(), checksum::tests(), neighbours::tests()];
    // Those that run alone come last: between them nothing could run side by side.
    let (alone, beside): (Vec<_>, Vec<_>) = all.into_iter().flatten().partition(Test::is_timing);
    beside.into_iter().chain(alone).collect()
}

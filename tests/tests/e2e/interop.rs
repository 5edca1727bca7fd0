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
    [pair::tests(), checksum::tests(), neighbours::tests()].into_iter().flatten().collect()
}

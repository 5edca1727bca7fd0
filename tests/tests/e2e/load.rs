//! Many virtual routers, short intervals, busy and stalled machines: nothing changes state that should not, and the
//! daemon stays small.
//!
//! CPU, wake-ups and memory are goals of the release build: `XVRRP_BIN=target/release/xvrrp`. Every figure is printed;
//! `--nocapture` shows them. The comparison with keepalived runs only where `XVRRP_COMPARE` is set. What 100
//! virtual routers use is measured for 20 s, or for `XVRRP_LOAD_SECONDS`.

#[path = "load/busy.rs"]
mod busy;
#[path = "load/many.rs"]
mod many;
#[path = "load/maps.rs"]
mod maps;
#[path = "load/memory.rs"]
mod memory;
#[path = "load/meter.rs"]
mod meter;
#[path = "load/realtime.rs"]
mod realtime;
#[path = "load/routers.rs"]
mod routers;
#[path = "load/stall.rs"]
mod stall;

use crate::harness::Test;

/// The tests with a hog on every core come last.
pub(crate) fn tests() -> Vec<Test> {
    [stall::tests(), maps::tests(), memory::tests(), realtime::tests(), many::tests(), busy::tests()]
        .into_iter()
        .flatten()
        .collect()
}

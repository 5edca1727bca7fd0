//! Nanoseconds a packet of every path through the XDP program. An example program of ha-userspace measures,
//! because xtask must build without that crate.

use anyhow::Result;

use super::progress::Progress;
use super::results::{PathCost, Results, Stats};
use crate::sys;

const EXAMPLE: [&str; 5] = ["--release", "-p", "ha-userspace", "--example", "xdp_cost"];

/// Builds it, so that measuring is not interrupted by that.
pub(super) fn build() -> Result<()> {
    sys::run("Building what measures the XDP program", sys::cargo().arg("build").args(EXAMPLE)).map(drop)
}

pub(super) fn run(results: &mut Results, progress: &mut Progress) -> Result<()> {
    let mut command = sys::cargo();
    command.args(["run", "--quiet"]).args(EXAMPLE);
    println!("    $ {}", sys::show(&command));
    for line in sys::output(&mut command)?.lines() {
        let cost: PathCost = serde_json::from_str(line)?;
        if let Some(stats) = Stats::of(&cost.ns) {
            progress.line("", "xdp", &format!("{:.0} ns", stats.median), &cost.name);
        }
        results.xdp.push(cost);
    }
    Ok(())
}

//! `cargo xtask bench`: xvrrp side by side with keepalived, as it comes and tuned, in one run.
//!
//! All figures come from outside the daemons: the client's ping stream, a witness that asks by ARP who has
//! the address, the wire, the kernel's notifications, `/proc`. The parts: `rounds` (failovers, by
//! `scenario` on a `stage`), `steady` (false failovers under load), `footprint`, `many` (255 addresses),
//! `xdp` (cost per packet); `results` keeps what they measure, `report` and `plot` write it down.

mod machine;
mod peer;
mod progress;
mod results;
mod rounds;
mod scenario;
mod stage;

use anyhow::{Result, bail};
use ha_tests::lab;

use crate::sys;
use machine::Machine;
use peer::Peer;
use progress::Progress;
use results::Results;
use scenario::Failover;

/// Arguments of `cargo xtask bench`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// One run of each, short loads: below a minute
    #[arg(long)]
    quick: bool,
    /// Runs of each failover
    #[arg(long, default_value_t = 20, value_name = "N")]
    runs: usize,
    /// What is compared
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Peer::ALL)]
    peers: Vec<Peer>,
    /// Only these
    #[arg(value_enum, value_name = "SCENARIO")]
    scenarios: Vec<Failover>,
}

/// Runs the benchmark.
///
/// # Errors
/// When it cannot run here. A measurement that fails is reported as such.
pub(crate) fn main(args: &Args) -> Result<()> {
    if let Some(missing) = lab::missing().or_else(|| args.peers.iter().find_map(|p| p.daemon().missing())) {
        bail!("{missing}");
    }
    let mut progress = Progress::new();
    let mut results = Results {
        machine: Machine::here(),
        peers: args.peers.clone(),
        runs: if args.quick { 1 } else { args.runs },
        command: String::new(),
        minutes: 0.0,
        samples: Vec::new(),
        failures: Vec::new(),
        xdp: Vec::new(),
    };
    rounds::run(&mut results, &args.scenarios, &mut progress);
    let file = sys::target_dir()?.join("bench/results.json");
    results.minutes = progress.elapsed().as_secs_f64() / 60.0;
    results.save(&file)
}

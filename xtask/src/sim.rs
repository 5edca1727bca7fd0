//! `cargo xtask sim`: the simulated clusters, many seeds or one.

use std::fmt::Debug;
use std::time::Instant;

use anyhow::{Result, bail};
use clap::ValueEnum;
use ha_tests::sim::fast::{self, FastStats};
use ha_tests::sim::{Coverage, Failure, Stats, groups, many, rfc, windows};

use crate::sys;

/// Which clusters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Cluster {
    /// Routers with the RFC's timers only
    Rfc,
    /// Hosts with probes and fence, a switch, clients and a stranger
    Probes,
    /// Hosts with several virtual routers: sync groups, reloads, restarts, trackers
    Groups,
}

/// Arguments of `cargo xtask sim`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Which clusters; all by default
    #[arg(long, value_enum)]
    cluster: Option<Cluster>,
    /// Replay one seed, and tell its story if something fails
    #[arg(long, value_name = "N", conflicts_with_all = ["seeds", "first", "keep_going"])]
    seed: Option<u64>,
    /// How many seeds
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    seeds: u64,
    /// The first of them
    #[arg(long, value_name = "N", default_value_t = 0)]
    first: u64,
    /// Go on after a failure, and list them all: for a rule that was broken on purpose
    #[arg(long)]
    keep_going: bool,
    /// Print what windows make of networks: the table of docs/liveness.md
    #[arg(long, conflicts_with_all = ["cluster", "seed", "keep_going"])]
    windows: bool,
}

/// # Errors
/// When a seed fails.
pub(crate) fn main(args: &Args) -> Result<()> {
    if args.windows {
        print!("{}", windows::table());
        return Ok(());
    }
    let wanted = |cluster| args.cluster.is_none_or(|only| only == cluster);
    let mut failed = 0;
    let mut coverage = Coverage::default();
    if wanted(Cluster::Rfc) {
        let (failures, total) = cluster(args, "RFC timers", rfc::run, Stats::add);
        failed += failures;
        coverage.add(&total.coverage);
    }
    if wanted(Cluster::Probes) {
        let (failures, total) = cluster(args, "probes and fence", fast::run, FastStats::add);
        failed += failures;
        coverage.add(&total.coverage);
    }
    if wanted(Cluster::Groups) {
        let (failures, total) = cluster(args, "groups, reloads and restarts", groups::run, Stats::add);
        failed += failures;
        coverage.add(&total.coverage);
    }
    println!("==> reached\n{}", coverage.report());
    if failed > 0 { bail!("{failed} failed") } else { Ok(()) }
}

/// How many seeds failed, and what happened in the others.
fn cluster<S: Default + Send + Debug>(
    args: &Args,
    name: &str,
    run: impl Fn(u64) -> Result<S, Box<Failure>> + Sync,
    add: impl Fn(&mut S, S) + Sync,
) -> (usize, S) {
    let (first, seeds) = args.seed.map_or((args.first, args.seeds), |seed| (seed, 1));
    println!("==> {name}: {seeds} {} from {first} on", if seeds == 1 { "seed" } else { "seeds" });
    let start = Instant::now();
    let (total, failures) = many(first, seeds, args.keep_going, run, add);
    if args.keep_going {
        failures.iter().for_each(|failure| println!("seed {}: {}", failure.seed, failure.what));
    } else if let Some(failure) = failures.first() {
        println!("{failure}");
    }
    println!(
        "{} after {}: {total:?}",
        if failures.is_empty() { "held" } else { "FAILED" },
        sys::seconds(start.elapsed())
    );
    (failures.len(), total)
}

//! `cargo xtask bench`: xvrrp side by side with keepalived, as it comes and tuned, in one run.
//!
//! All figures come from outside the daemons: the client's ping stream, a witness that asks by ARP who has
//! the address, the wire, the kernel's notifications, `/proc`. The parts: `rounds` (failovers, by
//! `scenario` on a `stage`), `busy` (host death beside other work), `steady` (false failovers under load),
//! `footprint`, `many` (255 addresses), `xdp` (cost per packet); `results` keeps what they measure, `report` and `plot` write it down.

mod busy;
mod footprint;
mod machine;
mod many;
mod peer;
mod pictures;
mod plot;
mod progress;
mod report;
mod results;
mod rounds;
mod scenario;
mod stage;
mod stalls;
mod steady;
mod table;
mod xdp;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::ValueEnum;
use ha_tests::lab;

use crate::{run, sys};
use busy::Busy;
use machine::Machine;
use peer::Peer;
use progress::Progress;
use results::Results;
use scenario::Failover;
use steady::Load;

/// Arguments of `cargo xtask bench`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// One run of each failover, short loads, one virtual router: below a minute
    #[arg(long)]
    quick: bool,
    /// Runs of each failover
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    runs: u16,
    /// All peers of a run at the same time: faster, and they disturb each other. Always with --quick
    #[arg(long)]
    together: bool,
    /// How long a backup of ours has watched its master before a failover, in seconds: its window follows from that. None
    /// with --quick
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    learn: u16,
    /// Length of each load of `load`, in seconds
    #[arg(long, default_value_t = 20, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=86_400))]
    load_time: u32,
    /// Which loads of `load`
    #[arg(long, value_enum, value_delimiter = ',', value_name = "LOAD", default_values_t = Load::ALL)]
    loads: Vec<Load>,
    /// Which work of `busy`
    #[arg(long, value_enum, value_delimiter = ',', value_name = "WORK", default_values_t = Busy::ALL)]
    works: Vec<Busy>,
    /// What is compared
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Peer::USUAL)]
    peers: Vec<Peer>,
    /// Where page and pictures go; by default docs/, where everything was measured, else target/bench/
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Measure nothing; write page and pictures of earlier runs, each from its results.json
    #[arg(long, value_name = "FILE")]
    from: Vec<PathBuf>,
    /// Only these
    #[arg(value_enum, value_name = "SCENARIO")]
    scenarios: Vec<Scenario>,
}

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Scenario {
    /// The master's switch port goes silent
    HostDeath,
    /// The master's cable is taken out
    Cable,
    /// The master's daemon is killed
    Kill9,
    /// The master's daemon is frozen and thawed
    Sigstop,
    /// The master's daemon is stopped
    Stop,
    /// The master's host comes back
    Failback,
    /// The master's daemon is stopped and started
    Restart,
    /// The master's port goes silent while the machine is busy with something else
    Busy,
    /// The master's port stands still for 1 ms to 1 s, ten times as often as a failover happens
    Stalls,
    /// False failovers, idle and under load
    Load,
    /// Processor, context switches, memory
    Footprint,
    /// Host death with 255 virtual routers
    Many,
    /// Nanoseconds a packet in XDP
    Xdp,
}

impl Scenario {
    fn failover(self) -> Option<Failover> {
        Some(match self {
            Self::HostDeath => Failover::HostDeath,
            Self::Cable => Failover::Cable,
            Self::Kill9 => Failover::Kill9,
            Self::Sigstop => Failover::Sigstop,
            Self::Stop => Failover::Stop,
            Self::Failback => Failover::Failback,
            Self::Restart => Failover::Restart,
            Self::Busy | Self::Stalls | Self::Load | Self::Footprint | Self::Many | Self::Xdp => return None,
        })
    }
}

/// Runs the benchmark.
///
/// # Errors
/// When it cannot run here. A measurement that fails is reported as such.
pub(crate) fn main(args: &Args) -> Result<()> {
    let own = sys::target_dir()?.join("bench");
    if let Some((first, others)) = args.from.split_first() {
        let directory = args.out.clone().unwrap_or(own);
        let mut results = Results::load(first)?;
        for file in others {
            results.append(Results::load(file)?);
        }
        report::write(&results, &directory)?;
        println!("written: {}", directory.join("benchmarks.md").display());
        return Ok(());
    }
    if args.peers.iter().any(|peer| peer.is_ours()) {
        run::build()?;
        if wanted(args).contains(&Scenario::Xdp) {
            xdp::build()?;
        }
    }
    if let Some(missing) = lab::missing().or_else(|| args.peers.iter().find_map(|p| p.daemon().missing())) {
        bail!("{missing}");
    }
    // The labs end with this process.
    ctrlc::set_handler(|| std::process::exit(130))?;

    let mut progress = Progress::new();
    let mut results = measure(args, &mut progress);
    results.minutes = progress.elapsed().as_secs_f64() / 60.0;
    let file = own.join("results.json");
    results.save(&file)?;
    println!("\n{}", report::tables(&results));
    let everything = !args.quick && args.scenarios.is_empty() && args.peers == Peer::USUAL;
    let docs = sys::workspace_root().join("docs");
    let directory = args.out.clone().unwrap_or(if everything { docs } else { own });
    report::write(&results, &directory)?;
    println!(
        "{} in {}; written: {}, {}",
        if results.failures.is_empty() { "done" } else { "done, with failed runs," },
        sys::seconds(progress.elapsed()),
        directory.join("benchmarks.md").display(),
        file.display()
    );
    Ok(())
}

fn wanted(args: &Args) -> &[Scenario] {
    if args.scenarios.is_empty() { Scenario::value_variants() } else { &args.scenarios }
}

fn measure(args: &Args, progress: &mut Progress) -> Results {
    let mut results = Results {
        machine: Machine::here(),
        peers: args.peers.clone(),
        runs: if args.quick { 1 } else { usize::from(args.runs) },
        learn: if args.quick { Duration::ZERO } else { Duration::from_secs(args.learn.into()) },
        command: command(args),
        minutes: 0.0,
        samples: Vec::new(),
        failures: Vec::new(),
        xdp: Vec::new(),
    };
    let scenarios = wanted(args);
    let wanted = |scenario| scenarios.contains(&scenario);
    let failovers: Vec<_> = scenarios.iter().filter_map(|scenario| scenario.failover()).collect();
    if !failovers.is_empty() {
        progress.title("Failovers, as the client sees them");
        rounds::run(&mut results, &failovers, args.quick || args.together, progress);
    }
    // Too long for a quick run, unless asked for.
    if wanted(Scenario::Busy) && !(args.quick && args.scenarios.is_empty()) {
        progress.title("Host death while the machine is busy");
        let runs = results.runs.div_ceil(4);
        busy::run(&mut results, &args.works, runs, progress);
    }
    // Too long for a quick run, unless asked for.
    if wanted(Scenario::Stalls) && !(args.quick && args.scenarios.is_empty()) {
        progress.title("Stalls of the master's port: what they cost the client");
        let count = if args.quick { 5 } else { 10 * results.runs };
        stalls::run(&mut results, count, progress);
    }
    if wanted(Scenario::Load) {
        progress.title("False failovers: nothing may change hands");
        let time = Duration::from_secs(if args.quick { 1 } else { args.load_time.into() });
        steady::run(&mut results, &args.loads, time, progress);
    }
    if wanted(Scenario::Footprint) {
        progress.title("Cost of a healthy pair");
        let (counts, time) =
            if args.quick { (&footprint::COUNTS[..1], 2) } else { (&footprint::COUNTS[..], 8) };
        footprint::run(&mut results, counts, Duration::from_secs(time), args.quick, progress);
    }
    // Too long for a quick run, unless asked for.
    if wanted(Scenario::Many) && !(args.quick && args.scenarios.is_empty()) {
        progress.title("Host death with 255 virtual routers");
        let runs = results.runs.div_ceil(5);
        many::run(&mut results, runs, progress);
    }
    if wanted(Scenario::Xdp) && args.peers.iter().any(|peer| peer.is_ours()) {
        progress.title("Cost per packet in XDP");
        if let Err(error) = xdp::run(&mut results, progress) {
            results.fail("xdp", Peer::Xvrrp, &error, progress);
        }
    }
    results
}

/// As they are written on the command line.
fn words<V: ValueEnum>(values: &[V]) -> String {
    let values: Vec<_> = values.iter().filter_map(ValueEnum::to_possible_value).collect();
    values.iter().map(clap::builder::PossibleValue::get_name).collect::<Vec<_>>().join(",")
}

/// The command line that repeats it.
fn command(args: &Args) -> String {
    let mut text = "cargo xtask bench".to_owned();
    if args.quick {
        text += " --quick";
    } else {
        text += &format!(" --runs {}", args.runs);
    }
    if args.learn != 60 && !args.quick {
        text += &format!(" --learn {}", args.learn);
    }
    if args.together {
        text += " --together";
    }
    if args.load_time != 20 {
        text += &format!(" --load-time {}", args.load_time);
    }
    if args.loads != Load::ALL {
        text += &format!(" --loads {}", words(&args.loads));
    }
    if args.works != Busy::ALL {
        text += &format!(" --works {}", words(&args.works));
    }
    if args.peers != Peer::USUAL {
        let names: Vec<_> = args.peers.iter().map(|peer| peer.name()).collect();
        text += &format!(" --peers {}", names.join(","));
    }
    for scenario in &args.scenarios {
        if let Some(value) = scenario.to_possible_value() {
            text += &format!(" {}", value.get_name());
        }
    }
    text
}

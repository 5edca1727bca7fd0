//! `cargo xtask run`: the failover of the tutorial's two routers, shown and measured in a lab; or, with
//! `-- ARGS`, the daemon on this host.

mod lanes;
mod screen;
mod show;

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use ha_tests::lab::{self, Daemon, Lab, Topology};

/// Arguments of `cargo xtask run`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Leave the lab running afterwards and say how to enter it
    #[arg(long)]
    keep: bool,
    /// What runs on r1, the master
    #[arg(long, value_enum, default_value_t = Program::Xvrrp, value_name = "DAEMON")]
    r1: Program,
    /// What runs on r2, the backup
    #[arg(long, visible_alias = "peer", value_enum, default_value_t = Program::Xvrrp, value_name = "DAEMON")]
    r2: Program,
    /// The tutorial's unicast files
    #[arg(long)]
    unicast: bool,
    /// Also draw the timeline into this file
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Run the daemon on this host with these arguments instead
    #[arg(last = true, value_name = "ARGS")]
    arguments: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Program {
    Xvrrp,
    Keepalived,
}

impl From<Program> for Daemon {
    fn from(program: Program) -> Self {
        match program {
            Program::Xvrrp => Self::Xvrrp,
            Program::Keepalived => Self::Keepalived,
        }
    }
}

const MULTICAST: [&str; 2] = [
    include_str!("../../tests/inputs/two-node/master.conf"),
    include_str!("../../tests/inputs/two-node/backup.conf"),
];
const UNICAST: [&str; 2] = [
    include_str!("../../tests/inputs/two-node/master-unicast.conf"),
    include_str!("../../tests/inputs/two-node/backup-unicast.conf"),
];

/// Runs the command.
pub(crate) fn main(args: Args) -> Result<()> {
    if !args.arguments.is_empty() {
        build()?;
        let binary = lab::xvrrp_binary()?;
        println!("running {} {}", binary.display(), args.arguments.join(" "));
        return Err(Command::new(&binary).args(&args.arguments).exec())
            .with_context(|| format!("starting {}", binary.display()));
    }
    let daemons: [Daemon; 2] = [args.r1.into(), args.r2.into()];
    if daemons.contains(&Daemon::Xvrrp) {
        build()?;
    }
    if let Some(missing) = lab::missing().or_else(|| daemons.iter().find_map(|daemon| daemon.missing())) {
        bail!("{missing}");
    }
    let keep = args.keep;
    ctrlc::set_handler(move || {
        if keep {
            let _nothing_to_end = Lab::down();
        }
        // A lab that is not kept ends with this process.
        eprintln!("\ninterrupted; the lab is gone");
        std::process::exit(130);
    })?;
    let topology = Topology::two_node();
    let lab = if keep { Lab::up(topology)? } else { Lab::new(topology)? };
    let files = if args.unicast { UNICAST } else { MULTICAST };
    let result = show::failover(&lab, daemons, files, args.svg.as_deref());
    if keep {
        super::lab::print_how_to_use(&lab);
    }
    result
}

/// Builds the release daemon, unless `XVRRP_BIN` names another one.
pub(crate) fn build() -> Result<()> {
    if std::env::var_os("XVRRP_BIN").is_some() {
        return Ok(());
    }
    println!("cargo build --release -p ha-userspace");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo).args(["build", "--release", "-p", "ha-userspace"]).status();
    if !status.context("starting cargo")?.success() {
        bail!("the daemon does not build; `cargo xtask setup` gets what building needs");
    }
    Ok(())
}

//! `cargo xtask lab`: the lab by hand. It stays up until `lab down`, whatever happens to this program.

use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::Subcommand;
use ha_tests::lab::{self, Lab, Topology};

/// Arguments of `cargo xtask lab`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Build routers r1, r2 and a client on one switch
    Up {
        /// How many routers
        #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=50))]
        routers: u8,
        /// The topology of the tutorial with two services: interface eth0, 192.168.1.0/24
        #[arg(long, conflicts_with = "routers")]
        multi_service: bool,
    },
    /// End the lab and everything that runs in it
    Down,
    /// Enter a host with a shell, or run a program there
    Shell {
        /// r1, r2, client, or switch for the network of the switch
        host: String,
        /// A program with its arguments instead of a shell
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
    /// Say what is up, with addresses and daemons
    Status,
    /// Take the cable of a host out
    Unplug {
        /// The host
        host: String,
    },
    /// Put the cable of a host back
    Plug {
        /// The host
        host: String,
    },
}

/// Runs the command.
pub(crate) fn main(args: Args) -> Result<()> {
    if let Some(missing) = lab::missing() {
        bail!("{missing}");
    }
    match args.action {
        Action::Up { routers, multi_service } => {
            let topology = if multi_service { Topology::multi_service() } else { Topology::routers(routers) };
            let lab = Lab::up(topology)?;
            print_how_to_use(&lab);
        }
        Action::Down => println!("{}", if Lab::down()? { "the lab is gone" } else { "no lab is up" }),
        Action::Shell { host, command } => shell(&host, command)?,
        Action::Status => status(&Lab::attach()?)?,
        Action::Unplug { host } => {
            let lab = Lab::attach()?;
            lab.switch().unplug(lab.host(&host)?.name())?;
            println!("the cable of {host} is out");
        }
        Action::Plug { host } => {
            let lab = Lab::attach()?;
            lab.switch().plug(lab.host(&host)?.name())?;
            println!("the cable of {host} is in");
        }
    }
    Ok(())
}

/// Tells what can be done with a lab that stays up.
pub(crate) fn print_how_to_use(lab: &Lab) {
    println!("the lab is up:");
    for host in lab.hosts() {
        println!("  {:<8} {}  {}  {}", host.name(), host.interface(), host.spec().v4, host.spec().v6);
    }
    println!("cargo xtask lab shell HOST     enters a host; each has its own /run, /etc, /tmp and bpffs");
    println!("cargo xtask lab unplug|plug HOST");
    println!("cargo xtask lab status|down");
}

fn shell(host: &str, command: Vec<String>) -> Result<()> {
    let lab = Lab::attach()?;
    let mut nsenter = Command::new("nsenter");
    if host == "switch" {
        nsenter.args(["--target", &lab.switch().holder_pid().to_string(), "--net", "--"]);
    } else {
        let pid = lab.host(host)?.holder_pid();
        nsenter.args(["--target", &pid.to_string(), "--net", "--mount", "--pid", "--"]);
    }
    if command.is_empty() {
        let shell = std::env::var("SHELL").unwrap_or_else(|_| "sh".to_owned());
        println!("entering {host}; leave it with `exit`");
        nsenter.arg(shell).env("PS1", format!("[{host}] \\w # "));
    } else {
        nsenter.args(command);
    }
    drop(lab);
    Err(nsenter.exec()).context("starting nsenter")
}

fn status(lab: &Lab) -> Result<()> {
    for host in lab.hosts() {
        println!("{} (enter: cargo xtask lab shell {0})", host.name());
        print!("{}", host.output(&["ip", "-br", "addr", "show", "dev", host.interface()])?);
        let programs = host.output(&["ps", "-eo", "pid=,etime=,args="])?;
        // The holder with its sleep, and this very ps, are not interesting.
        let boring = |line: &&str| !["sleep 86400", "ps -eo"].iter().any(|word| line.contains(word));
        for line in programs.lines().filter(boring) {
            println!("  {line}");
        }
    }
    Ok(())
}

//! The command line: parses it and hands over to one module per subcommand, or to `dropin` where the program was
//! called as `keepalived`.

mod ask;
pub mod check;
pub mod completions;
pub mod counters;
pub mod detach;
pub mod doctor;
mod dropin;
pub mod events;
pub mod explain;
pub mod hold;
mod json;
pub mod man;
mod output;
pub mod ready;
pub mod reload;
pub mod restart;
pub mod run;
pub mod schema;
mod start;
pub mod status;
pub mod stop;
mod terminal;
pub mod top;
pub mod why;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Where the configuration is looked for.
pub const DEFAULT_CONFIG: &str = "/etc/keepalived/keepalived.conf";
/// Where the control socket, the pid file and the lock live.
pub const DEFAULT_RUN_DIR: &str = "/run/xvrrp";
/// Where the BPF file system is mounted.
pub const DEFAULT_BPFFS: &str = "/sys/fs/bpf";

/// VRRP for Linux that reads keepalived.conf and notices a dead master through XDP.
#[derive(Debug, Parser)]
#[command(
    name = "xvrrp",
    version,
    max_term_width = 100,
    after_help = "To begin: xvrrp check and xvrrp doctor, then xvrrp run as root, then xvrrp status."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon in the foreground.
    Run(run::Args),
    /// Check a configuration and explain what is wrong with it.
    Check(check::CheckArgs),
    /// Find out what this host can do, before anyone relies on it.
    Doctor(doctor::Args),
    /// Explain a code that `check` prints.
    Explain(explain::Args),
    /// Say whether all is well, and show instances, masters and how adverts are received.
    Status(status::Args),
    /// Say who would take over, and how soon; on a backup, whether this host could.
    Ready(ready::Args),
    /// Watch roles, round trips and events live.
    Top(top::Args),
    /// Show what happened to received frames.
    Counters(counters::Args),
    /// Show what happened, from files: needs no daemon.
    Events(events::Args),
    /// Tell why the addresses of an instance moved.
    Why(why::Args),
    /// Make the running daemon read its configuration again; changes only what changed.
    Reload(reload::Args),
    /// Give the role of an instance away, for the time of some work on this host.
    Resign(hold::ResignArgs),
    /// Take the role of an instance.
    Prefer(hold::Args),
    /// Keep roles where they are, unless a master dies.
    Freeze(hold::Args),
    /// End what resign, prefer or freeze began.
    #[command(visible_alias = "unfreeze")]
    Release(hold::ReleaseArgs),
    /// Stop the daemon gracefully: the addresses are handed over first.
    Stop(stop::Args),
    /// Start the daemon's program anew, also another version of it; the role stays, no address moves.
    Restart(restart::Args),
    /// Remove what a daemon that is gone has left in the kernel: XDP programs and pinned maps.
    Detach(detach::Args),
    /// Print the JSON schema of what a command prints with --json.
    Schema(schema::Args),
    /// Print what a shell needs to complete this command line.
    Completions(completions::Args),
    /// Write the manual pages.
    #[command(hide = true)]
    Man(man::Args),
}

/// Parse the command line and run it.
#[must_use]
pub fn main() -> ExitCode {
    let mut arguments = std::env::args_os();
    if dropin::is_called(arguments.next().as_deref()) {
        return dropin::main(arguments);
    }
    match Cli::parse().command {
        Command::Run(args) => run::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Status(args) => status::run(&args),
        Command::Ready(args) => ready::run(&args),
        Command::Top(args) => top::run(&args),
        Command::Counters(args) => counters::run(&args),
        Command::Events(args) => events::run(&args),
        Command::Why(args) => why::run(&args),
        Command::Reload(args) => reload::run(&args),
        Command::Resign(args) => hold::resign(&args),
        Command::Prefer(args) => hold::prefer(&args),
        Command::Freeze(args) => hold::freeze(&args),
        Command::Release(args) => hold::release(&args),
        Command::Stop(args) => stop::run(&args),
        Command::Restart(args) => restart::run(&args),
        Command::Detach(args) => detach::run(&args),
        Command::Schema(args) => schema::run(&args),
        Command::Completions(args) => completions::run(&args),
        Command::Man(args) => man::run(&args),
    }
}

//! `cargo xtask`: everything that a developer types.

mod lab;
mod run;

use std::process::ExitCode;

use clap::Parser;

/// What a developer of xvrrp types. Every command gets what it needs by itself.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
enum Command {
    /// Show a failover in a lab of network namespaces, or run the daemon on this host
    Run(run::Args),
    /// The lab by hand
    Lab(lab::Args),
}

fn main() -> ExitCode {
    let result = match Command::parse() {
        Command::Run(args) => run::main(args),
        Command::Lab(args) => lab::main(args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

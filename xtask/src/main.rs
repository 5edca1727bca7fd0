//! `cargo xtask`: everything that a developer types.
//!
//! It builds without the eBPF toolchain, which it is there to install; so neither it nor the lab that it
//! links (ha-tests) may depend on ha-userspace.

mod bench;
mod book;
mod ci;
mod circles;
mod conformance;
mod dist;
mod fuzz;
mod kernels;
mod lab;
mod night;
mod run;
mod setup;
mod sim;
mod sys;
mod test;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

/// What a developer of xvrrp types. Every command gets what it needs by itself.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
enum Command {
    /// Get what building and testing need (done by the other commands when something is missing)
    Setup(setup::Args),
    /// Show a failover in a lab of network namespaces, or run the daemon on this host
    Run(run::Args),
    /// Run the tests
    Test(test::Args),
    /// Run the simulated clusters, or replay one seed
    Sim(sim::Args),
    /// Play a bad night in the lab, and write what the routers tell of it into docs/operate.md
    Night(night::Args),
    /// Measure, side by side with keepalived
    Bench(bench::Args),
    /// The lab by hand
    Lab(lab::Args),
    /// Fuzz every decoder and the configuration, guided by coverage
    Fuzz(fuzz::Args),
    /// Build and pack the release binary, for other processors and static too
    Dist(dist::Args),
    /// Boot Debian's kernels in virtual machines and try xvrrp on each
    Kernels(kernels::Args),
    /// Make a book of the documents (mdbook)
    Book(book::Args),
    /// Every check that a change must pass
    Ci(ci::Args),
}

fn main() -> ExitCode {
    let result = match Command::parse() {
        Command::Setup(args) => setup::main(&args),
        Command::Run(args) => with(setup::Need::Lab, || run::main(args)),
        Command::Test(args) => test::main(&args),
        Command::Sim(args) => sim::main(&args),
        Command::Night(args) => with(setup::Need::Test, || night::main(&args)),
        Command::Bench(args) => with(setup::Need::Test, || bench::main(&args)),
        Command::Lab(args) => with(setup::Need::Lab, || lab::main(args)),
        Command::Fuzz(args) => with(setup::Need::Lab, || fuzz::main(&args)),
        Command::Dist(args) => dist::main(&args),
        Command::Kernels(args) => kernels::main(&args),
        Command::Book(args) => book::main(&args),
        Command::Ci(args) => ci::main(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn with(need: setup::Need, main: impl FnOnce() -> Result<()>) -> Result<()> {
    setup::ensure(need)?;
    main()
}

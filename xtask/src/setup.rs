//! `cargo xtask setup`: gets what building and testing need, and only what is missing.
//!
//! The other subcommands call [`ensure`] first, so nobody has to know this one. Two groups: the eBPF
//! toolchain ([`toolchain`], needed by every build) and programs of the distribution ([`packages`], needed
//! by the lab and the tests); a third, [`targets`], is got by `cargo xtask dist`. It changes nothing when nothing is missing.

mod backports;
mod packages;
mod targets;
mod toolchain;

use anyhow::Result;

pub(crate) use packages::{ensure_programs, install};
pub(crate) use targets::ensure as ensure_targets;
pub(crate) use toolchain::Way;

/// Arguments of `cargo xtask setup`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only what building needs (rust-src, bpf-linker), no packages: works without root
    #[arg(long)]
    build_only: bool,
}

/// What is about to be done. Each need includes the ones before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Need {
    /// Building the daemon with its eBPF program.
    Build,
    /// Running the lab.
    Lab,
    /// Running every test, those against other VRRP daemons included.
    Test,
    /// Booting kernels in virtual machines.
    Kernels,
}

/// Shows what is there, then gets the rest.
///
/// # Errors
/// When something could not be had; the message says which commands to run by hand.
pub(crate) fn main(args: &Args) -> Result<()> {
    let need = if args.build_only { Need::Build } else { Need::Test };
    println!("Needed to build:");
    toolchain::print_status();
    if need > Need::Build {
        println!("Needed by the lab and the tests:");
        packages::print_status();
    }
    ensure(need)?;
    println!("Everything is there. Next: cargo xtask run, or cargo xtask test");
    Ok(())
}

/// Gets what `need` lacks; says nothing and takes milliseconds when nothing is missing.
///
/// # Errors
/// As [`main`].
pub(crate) fn ensure(need: Need) -> Result<()> {
    let way = toolchain::ensure()?;
    if way == Way::Debian {
        toolchain::choose_debian();
    }
    if need > Need::Build {
        packages::ensure(need)?;
    }
    Ok(())
}

/// Which toolchain builds the eBPF side, as far as it is set up.
pub(crate) fn way() -> Way {
    toolchain::way()
}

/// One line of the overview.
fn print_row(name: &str, found: &Result<String, String>) {
    match found {
        Ok(what) => println!("  ok       {name:<12} {what}"),
        Err(why) => println!("  missing  {name:<12} {why}"),
    }
}

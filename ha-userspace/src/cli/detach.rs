//! `xvrrp detach`: removes by hand what a daemon that is gone has left in the kernel.

use std::path::PathBuf;
use std::process::ExitCode;

use super::{DEFAULT_BPFFS, DEFAULT_RUN_DIR};
use crate::control::runlock::{LockError, RunLock};
use crate::net::addresses::{Addresses, Marks};
use crate::net::sysctl::{self, Changed};
use crate::xdp;

/// Options of `xvrrp detach`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Mount point of the BPF file system.
    #[arg(long, value_name = "DIR", default_value = DEFAULT_BPFFS)]
    bpffs: PathBuf,
    /// Run directory of the daemon, which must not be running.
    #[arg(long, value_name = "DIR", default_value = DEFAULT_RUN_DIR)]
    run_dir: PathBuf,
}

/// Detaches and says what was there.
#[must_use]
pub fn run(args: &Args) -> ExitCode {
    // Held until the end, so that no daemon starts in between.
    let _lock = match RunLock::acquire(&args.run_dir) {
        Ok(lock) => lock,
        Err(error @ LockError::Running { .. }) => {
            eprintln!("xvrrp: {error}; it detaches by itself when it stops");
            return ExitCode::FAILURE;
        }
        Err(error) => {
            eprintln!("xvrrp: {error}");
            return ExitCode::FAILURE;
        }
    };
    Changed::load(args.run_dir.join(sysctl::FILE)).restore();
    remove_standbys(args);
    let detached = xdp::detach_everything(&args.bpffs);
    let filters = xdp::remove_filters();
    for interface in &filters {
        println!("removed the filter of {interface}");
    }
    match detached {
        Ok(removed) if removed.is_empty() && !filters.is_empty() => {}
        Ok(removed) if removed.is_empty() => println!("nothing was left below {}", args.bpffs.display()),
        Ok(removed) => removed.iter().for_each(|path| println!("removed {}", path.display())),
        Err(error) => {
            eprintln!("xvrrp: {error}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// What a program keeps silent goes before the program.
fn remove_standbys(args: &Args) {
    let left = xdp::left_standbys(&args.bpffs);
    if left.is_empty() {
        return;
    }
    match Addresses::open_remembering(args.run_dir.join("addresses"), Marks::Used) {
        Ok(mut addresses) => {
            addresses.remove_left(&left.iter().map(xdp::LeftStandby::place).collect::<Vec<_>>());
            for gone in left {
                println!("removed {} from {} (hot_standby)", gone.address, gone.interface);
            }
        }
        Err(error) => eprintln!("xvrrp: addresses of hot_standby stay, and are not silent any more: {error}"),
    }
}

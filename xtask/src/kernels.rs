//! `cargo xtask kernels`: boots Debian's kernels in virtual machines and tries xvrrp on each.
//!
//! `fetch` gets kernels with an apt of its own (`apt`, `mirror`), `modules` and `initramfs` make what QEMU (`qemu`) boots,
//! `watch` follows the console, `outcome` keeps what the guest said, `page` writes it down. What is tried is in
//! `ha_tests::guest`.

mod apt;
mod build;
mod cpio;
mod fetch;
mod initramfs;
mod mirror;
mod modules;
mod name;
mod outcome;
mod page;
mod plan;
mod qemu;
mod run;
mod watch;

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::Instant;

use anyhow::{Result, bail};

use crate::setup::{self, Need};
use crate::sys;
use apt::Apt;
use name::Wanted;
use outcome::Outcomes;
use qemu::Card;

/// Arguments of `cargo xtask kernels`.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// Which: 6.1, 6.12, 6.12-generic, 6.12-rt, 6.12-arm64, newest, newest-arm64 or a full name of Debian's; without
    /// any, all that docs/kernels.md has
    #[arg(value_name = "NAME")]
    names: Vec<Wanted>,
    /// Show which kernels the mirror has
    #[arg(long)]
    list: bool,
    /// Give the routers such a network card, with the kernel's driver for it; by default veth
    #[arg(long, value_enum, value_name = "CARD")]
    card: Option<Card>,
    /// Guests at a time
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=32))]
    jobs: u8,
    /// A guest that takes longer is given up, in seconds
    #[arg(long, default_value_t = 600, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(10..=86_400))]
    timeout: u32,
}

/// Runs the command.
///
/// # Errors
/// When something is missing, or a kernel does not pass.
pub(crate) fn main(args: &Args) -> Result<()> {
    let top = sys::target_dir()?.join("kernels");
    fs::create_dir_all(&top)?;
    if args.list {
        let packages = Apt::open(&top)?.names("linux-image-")?;
        for kernel in plan::everything(&packages) {
            println!("{}", kernel.name());
        }
        return Ok(());
    }
    setup::ensure(Need::Kernels)?;
    let start = Instant::now();
    let jobs = plan::jobs(&args.names, args.card);
    let binaries = build::all(&jobs)?;
    let apt = Apt::open(&top)?;
    // Guests end with this process, and in order.
    ctrlc::set_handler(|| watch::INTERRUPTED.store(true, Ordering::Relaxed))?;
    let settings = run::Settings { top, binaries, limit: std::time::Duration::from_secs(args.timeout.into()) };
    let outcomes = run::all(&settings, &apt, jobs, args.jobs.into())?;
    println!("\n{}", page::table(&outcomes));
    let file = results_file();
    let mut kept = Outcomes::load(&file)?;
    kept.update(&outcomes);
    kept.save(&file)?;
    page::write(&kept)?;
    println!(
        "{} guests in {}; written: docs/kernels.md, {}",
        outcomes.rows.len(),
        sys::seconds(start.elapsed()),
        file.strip_prefix(sys::workspace_root()).unwrap_or(&file).display()
    );
    let failed = outcomes.failed();
    if failed.is_empty() { Ok(()) } else { bail!("not everything passed: {}", failed.join(", ")) }
}

/// Raw results of the last run of each row, from which the page is written.
fn results_file() -> PathBuf {
    sys::workspace_root().join("docs/kernels.json")
}

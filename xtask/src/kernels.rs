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
mod pair;
mod plan;
mod qemu;
mod run;
mod watch;

pub(crate) use mirror::Mirror;
pub(crate) use name::Arch;
pub(crate) use qemu::Qemu;

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
    /// Two virtual machines joined by a cable, one router in each: NAME and NAME are r1's kernel and r2's
    #[arg(long, conflicts_with = "card")]
    pair: bool,
    /// With --pair: r1 runs without XDP
    #[arg(long, requires = "pair")]
    raw: bool,
    /// Judge only, by fewer steps, and leave docs/kernels.md as it is; where no kernel can be booted here, say so (on
    /// CI: fail)
    #[arg(long)]
    check: bool,
    /// Only how late a real-time thread wakes up, by the kind of timer
    #[arg(long, conflicts_with = "pair")]
    timers: bool,
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
    let start = Instant::now();
    let jobs = if args.pair {
        let [first, second] = args.names.as_slice() else { bail!("--pair takes two kernels: r1's and r2's") };
        vec![plan::pair(first.clone(), second.clone(), args.raw)]
    } else {
        plan::jobs(&args.names, args.card)
    };
    let possible = setup::ensure(Need::Kernels)
        .and_then(|()| {
            jobs.iter().flat_map(plan::Job::machines).try_for_each(|wanted| Qemu::check(wanted.arch()))
        })
        .and_then(|()| Apt::open(&top));
    let apt = match possible {
        Ok(apt) => apt,
        Err(error) if args.check && std::env::var_os("CI").is_none() => {
            println!("note: no kernels are booted here: {error:#}");
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    let binaries = build::all(&jobs)?;
    // Guests end with this process, and in order.
    ctrlc::set_handler(|| watch::INTERRUPTED.store(true, Ordering::Relaxed))?;
    let limit = std::time::Duration::from_secs(args.timeout.into());
    let settings = run::Settings {
        top,
        binaries,
        limit,
        short: args.check,
        test: if args.timers { "timers" } else { "smoke" },
    };
    let outcomes = run::all(&settings, &apt, jobs, args.jobs.into())?;
    println!("\n{}", page::table(&outcomes));
    println!("{} guests in {}", outcomes.rows.len(), sys::seconds(start.elapsed()));
    if !args.check && !args.timers {
        let file = results_file();
        let mut kept = Outcomes::load(&file)?;
        kept.update(&outcomes, plan::place);
        kept.save(&file)?;
        page::write(&kept)?;
        println!("written: docs/kernels.md, docs/kernels.json");
    }
    let failed = outcomes.failed();
    if failed.is_empty() { Ok(()) } else { bail!("not everything passed: {}", failed.join(", ")) }
}

/// Raw results of the last run of each row, from which the page is written.
fn results_file() -> PathBuf {
    sys::workspace_root().join("docs/kernels.json")
}

//! `cargo xtask ci`: everything that must hold before a change lands.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::{
    book, circles, conformance, fuzz,
    setup::{self, Need, Way},
    sys, test,
};

/// Arguments of `cargo xtask ci`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Leave tests and kernels out: for callers that run `cargo xtask test` and `cargo xtask kernels` themselves
    #[arg(long)]
    no_test: bool,
}

/// The two commonest kernels of Debian's stable releases, and the newest. `.ci/run` boots the same ones.
const KERNELS: [&str; 8] = ["xtask", "kernels", "--check", "--jobs", "2", "6.1", "6.12", "newest"];

/// The kernel's target. Its standard library is built from source.
const BPF: [&str; 6] = ["--release", "--target", "bpfel-unknown-none", "-Z", "build-std=core", "--quiet"];

/// Runs every check, the failing ones included, then says which failed.
///
/// # Errors
/// When a check failed, or the setup did.
pub(crate) fn main(args: &Args) -> Result<()> {
    setup::ensure(Need::Lab)?;
    let start = Instant::now();
    let mut done: Vec<(&str, Duration, Result<()>)> = Vec::new();
    let mut check = |name, what: &mut dyn FnMut() -> Result<()>| {
        let start = Instant::now();
        let result = what();
        if let Err(error) = &result {
            println!("    {error:#}");
        }
        done.push((name, start.elapsed(), result));
    };

    check("format", &mut || cargo("Formatting", &["fmt", "--all", "--check"]));
    check("clippy", &mut || {
        let args = ["clippy", "--workspace", "--exclude", "ha-ebpf", "--all-targets", "--", "-D", "warnings"];
        cargo("Lints", &args)
    });
    check("eBPF clippy", &mut ebpf_lints);
    // That ha-common compiles without a standard library needs no check of its own: the build script of ha-userspace
    // has just built the eBPF program with it.
    check("docs", &mut docs);
    check("circles", &mut circles::check);
    check("conformance", &mut conformance::check);
    check("book", &mut || book::main(&book::Args::default()));
    check("fuzz", &mut fuzz::run);
    if !args.no_test {
        check("test", &mut || test::main(&test::Args::default()));
        check("kernels", &mut || cargo("Other kernels", &KERNELS));
    }
    check("run", &mut || cargo("The demonstration", &["xtask", "run"]));

    println!("\nChecks");
    for (name, took, result) in &done {
        let verdict = if result.is_ok() { "ok" } else { "FAILED" };
        println!("  {name:<12} {:>12}   {verdict}", sys::seconds(*took));
    }
    println!("  {:<12} {:>12}", "total", sys::seconds(start.elapsed()));
    let failed: Vec<&str> =
        done.iter().filter(|(_, _, result)| result.is_err()).map(|(name, ..)| *name).collect();
    if failed.is_empty() { Ok(()) } else { bail!("failed: {}", failed.join(", ")) }
}

fn cargo(title: &str, args: &[&str]) -> Result<()> {
    sys::run(title, sys::cargo().args(args)).map(drop)
}

fn docs() -> Result<()> {
    let mut doc = sys::cargo();
    doc.env("RUSTDOCFLAGS", "-D warnings");
    doc.args(["doc", "--no-deps", "--workspace", "--exclude", "ha-ebpf"]);
    sys::run("Documentation", &mut doc).map(drop)
}

/// Lints on the kernel's target.
fn ebpf_lints() -> Result<()> {
    let title = "Lints of the eBPF program";
    if setup::way() == Way::Debian {
        println!("note: {title}: left out, the pinned toolchain has no rust-src here");
        return Ok(());
    }
    let mut clippy = sys::cargo();
    clippy.env("RUSTC_BOOTSTRAP", "1").env("RUSTFLAGS", EBPF_FLAGS).env_remove("CARGO_ENCODED_RUSTFLAGS");
    // A directory of its own: RUSTC_BOOTSTRAP makes the build scripts of many crates run again, and then
    // everything is built anew, here and in the next ordinary build.
    let target_dir = sys::target_dir()?.join("ebpf");
    clippy.args(["clippy", "--package", "ha-ebpf", "--target-dir"]).arg(target_dir).args(BPF);
    sys::run(title, clippy.args(["--", "-D", "warnings"])).map(drop)
}

/// The flags that the build script of ha-userspace gives (through aya-build), so that lints see the same
/// code. The architecture is that of the kernel's `pt_regs`, of which an XDP program uses nothing.
const EBPF_FLAGS: &str = "--cfg=bpf_target_arch=\"x86_64\" -Cdebuginfo=2 -Clink-arg=--btf";

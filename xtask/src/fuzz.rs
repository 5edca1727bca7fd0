//! The fuzz targets: a workspace of their own, guided by coverage, without cargo-fuzz and on the pinned toolchain.
//!
//! What cargo-fuzz adds is the instrumentation flags, and those that guide libFuzzer are stable; only the address
//! sanitizer is not, and safe Rust gains little from it. Called by `cargo xtask ci`, which gives each target a few seconds.

use std::path::PathBuf;

use anyhow::{Result, bail};

use crate::sys;

const MANIFEST: [&str; 2] = ["--manifest-path", "fuzz/Cargo.toml"];
/// With a target of its own, build scripts are not instrumented.
const TARGET: &str = "x86_64-unknown-linux-gnu";
const FLAGS: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 --cfg fuzzing";

/// Targets, the seconds that each gets, and where it starts from.
const TARGETS: [(&str, u32, Option<&str>); 5] = [
    ("config", 8, Some("ha-userspace/tests/config")),
    ("frame", 3, None),
    ("pdu", 3, None),
    ("probe", 2, None),
    ("control", 2, None),
];

/// Arguments of `cargo xtask fuzz`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only this target
    target: Option<String>,
    /// Seconds for each target; a few by default, as in `ci`
    #[arg(long)]
    seconds: Option<u32>,
}

/// `cargo xtask fuzz`.
///
/// # Errors
/// As [`run`].
pub(crate) fn main(args: &Args) -> Result<()> {
    let chosen = |name: &str| args.target.as_ref().is_none_or(|target| target == name);
    if !TARGETS.iter().any(|(name, ..)| chosen(name)) {
        let names: Vec<&str> = TARGETS.iter().map(|(name, ..)| *name).collect();
        bail!("there is no such fuzz target; choose one of {}", names.join(", "));
    }
    each(&chosen, args.seconds)
}

/// Formatting and lints. Without libFuzzer, which is C++, the targets compile fast.
///
/// # Errors
/// When one of them fails.
pub(crate) fn lints() -> Result<()> {
    sys::run("Formatting of the fuzz targets", sys::cargo().arg("fmt").args(MANIFEST).arg("--check"))?;
    let mut clippy = sys::cargo();
    clippy.arg("clippy").args(MANIFEST).args(["--no-default-features", "--", "-D", "warnings"]);
    sys::run("Lints of the fuzz targets", &mut clippy).map(drop)
}

/// Builds the targets and runs each for its seconds. Inputs that found something new stay in fuzz/corpus, those that
/// broke something in fuzz/artifacts.
///
/// # Errors
/// When a target does not build, or finds an input that breaks what it asserts or takes more than five seconds.
pub(crate) fn run() -> Result<()> {
    each(&|_| true, None)
}

fn each(chosen: &dyn Fn(&str) -> bool, wanted: Option<u32>) -> Result<()> {
    if !cfg!(target_arch = "x86_64") || ["c++", "g++", "clang++"].iter().all(|name| sys::find(name).is_none())
    {
        println!("note: fuzzing is left out, libFuzzer needs a C++ compiler on x86-64");
        return Ok(());
    }
    let directory = sys::target_dir()?.join("fuzz");
    let mut build = sys::cargo();
    build.env("RUSTFLAGS", FLAGS).env_remove("CARGO_ENCODED_RUSTFLAGS");
    build.arg("build").args(MANIFEST).args(["--target", TARGET, "--quiet", "--target-dir"]).arg(&directory);
    sys::run("The fuzz targets", &mut build)?;
    let root = sys::workspace_root();
    let mut failed = Vec::new();
    for (name, usual, seeds) in TARGETS.into_iter().filter(|(name, ..)| chosen(name)) {
        let seconds = wanted.unwrap_or(usual);
        let place = |kind: &str| -> Result<PathBuf> {
            let path = root.join("fuzz").join(kind).join(name);
            std::fs::create_dir_all(&path)?;
            Ok(path)
        };
        let (corpus, artifacts) = (place("corpus")?, place("artifacts")?);
        let mut target = sys::tool(directory.join(TARGET).join("debug").join(name));
        target.arg(format!("-max_total_time={seconds}"));
        target.args([
            "-timeout=5",
            "-rss_limit_mb=2048",
            "-max_len=8192",
            "-verbosity=0",
            "-print_final_stats=1",
        ]);
        target.arg(format!("-artifact_prefix={}/", artifacts.display())).arg(corpus);
        target.args(seeds.map(|seeds| root.join(seeds)));
        if let Err(error) = sys::run(&format!("Fuzzing {name} for {seconds} s"), &mut target) {
            println!("    {error:#}");
            failed.push(name);
        }
    }
    if failed.is_empty() {
        return Ok(());
    }
    bail!("{} failed; fuzz/artifacts has the inputs", failed.join(", "))
}

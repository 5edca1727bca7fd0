//! The fuzz targets: guided by coverage, without cargo-fuzz and on the pinned toolchain.
//!
//! What cargo-fuzz adds is the instrumentation flags, and those that guide libFuzzer are stable; only the address
//! sanitizer is not, and safe Rust gains little from it. Called by `cargo xtask ci`, which gives each target a few seconds.

use std::path::PathBuf;

use anyhow::{Result, bail};

use crate::sys;

/// The package, with libFuzzer, in the profile that the root manifest has for it.
const BUILD: [&str; 8] =
    ["--package", "ha-fuzz", "--features", "link", "--profile", "fuzz", "--quiet", "--bins"];
/// With a target of its own, build scripts are not instrumented.
const TARGET: &str = "x86_64-unknown-linux-gnu";
const FLAGS: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing";

/// Where the targets are: each file is one.
const TARGETS: &str = "fuzz/fuzz_targets";
/// Seconds for the configuration, whose language is large, and for each of the others.
const SECONDS: (u32, u32) = (8, 2);
/// What the configuration starts from.
const CORPUS: &str = "ha-userspace/tests/config";

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
    let mut names = targets()?;
    if let Some(wanted) = &args.target {
        if !names.contains(wanted) {
            bail!("there is no fuzz target `{wanted}`; choose one of {}", names.join(", "));
        }
        names.retain(|name| name == wanted);
    }
    each(&names, args.seconds)
}

/// The names of all targets, in order.
fn targets() -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(sys::workspace_root().join(TARGETS))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            names.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
        }
    }
    names.sort();
    Ok(names)
}

/// Builds the targets and runs each for its seconds. Inputs that found something new stay in fuzz/corpus, those that
/// broke something in fuzz/artifacts.
///
/// # Errors
/// When a target does not build, or finds an input that breaks what it asserts or takes more than five seconds.
pub(crate) fn run() -> Result<()> {
    each(&targets()?, None)
}

fn each(names: &[String], wanted: Option<u32>) -> Result<()> {
    if !cfg!(target_arch = "x86_64") || ["c++", "g++", "clang++"].iter().all(|name| sys::find(name).is_none())
    {
        println!("note: fuzzing is left out, libFuzzer needs a C++ compiler on x86-64");
        return Ok(());
    }
    let directory = sys::target_dir()?.join("fuzz");
    let mut build = sys::cargo();
    build.env("RUSTFLAGS", FLAGS).env_remove("CARGO_ENCODED_RUSTFLAGS");
    build.arg("build").args(BUILD).args(["--target", TARGET, "--target-dir"]).arg(&directory);
    sys::run("The fuzz targets", &mut build)?;
    let root = sys::workspace_root();
    let mut failed = Vec::new();
    for name in names {
        let config = name == "config";
        let seconds = wanted.unwrap_or(if config { SECONDS.0 } else { SECONDS.1 });
        let place = |kind: &str| -> Result<PathBuf> {
            let path = root.join("fuzz").join(kind).join(name);
            std::fs::create_dir_all(&path)?;
            Ok(path)
        };
        let (corpus, artifacts) = (place("corpus")?, place("artifacts")?);
        let mut target = sys::tool(directory.join(TARGET).join("fuzz").join(name));
        target.arg(format!("-max_total_time={seconds}"));
        target.args([
            "-timeout=5",
            "-rss_limit_mb=2048",
            "-max_len=8192",
            "-verbosity=0",
            "-print_final_stats=1",
        ]);
        target.arg(format!("-artifact_prefix={}/", artifacts.display())).arg(corpus);
        target.args(config.then(|| root.join(CORPUS)));
        if let Err(error) = sys::run(&format!("Fuzzing {name} for {seconds} s"), &mut target) {
            println!("    {error:#}");
            failed.push(name.as_str());
        }
    }
    if failed.is_empty() {
        return Ok(());
    }
    bail!("{} failed; fuzz/artifacts has the inputs", failed.join(", "))
}

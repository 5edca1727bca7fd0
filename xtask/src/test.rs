//! `cargo xtask test`: every test there is, one summary.
//!
//! A failing step does not keep the later ones from running; the exit status and the last line speak for
//! all of them. Whether a single test can run here (root, kernel features) is for that test to say: it then
//! counts as skipped.

mod leftovers;
mod tally;

use std::{
    env,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use crate::{
    setup::{self, Need},
    sys,
};
use leftovers::Leftovers;
use tally::{Counts, Failures, Line, read_line, shortened};

/// Arguments of `cargo xtask test`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only what needs no lab: unit, property and simulation tests, the latter with fewer seeds
    #[arg(long)]
    quick: bool,
    /// So many runs one after the other, and a line for each at the end
    #[arg(long, value_name = "RUNS", default_value_t = 1)]
    repeat: u32,
    /// Only tests whose name contains this
    filter: Option<String>,
}

impl Default for Args {
    fn default() -> Self {
        Self { quick: false, repeat: 1, filter: None }
    }
}

/// One step, as the summary shows it.
#[derive(Default)]
struct Step {
    name: &'static str,
    took: Duration,
    counts: Counts,
    failures: Failures,
    /// The slowest tests, where the test program tells: how long, and which.
    slowest: Vec<String>,
    /// Attempts that were repeated because the machine stood still meanwhile.
    void: u32,
    /// What failed and was judged by another attempt: where, which, and why.
    judged_again: Vec<String>,
    /// What went wrong besides failed tests: a build error, a crash.
    broken: Option<String>,
}

/// Runs the tests and prints the summary.
///
/// # Errors
/// When anything failed; the summary has been printed by then.
pub(crate) fn main(args: &Args) -> Result<()> {
    prepare(args)?;
    let mut runs = Vec::new();
    for _ in 0..args.repeat {
        runs.push(run(args)?);
    }
    if args.repeat > 1 {
        println!();
    }
    let failed = runs.iter().map(|(counts, _)| counts.failed).sum::<u64>();
    for (number, (counts, took)) in (1..).zip(runs) {
        if args.repeat > 1 {
            print!("run {number}: {}: ", sys::seconds(took));
        }
        println!("{counts}");
    }
    if failed > 0 { bail!("{failed} failed") } else { Ok(()) }
}

/// One run: what came out, and how long it took.
fn run(args: &Args) -> Result<(Counts, Duration)> {
    // Before anything runs, so that what tests take is told without it.
    let mut steps = vec![build(args)];
    steps.push(tests("unit tests", args, &UNIT, None));
    steps.push(tests("simulation", args, &["--package", "ha-tests", "--lib"], None));
    if !args.quick {
        end_to_end(args, &mut steps)?;
    }
    let took = steps.iter().skip(1).map(|step| step.took).sum();
    Ok((summary(&steps), took))
}

/// The packages with unit, property and kernel tests.
const UNIT: [&str; 7] =
    ["--workspace", "--exclude", "ha-ebpf", "--exclude", "ha-fuzz", "--exclude", "ha-tests"];

/// All test programs, and the release daemon that the end-to-end tests run. A package that does not compile is told
/// here; its step tells it again.
fn build(args: &Args) -> Step {
    let start = Instant::now();
    let mut daemon = sys::cargo();
    daemon.args(["build", "--release", "--package", "ha-userspace"]);
    let mut programs = sys::cargo();
    programs.args(["test", "--no-run"]).args(UNIT);
    let mut cluster = sys::cargo();
    cluster.args(["test", "--no-run", "--package", "ha-tests"]);
    let mut broken = None;
    let wanted = [
        ("the daemon (release)", !args.quick, daemon),
        ("the tests", true, programs),
        ("the lab and its tests", true, cluster),
    ];
    for (what, wanted, mut command) in wanted {
        if wanted && let Err(error) = sys::run(&format!("Building {what}"), &mut command) {
            broken.get_or_insert(format!("{error:#}"));
        }
    }
    Step { name: BUILD, took: start.elapsed(), broken, ..Step::default() }
}

const BUILD: &str = "build";

fn prepare(args: &Args) -> Result<()> {
    if args.quick {
        return setup::ensure(Need::Build);
    }
    setup::ensure(Need::Build)?;
    // Without other daemons and tools there still is much to test, but a CI run must not lose them quietly.
    if let Err(error) = setup::ensure(Need::Test) {
        if env::var_os("CI").is_some() {
            return Err(error);
        }
        println!("note: {error:#}\nnote: tests that need these programs will count as skipped");
    }
    if !sys::is_root() {
        println!(
            "note: tests in network namespaces need root and will count as skipped; for all of them run\n    \
             sudo -E env \"PATH=$PATH\" cargo xtask test"
        );
    }
    Ok(())
}

/// The tests that run the release daemon.
fn end_to_end(args: &Args, steps: &mut Vec<Step>) -> Result<()> {
    if !has_end_to_end()? {
        return Ok(());
    }
    let name = "end to end";
    let daemon = sys::target_dir()?.join("release/xvrrp");
    if steps.iter().any(|step| step.name == BUILD && step.broken.is_some()) {
        let broken = Some("not run: the build failed".to_owned());
        steps.push(Step { name, broken, ..Step::default() });
        return Ok(());
    }
    let before = Leftovers::now();
    let mut step = tests(name, args, &["--package", "ha-tests", "--test", "*"], Some(&daemon));
    if let Some(new) = Leftovers::now().since(&before) {
        println!("note: left behind, or started by somebody else meanwhile: {new}");
        // On a developer's machine it may well be somebody else's; in CI there is nobody else.
        if env::var_os("CI").is_some() {
            step.broken.get_or_insert(format!("left behind: {new}"));
        }
    }
    steps.push(step);
    Ok(())
}

/// Whether the package ha-tests has test targets besides its library.
fn has_end_to_end() -> Result<bool> {
    let mut metadata = sys::cargo();
    metadata.args(["metadata", "--format-version", "1", "--no-deps", "--offline"]);
    let json: serde_json::Value = serde_json::from_str(&sys::output(&mut metadata)?)?;
    let mut packages = json["packages"].as_array().into_iter().flatten();
    let package = packages.find(|package| package["name"] == "ha-tests").context("no package ha-tests")?;
    let mut targets = package["targets"].as_array().into_iter().flatten();
    Ok(targets.any(|target| target["kind"][0] == "test"))
}

/// Runs `cargo test` with these arguments, counting while its output goes by.
fn tests(name: &'static str, args: &Args, cargo_args: &[&str], daemon: Option<&Path>) -> Step {
    let mut command = sys::cargo();
    if let Some(daemon) = daemon {
        command.env("XVRRP_BIN", daemon);
    }
    if args.quick {
        command.env("XVRRP_TEST_QUICK", "1");
    }
    command.args(["test", "--no-fail-fast"]).args(cargo_args).args(&args.filter);
    if sys::on_terminal() {
        command.args(["--", "--color=always"]);
    }
    sys::announce(&format!("Running: {name}"), &sys::show(&command));
    let start = Instant::now();
    let mut step = Step { name, ..Step::default() };
    let end = stream(&mut command, |line| {
        let read = read_line(line);
        step.failures.read(&read);
        match read {
            Line::Result(more) => step.counts += more,
            Line::Took(test) => step.slowest.push(test),
            Line::Void => step.void += 1,
            Line::JudgedAgain(told) => step.judged_again.push(shortened(&told)),
            _ => {}
        }
    });
    step.took = start.elapsed();
    step.broken = match end {
        Err(error) => Some(format!("{error:#}")),
        // A build error, or a test that took its whole program down: nothing counted it.
        Ok(status) if !status.success() && step.counts.failed == 0 => {
            Some(format!("cargo ended with {status} without a failed test; see above"))
        }
        Ok(_) => None,
    };
    step
}

/// Runs a command, passing its standard output on line by line and to `each`.
fn stream(command: &mut Command, mut each: impl FnMut(&str)) -> Result<std::process::ExitStatus> {
    let mut child = command.stdout(Stdio::piped()).spawn().context("cannot start cargo")?;
    let mut reader = BufReader::new(child.stdout.take().context("no pipe")?);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line)? > 0 {
        let mut out = std::io::stdout().lock();
        out.write_all(&line)?;
        out.flush()?;
        each(String::from_utf8_lossy(&line).trim_end());
        line.clear();
    }
    Ok(child.wait()?)
}

/// Prints a line for each step and returns the sum; what is broken counts as a failure. Failures and their causes come
/// last: the end of the output is all that some see of it.
fn summary(steps: &[Step]) -> Counts {
    if steps.iter().any(|step| !step.slowest.is_empty()) {
        println!("\nSlowest tests");
    }
    for test in steps.iter().flat_map(|step| &step.slowest) {
        println!("  {test}");
    }
    println!("\nSummary");
    let mut total = Counts::default();
    for step in steps {
        let counted = step.counts != Counts::default();
        let text = match (&step.broken, counted) {
            (None, false) if step.name == BUILD => "built".to_owned(),
            (None, _) => step.counts.to_string(),
            (Some(why), false) => why.clone(),
            (Some(why), true) => format!("{}; {why}", step.counts),
        };
        let void = if step.void > 0 { format!("; {} attempts void", step.void) } else { String::new() };
        let again = match step.judged_again.len() {
            0 => String::new(),
            count => format!("; {count} judged by another run, see below"),
        };
        println!("  {:<12} {:>12}   {text}{void}{again}", step.name, sys::seconds(step.took));
        total += step.counts;
        total.failed += u64::from(step.broken.is_some());
    }
    let took = steps.iter().map(|step| step.took).sum();
    println!("  {:<12} {:>12}\n", "total", sys::seconds(took));
    for told in steps.iter().flat_map(|step| &step.judged_again) {
        println!("failed {told}");
    }
    for step in steps {
        print!("{}", step.failures);
    }
    total
}

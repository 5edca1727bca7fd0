//! `xvrrp status`: what it all amounts to, and the state of every virtual router, for people, for monitoring and as JSON.

mod brief;
mod page;
mod select;
mod watch;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use super::json::Unknown;
use super::output::print;
use super::{DEFAULT_BPFFS, terminal};
use crate::control::DEFAULT_RUN_DIR;
use crate::control::client;
use crate::control::protocol::{Request, Response, Severity, Status, Verdict};
use crate::findings;
use crate::xdp;
pub(super) use page::table;

/// Options of `xvrrp status`.
#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = "Exit code, as monitoring plugins have it: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN (no daemon \
    answers, or it is frozen). docs/status.md says what each finding means and what to do."
)]
pub struct Args {
    /// Instances to show; all where none is named.
    #[arg(value_name = "INSTANCE")]
    pub instances: Vec<String>,
    /// Run directory of the daemon.
    #[arg(long, value_name = "DIR", default_value = DEFAULT_RUN_DIR)]
    pub run_dir: PathBuf,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    /// BPF file system with what a daemon that is gone has left.
    #[arg(long, value_name = "DIR", default_value = DEFAULT_BPFFS)]
    pub bpffs: PathBuf,
    /// One line for each instance.
    #[arg(long, conflicts_with = "json")]
    pub brief: bool,
    /// Show it again every so many seconds, until Ctrl-C.
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "2", value_parser = seconds)]
    pub watch: Option<Duration>,
    /// How long the daemon may take to answer; then it is frozen.
    #[arg(long, value_name = "SECONDS", default_value = "2", value_parser = seconds)]
    pub timeout: Duration,
}

/// Seconds with a fraction, more than none and less than a day.
pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    let number = text.parse::<f64>().ok().filter(|number| *number >= 0.01 && *number <= 86_400.0);
    number.map(Duration::from_secs_f64).ok_or_else(|| "seconds from 0.01 to 86400 are wanted".to_owned())
}

/// Prints the state. The exit code is that of a monitoring plugin.
#[must_use]
pub fn run(args: &Args) -> ExitCode {
    match args.watch {
        Some(pause) => watch::run(args, pause),
        None => once(args).1,
    }
}

/// Asks and prints; whether the text could be printed, and the exit code.
fn once(args: &Args) -> (bool, ExitCode) {
    let (text, severity) = match look(&args.run_dir, args.timeout, &args.instances) {
        Ok(status) => {
            let severity = status.verdict.as_ref().map_or(Severity::Unknown, |verdict| verdict.severity);
            (shown(&status, args), severity)
        }
        Err(verdict) => (without_status(&verdict, args), Severity::Unknown),
    };
    let printed = print(&text) == ExitCode::SUCCESS;
    (printed, ExitCode::from(severity.exit_code()))
}

fn shown(status: &Status, args: &Args) -> String {
    if args.json {
        return json(status);
    }
    if args.brief {
        return brief::render(status);
    }
    let first = status.verdict.as_ref().map_or_else(String::new, summary);
    first + "\n" + &page::render(status)
}

/// The line that sums it up, and what to do; then the other findings.
fn summary(verdict: &Verdict) -> String {
    let mut out = String::new();
    for (at, finding) in verdict.findings.iter().enumerate() {
        let line = if at == 0 { verdict.line.clone() } else { findings::sentence(finding) };
        out += &format!("{}\n", terminal::severity(&line, finding.severity));
        out += &format!("  {} [{}]\n", finding.advice, finding.code);
    }
    if out.is_empty() {
        out = terminal::severity(&verdict.line, verdict.severity) + "\n";
    }
    out
}

/// There is no daemon to ask; what it has left in the kernel may say something.
fn without_status(verdict: &Verdict, args: &Args) -> String {
    let left: Vec<String> =
        xdp::left(&args.bpffs, crate::net::clock::now()).iter().map(ToString::to_string).collect();
    if args.json {
        return json(&Unknown::new(None, verdict.clone()).leaving(left));
    }
    let lines = left.iter().map(|line| format!("  {line}\n"));
    std::iter::once(terminal::severity(&verdict.line, verdict.severity) + "\n").chain(lines).collect()
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string_pretty(value).map_or_else(|error| format!("{error}\n"), |text| text + "\n")
}

/// The status of the named instances with its verdict; else the verdict that says why there is none.
pub(super) fn look(run_dir: &Path, timeout: Duration, instances: &[String]) -> Result<Status, Verdict> {
    let unknown = |code: &str, why: &str| findings::without_status(code, why);
    let mut status = match client::request_within(run_dir, Request::Status, timeout) {
        Ok(Response::Status(status)) => *status,
        Ok(Response::Error(failure)) => return Err(unknown("no_answer", &failure.message)),
        Ok(_) => return Err(unknown("no_answer", "the daemon answered another question")),
        Err(error) => return Err(unknown(error.code(), &error.to_string())),
    };
    select::only(&mut status, instances).map_err(|why| unknown("no_such_instance", &why))?;
    status.verdict = Some(findings::verdict(&status));
    Ok(status)
}

#[cfg(test)]
mod tests;

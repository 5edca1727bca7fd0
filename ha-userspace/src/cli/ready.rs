//! `xvrrp ready`: would a takeover succeed now?

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use super::json::{Unknown, Versioned};
use super::output::{print, print_json};
use super::status::{look, seconds};
use crate::control::DEFAULT_RUN_DIR;
use crate::findings::age;
use crate::findings::ready::{InstanceReady, Ready, ready};

/// Readiness, and when it was asked for.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
pub(super) struct At<'a> {
    /// By the clock of the host: RFC 3339.
    at: &'a str,
    #[serde(flatten)]
    ready: &'a Ready,
}

impl<'a> At<'a> {
    pub(super) const fn new(at: &'a str, ready: &'a Ready) -> Self {
        Self { at, ready }
    }
}

/// Options of `xvrrp ready`.
#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = "Exit code: 0 ready, 1 not ready, 3 unknown (no daemon answers, or nobody here could know)."
)]
pub struct Args {
    /// Instances to look at; all where none is named.
    #[arg(value_name = "INSTANCE")]
    pub instances: Vec<String>,
    /// Run directory of the daemon.
    #[arg(long, value_name = "DIR", default_value = DEFAULT_RUN_DIR)]
    pub run_dir: PathBuf,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    /// How long the daemon may take to answer; then it is frozen.
    #[arg(long, value_name = "SECONDS", default_value = "2", value_parser = seconds)]
    pub timeout: Duration,
}

/// Prints who would take over, or whether this host could.
#[must_use]
pub fn run(args: &Args) -> ExitCode {
    let status = match look(&args.run_dir, args.timeout, &args.instances) {
        Ok(status) => status,
        Err(verdict) => {
            if args.json {
                print_json(&Unknown::new(Some("unknown"), verdict));
            } else {
                print(&format!("{}\n", verdict.line));
            }
            return ExitCode::from(3);
        }
    };
    let found = ready(&status);
    if args.json {
        print_json(&Versioned::new(At::new(&status.at, &found)));
    } else {
        print(&found.instances.iter().map(text).collect::<String>());
    }
    ExitCode::from(found.exit_code())
}

/// `VI_1: MASTER here, 172.16.1.2 would take over within 4.0 ms`, and below it what else there is to know.
fn text(instance: &InstanceReady) -> String {
    let mut out = format!("{}: {} here, ", instance.name, instance.role);
    let within = match (instance.within_ms, instance.by.as_deref()) {
        (Some(ms), Some("probes")) => format!("within {ms:.1} ms"),
        (Some(ms), _) => format!("after {} without an advert", age(ms)),
        (None, _) => String::new(),
    };
    match (instance.state.as_str(), instance.successor.as_deref()) {
        ("ready", Some(successor)) => {
            let _ = writeln!(out, "{successor} would take over {within}");
        }
        ("not_ready", _) if instance.role == "MASTER" => {
            let since = match (&instance.since, instance.since_ms) {
                #[expect(clippy::cast_precision_loss, reason = "an age")]
                (Some(since), Some(ms)) => format!(" since {since} ({} ago)", age(ms as f64)),
                _ => String::new(),
            };
            let _ = writeln!(out, "NOBODY would take over{since}");
        }
        ("not_ready", _) => out.push_str("this host could NOT take over\n"),
        _ => out.push_str("who would take over is unknown\n"),
    }
    for line in instance.obstacles.iter().chain(&instance.notes) {
        let _ = writeln!(out, "  {line}");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_says_who_and_when() {
        let master = InstanceReady { name: "VI_1".into(), role: "MASTER".into(), ..InstanceReady::default() };
        let ready = InstanceReady {
            state: "ready".into(),
            successor: Some("172.16.1.2".into()),
            within_ms: Some(4.04),
            by: Some("probes".into()),
            ..master.clone()
        };
        assert_eq!(text(&ready), "VI_1: MASTER here, 172.16.1.2 would take over within 4.0 ms\n");
        let nobody = InstanceReady {
            state: "not_ready".into(),
            since: Some("2026-11-24T03:12:00.000+01:00".into()),
            since_ms: Some(125_000),
            obstacles: vec!["nobody probes this host to take over".into()],
            ..master.clone()
        };
        assert_eq!(
            text(&nobody),
            "VI_1: MASTER here, NOBODY would take over since 2026-11-24T03:12:00.000+01:00 (2m05s ago)\n  \
             nobody probes this host to take over\n"
        );
        let backup = InstanceReady {
            role: "BACKUP".into(),
            successor: Some("this host".into()),
            within_ms: Some(3_610.0),
            by: Some("rfc".into()),
            ..ready.clone()
        };
        assert_eq!(
            text(&backup),
            "VI_1: BACKUP here, this host would take over after 3.6 s without an advert\n"
        );
        let unable = InstanceReady {
            role: "FAULT".into(),
            state: "not_ready".into(),
            obstacles: vec!["interface eth0 is down".into()],
            ..master.clone()
        };
        assert_eq!(
            text(&unable),
            "VI_1: FAULT here, this host could NOT take over\n  interface eth0 is down\n"
        );
        let silent = InstanceReady { state: "unknown".into(), ..master };
        assert_eq!(text(&silent), "VI_1: MASTER here, who would take over is unknown\n");
    }
}

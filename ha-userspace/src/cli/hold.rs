//! `xvrrp resign`, `prefer`, `freeze` and `release`: holding instances for the time of some work.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use super::ask::{ask, unexpected};
use super::json::{Form, Versioned};
use super::output::{print, print_json};
use crate::control::protocol::{Held, HoldRequest, Request, Response, Status};
use crate::control::{DEFAULT_RUN_DIR, client};

/// How long a role is waited for: the longest of three adverts of a second, and the skew.
const PATIENCE: Duration = Duration::from_secs(6);

/// Which instances.
#[derive(Clone, Debug, clap::Args)]
pub struct Which {
    /// Instances; with a member of a sync group come all of its members.
    #[arg(required_unless_present = "all", value_name = "INSTANCE")]
    instances: Vec<String>,
    /// All of them.
    #[arg(long, conflicts_with = "instances")]
    all: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Run directory of the daemon.
    #[arg(long, value_name = "DIR", default_value = DEFAULT_RUN_DIR)]
    run_dir: PathBuf,
}

/// For how long.
#[derive(Clone, Debug, clap::Args)]
pub struct Length {
    /// For how long, at most 30 days: 30m, 2h, 1day.
    #[arg(long = "for", value_name = "TIME", default_value = "1h", value_parser = length)]
    length: Duration,
}

fn length(text: &str) -> Result<Duration, String> {
    let length = humantime::parse_duration(text).map_err(|_| "write 30m, 2h or 1day".to_owned())?;
    let allowed = Duration::from_secs(1)..=Duration::from_secs(30 * 24 * 3600);
    if allowed.contains(&length) { Ok(length) } else { Err("from 1s to 30days".to_owned()) }
}

/// Options of `xvrrp resign`.
#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = "The instance has priority 1 for that time, so that any other router takes over; where there is\n\
    none, it stays master. Exit code 1 where nobody has taken over within 6 s."
)]
pub struct ResignArgs {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    length: Length,
    /// Let go of the addresses even if nobody takes over: for backups with nopreempt.
    #[arg(long)]
    force: bool,
}

/// Options of `xvrrp prefer` and `xvrrp freeze`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    length: Length,
}

/// Options of `xvrrp release`.
#[derive(Clone, Debug, clap::Args)]
pub struct ReleaseArgs {
    #[command(flatten)]
    which: Which,
}

/// Gives roles away.
#[must_use]
pub fn resign(args: &ResignArgs) -> ExitCode {
    hold(&args.which, Some("resigned"), args.length.length, args.force, Some("MASTER"))
}

/// Takes roles.
#[must_use]
pub fn prefer(args: &Args) -> ExitCode {
    hold(&args.which, Some("preferred"), args.length.length, false, Some("BACKUP"))
}

/// Keeps roles where they are.
#[must_use]
pub fn freeze(args: &Args) -> ExitCode {
    hold(&args.which, Some("frozen"), args.length.length, false, None)
}

/// Lets instances go.
#[must_use]
pub fn release(args: &ReleaseArgs) -> ExitCode {
    hold(&args.which, None, Duration::ZERO, false, None)
}

/// Asks for a hold and, where it is to end a state, waits for that.
fn hold(which: &Which, kind: Option<&str>, length: Duration, force: bool, ends: Option<&str>) -> ExitCode {
    let request = HoldRequest {
        instances: which.instances.clone(),
        kind: kind.map(str::to_owned),
        seconds: length.as_secs().max(u64::from(kind.is_some())),
        force,
    };
    let form = Form::of(which.json);
    let held = match ask(&which.run_dir, Request::Hold(request), form) {
        Ok(Response::Held(held)) => held,
        Ok(other) => return unexpected(other, form),
        Err(code) => return code,
    };
    let after = ends.and_then(|state| wait(which, &held, state));
    let stuck =
        held.instances.iter().any(|one| !one.refused.is_empty() || is_stuck(one, ends, after.as_ref()));
    let printed = if which.json {
        print_json(&Versioned::new(&held))
    } else {
        print(&render(&held, kind, ends, after.as_ref()))
    };
    if stuck { ExitCode::FAILURE } else { printed }
}

/// Waits until no instance that was held is in that state any more, and returns what is known then.
fn wait(which: &Which, held: &Held, state: &str) -> Option<Status> {
    let until = Instant::now() + PATIENCE;
    loop {
        let Ok(Response::Status(status)) = client::request(&which.run_dir, Request::Status) else {
            return None;
        };
        let still = held
            .instances
            .iter()
            .any(|one| one.refused.is_empty() && state_of(&status, &one.name) == Some(state));
        if !still || Instant::now() > until {
            return Some(*status);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn state_of<'a>(status: &'a Status, name: &str) -> Option<&'a str> {
    status.instances.iter().find(|instance| instance.name == name).map(|instance| instance.state.as_str())
}

fn is_stuck(
    one: &crate::control::protocol::HeldInstance,
    ends: Option<&str>,
    after: Option<&Status>,
) -> bool {
    let now = after.and_then(|status| state_of(status, &one.name));
    ends.is_some() && now == ends
}

fn render(held: &Held, kind: Option<&str>, ends: Option<&str>, after: Option<&Status>) -> String {
    let mut out = String::new();
    for one in &held.instances {
        let name = &one.name;
        let instance =
            after.and_then(|status| status.instances.iter().find(|instance| instance.name == *name));
        let master =
            instance.and_then(|instance| instance.master.as_ref()).map(|master| master.address.as_str());
        let state = instance.map_or(one.state.as_str(), |instance| instance.state.as_str());
        let text = if !one.refused.is_empty() {
            format!("not done: {}", one.refused)
        } else {
            match (kind, is_stuck(one, ends, after)) {
                (None, _) => "held no longer".to_owned(),
                (Some("resigned"), true) => {
                    "resigned, but nobody takes over: it is still MASTER; does a standby run, and may it preempt? \
                     (--force lets go all the same)"
                        .to_owned()
                }
                (Some("preferred"), true) => {
                    "preferred, but still BACKUP; does nopreempt keep it?".to_owned()
                }
                (Some("resigned"), false) if one.state == "MASTER" => {
                    format!("resigned; the master is {}", master.unwrap_or("another router"))
                }
                (Some(word), _) => format!("{word}; it is {state}"),
            }
        };
        out.push_str(&format!("{name}: {text}\n"));
    }
    out
}

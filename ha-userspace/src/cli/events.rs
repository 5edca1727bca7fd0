//! `xvrrp events`: what happened, from the flight recorder's files. Needs no daemon.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::json::Form;
use super::output::{json_line, print};
use crate::control::DEFAULT_RUN_DIR;
use crate::events::{self, Event, Found, Tail, when};
use crate::words::printable;

/// Where the files are.
#[derive(Clone, Debug, clap::Args)]
pub struct Place {
    /// Run directory of the daemon.
    #[arg(long, value_name = "DIR", default_value = DEFAULT_RUN_DIR)]
    run_dir: PathBuf,
    /// Directory with the files [default: /var/lib/xvrrp, or the run directory where that is given].
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
}

impl Place {
    /// The directory.
    pub(super) fn directory(&self) -> PathBuf {
        self.state_dir.clone().unwrap_or_else(|| events::state_dir(&self.run_dir))
    }

    /// The run directory of the daemon.
    pub(super) fn run_dir(&self) -> &Path {
        &self.run_dir
    }

    /// Reads them; tells the user what went wrong.
    pub(super) fn read(&self, form: Form) -> Result<Found, ExitCode> {
        let directory = self.directory();
        events::read(&directory).map_err(|error| {
            let hint = match error.kind() {
                std::io::ErrorKind::NotFound => {
                    "; has a daemon run here? its --run-dir or --state-dir is wanted here too"
                }
                std::io::ErrorKind::PermissionDenied => "; root may read it",
                _ => "",
            };
            let text = format!("{}: {error}{hint}", directory.join(events::FILE).display());
            form.fail("no_files", &text, 1)
        })
    }
}

/// Options of `xvrrp events`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Exit code 1 where there are no files.")]
pub struct Args {
    #[command(flatten)]
    place: Place,
    /// Only what came since: 30m, 1h or 2days ago, 03:12, or 2026-11-24 03:12 (local time).
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Only what came until then.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Only what concerns this instance.
    #[arg(long, value_name = "NAME")]
    instance: Option<String>,
    /// Only events of this kind (docs/events.md); may be given several times.
    #[arg(long = "kind", value_name = "KIND")]
    kinds: Vec<String>,
    /// Print the events as they are in the file: one JSON object per line.
    #[arg(long)]
    json: bool,
    /// Go on with what comes, until Ctrl-C.
    #[arg(short, long)]
    follow: bool,
}

/// Prints events.
#[must_use]
pub fn run(args: &Args) -> ExitCode {
    let now = SystemTime::now();
    let bounds =
        [&args.since, &args.until].map(|text| text.as_deref().map(|text| when::past(text, now)).transpose());
    let [since, until] = match bounds {
        [Ok(since), Ok(until)] => [since, until].map(|at| at.map(micros)),
        [Err(error), _] | [_, Err(error)] => {
            eprintln!("xvrrp: {error}");
            return ExitCode::from(2);
        }
    };
    let mut tail = args.follow.then(|| Tail::from_end(&args.place.directory()));
    let found = match args.place.read(Form::of(args.json)) {
        Ok(found) => found,
        // The daemon may be about to start.
        Err(_) if args.follow => Found::default(),
        Err(code) => return code,
    };
    let within = |event: &&Event| {
        since.is_none_or(|since| event.unix_us >= since)
            && until.is_none_or(|until| event.unix_us <= until)
            && args.instance.as_ref().is_none_or(|name| event.instance.as_ref() == Some(name))
            && (args.kinds.is_empty() || args.kinds.contains(&event.kind))
    };
    if found.broken > 0 {
        eprintln!("xvrrp: {} lines are no events and are left out", found.broken);
    }
    if show(found.events.iter().filter(within), args.json).is_err() {
        return ExitCode::SUCCESS;
    }
    while let Some(tail) = &mut tail {
        std::thread::sleep(Duration::from_millis(200));
        if show(tail.more().iter().filter(within), args.json).is_err() {
            break;
        }
    }
    ExitCode::SUCCESS
}

/// Fails where nobody reads any more.
fn show<'a>(events: impl Iterator<Item = &'a Event>, json: bool) -> Result<(), ()> {
    let mut out = String::new();
    for event in events {
        if json {
            out.push_str(&json_line(event));
        } else {
            out.push_str(&line(event));
        }
        out.push('\n');
    }
    if out.is_empty() || print(&out) == ExitCode::SUCCESS { Ok(()) } else { Err(()) }
}

/// `2026-11-30 03:12:44.123456 warning  text`.
pub(super) fn line(event: &Event) -> String {
    let text = printable(&event.text, &[]);
    format!("{} {:<7} {text}", time(event), event.level)
}

/// Date and time without the zone.
pub(super) fn time(event: &Event) -> String {
    let at: String = event.at.chars().take("2026-11-30T03:12:44.123456".len()).collect();
    at.replacen('T', " ", 1)
}

fn micros(at: SystemTime) -> u64 {
    u64::try_from(at.duration_since(UNIX_EPOCH).unwrap_or_default().as_micros()).unwrap_or(u64::MAX)
}

//! `xvrrp check`: all that is wrong with a configuration, and by the exit code whether it runs.
//!
//! Reads the file, then looks at it with everything that it is given: this host, the other router's file (`--peer`)
//! and the link (`--listen`). The analyses are in [`crate::config::analysis`]; here is what asks the world.

mod host;
mod listen;

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use super::json::Form;
use super::start::namespace;
use super::{DEFAULT_CONFIG, output};
use crate::colour;
use crate::config::report::{Report, Verdict};
use crate::config::{self, LoadOptions, Loaded, Refused, analysis, report};
use crate::net::monitor::Monitor;
use crate::{program, words};

/// Options of `xvrrp check`.
#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = "Findings go to standard error; `xvrrp explain CODE` says more about one. Exit codes (keepalived's):\n  \
    0  good (notes may be printed)\n  \
    1  --listen could not be done\n  \
    4  cannot run\n  \
    5  runs, with complaints\n  \
    6  runs, but scripts are not protected by enable_script_security\n\
    Of several files it is that of the worst: 4, then 6, then 5."
)]
pub struct CheckArgs {
    /// Configuration files, each for itself [default: /etc/keepalived/keepalived.conf]
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// The same, as keepalived has it
    #[arg(short = 'f', long = "use-file", value_name = "FILE", conflicts_with = "files")]
    pub use_file: Option<PathBuf>,
    /// Compare with the other router's configuration
    #[arg(long, value_name = "FILE")]
    pub peer: Option<PathBuf>,
    /// Configuration id of the other router, for `@id` lines [default: none of its lines apply]
    #[arg(long, value_name = "ID", requires = "peer")]
    pub peer_id: Option<String>,
    /// Listen for other routers on the interfaces of the file, for this long
    #[arg(long, value_name = "TIME", num_args = 0..=1, default_missing_value = "5s", value_parser = listen::duration)]
    pub listen: Option<Duration>,
    /// Look at the file alone, not at this host's interfaces, scripts and clocks
    #[arg(long, conflicts_with = "listen")]
    pub no_host: bool,
    /// Network namespace whose interfaces to look at [default: net_namespace of the file]
    #[arg(short = 's', long, value_name = "NAME", conflicts_with = "no_host")]
    pub namespace: Option<String>,
    /// Print JSON on standard output instead: an object, of several files an array of them
    #[arg(long)]
    pub json: bool,
    /// Configuration id for `@id` lines [default: the short host name]
    #[arg(short = 'i', long = "config-id", value_name = "ID")]
    pub config_id: Option<String>,
}

/// Check the files, print the findings on standard error.
#[must_use]
pub fn run(args: &CheckArgs) -> ExitCode {
    let named = args.use_file.as_ref().map_or(args.files.as_slice(), std::slice::from_ref);
    let default = [PathBuf::from(DEFAULT_CONFIG)];
    let files = if named.is_empty() { &default } else { named };
    if args.peer.is_some() && files.len() > 1 {
        eprintln!("xvrrp: --peer compares with one file; name one");
        return ExitCode::from(2);
    }
    let mut verdict = Verdict::Good;
    let mut reports = Vec::new();
    for file in files {
        match apart(args, file, files.len() > 1) {
            Ok(checked) => {
                verdict = verdict.worse(checked.verdict);
                reports.extend(checked.report);
            }
            Err(error) => return Form::of(args.json).fail("not_done", &words::whole(&error), 1),
        }
    }
    if args.json {
        let _ = match reports.as_slice() {
            [report] => output::print_json(report),
            reports => output::print_json(&reports),
        };
    }
    ExitCode::from(verdict.code())
}

/// What became of a file.
struct Checked {
    verdict: Verdict,
    report: Option<Report>,
}

/// Checks a file on a thread of its own: one that enters a network namespace leaves the next file where it was.
fn apart(args: &CheckArgs, file: &Path, several: bool) -> anyhow::Result<Checked> {
    let checked = || {
        let loaded = check(args, file)?;
        let report = args.json.then(|| Report::of(&loaded));
        if report.is_none() {
            let mut stderr = std::io::stderr();
            let name = file.display().to_string();
            let of = several.then_some(name.as_str());
            let text = report::text(&loaded, colour::is_wanted(stderr.is_terminal()), of);
            // A closed pipe must not change the verdict.
            let _ = stderr.write_all(text.as_bytes());
        }
        Ok(Checked { verdict: report::verdict(&loaded), report })
    };
    let joined = std::thread::scope(|scope| scope.spawn(checked).join());
    joined.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn check(args: &CheckArgs, file: &Path) -> anyhow::Result<Loaded> {
    let alone = || {
        let mut options = LoadOptions::for_host();
        if let Some(id) = &args.config_id {
            options.config_id.clone_from(id);
        }
        config::load(file, &options)
    };
    let mut loaded = if args.no_host {
        alone()
    } else {
        let wanted = args.namespace.clone().or_else(|| alone().config.global.net_namespace);
        if let Some(name) = wanted {
            namespace::enter(&name)?;
        }
        let mut loaded = config::load(file, &options(args.config_id.as_deref()));
        world(&mut loaded, args.listen)?;
        loaded
    };
    if let Some(peer) = &args.peer {
        let mut options = LoadOptions::for_host();
        options.config_id = args.peer_id.clone().unwrap_or_default();
        analysis::peer::compare(&mut loaded, config::load(peer, &options));
    }
    Ok(loaded)
}

/// This host, and the link where that is asked for.
fn world(loaded: &mut Loaded, time: Option<Duration>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        // A host that cannot be looked at is no reason to say nothing about the file.
        let monitor = match Monitor::start().await {
            Ok(monitor) => monitor,
            Err(_) if time.is_none() => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let links = monitor.links();
        let named: Vec<_> = loaded.config.instances.iter().map(|instance| &*instance.interface).collect();
        let host = host::look(links, &named);
        analysis::host::check(loaded, &host);
        if let Some(time) = time.filter(|_| !loaded.fatal) {
            let heard = listen::listen(&loaded.config, links, time).await?;
            analysis::wire::check(loaded, &heard, time.as_secs_f64());
        }
        Ok(())
    })
}

/// The options for this host: its interfaces, and its scripts' files.
pub(super) fn options(config_id: Option<&str>) -> LoadOptions {
    let mut options = LoadOptions::for_host();
    options.interface_check = Some(Box::new(interface));
    // Another user than the daemon's cannot judge what the daemon may run.
    options.script_check = nix::unistd::geteuid().is_root().then_some(Box::new(|script, global| {
        let user = script.user.as_ref().or(global.script_user.as_ref());
        program::prepare(&script.argv, user, global.script_security)
            .map(drop)
            .map_err(|why| refused(&why.to_string()))
    }));
    if let Some(id) = config_id {
        id.clone_into(&mut options.config_id);
    }
    options
}

/// Whether there is such an interface; else, what there is.
fn interface(name: &str) -> Result<(), String> {
    if nix::net::if_::if_nametoindex(name).is_ok() {
        return Ok(());
    }
    let there = nix::net::if_::if_nameindex().map_err(|_| "`ip link` lists the interfaces".to_owned())?;
    let names = there.iter().map(|interface| interface.name().to_string_lossy());
    Err(words::interfaces_like(name, names))
}

/// Why a script is refused, with the command that helps apart from it.
fn refused(text: &str) -> Refused {
    match text.split_once("; run: ") {
        Some((message, command)) => {
            Refused { message: message.to_owned(), help: Some(format!("run: {command}")) }
        }
        None => Refused { message: text.to_owned(), help: None },
    }
}

//! `xvrrp check`: print all that is wrong with a configuration, and say by the exit code whether it runs.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::{DEFAULT_CONFIG, status};
use crate::config::{self, LoadOptions, Refused, report};
use crate::track::exec;

/// Options of `xvrrp check`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Findings go to standard error. Exit codes, as keepalived -t has them:\n  \
    0  good (notes may be printed)\n  \
    4  cannot run\n  \
    5  runs, with complaints\n  \
    6  runs, but scripts are not protected by enable_script_security")]
pub struct CheckArgs {
    /// Configuration file [default: /etc/keepalived/keepalived.conf]
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// The same, as keepalived has it
    #[arg(short = 'f', long = "use-file", value_name = "FILE", conflicts_with = "file")]
    pub use_file: Option<PathBuf>,
    /// Print JSON on standard output instead
    #[arg(long)]
    pub json: bool,
    /// Configuration id for `@id` lines [default: the short host name]
    #[arg(short = 'i', long = "config-id", value_name = "ID")]
    pub config_id: Option<String>,
}

/// Check the file, print the findings on standard error.
#[must_use]
pub fn run(args: &CheckArgs) -> ExitCode {
    run_with(args, options(args.config_id.as_deref()))
}

/// The options for this host: its interfaces, and its scripts' files.
pub(super) fn options(config_id: Option<&str>) -> LoadOptions {
    let mut options = LoadOptions::for_host();
    options.interface_check = Some(Box::new(|name| nix::net::if_::if_nametoindex(name).is_ok()));
    // Another user than the daemon's cannot judge what the daemon may run.
    options.script_check = nix::unistd::geteuid().is_root().then_some(Box::new(|script, global| {
        exec::prepare(script, global.script_user.as_ref(), global.script_security)
            .map(drop)
            .map_err(|why| Refused { message: why.to_string(), help: None })
    }));
    if let Some(id) = config_id {
        id.clone_into(&mut options.config_id);
    }
    options
}

/// [`run`] with options of the caller's, such as a [`config::ScriptCheck`].
#[must_use]
pub fn run_with(args: &CheckArgs, options: LoadOptions) -> ExitCode {
    let named = args.file.as_deref().or(args.use_file.as_deref());
    let loaded = config::load(named.unwrap_or(Path::new(DEFAULT_CONFIG)), &options);
    if args.json {
        let _ = status::print_json(&report::Report::of(&loaded));
        return ExitCode::from(report::verdict(&loaded).code());
    }
    let mut stderr = std::io::stderr();
    let text = report::text(&loaded, stderr.is_terminal());
    // A closed pipe must not change the verdict.
    let _ = stderr.write_all(text.as_bytes());
    ExitCode::from(report::verdict(&loaded).code())
}

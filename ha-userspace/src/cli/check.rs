//! `xvrrp check`: print all that is wrong with a configuration, and say by the exit code whether it runs.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use crate::config::{self, LoadOptions, report};

/// Check a configuration file without running it.
///
/// Exit codes: 0 good, 4 cannot run, 5 runs with complaints, 6 runs scripts without enable_script_security.
#[derive(Clone, Debug, clap::Args)]
pub struct CheckArgs {
    /// Configuration file.
    #[arg(
        short = 'f',
        long = "use-file",
        value_name = "FILE",
        default_value = "/etc/keepalived/keepalived.conf"
    )]
    pub file: PathBuf,
    /// Configuration id for `@id` lines; the short host name where absent.
    #[arg(short = 'i', long = "config-id", value_name = "ID")]
    pub config_id: Option<String>,
}

/// Check the file, print the findings on standard error.
#[must_use]
pub fn run(args: &CheckArgs) -> ExitCode {
    let mut options = LoadOptions::for_host();
    options.interface_check = Some(Box::new(|name| nix::net::if_::if_nametoindex(name).is_ok()));
    run_with(args, options)
}

/// [`run`] with options of the caller's, such as a [`config::ScriptCheck`].
#[must_use]
pub fn run_with(args: &CheckArgs, mut options: LoadOptions) -> ExitCode {
    if let Some(id) = &args.config_id {
        options.config_id.clone_from(id);
    }
    let loaded = config::load(&args.file, &options);
    let mut stderr = std::io::stderr();
    let text = report::text(&loaded, stderr.is_terminal());
    // A closed pipe must not change the verdict.
    let _ = stderr.write_all(text.as_bytes());
    ExitCode::from(report::verdict(&loaded).code())
}

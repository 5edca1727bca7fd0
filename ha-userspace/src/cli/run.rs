//! `xvrrp run`: reads the configuration, sets up logging, and runs the daemon in the foreground.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use super::{DEFAULT_BPFFS, DEFAULT_CONFIG, DEFAULT_RUN_DIR};
use crate::config::{self, LoadOptions};
use crate::logging;
use crate::runtime::{self, End};

/// Options of `xvrrp run`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Signals:\n  \
    HUP         reload the configuration, as `xvrrp reload` does\n  \
    TERM, INT   hand the virtual addresses over and stop; twice: stop at once\n  \
    USR1        write configuration and state to /tmp/keepalived.data\n  \
    USR2        write statistics to /tmp/keepalived.stats\n  \
    RTMIN+2     write both as JSON to /tmp/keepalived.json\n  \
    RTMIN       leave for a restart: the role waits for the next run\n\n\
    Exit codes:\n  \
    0  stopped as told\n  \
    1  could not start, or runs already\n  \
    4  the configuration cannot be used")]
pub struct Args {
    /// Configuration file.
    #[arg(short = 'f', long, value_name = "FILE", default_value = DEFAULT_CONFIG)]
    use_file: PathBuf,
    /// Directory of the control socket and the pid file.
    #[arg(long, value_name = "DIR", default_value = DEFAULT_RUN_DIR)]
    run_dir: PathBuf,
    /// Mount point of the BPF file system, where the maps are pinned.
    #[arg(long, value_name = "DIR", default_value = DEFAULT_BPFFS)]
    bpffs: PathBuf,
    /// Let the XDP program itself log, at this level: error, warn, info, debug or trace.
    #[arg(long, value_name = "LEVEL", value_parser = bpf_level)]
    bpf_log: Option<aya_log::Level>,
    /// Level of the log: error, warn, info, debug or trace [default: info].
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
    /// Only the RFC's timers, whatever the configuration says: no liveness probes, no fence.
    #[arg(long)]
    rfc_timers: bool,
    /// Log to syslog, also from a terminal.
    #[arg(long)]
    syslog: bool,
    /// Configuration id for @id lines [default: the short host name].
    #[arg(short = 'i', long, value_name = "ID")]
    config_id: Option<String>,
}

fn bpf_level(word: &str) -> Result<aya_log::Level, String> {
    Ok(match word {
        "error" => aya_log::Level::Error,
        "warn" => aya_log::Level::Warn,
        "info" => aya_log::Level::Info,
        "debug" => aya_log::Level::Debug,
        "trace" => aya_log::Level::Trace,
        _ => return Err("one of error, warn, info, debug, trace".to_owned()),
    })
}

/// Puts the program file of now into the place of this process, with the same arguments.
fn replace(program: &Path) -> ExitCode {
    use std::os::unix::process::CommandExt;
    let error = std::process::Command::new(program)
        .args(std::env::args_os().skip(1))
        .env(runtime::REPLACES, "1")
        .exec();
    eprintln!("xvrrp: cannot restart {}: {error}", program.display());
    ExitCode::FAILURE
}

/// Runs the daemon.
#[must_use]
pub fn run(args: &Args) -> ExitCode {
    let logging =
        match logging::init(&logging::Options { level: args.log_level.clone(), syslog: args.syslog }) {
            Ok(logging) => logging,
            Err(error) => {
                eprintln!("xvrrp: {error}");
                return ExitCode::FAILURE;
            }
        };
    let (file, config_id) = (args.use_file.clone(), args.config_id.clone());
    let rfc_timers = args.rfc_timers;
    let read = Arc::new(move || {
        let mut options = LoadOptions::for_host();
        if let Some(id) = &config_id {
            options.config_id.clone_from(id);
        }
        let mut loaded = config::load(&file, &options);
        if rfc_timers {
            loaded.config.instances.iter_mut().for_each(|instance| instance.fast.enabled = false);
        }
        loaded
    });
    let loaded = read();
    runtime::log_diagnostics(&loaded);
    if loaded.fatal {
        tracing::error!("{} cannot be used; `xvrrp check` explains", args.use_file.display());
        drop(logging);
        return ExitCode::from(4);
    }
    let options = runtime::Options {
        config_file: args.use_file.clone(),
        read,
        run_dir: args.run_dir.clone(),
        bpffs: Some(args.bpffs.clone()),
        bpf_log: args.bpf_log,
    };
    // Now, because an upgrade removes the file that this process was started from.
    let program = std::env::current_exe();
    let ended = runtime::start(options, loaded.config);
    if let Err(error) = &ended {
        tracing::error!("{}", once(error));
    }
    drop(logging);
    match (ended, program) {
        (Ok(End::Stopped | End::Left), _) => ExitCode::SUCCESS,
        (Ok(End::Replace), Ok(program)) => replace(&program),
        (Ok(End::Replace), Err(error)) => {
            eprintln!("xvrrp: cannot restart, its own program file is not known: {error}");
            ExitCode::FAILURE
        }
        (Err(_), _) => ExitCode::FAILURE,
    }
}

/// An error with its causes, leaving out those that the text before them has told already.
fn once(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot open the door: {source}; knock")]
    struct Door {
        source: std::io::Error,
    }

    #[test]
    fn a_cause_is_told_once() {
        let door = Door { source: std::io::Error::other("locked") };
        assert_eq!(once(&anyhow::Error::from(door)), "cannot open the door: locked; knock");
        let bare = anyhow::Error::new(std::io::Error::other("locked")).context("no way in");
        assert_eq!(once(&bare), "no way in: locked");
    }
}

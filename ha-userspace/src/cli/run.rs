//! `xvrrp run`: the daemon in the foreground.

use std::path::PathBuf;
use std::process::ExitCode;

use super::DEFAULT_CONFIG;
use super::start::{self, StartOutcome, StartPlan};
use crate::logging;

/// Options of `xvrrp run`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Signals:\n  \
    HUP         reload the configuration, as `xvrrp reload` does\n  \
    TERM, INT   hand the virtual addresses over and stop; twice: stop at once\n  \
    USR1        write configuration and state to /tmp/keepalived.data\n  \
    USR2        write statistics to /tmp/keepalived.stats\n  \
    RTMIN+2     write both as JSON to /tmp/keepalived.json\n  \
    RTMIN+1     leave for a restart: the role waits for the next run\n\n\
    Exit codes:\n  \
    0  stopped as told\n  \
    1  could not start, or runs already\n  \
    4  the configuration cannot be used")]
pub struct Args {
    /// Configuration file.
    #[arg(short = 'f', long, value_name = "FILE", default_value = DEFAULT_CONFIG)]
    use_file: PathBuf,
    /// Directory of the control socket and the pid file [default: /run/xvrrp, or one below it with a namespace or
    /// an `instance`].
    #[arg(long, value_name = "DIR")]
    run_dir: Option<PathBuf>,
    /// BPF file system where the maps are pinned [default: /sys/fs/bpf, or a directory of it with a namespace or an
    /// `instance`].
    #[arg(long, value_name = "DIR")]
    bpffs: Option<PathBuf>,
    /// Let the XDP program itself log, at this level: error, warn, info, debug or trace.
    #[arg(long, value_name = "LEVEL", value_parser = bpf_level)]
    bpf_log: Option<aya_log::Level>,
    /// Use filters of clsact for traffic control, as on kernels before 6.6.
    #[arg(long, hide = true)]
    no_tcx: bool,
    /// Level of the log: error, warn, info, debug or trace [default: info].
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
    /// Form of the log on standard error; json has one object per line (docs/events.md).
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "text")]
    log_format: LogFormat,
    /// Directory of the flight recorder's files, for `xvrrp events` and `xvrrp why` [default: /var/lib/xvrrp, or the
    /// run directory where that is given].
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// Only the RFC's timers, whatever the configuration says: no liveness probes, no fence.
    #[arg(long)]
    rfc_timers: bool,
    /// Log to syslog, also from a terminal.
    #[arg(long)]
    syslog: bool,
    /// Configuration id for @id lines [default: the short host name].
    #[arg(short = 'i', long, value_name = "ID")]
    config_id: Option<String>,
    /// Run in this network namespace (ip-netns(8)), whatever the configuration says.
    #[arg(short = 's', long, value_name = "NAME")]
    namespace: Option<String>,
}

/// Form of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum LogFormat {
    Text,
    Json,
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

/// Runs the daemon.
#[must_use]
pub fn run(args: &Args) -> ExitCode {
    let plan = StartPlan {
        config_file: args.use_file.clone(),
        config_id: args.config_id.clone(),
        namespace: args.namespace.clone(),
        run_dir: args.run_dir.clone(),
        bpffs: args.bpffs.clone(),
        bpf_log: args.bpf_log,
        tcx: !args.no_tcx,
        log: logging::Options {
            level: args.log_level.clone(),
            syslog: args.syslog,
            json: args.log_format == LogFormat::Json,
            ..logging::Options::default()
        },
        state_dir: args.state_dir.clone(),
        rfc_timers: args.rfc_timers,
        all_files: false,
        umask: None,
        no_bfd: false,
        service: None,
    };
    match start::start(plan) {
        StartOutcome::Stopped => ExitCode::SUCCESS,
        StartOutcome::Unusable | StartOutcome::Missing => ExitCode::from(4),
        StartOutcome::Running | StartOutcome::Failed => ExitCode::FAILURE,
    }
}

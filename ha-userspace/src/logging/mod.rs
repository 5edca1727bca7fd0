//! Where messages go: the terminal, the journal or syslog. Nothing that is logged ever holds up the daemon.
//!
//! Every record is formatted where it happens and put into a bounded queue; one thread writes. A full pipe, a
//! stopped terminal or a syslog daemon that hangs fills the queue, further lines are dropped and counted, and the
//! count is logged when lines can be written again. [`limit`] keeps the network from filling logs.

pub(crate) mod clock;
mod journal;
mod layer;
pub mod limit;
pub(crate) mod record;
mod sink;

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::events::Recorder;
pub use sink::{Logging, Target};
use tracing_subscriber::filter::{LevelFilter, Targets};

/// What the command line says about logging.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// `--log-level`: a level, or `RUST_LOG`'s `target=level,…`. The variable `RUST_LOG` where absent, else `info`.
    pub level: Option<String>,
    /// `--syslog`: to syslog, also with a terminal.
    pub syslog: bool,
    /// Syslog facility, 0 to 23 (RFC 5424 section 6.2.1); daemon where absent.
    pub facility: Option<u8>,
    /// Also into this file, which is appended to.
    pub file: Option<PathBuf>,
    /// Neither to syslog nor to a terminal: into `file` alone, or nowhere.
    pub quiet: bool,
    /// Standard error gets events in JSON.
    pub json: bool,
    /// Directory of the flight recorder's files ([`crate::events`]); `None` for no recorder.
    pub events: Option<PathBuf>,
}

/// Sets up logging for the process. Call it once, first; keep the result until the end, since dropping it writes
/// what is left in the queue (for at most half a second).
///
/// # Errors
/// The level cannot be understood, or logging was set up before; logging then goes nowhere.
pub fn init(options: &Options) -> Result<Logging, InitError> {
    use tracing_subscriber::Layer;
    use tracing_subscriber::layer::SubscriberExt;

    let text = options
        .level
        .clone()
        .or_else(|| std::env::var("RUST_LOG").ok().filter(|text| !text.is_empty()))
        .unwrap_or_else(|| "info".to_owned());
    let filter = parse_filter(&text).ok_or(InitError::Level { text })?;
    let target = Target::choose(options);
    let copy = options.file.as_ref().map(|path| open(path)).transpose()?;
    let (logging, queue) = Logging::start(target, copy).map_err(InitError::Thread)?;
    let started = options.events.clone().map(Recorder::start).transpose();
    let (recording, recorder) = started.map_err(InitError::Thread)?.unzip();
    let logging = logging.recording(recording);
    // An event is one whatever the log is told to leave out.
    let recorded =
        recorder.map(|recorder| layer::RecorderLayer::new(recorder).with_filter(LevelFilter::INFO));
    let subscriber =
        tracing_subscriber::registry().with(layer::QueueLayer::new(queue).with_filter(filter)).with(recorded);
    tracing::subscriber::set_global_default(subscriber).map_err(|_| InitError::Twice)?;
    // Records of crates that use `log`. Fails only where a logger is set already, and then that one has them.
    let _ = tracing_log::LogTracer::init();
    Ok(logging)
}

fn open(path: &Path) -> Result<File, InitError> {
    let opened = OpenOptions::new().create(true).append(true).mode(0o600).open(path);
    opened.map_err(|source| InitError::File { path: path.to_owned(), source })
}

/// `RUST_LOG`'s language, less its bare target names: a misspelt level would be one, and log nothing.
fn parse_filter(text: &str) -> Option<Targets> {
    let level = |part: &str| !part.is_empty() && part.parse::<LevelFilter>().is_ok();
    let understood = text.split(',').all(|part| part.contains('=') || level(part));
    if understood { text.parse().ok() } else { None }
}

/// Why logging was not set up.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// Not a level.
    #[error(
        "log level '{text}' is none of error, warn, info, debug, trace (or target=level, separated by commas)"
    )]
    Level {
        /// What was given.
        text: String,
    },
    /// The log file.
    #[error("log file {}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why it cannot be written.
        source: std::io::Error,
    },
    /// No thread.
    #[error("the log thread cannot be started: {0}")]
    Thread(std::io::Error),
    /// Set up before.
    #[error("logging is set up already")]
    Twice,
}

//! The running daemon: one loop that drives one state machine per virtual router.
//!
//! [`start`] sets everything up and runs until the stop. What lives here: the order in which things happen. What must
//! not: protocol decisions (`ha-common`), system calls ([`crate::net`], [`crate::xdp`]).
//!
//! Imports lead down through three layers. In the files of this folder are the parts, each of which knows only those
//! below it; `daemon/mod.rs` has the object that owns them all, and the files beside it what it does. `host` is such an
//! object too, one layer below: what the daemon puts on its host, and how.

mod announcements;
mod changes;
mod configuration;
mod daemon;
mod delays;
mod devices;
mod fast;
mod foreign;
mod group_names;
mod handover;
mod herald;
mod holds;
mod host;
mod hot_standby;
mod inspector;
mod interface;
mod interfaces;
mod kernel;
mod lifecycle;
mod loading;
mod note;
mod noted;
mod others;
mod pacers;
mod reasons;
mod receive;
mod refusal;
mod rejections;
mod reload_file;
mod reload_time;
mod router;
mod routers;
mod routes;
mod scheduling;
mod senders;
mod settings;
mod shown;
mod source;
mod standby;
mod statics;
mod statistics;
mod statuses;
mod tell;
mod timeline;
mod told_peers;
mod trackers;
mod vips;
mod vmac;
mod wake;
mod workers;

use std::num::NonZeroU64;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use ha_common::node::Node;
use ha_common::time::Time;
use tokio::sync::mpsc::Receiver;

use crate::config::model::{Config, XdpMode};
use crate::config::{Loaded, Severity};
use crate::control::asker::Call;
use crate::control::runlock::RunLock;
use crate::control::server::Server;
use crate::control::thread::Control;
use crate::doctor;
use crate::liveness::Liveness;
use crate::metrics::Metrics;
use crate::net::addresses::Marks;
use crate::net::clock;
use crate::net::place::Place;
use crate::net::routing::Watch;
use crate::net::timer::Timer;
use crate::notify::{Notifier, once};
use crate::program;
use crate::realtime;
use crate::service_manager::ServiceManager;
use crate::track::watch::Watchers;
use crate::{words, xdp};
use announcements::Announcements;
use configuration::Configuration;
use daemon::Daemon;
use fast::Fast;
use handover::Handover;
use handover::figures::Figures;
use holds::Holds;
use host::Host;
use inspector::Inspector;
use interfaces::Interfaces;
pub use lifecycle::End;
use lifecycle::Lifecycle;
use loading::{Loader, Setup};
use routers::Routers;
use shown::Shown;
use timeline::Timeline;
use wake::{Inputs, Signals};
use workers::Workers;

/// For tests: set in its environment, the daemon marks no addresses, as on a kernel that keeps no marks.
const UNMARKED: &str = "XVRRP_TEST_UNMARKED_ADDRESSES";

/// What the command line says.
pub struct Options {
    /// Configuration file, for messages.
    pub config_file: PathBuf,
    /// Reads that file; called again for every reload, on another thread.
    pub read: Arc<dyn Fn() -> Loaded + Send + Sync>,
    /// Directory of the control socket and the pid file.
    pub run_dir: PathBuf,
    /// Mount point of the BPF file system; `None` for no pins.
    pub bpffs: Option<PathBuf>,
    /// Level of the XDP program's own messages.
    pub bpf_log: Option<aya_log::Level>,
    /// Traffic control may be used by tcx links ([`crate::xdp::Options::tcx`]).
    pub tcx: bool,
    /// When the program began.
    pub began: Time,
}

/// Runs the daemon with a configuration that was read, until it is told to stop.
///
/// # Errors
///
/// What keeps it from starting. Once it runs, it goes on with what it has.
pub fn start(options: Options, config: Config) -> anyhow::Result<End> {
    let mut timeline = Timeline::new(options.began);
    timeline.mark("configuration, log and pid files");
    realtime::separate_memory();
    realtime::remember_original();
    realtime::prefer_this_thread();
    let lock = RunLock::acquire(&options.run_dir)?;
    // What replaces an earlier run has not been shut down, and its role does not wait for long. A start by the service
    // manager is one, after a leave for a restart too: a restart of keepalived runs the script again as well.
    let replaces = std::env::var_os(program::REPLACES).is_some();
    if let Some(script) = config.global.startup.as_ref().filter(|_| !replaces) {
        once::run("startup_script", script, &config.global);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(2)
        // They begin with nice 0, because the loop is a real-time thread.
        .on_thread_start(realtime::prefer_this_thread)
        .build()
        .context("the event loop cannot be made")?;
    // Whoever has taken over what an earlier run left behind must not end without it.
    let signals = {
        let _inside = runtime.enter();
        Signals::new().context("signals cannot be handled")?
    };
    // The directory is ours by now, and nobody else's.
    let place = Place::here();
    let handover = Handover::take(&options.run_dir, &place);
    let figures = Figures::take(&options.run_dir, &place);
    let mut warnings = Vec::new();
    let threads = Threads::start(&config, &mut warnings, &mut timeline)?;

    let (mut control, asker, calls) = Control::start(Server::bind(&options.run_dir)?)
        .context("the thread for the control socket cannot be started")?;
    threads.workers.metrics.ask(asker);
    let run_dir = options.run_dir.clone();
    let holds = Holds::open(&run_dir, std::time::SystemTime::now());
    let end = runtime.block_on(async {
        let life = Lifecycle::begin(clock::now(), handover, figures, holds);
        let (mut daemon, inputs) =
            set_up(options, &config, threads, life, (calls, signals), warnings, &mut timeline).await?;
        daemon.begin(config, &mut timeline);
        daemon.shown.manager.ready();
        control.serve();
        let end = daemon.run(inputs).await;
        // Who asked for it gets an answer, and who probes is told.
        tokio::time::sleep(Duration::from_millis(2)).await;
        if end == End::Stopped {
            daemon.close()
        } else {
            daemon.leave_for_restart(&run_dir)
        }
        anyhow::Ok(end)
    })?;
    // The last answers are on their way.
    drop(control);
    drop(lock);
    match end {
        End::Stopped => tracing::info!(kind = "stop", "stopped"),
        End::Left => tracing::info!(kind = "stop", "left for a restart: the role waits for the next run"),
        End::Replace => {
            scheduling::undo();
            tracing::info!(kind = "stop", "restarting");
        }
    }
    Ok(end)
}

/// The threads that are started before the main loop's thread has its priority.
struct Threads {
    workers: Workers,
    inspector: Inspector,
    loader: Loader,
}

impl Threads {
    fn start(config: &Config, warnings: &mut Vec<String>, timeline: &mut Timeline) -> anyhow::Result<Self> {
        // Whatever is started from here on inherits the processors.
        scheduling::bind(&config.global.process, warnings);
        let inspector = Inspector::start().context("the thread that looks after XDP cannot be started")?;
        let loader = Loader::start().context("the thread that loads XDP programs cannot be started")?;
        let watchers = Watchers::start().context("the threads for scripts and checks cannot be started")?;
        let notifier = Notifier::start().context("the thread for notifications cannot be started")?;
        let metrics = Metrics::start().context("the thread for metrics cannot be started")?;
        let prepared = [
            realtime::exact_timers().map_err(anyhow::Error::from),
            realtime::raise_memlock().map_err(anyhow::Error::from),
        ];
        for refusal in prepared.into_iter().filter_map(Result::err) {
            warn(warnings, refusal.to_string());
        }
        scheduling::prefer_this_thread(&config.global.process, warnings);
        timeline.mark("threads");
        let mut workers = Workers { watchers, notifier, metrics };
        workers.watch(config);
        workers.watchers.settle();
        timeline.mark("checks");
        Ok(Self { workers, inspector, loader })
    }
}

/// Opens everything that the daemon needs. Nothing is decided yet.
async fn set_up(
    options: Options,
    config: &Config,
    threads: Threads,
    life: Lifecycle,
    (calls, signals): (Receiver<Call>, Signals),
    mut warnings: Vec<String>,
    timeline: &mut Timeline,
) -> anyhow::Result<(Daemon, Inputs)> {
    let marks = if std::env::var_os(UNMARKED).is_some() { Marks::Withheld } else { Marks::Used };
    let mut host = Host::open(&options.run_dir, marks).await?;
    if let Some(missing) = doctor::rights::without_addresses(realtime::capabilities()) {
        warn(&mut warnings, missing.clone());
        host.refuse(missing);
    }
    let removals = Watch::open()?;
    if let Some(bpffs) = &options.bpffs {
        let in_use: Vec<_> = config.instances.iter().map(|instance| instance.interface.as_str()).collect();
        for left in xdp::left(bpffs, clock::now()) {
            tracing::info!(kind = "fence", interface = left.interface.as_str(), "{left}");
        }
        let stays = |left: &xdp::LeftStandby| {
            config.instances.iter().any(|instance| {
                let router = (&instance.interface, (instance.family, instance.vrid));
                instance.hot_standby
                    && instance.xdp_mode != XdpMode::Off
                    && router == (&left.interface, left.router)
            })
        };
        let exposed: Vec<_> = xdp::left_standbys(bpffs)
            .iter()
            .filter(|left| !stays(left))
            .map(xdp::LeftStandby::place)
            .collect();
        host.addresses.remove_left(&exposed);
        xdp::remove_leftovers(bpffs, &in_use);
    }
    let incarnation = random_incarnation().context("/dev/urandom cannot be read")?;
    let (reporter, reports) = tokio::sync::mpsc::unbounded_channel();
    let liveness = Liveness::start(incarnation, reporter, scheduling::above(&config.global.process))
        .map_err(|error| warn(&mut warnings, format!("no liveness probes: {}", words::whole(&error))))
        .ok();
    timeline.mark("links, addresses and the control socket");
    let setup = Setup {
        incarnation: incarnation.get(),
        fingerprint_key: random_key().context("/dev/urandom cannot be read")?,
        bpffs: options.bpffs,
        bpf_log: options.bpf_log,
        tcx: options.tcx,
    };
    let Threads { workers, inspector, loader } = threads;
    let daemon = Daemon {
        node: Node::new(),
        routers: Routers::default(),
        interfaces: Interfaces::new(setup, loader, inspector),
        host,
        announcements: Announcements::open()?,
        fast: Fast::new(liveness),
        workers,
        configuration: Configuration::begin(options.config_file, options.read, config, warnings),
        life,
        timer: Timer::new().context("the timer cannot be made")?,
        shown: Shown::new(ServiceManager::from_environment()),
        notes: Vec::new(),
    };
    Ok((daemon, Inputs { calls, reports, removals, signals }))
}

/// Logs what was found in a configuration, one line each, and returns the lines.
pub fn log_diagnostics(loaded: &Loaded) -> Vec<String> {
    let lines = log_lines(loaded);
    for (diagnostic, line) in loaded.diagnostics.iter().zip(&lines) {
        match diagnostic.severity {
            Severity::Note => tracing::info!("{line}"),
            Severity::Warning => tracing::warn!("{line}"),
            Severity::Error => tracing::error!("{line}"),
        }
    }
    lines
}

/// What was found in a configuration, one line each.
fn log_lines(loaded: &Loaded) -> Vec<String> {
    loaded.diagnostics.iter().map(|diagnostic| loaded.diagnostics.one_line(diagnostic)).collect()
}

fn warn(warnings: &mut Vec<String>, text: String) {
    tracing::warn!("{text}");
    warnings.push(text);
}

fn random_incarnation() -> std::io::Result<NonZeroU64> {
    let [word, _] = random_key()?;
    Ok(NonZeroU64::new(word).unwrap_or(NonZeroU64::MAX))
}

fn random_key() -> std::io::Result<[u64; 2]> {
    use std::io::Read;
    let mut bytes = [0; 16];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytemuck::cast(bytes))
}

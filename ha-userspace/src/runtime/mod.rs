//! The running daemon: one loop that drives one state machine per virtual router.
//!
//! [`start`] sets everything up and runs until the stop. What lives here: the order in which things happen. What must
//! not: protocol decisions (`ha-common`), system calls ([`crate::net`], [`crate::xdp`]).

mod announcements;
mod changes;
mod daemon;
mod delays;
mod devices;
mod fast;
mod fence;
mod groups;
mod handover;
mod herald;
mod inspector;
mod interface;
mod kernel;
mod lanes;
mod links;
mod loading;
mod note;
mod noted;
mod reload;
mod reload_file;
mod reload_time;
mod report;
mod resume;
mod router;
mod routers;
mod routes;
mod scheduling;
mod source;
mod statics;
mod tell;
mod timeline;
mod trackers;
mod turn;
mod vmac;

use std::num::NonZeroU64;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use ha_common::node::Node;
use ha_common::time::{Span, Time};

use crate::config::model::Config;
use crate::config::{Loaded, Severity};
use crate::control::runlock::RunLock;
use crate::control::server::Server;
use crate::liveness::Liveness;
use crate::net::addresses::{Addresses, Marks};
use crate::net::announce::Announcer;
use crate::net::clock;
use crate::net::firewall::Firewall;
use crate::net::monitor::Monitor;
use crate::net::neighbours::Neighbours;
use crate::net::place::Place;
use crate::net::routing::{Remembered, Routing, Watch};
use crate::net::timer::Timer;
use crate::notify::{Notifier, once};
use crate::program;
use crate::realtime;
use crate::track::watch::Watchers;
use crate::xdp;
pub use daemon::End;
use daemon::{Daemon, Inputs, Signals};
use delays::Delays;
use fast::Fast;
use groups::GroupNames;
use handover::Handover;
use inspector::Inspector;
use interface::Setup;
use lanes::Lanes;
use loading::Loader;
use routers::Routers;
use statics::Statics;
use timeline::Timeline;
use vmac::VirtualLinks;

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
    /// Called once, when all is set up.
    pub ready: fn(),
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
    // Children must not inherit what follows, and the script thread is one of them: it is started first.
    let lock = RunLock::acquire(&options.run_dir)?;
    // The directory is ours by now, and nobody else's.
    let handover = Handover::take(&options.run_dir, &Place::here());
    // What replaces an earlier run has not been shut down, and its role does not wait for long. A start by the service
    // manager is one, after a leave for a restart too: a restart of keepalived runs the script again as well.
    let replaces = std::env::var_os(program::REPLACES).is_some();
    if let Some(script) = config.global.startup.as_ref().filter(|_| !replaces) {
        once::run("startup_script", script, &config.global);
    }
    let mut warnings = Vec::new();
    // Whatever is started from here on inherits the processors.
    scheduling::bind(&config.global.process, &mut warnings);
    let inspector = Inspector::start().context("the thread that looks after XDP cannot be started")?;
    let loader = Loader::start().context("the thread that loads XDP programs cannot be started")?;
    let mut watchers = Watchers::start().context("the threads for scripts and checks cannot be started")?;
    let notifier = Notifier::start().context("the thread for notifications cannot be started")?;
    let prepared = [
        realtime::exact_timers().map_err(anyhow::Error::from),
        realtime::raise_memlock().map_err(anyhow::Error::from),
    ];
    for refusal in prepared.into_iter().filter_map(Result::err) {
        warn(&mut warnings, refusal.to_string());
    }
    scheduling::prefer_this_thread(&config.global.process, &mut warnings);
    timeline.mark("threads");
    watchers.apply(&config);
    watchers.settle();
    timeline.mark("checks");

    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(2)
        // They begin with nice 0, because the loop is a real-time thread.
        .on_thread_start(realtime::prefer_this_thread)
        .build()
        .context("the event loop cannot be made")?;
    let end = runtime.block_on(async {
        let signals = Signals::new().context("signals cannot be handled")?;
        let monitor = Monitor::start().await?;
        let marks = if std::env::var_os(UNMARKED).is_some() { Marks::Withheld } else { Marks::Used };
        let addresses = Addresses::open_remembering(options.run_dir.join("addresses"), marks)?;
        let routing = Routing::open()?;
        let removals = Watch::open()?;
        if let Some(bpffs) = &options.bpffs {
            let in_use: Vec<_> =
                config.instances.iter().map(|instance| instance.interface.as_str()).collect();
            xdp::remove_leftovers(bpffs, &in_use);
        }
        let server = Server::bind(&options.run_dir)?;
        let (calls, serving) = server.serve();
        tokio::spawn(serving);

        let incarnation = random_incarnation().context("/dev/urandom cannot be read")?;
        let (reporter, reports) = tokio::sync::mpsc::unbounded_channel();
        let liveness = Liveness::start(incarnation, reporter, scheduling::above(&config.global.process))
            .map_err(|error| warn(&mut warnings, format!("no liveness probes: {error:#}")))
            .ok();
        timeline.mark("links, addresses and the control socket");
        let setup = Setup {
            incarnation: incarnation.get(),
            fingerprint_key: random_key().context("/dev/urandom cannot be read")?,
            bpffs: options.bpffs,
            bpf_log: options.bpf_log,
            tcx: options.tcx,
        };
        let mut daemon = Daemon {
            config_file: options.config_file,
            config: Config {
                scripts: config.scripts.clone(),
                checks: config.checks.clone(),
                track_files: config.track_files.clone(),
                track_processes: config.track_processes.clone(),
                bfd: config.bfd.clone(),
                global: config.global.clone(),
                ..Config::default()
            },
            setup,
            started: clock::now(),
            monitor,
            addresses,
            routing,
            remembered: Remembered::load(options.run_dir.join("routes")),
            statics: Statics::default(),
            delays: Delays::default(),
            links: VirtualLinks::new(&options.run_dir)?,
            neighbours: Neighbours::open()?,
            firewall: Firewall::new(options.run_dir.join("nftables")),
            announcer: Announcer::open()?,
            lanes: Lanes::default(),
            timer: Timer::new().context("the timer cannot be made")?,
            inspector,
            loader,
            watchers,
            notifier,
            interfaces: Vec::new(),
            node: Node::new(),
            routers: Routers::default(),
            group_names: GroupNames::default(),
            read: options.read,
            reading: None,
            reload_time: None,
            warnings,
            stopping: false,
            handover,
            start_took: Span::ZERO,
            ending: None,
            deaf: Vec::new(),
            notes: Vec::new(),
            frames: Vec::new(),
            obsolete: Vec::new(),
            announce_failure: None,
            fast: Fast::new(liveness),
        };
        daemon.delay_start(&config.global, Duration::from_nanos(clock::boottime().0));
        daemon.adopt(config);
        timeline.mark("XDP programs, and the roles of the run before");
        daemon.remove_leftover_links();
        daemon.remove_leftovers();
        daemon.remove_leftover_routes();
        daemon.end_restart_windows();
        // What the run before did not see of this one counts too.
        let left = daemon.handover.take().map(|left| clock::now().span_since(left.left_at()));
        daemon.start_took = timeline.total().max(left.unwrap_or_default());
        timeline.mark("leftovers");
        daemon.update_fences();
        tracing::info!(
            "xvrrp {} runs {} of {}",
            env!("CARGO_PKG_VERSION"),
            if daemon.routers.len() == 1 {
                "1 instance".to_owned()
            } else {
                format!("{} instances", daemon.routers.len())
            },
            daemon.config_file.display()
        );
        reload_file::remove_leftover(&daemon.config.global);
        // Start-up is over: what it left in the allocator goes back first.
        if let Err(refusal) = realtime::lock_memory() {
            warn(&mut daemon.warnings, refusal.to_string());
        }
        timeline.mark("memory locked");
        (options.ready)();
        let end = daemon.run(Inputs { calls, reports, removals, signals }).await;
        // Who asked for it gets an answer first, and who probes is told.
        tokio::time::sleep(Duration::from_millis(2)).await;
        if end == End::Stopped {
            daemon.remove_statics();
            daemon.remove_links();
            let Daemon { watchers, notifier, interfaces, fast, firewall, config, .. } = daemon;
            firewall.stop();
            drop(fast);
            drop(interfaces);
            watchers.stop();
            notifier.stop();
            if let Some(script) = &config.global.shutdown {
                once::run("shutdown_script", script, &config.global);
            }
        } else {
            daemon.leave_for_restart(&options.run_dir);
        }
        anyhow::Ok(end)
    })?;
    drop(lock);
    match end {
        End::Stopped => tracing::info!("stopped"),
        End::Left => tracing::info!("left for a restart: the role waits for the next run"),
        End::Replace => {
            scheduling::undo();
            tracing::info!("restarting");
        }
    }
    Ok(end)
}

/// Logs what was found in a configuration, one line each, and returns the lines.
pub fn log_diagnostics(loaded: &Loaded) -> Vec<String> {
    let mut lines = Vec::new();
    for diagnostic in loaded.diagnostics.iter() {
        let line = loaded.diagnostics.one_line(diagnostic);
        match diagnostic.severity {
            Severity::Note => tracing::info!("{line}"),
            Severity::Warning => tracing::warn!("{line}"),
            Severity::Error => tracing::error!("{line}"),
        }
        lines.push(line);
    }
    lines
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

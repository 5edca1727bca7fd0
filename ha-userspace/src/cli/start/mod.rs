//! Starting the daemon, whatever it was called as: from a plan to a running daemon, and to how it ended.
//!
//! The order matters: the configuration is read first, so that a bad one costs nothing; then come the network
//! namespace and the background, while there is one thread and nothing is open; then logging, pid files, the daemon.
//! Called by [`super::run`] and [`super::dropin`], which turn command lines into a [`StartPlan`].

pub(crate) mod core_dump;
pub(crate) mod namespace;
pub(crate) mod pidfile;

use std::ffi::OsString;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use nix::sys::statfs::{BPF_FS_MAGIC, statfs};

use super::{DEFAULT_BPFFS, DEFAULT_RUN_DIR};
use crate::config::{self, LoadOptions, Loaded, codes};
use crate::control::runlock::RunLock;
use crate::events;
use crate::logging::{self, Logging};
use crate::net::clock;
use crate::program::REPLACES;
use crate::runtime::{self, End};
use crate::trust;
use pidfile::{Identity, PidFile};

/// What a command line asks for.
#[derive(Debug)]
pub(crate) struct StartPlan {
    /// Configuration file.
    pub(crate) config_file: PathBuf,
    /// For `@id` lines; the short host name where absent.
    pub(crate) config_id: Option<String>,
    /// Network namespace; goes before `net_namespace`.
    pub(crate) namespace: Option<String>,
    /// Run directory; one that fits namespace and instance where absent.
    pub(crate) run_dir: Option<PathBuf>,
    /// Mount point of the BPF file system; likewise.
    pub(crate) bpffs: Option<PathBuf>,
    /// Level of the XDP program's messages.
    pub(crate) bpf_log: Option<aya_log::Level>,
    /// Traffic control may be used by tcx links.
    pub(crate) tcx: bool,
    /// Logging.
    pub(crate) log: logging::Options,
    /// Where the flight recorder writes; one that fits the run directory where absent.
    pub(crate) state_dir: Option<PathBuf>,
    /// No probes, no fence.
    pub(crate) rfc_timers: bool,
    /// A file that is missing or cannot be read makes the whole configuration unusable.
    pub(crate) all_files: bool,
    /// Goes before `umask`.
    pub(crate) umask: Option<u32>,
    /// No BFD sessions: what tracks one counts it as down.
    pub(crate) no_bfd: bool,
    /// Behave as keepalived does.
    pub(crate) service: Option<Service>,
}

/// What only the drop-in does.
#[derive(Debug, Default)]
pub(crate) struct Service {
    /// Go to the background.
    pub(crate) background: bool,
    /// Pid files of the main and of the VRRP process, instead of the usual ones.
    pub(crate) pid_files: [Option<PathBuf>; 2],
    /// To be logged at start.
    pub(crate) remarks: Vec<String>,
    /// Log the configuration.
    pub(crate) dump: bool,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StartOutcome {
    /// As it was told to.
    Stopped,
    /// The configuration cannot be used.
    Unusable,
    /// The configuration file is not there.
    Missing,
    /// Another daemon runs by the pid file.
    Running,
    /// It could not start.
    Failed,
}

/// Runs the daemon.
pub(crate) fn start(plan: StartPlan) -> StartOutcome {
    let began = clock::now();
    // Both now: the directory changes in the background, and an upgrade removes the file that this program came from.
    let again = Again { program: std::env::current_exe(), directory: std::env::current_dir().ok() };
    let config_file = std::path::absolute(&plan.config_file).unwrap_or_else(|_| plan.config_file.clone());
    let known = Arc::new(OnceLock::new());
    let read = reader(&plan, Arc::clone(&known));
    let loaded = read();
    if loaded.fatal {
        let logging = log(&plan.log);
        runtime::log_diagnostics(&loaded);
        tracing::error!("{} cannot be used; `xvrrp check` explains", plan.config_file.display());
        drop(logging);
        return if config_file.exists() { StartOutcome::Unusable } else { StartOutcome::Missing };
    }
    let identity = identity(plan.namespace.as_ref(), &loaded);
    let pid_files = plan.service.as_ref().map(|service| {
        let [main, vrrp] = identity.pid_files();
        let [own_main, own_vrrp] = service.pid_files.clone();
        [own_main.unwrap_or(main), own_vrrp.unwrap_or(vrrp)]
    });
    let run_dir = plan.run_dir.clone().unwrap_or_else(|| identity.below(Path::new(DEFAULT_RUN_DIR)));
    let prepared = prepare(&plan, &identity, pid_files.as_ref(), &run_dir);
    let state_dir = plan.state_dir.clone().unwrap_or_else(|| events::state_dir(&run_dir));
    let recorded = logging::Options { events: Some(state_dir), ..plan.log.clone() };
    let Some(logging) = log(&recorded) else { return StartOutcome::Failed };
    let ended = prepared.and_then(|()| {
        let files = write_pid_files(pid_files)?;
        let _ = known.set(identity.clone());
        runtime::log_diagnostics(&loaded);
        introduce(&plan, &identity, &run_dir, &loaded);
        let options = runtime::Options {
            config_file,
            read,
            run_dir,
            bpffs: Some(plan.bpffs.clone().unwrap_or_else(|| bpffs(&identity))),
            bpf_log: plan.bpf_log,
            tcx: plan.tcx,
            ready,
            began,
        };
        let ended = runtime::start(options, loaded.config).map_err(|error| Failure::Other(once(&error)))?;
        if ended == End::Replace {
            // The same process goes on under the same number.
            files.into_iter().for_each(std::mem::forget);
        }
        Ok(ended)
    });
    if let Err(failure) = &ended {
        tracing::error!("{failure}");
    }
    drop(logging);
    match ended {
        Ok(End::Stopped | End::Left) => StartOutcome::Stopped,
        Ok(End::Replace) => again.exec(plan.service.is_some_and(|service| service.background)),
        Err(Failure::Running(_) | Failure::Keepalived { .. }) => StartOutcome::Running,
        Err(Failure::Other(_)) => StartOutcome::Failed,
    }
}

/// Why the daemon does not start.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("daemon is already running as pid {0}")]
    Running(u32),
    #[error(
        "keepalived (pid {pid}, {}) runs here: two daemons on one configuration fight for its addresses; stop it \
         first: systemctl disable --now keepalived", file.display()
    )]
    Keepalived { pid: u32, file: PathBuf },
    #[error("{0}")]
    Other(String),
}

/// All that has to happen while there is one thread.
fn prepare(
    plan: &StartPlan,
    identity: &Identity,
    pid_files: Option<&[PathBuf; 2]>,
    run_dir: &Path,
) -> Result<(), Failure> {
    let other = |error: &dyn std::fmt::Display| Failure::Other(error.to_string());
    if let Some(pid) = pid_files.and_then(|[main, _]| pidfile::running(main)) {
        return Err(Failure::Running(pid));
    }
    if let Some(name) = &identity.namespace {
        namespace::enter(name).map_err(|error| other(&error))?;
    }
    let [_, vrrp] = pid_files.cloned().unwrap_or_else(|| identity.pid_files());
    if let Some(pid) = pidfile::keepalived_beside(&vrrp) {
        return Err(Failure::Keepalived { pid, file: vrrp });
    }
    if plan.service.as_ref().is_some_and(|service| service.background) {
        // What can be told to the terminal is told now.
        drop(RunLock::acquire(run_dir).map_err(|error| {
            eprintln!("xvrrp: {error}");
            other(&error)
        })?);
        nix::unistd::daemon(false, false).map_err(|error| other(&error))?;
    }
    Ok(())
}

fn write_pid_files(paths: Option<[PathBuf; 2]>) -> Result<Vec<PidFile>, Failure> {
    let write = |path: PathBuf| {
        PidFile::write(path.clone())
            .map_err(|error| Failure::Other(format!("pid file {}: {error}", path.display())))
    };
    paths.into_iter().flatten().map(write).collect()
}

fn log(options: &logging::Options) -> Option<Logging> {
    logging::init(options).map_err(|error| eprintln!("xvrrp: {error}")).ok()
}

/// What tells this daemon from others, from the command line and from the file.
fn identity(namespace: Option<&String>, loaded: &Loaded) -> Identity {
    let global = &loaded.config.global;
    Identity {
        namespace: namespace.or(global.net_namespace.as_ref()).cloned(),
        instance: global.instance.clone(),
        pid_dir: global.use_pid_dir,
    }
}

/// Reads the configuration, now and at every reload.
fn reader(plan: &StartPlan, known: Arc<OnceLock<Identity>>) -> Arc<dyn Fn() -> Loaded + Send + Sync> {
    let (file, config_id, namespace) =
        (plan.config_file.clone(), plan.config_id.clone(), plan.namespace.clone());
    let file = std::path::absolute(&file).unwrap_or(file);
    let (rfc_timers, all_files) = (plan.rfc_timers, plan.all_files);
    let (umask, no_bfd) = (plan.umask, plan.no_bfd);
    Arc::new(move || {
        let mut options = LoadOptions::for_host();
        if let Some(id) = &config_id {
            options.config_id.clone_from(id);
        }
        let mut loaded = config::load(&file, &options);
        if all_files {
            require_all(&mut loaded);
        }
        if let Some(known) = known.get()
            && !loaded.fatal
            && *known != identity(namespace.as_ref(), &loaded)
        {
            tracing::warn!("net_namespace, instance and use_pid_dir only change with a restart");
        }
        let global = &mut loaded.config.global;
        global.process.umask = umask.or(global.process.umask);
        global.no_bfd = no_bfd;
        if rfc_timers {
            loaded.config.instances.iter_mut().for_each(|instance| instance.fast.enabled = false);
        }
        loaded
    })
}

/// Makes a configuration unusable of which a file is missing (`--all-config`).
pub(crate) fn require_all(loaded: &mut Loaded) {
    if loaded.diagnostics.iter().any(|finding| INCOMPLETE.contains(&finding.code)) {
        loaded.fatal = true;
        loaded.config = config::model::Config::default();
    }
}

/// Findings that say that something was not read.
const INCOMPLETE: &[codes::Code] = &[codes::FILE_UNREADABLE, codes::FILE_NOT_TEXT, codes::INCLUDE_NOTHING];

/// The BPF file system, or a directory of it for a daemon with a namespace or an instance: interfaces of the same name
/// in two namespaces share nothing.
fn bpffs(identity: &Identity) -> PathBuf {
    let base = Path::new(DEFAULT_BPFFS);
    let own = identity.below(Path::new(""));
    // Where it is not mounted yet, the daemon mounts it; the pins themselves tell namespaces apart then.
    let mounted = || statfs(base).is_ok_and(|status| status.filesystem_type() == BPF_FS_MAGIC);
    if own.as_os_str().is_empty() || !mounted() {
        return base.to_owned();
    }
    // The BPF file system refuses dots in names.
    let own = base.join(format!("xvrrp-{}", own.to_string_lossy().replace('/', "-").replace('.', ":")));
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&own);
    // Somebody else may have put something of that name there; the pins themselves tell namespaces apart.
    let ours = made.is_ok() && matches!(trust::directory(&own), Ok(Some(())));
    if ours { own } else { base.to_owned() }
}

/// The first lines of the log.
fn introduce(plan: &StartPlan, identity: &Identity, run_dir: &Path, loaded: &Loaded) {
    if let Some(name) = &identity.namespace {
        tracing::info!("in network namespace {name}");
    }
    if plan.run_dir.is_none() && *identity != Identity::default() && run_dir != Path::new(DEFAULT_RUN_DIR) {
        tracing::info!("run directory {}: `xvrrp status --run-dir {0}`", run_dir.display());
    }
    let Some(service) = &plan.service else { return };
    for remark in &service.remarks {
        tracing::info!("{remark}");
    }
    if service.dump {
        for instance in &loaded.config.instances {
            let vips: Vec<_> =
                instance.vips.iter().map(|vip| format!("{}/{}", vip.address, vip.prefix)).collect();
            tracing::info!(
                "configuration: {} on {}: VRID {}, priority {}, interval {} ms, {}",
                instance.name,
                instance.interface,
                instance.vrid,
                instance.priority.get(),
                u32::from(instance.interval.get()) * 10,
                vips.join(" ")
            );
        }
    }
}

/// Tells a service manager that waits for it (sd_notify(3), `Type=notify`).
fn ready() {
    if let Err(error) = sd_notify::notify(false, &[sd_notify::NotifyState::Ready]) {
        tracing::warn!("the service manager cannot be told that xvrrp is ready: {error}");
    }
}

/// What is needed to run the program once more in this process's place.
struct Again {
    program: std::io::Result<PathBuf>,
    directory: Option<PathBuf>,
}

impl Again {
    /// Only returns where it fails.
    fn exec(self, in_background: bool) -> StartOutcome {
        use std::os::unix::process::CommandExt;
        let error = match self.program {
            Ok(program) => {
                let mut arguments = std::env::args_os();
                let mut command = std::process::Command::new(program);
                command.arg0(arguments.next().unwrap_or_else(|| OsString::from("xvrrp"))).args(arguments);
                if in_background {
                    command.arg("--dont-fork");
                }
                if let Some(directory) = self.directory {
                    command.current_dir(directory);
                }
                command.env(REPLACES, "1").exec()
            }
            Err(error) => error,
        };
        eprintln!("xvrrp: cannot restart: {error}");
        StartOutcome::Failed
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

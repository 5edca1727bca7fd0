//! Routing daemons on hosts: start with a configuration text, stop, kill, freeze, read the log.

use std::path::PathBuf;
use std::process::{Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};

use super::frr;
use super::host::Host;
use super::process::Process;
use super::status::Status;
use super::sys;

/// Run directory of xvrrp inside a host.
pub const RUN_DIR: &str = "/run/xvrrp";
const BPFFS: &str = "/sys/fs/bpf";

/// Which program makes the host a VRRP router.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Daemon {
    /// The daemon of this repository; see [`xvrrp_binary`].
    Xvrrp,
    /// The same with `--rfc-timers`: for tests of what RFC 9568 says, which a fast failover would forestall.
    XvrrpRfc,
    /// The machine's keepalived, VRRP part only.
    Keepalived,
    /// A keepalived that knows `auth_hmac` as it is since 2.4.2: `$XVRRP_KEEPALIVED24`, or the machine's.
    Keepalived24,
    /// FRR's vrrpd with zebra; the configuration is FRR's. Call [`Host::frr_macvlan`] before.
    FrrVrrpd,
}

impl Daemon {
    /// Its name as people write it; also of its log file.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Xvrrp | Self::XvrrpRfc => "xvrrp",
            Self::Keepalived | Self::Keepalived24 => "keepalived",
            Self::FrrVrrpd => "vrrpd",
        }
    }

    /// What is missing on this machine to run it, if anything.
    #[must_use]
    pub fn missing(self) -> Option<String> {
        match self {
            Self::Xvrrp | Self::XvrrpRfc => xvrrp_binary().err().map(|error| error.to_string()),
            Self::Keepalived => super::requirements::missing_tool("keepalived"),
            Self::Keepalived24 => keepalived24().err().map(|error| format!("{error:#}")),
            Self::FrrVrrpd => {
                let there = std::path::Path::new(frr::DIR).join("vrrpd").exists();
                (!there).then(|| format!("{}/vrrpd is missing: install frr", frr::DIR))
            }
        }
    }
}

/// A daemon that was started on a host. Dropping it kills it, unless the lab is a persistent one.
#[derive(Debug)]
pub struct Running {
    daemon: Daemon,
    host: String,
    process: Process,
    /// Processes started for it; ended after it.
    helpers: Vec<Process>,
    log: PathBuf,
}

impl Host {
    /// Starts `daemon` with `config` as the text of its configuration file and returns once the process
    /// runs; it may not have read the file yet.
    pub fn start(&self, daemon: Daemon, config: &str) -> Result<Running> {
        self.start_with(daemon, config, &[])
    }

    /// Like [`Host::start`], with further command line arguments.
    pub fn start_with(&self, daemon: Daemon, config: &str, arguments: &[&str]) -> Result<Running> {
        self.start_in(daemon, config, arguments, &[])
    }

    /// Like [`Host::start_with`], with further variables in its environment.
    pub fn start_in(
        &self,
        daemon: Daemon,
        config: &str,
        arguments: &[&str],
        variables: &[(&str, &str)],
    ) -> Result<Running> {
        let file = match daemon {
            Daemon::FrrVrrpd => frr::CONFIG,
            Daemon::Xvrrp | Daemon::XvrrpRfc | Daemon::Keepalived | Daemon::Keepalived24 => {
                "/etc/keepalived/keepalived.conf"
            }
        };
        self.write(file, config, 0o644)?;
        let mut helpers = Vec::new();
        let mut command = match daemon {
            Daemon::Xvrrp | Daemon::XvrrpRfc => {
                let mut command = self.xvrrp(&["run"])?;
                command.args(["-f", file, "--run-dir", RUN_DIR, "--bpffs", BPFFS]);
                if daemon == Daemon::XvrrpRfc {
                    command.arg("--rfc-timers");
                }
                command
            }
            Daemon::Keepalived => {
                let mut command = Command::new("keepalived");
                command.args(["-n", "-l", "-D", "-P", "-f", file, "-p", "/run/keepalived.pid"]);
                command.args(["-r", "/run/keepalived-vrrp.pid"]);
                sys::realtime_child(&mut command);
                command
            }
            Daemon::Keepalived24 => {
                let mut command = Command::new(self.path_of_machine(keepalived24()?));
                command.args(["-n", "-l", "-D", "-f", file, "-p", "/run/keepalived.pid"]);
                command.args(["-r", "/run/keepalived-vrrp.pid"]);
                sys::realtime_child(&mut command);
                command
            }
            Daemon::FrrVrrpd => {
                helpers.push(frr::start_zebra(self)?);
                frr::vrrpd()
            }
        };
        let log_name = format!("/run/lab/{}.log", daemon.name());
        let log = self.log_file(&log_name)?;
        command.args(arguments).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        command.envs(variables.iter().copied());
        let process = self.spawn(command)?;
        Ok(Running { daemon, host: self.name().to_owned(), process, helpers, log: self.path(&log_name) })
    }

    /// A command that runs xvrrp inside this host. Give it to [`Host::spawn`].
    pub fn xvrrp(&self, arguments: &[&str]) -> Result<Command> {
        let mut command = Command::new(self.path_of_machine(xvrrp_binary()?));
        command.args(arguments);
        Ok(command)
    }

    /// Runs `xvrrp` inside this host to its end; its output, whatever its exit status.
    pub fn run_xvrrp(&self, arguments: &[&str]) -> Result<Output> {
        let binary = self.path_of_machine(xvrrp_binary()?);
        let mut words = vec![binary.to_str().context("the path of xvrrp is not UTF-8")?];
        words.extend(arguments);
        self.run(&words)
    }

    /// What `xvrrp status --json` prints on this host.
    pub fn xvrrp_status(&self) -> Result<Status> {
        let binary = self.path_of_machine(xvrrp_binary()?);
        let binary = binary.to_str().context("the path of xvrrp is not UTF-8")?;
        let text = self.xvrrp_status_text(&[binary, "status", "--json", "--run-dir", RUN_DIR])?;
        serde_json::from_str(&text).with_context(|| format!("reading the status of xvrrp:\n{text}"))
    }

    /// Standard output of `xvrrp status`, whose exit code says how the instances are: only without an answer it is an error.
    ///
    /// # Errors
    ///
    /// No daemon answers.
    pub fn xvrrp_status_text(&self, words: &[&str]) -> Result<String> {
        let output = self.run(words)?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(
            matches!(output.status.code(), Some(0..=2)),
            "{}: {}: {}: {text}{}",
            words.join(" "),
            self.name(),
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(text)
    }
}

impl Running {
    /// Which daemon it is.
    #[must_use]
    pub fn daemon(&self) -> Daemon {
        self.daemon
    }

    /// Whether it was started on `host`.
    #[must_use]
    pub fn runs_on(&self, host: &Host) -> bool {
        self.host == host.name()
    }

    /// Pid of the main process, as the machine sees it.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Everything it has logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read(&self.log).map_or_else(
            |error| format!("(no log: {error})"),
            |bytes| String::from_utf8_lossy(&bytes).into_owned(),
        )
    }

    /// An error with the end of its log if it has ended.
    pub fn check_alive(&mut self) -> Result<()> {
        if let Some(status) = self.process.try_wait()? {
            bail!("{} ended: {status}\n{}", self.daemon.name(), self.log());
        }
        Ok(())
    }

    /// Stops it gracefully: SIGTERM, ten seconds of patience, then SIGKILL. `None` if it had to be killed.
    pub fn stop(&mut self) -> Result<Option<ExitStatus>> {
        let status = self.process.stop(Duration::from_secs(10))?;
        for helper in &mut self.helpers {
            helper.stop(Duration::from_secs(5))?;
        }
        Ok(status)
    }

    /// SIGKILL to the daemon with all of its processes, as the out-of-memory killer or a crash would.
    /// Whatever it has installed in the kernel stays.
    pub fn kill9(&mut self) -> Result<()> {
        // Stopped first: a child must not get to clean up because its parent died a moment earlier.
        self.process.signal_tree(Signal::SIGSTOP)?;
        self.process.signal_tree(Signal::SIGKILL)?;
        self.process.wait(Duration::from_secs(5))?;
        for helper in &mut self.helpers {
            helper.signal_tree(Signal::SIGKILL)?;
            helper.wait(Duration::from_secs(5))?;
        }
        Ok(())
    }

    /// SIGSTOP to the daemon with all of its processes.
    pub fn freeze(&self) -> Result<()> {
        Ok(self.process.signal_tree(Signal::SIGSTOP)?)
    }

    /// SIGCONT after [`Running::freeze`].
    pub fn thaw(&self) -> Result<()> {
        Ok(self.process.signal_tree(Signal::SIGCONT)?)
    }

    /// Sends a signal, such as SIGHUP for a reload, to the main process.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        Ok(self.process.signal(signal)?)
    }

    /// Sends what the service manager sends xvrrp for a planned restart (`RestartKillSignal` of the packaged unit): it
    /// ends, and its role waits for the next run.
    pub fn leave_for_restart(&self) -> Result<()> {
        // A real-time signal, which nix has no name for.
        // `SIGRTMIN+1` as service managers count, whatever the C library of this program keeps for itself.
        let order = format!("kill -35 {}", self.pid());
        let status = Command::new("sh").args(["-c", &order]).status().context("running sh")?;
        ensure!(status.success(), "{order}: {status}");
        Ok(())
    }

    /// The state of the instance that was logged last by keepalived: `MASTER`, `BACKUP`, `FAULT` or `INIT`.
    #[must_use]
    pub fn keepalived_state(&self) -> String {
        let log = self.log();
        let entered = |line: &str| Some(line.split_once("Entering ")?.1.split_once(" STATE")?.0.to_owned());
        log.lines().rev().find_map(entered).unwrap_or_else(|| "INIT".to_owned())
    }
}

/// A keepalived of version 2.4.2 or later.
fn keepalived24() -> Result<PathBuf> {
    let given = std::env::var_os("XVRRP_KEEPALIVED24").map(PathBuf::from);
    let way_out =
        "for auth_hmac, a keepalived of 2.4.2 or later is wanted: set XVRRP_KEEPALIVED24 to its path";
    let path = match given {
        Some(path) => path,
        None => ["/usr/sbin/keepalived", "/usr/local/sbin/keepalived"]
            .into_iter()
            .map(PathBuf::from)
            .find(|path| path.exists())
            .context(way_out)?,
    };
    let output = Command::new(&path).arg("--version").output().context(way_out)?;
    let text =
        String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    let version = text.split_once("Keepalived v").map(|(_, rest)| rest);
    let version = version.and_then(|rest| rest.split(|c: char| c != '.' && !c.is_ascii_digit()).next());
    let numbers: Vec<u32> = version.unwrap_or_default().split('.').flat_map(str::parse).collect();
    ensure!(
        numbers >= vec![2, 4, 2],
        "{} is {}; {way_out}",
        path.display(),
        version.unwrap_or("no keepalived")
    );
    Ok(path)
}

/// The xvrrp to test: `$XVRRP_BIN`, or the newest of `target/{release,debug}/xvrrp` of the build directory
/// that the running program belongs to.
pub fn xvrrp_binary() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("XVRRP_BIN") {
        let path = PathBuf::from(path);
        return path.canonicalize().with_context(|| format!("XVRRP_BIN={}", path.display()));
    }
    let here = std::env::current_exe()?;
    let newest = here
        .ancestors()
        .flat_map(|dir| ["release", "debug"].map(|profile| dir.join(profile).join("xvrrp")))
        .filter_map(|path| Some((path.metadata().ok()?.modified().ok()?, path)))
        .max();
    newest.map(|(_, path)| path).context("xvrrp is not built: run `cargo build --release -p ha-userspace`")
}

//! The package where systemd is the first process: systemd-nspawn boots a throw-away copy of a minimal Debian.
//!
//! What only a service manager shows: beside keepalived nothing is started; the switch from it; what a reload answers that
//! is refused; a restart and an upgrade that move no address; a frozen daemon that is ended; a removal that leaves nothing.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    thread::sleep,
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use ha_tests::lab::wait_for;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::{BESIDE, CONFIGURATION, PATIENCE};
use crate::sys;

/// What the system has besides the least.
pub(super) const PACKAGES: &str = "systemd,systemd-sysv,dbus,iproute2,keepalived";
const FILE: &str = "/etc/keepalived/keepalived.conf";
/// Short, and several times as long as a turn may take.
const WATCHDOG: &str = "[Service]\nWatchdogSec=3\n";

/// A system that has booted. It ends with this value, and nothing of it is left.
struct Booted {
    /// systemd-nspawn.
    container: std::process::Child,
    /// Its systemd.
    first: u32,
}

impl Drop for Booted {
    fn drop(&mut self) {
        // Its end is the container's.
        if let Ok(first) = i32::try_from(self.first) {
            let _ = kill(Pid::from_raw(first), Signal::SIGKILL);
        }
        let _ = self.container.kill();
        let _ = self.container.wait();
    }
}

impl Booted {
    fn boot(base: &Path, package: &Path) -> Result<Self> {
        let mut nspawn = sys::tool("systemd-nspawn");
        nspawn.args(["--quiet", "--register=no", "--keep-unit", "--boot", "--volatile=overlay"]);
        // Each is one that the daemon's unit has, or what booting takes.
        nspawn.args(["--private-network", "--capability=all"]);
        nspawn.args([
            "--system-call-filter=bpf perf_event_open @mount",
            "--console=pipe",
            "--link-journal=no",
        ]);
        nspawn.arg("--directory").arg(base);
        nspawn.arg(format!("--bind-ro={}:/xvrrp.deb", package.display()));
        nspawn.stdout(Stdio::null()).stderr(Stdio::null());
        let container = nspawn.spawn().context("cannot start systemd-nspawn")?;
        let pid = container.id();
        let mut booted = Self { container, first: 0 };
        let first = wait_for(PATIENCE, || systemd_below(pid));
        booted.first = first.context("systemd did not start in the container")?;
        let up = wait_for(PATIENCE, || {
            let state = booted.output(&["systemctl", "is-system-running"]);
            ["running", "degraded"].contains(&state.trim()).then_some(())
        });
        ensure!(up.is_some(), "the container did not boot: {}", booted.output(&["systemctl", "list-jobs"]));
        Ok(booted)
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = sys::tool("nsenter");
        command.args(["--target", &self.first.to_string(), "--mount", "--net", "--pid", "--uts", "--ipc"]);
        command.args(["--root", "--wd=/", "--"]).args(words);
        command
    }

    /// What a program says on both outputs, whatever its end.
    fn output(&self, words: &[&str]) -> String {
        self.try_run(words).unwrap_or_else(|error| format!("{error:#}"))
    }

    fn try_run(&self, words: &[&str]) -> Result<String> {
        let output = self.command(words).output().with_context(|| format!("cannot start {words:?}"))?;
        let text =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        if !output.status.success() {
            bail!("`{}`: {}: {}", words.join(" "), output.status, text.trim());
        }
        Ok(text)
    }

    fn write(&self, path: &str, text: &str) -> Result<()> {
        let path =
            Path::new("/proc").join(self.first.to_string()).join("root").join(path.trim_start_matches('/'));
        fs::create_dir_all(path.parent().unwrap_or(&path))?;
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    }

    /// One property of the unit.
    fn shows(&self, property: &str) -> String {
        self.output(&["systemctl", "show", "--value", "--property", property, "xvrrp"]).trim().to_owned()
    }

    fn becomes(&self, property: &str, wanted: &str) -> Result<()> {
        let is = wait_for(PATIENCE, || (self.shows(property) == wanted).then_some(()));
        is.with_context(|| {
            format!("{property} is `{}` and not `{wanted}`; {}", self.shows(property), self.log())
        })
    }

    fn log(&self) -> String {
        let log = self.output(&["journalctl", "--no-pager", "--output=short-precise", "--unit=xvrrp"]);
        format!("the log:\n{log}")
    }

    fn has_address(&self) -> bool {
        self.output(&["ip", "-brief", "address"]).contains(super::ADDRESS)
    }
}

/// The process called systemd that descends from `pid`.
fn systemd_below(pid: u32) -> Option<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    children.split_whitespace().filter_map(|child| child.parse().ok()).find_map(|child: u32| {
        let name = fs::read_to_string(format!("/proc/{child}/comm")).unwrap_or_default();
        if name.trim() == "systemd" { Some(child) } else { systemd_below(child) }
    })
}

/// Installs, switches, changes and removes.
///
/// # Errors
/// When a step fails; it says which.
pub(super) fn check(base: &Path, package: &Path) -> Result<()> {
    let system = Booted::boot(base, package)?;
    system.try_run(&["ip", "link", "add", "ens160", "type", "veth", "peer", "name", "other"])?;
    system.try_run(&["ip", "address", "add", "172.16.1.1/24", "dev", "ens160"])?;
    for interface in ["ens160", "other"] {
        system.try_run(&["ip", "link", "set", interface, "up"])?;
    }
    system.write(FILE, CONFIGURATION)?;
    system.try_run(&["systemctl", "enable", "--now", "keepalived"])?;
    let said = system.try_run(&["dpkg", "-i", "/xvrrp.deb"])?;
    ensure!(said.contains(BESIDE), "nothing was said of keepalived: {said}");
    ensure!(
        system.output(&["systemctl", "is-active", "keepalived"]).trim() == "active",
        "keepalived stopped"
    );
    ensure!(
        system.shows("ActiveState") == "inactive" && system.shows("UnitFileState") == "disabled",
        "a new unit beside keepalived is {} and {}",
        system.shows("ActiveState"),
        system.shows("UnitFileState")
    );

    let said = system.try_run(&[
        "systemd-analyze",
        "--man=no",
        "verify",
        "/usr/lib/systemd/system/xvrrp.service",
    ])?;
    ensure!(!said.contains("xvrrp"), "systemd complains of the unit: {said}");
    system.try_run(&["systemctl", "disable", "--now", "keepalived"])?;
    system.try_run(&["systemctl", "enable", "--now", "xvrrp"])?;
    system.becomes("StatusText", "1 MASTER")?;
    ensure!(system.has_address(), "the address is not there");
    reload(&system)?;
    stay(&system)?;
    freeze(&system)?;

    system.try_run(&["dpkg", "--remove", "xvrrp"])?;
    ensure!(!system.has_address(), "the address is left");
    ensure!(
        system.output(&["systemctl", "is-active", "xvrrp"]).trim() != "active",
        "it runs after its removal"
    );
    system.try_run(&["dpkg", "--purge", "xvrrp"])?;
    ensure!(system.try_run(&["test", "-e", "/run/xvrrp"]).is_err(), "the run directory is left");
    let places = ["find", "/etc", "/usr", "/var/lib", "-path", "/var/lib/dpkg", "-prune", "-o"];
    let left = system.try_run(&[&places[..], &["-name", "*xvrrp*", "-print"]].concat())?;
    ensure!(left.trim().is_empty(), "left after the removal: {left}");
    Ok(())
}

/// A reload that is refused fails, and changes nothing.
fn reload(system: &Booted) -> Result<()> {
    system.write(FILE, &CONFIGURATION.replace("virtual_router_id 9", "virtual_router_id 900"))?;
    let refused = system.try_run(&["systemctl", "reload", "xvrrp"]);
    ensure!(refused.is_err(), "a reload that was refused succeeded");
    system.becomes("StatusText", "1 MASTER, the latest reload was refused")?;
    ensure!(system.shows("ActiveState") == "active", "the unit is {}", system.shows("ActiveState"));
    system.write(FILE, CONFIGURATION)?;
    system.try_run(&["systemctl", "reload", "xvrrp"])?;
    system.becomes("StatusText", "1 MASTER")
}

/// Restarts and an upgrade keep the role, and move no address.
fn stay(system: &Booted) -> Result<()> {
    let monitor =
        system.command(&["timeout", "60", "ip", "monitor", "address"]).stdout(Stdio::piped()).spawn();
    let mut monitor = monitor.context("cannot start ip monitor")?;
    sleep(Duration::from_millis(300));
    for how in [&["systemctl", "restart", "xvrrp"][..], &["xvrrp", "restart"], &["dpkg", "-i", "/xvrrp.deb"]]
    {
        system.try_run(how)?;
        system.becomes("StatusText", "1 MASTER")?;
    }
    // A file that would stop what runs keeps an upgrade from restarting it.
    system.write(FILE, &CONFIGURATION.replace("virtual_router_id 9", "virtual_router_id 900"))?;
    let before = system.shows("MainPID");
    let said = system.try_run(&["dpkg", "-i", "/xvrrp.deb"])?;
    ensure!(said.contains("xvrrp: not restarted"), "nothing was said of the error: {said}");
    ensure!(system.shows("MainPID") == before, "an upgrade restarted into an error");
    system.write(FILE, CONFIGURATION)?;
    sleep(Duration::from_millis(300));
    monitor.kill()?;
    let said = monitor.wait_with_output()?;
    let said = String::from_utf8_lossy(&said.stdout);
    ensure!(!said.contains(super::ADDRESS), "the address moved: {said}\n{}", system.log());
    Ok(())
}

/// A frozen daemon is ended and started again.
fn freeze(system: &Booted) -> Result<()> {
    system.write("/etc/systemd/system/xvrrp.service.d/watchdog.conf", WATCHDOG)?;
    system.try_run(&["systemctl", "daemon-reload"])?;
    system.try_run(&["systemctl", "restart", "xvrrp"])?;
    system.becomes("StatusText", "1 MASTER")?;
    system.try_run(&["systemctl", "kill", "--signal=STOP", "--kill-whom=main", "xvrrp"])?;
    system.becomes("NRestarts", "1")?;
    system.becomes("StatusText", "1 MASTER")?;
    system.try_run(&["rm", "-r", "/etc/systemd/system/xvrrp.service.d"]).map(drop)
}

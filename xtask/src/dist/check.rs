//! `cargo xtask dist --check`: the packages as their users meet them.
//!
//! In a Debian 12 of its own, on a host of the lab: installed, the daemon started and asked, the package upgraded under it,
//! removed, and nothing is left. Then the same with the package for RPM, by Debian's rpm(8), in the same system. There is no
//! service manager in it: what the scripts do with one is tried in another one, which is booted ([`booted`]).

mod booted;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use ha_tests::lab::{Host, Lab, Topology, wait_for};
use nix::sys::signal::Signal;

use crate::{setup, sys};

/// The release, and where it comes from where the machine's own sources do not say.
const RELEASE: &str = "bookworm";
const MIRROR: &str = "http://deb.debian.org/debian";
/// What is installed into, on the host.
const ROOT: &str = "/tmp/debian";
/// More than the slowest machine needs to load a program and to hear nobody.
const PATIENCE: Duration = Duration::from_secs(60);
const ADDRESS: &str = "172.16.1.25";
/// What the scripts say beside keepalived.
const BESIDE: &str = "keepalived runs here or starts at boot";

/// With an interval that no restart exceeds, however slow the machine.
const CONFIGURATION: &str = "vrrp_instance VI_1 {\n    interface ens160\n    virtual_router_id 9\n    advert_int 1\n    \
                             version 3\n    virtual_ipaddress {\n        172.16.1.25\n    }\n}\n";

/// Tries both packages.
///
/// # Errors
/// When a step fails; it says which.
pub(crate) fn run(deb: &Path, rpm: &Path, dist: &Path) -> Result<()> {
    setup::ensure(setup::Need::Lab)?;
    setup::ensure_programs(&["debootstrap", "rpm"])?;
    if sys::find("systemd-nspawn").is_none() {
        setup::install(&["systemd-container"])?;
    }
    let directory = dist.join("check");
    let base = bootstrapped(&directory, RELEASE, &[])?;
    let bootable = bootstrapped(
        &directory,
        &format!("{RELEASE}-systemd"),
        &[&format!("--include={}", booted::PACKAGES)],
    )?;
    let lab = Lab::new(Topology::routers(1))?;
    let system = System::enter(lab.host("r1")?, &base)?;
    println!("==> Installing, running and removing the packages in {RELEASE}");
    debian(&system, deb).with_context(|| deb.display().to_string())?;
    println!("    {}: ok", deb.display());
    red_hat(&system, rpm).with_context(|| rpm.display().to_string())?;
    println!("    {}: ok", rpm.display());
    booted::check(&bootable, deb).context("where systemd has booted")?;
    println!("    with systemd: ok");
    Ok(())
}

/// A minimal system, which is kept for the next time.
fn bootstrapped(directory: &Path, name: &str, options: &[&str]) -> Result<PathBuf> {
    let base = directory.join(name);
    if base.is_dir() {
        return Ok(base);
    }
    fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
    let unfinished = directory.join(format!("{name}.unfinished"));
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished).with_context(|| format!("cannot remove {}", unfinished.display()))?;
    }
    let mut bootstrap = sys::tool("debootstrap");
    bootstrap
        .arg("--variant=minbase")
        .args(options)
        .arg(RELEASE)
        .arg(&unfinished)
        .arg(mirror())
        .stdout(Stdio::null());
    sys::run("Getting a minimal Debian (once)", &mut bootstrap)?;
    fs::rename(&unfinished, &base)?;
    Ok(base)
}

/// The mirror that this machine uses.
fn mirror() -> String {
    let mut policy = sys::tool("apt-get");
    policy.args([
        "indextargets",
        "--format",
        "$(SITE) $(REPO_URI)",
        "Created-By: Packages",
        "Codename: bookworm",
    ]);
    let lines = sys::output(&mut policy).unwrap_or_default();
    let first = lines.lines().find_map(|line| line.split_whitespace().last());
    first.map_or_else(|| MIRROR.to_owned(), |uri| uri.trim_end_matches('/').to_owned())
}

/// The minimal system, writable, on a host of the lab; gone with it.
struct System<'a> {
    host: &'a Host,
}

impl<'a> System<'a> {
    fn enter(host: &'a Host, base: &Path) -> Result<Self> {
        let lower = host.path_of_machine(base);
        let layers =
            format!("lowerdir={},upperdir=/tmp/layers/upper,workdir=/tmp/layers/work", lower.display());
        host.output(&["mkdir", "-p", "/tmp/layers", ROOT])?;
        // An overlay's upper layer cannot lie on every file system; on this one it can.
        host.output(&["mount", "-t", "tmpfs", "tmpfs", "/tmp/layers"])?;
        host.output(&["mkdir", "/tmp/layers/upper", "/tmp/layers/work"])?;
        host.output(&["mount", "-t", "overlay", "overlay", "-o", &layers, ROOT])?;
        host.output(&["mount", "-t", "proc", "proc", &format!("{ROOT}/proc")])?;
        host.output(&["mount", "--rbind", "/sys", &format!("{ROOT}/sys")])?;
        host.output(&["mount", "--rbind", "/dev", &format!("{ROOT}/dev")])?;
        host.output(&["mount", "-t", "tmpfs", "tmpfs", &format!("{ROOT}/run")])?;
        let system = Self { host };
        system.write("/etc/keepalived/keepalived.conf", CONFIGURATION)?;
        Ok(system)
    }

    fn write(&self, path: &str, content: impl AsRef<[u8]>) -> Result<()> {
        self.host.write(format!("{ROOT}{path}"), content, 0o644)
    }

    fn has(&self, path: &str) -> bool {
        self.host.path(format!("{ROOT}{path}")).symlink_metadata().is_ok()
    }

    /// Runs a program in it; both outputs.
    fn run(&self, words: &[&str]) -> Result<String> {
        let output = self.host.run(&[&["chroot", ROOT], words].concat())?;
        let text =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        if !output.status.success() {
            bail!("`{}`: {}: {}", words.join(" "), output.status, text.trim());
        }
        Ok(text)
    }

    /// Whether the daemon answers that it is master.
    fn is_master(&self) -> bool {
        // The exit code says how well the router is; a router alone is not well.
        let output = self.host.run(&["chroot", ROOT, "xvrrp", "status", "--json"]);
        let answer = output.ok().and_then(|output| serde_json::from_slice(&output.stdout).ok());
        answer.is_some_and(|status: serde_json::Value| status["instances"][0]["state"] == "MASTER")
    }

    /// Starts the daemon, and does `meanwhile` once it is master; then it stops as a unit would stop it.
    fn daemon(&self, meanwhile: impl FnOnce() -> Result<()>) -> Result<()> {
        let mut command = Command::new("chroot");
        command.args([ROOT, "xvrrp", "run"]).stdin(Stdio::null());
        let log = fs::File::create(self.host.path("/tmp/xvrrp.log"))?;
        command.stdout(log.try_clone()?).stderr(log);
        let mut daemon = self.host.spawn(command)?;
        let said = || self.host.read("/tmp/xvrrp.log").unwrap_or_default();
        let master = wait_for(PATIENCE, || self.is_master().then_some(()));
        ensure!(master.is_some(), "the daemon is not master; it said:\n{}", said());
        ensure!(self.host.holds(ADDRESS.parse()?)?, "the address is not there; it said:\n{}", said());
        meanwhile()?;
        ensure!(daemon.try_wait()?.is_none(), "the daemon has ended; it said:\n{}", said());
        daemon.signal(Signal::SIGTERM)?;
        let ended = daemon.wait(PATIENCE)?;
        ensure!(ended.is_some_and(|status| status.success()), "{ended:?} at the stop; it said:\n{}", said());
        ensure!(!self.host.holds(ADDRESS.parse()?)?, "the address is left");
        Ok(())
    }

    /// Nothing of `files` is there any more, and nothing in the kernel.
    fn is_clean(&self, files: &str) -> Result<()> {
        let ours = files.lines().filter(|path| path.contains("xvrrp"));
        let left: Vec<&str> = ours.filter(|path| self.has(path)).collect();
        ensure!(left.is_empty(), "left after the removal: {left:?}");
        ensure!(!self.has("/run/xvrrp"), "the run directory is left");
        let pins = self.host.output(&["find", "/sys/fs/bpf", "-name", "link"])?;
        ensure!(pins.is_empty(), "programs are left: {pins}");
        ensure!(self.has("/etc/keepalived/keepalived.conf"), "the configuration was removed");
        Ok(())
    }
}

fn debian(system: &System<'_>, package: &Path) -> Result<()> {
    system.write("/xvrrp.deb", fs::read(package)?)?;
    // A keepalived, as far as the script can see.
    system.write("/run/keepalived.pid", "1\n")?;
    let said = system.run(&["dpkg", "-i", "/xvrrp.deb"])?;
    ensure!(said.contains(BESIDE), "nothing was said of keepalived: {said}");
    system.run(&["dpkg", "--purge", "xvrrp"])?;
    fs::remove_file(system.host.path(format!("{ROOT}/run/keepalived.pid")))?;

    let said = system.run(&["dpkg", "-i", "/xvrrp.deb"])?;
    ensure!(!said.contains(BESIDE), "there is no keepalived: {said}");
    installed(system)?;
    let files = system.run(&["dpkg", "-L", "xvrrp"])?;
    system.daemon(|| system.run(&["dpkg", "-i", "/xvrrp.deb"]).map(drop))?;
    system.run(&["dpkg", "--remove", "xvrrp"])?;
    ensure!(system.has("/etc/default/xvrrp"), "a removal keeps settings");
    system.run(&["dpkg", "--purge", "xvrrp"])?;
    system.is_clean(&files)
}

fn red_hat(system: &System<'_>, package: &Path) -> Result<()> {
    let copy = "/tmp/xvrrp.rpm";
    system.host.write(copy, fs::read(package)?, 0o644)?;
    // The system's libraries are none of RPM's, so that it knows no dependencies.
    let rpm = |words: &[&str]| system.host.output(&[&["rpm", "--root", ROOT, "--nodeps"], words].concat());
    let files = system.host.output(&["rpm", "-qlp", copy])?;
    let scripts = system.host.output(&["rpm", "-qp", "--scripts", copy])?;
    ensure!(scripts.contains("systemctl"), "no scripts: {scripts}");
    rpm(&["-i", copy])?;
    installed(system)?;
    rpm(&["-V", "xvrrp"])?;
    system.daemon(|| rpm(&["-U", "--force", copy]).map(drop))?;
    rpm(&["-e", "xvrrp"])?;
    system.is_clean(&files)
}

/// What a package brings works.
fn installed(system: &System<'_>) -> Result<()> {
    let version = system.run(&["xvrrp", "--version"])?;
    ensure!(version.trim() == format!("xvrrp {}", env!("CARGO_PKG_VERSION")), "{version}");
    for path in ["/usr/share/man/man8/xvrrp-status.8.gz", "/usr/share/man/man5/xvrrp.conf.5.gz"] {
        // A minimal system leaves manual pages out when dpkg is told so.
        let left_out = system.has("/etc/dpkg/dpkg.cfg.d/docker");
        ensure!(left_out || system.has(path), "{path} is missing");
    }
    system.run(&["bash", "-n", "/usr/share/bash-completion/completions/xvrrp"])?;
    system.run(&["xvrrp", "check"]).map(drop)
}

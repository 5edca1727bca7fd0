//! A router of the guest's lab: its daemon, started and ended in every way, and what it says of itself.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use super::outage::VIP;
use crate::lab::{Daemon, Host, InterfaceStatus, Lab, RUN_DIR, Running, wait_for};

/// Where pins are, inside a host.
const PINS: &str = "/sys/fs/bpf/xvrrp";
/// Patience with a slow processor.
pub(super) const LONG: Duration = Duration::from_secs(40);

const STEP: Duration = Duration::from_millis(150);
/// A backup whose probes are answered is known to its master after this, for all its processor.
const KNOWN: Duration = Duration::from_millis(500);

/// A host with a daemon.
pub(super) struct Router<'a> {
    pub(super) host: &'a Host,
    config: String,
    pub(super) daemon: Running,
}

impl<'a> Router<'a> {
    pub(super) fn start(lab: &'a Lab, name: &str, config: &str) -> Result<Self> {
        let host = lab.host(name)?;
        Ok(Self { host, config: config.to_owned(), daemon: host.start(Daemon::Xvrrp, config)? })
    }

    /// Starts a daemon anew where the last one has ended.
    pub(super) fn start_again(&mut self) -> Result<()> {
        self.daemon = self.host.start(Daemon::Xvrrp, &self.config)?;
        Ok(())
    }

    /// Waits until the last daemon has ended.
    pub(super) fn ended(&mut self) -> Result<()> {
        wait_for(LONG, || self.daemon.check_alive().is_err().then_some(())).context("the daemon does not end")
    }

    pub(super) fn holds(&self) -> Result<bool> {
        self.host.holds(VIP.into())
    }

    /// Waits until it has the address, or has it not.
    pub(super) fn until_holds(&self, wanted: bool) -> Result<()> {
        let name = self.host.name();
        let what = if wanted { "does not get the address" } else { "keeps the address" };
        until(|| (self.holds().ok()? == wanted).then_some(())).with_context(|| format!("{name} {what}"))
    }

    pub(super) fn interface(&self) -> Result<InterfaceStatus> {
        let status = self.host.xvrrp_status()?;
        status.interfaces.into_iter().next().context("status shows no interface")
    }

    /// Waits until it probes the other one.
    pub(super) fn until_probes(&self) -> Result<InterfaceStatus> {
        let fast = || self.interface().ok().filter(|interface| interface.peers.iter().any(|peer| peer.fast));
        let Some(interface) = until(fast) else {
            let last = self.interface()?;
            bail!("no peer answers probes: {:?}", last.peers);
        };
        // It is known there after a while of probing, and told the truth about a death.
        std::thread::sleep(KNOWN);
        Ok(interface)
    }

    /// Runs `xvrrp` with arguments and the run directory; what it printed.
    pub(super) fn order(&self, word: &str) -> Result<String> {
        self.host.output(&["xvrrp", word, "--run-dir", RUN_DIR])
    }

    /// The daemon's resident, anonymous and locked memory in kB.
    pub(super) fn memory(&self) -> Result<[u64; 3]> {
        let text = fs::read_to_string(format!("/proc/{}/status", self.daemon.pid()))?;
        let field = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
            line.split_whitespace().next()?.parse().ok()
        };
        let read = |name: &str| field(name).with_context(|| format!("no {name} in /proc"));
        Ok([read("VmRSS")?, read("RssAnon")?, read("VmLck")?])
    }

    /// All pins below the daemon's directory, as the host sees them.
    pub(super) fn pins(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        files(&self.host.path(PINS), Path::new(PINS), &mut found);
        found
    }

    /// What `bpftool` shows of the map `name`.
    pub(super) fn dump(&self, name: &str) -> Result<String> {
        let pin = self.pins().into_iter().find(|path| path.ends_with(name));
        let pin = pin.with_context(|| format!("{name} is not pinned"))?;
        self.host.output(&["bpftool", "map", "dump", "pinned", &pin.to_string_lossy()])
    }

    /// Makes the pins those of another version of the maps, `by` higher: what a daemon of that version would have left.
    pub(super) fn other_version(&self, by: i32) -> Result<String> {
        let top = self.host.path(PINS);
        let versions: Vec<String> = fs::read_dir(&top)
            .context("no pins")?
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        let [own] = versions.as_slice() else { bail!("not one version is pinned: {versions:?}") };
        let number: i32 =
            own.strip_prefix('v').and_then(|number| number.parse().ok()).context("no version")?;
        let other = format!("v{}", number + by);
        fs::rename(top.join(own), top.join(&other)).with_context(|| format!("renaming {own} to {other}"))?;
        Ok(format!("{other} to {own}"))
    }

    /// Versions of the maps that are pinned.
    pub(super) fn versions(&self) -> Vec<String> {
        let entries = fs::read_dir(self.host.path(PINS)).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    }

    /// What is left of a daemon that has ended: an error that names it.
    pub(super) fn nothing_left(&self) -> Result<()> {
        let name = self.host.name();
        ensure!(!self.holds()?, "{name} still has the address");
        let pins = self.pins();
        ensure!(pins.is_empty(), "{name} has pins: {pins:?}");
        let links = self.host.output(&["ip", "-d", "link"])?;
        ensure!(!links.contains("xdp"), "{name} has an XDP program");
        Ok(())
    }
}

/// Waits until `found` returns something. It asks rarely: each question starts a program, and the guest's processor is
/// slow.
pub(super) fn until<T>(mut found: impl FnMut() -> Option<T>) -> Option<T> {
    wait_for(LONG, || {
        let value = found();
        if value.is_none() {
            std::thread::sleep(STEP);
        }
        value
    })
}

fn files(directory: &Path, shown: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let shown = shown.join(entry.file_name());
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            files(&entry.path(), &shown, found);
        } else {
            found.push(shown);
        }
    }
}

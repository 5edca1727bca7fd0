//! FRR's bfdd on a host: a BFD neighbour that others have tested.

use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::clock::wait_for;
use super::frr;
use super::host::Host;
use super::process::Process;

const CONFIG: &str = "/run/frr/bfdd.conf";
const VTY: &str = "/run/frr/bfdd.vty";

/// bfdd with the zebra that it needs. Dropping it kills both.
#[derive(Debug)]
pub struct Bfdd {
    process: Process,
    _zebra: Process,
}

/// What is missing to run bfdd on this machine, if anything.
#[must_use]
pub fn missing_bfdd() -> Option<String> {
    let there = ["bfdd", "zebra"].iter().all(|name| std::path::Path::new(frr::DIR).join(name).exists());
    (!there).then(|| format!("{}/bfdd is missing: install frr", frr::DIR))
}

impl Host {
    /// Starts bfdd with the text of its configuration and returns once it takes commands.
    pub fn bfdd(&self, config: &str) -> Result<Bfdd> {
        self.write(CONFIG, config, 0o644)?;
        let zebra = frr::start_zebra(self)?;
        let log = self.log_file("/run/lab/bfdd.log")?;
        let mut command: Command = frr::daemon("bfdd");
        command.args(["-f", CONFIG, "--bfdctl", "/run/frr/bfdd.sock"]);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let _from_an_earlier_run = std::fs::remove_file(self.path(VTY));
        let mut process = self.spawn(command)?;
        if wait_for(Duration::from_secs(5), || self.path(VTY).exists().then_some(())).is_none() {
            bail!("bfdd did not start ({:?}):\n{}", process.try_wait()?, self.read("/run/lab/bfdd.log")?);
        }
        Ok(Bfdd { process, _zebra: zebra })
    }

    /// Gives bfdd commands, one after the other, as typed into its shell.
    pub fn bfdd_says(&self, commands: &[&str]) -> Result<String> {
        let mut words = vec!["vtysh", "--vty_socket", "/run/frr", "-d", "bfdd"];
        words.extend(commands.iter().flat_map(|command| ["-c", command]));
        self.output(&words)
    }

    /// What bfdd believes of its only peer: `status` (`up`, `down`, `init`, `shutdown`), `diagnostic`,
    /// `remote-diagnostic` and the intervals of both sides.
    pub fn bfdd_peer(&self) -> Result<serde_json::Value> {
        let text = self.bfdd_says(&["show bfd peers json"])?;
        let list: serde_json::Value =
            serde_json::from_str(&text).with_context(|| format!("from bfdd: {text}"))?;
        Ok(list[0].clone())
    }
}

impl Bfdd {
    /// SIGKILL: nothing is told to the neighbour.
    pub fn kill9(&mut self) -> Result<()> {
        self.process.signal_tree(nix::sys::signal::Signal::SIGKILL)?;
        self.process.wait(Duration::from_secs(5))?;
        Ok(())
    }
}

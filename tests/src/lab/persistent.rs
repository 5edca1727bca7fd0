//! A lab that outlives the program that built it, for play: `cargo xtask lab up`, `run --keep`.
//!
//! One such lab can exist on a machine. A small file remembers its holder processes, with their start
//! times, so that a recycled process id is never mistaken for a host.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use serde::{Deserialize, Serialize};

use super::process::as_pid;
use super::{Host, Lab, Switch, Topology};

/// Where the persistent lab is remembered.
pub const STATE_FILE: &str = "/run/xvrrp-lab.json";

#[derive(Debug, Serialize, Deserialize)]
struct State {
    topology: Topology,
    /// One per host, in the order of the topology.
    hosts: Vec<Holder>,
    switch: Holder,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Holder {
    pid: u32,
    /// Clock ticks since boot, from `/proc/PID/stat`.
    started: u64,
}

impl Lab {
    /// Builds the persistent lab. Programs started in it go on running when this program ends.
    pub fn up(topology: Topology) -> Result<Self> {
        if Path::new(STATE_FILE).exists() {
            if Self::attach().is_ok() {
                bail!("a lab is up already: `cargo xtask lab down` ends it");
            }
            Self::down()?;
        }
        let mut lab = Self::build(topology, true)?;
        let holder = |pid| Ok(Holder { pid, started: started(pid).context("a holder has died")? });
        let state = State {
            topology: lab.topology().clone(),
            hosts: lab.hosts().iter().map(|host| holder(host.holder_pid())).collect::<Result<_>>()?,
            switch: holder(lab.switch().holder_pid())?,
        };
        fs::write(STATE_FILE, serde_json::to_vec_pretty(&state)?)
            .with_context(|| format!("writing {STATE_FILE}"))?;
        // Only now: a lab that nobody remembers must not stay.
        lab.hosts.iter_mut().for_each(Host::persist);
        lab.switch.namespace.persist();
        Ok(lab)
    }

    /// The persistent lab that an earlier program built.
    pub fn attach() -> Result<Self> {
        let state = State::load()?;
        let alive = |holder: &Holder| started(holder.pid) == Some(holder.started);
        if !state.hosts.iter().chain([&state.switch]).all(alive) {
            bail!("the lab has died, perhaps with a restart: `cargo xtask lab down` forgets it");
        }
        let specs = state.topology.hosts.iter().zip(&state.hosts);
        let hosts = specs
            .map(|(spec, holder)| Host::attach(spec.clone(), &state.topology.interface, holder.pid))
            .collect::<Result<_>>()?;
        Ok(Self { hosts, switch: Switch::attach(state.switch.pid)?, topology: state.topology })
    }

    /// Ends the persistent lab and everything in it; `false` if there was none.
    pub fn down() -> Result<bool> {
        if !Path::new(STATE_FILE).exists() {
            return Ok(false);
        }
        // A file that cannot be read names no process to end.
        let holders =
            State::load().map(|state| [state.hosts, vec![state.switch]].concat()).unwrap_or_default();
        for holder in holders {
            if started(holder.pid) == Some(holder.started) {
                let _just_gone = kill(as_pid(holder.pid), Signal::SIGKILL);
            }
        }
        fs::remove_file(STATE_FILE).with_context(|| format!("removing {STATE_FILE}"))?;
        Ok(true)
    }
}

impl State {
    fn load() -> Result<Self> {
        let text = fs::read_to_string(STATE_FILE).context("no lab is up: `cargo xtask lab up` builds one")?;
        serde_json::from_str(&text)
            .with_context(|| format!("{STATE_FILE} cannot be read: `cargo xtask lab down` forgets it"))
    }
}

/// When a process was started, in clock ticks since boot; `None` if it does not exist or is a zombie.
fn started(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    if fields.next()? == "Z" {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

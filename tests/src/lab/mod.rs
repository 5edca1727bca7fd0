//! The network-namespace lab: hosts on a switch, real daemons on the hosts, witnesses that measure.
//!
//! A [`Lab`] is built from a [`Topology`] in about 100 ms and vanishes when it is dropped, or when the
//! process that built it dies in whatever way. Nothing is registered on the machine, and any number of labs
//! live side by side. Needs root; [`missing`] says what else is not there.
//!
//! - [`Host`]: `output`, `run`, `spawn` programs inside; `write`, `read` files; `holds` an address;
//!   `start` a [`Daemon`] with the text of its configuration, which gives a [`Running`] to `stop`, `kill9`,
//!   `freeze`, `thaw`, read the `log`; `xvrrp_status`; an `injector` of frames.
//! - [`Switch`]: `unplug`/`plug` a cable (the carrier drops), `silence`/`restore` a port (the carrier stays).
//!   [`Lab::impair`] makes a cable lose, delay, reorder and duplicate frames.
//! - Witnesses: [`Switch::watch`] (adverts, ARP, NA, ICMP unreachable at every port, kernel timestamps),
//!   [`Lab::watch_addresses`] (who has an address since when, carriers), [`Host::ping`] (a stream of echo
//!   requests with the times of every packet), [`Lab::arp_census`] (who answers ARP), [`Host::capture`]
//!   (tcpdump), [`Host::sweep`] (when many addresses are answered again), [`Running::usage`] (what a daemon
//!   costs), [`Host::visit`] (a stream of HTTP requests). [`Stress`] makes the machine busy. All times are [`Moment`]s of one clock and can be subtracted.
//! - [`held_up`]: what the machine itself takes away. No test has a bound on time that does not allow for it.
//! - [`wait_for`] waits for a condition; nothing in a test should sleep for an event.
//!
//! An end-to-end test is a function of a fresh lab, listed in a `tests()` of a file in `tests/tests/e2e/`:
//!
//! ```ignore
//! pub(crate) fn tests() -> Vec<Test> {
//!     vec![Test::new("mine::kill9", kill9).needs([Daemon::Xvrrp]).timing()]
//! }
//! fn kill9(lab: &Lab) -> Result<()> {
//!     let (wire, addresses) = (lab.switch().watch()?, lab.watch_addresses()?);
//!     let mut r1 = lab.host("r1")?.start(Daemon::Xvrrp, MASTER)?;
//!     let _r2 = lab.host("r2")?.start(Daemon::Keepalived, BACKUP)?;
//!     wait_for(SECOND * 8, || (addresses.holders(VIP) == ["r1"]).then_some(())).context("r1 not master")?;
//!     let died = Moment::now();
//!     r1.kill9()?;
//!     let taken = wait_for(SECOND * 8, || addresses.taken(&wire, "r2", VIP, died)).context("no takeover")?;
//!     ensure!(taken.since(died) < SECOND * 4, "took {:?}", taken.since(died));
//!     Ok(())
//! }
//! ```
//!
//! When it fails, the addresses and the ends of all logs are printed with the message ([`Lab::dossier`]).
//!
//! This module knows daemons from outside only: their command lines, files and packets. It must not depend
//! on the code under test. The end-to-end tests and `cargo xtask run | lab` call it.

mod addresses;
mod arp_census;
mod capture;
mod card;
mod clock;
mod daemon;
mod frames;
mod frr;
mod frr_bfd;
mod host;
mod impair;
mod inject;
mod namespace;
mod nginx;
mod occupant;
mod pace;
mod persistent;
mod ping;
mod ping_report;
mod process;
mod requirements;
mod seccomp;
mod stall;
mod status;
mod stress;
mod sweep;
mod switch;
mod sys;
mod topology;
mod usage;
mod visitor;
mod wire;

use anyhow::{Context, Result};

pub use addresses::{Addresses, Change, ChangeAt};
pub use arp_census::{ArpCensus, ArpSample};
pub use capture::{Capture, tcpdump_complaints};
pub use clock::{Moment, wait_for};
pub use daemon::{Daemon, RUN_DIR, Running, xvrrp_binary};
pub use frames::Frame;
pub use frr_bfd::{Bfdd, missing_bfdd};
pub use host::Host;
pub use impair::{BadCable, Impairment};
pub use inject::{Flood, Injector};
pub use occupant::{XDP_PASS, bpf_object};
pub use pace::{held_up, starved, watch_pace};
pub use persistent::STATE_FILE;
pub use ping::Pinger;
pub use ping_report::{Echo, Gap, PingReport};
pub use process::Process;
pub use requirements::{missing, missing_tool};
pub use seccomp::{BPF_PROG_LOAD, refuse_bpf};
pub use stall::{forget_stalls, longest_stall};
pub use status::{
    HmacStatus, InstanceStatus, InterfaceStatus, MasterStatus, PriorityChange, PriorityStatus, ProbedStatus,
    Status,
};
pub use stress::Stress;
pub use sweep::{Sweep, Swept};
pub use switch::Switch;
pub use sys::die_with_parent;
pub(crate) use sys::realtime_thread;
pub use topology::{HostSpec, Topology};
pub use usage::Usage;
pub use visitor::{Visit, Visitor};
pub use wire::{Direction, Sighting, Wire};

/// Hosts on a switch.
#[derive(Debug)]
pub struct Lab {
    topology: Topology,
    hosts: Vec<Host>,
    switch: Switch,
}

impl Lab {
    /// Builds a lab that vanishes with this value, and with this process.
    pub fn new(topology: Topology) -> Result<Self> {
        Self::build(topology, false)
    }

    fn build(topology: Topology, detached: bool) -> Result<Self> {
        let hosts = topology
            .hosts
            .iter()
            .map(|spec| Host::create(spec.clone(), &topology.interface, detached))
            .collect::<Result<Vec<_>>>()?;
        let switch = Switch::create(&topology, &hosts, detached)?;
        Ok(Self { topology, hosts, switch })
    }

    /// The host called `name`.
    pub fn host(&self, name: &str) -> Result<&Host> {
        self.hosts
            .iter()
            .find(|host| host.name() == name)
            .with_context(|| format!("the lab has no host {name}"))
    }

    /// All hosts.
    #[must_use]
    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// The switch, with the cables.
    #[must_use]
    pub fn switch(&self) -> &Switch {
        &self.switch
    }

    /// What the lab was built from.
    #[must_use]
    pub fn topology(&self) -> &Topology {
        &self.topology
    }

    /// Everything that helps to understand a failure: addresses, links and the ends of all logs.
    #[must_use]
    pub fn dossier(&self) -> String {
        let mut text = String::new();
        for host in &self.hosts {
            text += &format!("--- {}\n", host.name());
            text += &host.output(&["ip", "-br", "addr"]).unwrap_or_else(|error| format!("{error:#}\n"));
            let logs = std::fs::read_dir(host.path("/run/lab")).into_iter().flatten().flatten();
            for path in
                logs.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|e| e == "log"))
            {
                let bytes = std::fs::read(&path).unwrap_or_default();
                let log = String::from_utf8_lossy(&bytes).into_owned();
                let lines: Vec<_> = log.lines().collect();
                text += &format!("{} (the end of it):\n", path.file_name().unwrap_or_default().display());
                for line in lines.iter().skip(lines.len().saturating_sub(30)) {
                    text += &format!("    {line}\n");
                }
            }
        }
        text
    }
}

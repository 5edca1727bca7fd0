//! A lab with two routers of one peer, a client that pings and a witness that asks who has the address.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use ha_tests::lab::{
    Addresses, ArpCensus, HostSpec, Lab, Moment, Running, Topology, Wire, XDP_PASS, wait_for,
};

use super::peer::{Peer, Role, VIP};

/// The virtual address, as the lab's witnesses take it.
pub(super) const ADDRESS: IpAddr = IpAddr::V4(VIP);

/// A running pair. Fields are dropped in this order: the lab last.
#[derive(Debug)]
pub(super) struct Stage {
    /// None before it is started, and while it is away.
    pub(super) master: Option<Running>,
    pub(super) backup: Running,
    pub(super) wire: Wire,
    pub(super) addresses: Addresses,
    pub(super) peer: Peer,
    pub(super) lab: Lab,
}

/// Longer than any start with an interval of one second.
const PATIENCE: Duration = Duration::from_secs(15);

/// Until daemons that are both up know each other as well as they ever will.
const SETTLE: Duration = Duration::from_millis(2_500);

/// Two routers, the client, and a witness whose questions teach the client nothing.
pub(super) fn topology() -> Topology {
    let mut topology = Topology::two_node();
    let last = 99;
    let v4 = [172, 16, 1, last].into();
    let v6 = [0xfd00, 0x16, 0, 0, 0, 0, 0, u16::from(last)].into();
    topology.hosts.push(HostSpec { name: "witness".to_owned(), v4, v6, mac: [2, 0, 0, 0, 0, last] });
    topology
}

impl Stage {
    /// Builds the lab and starts the backup and, if `both`, the master; waits until the virtual address is where
    /// it belongs and the daemons have settled.
    pub(super) fn new(peer: Peer, both: bool) -> Result<Self> {
        let lab = Lab::new(topology())?;
        let (wire, addresses) = (lab.switch().watch()?, lab.watch_addresses()?);
        let master = both.then(|| start(&lab, peer, Role::Master)).transpose()?;
        let backup = start(&lab, peer, Role::Backup)?;
        let stage = Self { master, backup, wire, addresses, peer, lab };
        let master = if both { "r1" } else { "r2" };
        let census = stage.census()?;
        wait_for(PATIENCE, || serves_alone(&census, master).then_some(()))
            .with_context(|| format!("{master} did not become master\n{}", stage.lab.dossier()))?;
        drop(census);
        std::thread::sleep(SETTLE);
        Ok(stage)
    }

    /// The same after a backup of ours has watched its master for so long ([`Peer::learning`]).
    pub(super) fn learned(peer: Peer, both: bool, learn: Duration) -> Result<Self> {
        let stage = Self::new(peer, both)?;
        std::thread::sleep(peer.learning(learn));
        Ok(stage)
    }

    /// Who answers for the address. A router can have it without that: a standby, behind the fence.
    pub(super) fn census(&self) -> Result<ArpCensus> {
        self.lab.arp_census("witness", VIP, Duration::from_millis(20))
    }

    /// When `host` took the address over at or after `from`: had it, or where it has it all the time, announced it.
    pub(super) fn taken(&self, host: &str, from: Moment) -> Option<Moment> {
        match self.peer {
            Peer::XvrrpHot => self.wire.first_announcement(host, ADDRESS, from),
            _ => self.addresses.taken(&self.wire, host, ADDRESS, from),
        }
    }

    /// Starts the daemon of the master's host.
    pub(super) fn start_master(&mut self) -> Result<()> {
        self.master = Some(start(&self.lab, self.peer, Role::Master)?);
        Ok(())
    }

    pub(super) fn master(&mut self) -> Result<&mut Running> {
        self.master.as_mut().context("the master is not running")
    }

    /// When the backup last got an advert of the master. Probes and replies are too many for the witness.
    pub(super) fn last_advert(&self, before: Moment) -> Option<Moment> {
        use ha_tests::lab::{Direction, Frame};
        let mac = self.lab.host("r1").ok()?.spec().mac;
        let delivered = self.wire.last(|seen| {
            seen.at <= before
                && seen.host == "r2"
                && seen.direction == Direction::Delivered
                && seen.source_mac == mac
                && matches!(seen.frame, Frame::Advert { .. })
        });
        delivered.map(|seen| seen.at)
    }
}

/// Whether `host`, and no other, gave the last answer of `census`.
pub(super) fn serves_alone(census: &ArpCensus, host: &str) -> bool {
    census
        .latest()
        .is_some_and(|sample| !sample.answers.is_empty() && sample.answers.iter().all(|name| name == host))
}

/// Starts a daemon on the host of its role.
pub(super) fn start(lab: &Lab, peer: Peer, role: Role) -> Result<Running> {
    let host = lab.host(match role {
        Role::Master => "r1",
        Role::Backup => "r2",
    })?;
    // It stays where it is, also while the daemon is away.
    if peer == Peer::XvrrpTc && !host.output(&["ip", "link", "show", "ens160"])?.contains("xdpgeneric") {
        host.occupy_xdp(XDP_PASS)?;
    }
    host.start(peer.daemon(), &peer.config(role))
}

//! The lab.

mod addresses;
mod clock;
mod daemon;
mod frames;
mod frr;
mod host;
mod namespace;
mod ping;
mod ping_report;
mod process;
mod requirements;
mod status;
mod switch;
mod sys;
mod topology;
mod wire;

use anyhow::{Context, Result};

pub use addresses::{Addresses, Change, ChangeAt};
pub use clock::Moment;
pub use daemon::{Daemon, RUN_DIR, Running, xvrrp_binary};
pub use frames::Frame;
pub use host::Host;
pub use ping::Pinger;
pub use ping_report::{Echo, Gap, PingReport};
pub use process::Process;
pub use requirements::{missing, missing_tool};
pub use status::{InstanceStatus, InterfaceStatus, MasterStatus, PriorityChange, PriorityStatus, Status};
pub use switch::Switch;
pub use topology::{HostSpec, Topology};
pub use wire::{Direction, Sighting, Wire, wait_for};

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
        self.hosts.iter().find(|host| host.name() == name).with_context(|| format!("the lab has no host {name}"))
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;
    use std::time::Duration;

    #[test]
    fn smoke() {
        let lab = Lab::new(Topology::two_node()).unwrap();
        let wire = lab.switch().watch().unwrap();
        let addresses = lab.watch_addresses().unwrap();
        let vip: IpAddr = "172.16.1.25".parse().unwrap();
        let pinger = lab.host("client").unwrap().ping(vip, Duration::from_millis(1), Duration::from_secs(60)).unwrap();
        let r1 = lab.host("r1").unwrap().start(Daemon::Keepalived, include_str!("../../inputs/two-node/master.conf")).unwrap();
        let r2 = lab.host("r2").unwrap().start(Daemon::Keepalived, include_str!("../../inputs/two-node/backup.conf")).unwrap();
        assert!(wait_for(Duration::from_secs(10), || (addresses.holders(vip) == ["r1"]).then_some(())).is_some(), "{}", r1.log());
        std::thread::sleep(Duration::from_secs(2));
        let t = Moment::now();
        lab.switch().unplug("r1").unwrap();
        let moved = wait_for(Duration::from_secs(10), || addresses.first("r2", Change::Added(vip), t)).unwrap();
        std::thread::sleep(Duration::from_millis(500));
        println!("noticed {:?}", wire.first_advert_from("r2", t).unwrap().ms_after(t));
        println!("last advert {:?}", wire.last_advert_delivered([2,0,0,0,0,1], "r2", moved).unwrap().ms_after(t));
        println!("moved {:?}", moved.ms_after(t));
        println!("answered {:?}", pinger.first_answer(t.plus(Duration::from_millis(1))).unwrap().ms_after(t));
        let t2 = Moment::now();
        lab.switch().plug("r1").unwrap();
        let back = wait_for(Duration::from_secs(10), || addresses.first("r1", Change::Added(vip), t2)).unwrap();
        std::thread::sleep(Duration::from_millis(1500));
        println!("back {:?}", back.ms_after(t2));
        let report = pinger.stop();
        println!("failback lost {} gaps {:?}", report.lost_between(t2, Moment::now()), report.gaps().iter().map(|g| (g.start.ms_after(t), g.lost, g.length())).collect::<Vec<_>>());
        println!("stall {:?} rtt {:?} {:?}", report.longest_stall(), report.round_trip(50), report.round_trip(99));
        for e in addresses.history() { println!("{:.1} {} {:?}", e.at.ms_after(t), e.host, e.change); }
        for e in wire.filter(|s| s.direction == Direction::Sent) { println!("{:.1} {} {:?}", e.at.ms_after(t), e.host, e.frame); }
        println!("{}", r2.log());
    }
}

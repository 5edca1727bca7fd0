//! The lab.

mod clock;
mod host;
mod namespace;
mod process;
mod switch;
mod sys;
mod topology;

use anyhow::{Context, Result};

pub use clock::Moment;
pub use host::Host;
pub use process::Process;
pub use switch::Switch;
pub use topology::{HostSpec, Topology};

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

    #[test]
    fn smoke() {
        let lab = Lab::new(Topology::two_node()).unwrap();
        println!("{}", lab.host("r1").unwrap().output(&["ip", "addr"]).unwrap());
        println!("{}", lab.host("r1").unwrap().output(&["ps", "axf"]).unwrap());
        println!("{}", lab.host("r1").unwrap().output(&["findmnt"]).unwrap());
        println!("{}", lab.host("client").unwrap().output(&["ping", "-c", "2", "-i", "0.01", "172.16.1.1"]).unwrap());
        println!("{}", lab.host("client").unwrap().output(&["ping", "-c", "2", "-i", "0.01", "fd00:16::2"]).unwrap());
        lab.switch().unplug("r1").unwrap();
        println!("{}", lab.host("r1").unwrap().output(&["ip", "-br", "link"]).unwrap());
    }
}

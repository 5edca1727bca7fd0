//! Hosts that come in two: one for keepalived, one that looks the same for xvrrp.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ha_tests::lab::{Daemon, Host, HostSpec, Lab, Running, Topology, wait_for};

use super::facts::{self, Facts};
use super::sniff::Sniffer;

/// The interfaces that the files name; the first is the lab's own.
pub(super) const INTERFACES: [&str; 3] = ["ens160", "eth0", "eth1"];

/// The network of each, and who is a neighbour there without being there: adverts for peers are to leave.
const NETWORKS: [(&str, &[u8]); 3] = [("172.16.1", &[2, 3]), ("192.0.2", &[2, 3, 254]), ("198.51.100", &[2])];

/// Twins in one lab.
pub(super) const TWINS: usize = 12;

/// The daemons that are compared.
pub(super) const DAEMONS: [Daemon; 2] = [Daemon::Keepalived, Daemon::Xvrrp];

fn name(twin: usize, daemon: Daemon) -> String {
    format!("{}{twin}", if daemon == Daemon::Keepalived { "k" } else { "x" })
}

/// Last number of a host's addresses: `.1`, and `.2` for the second of a couple.
fn number(twin: usize, couples: bool) -> u8 {
    if couples && twin % 2 == 1 { 2 } else { 1 }
}

/// Hosts that all have the same addresses.
pub(super) fn singles() -> Topology {
    topology(false)
}

/// Hosts of which each two are neighbours.
pub(super) fn couples() -> Topology {
    topology(true)
}

fn topology(couples: bool) -> Topology {
    let spec = |twin: usize, daemon| {
        let last = number(twin, couples);
        HostSpec {
            name: name(twin, daemon),
            v4: Ipv4Addr::new(172, 16, 1, last),
            v6: Ipv6Addr::new(0xfd00, 0x16, 0, 0, 0, 0, 0, u16::from(last)),
            mac: [2, 0, 0, 0, 0, last],
        }
    };
    let hosts = (0..TWINS).flat_map(|twin| DAEMONS.map(|daemon| spec(twin, daemon))).collect();
    Topology { interface: INTERFACES[0].to_owned(), hosts, prefix_v4: 24, prefix_v6: 64 }
}

/// Wires `count` twins: no host hears another one, or each hears the other one of its couple. The lab's switch does not
/// join any of them.
pub(super) fn wire(lab: &Lab, count: usize, couples: bool) -> Result<()> {
    let mut ports = String::new();
    for twin in 0..count {
        for daemon in DAEMONS {
            let host = lab.host(&name(twin, daemon))?;
            let (last, pid) = (number(twin, couples), host.holder_pid());
            writeln!(ports, "link set {} nomaster", host.name())?;
            for (n, interface) in INTERFACES.iter().enumerate() {
                let port = if n == 0 { host.name().to_owned() } else { format!("{}-{n}", host.name()) };
                if n > 0 {
                    let mac = format!("02:00:00:00:0{n}:0{last}");
                    writeln!(
                        ports,
                        "link add {port} type veth peer name {interface} address {mac} netns {pid}\n\
                         link set {port} up"
                    )?;
                }
                if couples {
                    let bridge = format!("b{}-{n}", name(twin / 2, daemon));
                    if twin % 2 == 0 {
                        writeln!(ports, "link add {bridge} type bridge stp_state 0 mcast_snooping 0")?;
                        writeln!(ports, "link set {bridge} up")?;
                    }
                    writeln!(ports, "link set {port} master {bridge}")?;
                }
            }
        }
    }
    lab.switch().output(&["sh", "-c", &format!("ip -batch - <<END\n{ports}END\n")])?;
    for twin in 0..count {
        for daemon in DAEMONS {
            let (host, last) = (lab.host(&name(twin, daemon))?, number(twin, couples));
            let mut script = String::new();
            for (interface, (network, neighbours)) in INTERFACES.iter().zip(NETWORKS) {
                if *interface != INTERFACES[0] {
                    writeln!(
                        script,
                        "addr add {network}.{last}/24 dev {interface}\nlink set {interface} up"
                    )?;
                }
                for neighbour in neighbours.iter().filter(|_| !couples) {
                    let mac = format!("lladdr 02:00:00:00:00:0{}", neighbour % 10);
                    writeln!(script, "neigh add {network}.{neighbour} {mac} dev {interface} nud permanent")?;
                }
            }
            host.batch(script)?;
        }
    }
    Ok(())
}

/// A host with a daemon.
pub(super) struct Place<'a> {
    host: &'a Host,
    running: Running,
    sniffer: Sniffer,
}

impl<'a> Place<'a> {
    /// Writes the file and starts the daemon with it.
    pub(super) fn start(lab: &'a Lab, twin: usize, daemon: Daemon, text: &str) -> Result<Self> {
        let host = lab.host(&name(twin, daemon))?;
        let sniffer = Sniffer::start(host)?;
        // The tutorial's checks: one service runs, the other one does not.
        for (service, code) in [("A", 0), ("B", 1)] {
            let script = format!("/etc/keepalived/check_service{service}.sh");
            host.write(script, format!("#!/bin/sh\nexit {code}\n"), 0o755)?;
        }
        // The corpus has lines for a host of this name.
        let running = host.start_with(daemon, text, &["-i", "host"])?;
        Ok(Self { host, running, sniffer })
    }

    /// Everything that can be seen of it now.
    pub(super) fn look(&mut self) -> Result<Facts> {
        self.running.check_alive()?;
        let mut facts = Facts::new();
        facts::instances(&self.dump()?, &mut facts);
        facts::network(self.host, &mut facts)?;
        self.sniffer.facts(&mut facts)?;
        Ok(facts)
    }

    fn dump(&self) -> Result<serde_json::Value> {
        const FILE: &str = "/tmp/keepalived.json";
        let _old = std::fs::remove_file(self.host.path(FILE));
        let words = [format!("-{}", libc::SIGRTMIN() + 2), self.running.pid().to_string()];
        let status = std::process::Command::new("kill").args(words).status()?;
        ensure!(status.success(), "kill: {status}");
        let whole = || serde_json::from_str(&self.host.read(FILE).ok()?).ok();
        // A busy machine and 255 addresses make it slow.
        wait_for(Duration::from_secs(10), whole)
            .with_context(|| format!("{}: no whole {FILE}\n{}", self.host.name(), self.running.log()))
    }
}

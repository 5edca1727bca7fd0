//! The switch that joins the hosts: a bridge in a namespace of its own, one port per host.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::host::{Host, set_sysctl};
use super::namespace::{Kind, Namespace};
use super::topology::Topology;

/// The bridge and its ports. A port has the name of its host.
#[derive(Debug)]
pub struct Switch {
    pub(super) namespace: Namespace,
    /// Interface index of each port, to host name.
    pub(super) ports: BTreeMap<u32, String>,
}

impl Switch {
    pub(super) fn create(topology: &Topology, hosts: &[Host], detached: bool) -> Result<Self> {
        let namespace = Namespace::create(Kind::Switch, detached).context("creating the switch")?;
        // The switch itself stays silent: no router solicitations, no multicast reports.
        set_sysctl(&namespace, "net.ipv6.conf.default.disable_ipv6", "1")?;
        for host in hosts {
            // Addresses are usable at once; the lab assigns them without conflicts.
            host.sysctl("net.ipv6.conf.default.accept_dad", "0")?;
            host.sysctl("net.ipv6.conf.default.router_solicitations", "0")?;
        }
        let mut script =
            String::from("link add br0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0\n");
        for host in hosts {
            let mac = host.spec().mac.map(|byte| format!("{byte:02x}")).join(":");
            let (name, pid) = (host.name(), host.holder_pid());
            writeln!(
                script,
                "link add {name} type veth peer name {} address {mac} netns {pid}",
                topology.interface
            )?;
            writeln!(script, "link set {name} master br0 up")?;
        }
        script.push_str("link set br0 up\n");
        batch(&namespace, script)?;
        for host in hosts {
            let (interface, spec) = (&topology.interface, host.spec());
            let script = format!(
                "link set lo up\naddr add {}/{} dev {interface}\naddr add {}/{} dev {interface} nodad\n\
                 link set {interface} up\n",
                spec.v4, topology.prefix_v4, spec.v6, topology.prefix_v6
            );
            host.batch(script)?;
        }
        let mut switch = Self { namespace, ports: BTreeMap::new() };
        switch.find_ports()?;
        Ok(switch)
    }

    pub(super) fn attach(holder_pid: u32) -> Result<Self> {
        let namespace = Namespace::attach(Kind::Switch, holder_pid)?;
        let mut switch = Self { namespace, ports: BTreeMap::new() };
        switch.find_ports()?;
        Ok(switch)
    }

    /// Reads which ports there are.
    pub(super) fn find_ports(&mut self) -> Result<()> {
        self.ports.clear();
        let list: serde_json::Value = serde_json::from_str(&self.output(&["ip", "-j", "link"])?)?;
        for link in list.as_array().into_iter().flatten() {
            let index = link["ifindex"].as_u64().and_then(|index| u32::try_from(index).ok());
            if let (Some("br0"), Some(index), Some(name)) =
                (link["master"].as_str(), index, link["ifname"].as_str())
            {
                self.ports.insert(index, name.to_owned());
            }
        }
        Ok(())
    }

    /// Runs a program in the network of the switch; its standard output.
    pub fn output(&self, words: &[&str]) -> Result<String> {
        let (program, arguments) = words.split_first().context("empty command")?;
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let output = self.namespace.spawn(command)?.wait_with_output()?;
        if !output.status.success() {
            bail!("`{}` in the switch: {}", words.join(" "), String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Takes the cable out: the host loses its carrier.
    pub fn unplug(&self, host: &str) -> Result<()> {
        self.output(&["ip", "link", "set", host, "down"]).map(drop)
    }

    /// Puts the cable back.
    pub fn plug(&self, host: &str) -> Result<()> {
        self.output(&["ip", "link", "set", host, "up"]).map(drop)
    }

    /// Stops forwarding to and from `host` while its carrier stays up: the others see it die, it sees
    /// the others die.
    pub fn silence(&self, host: &str) -> Result<()> {
        self.output(&["bridge", "link", "set", "dev", host, "state", "0"]).map(drop)
    }

    /// Undoes [`Switch::silence`].
    pub fn restore(&self, host: &str) -> Result<()> {
        self.output(&["bridge", "link", "set", "dev", host, "state", "3"]).map(drop)
    }

    /// Pid of the process that holds the network of the switch.
    #[must_use]
    pub fn holder_pid(&self) -> u32 {
        self.namespace.holder_pid()
    }
}

impl Host {
    /// Runs a script of `ip` commands (without the word `ip`) inside the host.
    pub fn batch(&self, script: String) -> Result<()> {
        let (mut child, name) = (self.spawn(ip_batch())?, self.name().to_owned());
        let child = child.child();
        child.stdin.take().context("no pipe to ip")?.write_all(script.as_bytes())?;
        let mut message = String::new();
        std::io::Read::read_to_string(&mut child.stderr.take().context("no pipe from ip")?, &mut message)?;
        if !child.wait()?.success() {
            bail!("ip -batch in {name}: {}\n{script}", message.trim());
        }
        Ok(())
    }
}

fn batch(namespace: &Namespace, script: String) -> Result<()> {
    let mut child = namespace.spawn(ip_batch())?;
    child.stdin.take().context("no pipe to ip")?.write_all(script.as_bytes())?;
    let output = child.wait_with_output()?;
    if !output.status.success() {
        bail!("ip -batch in the switch: {}\n{script}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

fn ip_batch() -> Command {
    let mut command = Command::new("ip");
    command.args(["-batch", "-"]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

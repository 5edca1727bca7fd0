//! What FRR's vrrpd needs around it: zebra, sockets of its own, and macvlan devices that exist beforehand.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::host::Host;
use super::process::Process;
use super::sys;

pub(super) const DIR: &str = "/usr/lib/frr";
pub(super) const CONFIG: &str = "/run/frr/vrrpd.conf";
const ZSERV: &str = "/run/frr/zserv.api";

impl Host {
    /// Makes the macvlan device that vrrpd looks for: virtual MAC of `vrid` for the family of the virtual
    /// addresses, which it carries.
    pub fn frr_macvlan(&self, vrid: u8, virtual_addresses: &[IpAddr]) -> Result<()> {
        let parent = self.interface();
        let mut script = String::new();
        // Linux answers ARP for any of its addresses on any interface, also for that of a device which is down.
        self.sysctl("net.ipv4.conf.all.arp_ignore", "1")?;
        for (v6, family) in [(false, 1), (true, 2)] {
            let mut addresses = virtual_addresses.iter().filter(|ip| ip.is_ipv6() == v6).peekable();
            if addresses.peek().is_none() {
                continue;
            }
            let name = macvlan(vrid, v6);
            writeln!(
                script,
                "link add {name} link {parent} address 00:00:5e:00:0{family}:{vrid:02x} type macvlan mode bridge"
            )?;
            for address in addresses {
                let (prefix, nodad) = if v6 { (64, " nodad") } else { (24, "") };
                writeln!(script, "addr add {address}/{prefix} dev {name}{nodad}")?;
            }
            writeln!(script, "link set {name} up")?;
        }
        self.batch(script)
    }

    /// Whether vrrpd has let the macvlan device come up: it is master.
    pub fn frr_serves(&self, vrid: u8, v6: bool) -> Result<bool> {
        let output = self.run(&["ip", "-j", "link", "show", "dev", &macvlan(vrid, v6)])?;
        let list: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        Ok(list[0]["operstate"] == "UP")
    }

    /// Takes the macvlan device away, as a restart of the host does.
    pub fn frr_remove(&self, vrid: u8, v6: bool) -> Result<()> {
        self.output(&["ip", "link", "del", &macvlan(vrid, v6)])?;
        Ok(())
    }
}

fn macvlan(vrid: u8, v6: bool) -> String {
    format!("vrrp{}-{vrid}", if v6 { 6 } else { 4 })
}

pub(super) fn start_zebra(host: &Host) -> Result<Process> {
    host.write("/run/frr/zebra.conf", "", 0o644)?;
    // It leaves crash logs there, by process id, when it is killed; the machine's directory is not ours to fill.
    host.output(&["mount", "-t", "tmpfs", "xvrrp-lab", "/var/tmp"])?;
    // FRR drops to its own user before it makes its sockets.
    host.output(&["chown", "-R", "frr:frr", "/run/frr"])?;
    // One that was killed leaves it behind, and vrrpd would try it in vain and wait for ten seconds.
    let _absent = std::fs::remove_file(host.path(ZSERV));
    let log = host.log_file("/run/lab/zebra.log")?;
    let mut zebra = daemon("zebra");
    zebra.args(["-f", "/run/frr/zebra.conf"]).stdout(log.try_clone()?).stderr(log).stdin(Stdio::null());
    let mut process = host.spawn(zebra)?;
    let end = Instant::now() + Duration::from_secs(5);
    while !host.path(ZSERV).exists() {
        if process.try_wait()?.is_some() || Instant::now() > end {
            bail!("zebra did not start:\n{}", host.read("/run/lab/zebra.log")?);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(process)
}

pub(super) fn vrrpd() -> Command {
    let mut command = daemon("vrrpd");
    command.args(["-f", CONFIG, "--log-level", "debugging"]);
    command
}

pub(super) fn daemon(name: &str) -> Command {
    let mut command = Command::new(format!("{DIR}/{name}"));
    command.args(["-z", ZSERV, "-P", "0", "--vty_socket", "/run/frr"]);
    command.args(["-i", &format!("/run/frr/{name}.pid"), "--log", "stdout"]);
    sys::realtime_child(&mut command);
    command
}

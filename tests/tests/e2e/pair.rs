//! Routers on short timers: their configuration, what they say of themselves, what they send.

use std::net::{IpAddr, Ipv4Addr};
use std::process::Output;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ha_tests::lab::{Frame, Host, InstanceStatus, Moment, RUN_DIR, Sighting, Wire, wait_for};

pub(crate) const VIP: Ipv4Addr = Ipv4Addr::new(172, 16, 1, 25);
pub(crate) const VIP2: Ipv4Addr = Ipv4Addr::new(172, 16, 1, 26);
/// Interval of [`Conf`] unless a test says otherwise.
pub(crate) const INTERVAL: Duration = ms(100);
/// Above three intervals and the slowest skew time.
pub(crate) const MASTER_DOWN: Duration = ms(400);
pub(crate) const FILE: &str = "/etc/keepalived/keepalived.conf";

/// One `vrrp_instance`: VRRPv3 every 100 ms.
#[derive(Clone, Debug)]
pub(crate) struct Conf {
    pub(crate) name: String,
    pub(crate) vrid: u8,
    pub(crate) priority: u8,
    pub(crate) interval: &'static str,
    pub(crate) state: &'static str,
    /// Further lines.
    pub(crate) more: String,
    pub(crate) vips: Vec<String>,
}

impl Conf {
    pub(crate) fn new(priority: u8) -> Self {
        Self {
            name: "VI_1".to_owned(),
            vrid: 25,
            priority,
            interval: "0.1",
            state: "BACKUP",
            more: String::new(),
            vips: vec![VIP.to_string()],
        }
    }

    pub(crate) fn named(mut self, name: &str, vrid: u8) -> Self {
        name.clone_into(&mut self.name);
        self.vrid = vrid;
        self
    }

    pub(crate) fn every(mut self, interval: &'static str) -> Self {
        self.interval = interval;
        self
    }

    pub(crate) fn starts(mut self, state: &'static str) -> Self {
        self.state = state;
        self
    }

    pub(crate) fn with(mut self, line: &str) -> Self {
        self.more += &format!("    {line}\n");
        self
    }

    pub(crate) fn vips<T: ToString>(mut self, vips: impl IntoIterator<Item = T>) -> Self {
        self.vips = vips.into_iter().map(|vip| vip.to_string()).collect();
        self
    }

    pub(crate) fn text(&self) -> String {
        let Self { name, vrid, priority, interval, state, more, vips } = self;
        let vips: String = vips.iter().map(|vip| format!("        {vip}\n")).collect();
        format!(
            "vrrp_instance {name} {{\n    version 3\n    state {state}\n    interface ens160\n    \
             virtual_router_id {vrid}\n    priority {priority}\n    advert_int {interval}\n{more}    \
             virtual_ipaddress {{\n{vips}    }}\n}}\n"
        )
    }
}

/// A script that fails while `/run/bad` exists, every 20 ms, with a weight line or none.
pub(crate) fn script(weight: &str) -> String {
    format!(
        "global_defs {{\n    script_user root\n    enable_script_security\n}}\nvrrp_script chk {{\n    \
         script \"/usr/bin/test ! -e /run/bad\"\n    interval 0.02\n    timeout 1\n    {weight}\n}}\n"
    )
}

/// Runs `xvrrp` on a host with its run directory.
pub(crate) fn xvrrp(host: &Host, arguments: &[&str]) -> Result<Output> {
    host.run_xvrrp(arguments)
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Writes the file and reloads by command; what the command prints on standard output.
pub(crate) fn reload(host: &Host, config: &str) -> Result<String> {
    host.write(FILE, config, 0o644)?;
    let output = xvrrp(host, &["reload", "--run-dir", RUN_DIR])?;
    ensure!(output.status.success(), "reload: {}\n{}", output.status, stderr(&output));
    Ok(stdout(&output))
}

/// Waits until the daemon of a host probes its master and is answered, and the master knows who probes it.
pub(crate) fn probes(host: &Host) -> Result<()> {
    let answered = || host.read("/run/lab/xvrrp.log").ok()?.contains("answers probes").then_some(());
    wait_for(ms(12_000), answered).with_context(|| format!("{} does not probe", host.name()))?;
    std::thread::sleep(ms(300));
    Ok(())
}

/// What the daemon says of an instance.
pub(crate) fn instance(host: &Host, name: &str) -> Result<InstanceStatus> {
    let status = host.xvrrp_status()?;
    status
        .instance(name)
        .cloned()
        .with_context(|| format!("{}: no instance {name} in {:?}", host.name(), status.instances))
}

/// Waits until the daemon says that the instance is in `state`.
pub(crate) fn until(host: &Host, name: &str, state: &str, patience: Duration) -> Result<InstanceStatus> {
    let mut said = None;
    let found = wait_for(patience, || match instance(host, name) {
        Ok(instance) if instance.state == state => Some(instance),
        other => {
            said = Some(other);
            // A question is a process.
            std::thread::sleep(ms(20));
            None
        }
    });
    found.with_context(|| format!("{}: {name} is not {state} within {patience:?} but {said:?}", host.name()))
}

/// An advert of `host` on the wire.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Sent {
    pub(crate) at: Moment,
    pub(crate) vrid: u8,
    pub(crate) priority: u8,
    pub(crate) interval: u16,
}

/// All adverts of `host` for `vrid` from `since` on.
pub(crate) fn adverts(wire: &Wire, host: &str, vrid: u8, since: Moment) -> Vec<Sent> {
    let seen = wire.filter(|s| s.at >= since && s.is_advert_from(host));
    seen.iter().filter_map(sent).filter(|advert| advert.vrid == vrid).collect()
}

fn sent(sighting: &Sighting) -> Option<Sent> {
    match sighting.frame {
        Frame::Advert { vrid, priority, interval, .. } => {
            Some(Sent { at: sighting.at, vrid, priority, interval })
        }
        _ => None,
    }
}

/// Waits for an advert of `host` that `wanted` chooses.
pub(crate) fn await_advert(
    wire: &Wire,
    host: &str,
    vrid: u8,
    since: Moment,
    wanted: impl Fn(&Sent) -> bool,
) -> Result<Sent> {
    wait_for(ms(3_000), || adverts(wire, host, vrid, since).into_iter().find(&wanted))
        .with_context(|| format!("no such advert of VRID {vrid} from {host}"))
}

/// Gratuitous ARPs of `host` for `address` from `since` on: time and operation.
pub(crate) fn garps(wire: &Wire, host: &str, address: Ipv4Addr, since: Moment) -> Vec<(Moment, u16)> {
    let sent = wire.filter(|s| {
        s.at >= since
            && s.direction == ha_tests::lab::Direction::Sent
            && s.host == host
            && s.frame.is_gratuitous_for(address)
    });
    let operation = |s: &Sighting| match s.frame {
        Frame::Arp { operation, .. } => Some((s.at, operation)),
        _ => None,
    };
    sent.iter().filter_map(operation).collect()
}

/// Waits until exactly `host` has `address` of the hosts of the lab.
pub(crate) fn held_by(
    addresses: &ha_tests::lab::Addresses,
    address: Ipv4Addr,
    hosts: &[&str],
    patience: Duration,
) -> Result<Moment> {
    let holders = || {
        let mut list = addresses.holders(IpAddr::V4(address));
        list.sort();
        list
    };
    wait_for(patience, || (holders() == hosts).then(Moment::now))
        .with_context(|| format!("{address} is not on {hosts:?} within {patience:?} but on {:?}", holders()))
}

pub(crate) const fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

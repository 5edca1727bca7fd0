//! Configurations with any number of virtual routers, and what the daemon says of them.

use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ha_tests::lab::{Host, Lab, RUN_DIR, Running, wait_for, xvrrp_binary};
use serde::Deserialize;

/// `count` VRRPv3 routers, VRID 1 and up, each with one address.
#[derive(Clone, Copy)]
pub(super) struct Routers {
    pub(super) count: u8,
    /// `advert_int` in seconds, as it is written.
    pub(super) interval: &'static str,
    pub(super) priority: u8,
    /// `xdp_mode`, which keepalived does not know; `None` writes none.
    pub(super) xdp: Option<&'static str>,
}

impl Routers {
    /// The text of the configuration.
    pub(super) fn config(self) -> String {
        let mut text = "global_defs {\n    vrrp_version 3\n".to_owned();
        if let Some(mode) = self.xdp {
            let _infallible = writeln!(text, "    xdp_mode {mode}");
        }
        text += "}\n";
        for vrid in 1..=self.count {
            text += &instance(vrid, self.interval, self.priority);
        }
        text
    }
}

/// One instance.
pub(super) fn instance(vrid: u8, interval: &str, priority: u8) -> String {
    format!(
        "vrrp_instance V{vrid} {{\n    interface ens160\n    virtual_router_id {vrid}\n    priority {priority}\n    \
         advert_int {interval}\n    virtual_ipaddress {{\n        {}\n    }}\n}}\n",
        vip(vrid)
    )
}

/// The address of a virtual router.
pub(super) fn vip(vrid: u8) -> Ipv4Addr {
    Ipv4Addr::new(172, 16, 2, vrid)
}

/// The part of `xvrrp status --json` that is about states.
#[derive(Deserialize)]
pub(super) struct States {
    pub(super) instances: Vec<State>,
}

#[derive(Deserialize)]
pub(super) struct State {
    pub(super) name: String,
    pub(super) state: String,
    pub(super) receive: String,
    pub(super) stats: Stats,
}

#[derive(Deserialize)]
pub(super) struct Stats {
    pub(super) advert_rcvd: u64,
    pub(super) advert_sent: u64,
    pub(super) become_master: u64,
}

impl States {
    pub(super) fn read(host: &Host) -> Result<Self> {
        let binary = host.path_of_machine(xvrrp_binary()?);
        let binary = binary.to_str().context("the path of xvrrp is not UTF-8")?;
        let text = host.xvrrp_status_text(&[binary, "status", "--json", "--run-dir", RUN_DIR])?;
        serde_json::from_str(&text).with_context(|| format!("reading the status of xvrrp:\n{text}"))
    }

    pub(super) fn all(&self, state: &str) -> bool {
        !self.instances.is_empty() && self.instances.iter().all(|instance| instance.state == state)
    }

    fn sum(&self, field: impl Fn(&Stats) -> u64) -> u64 {
        self.instances.iter().map(|instance| field(&instance.stats)).sum()
    }

    pub(super) fn adverts_received(&self) -> u64 {
        self.sum(|stats| stats.advert_rcvd)
    }

    pub(super) fn adverts_sent(&self) -> u64 {
        self.sum(|stats| stats.advert_sent)
    }

    pub(super) fn times_master(&self) -> u64 {
        self.sum(|stats| stats.become_master)
    }

    /// Error unless all are backups that were never anything else.
    pub(super) fn never_master(&self) -> Result<()> {
        let wrong: Vec<_> = self
            .instances
            .iter()
            .filter(|instance| instance.state != "BACKUP" || instance.stats.become_master > 0)
            .map(|instance| {
                format!(
                    "{} {} ({} times master)",
                    instance.name, instance.state, instance.stats.become_master
                )
            })
            .collect();
        ensure!(wrong.is_empty(), "no backup any more, or not all the time: {}", wrong.join(", "));
        Ok(())
    }
}

/// Starts all as `master` on r1, waits until they are, then all as `backup` on r2.
pub(super) fn pair(lab: &Lab, master: &str, backup: &str) -> Result<[Running; 2]> {
    let (r1, r2) = (lab.host("r1")?, lab.host("r2")?);
    let first = r1.start(ha_tests::lab::Daemon::XvrrpRfc, master)?;
    reach(r1, "MASTER")?;
    let second = r2.start(ha_tests::lab::Daemon::XvrrpRfc, backup)?;
    reach(r2, "BACKUP")?;
    Ok([first, second])
}

/// Waits until all routers of a host are in `state`.
pub(super) fn reach(host: &Host, state: &str) -> Result<()> {
    let all = || States::read(host).ok().filter(|states| states.all(state)).map(drop);
    wait_for(Duration::from_secs(15), all)
        .with_context(|| format!("{} is not {state} within 15 s", host.name()))
}

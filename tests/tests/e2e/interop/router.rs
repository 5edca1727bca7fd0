//! A router of a mixed pair: one daemon on one host, with the questions that have a different answer for each
//! kind of daemon.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ha_tests::lab::{
    Addresses, Daemon, Direction, Frame, Host, Lab, Moment, RUN_DIR, Running, Sighting, Wire, xvrrp_binary,
};

use super::dialect::{Dialect, VRID};

/// A daemon on a host, dead or alive.
pub(super) struct Router<'a> {
    lab: &'a Lab,
    pub(super) host: &'a Host,
    pub(super) daemon: Daemon,
    dialect: Dialect,
    config: String,
    running: Option<Running>,
    launched: Moment,
    /// Logs of the lives before this one.
    past: String,
}

/// Counters that move in a pair that understands each other.
///
/// `suppressed` does in a handover: a router that has heard its successor leaves questions to it before its own address is
/// gone, and vrrpd announces the address within a fraction of a millisecond, in the form of a question for it.
const EXPECTED_COUNTERS: [&str; 5] = ["stamped", "to_user", "accepted", "priority_zero", "suppressed"];

/// What keepalived says about an instance in good times. Everything else is taken for a complaint.
const KEEPALIVED_GOOD: [&str; 14] = [
    "Entering BACKUP STATE",
    "Entering MASTER STATE",
    "Receive advertisement timeout",
    "setting VIPs",
    "removing VIPs",
    "Sending/queueing",
    "sent 0 priority",
    "Backup received priority 0 advertisement",
    "with higher priority",
    "received lower priority",
    "forcing new election",
    // It starts before it has learned that its interface is up.
    "entering FAULT",
    "Entering FAULT",
    "Initial",
];

/// Where a host has its BPF file system.
const BPFFS: &str = "/sys/fs/bpf";

/// Words of complaints that are not about one instance.
const COMPLAINTS: [&str; 8] =
    ["nvalid", "mismatch", "bogus", "unexpected", "wrong", "rror", "not present", "refus"];

/// What FRR calls a packet that it does not like, and what it logs about two masters.
const FRR_COMPLAINTS: [&str; 4] = ["Datagram invalid", "mismatch", "Dropping", "Conflict"];

impl<'a> Router<'a> {
    /// Starts `daemon` on the host called `name`.
    pub(super) fn start(
        lab: &'a Lab,
        name: &str,
        daemon: Daemon,
        dialect: Dialect,
        config: String,
    ) -> Result<Self> {
        let host = lab.host(name)?;
        let launched = Moment::now();
        let mut router =
            Self { lab, host, daemon, dialect, config, running: None, launched, past: String::new() };
        router.launch()?;
        Ok(router)
    }

    fn launch(&mut self) -> Result<()> {
        self.launched = Moment::now();
        if self.daemon == Daemon::FrrVrrpd {
            self.host.frr_macvlan(VRID, &[self.dialect.vip()])?;
        }
        self.running = Some(self.host.start(self.daemon, &self.config)?);
        Ok(())
    }

    /// The host's name.
    pub(super) fn name(&self) -> &'a str {
        self.host.name()
    }

    /// Whether the virtual address is usable here.
    pub(super) fn holds(&self, wire: &Wire, addresses: &Addresses) -> Result<bool> {
        if self.daemon == Daemon::FrrVrrpd {
            // Its device is up before vrrpd takes charge of it, too.
            let announced = self.took(wire, addresses, self.launched).is_some();
            return Ok(announced && self.host.frr_serves(VRID, self.dialect.vip().is_ipv6())?);
        }
        Ok(addresses.holders(self.dialect.vip()).iter().any(|holder| holder == self.host.name()))
    }

    /// When it took the virtual address at or after `from`. vrrpd has it all the time, on a device that is down.
    pub(super) fn took(&self, wire: &Wire, addresses: &Addresses, from: Moment) -> Option<Moment> {
        match self.daemon {
            Daemon::FrrVrrpd => wire.first_announcement(self.name(), self.dialect.vip(), from),
            _ => addresses.taken(wire, self.name(), self.dialect.vip(), from),
        }
    }

    /// The host loses its power: silence, and nothing of the daemon is left.
    pub(super) fn die(&mut self) -> Result<()> {
        self.lab.switch().silence(self.name())?;
        let mut running = self.running.take().context("dead already")?;
        running.kill9()?;
        self.past += &running.log();
        if matches!(self.daemon, Daemon::Xvrrp | Daemon::XvrrpRfc) {
            // A host that starts again has no program that counts adverts before its daemon runs.
            let binary = self.host.path_of_machine(xvrrp_binary()?);
            let binary = binary.to_str().context("the path of xvrrp is not UTF-8")?;
            self.host.output(&[binary, "detach", "--bpffs", BPFFS, "--run-dir", RUN_DIR])?;
        }
        if self.daemon == Daemon::FrrVrrpd {
            return self.host.frr_remove(VRID, self.dialect.vip().is_ipv6());
        }
        for vip in self.dialect.vips() {
            let vip_and_length = format!("{vip}/{}", if vip.is_ipv6() { 128 } else { 32 });
            if self.host.holds(vip)? {
                self.host.output(&["ip", "addr", "del", &vip_and_length, "dev", self.host.interface()])?;
            }
        }
        Ok(())
    }

    /// The host is back, with a fresh daemon.
    pub(super) fn revive(&mut self) -> Result<()> {
        self.lab.switch().restore(self.name())?;
        self.launch()
    }

    /// Graceful stop. An error if it does not end by itself, or not well.
    pub(super) fn stop(&mut self) -> Result<()> {
        let mut running = self.running.take().context("dead already")?;
        let status = running.stop()?.with_context(|| format!("{} does not stop", self.daemon.name()))?;
        self.past += &running.log();
        ensure!(status.success(), "{} ended with {status}", self.daemon.name());
        Ok(())
    }

    pub(super) fn check_alive(&mut self) -> Result<()> {
        self.running.as_mut().map_or(Ok(()), Running::check_alive)
    }

    /// Everything that was logged, also in lives before. (All lives of a host share one file.)
    pub(super) fn log(&self) -> String {
        self.running.as_ref().map_or_else(|| self.past.clone(), Running::log)
    }

    /// The lines in which the daemon complains about what it received.
    pub(super) fn complaints(&self) -> Vec<String> {
        let log = self.log();
        let complains = |line: &&str| match self.daemon {
            Daemon::Xvrrp | Daemon::XvrrpRfc => {
                // Says so on machines where root may not lock memory.
                (line.contains(" WARN ") || line.contains(" ERROR "))
                    && !line.contains("memory is not locked")
            }
            Daemon::Keepalived | Daemon::Keepalived24 => {
                let about_instance = line.contains(&format!("({})", super::dialect::NAME));
                if about_instance {
                    !KEEPALIVED_GOOD.iter().any(|good| line.contains(good))
                } else {
                    COMPLAINTS.iter().any(|word| line.contains(word))
                }
            }
            Daemon::FrrVrrpd => FRR_COMPLAINTS.iter().any(|word| line.contains(word)),
        };
        log.lines().filter(complains).map(str::to_owned).collect()
    }

    /// What `xvrrp counters` shows, counters that are not zero.
    pub(super) fn counters(&self) -> Result<BTreeMap<String, u64>> {
        let binary = self.host.path_of_machine(xvrrp_binary()?);
        let binary = binary.to_str().context("the path of xvrrp is not UTF-8")?;
        let text = self.host.output(&[binary, "counters", "--json", "--run-dir", RUN_DIR])?;
        let answer: serde_json::Value = serde_json::from_str(&text)?;
        let interfaces = answer["interfaces"].as_array().context("no interfaces in the counters")?;
        let entries = interfaces.iter().flat_map(|one| one["counters"].as_array().into_iter().flatten());
        let pair =
            |entry: &serde_json::Value| Some((entry["name"].as_str()?.to_owned(), entry["value"].as_u64()?));
        Ok(entries.filter_map(pair).filter(|(_, value)| *value > 0).collect())
    }

    /// Nothing that the peer sent was dropped or frowned on. Only of a living xvrrp.
    pub(super) fn check_counters(&self) -> Result<()> {
        if self.daemon != Daemon::Xvrrp || self.running.is_none() {
            return Ok(());
        }
        let counters = self.counters()?;
        let odd: Vec<_> =
            counters.iter().filter(|(name, _)| !EXPECTED_COUNTERS.contains(&name.as_str())).collect();
        ensure!(odd.is_empty(), "counters of xvrrp on {}: {odd:?}", self.name());
        Ok(())
    }
}

/// When `host` last heard an advert that `keep` chooses, before `until`.
pub(super) fn last_heard(
    wire: &Wire,
    host: &str,
    until: Moment,
    keep: impl Fn(&Sighting) -> bool,
) -> Option<Moment> {
    let heard = |seen: &Sighting| {
        let delivered = seen.at <= until && seen.direction == Direction::Delivered && seen.host == host;
        delivered && matches!(seen.frame, Frame::Advert { .. }) && keep(seen)
    };
    wire.last(heard).map(|seen| seen.at)
}

/// A signed difference as the reports print it.
pub(super) fn off(measured: Moment, from: Moment, wanted: Duration) -> f64 {
    measured.ms_after(from) - wanted.as_secs_f64() * 1e3
}

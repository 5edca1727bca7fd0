//! Routers with fast failover on: ready when the backups probe, and a stream of pings whose gaps are measured.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use ha_tests::lab::{
    Daemon, Direction, Frame, Gap, Lab, Moment, PingReport, Pinger, Running, Wire, wait_for,
};

use crate::pair::{Conf, VIP, ms};

/// Between two packets of the client.
pub(super) const PING: Duration = Duration::from_micros(250);

/// What the log says when a backup's probes are answered.
const FAST: &str = "answers probes";

/// A running router, with the part of its log that is its own: a host's daemons share a file.
#[derive(Debug)]
pub(super) struct Router {
    pub(super) name: &'static str,
    pub(super) running: Running,
    earlier: usize,
}

impl Router {
    pub(super) fn start(lab: &Lab, name: &'static str, config: &str) -> Result<Self> {
        let host = lab.host(name)?;
        let earlier = host.read("/run/lab/xvrrp.log").map_or(0, |log| log.len());
        Ok(Self { name, running: host.start(Daemon::Xvrrp, config)?, earlier })
    }

    /// What this run has logged.
    pub(super) fn log(&self) -> String {
        self.running.log().get(self.earlier..).unwrap_or_default().to_owned()
    }

    /// Waits until it has logged `text` once more than `before` times.
    pub(super) fn says(&self, text: &str, patience: Duration) -> Result<()> {
        wait_for(patience, || self.log().contains(text).then_some(())).with_context(|| {
            format!("{}: no \"{text}\" in the log within {patience:?}:\n{}", self.name, self.log())
        })
    }

    /// Waits until it probes its master and is answered.
    pub(super) fn probes(&self) -> Result<()> {
        // A peer is probed when its first advert is heard, which VRRPv2 takes 3.6 s for, and then after 1, 2 and 4 s; what a
        // virtual MAC address hides has to be resolved meanwhile.
        self.says(FAST, ms(12_000))?;
        // A few round trips are measured before the judge relies on them, and the master gets to know who probes it.
        std::thread::sleep(ms(300));
        Ok(())
    }
}

/// Files of two routers that advertise every 100 ms.
pub(super) fn files() -> [&'static str; 2] {
    static FILES: std::sync::OnceLock<[String; 2]> = std::sync::OnceLock::new();
    let [master, backup] = FILES.get_or_init(|| [Conf::new(101).text(), Conf::new(99).text()]);
    [master, backup]
}

/// Starts r1, which becomes master, and r2, which probes it.
pub(super) fn pair(lab: &Lab, files: [&str; 2]) -> Result<[Router; 2]> {
    let r1 = Router::start(lab, "r1", files[0])?;
    r1.says("-> MASTER", ms(5_000))?;
    let r2 = Router::start(lab, "r2", files[1])?;
    r2.probes()?;
    Ok([r1, r2])
}

/// Waits until the backup follows its master by probes for the `times`th time.
pub(super) fn backup_again(backup: &Router, times: usize) -> Result<()> {
    wait_for(ms(5_000), || (backup.log().matches("-> BACKUP").count() >= times).then_some(())).with_context(
        || format!("{} is not backup for the {times}th time:\n{}", backup.name, backup.log()),
    )?;
    std::thread::sleep(ms(400));
    Ok(())
}

/// Starts the client's stream and waits for its first answers.
pub(super) fn stream(lab: &Lab, interval: Duration) -> Result<Pinger> {
    let pinger = lab.host("client")?.ping(IpAddr::V4(VIP), interval, Duration::from_secs(60))?;
    answered(&pinger)?;
    Ok(pinger)
}

pub(super) fn answered(pinger: &Pinger) -> Result<()> {
    wait_for(ms(8_000), || pinger.is_answered(ms(20)).then_some(())).context("the client is not answered")
}

/// The gap that `died` caused, once it is over, and the longest stall of the stream around it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outage {
    pub(super) gap: Gap,
    pub(super) length: Duration,
    pub(super) stall: Duration,
}

impl Outage {
    pub(super) fn print(&self, what: &str) {
        let length = self.length.as_secs_f64() * 1e3;
        println!("{what}: gap {length:.2} ms ({} lost), stream held up {:?}", self.gap.lost, self.stall);
    }
}

/// Waits for the end of the first outage at or after `from`; `None` if nothing was lost in `patience`.
pub(super) fn outage(pinger: &Pinger, from: Moment, patience: Duration) -> Option<Outage> {
    let over = wait_for(patience, || {
        // A packet under way counts as lost until it is late.
        let old_enough = Moment::now().since(from) > ms(150);
        let report = pinger.report();
        let lost = report.lost_between(from, settled(&report)) > 0;
        (old_enough && lost && pinger.is_answered(ms(5))).then_some(report)
    })?;
    let gap = over.gaps().into_iter().find(|gap| gap.start >= from)?;
    let (length, end) = (gap.length()?, gap.end?);
    let around: Vec<_> = over
        .echoes()
        .iter()
        .filter(|e| e.sent.plus(ms(2)) >= gap.start && e.sent <= end)
        .map(|e| e.sent)
        .collect();
    let stall = around.windows(2).map(|pair| pair[1].since(pair[0])).max().unwrap_or_default();
    Some(Outage { gap, length, stall })
}

/// Packets sent before this moment have had their time.
fn settled(report: &PingReport) -> Moment {
    let last = report.echoes().last().map_or(Moment::now(), |echo| echo.sent);
    report.echoes().iter().rev().find(|e| last.since(e.sent) > ms(5)).map_or(last, |e| e.sent)
}

/// Minimum, median and maximum in milliseconds.
pub(super) fn summary(lengths: &[Duration]) -> (f64, f64, f64) {
    let mut sorted: Vec<f64> = lengths.iter().map(|length| length.as_secs_f64() * 1e3).collect();
    sorted.sort_by(f64::total_cmp);
    let at = |index: usize| sorted.get(index).copied().unwrap_or(f64::NAN);
    (at(0), at(sorted.len() / 2), at(sorted.len().saturating_sub(1)))
}

/// Probes or replies that `host` sent since `from`.
pub(super) fn sent(wire: &Wire, host: &str, kind: u8, from: Moment) -> usize {
    wire.filter(|s| {
        s.at >= from
            && s.direction == Direction::Sent
            && s.host == host
            && matches!(s.frame, Frame::OtherVrrp { version_type } if version_type == kind)
    })
    .len()
}

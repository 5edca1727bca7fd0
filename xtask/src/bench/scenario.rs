//! One failover: what happens to the master, and what the client and the witnesses saw of it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::ValueEnum;
use ha_tests::lab::{ArpCensus, ArpSample, Echo, Gap, Moment, PingReport, Pinger, wait_for};
use nix::sys::signal::Signal;

use super::peer::VIP;
use super::stage::{ADDRESS, Stage, serves_alone};

/// What happens to the master.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Failover {
    /// Its switch port goes silent; every carrier stays.
    HostDeath,
    /// Its cable is taken out.
    Cable,
    /// Its daemon is killed.
    Kill9,
    /// Its daemon is frozen, and thawed after the takeover.
    Sigstop,
    /// Its daemon is stopped.
    Stop,
    /// Its host comes back: the daemon starts on it while the other router is master.
    Failback,
    /// Its daemon is stopped and started again.
    Restart,
}

/// Measured values by name.
pub(super) type Outcome = Vec<(&'static str, f64)>;

/// A 250 µs stream.
const STREAM: Duration = Duration::from_micros(250);
const ASK: Duration = Duration::from_millis(1);
const BEFORE: Duration = Duration::from_millis(150);
const AFTER: Duration = Duration::from_millis(300);
/// Nothing takes longer with an interval of one second, not even a start with a takeover behind it.
const PATIENCE: Duration = Duration::from_secs(12);
/// A failover that is not over by then is one of seconds, which other work on the machine does not disturb.
const ALONE: Duration = Duration::from_millis(500);

impl Failover {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::HostDeath => "host-death",
            Self::Cable => "cable",
            Self::Kill9 => "kill9",
            Self::Sigstop => "sigstop",
            Self::Stop => "stop",
            Self::Failback => "failback",
            Self::Restart => "restart",
        }
    }

    /// For tables and plots.
    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::HostDeath => "host death",
            Self::Cable => "cable out",
            Self::Kill9 => "daemon killed",
            Self::Sigstop => "daemon frozen",
            Self::Stop => "graceful stop",
            Self::Failback => "failback",
            Self::Restart => "daemon restarted",
        }
    }

    /// Whether the master runs before it.
    pub(super) fn starts_with_both(self) -> bool {
        self != Self::Failback
    }

    /// Whether the backup takes over for good.
    fn is_takeover(self) -> bool {
        !matches!(self, Self::Failback | Self::Restart)
    }

    fn happen(self, stage: &mut Stage) -> Result<()> {
        match self {
            Self::HostDeath => stage.lab.switch().silence("r1"),
            Self::Cable => stage.lab.switch().unplug("r1"),
            Self::Kill9 => stage.master()?.kill9(),
            Self::Sigstop => stage.master()?.freeze(),
            Self::Stop => stage.master()?.signal(Signal::SIGTERM),
            Self::Failback => stage.start_master(),
            Self::Restart => {
                let ours = stage.peer.is_ours();
                let master = stage.master()?;
                if ours {
                    master.leave_for_restart()?;
                } else {
                    master.signal(Signal::SIGTERM)?;
                }
                // It polls every few milliseconds, as fast as a service manager.
                wait_for(PATIENCE, || master.check_alive().is_err().then_some(()))
                    .context("the daemon does not end")?;
                stage.start_master()
            }
        }
    }

    fn is_over(self, stage: &Stage, pinger: &Pinger, census: &ArpCensus, since: Moment) -> bool {
        let alone = |host: &str| serves_alone(census, host);
        let answered =
            |host: &str| stage.taken(host, since).is_some_and(|taken| pinger.first_answer(taken).is_some());
        match self {
            Self::Stop => alone("r2") && answered("r2"),
            Self::Failback => alone("r1") && answered("r1"),
            // Long enough for the peer to have taken over if it was going to.
            Self::Restart => {
                let quiet = Moment::now().since(since) > Duration::from_millis(1_500);
                quiet && alone("r1") && pinger.is_answered(ASK * 20)
            }
            _ => answered("r2"),
        }
    }

    /// Makes it happen and measures, holding `gate` while milliseconds count.
    pub(super) fn measure(self, stage: &mut Stage, gate: &Mutex<()>) -> Result<Outcome> {
        self.measure_as(stage, gate, |stage| self.happen(stage))
    }

    /// The same, with another one who makes it happen.
    pub(super) fn measure_as(
        self,
        stage: &mut Stage,
        gate: &Mutex<()>,
        happen: impl FnOnce(&mut Stage) -> Result<()>,
    ) -> Result<Outcome> {
        if self == Self::Sigstop {
            // A new master announces its addresses again after five seconds. Frozen before that, it would do so when it
            // is thawed, and the client would find it by accident.
            std::thread::sleep(Duration::from_secs(3));
        }
        let mut alone: Option<MutexGuard<'_, ()>> = Some(gate.lock().unwrap_or_else(PoisonError::into_inner));
        let pinger = stage.lab.host("client")?.ping(ADDRESS, STREAM, PATIENCE * 2)?;
        let census = stage.lab.arp_census("witness", VIP, ASK)?;
        wait_for(PATIENCE, || pinger.is_answered(ASK * 20).then_some(()))
            .context("the client is not answered")?;
        std::thread::sleep(BEFORE);

        let before = Moment::now();
        happen(stage)?;
        let end = before.plus(PATIENCE);
        while !self.is_over(stage, &pinger, &census, before) {
            let now = Moment::now();
            if now > end {
                anyhow::bail!("not over within {PATIENCE:?}\n{}", stage.lab.dossier());
            }
            if now.since(before) > ALONE {
                alone = None;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        std::thread::sleep(AFTER);
        let mut thawed = None;
        if self == Self::Sigstop {
            thawed = Some(Moment::now());
            stage.master()?.thaw()?;
            std::thread::sleep(AFTER);
            // Both were master, and the client may have to learn again where the address is.
            wait_for(PATIENCE, || pinger.is_answered(ASK * 20).then_some(()));
        }
        let report = pinger.stop();
        let samples = census.samples();
        drop(census);
        drop(alone);
        self.evaluate(stage, &report, &samples, before, thawed)
    }

    fn evaluate(
        self,
        stage: &Stage,
        report: &PingReport,
        samples: &[ArpSample],
        before: Moment,
        thawed: Option<Moment>,
    ) -> Result<Outcome> {
        // Packets that were on their way when it happened belong to it.
        let (gaps, later): (Vec<_>, Vec<_>) = report
            .gaps()
            .into_iter()
            .filter(|gap| gap.end.is_none_or(|end| end > before))
            .partition(|gap| thawed.is_none_or(|thawed| gap.start < thawed));
        let longest = |gaps: &[Gap]| -> Result<Duration> {
            let lengths =
                gaps.iter().map(|gap| gap.length().context("in the end the client was not answered"));
            Ok(lengths.collect::<Result<Vec<_>>>()?.into_iter().max().unwrap_or_default())
        };
        let mut outcome = vec![
            ("gap ms", ms(longest(&gaps)?)),
            ("lost pings", lost(report, before) as f64),
            ("stream stall ms", ms(report.longest_stall())),
        ];
        let since: Vec<_> = samples.iter().filter(|sample| sample.asked >= before).collect();
        let distinct = |sample: &ArpSample| {
            let mut names = sample.answers.clone();
            names.sort();
            names.dedup();
            names.len()
        };
        let doubles = since.iter().filter(|sample| distinct(sample) > 1).count();
        let most = since.iter().map(|sample| distinct(sample)).max().unwrap_or(0);
        outcome.push(("machines answering", most as f64));
        outcome.push(("two answering ms", doubles as f64 * ms(ASK)));
        if let Some(thawed) = thawed {
            outcome.push(("gap after thaw ms", ms(longest(&later)?)));
            let early = thawed..thawed.plus(AFTER);
            let answered = |sample: &ArpSample| sample.answers.iter().any(|name| name == "r1");
            let late = since.iter().filter(|sample| early.contains(&sample.asked) && answered(sample));
            outcome.push(("thawed answers ms", late.count() as f64 * ms(ASK)));
        }
        let taken = stage.taken("r2", before);
        if self == Self::Restart {
            outcome.push(("peer took over", if taken.is_some() { 1.0 } else { 0.0 }));
        }
        if let (true, Some(taken)) = (self.is_takeover(), taken) {
            // Where the client noticed nothing, from the event on.
            let start = gaps.iter().max_by_key(|gap| gap.length()).map_or(before, |gap| gap.start);
            outcome.push(("gap start to address ms", taken.ms_after(start)));
            if let Some(advert) = stage.last_advert(taken)
                && matches!(self, Self::HostDeath | Self::Cable)
            {
                outcome.push(("last sign to address ms", taken.ms_after(advert)));
            }
            if let Some(announced) = stage.wire.first_announcement("r2", ADDRESS, before) {
                outcome.push(("address to announcement ms", announced.ms_after(taken)));
                if let Some(gap) = gaps.iter().find(|gap| gap.end.is_some_and(|end| end >= announced)) {
                    let answered = gap.end.context("checked above")?;
                    outcome.push(("announcement to answer ms", answered.ms_after(announced)));
                }
            }
        }
        Ok(outcome)
    }
}

/// Lost packets of a 1 ms stream: the first of every millisecond of the finer one.
fn lost(report: &PingReport, from: Moment) -> usize {
    let mut millisecond = None;
    let mut first = |echo: &&Echo| {
        let of_echo = Some(echo.sent.nanos() / 1_000_000);
        of_echo != std::mem::replace(&mut millisecond, of_echo)
    };
    let late = Duration::from_millis(100);
    let lost = |echo: &&Echo| echo.answered.is_none_or(|at| at.since(echo.sent) > late);
    report.echoes().iter().filter(|echo| echo.sent >= from).filter(|echo| first(echo)).filter(lost).count()
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

//! False failovers: healthy pairs of all peers at once while the machine is idle or busy. Nothing may change
//! hands.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::ValueEnum;
use ha_tests::lab::{Change, Moment, Pinger, Stress, wait_for};

use super::progress::Progress;
use super::results::Results;
use super::stage::{ADDRESS, Stage};

/// What the machine does meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Load {
    Idle,
    CpuHogs,
    FifoHogs,
    TimerStorm,
    PingFlood,
    /// The master's port stands still for 3 ms, every 2 s.
    Microbursts,
}

impl Load {
    pub(super) const ALL: [Self; 6] =
        [Self::Idle, Self::CpuHogs, Self::FifoHogs, Self::TimerStorm, Self::PingFlood, Self::Microbursts];

    /// Key of its results.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Idle => "load idle",
            Self::CpuHogs => "load cpu-hogs",
            Self::FifoHogs => "load fifo-hogs",
            Self::TimerStorm => "load timer-storm",
            Self::PingFlood => "load ping-flood",
            Self::Microbursts => "load microbursts",
        }
    }

    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::CpuHogs => "CPU hogs",
            Self::FifoHogs => "SCHED_FIFO hogs",
            Self::TimerStorm => "timer storm",
            Self::PingFlood => "ping flood",
            Self::Microbursts => "microbursts of 3 ms",
        }
    }
}

/// Between packets of the client; loss is counted, not timed.
const STREAM: Duration = Duration::from_millis(1);
/// Between packets of the flood, of which each pair gets one to each router.
const FLOOD: Duration = Duration::from_micros(100);

/// Each of `loads` for `time`.
pub(super) fn run(results: &mut Results, loads: &[Load], time: Duration, progress: &mut Progress) {
    for &load in loads {
        // New ones each time: what a daemon says of itself is said of its whole life.
        let mut stages = build(results, load, progress);
        if let Err(error) = under(results, load, time, &mut stages, progress) {
            results
                .peers
                .clone()
                .into_iter()
                .for_each(|peer| results.fail(load.name(), peer, &error, progress));
        }
    }
}

/// The port of each master stands still for a moment, again and again until `end`.
fn microbursts(stages: &[Stage], end: Moment) -> Result<()> {
    const LENGTH: Duration = Duration::from_millis(3);
    const BETWEEN: Duration = Duration::from_secs(2);
    while Moment::now() < end {
        std::thread::sleep(BETWEEN);
        for stage in stages {
            let switch = stage.lab.switch();
            let begin = Moment::now();
            switch.silence("r1")?;
            // Each of the two takes effect at its end.
            let cost = Moment::now().since(begin);
            std::thread::sleep(LENGTH.saturating_sub(cost));
            switch.restore("r1")?;
        }
    }
    Ok(())
}

/// A healthy pair of each peer.
fn build(results: &mut Results, load: Load, progress: &Progress) -> Vec<Stage> {
    let learn = results.learn;
    let mut stages = Vec::new();
    std::thread::scope(|scope| {
        let threads: Vec<_> = results
            .peers
            .iter()
            .map(|&peer| (peer, scope.spawn(move || Stage::learned(peer, true, learn))))
            .collect();
        for (peer, thread) in threads {
            let stage = thread.join().unwrap_or_else(|_| Err(anyhow::anyhow!("building the lab panicked")));
            match stage {
                Ok(stage) => stages.push(stage),
                Err(error) => results.fail(load.name(), peer, &error, progress),
            }
        }
    });
    stages
}

/// What the backup says of its probes, by name in the results.
pub(super) const PROBES: [&str; 6] =
    ["probes", "verdicts", "late p50 us", "late p99 us", "late max ms", "stalls"];

/// Adds it up. Only xvrrp probes.
fn probes(results: &mut Results, load: Load, stage: &Stage, progress: &Progress) -> Result<()> {
    if !stage.peer.is_ours() {
        return Ok(());
    }
    let status = stage.lab.host("r2")?.xvrrp_status()?;
    let peer = status.interfaces.iter().flat_map(|interface| &interface.peers).find(|peer| peer.fast);
    let peer = peer.context("the backup does not probe its master")?;
    let values = [
        peer.sent as f64,
        peer.verdicts as f64,
        peer.late_median_us,
        peer.late_p99_us,
        peer.late_max_us / 1e3,
        peer.stalls as f64,
    ];
    for (metric, value) in PROBES.into_iter().zip(values) {
        results.add(load.name(), stage.peer, metric, value);
    }
    progress.line(
        "",
        stage.peer.name(),
        load.title(),
        &format!(
            "{} probes, {} unanswered, {} verdicts; sent late {:.0} us median, {:.0} us p99, {:.1} ms max",
            peer.sent,
            peer.sent.saturating_sub(peer.answered),
            peer.verdicts,
            peer.late_median_us,
            peer.late_p99_us,
            peer.late_max_us / 1e3
        ),
    );
    Ok(())
}

fn under(
    results: &mut Results,
    load: Load,
    time: Duration,
    stages: &mut [Stage],
    progress: &mut Progress,
) -> Result<()> {
    let mut streams: Vec<Pinger> = Vec::new();
    for stage in stages.iter() {
        streams.push(stage.lab.host("client")?.ping(ADDRESS, STREAM, time * 2)?);
    }
    // Not before the damage of an earlier load is over.
    for stream in &streams {
        wait_for(Duration::from_secs(10), || stream.is_answered(STREAM * 20).then_some(()));
    }
    std::thread::sleep(Duration::from_millis(300));
    let since = Moment::now();
    let _stress = match load {
        Load::CpuHogs => Some(Stress::cpu_hogs()?),
        Load::FifoHogs => Some(Stress::fifo_hogs()?),
        Load::TimerStorm => Some(Stress::timer_storm()?),
        Load::Idle | Load::PingFlood | Load::Microbursts => None,
    };
    let mut floods = Vec::new();
    for stage in stages.iter().filter(|_| load == Load::PingFlood) {
        for router in ["r1", "r2"] {
            let target = IpAddr::V4(stage.lab.host(router)?.spec().v4);
            floods.push(stage.lab.host("witness")?.ping(target, FLOOD, time * 2)?);
        }
    }
    if load == Load::Microbursts {
        microbursts(stages, since.plus(time))?;
    } else {
        std::thread::sleep(time);
    }
    let until = Moment::now();
    drop(floods);
    drop(_stress);
    for (stage, stream) in stages.iter_mut().zip(streams) {
        let report = stream.stop();
        let moves = stage.addresses.history().into_iter().filter(|entry| {
            entry.at >= since
                && matches!(entry.change, Change::Added(ip) | Change::Removed(ip) if ip == ADDRESS)
        });
        let moves = moves.count();
        let lost = report.lost_between(since, until);
        let peer = stage.peer;
        results.add(load.name(), peer, "address changes", moves as f64);
        results.add(load.name(), peer, "lost pings", lost as f64);
        results.add(load.name(), peer, "stream stall ms", report.longest_stall().as_secs_f64() * 1e3);
        results.add(load.name(), peer, "seconds", until.since(since).as_secs_f64());
        progress.line("", peer.name(), load.title(), &format!("{moves} address changes, {lost} pings lost"));
        if let Err(error) = probes(results, load, stage, progress) {
            results.fail(load.name(), peer, &error, progress);
        }
        let healthy = stage.master.as_mut().context("started with both")?.check_alive();
        if let Err(error) = healthy.and_then(|()| stage.backup.check_alive()) {
            results.fail(load.name(), peer, &error, progress);
        }
    }
    Ok(())
}

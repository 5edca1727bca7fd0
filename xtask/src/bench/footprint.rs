//! What a healthy pair costs with 1, 100 and 255 virtual routers: processor, context switches, memory.

use std::thread::ScopedJoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use ha_tests::lab::{Lab, Running, Usage, wait_for};

use super::peer::{Peer, Role, VIPS_NETWORK, vips};
use super::progress::Progress;
use super::results::Results;
use super::stage::topology;

/// Numbers of virtual routers.
pub(super) const COUNTS: [u8; 3] = [1, 100, 255];

/// Key of the results.
pub(super) fn name(count: u8) -> String {
    format!("footprint {count}")
}

/// Each peer with each of `counts`, over `time`. Processor time does not depend on who runs beside it, so peers are
/// measured `together`, or else only the one alone that leaves no room for others.
pub(super) fn run(
    results: &mut Results,
    counts: &[u8],
    time: Duration,
    together: bool,
    progress: &mut Progress,
) {
    let (greedy, modest): (Vec<_>, Vec<_>) =
        results.peers.iter().copied().partition(|peer| !together && *peer == Peer::KeepalivedTuned);
    let settle = if together { Duration::from_secs(2) } else { SETTLE };
    for &count in counts {
        for peers in [&modest, &greedy] {
            let values = std::thread::scope(|scope| {
                let start = |peer: Peer| (peer, scope.spawn(move || measure(peer, count, settle, time)));
                let threads: Vec<_> = peers.iter().copied().map(start).collect();
                let join = |thread: ScopedJoinHandle<'_, Result<Values>>| {
                    thread.join().unwrap_or_else(|_| Err(anyhow::anyhow!("the measurement panicked")))
                };
                threads.into_iter().map(|(peer, thread)| (peer, join(thread))).collect::<Vec<_>>()
            });
            for (peer, values) in values {
                note(results, count, peer, values, progress);
            }
        }
    }
}

/// Longer than the delay after which a new master announces its addresses a second time.
const SETTLE: Duration = Duration::from_secs(7);

/// What the program on the interface does to ordinary packets: round trips to the master's own address.
pub(super) const ROUND_TRIPS: [(&str, usize); 2] = [("round trip median us", 50), ("round trip p99 us", 99)];

/// What a thread costs that wakes up as often as a backup, and does nothing.
pub(super) const SLEEPER: &str = "sleeper cpu %";

/// Sleeps a millisecond at a time, and says how many percent of a processor that took.
fn sleeper(time: Duration) -> Result<f64> {
    use nix::time::{ClockId, clock_gettime};
    let read = || clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map(Duration::from);
    let (begin, before) = (Instant::now(), read()?);
    while begin.elapsed() < time {
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(read()?.saturating_sub(before).as_secs_f64() * 100.0 / begin.elapsed().as_secs_f64())
}

/// Measured values by name.
type Values = Vec<(String, f64)>;

fn note(results: &mut Results, count: u8, peer: Peer, values: Result<Values>, progress: &mut Progress) {
    let name = name(count);
    match values {
        Ok(values) => {
            let text: Vec<_> = values.iter().map(|(metric, value)| format!("{metric} {value:.2}")).collect();
            progress.line("", peer.name(), &format!("VRIDs: {count}"), &text.join(", "));
            for (metric, value) in values {
                results.add(&name, peer, &metric, value);
            }
        }
        Err(error) => results.fail(&name, peer, &error, progress),
    }
}

fn measure(peer: Peer, count: u8, settle: Duration, time: Duration) -> Result<Values> {
    let lab = Lab::new(topology())?;
    let routers = start(&lab, peer, count, settle)?;
    let read = || routers.iter().map(Running::usage).collect::<Result<Vec<Usage>>>();
    let before = read()?;
    let mut values = Vec::new();
    let sleeper = peer.is_ours().then(|| std::thread::spawn(move || sleeper(time)));
    if count == 1 {
        let target = lab.host("r1")?.spec().v4;
        let stream = lab.host("client")?.ping(target.into(), Duration::from_millis(1), time)?;
        std::thread::sleep(time);
        let report = stream.stop();
        for (metric, percent) in ROUND_TRIPS {
            let trip = report.round_trip(percent).context("r1 does not answer the client")?;
            values.push((metric.to_owned(), trip.as_secs_f64() * 1e6));
        }
    } else {
        std::thread::sleep(time);
    }
    let after = read()?;
    if let Some(percent) = sleeper.and_then(|thread| thread.join().ok()) {
        values.push((SLEEPER.to_owned(), percent?));
    }
    for (role, (before, after)) in ["master", "backup"].iter().zip(before.iter().zip(&after)) {
        values.push((format!("{role} cpu %"), after.percent_since(before)));
        values.push((format!("{role} switches/s"), after.switches_since(before)));
        values.push((format!("{role} memory MiB"), after.memory_kib as f64 / 1024.0));
    }
    anyhow::ensure!(holds_all(&lab, "r1", count)?, "r1 is no longer master of all\n{}", lab.dossier());
    Ok(values)
}

/// A pair with `count` virtual routers, all on r1, and a client that reaches them, `settle` after the start of r2.
pub(super) fn start(lab: &Lab, peer: Peer, count: u8, settle: Duration) -> Result<[Running; 2]> {
    let (r1, r2, client) = (lab.host("r1")?, lab.host("r2")?, lab.host("client")?);
    client.output(&["ip", "route", "add", VIPS_NETWORK, "dev", client.interface()])?;
    // The master first, so that nothing has to change hands.
    let master = r1.start(peer.daemon(), &peer.config_of(Role::Master, count))?;
    wait_for(Duration::from_secs(30), || holds_all(lab, "r1", count).ok()?.then_some(()))
        .with_context(|| format!("r1 did not become master of {count}\n{}", lab.dossier()))?;
    let backup = r2.start(peer.daemon(), &peer.config_of(Role::Backup, count))?;
    std::thread::sleep(settle);
    anyhow::ensure!(holds_all(lab, "r1", count)?, "r1 did not stay master of {count}\n{}", lab.dossier());
    Ok([master, backup])
}

fn holds_all(lab: &Lab, host: &str, count: u8) -> Result<bool> {
    let held = lab.host(host)?.addresses()?;
    Ok(vips(count).into_iter().all(|vip| held.contains(&vip.into())))
}

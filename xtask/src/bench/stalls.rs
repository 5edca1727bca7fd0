//! Stalls of the master's port: the network stands still for a moment, one way or both ways, and nobody has died.
//!
//! What counts is what it costs the client beyond the stall itself. The same stalls for all peers, at the same time.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use ha_tests::lab::{Moment, wait_for};
use ha_tests::rng::Rng;

use super::peer::Role;
use super::progress::Progress;
use super::results::Results;
use super::stage::{ADDRESS, Stage, serves_alone, start};

/// Key of the results.
pub(super) const NAME: &str = "stalls";
/// What is measured.
pub(super) const METRICS: [&str; 3] = ["excess gap ms", "gap ms", "addresses moved"];

/// Between two packets of the client.
const STREAM: Duration = Duration::from_millis(1);
/// From the end of a stall on: some adverts, and all that follows from them.
const AFTER: Duration = Duration::from_millis(2_500);
/// keepalived is found by its clients again when they ask again.
const PATIENCE: Duration = Duration::from_secs(20);
/// Where the sequence of stalls begins.
const SEED: u64 = 0x5eed;

/// Which frames do not get through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Both,
    FromMaster,
    ToMaster,
}

/// One stall.
#[derive(Clone, Copy, Debug)]
struct Stall {
    /// Where in the master's interval it begins.
    phase: Duration,
    length: Duration,
    way: Way,
}

/// Of all orders of magnitude from 1 ms to 1 s the same number: short ones are the dangerous ones.
fn sequence(count: usize) -> Vec<Stall> {
    let mut rng = Rng::new(SEED);
    let mut stall = || Stall {
        phase: Duration::from_millis(rng.below(1_000)),
        length: Duration::from_secs_f64(10f64.powf(3.0 * rng.share()) / 1e3),
        way: rng.pick(&[Way::Both, Way::FromMaster, Way::ToMaster]),
    };
    (0..count).map(|_| stall()).collect()
}

pub(super) fn run(results: &mut Results, count: usize, progress: &mut Progress) {
    let (stalls, peers) = (sequence(count), results.peers.clone());
    let begin = Instant::now();
    let (told, heard) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        for peer in peers {
            let (told, stalls) = (told.clone(), &stalls);
            scope.spawn(move || {
                let mut stage = Stage::new(peer, true);
                for (n, stall) in stalls.iter().enumerate() {
                    let outcome = match &mut stage {
                        Ok(stage) => measure(stage, *stall),
                        Err(error) => Err(anyhow::anyhow!("{error:#}")),
                    };
                    let failed = outcome.is_err();
                    // The receiver outlives this thread.
                    let _ = told.send((n, peer, *stall, outcome));
                    if failed {
                        stage = Stage::new(peer, true);
                    }
                }
            });
        }
        drop(told);
        for (n, peer, stall, outcome) in heard {
            match outcome {
                Ok(values) => {
                    let [excess, gap, moved] = values;
                    let text = format!(
                        "{:6.1} ms {:?}: gap {gap:7.1} ms, {excess:7.1} beyond the stall, {moved:.0} moved",
                        stall.length.as_secs_f64() * 1e3,
                        stall.way
                    );
                    progress.line(&format!("{}/{count}", n + 1), peer.name(), NAME, &text);
                    for (metric, value) in METRICS.into_iter().zip(values) {
                        results.add(NAME, peer, metric, value);
                    }
                }
                Err(error) => results.fail(NAME, peer, &error, progress),
            }
            if n == 0 && count > 1 {
                progress.expect(begin.elapsed() * u32::try_from(count - 1).unwrap_or(0));
            }
        }
    });
}

fn measure(stage: &mut Stage, stall: Stall) -> Result<[f64; 3]> {
    // A backup that remembers no wrong verdict.
    stage.backup.stop()?;
    stage.backup = start(&stage.lab, stage.peer, Role::Backup)?;
    let pinger = stage.lab.host("client")?.ping(ADDRESS, STREAM, PATIENCE * 3)?;
    wait_for(PATIENCE, || pinger.is_answered(STREAM * 20).then_some(()))
        .context("the client is not answered")?;
    std::thread::sleep(Duration::from_millis(800) + stall.phase);
    let before = Moment::now();
    let end = during(stage, stall)?;
    let lasted = end.since(before);
    std::thread::sleep(AFTER);
    let census = stage.census()?;
    let settled = || (serves_alone(&census, "r1") && pinger.is_answered(STREAM * 20)).then_some(());
    wait_for(PATIENCE, settled).with_context(|| format!("not as before\n{}", stage.lab.dossier()))?;
    let moved = ["r1", "r2"].into_iter().filter(|host| stage.taken(host, before).is_some()).count();
    let report = pinger.stop();
    let gaps = report.gaps().into_iter().filter(|gap| gap.end.is_none_or(|end| end > before));
    let longest = gaps.filter_map(|gap| gap.length()).max().unwrap_or_default();
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    Ok([ms(longest.saturating_sub(lasted)), ms(longest), moved as f64])
}

/// Makes the port stand still; when it was over.
fn during(stage: &Stage, stall: Stall) -> Result<Moment> {
    let switch = stage.lab.switch();
    let hook = match stall.way {
        Way::Both => {
            switch.silence("r1")?;
            std::thread::sleep(stall.length);
            switch.restore("r1")?;
            return Ok(Moment::now());
        }
        Way::FromMaster => "ingress",
        Way::ToMaster => "egress",
    };
    let rules = format!(
        "add table netdev stall; add chain netdev stall port {{ type filter hook {hook} device r1 priority 0; \
         policy drop; }}"
    );
    switch.output(&["nft", &rules])?;
    std::thread::sleep(stall.length);
    switch.output(&["nft", "delete table netdev stall"])?;
    Ok(Moment::now())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stalls_are_of_all_kinds_and_the_same_each_time() {
        let stalls = sequence(200);
        let again = sequence(200);
        assert!(
            stalls
                .iter()
                .zip(&again)
                .all(|(a, b)| a.length == b.length && a.phase == b.phase && a.way == b.way)
        );
        let short = stalls.iter().filter(|stall| stall.length < Duration::from_millis(10)).count();
        let long = stalls.iter().filter(|stall| stall.length > Duration::from_millis(100)).count();
        assert!((50..85).contains(&short) && (50..85).contains(&long), "{short} short, {long} long");
        for way in [Way::Both, Way::FromMaster, Way::ToMaster] {
            assert!(stalls.iter().filter(|stall| stall.way == way).count() > 40, "{way:?}");
        }
    }
}

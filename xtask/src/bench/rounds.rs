//! The failovers of all peers, again and again, in turn: what disturbs the machine for a while disturbs all
//! of them.
//!
//! Within a round the labs of one peer are built together and wait together, for starts and timers of
//! seconds; the moments that count follow one another.

use std::sync::{Barrier, Mutex};
use std::thread::ScopedJoinHandle;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::peer::Peer;
use super::progress::Progress;
use super::results::Results;
use super::scenario::{Failover, Outcome};
use super::stage::Stage;

/// `together`: all peers in one round, which is faster and disturbs more.
pub(super) fn run(results: &mut Results, failovers: &[Failover], together: bool, progress: &mut Progress) {
    let peers = results.peers.clone();
    let learn = results.learn;
    let at_once = if together { peers.len() } else { 1 };
    let start = Instant::now();
    for run in 1..=results.runs {
        for peers in peers.chunks(at_once.max(1)) {
            for (peer, failover, outcome) in round(peers, failovers, learn) {
                match outcome {
                    Ok(outcome) => {
                        for (metric, value) in outcome {
                            results.add(failover.name(), peer, metric, value);
                        }
                    }
                    Err(error) => {
                        results.fail(failover.name(), peer, &error, progress);
                        continue;
                    }
                }
                let last = |metric| results.series(failover.name(), peer, metric).pop().unwrap_or(0.0);
                let two = if last("machines answering") > 1.0 { ", two machines answering" } else { "" };
                let median = results.stats(failover.name(), peer, "gap ms").map_or(0.0, |stats| stats.median);
                progress.line(
                    &format!("{run}/{}", results.runs),
                    peer.name(),
                    failover.title(),
                    &format!(
                        "gap {:9.2} ms (median {median:9.2}), {:.0} pings lost{two}",
                        last("gap ms"),
                        last("lost pings")
                    ),
                );
            }
        }
        if run == 1 && results.runs > 1 {
            progress.expect(start.elapsed() * u32::try_from(results.runs - 1).unwrap_or(0));
        }
    }
}

/// Each failover of each peer once.
fn round(peers: &[Peer], failovers: &[Failover], learn: Duration) -> Vec<(Peer, Failover, Result<Outcome>)> {
    let all: Vec<_> =
        peers.iter().flat_map(|peer| failovers.iter().map(|failover| (*peer, *failover))).collect();
    let (gate, ready, over) = (Mutex::new(()), Barrier::new(all.len()), Barrier::new(all.len()));
    std::thread::scope(|scope| {
        let (gate, ready, over) = (&gate, &ready, &over);
        let start = |(peer, failover): (Peer, Failover)| {
            let thread = scope.spawn(move || {
                let both = failover.starts_with_both();
                let stage = Stage::learned(peer, both, if both { learn } else { Duration::ZERO });
                // Also when it failed, or the others would wait for ever.
                ready.wait();
                let (outcome, stage) = match stage {
                    Ok(mut stage) => (failover.measure(&mut stage, gate), Some(stage)),
                    Err(error) => (Err(error), None),
                };
                // The kernel takes namespaces apart under the lock that a takeover needs to add addresses: for tens
                // of milliseconds at a time.
                over.wait();
                drop(stage);
                outcome
            });
            (peer, failover, thread)
        };
        let threads: Vec<_> = all.into_iter().map(start).collect();
        let join = |thread: ScopedJoinHandle<'_, Result<Outcome>>| {
            thread.join().unwrap_or_else(|_| Err(anyhow::anyhow!("the measurement panicked")))
        };
        threads.into_iter().map(|(peer, failover, thread)| (peer, failover, join(thread))).collect()
    })
}

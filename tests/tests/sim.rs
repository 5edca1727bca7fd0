//! Statements 38, 40 and 41 over many seeded clusters.
//!
//! `XVRRP_SEED=n` replays one seed, `XVRRP_SEEDS=n` changes how many are run, `XVRRP_FIRST_SEED=n` where they
//! begin.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use ha_tests::sim::{self, Stats};

/// Seeds of an ordinary run.
const SEEDS: u64 = 10_000;

fn number(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name}={value}: not a number")))
}

#[test]
fn s38_s40_s41_clusters() {
    if let Some(seed) = number("XVRRP_SEED") {
        match sim::run(seed) {
            Ok(stats) => println!("seed {seed}: {stats:?}"),
            Err(failure) => panic!("{failure}"),
        }
        return;
    }
    let first = number("XVRRP_FIRST_SEED").unwrap_or(0);
    let seeds = number("XVRRP_SEEDS").unwrap_or(SEEDS);
    let start = Instant::now();
    let next = AtomicU64::new(first);
    let failed = AtomicBool::new(false);
    let total = Mutex::new(Stats::default());
    let failures = Mutex::new(Vec::new());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut stats = Stats::default();
                while !failed.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + seeds {
                        break;
                    }
                    match sim::run(seed) {
                        Ok(run) => stats.add(run),
                        Err(failure) => {
                            failed.store(true, Ordering::Relaxed);
                            failures.lock().unwrap_or_else(PoisonError::into_inner).push(failure);
                        }
                    }
                }
                total.lock().unwrap_or_else(PoisonError::into_inner).add(stats);
            });
        }
    });
    let failures = failures.into_inner().unwrap_or_else(PoisonError::into_inner);
    let total = total.into_inner().unwrap_or_else(PoisonError::into_inner);
    if let Some(failure) = failures.iter().min_by_key(|failure| failure.seed) {
        panic!("{failure}");
    }
    println!("{seeds} seeds in {:.1} s: {total:?}", start.elapsed().as_secs_f64());
    if seeds >= 1000 {
        assert!(
            total.takeovers > seeds && total.stalls > seeds / 2 && total.handovers > seeds / 4,
            "tame: {total:?}"
        );
    }
}

#[test]
fn a_seed_tells_one_story() {
    for seed in 0..20 {
        assert_eq!(sim::run(seed).ok(), sim::run(seed).ok());
    }
}

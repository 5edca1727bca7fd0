//! Many seeds on all cores.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::Failure;

/// Runs `seeds` seeds from `first` on and adds up what happened. The first failure ends it, unless it is to `keep_going`.
/// Failures come with their seeds in order.
pub fn many<S: Default + Send>(
    first: u64,
    seeds: u64,
    keep_going: bool,
    run: impl Fn(u64) -> Result<S, Box<Failure>> + Sync,
    add: impl Fn(&mut S, S) + Sync,
) -> (S, Vec<Failure>) {
    let next = AtomicU64::new(first);
    let failed = AtomicBool::new(false);
    let total = Mutex::new(S::default());
    let failures = Mutex::new(Vec::new());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut stats = S::default();
                while !failed.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first.saturating_add(seeds) {
                        break;
                    }
                    match run(seed) {
                        Ok(run) => add(&mut stats, run),
                        Err(failure) => {
                            failed.store(!keep_going, Ordering::Relaxed);
                            failures.lock().unwrap_or_else(PoisonError::into_inner).push(*failure);
                        }
                    }
                }
                add(&mut total.lock().unwrap_or_else(PoisonError::into_inner), stats);
            });
        }
    });
    let mut failures = failures.into_inner().unwrap_or_else(PoisonError::into_inner);
    failures.sort_by_key(|failure| failure.seed);
    (total.into_inner().unwrap_or_else(PoisonError::into_inner), failures)
}

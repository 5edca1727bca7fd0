//! Stalls of the machine itself: how late a thread wakes up that nothing on this machine may delay.
//!
//! A virtual machine is stopped by its host now and then, one core or all, for longer than a failover takes. A daemon
//! on a stopped core is silent, and whoever takes over from it is right; a bound on its time then says nothing.

use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;

use super::sys;

/// Above everything that is measured.
const PRIORITY: i32 = 90;
const PAUSE: Duration = Duration::from_millis(1);

static WORST_NS: AtomicU64 = AtomicU64::new(0);
static START: Once = Once::new();

/// Starts to watch, one thread for each core, and forgets what was seen before. Without the right to real-time
/// scheduling nothing is ever seen.
pub fn forget_stalls() {
    START.call_once(|| {
        for cpu in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            // No thread, no watch.
            let _ = std::thread::Builder::new().name(format!("stall-{cpu}")).spawn(move || watch(cpu));
        }
    });
    WORST_NS.store(0, Ordering::Relaxed);
}

/// The longest stall since [`forget_stalls`].
#[must_use]
pub fn longest_stall() -> Duration {
    Duration::from_nanos(WORST_NS.load(Ordering::Relaxed))
}

fn watch(cpu: usize) {
    let mut cpus = CpuSet::new();
    if cpus.set(cpu).is_err() || sched_setaffinity(Pid::from_raw(0), &cpus).is_err() {
        return;
    }
    if sys::realtime_thread(PRIORITY).is_err() {
        return;
    }
    loop {
        let before = Instant::now();
        std::thread::sleep(PAUSE);
        let late = before.elapsed().saturating_sub(PAUSE);
        WORST_NS.fetch_max(u64::try_from(late.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

//! Makes the machine busy, in the ways that make failover daemons late. The machine, not one host of the
//! lab: all hosts share the processors.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::sys;

/// What keeps the machine busy; ends when dropped.
#[derive(Debug)]
pub struct Stress {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

/// Below the measuring threads, which run at 20: what is starved are the daemons, not the witnesses.
const FIFO_PRIORITY: i32 = 10;

/// Real-time threads may use 950 ms of a second; who exceeds that is stopped with the witnesses.
const FIFO_BUSY: Duration = Duration::from_millis(80);
const FIFO_IDLE: Duration = Duration::from_millis(20);

impl Stress {
    /// Ordinary threads that never sleep, two for each processor.
    pub fn cpu_hogs() -> Result<Self> {
        Self::start(2 * processors(), |stop| {
            while !stop.load(Ordering::Relaxed) {
                spin(Duration::from_millis(1));
            }
        })
    }

    /// A thread for each processor under `SCHED_FIFO` that spins for 80 ms of every 100 ms.
    pub fn fifo_hogs() -> Result<Self> {
        let hogs = Self::start(processors(), |stop| {
            if sys::realtime_thread(FIFO_PRIORITY).is_err() {
                return;
            }
            while !stop.load(Ordering::Relaxed) {
                spin(FIFO_BUSY);
                std::thread::sleep(FIFO_IDLE);
            }
        })?;
        std::thread::sleep(FIFO_IDLE);
        if hogs.threads.iter().any(JoinHandle::is_finished) {
            bail!("SCHED_FIFO is refused here: it needs CAP_SYS_NICE and a cgroup with a share of it");
        }
        Ok(hogs)
    }

    /// Fifty threads that sleep for 100 µs again and again: timer interrupts and wake-ups without end.
    pub fn timer_storm() -> Result<Self> {
        Self::start(50, |stop| {
            while !stop.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_micros(100));
            }
        })
    }

    fn start(count: usize, work: impl Fn(&AtomicBool) + Copy + Send + 'static) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let mut stress = Self { stop: Arc::clone(&stop), threads: Vec::new() };
        for _ in 0..count {
            let stop = Arc::clone(&stop);
            let thread = std::thread::Builder::new().name("lab-stress".to_owned());
            stress.threads.push(thread.spawn(move || work(&stop)).context("starting a thread")?);
        }
        Ok(stress)
    }
}

impl Drop for Stress {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _panicked = thread.join();
        }
    }
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn spin(time: Duration) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        std::hint::spin_loop();
    }
}

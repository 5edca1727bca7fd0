//! What a daemon costs: CPU time, context switches, memory. Read from `/proc`, for all threads of all its processes.

use std::fmt;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use ha_tests::lab::Moment;
use nix::unistd::{SysconfVar, sysconf};

/// Counts since the start of the processes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Usage {
    at: Moment,
    cpu: Duration,
    voluntary: u64,
    involuntary: u64,
}

/// What was used between two moments.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spent {
    over: Duration,
    cpu: Duration,
    voluntary: u64,
    involuntary: u64,
}

impl Usage {
    /// The process and its children.
    pub(super) fn of(pid: u32) -> Result<Self> {
        let mut usage = Self { at: Moment::now(), cpu: Duration::ZERO, voluntary: 0, involuntary: 0 };
        for pid in family(pid) {
            usage.cpu += cpu(pid)?;
            for task in fs::read_dir(format!("/proc/{pid}/task"))? {
                // A thread may end meanwhile.
                let Ok(status) = fs::read_to_string(task?.path().join("status")) else { continue };
                usage.voluntary += field(&status, "voluntary_ctxt_switches:").unwrap_or(0);
                usage.involuntary += field(&status, "nonvoluntary_ctxt_switches:").unwrap_or(0);
            }
        }
        Ok(usage)
    }

    /// What was used since.
    pub(super) fn spent(self, pid: u32) -> Result<Spent> {
        let now = Self::of(pid)?;
        Ok(Spent {
            over: now.at.since(self.at),
            cpu: now.cpu.saturating_sub(self.cpu),
            voluntary: now.voluntary.saturating_sub(self.voluntary),
            involuntary: now.involuntary.saturating_sub(self.involuntary),
        })
    }
}

impl Spent {
    /// Percent of one core.
    pub(super) fn percent(&self) -> f64 {
        100.0 * self.cpu.as_secs_f64() / self.over.as_secs_f64()
    }

    /// Voluntary context switches a second: how often it slept and was woken.
    pub(super) fn wakeups(&self) -> f64 {
        self.voluntary as f64 / self.over.as_secs_f64()
    }
}

impl fmt::Display for Spent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let involuntary = self.involuntary as f64 / self.over.as_secs_f64();
        write!(
            f,
            "{:.2} % of a core, {:.1} voluntary and {involuntary:.1} involuntary context switches a second",
            self.percent(),
            self.wakeups()
        )
    }
}

/// The process and its children, such as keepalived's VRRP process.
fn family(pid: u32) -> Vec<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    std::iter::once(pid).chain(children.split_whitespace().filter_map(|word| word.parse().ok())).collect()
}

/// User and system time of all threads, those that have ended too.
fn cpu(pid: u32) -> Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let words: Vec<&str> = stat.rsplit_once(')').context("no command name")?.1.split_whitespace().collect();
    let ticks = |at: usize| words.get(at).and_then(|word| word.parse::<u64>().ok());
    let (user, system) = ticks(11).zip(ticks(12)).context("no times")?;
    let hertz =
        sysconf(SysconfVar::CLK_TCK)?.and_then(|hertz| u64::try_from(hertz).ok()).context("no clock tick")?;
    Ok(Duration::from_nanos((user + system) * 1_000_000_000 / hertz))
}

/// Memory of one process, in kB.
#[derive(Clone, Copy, Debug)]
pub(super) struct Memory {
    pub(super) resident: u64,
    pub(super) peak: u64,
    pub(super) locked: u64,
    pub(super) threads: u64,
}

impl Memory {
    pub(super) fn of(pid: u32) -> Result<Self> {
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let get = |name| field(&status, name).with_context(|| format!("no {name} of process {pid}"));
        Ok(Self {
            resident: get("VmRSS:")?,
            peak: get("VmHWM:")?,
            locked: get("VmLck:")?,
            threads: get("Threads:")?,
        })
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { resident, peak, locked, threads } = self;
        write!(f, "{resident} kB resident (peak {peak} kB), {locked} kB locked, {threads} threads")
    }
}

fn field(status: &str, name: &str) -> Option<u64> {
    status.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
}

/// A thread on every core that does nothing but burn it, with ordinary scheduling; they end with this value.
pub(super) struct Hogs {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Hogs {
    pub(super) fn start() -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let threads = (0..std::thread::available_parallelism()?.get())
            .map(|_| {
                let stop = Arc::clone(&stop);
                std::thread::spawn(move || {
                    while !stop.load(Ordering::Relaxed) {
                        std::hint::spin_loop();
                    }
                })
            })
            .collect();
        Ok(Self { stop, threads })
    }
}

impl Drop for Hogs {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _panicked = thread.join();
        }
    }
}

//! What a daemon costs: processor time, context switches, memory; all of its processes and threads.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use super::daemon::Running;
use super::{Moment, process};

/// Totals since the daemon was started.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// When it was read.
    pub at: Moment,
    /// Processor time in user space and kernel. What interrupts do on its behalf is nobody's.
    pub cpu: Duration,
    /// Times that a thread went to sleep by itself.
    pub sleeps: u64,
    /// Times that a thread was taken off the processor.
    pub preemptions: u64,
    /// Memory now: private pages and the daemon's share of the others, in KiB.
    pub memory_kib: u64,
}

impl Running {
    /// Reads it from `/proc`. An error when the daemon has ended.
    pub fn usage(&self) -> Result<Usage> {
        let at = Moment::now();
        let mut usage = Usage { at, cpu: Duration::ZERO, sleeps: 0, preemptions: 0, memory_kib: 0 };
        for pid in process::tree(self.pid()) {
            let process = format!("/proc/{pid}");
            let tasks = fs::read_dir(format!("{process}/task"))
                .with_context(|| format!("{}: it has ended", self.daemon().name()))?;
            for task in tasks.flatten() {
                // A thread may end while the list is walked.
                let _ended = add_thread(&mut usage, &task.path());
            }
            let rollup = fs::read_to_string(format!("{process}/smaps_rollup")).unwrap_or_default();
            usage.memory_kib += field(&rollup, "Pss:").unwrap_or(0);
        }
        Ok(usage)
    }
}

impl Usage {
    /// Share of one processor since `earlier`, in percent.
    #[must_use]
    pub fn percent_since(&self, earlier: &Self) -> f64 {
        let wall = self.at.since(earlier.at).as_secs_f64();
        self.cpu.saturating_sub(earlier.cpu).as_secs_f64() / wall.max(1e-9) * 100.0
    }

    /// Context switches a second since `earlier`, of both kinds.
    #[must_use]
    pub fn switches_since(&self, earlier: &Self) -> f64 {
        let count = (self.sleeps + self.preemptions).saturating_sub(earlier.sleeps + earlier.preemptions);
        count as f64 / self.at.since(earlier.at).as_secs_f64().max(1e-9)
    }
}

fn add_thread(usage: &mut Usage, task: &Path) -> Result<()> {
    let schedstat = fs::read_to_string(task.join("schedstat"))?;
    let nanos = schedstat.split_whitespace().next().and_then(|word| word.parse().ok());
    let status = fs::read_to_string(task.join("status"))?;
    usage.cpu += Duration::from_nanos(nanos.context("no processor time")?);
    usage.sleeps += field(&status, "voluntary_ctxt_switches:").unwrap_or(0);
    usage.preemptions += field(&status, "nonvoluntary_ctxt_switches:").unwrap_or(0);
    Ok(())
}

/// The number behind `name` at the start of a line.
fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_at_the_start_of_a_line_only() {
        let text = "nonvoluntary_ctxt_switches:\t7\nvoluntary_ctxt_switches:\t12\nPss:    4711 kB\n";
        assert_eq!(field(text, "voluntary_ctxt_switches:"), Some(12));
        assert_eq!(field(text, "nonvoluntary_ctxt_switches:"), Some(7));
        assert_eq!(field(text, "Pss:"), Some(4711));
        assert_eq!(field(text, "Rss:"), None);
    }
}

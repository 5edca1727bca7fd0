//! What makes the process fit for deadlines: real-time scheduling, the processors that it runs on, memory that stays,
//! exact timers.
//!
//! Nothing of it is needed to run; each refusal is one warning. Programs that the daemon starts get none of it
//! ([`crate::program`]): their threads begin before it is called, and locks end at exec. Whoever has a thread with a
//! deadline calls this; which thread gets what is the runtime's decision.

mod memory;
mod processors;
mod sys;

use std::io;
use std::sync::OnceLock;

use nix::errno::Errno;
use nix::sched::{CpuSet, sched_getaffinity};
use nix::sys::resource::{Resource, getrlimit};
use nix::unistd::Pid;

pub use memory::{capabilities, lock_memory, raise_memlock, separate_memory};
pub use processors::bind_threads;

/// Something that the kernel refused; the text says what that means and what to do.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// SCHED_FIFO.
    #[error("no real-time scheduling (SCHED_FIFO {priority}): {source}; {}", realtime_hint(*source))]
    Realtime {
        /// Priority asked for.
        priority: i32,
        /// The kernel's answer.
        #[source]
        source: Errno,
    },
    /// setpriority.
    #[error(
        "nice {nice} is refused: {source}; run as root, give it CAP_SYS_NICE, or set LimitNICE= of the service"
    )]
    Nice {
        /// Nice value asked for.
        nice: i32,
        /// The kernel's answer.
        #[source]
        source: Errno,
    },
    /// Processors that the machine or the cpuset does not have.
    #[error(
        "processor {} of vrrp_cpu_affinity cannot be used; allowed here are {}. {}",
        list(missing),
        list(allowed),
        if *left { "The others are used" } else { "All of these are used: correct the line, or widen the cpuset" }
    )]
    Processors {
        /// What was asked for and is not there.
        missing: Vec<u16>,
        /// What the daemon was started with.
        allowed: Vec<u16>,
        /// Some of those that were asked for are there.
        left: bool,
    },
    /// sched_setaffinity.
    #[error("vrrp_cpu_affinity is refused: {source}; all allowed processors are used")]
    Affinity {
        /// The kernel's answer.
        #[source]
        source: Errno,
    },
    /// mlockall.
    #[error(
        "memory is not locked: {source}; the daemon may have to wait for the disk when memory is short. \
         Run as root, give it CAP_IPC_LOCK, or raise LimitMEMLOCK= of the service"
    )]
    Memory {
        /// The kernel's answer.
        #[source]
        source: Errno,
    },
}

fn realtime_hint(errno: Errno) -> &'static str {
    if errno != Errno::EPERM {
        return "the priority must lie between 1 and 99";
    }
    // sched(7): without CAP_SYS_NICE the limit decides; with it only a cgroup without a share can be the cause.
    if getrlimit(Resource::RLIMIT_RTPRIO).is_ok_and(|(soft, _)| soft == 0)
        && !nix::unistd::geteuid().is_root()
    {
        "run as root, give it CAP_SYS_NICE, or set LimitRTPRIO= of the service. Deadlines are met late under load"
    } else {
        "either CAP_SYS_NICE is missing, or the kernel has RT_GROUP_SCHED and this process is in a cpu cgroup \
         without a real-time share: move it to the root cgroup, or write one to cpu.rt_runtime_us. Deadlines are \
         met late under load"
    }
}

fn list(numbers: &[u16]) -> String {
    numbers.iter().map(u16::to_string).collect::<Vec<_>>().join(", ")
}

/// Gives the calling thread SCHED_FIFO with `priority` (1 to 99), which its children do not inherit.
///
/// # Errors
/// Refused; the thread keeps its scheduling.
pub fn set_priority(priority: u8) -> Result<(), Refusal> {
    let priority = i32::from(priority);
    sys::schedule_fifo(priority).map_err(|source| Refusal::Realtime { priority, source })
}

/// Whether the calling thread goes before all ordinary ones; `None` where the kernel does not say.
#[must_use]
pub fn has_priority() -> Option<bool> {
    let policy = sys::scheduler().ok()? & !libc::SCHED_RESET_ON_FORK;
    Some(policy == libc::SCHED_FIFO || policy == libc::SCHED_RR)
}

/// What the daemon was started with: its own choices are undone with it, and scripts get it back.
#[derive(Clone, Copy, Debug)]
struct Original {
    processors: Option<CpuSet>,
    nice: i32,
}

static ORIGINAL: OnceLock<Original> = OnceLock::new();

fn original() -> &'static Original {
    ORIGINAL.get_or_init(|| Original {
        processors: sched_getaffinity(Pid::from_raw(0)).ok(),
        nice: rustix::process::getpriority_process(None).unwrap_or(0),
    })
}

/// Notes how the daemon was started: call it before anything of that is changed.
pub fn remember_original() {
    original();
}

/// The processors that the daemon was started with; `None` where the kernel did not say.
#[must_use]
pub fn original_processors() -> Option<CpuSet> {
    original().processors
}

/// Nice value of the calling thread; that which the daemon was started with where `None`. Threads that it starts
/// later inherit what makes them slower, and nothing that makes them faster.
///
/// # Errors
/// Refused; the thread keeps its nice value.
pub fn set_nice(nice: Option<i8>) -> Result<(), Refusal> {
    let nice = nice.map_or_else(|| original().nice, i32::from);
    if rustix::process::getpriority_process(None) == Ok(nice) {
        return Ok(());
    }
    rustix::process::setpriority_process(None, nice)
        .map_err(|error| Refusal::Nice { nice, source: Errno::from_raw(error.raw_os_error()) })
}

/// Lets the calling thread, and those that it starts, go before ordinary ones (nice −10), so that a busy machine does
/// not make a good server look slow. It also bounds how long the main loop can wait for a lock of the allocator that
/// such a thread has while it frees what the main loop allocated. Refused without root; then it has to queue.
pub fn prefer_this_thread() {
    let _ = set_nice(Some(-10));
}

/// Timers of the calling thread fire when they are due, not up to 50 µs later (prctl(2), PR_SET_TIMERSLACK).
///
/// # Errors
/// None in practice.
pub fn exact_timers() -> io::Result<()> {
    sys::set_timer_slack(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_priority_out_of_range_is_named() {
        let error = set_priority(100).expect_err("99 is the highest");
        assert!(error.to_string().contains("between 1 and 99"), "{error}");
    }

    #[test]
    fn children_are_scheduled_as_usual() {
        if let Err(error) = set_priority(50) {
            assert!(error.to_string().contains("real-time"), "{error}");
            return;
        }
        let policy = sys::scheduler().expect("readable");
        assert_eq!(policy, libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK);
        let child = std::thread::spawn(sys::scheduler).join().expect("no panic").expect("readable");
        assert_eq!(child, libc::SCHED_OTHER);
    }
}

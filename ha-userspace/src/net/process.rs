//! What makes the process fit for deadlines: real-time scheduling, memory that stays, exact timers.
//!
//! Nothing of it is needed to run; each refusal is one warning. Scripts that the daemon starts get none of it
//! (`track/spawn.rs`): their threads begin before it is called, and locks end at exec.

use std::io;
use std::sync::OnceLock;

use nix::errno::Errno;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit};
use nix::unistd::Pid;

use super::sys;

/// Something that the kernel refused; the text says what that means and what to do.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
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
pub fn set_realtime(priority: u8) -> Result<(), ProcessError> {
    let priority = i32::from(priority);
    sys::schedule_fifo(priority).map_err(|source| ProcessError::Realtime { priority, source })
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
pub fn set_nice(nice: Option<i8>) -> Result<(), ProcessError> {
    let nice = nice.map_or_else(|| original().nice, i32::from);
    if rustix::process::getpriority_process(None) == Ok(nice) {
        return Ok(());
    }
    rustix::process::setpriority_process(None, nice)
        .map_err(|error| ProcessError::Nice { nice, source: Errno::from_raw(error.raw_os_error()) })
}

/// Binds every thread of the process to these processors; to those that it was started with where there are none.
///
/// # Errors
/// Some are not there, and the others are used; or all are refused. The text says which.
pub fn bind_threads(wanted: &[u16]) -> Result<(), ProcessError> {
    let Some(allowed) = original().processors else { return Ok(()) };
    let (set, complaint) = choose(wanted, &allowed);
    bind_all(&set).map_err(|source| ProcessError::Affinity { source })?;
    complaint.map_or(Ok(()), Err)
}

/// Those of `wanted` that are allowed, all where none is; and what to say of the rest.
fn choose(wanted: &[u16], allowed: &CpuSet) -> (CpuSet, Option<ProcessError>) {
    let has = |cpu: u16| allowed.is_set(usize::from(cpu)).unwrap_or(false);
    let (there, missing): (Vec<u16>, Vec<u16>) = wanted.iter().partition(|cpu| has(**cpu));
    let left = !there.is_empty();
    let mut set = if left { CpuSet::new() } else { *allowed };
    for cpu in there {
        // It is in range, since the other set has it.
        let _ = set.set(usize::from(cpu));
    }
    let count = u16::try_from(CpuSet::count()).unwrap_or(u16::MAX);
    let complaint = (!missing.is_empty()).then(|| {
        let allowed = (0..count).filter(|cpu| has(*cpu)).collect();
        ProcessError::Processors { missing, allowed, left }
    });
    (set, complaint)
}

fn bind_all(set: &CpuSet) -> nix::Result<()> {
    // The calling thread first: what it starts from now on inherits the set.
    sched_setaffinity(Pid::from_raw(0), set)?;
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    for thread in tasks.filter_map(|task| task.file_name().to_str()?.parse().ok()) {
        // A thread may have ended meanwhile.
        let _ = sched_setaffinity(Pid::from_raw(thread), set);
    }
    Ok(())
}

/// Keeps threads apart in the allocator: call it before there are any.
///
/// Threads that share an arena share its lock, and one of ordinary priority that is preempted while it has that lock
/// stops a real-time thread. What an arena reserves (64 MiB each) is address space and no memory, although the kernel
/// counts it as `VmLck` once memory is locked.
pub fn separate_memory() {
    sys::separate_arenas();
}

/// Locks the memory of the process, each page from its first use on, so that resident memory stays small.
///
/// Also gives back what start-up left in the allocator: call it when start-up is over.
///
/// # Errors
/// Refused; nothing is locked.
pub fn lock_memory() -> Result<(), ProcessError> {
    sys::trim_allocator();
    // Below a limit that counts, the lock would make later allocations fail, which is worse than no lock.
    raise_memlock()
        .and_then(|()| match getrlimit(Resource::RLIMIT_MEMLOCK)? {
            (RLIM_INFINITY, _) => sys::lock_memory_on_fault(),
            _ if may_lock_without_limit() => sys::lock_memory_on_fault(),
            _ => Err(Errno::EPERM),
        })
        .map_err(|source| ProcessError::Memory { source })
}

/// Whether the process has CAP_IPC_LOCK, for which RLIMIT_MEMLOCK does not count (mlock(2)).
fn may_lock_without_limit() -> bool {
    capabilities() >> CAP_IPC_LOCK & 1 == 1
}

/// Number of the capability (linux/capability.h).
const CAP_IPC_LOCK: u32 = 14;

/// The effective capabilities of the process: a bit for each, by its number. Empty where that cannot be read.
#[must_use]
pub fn capabilities() -> u64 {
    std::fs::read_to_string("/proc/self/status").map_or(0, |status| effective(&status))
}

/// The effective set in the text of /proc/self/status (proc(5)).
fn effective(status: &str) -> u64 {
    let set = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    set.and_then(|set| u64::from_str_radix(set.trim(), 16).ok()).unwrap_or(0)
}

/// Raises RLIMIT_MEMLOCK as far as allowed: kernels before 5.11 count BPF maps against it.
///
/// # Errors
/// The limit stays as it is.
pub fn raise_memlock() -> nix::Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_MEMLOCK)?;
    if setrlimit(Resource::RLIMIT_MEMLOCK, RLIM_INFINITY, RLIM_INFINITY).is_err() {
        setrlimit(Resource::RLIMIT_MEMLOCK, hard, hard)?;
    }
    Ok(())
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
    fn capabilities_are_read_from_the_effective_set() {
        let status = "CapPrm:\t000001ffffffffff\nCapEff:\t0000000000004000\nCapBnd:\t0\n";
        assert_eq!(effective(status), 1 << 14);
        assert_eq!(effective("Name:\txvrrp\n"), 0);
    }

    #[test]
    fn a_priority_out_of_range_is_named() {
        let error = set_realtime(100).expect_err("99 is the highest");
        assert!(error.to_string().contains("between 1 and 99"), "{error}");
    }

    #[test]
    fn children_are_scheduled_as_usual() {
        if let Err(error) = set_realtime(50) {
            assert!(error.to_string().contains("real-time"), "{error}");
            return;
        }
        let policy = sys::scheduler().expect("readable");
        assert_eq!(policy, libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK);
        let child = std::thread::spawn(sys::scheduler).join().expect("no panic").expect("readable");
        assert_eq!(child, libc::SCHED_OTHER);
    }

    /// In a process of its own: the C library decides about the number of arenas once.
    #[test]
    fn threads_share_no_lock_of_the_allocator() {
        const THREADS: usize = 40;
        const ALONE: &str = "XVRRP_TEST_ALONE";
        if std::env::var_os(ALONE).is_none() {
            let name = "net::process::tests::threads_share_no_lock_of_the_allocator";
            let program = std::env::current_exe().expect("known");
            let mut again = std::process::Command::new(program);
            let output =
                again.args(["--exact", name, "--nocapture"]).env(ALONE, "1").output().expect("it runs");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            return;
        }
        separate_memory();
        let together = std::sync::Barrier::new(THREADS);
        let mut arenas: Vec<usize> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS)
                .map(|_| {
                    scope.spawn(|| {
                        together.wait();
                        let memory = Box::new([1_u8; 200]);
                        together.wait();
                        // An arena that is not the first begins at a multiple of 64 MiB.
                        memory.as_ptr().addr() >> 26
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
        });
        arenas.sort_unstable();
        arenas.dedup();
        assert_eq!(arenas.len(), THREADS, "threads share arenas");
    }

    #[test]
    fn processors_that_are_not_there_are_named_and_the_others_used() {
        let of = |numbers: &[usize]| {
            let mut set = CpuSet::new();
            numbers.iter().for_each(|cpu| set.set(*cpu).expect("in range"));
            set
        };
        let allowed = of(&[0, 2, 3]);
        let chosen = |wanted: &[u16]| {
            let (set, complaint) = choose(wanted, &allowed);
            (set, complaint.map(|complaint| complaint.to_string()).unwrap_or_default())
        };
        assert_eq!(chosen(&[]), (allowed, String::new()));
        assert_eq!(chosen(&[2, 0]), (of(&[0, 2]), String::new()));
        let wanted = "processor 1, 4095 of vrrp_cpu_affinity cannot be used; allowed here are 0, 2, 3. The others are used";
        assert_eq!(chosen(&[1, 2, 4095]), (of(&[2]), wanted.to_owned()));
        let (set, text) = chosen(&[1]);
        assert!(set == allowed && text.contains("All of these are used"), "{text}");
    }

    #[test]
    fn memory_is_locked_or_the_refusal_explained() {
        let locked = || {
            let status = std::fs::read_to_string("/proc/self/status").expect("readable");
            let line = status
                .lines()
                .find_map(|line| line.strip_prefix("VmLck:"))
                .expect("a line")
                .trim()
                .to_owned();
            line != "0 kB"
        };
        match lock_memory() {
            Ok(()) => assert!(locked()),
            Err(error) => assert!(error.to_string().contains("LimitMEMLOCK") && !locked(), "{error}"),
        }
        nix::sys::mman::munlockall().expect("allowed");
    }
}

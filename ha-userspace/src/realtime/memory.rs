//! Memory that does not keep a thread waiting: locked pages, and an allocator whose locks are not shared.

use nix::errno::Errno;
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit};

use super::{Refusal, sys};

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
pub fn lock_memory() -> Result<(), Refusal> {
    sys::trim_allocator();
    // Below a limit that counts, the lock would make later allocations fail, which is worse than no lock.
    raise_memlock()
        .and_then(|()| match getrlimit(Resource::RLIMIT_MEMLOCK)? {
            (RLIM_INFINITY, _) => sys::lock_memory_on_fault(),
            _ if may_lock_without_limit() => sys::lock_memory_on_fault(),
            _ => Err(Errno::EPERM),
        })
        .map_err(|source| Refusal::Memory { source })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_are_read_from_the_effective_set() {
        let status = "CapPrm:\t000001ffffffffff\nCapEff:\t0000000000004000\nCapBnd:\t0\n";
        assert_eq!(effective(status), 1 << 14);
        assert_eq!(effective("Name:\txvrrp\n"), 0);
    }

    /// In a process of its own: the C library decides about the number of arenas once.
    #[test]
    fn threads_share_no_lock_of_the_allocator() {
        const THREADS: usize = 40;
        const ALONE: &str = "XVRRP_TEST_ALONE";
        if std::env::var_os(ALONE).is_none() {
            let name = "realtime::memory::tests::threads_share_no_lock_of_the_allocator";
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

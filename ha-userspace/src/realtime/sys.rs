//! The few system calls that nix does not wrap. The only `unsafe` of this module.

#![expect(
    unsafe_code,
    reason = "system calls that no safe wrapper offers: sched_setscheduler, mlockall with MCL_ONFAULT, mallopt"
)]

use std::io;

use nix::errno::Errno;

/// SCHED_FIFO with `priority` for the calling thread; children start with the ordinary policy.
pub(super) fn schedule_fifo(priority: i32) -> nix::Result<()> {
    // SAFETY: sched_param is plain data.
    let mut parameter: libc::sched_param = unsafe { std::mem::zeroed() };
    parameter.sched_priority = priority;
    let policy = libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK;
    // Not sched_setscheduler(3): musl's always refuses, because POSIX wants it for processes and Linux has threads.
    // SAFETY: the kernel reads the structure, which begins with all that it knows of it, during the call; pid 0 is the
    // calling thread.
    let result = unsafe { libc::syscall(libc::SYS_sched_setscheduler, 0, policy, &raw const parameter) };
    Errno::result(result).map(drop)
}

/// Scheduling policy of the calling thread, with the reset-on-fork bit, as sched_getscheduler(2) has it.
pub(super) fn scheduler() -> nix::Result<i32> {
    // SAFETY: no pointers; pid 0 is the calling thread.
    let policy = Errno::result(unsafe { libc::syscall(libc::SYS_sched_getscheduler, 0) })?;
    i32::try_from(policy).map_err(|_| Errno::ERANGE)
}

/// Locks what is mapped now and later into memory, each page once it has been touched.
pub(super) fn lock_memory_on_fault() -> nix::Result<()> {
    // SAFETY: no pointers; the call changes no content of memory.
    Errno::result(unsafe { libc::mlockall(libc::MCL_CURRENT | libc::MCL_FUTURE | libc::MCL_ONFAULT) })
        .map(drop)
}

/// Gives every thread that begins from now on an arena of its own, up to a number that is never reached.
pub(super) fn separate_arenas() {
    #[cfg(target_env = "gnu")]
    {
        // SAFETY: the call is thread-safe and only tunes the allocator.
        unsafe { libc::mallopt(libc::M_ARENA_MAX, 256) };
    }
}

/// Gives back what start-up left in the allocator.
pub(super) fn trim_allocator() {
    #[cfg(target_env = "gnu")]
    {
        // SAFETY: the call is thread-safe and frees only what nobody has.
        unsafe { libc::malloc_trim(0) };
    }
}

/// Timer slack of the calling thread. Async-signal-safe.
pub(super) fn set_timer_slack(nanoseconds: libc::c_ulong) -> io::Result<()> {
    Ok(nix::sys::prctl::set_timerslack(nanoseconds)?)
}

//! The system calls that have no safe wrapper in the crates used here. Nothing else belongs in this
//! file; `namespace` and the measuring threads call it.

#![expect(unsafe_code, reason = "pre_exec hooks and sched_setscheduler have no safe wrapper in nix")]

use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::unistd::{getppid, setsid};
use seccompiler::{BpfProgram, apply_filter};
use socket2::{SockAddr, Socket};

/// Makes the kernel kill the child of `command` when the **thread** that spawns it ends, however it ends.
pub fn die_with_parent(command: &mut Command) {
    let parent = nix::unistd::getpid();
    // SAFETY: the hook runs between fork and exec and calls only prctl(2), getppid(2); both are
    // async-signal-safe and touch no memory that another thread may hold locked.
    unsafe {
        command.pre_exec(move || {
            prctl::set_pdeathsig(Signal::SIGKILL)?;
            // The parent may have died before the request was in place. Inside a new PID namespace the
            // parent is not visible and reads as 0.
            let now = getppid();
            if now == parent || now.as_raw() == 0 { Ok(()) } else { Err(io::ErrorKind::Interrupted.into()) }
        });
    }
}

/// Puts the child of `command`, and what it starts, under `SCHED_FIFO`: below the measuring threads, above all ordinary
/// work. For peers that only play a part in a test: what a busy machine makes of them is not what it is about. A benchmark
/// runs them as they are.
pub(super) fn realtime_child(command: &mut Command) {
    if !super::pace::is_watched() {
        return;
    }
    const BELOW_WITNESSES: i32 = 15;
    // SAFETY: the hook runs between fork and exec and calls only sched_setscheduler(2), which is a plain system call,
    // with a value of its own.
    unsafe {
        command.pre_exec(|| {
            let param = libc::sched_param { sched_priority: BELOW_WITNESSES };
            // Refused without the right; it then runs as everything else does.
            let _refused = libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const param);
            Ok(())
        });
    }
}

/// Detaches the child of `command` from the terminal and the session of the caller.
pub(super) fn detach(command: &mut Command) {
    // SAFETY: the hook runs between fork and exec and calls only setsid(2), which is async-signal-safe.
    unsafe {
        command.pre_exec(|| {
            setsid()?;
            Ok(())
        });
    }
}

/// Puts the child of `command` under a system call filter.
pub(super) fn filter_calls(command: &mut Command, filter: BpfProgram) {
    // SAFETY: the hook runs between fork and exec and calls only prctl(2) and seccomp(2) with the filter, which was made
    // before; both are async-signal-safe.
    unsafe {
        command.pre_exec(move || apply_filter(&filter).map_err(|_| io::Error::last_os_error()));
    }
}

/// Puts the calling thread under `SCHED_FIFO`, so that a busy machine does not delay measurements.
///
/// Refused without `CAP_SYS_NICE`, or in a cgroup without a real-time share; the caller then measures with
/// ordinary scheduling.
pub(crate) fn realtime_thread(priority: i32) -> io::Result<()> {
    let param = libc::sched_param { sched_priority: priority };
    // SAFETY: `param` is a valid sched_param that outlives the call; pid 0 is the calling thread.
    let result = unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK, &param) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The address of the link layer on interface `index`, for binding a packet socket to it and to frames of
/// `ethertype`.
pub(super) fn link_address(index: u32, ethertype: u16) -> io::Result<SockAddr> {
    // SAFETY: the closure writes a whole sockaddr_ll, which is smaller than sockaddr_storage, and sets the
    // length to exactly what it wrote.
    let (_, address) = unsafe {
        SockAddr::try_init(|storage, length| {
            let mut link: libc::sockaddr_ll = std::mem::zeroed();
            link.sll_family = u16::try_from(libc::AF_PACKET).unwrap_or(0);
            link.sll_protocol = ethertype.to_be();
            link.sll_ifindex = i32::try_from(index).unwrap_or(0);
            storage.cast::<libc::sockaddr_ll>().write(link);
            *length = u32::try_from(size_of::<libc::sockaddr_ll>()).unwrap_or(0);
            Ok(())
        })
    }?;
    Ok(address)
}

/// Makes a packet socket see only frames that come in, not those that this machine sends there.
pub(super) fn ignore_outgoing(socket: &Socket) -> io::Result<()> {
    let on: libc::c_int = 1;
    let length = u32::try_from(size_of::<libc::c_int>()).unwrap_or(0);
    // SAFETY: the descriptor is open for as long as `socket` is borrowed; the value is a live c_int of the
    // length that is given.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_IGNORE_OUTGOING,
            (&raw const on).cast(),
            length,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

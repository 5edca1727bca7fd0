//! The process of one script: started without a copy of the daemon's memory, waited for, ended.
//!
//! `fork` copies the page tables of a process and holds its memory map's lock while it does, and the C library holds
//! the allocator's. The thread that starts scripts has no real-time priority: on a busy machine it is preempted in
//! the middle, and the main loop, whose next page fault needs that lock, waits with it. (Adverts of 10 ms were seen to
//! pause for 75 ms and more.) So the child begins as one of `vfork(2)`: it borrows the memory until it has become the
//! script, while the thread that started it, and no other, waits.

#![expect(
    unsafe_code,
    reason = "the child shares the daemon's memory until exec, where only system calls are allowed"
)]

use std::ffi::{CStr, CString, OsString, c_char};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::ExitStatus;
use std::ptr;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sched::{CloneFlags, CpuSet, clone, sched_setaffinity};
use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, killpg, sigprocmask};
use nix::sys::stat::{Mode, umask};
use nix::sys::wait::{self, Id, WaitPidFlag, waitid};
use nix::unistd::{Pid, getpid, getppid, setsid};
use rustix::process::{PidfdFlags, WaitOptions, WaitStatus, pidfd_open, pidfd_send_signal, waitpid};
use tokio::io::unix::AsyncFd;
use tokio::time::sleep;

use super::security::Identity;
use crate::descriptor::{Owned, watch_readable};

/// What runs a file that is neither a binary nor says with `#!` what runs it, as under execvp(3).
const SHELL: &CStr = c"/bin/sh";
/// Time between SIGTERM and SIGKILL.
const KILL_GRACE: Duration = Duration::from_millis(500);
/// The child's stack. What runs on it calls the kernel and little else.
const STACK: usize = 32 << 10;
/// What the child ends with where it cannot become the script. Nobody sees it.
const FAILED: isize = 127;

/// What becomes of a script when the thread that started it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It gets SIGTERM, and SIGKILL when its value is dropped.
    EndsWithDaemon,
    /// It goes on: a `notify_stop` script has its work to do while the daemon ends.
    OutlivesDaemon,
}

/// What is to be started.
#[derive(Debug)]
pub(super) struct SpawnOrder<'a> {
    /// The file.
    pub(super) program: &'a Path,
    /// Its arguments, beginning with the name that it is called by.
    pub(super) argv: &'a [OsString],
    /// Its environment.
    pub(super) environment: &'a [(OsString, OsString)],
    /// The user that it becomes; `None` where the daemon has the right one.
    pub(super) user: Option<&'a Identity>,
    /// Its umask.
    pub(super) umask: Mode,
    /// Those that it may use, where that is known.
    pub(super) processors: Option<CpuSet>,
    /// What becomes of it when the thread that starts it ends.
    pub(super) fate: Fate,
    /// Its standard error; nowhere where absent.
    pub(super) stderr: Option<BorrowedFd<'a>>,
}

/// A script's process.
///
/// Dropping it before its end kills it where its [`Fate`] is to end with the daemon.
#[derive(Debug)]
pub struct Child {
    process: rustix::process::Pid,
    /// Readable once the process has ended.
    end: AsyncFd<Owned<OwnedFd>>,
    status: Option<ExitStatus>,
    fate: Fate,
}

impl Child {
    /// The number of the process, until its end has been waited for; then another process may get it.
    #[must_use]
    pub fn id(&self) -> Option<Pid> {
        self.status.is_none().then(|| Pid::from_raw(self.process.as_raw_pid()))
    }

    /// Waits for the end. May be cancelled and called again.
    ///
    /// # Errors
    /// Somebody else has waited for the process.
    pub async fn wait(&mut self) -> io::Result<ExitStatus> {
        loop {
            if let Some(status) = self.status {
                return Ok(status);
            }
            let mut ready = self.end.readable().await?;
            match waitpid(Some(self.process), WaitOptions::NOHANG)? {
                Some((_, status)) => self.status = Some(exit_status(status)),
                None => ready.clear_ready(),
            }
        }
    }
}

impl Child {
    /// Ends its process group: SIGTERM, a grace, SIGKILL. Returns when the process itself is gone.
    pub async fn end(&mut self) {
        // An id means that the process has not been reaped, so that its number cannot have been given to another.
        let Some(group) = self.id() else { return };
        let _ = killpg(group, Signal::SIGTERM);
        let deadline = Instant::now() + KILL_GRACE;
        while Instant::now() < deadline {
            // Looks without reaping, so that the group can still be named afterwards.
            let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
            if !matches!(waitid(Id::Pid(group), flags), Ok(wait::WaitStatus::StillAlive)) {
                break;
            }
            sleep(Duration::from_millis(5)).await;
        }
        let _ = killpg(group, Signal::SIGKILL);
        let _ = self.wait().await;
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if self.status.is_some() {
            return;
        }
        if self.fate == Fate::EndsWithDaemon {
            let _ = pidfd_send_signal(&self.end, rustix::process::Signal::KILL);
        }
        // Only the end of the daemon drops what still runs. What cannot be reaped yet is left to init.
        let _ = waitpid(Some(self.process), WaitOptions::NOHANG);
    }
}

fn exit_status(status: WaitStatus) -> ExitStatus {
    ExitStatus::from_raw(status.as_raw())
}

/// Starts it. Blocks until the process is the script's, or cannot be.
///
/// # Errors
/// What the kernel says about the process, its user or the file.
pub(super) fn start(order: &SpawnOrder<'_>) -> io::Result<Child> {
    let program = text(order.program.as_os_str().as_bytes())?;
    let arguments =
        order.argv.iter().map(|argument| text(argument.as_bytes())).collect::<io::Result<Vec<_>>>()?;
    let environment = order
        .environment
        .iter()
        .map(|(name, value)| text(&[name.as_bytes(), b"=", value.as_bytes()].concat()))
        .collect::<io::Result<Vec<_>>>()?;
    let argv = pointers(arguments.iter().map(CString::as_c_str));
    let shell = [SHELL, program.as_c_str()];
    let shell = pointers(shell.into_iter().chain(arguments.iter().skip(1).map(CString::as_c_str)));
    let null = std::fs::File::options().read(true).write(true).open("/dev/null")?;
    let plan = ChildPlan {
        program: &program,
        argv: &argv,
        shell: &shell,
        environment: &pointers(environment.iter().map(CString::as_c_str)),
        null: null.as_raw_fd(),
        stderr: order.stderr.map_or(null.as_raw_fd(), |stderr| stderr.as_raw_fd()),
        user: order.user,
        umask: order.umask,
        processors: order.processors,
        parent: (order.fate == Fate::EndsWithDaemon).then(getpid),
    };

    let failure = AtomicI32::new(0);
    let child = Box::new(|| {
        // SAFETY: this is the child, whose memory nobody else uses meanwhile; `plan` was made right above.
        if let Err(errno) = unsafe { plan.become_script() } {
            failure.store(errno as i32, Ordering::Relaxed);
        }
        FAILED
    });
    let mut stack = vec![0; STACK];
    let flags = CloneFlags::CLONE_VM | CloneFlags::CLONE_VFORK;
    let _dumpable = order.user.map(|_| Dumpable::keep());
    // No handler of the daemon may run in the child: it would run in the daemon's memory. SIGCHLD has none, and the
    // kernel only ignores it while it is not blocked: else each end of a script would interrupt the main loop.
    let mut handled = SigSet::all();
    handled.remove(Signal::SIGCHLD);
    let before = handled.thread_swap_mask(SigmaskHow::SIG_SETMASK)?;
    // SAFETY: the calling thread stands still until the child has ended or become another program, so that all that
    // `plan`, `failure` and `stack` borrow outlives the child's use of it. The closure calls the kernel only: it
    // allocates nothing, takes no lock and writes to nothing but its stack, `failure` and this thread's errno, and no
    // handler interrupts it. Its few frames are far smaller than the stack.
    let started = unsafe { clone(child, &mut stack, flags, Some(libc::SIGCHLD)) };
    before.thread_set_mask()?;

    let process = rustix::process::Pid::from_raw(started?.as_raw()).ok_or(Errno::ESRCH)?;
    let reap = |error| {
        let _ = waitpid(Some(process), WaitOptions::empty());
        Err(error)
    };
    let errno = failure.into_inner();
    if errno != 0 {
        return reap(io::Error::from_raw_os_error(errno));
    }
    match pidfd_open(process, PidfdFlags::NONBLOCK).map_err(io::Error::from).and_then(watch_readable) {
        Ok(end) => Ok(Child { process, end, status: None, fate: order.fate }),
        Err(error) => {
            let _ = rustix::process::kill_process(process, rustix::process::Signal::KILL);
            reap(error)
        }
    }
}

fn text(bytes: &[u8]) -> io::Result<CString> {
    CString::new(bytes)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "a NUL byte in a word of the command line"))
}

/// The form that execve(2) wants: it ends with a null pointer. Valid for as long as the strings are.
fn pointers<'a>(strings: impl Iterator<Item = &'a CStr>) -> Vec<*const c_char> {
    strings.map(CStr::as_ptr).chain([ptr::null()]).collect()
}

/// All that the child needs, made before it begins.
struct ChildPlan<'a> {
    program: &'a CStr,
    argv: &'a [*const c_char],
    shell: &'a [*const c_char],
    environment: &'a [*const c_char],
    null: RawFd,
    stderr: RawFd,
    user: Option<&'a Identity>,
    umask: Mode,
    processors: Option<CpuSet>,
    /// The daemon, if the script is to end with it.
    parent: Option<Pid>,
}

impl ChildPlan<'_> {
    /// Makes the calling process the script's. Only returns where it fails.
    ///
    /// # Safety
    ///
    /// Only for the child that [`start`] makes: what is a property of the process afterwards is lost to the caller
    /// (session, standard descriptors, signal handlers, limits, user), and nothing but system calls is safe there. The
    /// strings of the plan end with NUL, its arrays with a null pointer, and `null` and `stderr` are open, above the standard descriptors.
    unsafe fn become_script(&self) -> Result<(), Errno> {
        setsid()?;
        for (from, target) in [(self.null, 0), (self.null, 1), (self.stderr, 2)] {
            // SAFETY: this process has no other use for these descriptors, says the caller.
            Errno::result(unsafe { libc::dup2(from, target) })?;
        }
        // SAFETY: the path is a string that ends with NUL.
        Errno::result(unsafe { libc::chdir(c"/".as_ptr()) })?;
        // SAFETY: the same child.
        unsafe { plain_process(self.umask, self.processors.as_ref()) }?;
        if let Some(user) = self.user {
            // SAFETY: the same child.
            unsafe { become_user(user) }?;
        }
        if let Some(parent) = self.parent {
            // After the change of user, which clears it.
            prctl::set_pdeathsig(Signal::SIGTERM)?;
            if getppid() != parent {
                return Err(Errno::ESRCH);
            }
        }
        let environment = self.environment.as_ptr();
        // SAFETY: strings that end with NUL and arrays that end with null pointers, says the caller.
        unsafe {
            libc::execve(self.program.as_ptr(), self.argv.as_ptr(), environment);
            if Errno::last() == Errno::ENOEXEC {
                libc::execve(SHELL.as_ptr(), self.shell.as_ptr(), environment);
            }
        }
        Err(Errno::last())
    }
}

/// Undoes what the daemon did to itself: scheduling, limits, signals, descriptors.
///
/// # Safety
///
/// Only for a child that is about to become another program: every handler of a signal goes, and every descriptor above
/// standard error will be closed under its owner.
unsafe fn plain_process(mask: Mode, processors: Option<&CpuSet>) -> Result<(), Errno> {
    // SAFETY: system calls with valid arguments; for what they do, the caller answers. Only the signal mask matters enough to fail for; the rest
    // cannot fail here, or is no worse than it was.
    unsafe {
        let normal: libc::sched_param = std::mem::zeroed();
        // Not by the function of this name: musl's always refuses.
        libc::syscall(libc::SYS_sched_setscheduler, 0, libc::SCHED_OTHER, &raw const normal);
        libc::setpriority(libc::PRIO_PROCESS, 0, 0);
        for signal in 1..=libc::SIGRTMAX() {
            libc::signal(signal, libc::SIG_DFL);
        }
        // From the kernel's `close_range(2)`: everything above standard error closes at exec.
        libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC);
    }
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)?;
    umask(mask);
    if let Some(processors) = processors {
        // Some may have been taken away meanwhile; then it runs where the daemon does.
        let _ = sched_setaffinity(Pid::from_raw(0), processors);
    }
    let limits = [
        (Resource::RLIMIT_NOFILE, 1024),
        (Resource::RLIMIT_MEMLOCK, 8 << 20),
        (Resource::RLIMIT_CORE, 0),
        (Resource::RLIMIT_RTPRIO, 0),
    ];
    for (resource, most) in limits {
        if let Ok((_, hard)) = getrlimit(resource) {
            let _ = setrlimit(resource, hard.min(most), hard);
        }
    }
    Ok(())
}

/// Changes groups, group and user of the calling thread alone.
///
/// The C library's functions of these names change all threads that they find in memory, and in the child those are
/// the daemon's.
///
/// # Safety
///
/// Only for a process with one thread, as a child is: threads of one process that belong to different users undo what
/// either of them relies on.
unsafe fn become_user(user: &Identity) -> Result<(), Errno> {
    let Identity { uid, gid, groups, .. } = user;
    // SAFETY: system calls with plain numbers, and one that reads as many groups as there are.
    unsafe {
        Errno::result(libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()))?;
        Errno::result(libc::syscall(libc::SYS_setresgid, *gid, *gid, *gid))?;
        Errno::result(libc::syscall(libc::SYS_setresuid, *uid, *uid, *uid))?;
    }
    Ok(())
}

/// Children that change their user, and whether the daemon's memory could be dumped before the first of them.
static CHANGING: Mutex<(usize, bool)> = Mutex::new((0, false));

/// Puts back what a child's change of user does to the memory that it borrows: the kernel forbids to dump or trace it
/// (`PR_SET_DUMPABLE` in prctl(2)), which is right for as long as a process of that user has it, and no longer.
struct Dumpable;

impl Dumpable {
    fn keep() -> Self {
        let mut changing = CHANGING.lock().unwrap_or_else(PoisonError::into_inner);
        if changing.0 == 0 {
            changing.1 = prctl::get_dumpable().unwrap_or(false);
        }
        changing.0 += 1;
        Self
    }
}

impl Drop for Dumpable {
    fn drop(&mut self) {
        let mut changing = CHANGING.lock().unwrap_or_else(PoisonError::into_inner);
        changing.0 -= 1;
        if *changing == (0, true) {
            let _ = prctl::set_dumpable(true);
        }
    }
}

/// The daemon's environment without some variables, and with a `PATH`.
pub(super) fn environment(without: &[&str], path: &str) -> Vec<(OsString, OsString)> {
    let mut variables: Vec<_> =
        std::env::vars_os().filter(|(name, _)| !without.iter().any(|private| name == private)).collect();
    if !variables.iter().any(|(name, _)| name == "PATH") {
        variables.push(("PATH".into(), path.into()));
    }
    variables
}

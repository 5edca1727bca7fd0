//! A set of kernel namespaces, the process that holds them, and the thread that works inside them.
//!
//! The holder is a process that only sleeps. For a host it is also the first process of a PID namespace,
//! so its end ends everything that runs in the host, whatever that forked. An attached holder is killed by
//! the kernel when this process dies, even by SIGKILL; nothing is ever registered in `/run/netns`.
//! A detached holder outlives this process once it was told to persist; `persistent` ends it.
//!
//! All work inside goes through one thread per namespace set, which entered the namespaces and lives as
//! long as the [`Namespace`]: the kernel ties both namespace membership and parent-death signals to threads.

use std::fs;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use anyhow::{Context, Result, anyhow, bail};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};

use super::sys;

/// Sleeps for ever and reaps what is reparented to it; the shell does the reaping.
/// Where the daemons of a host keep what outlives them; the base of a service under systemd.exec(5).
const STATE_DIR: &str = "/run/lab/state";
const HOLDER: &str = "trap : TERM INT HUP; while :; do sleep 86400 & wait $!; done";

/// Where the host's private files live inside it.
pub(super) const LAB_DIR: &str = "/run/lab";

type Job = Box<dyn FnOnce() + Send>;

/// How much of the machine is made private.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Network only; files and processes are those of the machine.
    Switch,
    /// Network, mounts and processes.
    Host,
}

/// Live namespaces and their worker thread.
#[derive(Debug)]
pub(super) struct Namespace {
    holder_pid: u32,
    holder: Option<Child>,
    /// What is started inside is not tied to this process.
    detached: bool,
    /// The holder is left alone when this value is dropped.
    persistent: bool,
    jobs: Option<Sender<Job>>,
    worker: Option<JoinHandle<()>>,
}

impl Namespace {
    /// Makes new namespaces.
    pub(super) fn create(kind: Kind, detached: bool) -> Result<Self> {
        Self::start(detached, move || {
            let mut flags = CloneFlags::CLONE_FS | CloneFlags::CLONE_NEWNET;
            if kind == Kind::Host {
                flags |= CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWPID;
            }
            unshare(flags).context("unshare: making namespaces needs root (CAP_SYS_ADMIN)")?;
            if kind == Kind::Host {
                private_mounts()?;
            }
            let mut holder = match kind {
                Kind::Host => Command::new("sh"),
                // No PID namespace ends a child of it, so it must not have any.
                Kind::Switch => Command::new("sleep"),
            };
            match kind {
                Kind::Host => holder.args(["-c", HOLDER]),
                Kind::Switch => holder.arg("infinity"),
            };
            holder.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            if detached {
                sys::detach(&mut holder)
            } else {
                sys::die_with_parent(&mut holder)
            }
            let child = holder.current_dir("/").spawn().context("starting the holder process")?;
            if kind == Kind::Host {
                let status = Command::new("mount").args(["-t", "proc", "proc", "/proc"]).status();
                if !status.context("running mount")?.success() {
                    bail!("mounting /proc in the new host failed");
                }
            }
            Ok((child.id(), Some(child)))
        })
    }

    /// Enters namespaces that a detached holder of an earlier process keeps.
    pub(super) fn attach(kind: Kind, holder_pid: u32) -> Result<Self> {
        Self::start(true, move || {
            let open = |what: &str| {
                let path = format!("/proc/{holder_pid}/ns/{what}");
                fs::File::open(&path).with_context(|| format!("opening {path}: is the lab still up?"))
            };
            let (net, mnt, pid) = (open("net")?, open("mnt")?, open("pid")?);
            unshare(CloneFlags::CLONE_FS)?;
            setns(net.as_fd(), CloneFlags::CLONE_NEWNET)?;
            if kind == Kind::Host {
                setns(pid.as_fd(), CloneFlags::CLONE_NEWPID)?;
                setns(mnt.as_fd(), CloneFlags::CLONE_NEWNS)?;
            }
            Ok((holder_pid, None))
        })
    }

    fn start(
        detached: bool,
        enter: impl FnOnce() -> Result<(u32, Option<Child>)> + Send + 'static,
    ) -> Result<Self> {
        let (jobs, inbox): (Sender<Job>, Receiver<Job>) = channel();
        let (report, entered) = channel();
        let worker = std::thread::Builder::new().name("lab-host".to_owned()).spawn(move || {
            let result = enter();
            let failed = result.is_err();
            if report.send(result).is_err() || failed {
                return;
            }
            for job in inbox {
                job();
            }
        })?;
        let (holder_pid, holder) = entered.recv().context("the namespace thread died")??;
        // Namespaces that were entered rather than made belong to somebody else.
        let persistent = holder.is_none();
        Ok(Self { holder_pid, holder, detached, persistent, jobs: Some(jobs), worker: Some(worker) })
    }

    /// Pid of the holder, as the machine sees it.
    pub(super) fn holder_pid(&self) -> u32 {
        self.holder_pid
    }

    /// Leaves a detached holder running when this value is dropped.
    pub(super) fn persist(&mut self) {
        self.persistent = self.detached;
    }

    /// Runs `job` on the thread inside. Everything that takes long must be started there and waited for
    /// elsewhere: jobs of one host run one after another.
    pub(super) fn inside<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        let (send, receive) = channel();
        let jobs = self.jobs.as_ref().ok_or_else(|| anyhow!("the host has ended"))?;
        jobs.send(Box::new(move || {
            // The caller waits below; it can only be gone if it panicked.
            let _gone = send.send(job());
        }))
        .map_err(|_| anyhow!("the thread inside the host has died"))?;
        receive.recv().map_err(|_| anyhow!("the work inside the host panicked"))
    }

    /// Starts `command` inside and ties its life to this process unless the namespaces are detached.
    pub(super) fn spawn(&self, mut command: Command) -> Result<Child> {
        // The machine's would be one for all hosts.
        command.env("STATE_DIRECTORY", STATE_DIR);
        let detached = self.detached;
        let name = command.get_program().to_string_lossy().into_owned();
        if command.get_current_dir().is_none() {
            command.current_dir("/");
        }
        self.inside(move || {
            if detached {
                sys::detach(&mut command)
            } else {
                sys::die_with_parent(&mut command)
            }
            command.spawn()
        })?
        .with_context(|| format!("starting {name}"))
    }

    /// A path of the host as it is reached from outside.
    pub(super) fn outside_path(&self, inside: &Path) -> PathBuf {
        let relative = inside.strip_prefix("/").unwrap_or(inside);
        PathBuf::from(format!("/proc/{}/root", self.holder_pid)).join(relative)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if let (Some(mut child), false) = (self.holder.take(), self.persistent) {
            // It may have ended already; both calls then fail harmlessly.
            let _gone = child.kill();
            let _status = child.wait();
        }
        self.jobs = None;
        if let Some(worker) = self.worker.take() {
            let _panicked = worker.join();
        }
    }
}

/// Own /sys for the new network namespace, own bpffs, /run, /tmp, and an /etc whose changes vanish.
fn private_mounts() -> Result<()> {
    let none: Option<&str> = None;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).context("making mounts private")?;
    let fresh = |kind: &str, at: &str, options: Option<&str>| {
        mount(Some(kind), at, Some(kind), MsFlags::empty(), options)
            .with_context(|| format!("mounting {kind} on {at}"))
    };
    fresh("sysfs", "/sys", None)?;
    // A kernel without BPF still runs everything that does not need it.
    let _without = fresh("bpf", "/sys/fs/bpf", None);
    fresh("tmpfs", "/run", Some("mode=755,size=256m"))?;
    for dir in ["tmp", "etc", "etc-work"] {
        fs::create_dir_all(format!("{LAB_DIR}/{dir}"))?;
    }
    let outer_tmp = format!("{LAB_DIR}/tmp");
    mount(Some("/tmp"), outer_tmp.as_str(), none, MsFlags::MS_BIND, none).context("keeping the old /tmp")?;
    fresh("tmpfs", "/tmp", Some("mode=1777,size=256m"))?;
    let layers = format!("lowerdir=/etc,upperdir={LAB_DIR}/etc,workdir={LAB_DIR}/etc-work");
    if fresh("overlay", "/etc", Some(&layers)).is_err() {
        fresh("tmpfs", "/etc/keepalived", None)
            .context("no overlayfs, so /etc/keepalived must exist: install keepalived")?;
    }
    Ok(())
}

//! Starting programs, for trackers and for notifications: whether one may be run, who it runs as, a clean process
//! around it, how it ended, and its end where it takes too long.
//!
//! [`security`] decides whether a program may be run at all; the process itself is made in `spawn`. What must not live
//! here: when something is run, and what its result means. Whoever starts a program has a thread for it: looking up
//! a user, and the file system, can hang.
//!
//! A script gets: its own session and process group; `/dev/null` as standard input, output and error (what is tracked, a
//! pipe as standard error, of which the last line is kept); no other descriptor of the daemon; the directory `/`; umask 077 unless the configuration has one; default signal dispositions and an empty signal mask;
//! `SCHED_OTHER`, nice 0 and all processors, whatever the daemon has; ordinary resource limits; its user's supplementary groups;
//! SIGTERM when the daemon dies; the daemon's environment without what only concerns the daemon's own service.
//! (keepalived 2.2.7 was seen to do the same, with umask 177.)

mod last_words;
pub mod security;
mod spawn;

use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::ExitStatus;

use nix::errno::Errno;
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::unistd::{Gid, Group, Uid, User};

use crate::config::model::ScriptUser;
use crate::realtime;
pub use last_words::LastWords;
use security::{Identity, RealFiles, Refusal};
use spawn::SpawnOrder;
pub use spawn::{Child, Fate};

/// keepalived's default user for scripts; root where it does not exist.
pub const DEFAULT_USER: &str = "keepalived_script";

/// Where plain names are searched for when the daemon has no `PATH`.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Set in the environment of the program that takes this one's place, and of no other.
pub const REPLACES: &str = "XVRRP_REPLACES";

/// Variables that belong to the daemon's service and not to its scripts.
const PRIVATE_VARIABLES: [&str; 9] = [
    "JOURNAL_STREAM",
    "LISTEN_FDNAMES",
    "LISTEN_FDS",
    "LISTEN_PID",
    "NOTIFY_SOCKET",
    "RUST_LOG",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
    REPLACES,
];

/// Why a script cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// No such user.
    #[error("there is no user '{0}'; run: useradd --system --no-create-home {0}")]
    NoUser(String),
    /// No such group.
    #[error("there is no group '{0}'; run: groupadd --system {0}")]
    NoGroup(String),
    /// The user database did not answer.
    #[error("user '{user}' cannot be looked up: {source}")]
    Lookup {
        /// User or group.
        user: String,
        /// Why.
        source: Errno,
    },
    /// The daemon is not root and cannot become somebody else.
    #[error("it is to run as user '{0}', which a daemon that is not root cannot do")]
    NotRoot(String),
    /// The program cannot or must not be run.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

/// A script that was found and whose user is known.
#[derive(Clone, Debug)]
pub struct Prepared {
    program: PathBuf,
    argv: Vec<OsString>,
    identity: Identity,
    secure: bool,
}

/// Looks up the user, finds the program of a command line and checks it. `secure` is `enable_script_security`.
///
/// # Errors
/// See [`Unusable`].
pub fn prepare(argv: &[OsString], user: Option<&ScriptUser>, secure: bool) -> Result<Prepared, Unusable> {
    let identity = identity(user)?;
    let name = argv.first().map_or(OsStr::new(""), OsString::as_os_str);
    let path = std::env::var("PATH").unwrap_or_else(|_| DEFAULT_PATH.to_owned());
    let program = security::find(&RealFiles, name, &path)?;
    let prepared = Prepared { program, argv: argv.to_vec(), identity, secure };
    prepared.check()?;
    Ok(prepared)
}

/// The user that scripts run as: the given one, else [`DEFAULT_USER`] where it exists, else the daemon's own.
///
/// # Errors
/// [`Unusable::NoUser`], [`Unusable::NoGroup`], [`Unusable::Lookup`], [`Unusable::NotRoot`].
pub fn identity(wanted: Option<&ScriptUser>) -> Result<Identity, Unusable> {
    let lookup = |name: &str| {
        User::from_name(name).map_err(|source| Unusable::Lookup { user: name.to_owned(), source })
    };
    let own = Uid::effective();
    let user = match wanted {
        Some(wanted) => Some(lookup(&wanted.user)?.ok_or_else(|| Unusable::NoUser(wanted.user.clone()))?),
        None if own.is_root() => lookup(DEFAULT_USER)?,
        None => None,
    };
    let user = match user {
        Some(user) => user,
        None => {
            match User::from_uid(own).map_err(|source| Unusable::Lookup { user: own.to_string(), source })? {
                Some(user) => user,
                None => return Err(Unusable::NoUser(own.to_string())),
            }
        }
    };
    if !own.is_root() && own != user.uid {
        return Err(Unusable::NotRoot(user.name));
    }
    let gid = match wanted.and_then(|wanted| wanted.group.as_deref()) {
        Some(name) => {
            Group::from_name(name)
                .map_err(|source| Unusable::Lookup { user: name.to_owned(), source })?
                .ok_or_else(|| Unusable::NoGroup(name.to_owned()))?
                .gid
        }
        None => user.gid,
    };
    let groups = CString::new(user.name.as_str())
        .ok()
        .and_then(|name| nix::unistd::getgrouplist(&name, gid).ok())
        .map_or_else(|| vec![gid.as_raw()], |groups| groups.into_iter().map(Gid::as_raw).collect());
    Ok(Identity { name: user.name, uid: user.uid.as_raw(), gid: gid.as_raw(), groups })
}

impl Prepared {
    /// The check that precedes every run.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub fn check(&self) -> Result<(), Refusal> {
        security::check(&RealFiles, &self.program, &self.identity, self.secure)
    }

    /// What `enable_script_security` would say, set or not.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub fn check_strictly(&self) -> Result<(), Refusal> {
        security::check(&RealFiles, &self.program, &self.identity, true)
    }

    /// Starts the program, with what becomes of it and its umask. The thread that calls this must outlive a script
    /// that ends with the daemon: the script is told when the thread ends.
    ///
    /// # Errors
    /// The process could not be made, could not change its user, or `execve` failed.
    pub fn spawn(&self, fate: Fate, mask: Mode) -> io::Result<Child> {
        self.spawn_heard(fate, mask, None)
    }

    /// The same with an ear for what it says on standard error.
    ///
    /// # Errors
    /// As [`Self::spawn`].
    pub fn spawn_heard(&self, fate: Fate, mask: Mode, words: Option<&LastWords>) -> io::Result<Child> {
        let own = (Uid::effective().as_raw(), Gid::effective().as_raw());
        spawn::start(&SpawnOrder {
            program: &self.program,
            argv: &self.argv,
            environment: &spawn::environment(&PRIVATE_VARIABLES, DEFAULT_PATH),
            // Nothing to change: then a container without CAP_SETUID or CAP_SETGID will do as well.
            user: ((self.identity.uid, self.identity.gid) != own).then_some(&self.identity),
            umask: mask,
            processors: realtime::original_processors(),
            fate,
            stderr: words.and_then(LastWords::mouth),
        })
    }
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It exited with this code.
    Exit(i32),
    /// This signal killed it.
    Signal(i32),
    /// It was killed because it ran longer than this.
    Timeout(std::time::Duration),
    /// It could not be run; the text says why.
    NotRun(String),
}

impl Ended {
    /// From what `wait` says.
    #[must_use]
    pub fn from_status(status: ExitStatus) -> Self {
        match (status.code(), status.signal()) {
            (Some(code), _) => Self::Exit(code),
            (None, Some(signal)) => Self::Signal(signal),
            (None, None) => Self::NotRun("ended in an unknown way".to_owned()),
        }
    }

    /// Only exit code 0 is success (keepalived.conf(5), SCRIPTS).
    #[must_use]
    pub const fn is_success(&self) -> bool {
        matches!(self, Self::Exit(0))
    }
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exit(code) => write!(f, "exit {code}"),
            Self::Signal(signal) => match Signal::try_from(*signal) {
                Ok(known) => write!(f, "signal {signal} ({known})"),
                Err(_) => write!(f, "signal {signal}"),
            },
            Self::Timeout(after) => write!(f, "timeout after {after:?}"),
            Self::NotRun(why) => f.write_str(why),
        }
    }
}

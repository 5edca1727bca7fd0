//! keepalived's pid files: where they are, who is running by them, and that they go with the daemon.
//!
//! They are for people and service managers. What keeps two daemons apart is the lock in the run directory
//! ([`crate::control::runlock`]).

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Directory of pid files with a namespace, an `instance` or `use_pid_dir`.
const PID_DIR: &str = "/run/keepalived";

/// What tells several daemons of one host apart, and where their files go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Identity {
    /// Network namespace.
    pub(crate) namespace: Option<String>,
    /// `instance`.
    pub(crate) instance: Option<String>,
    /// `use_pid_dir`.
    pub(crate) pid_dir: bool,
}

impl Identity {
    /// The pid files of the main process and of the VRRP process, which are one process here. (keepalived 2.2.7:
    /// `/run/keepalived.pid` and `/run/vrrp.pid`, `/run/keepalived/keepalived_NAME.pid` with an instance,
    /// `/run/keepalived/NAMESPACE/keepalived.pid` with a namespace.)
    pub(crate) fn pid_files(&self) -> [PathBuf; 2] {
        let mut directory = PathBuf::from("/run");
        if self.pid_dir || self.namespace.is_some() || self.instance.is_some() {
            directory = PathBuf::from(PID_DIR);
        }
        if let Some(namespace) = &self.namespace {
            directory.push(namespace);
        }
        let name = self.instance.as_ref().map_or_else(String::new, |instance| format!("_{instance}"));
        ["keepalived", "vrrp"].map(|process| directory.join(format!("{process}{name}.pid")))
    }

    /// `base`, or a directory below it that no daemon with another namespace or instance has.
    pub(crate) fn below(&self, base: &Path) -> PathBuf {
        let mut directory = base.to_owned();
        directory.extend(self.namespace.as_ref().map(|name| format!("netns-{name}")));
        directory.extend(self.instance.as_ref().map(|name| format!("instance-{name}")));
        directory
    }
}

/// A pid file that holds this process's id. Dropping it removes it.
#[derive(Debug)]
pub(crate) struct PidFile(PathBuf);

impl PidFile {
    /// Writes the file. Its directory is made where it is missing.
    ///
    /// # Errors
    /// As the system calls.
    pub(crate) fn write(path: PathBuf) -> io::Result<Self> {
        if let Some(directory) = path.parent().filter(|directory| directory.starts_with(PID_DIR)) {
            fs::create_dir_all(directory)?;
        }
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o644).custom_flags(libc::O_NOFOLLOW);
        let mut file = options.open(&path)?;
        writeln!(file, "{}", std::process::id())?;
        Ok(Self(path))
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        if read(&self.0) == Some(std::process::id()) {
            // Nobody to tell.
            let _ = fs::remove_file(&self.0);
        }
    }
}

/// The daemon, keepalived's or this one, that a pid file names; not this process itself, nor one that merely has got
/// the number of a daemon that is gone.
pub(crate) fn running(path: &Path) -> Option<u32> {
    let pid = read(path).filter(|pid| *pid != std::process::id())?;
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    ["keepalived", "xvrrp"].iter().any(|known| name.trim().starts_with(known)).then_some(pid)
}

/// keepalived's VRRP process, where one runs in this network namespace by this pid file. One that only does load
/// balancing has none, and may run beside this daemon.
pub(crate) fn keepalived_beside(path: &Path) -> Option<u32> {
    let pid = read(path).filter(|pid| *pid != std::process::id())?;
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    let network = |process: &str| fs::read_link(format!("/proc/{process}/ns/net")).ok();
    let theirs = network(&pid.to_string());
    (name.trim().starts_with("keepalived") && theirs.is_some() && theirs == network("self")).then_some(pid)
}

fn read(path: &Path) -> Option<u32> {
    use std::io::Read;
    let mut text = String::new();
    // A pid has at most ten digits; the file may hold anything.
    fs::File::open(path).ok()?.take(16).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(namespace: Option<&str>, instance: Option<&str>, pid_dir: bool) -> Identity {
        Identity { namespace: namespace.map(str::to_owned), instance: instance.map(str::to_owned), pid_dir }
    }

    #[test]
    fn files_are_where_keepalived_has_them() {
        let table = [
            (identity(None, None, false), "/run/keepalived.pid", "/run/vrrp.pid"),
            (identity(None, None, true), "/run/keepalived/keepalived.pid", "/run/keepalived/vrrp.pid"),
            (
                identity(None, Some("fred"), false),
                "/run/keepalived/keepalived_fred.pid",
                "/run/keepalived/vrrp_fred.pid",
            ),
            (
                identity(Some("foo"), None, false),
                "/run/keepalived/foo/keepalived.pid",
                "/run/keepalived/foo/vrrp.pid",
            ),
        ];
        for (identity, main, vrrp) in table {
            assert_eq!(identity.pid_files(), [PathBuf::from(main), PathBuf::from(vrrp)]);
        }
    }

    #[test]
    fn daemons_that_differ_share_no_directory() {
        let base = Path::new("/run/xvrrp");
        assert_eq!(Identity::default().below(base), base);
        let in_namespace = identity(Some("a"), None, false).below(base);
        let of_instance = identity(None, Some("a"), false).below(base);
        assert_ne!(in_namespace, of_instance);
        assert_eq!(
            identity(Some("a"), Some("b"), true).below(base),
            Path::new("/run/xvrrp/netns-a/instance-b")
        );
    }

    #[test]
    fn a_file_goes_with_its_process_and_only_with_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("keepalived.pid");
        let file = PidFile::write(path.clone()).expect("written");
        assert_eq!(read(&path), Some(std::process::id()));
        // Its own number is nobody else's.
        assert_eq!(running(&path), None);
        fs::write(&path, "1\n").expect("written");
        drop(file);
        assert!(path.exists(), "another daemon's file was removed");
        // Process 1 is no daemon of ours, and the other two are nobody.
        for text in ["1", "4194304999", "no number"] {
            fs::write(&path, text).expect("written");
            assert_eq!(running(&path), None, "{text}");
        }
    }
}

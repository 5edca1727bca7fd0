//! One daemon per run directory: a locked file that holds the process id.
//!
//! The lock is `flock(2)`, so that it ends with the process however that ends; the number in the file is for people
//! and for service managers. Whoever can open a file can lock it, so that only root may open this one.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use nix::unistd::Uid;

use crate::trust::{self, Distrust};

/// Name of the file in the run directory.
const FILE: &str = "xvrrp.pid";
/// Attempts to lock a file that others keep replacing.
const ATTEMPTS: u32 = 16;

/// Why the run directory cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another daemon has it.
    #[error("xvrrp is already running as pid {pid} (run directory {}); stop that one, or give this one another \
             --run-dir", run_dir.display())]
    Running {
        /// Its process id, or `?` where it cannot be read.
        pid: String,
        /// The directory.
        run_dir: PathBuf,
    },
    /// Others could put files into the directory.
    #[error("run directory {} can be changed by others (mode {mode:04o}, owner {uid}); run: chown root {0} && chmod \
             0755 {0}", .run_dir.display())]
    Unsafe {
        /// The directory.
        run_dir: PathBuf,
        /// Its mode.
        mode: u32,
        /// Its owner.
        uid: u32,
    },
    /// Somebody could make the path of the directory lead elsewhere.
    #[error("run directory: {0}; or name another --run-dir")]
    Distrusted(#[from] Distrust),
    /// The directory or the file cannot be made.
    #[error("{}: {source}; {}", path.display(), hint(source))]
    Io {
        /// What could not be made.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

fn hint(error: &io::Error) -> &'static str {
    if error.kind() == io::ErrorKind::PermissionDenied && !nix::unistd::geteuid().is_root() {
        "run this as root, or name a directory of yours with --run-dir"
    } else {
        "name a run directory that can be written with --run-dir"
    }
}

/// The lock; dropping it removes the file and lets the next daemon start.
#[derive(Debug)]
pub struct RunLock {
    file: Flock<File>,
    path: PathBuf,
}

impl RunLock {
    /// Makes the run directory where it does not exist (mode 0755) and locks it.
    ///
    /// A leftover of a daemon that was killed is taken over silently.
    ///
    /// # Errors
    /// See [`LockError`].
    pub fn acquire(run_dir: &Path) -> Result<Self, LockError> {
        let path = run_dir.join(FILE);
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source: io::Error| LockError::Io { path, source }
        };
        match trust::way(run_dir) {
            Err(Distrust::Foreign { component, mode, uid, .. }) if component == run_dir => {
                return Err(LockError::Unsafe { run_dir: component, mode, uid });
            }
            looked_at => looked_at?,
        }
        DirBuilder::new().recursive(true).mode(0o755).create(run_dir).map_err(failed(run_dir))?;
        let meta = std::fs::metadata(run_dir).map_err(failed(run_dir))?;
        let owned = meta.uid() == 0 || meta.uid() == Uid::effective().as_raw();
        if !owned || meta.mode() & 0o022 != 0 {
            return Err(LockError::Unsafe {
                run_dir: run_dir.to_owned(),
                mode: meta.mode() & 0o7777,
                uid: meta.uid(),
            });
        }
        for _ in 0..ATTEMPTS {
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC)
                .open(&path)
                .map_err(failed(&path))?;
            let mut file = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                Ok(file) => file,
                Err((mut file, nix::errno::Errno::EWOULDBLOCK)) => {
                    return Err(LockError::Running { pid: read_pid(&mut file), run_dir: run_dir.to_owned() });
                }
                Err((_, error)) => return Err(failed(&path)(error.into())),
            };
            // The daemon before may have removed the file between our open and our lock.
            let same = std::fs::symlink_metadata(&path)
                .and_then(|named| Ok((named, file.metadata()?)))
                .is_ok_and(|(named, ours)| named.dev() == ours.dev() && named.ino() == ours.ino());
            if !same {
                continue;
            }
            let write = |file: &mut File| {
                // One that an earlier version has left.
                file.set_permissions(Permissions::from_mode(0o600))?;
                file.set_len(0)?;
                file.rewind()?;
                writeln!(file, "{}", std::process::id())
            };
            write(&mut file).map_err(failed(&path))?;
            return Ok(Self { file, path });
        }
        Err(failed(&path)(io::Error::other("the file is being replaced again and again")))
    }

    /// The file that is locked.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for RunLock {
    fn drop(&mut self) {
        // Still locked here, so that this is our file; the lock goes with the descriptor after it.
        let _ = std::fs::remove_file(&self.path);
        let _ = self.file.flush();
    }
}

fn read_pid(file: &mut File) -> String {
    let mut text = String::new();
    // A pid has at most ten digits; the file may hold anything.
    match file.take(16).read_to_string(&mut text) {
        Ok(_) if text.trim().parse::<u32>().is_ok() => text.trim().to_owned(),
        _ => "?".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_daemon_is_told_who_runs() {
        let dir = tempfile::tempdir().unwrap();
        let run_dir = dir.path().join("run/xvrrp");
        let first = RunLock::acquire(&run_dir).unwrap();
        let text = RunLock::acquire(&run_dir).unwrap_err().to_string();
        assert!(text.contains(&format!("already running as pid {}", std::process::id())), "{text}");
        assert!(text.contains("run/xvrrp"), "{text}");
        drop(first);
        assert!(!run_dir.join(FILE).exists());
        RunLock::acquire(&run_dir).unwrap();
    }

    #[test]
    fn a_leftover_file_is_taken_over_and_a_link_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
        std::fs::write(dir.path().join(FILE), "4294967295 and much that nobody wants to read\n").unwrap();
        let lock = RunLock::acquire(dir.path()).unwrap();
        assert_eq!(std::fs::read_to_string(lock.path()).unwrap(), format!("{}\n", std::process::id()));
        drop(lock);
        let victim = dir.path().join("victim");
        std::fs::write(&victim, "precious").unwrap();
        std::os::unix::fs::symlink(&victim, dir.path().join(FILE)).unwrap();
        assert!(matches!(RunLock::acquire(dir.path()), Err(LockError::Io { .. })));
        assert_eq!(std::fs::read_to_string(victim).unwrap(), "precious");
    }

    #[test]
    fn nobody_else_can_lock_the_file() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(FILE), "1\n").unwrap();
        std::fs::set_permissions(dir.path().join(FILE), Permissions::from_mode(0o644)).unwrap();
        let lock = RunLock::acquire(dir.path()).unwrap();
        assert_eq!(std::fs::metadata(lock.path()).unwrap().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_link_in_a_directory_of_others_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (shared, victim) = (dir.path().join("shared"), dir.path().join("victim"));
        std::fs::create_dir(&shared).unwrap();
        std::fs::create_dir(&victim).unwrap();
        std::fs::set_permissions(&shared, Permissions::from_mode(0o777)).unwrap();
        std::os::unix::fs::symlink(&victim, shared.join("xvrrp")).unwrap();
        let text = RunLock::acquire(&shared.join("xvrrp")).unwrap_err().to_string();
        assert!(text.contains("shared can be written by others"), "{text}");
        assert_eq!(std::fs::read_dir(victim).unwrap().count(), 0);
    }

    #[test]
    fn a_directory_that_others_can_write_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), Permissions::from_mode(0o777)).unwrap();
        let text = RunLock::acquire(dir.path()).unwrap_err().to_string();
        assert!(text.contains("0777") && text.contains("chmod 0755"), "{text}");
    }
}

//! `reload_file`: there, and empty, while the configuration is being read, and gone afterwards.
//!
//! Whoever updates the configuration makes the file, asks for a reload and waits until it is gone: until then the old
//! files may still be read (keepalived.conf(5)).

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::config::model::Global;

/// The file, while it is there. Dropping it removes it.
#[derive(Debug)]
pub(super) struct ReloadFile {
    path: PathBuf,
    /// Device and number: somebody may put another one into its place.
    made: Option<(u64, u64)>,
}

impl ReloadFile {
    /// Makes the file that the configuration names, or empties it. `None` where it names none; what goes wrong is
    /// logged, and the configuration is read nevertheless.
    pub(super) fn make(global: &Global) -> Option<Self> {
        let path = path(global)?;
        let made = make(&path, global.process.file_mode())
            .map_err(|error| tracing::error!("reload_file {}: {error}", path.display()))
            .ok();
        Some(Self { path, made })
    }
}

impl Drop for ReloadFile {
    fn drop(&mut self) {
        if let Ok(meta) = std::fs::symlink_metadata(&self.path)
            && self.made == Some((meta.dev(), meta.ino()))
        {
            remove(&self.path);
        }
    }
}

/// Start-up has read the configuration: whoever waits for that is told.
pub(super) fn remove_leftover(global: &Global) {
    if let Some(path) = path(global)
        && std::fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_file())
    {
        remove(&path);
    }
}

/// Where it is: in the directory of the pid files unless the configuration says otherwise.
fn path(global: &Global) -> Option<PathBuf> {
    let path = global.reload.file.as_ref()?;
    let directory = if global.use_pid_dir { "/run/keepalived" } else { "/run" };
    Some(if path.as_os_str().is_empty() {
        Path::new(directory).join("keepalived.reload")
    } else {
        path.clone()
    })
}

fn make(path: &Path, mode: u32) -> io::Result<(u64, u64)> {
    // Neither a link nor a pipe that somebody has put there may be followed or waited for.
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(mode)
        .custom_flags(flags)
        .open(path)?;
    let meta = file.metadata()?;
    if !meta.is_file() {
        return Err(io::Error::other("it is no ordinary file; the configuration is read without it"));
    }
    file.set_len(0)?;
    Ok((meta.dev(), meta.ino()))
}

fn remove(path: &Path) {
    if let Err(error) = std::fs::remove_file(path) {
        tracing::error!("reload_file {} cannot be removed: {error}", path.display());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn global(path: &Path) -> Global {
        let mut global = Global::default();
        global.reload.file = Some(path.to_owned());
        global
    }

    #[test]
    fn it_is_there_and_empty_until_it_is_dropped() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("reload");
        std::fs::write(&path, "12:00").expect("written");
        let file = ReloadFile::make(&global(&path)).expect("named");
        assert_eq!(std::fs::metadata(&path).expect("there").len(), 0);
        drop(file);
        assert!(!path.exists());
        assert!(ReloadFile::make(&Global::default()).is_none());
    }

    #[test]
    fn what_is_no_ordinary_file_is_left_alone() {
        let dir = tempfile::tempdir().expect("a directory");
        let (precious, link) = (dir.path().join("precious"), dir.path().join("reload"));
        std::fs::write(&precious, "precious").expect("written");
        std::os::unix::fs::symlink(&precious, &link).expect("made");
        drop(ReloadFile::make(&global(&link)));
        remove_leftover(&global(&link));
        assert_eq!(std::fs::read_to_string(&precious).expect("there"), "precious");
        assert!(link.is_symlink());
    }

    #[test]
    fn the_default_name_is_keepalived_s() {
        let mut global = global(Path::new(""));
        assert_eq!(path(&global), Some(PathBuf::from("/run/keepalived.reload")));
        global.use_pid_dir = true;
        assert_eq!(path(&global), Some(PathBuf::from("/run/keepalived/keepalived.reload")));
    }
}

//! Pins of the maps below `<bpffs>/xvrrp/v<ABI>/<interface>/`, for `bpftool` and scripts.
//!
//! Nothing depends on them: without a BPF file system the daemon works all the same.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use aya::maps::Map;
use ha_common::layout::ABI_VERSION;
use nix::mount::{MsFlags, mount};
use nix::sys::statfs::{BPF_FS_MAGIC, statfs};

/// Maps are not pinned.
#[derive(Debug, thiserror::Error)]
pub enum PinError {
    /// There is no BPF file system and it cannot be mounted.
    #[error("cannot mount the BPF file system on {path}: {source}; maps are not pinned")]
    Mount {
        /// Where.
        path: PathBuf,
        /// What the kernel says.
        source: io::Error,
    },
    /// A directory cannot be made, or an old pin not removed.
    #[error("cannot use {path}: {source}; maps are not pinned")]
    Directory {
        /// Which.
        path: PathBuf,
        /// What the kernel says.
        source: io::Error,
    },
    /// The kernel does not pin a map.
    #[error("cannot pin {path}: {source}; maps are not pinned")]
    Map {
        /// Where.
        path: PathBuf,
        /// What aya says.
        source: aya::pin::PinError,
    },
}

/// The pins of one interface's maps. Removed when dropped.
#[derive(Debug)]
pub struct Pins {
    directory: PathBuf,
}

impl Pins {
    /// Pins `maps` below `bpffs`, which is mounted where it is not. What an earlier run left for this interface, of
    /// whatever version, is replaced.
    ///
    /// # Errors
    ///
    /// See [`PinError`]; nothing stays pinned then.
    pub(super) fn create<'a>(
        bpffs: &Path,
        interface: &str,
        maps: impl Iterator<Item = (&'static str, &'a Map)>,
    ) -> Result<Self, PinError> {
        mount_bpffs(bpffs)?;
        let root = bpffs.join("xvrrp");
        let name = file_name(interface);
        remove_old(&root, &name)?;
        let directory = root.join(format!("v{ABI_VERSION}")).join(name);
        fs::create_dir_all(&directory)
            .map_err(|source| PinError::Directory { path: directory.clone(), source })?;
        // From here on an error removes what was pinned.
        let pins = Self { directory };
        for (name, map) in maps {
            let path = pins.directory.join(name);
            map.pin(&path).map_err(|source| PinError::Map { path, source })?;
        }
        Ok(pins)
    }

    /// Leaves the pins where they are.
    pub(super) fn keep(self) {
        std::mem::forget(self);
    }

    /// The directory that holds the pins.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }
}

impl Drop for Pins {
    fn drop(&mut self) {
        // The next run replaces what cannot be removed now. The parents go when the last interface has gone.
        let _ = fs::remove_dir_all(&self.directory);
        for parent in self.directory.ancestors().skip(1).take(2) {
            let _ = fs::remove_dir(parent);
        }
    }
}

/// Removes all pins that an earlier run left below `bpffs`, also of interfaces that are not used any more. For the
/// start of the daemon, when it is known to be the only one.
pub fn remove_leftover_pins(bpffs: &Path) {
    // Only pins are at stake: what cannot be removed stays.
    if is_bpffs(bpffs) {
        let _ = fs::remove_dir_all(bpffs.join("xvrrp"));
    }
}

/// The interface's name as a file name: the BPF file system refuses dots, and no interface name has a colon.
fn file_name(interface: &str) -> String {
    interface.replace('.', ":")
}

/// Removes the interface's pins of every version.
fn remove_old(root: &Path, name: &str) -> Result<(), PinError> {
    let versions = match fs::read_dir(root) {
        Ok(versions) => versions,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(PinError::Directory { path: root.to_owned(), source }),
    };
    for version in versions.flatten() {
        let path = version.path().join(name);
        match fs::remove_dir_all(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(PinError::Directory { path, source }),
        }
    }
    Ok(())
}

fn is_bpffs(path: &Path) -> bool {
    statfs(path).is_ok_and(|status| status.filesystem_type() == BPF_FS_MAGIC)
}

/// Mounts the BPF file system as bpftool does, where there is none yet.
fn mount_bpffs(path: &Path) -> Result<(), PinError> {
    if is_bpffs(path) {
        return Ok(());
    }
    let failed = |source| PinError::Mount { path: path.to_owned(), source };
    fs::create_dir_all(path).map_err(failed)?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("bpf"), path, Some("bpf"), flags, Some("mode=0700"))
        .map_err(|error| failed(io::Error::from(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_have_no_dots_and_stay_distinct() {
        assert_eq!(file_name("ens160"), "ens160");
        assert_eq!(file_name("eth0.100"), "eth0:100");
    }
}

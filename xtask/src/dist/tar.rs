//! Archives that are the same for the same files, whoever packs them and whenever.

use std::path::Path;

use anyhow::Result;

use crate::sys;

/// How it is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Packing {
    /// As it is.
    Plain,
    /// With gzip.
    Gzip,
}

/// Packs `name`, which is in `directory`, into `archive`, with `time` for every file.
///
/// # Errors
/// When tar fails.
pub(crate) fn pack(directory: &Path, name: &str, archive: &Path, time: u64, packing: Packing) -> Result<()> {
    let time = format!("--mtime=@{time}");
    let mut tar = sys::tool("tar");
    tar.current_dir(directory).arg("--create");
    if packing == Packing::Gzip {
        tar.arg("--gzip");
    }
    tar.arg("--file").arg(archive);
    // Whoever packs, with whatever umask, and in whatever order the file system has it.
    tar.args([
        "--sort=name",
        "--owner=0",
        "--group=0",
        "--numeric-owner",
        "--mode=u=rwX,go=rX",
        &time,
        "--",
        name,
    ]);
    sys::run("Packing", &mut tar).map(drop)
}

//! Opening configuration files, with limits.

use std::fs::{File, Metadata};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

/// All files of one configuration together. keepalived's largest published ones are below 10 MB.
pub(super) const MAX_BYTES: u64 = 32 << 20;

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum FileError {
    /// It cannot be opened or read.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// It is a directory, a pipe or a device.
    #[error("it is {0}, not a file")]
    Kind(&'static str),
    /// It holds a NUL byte.
    #[error("it is binary: byte {0} is NUL")]
    Binary(usize),
    /// It is too big.
    #[error("the files together are larger than {} MiB", MAX_BYTES >> 20)]
    TooBig,
    /// It is too big for a key.
    #[error("it is larger than any key")]
    NoKey,
}

/// Read a regular text file of at most `budget` bytes. Never blocks on a pipe.
pub(super) fn read(path: &Path, budget: u64) -> Result<Vec<u8>, FileError> {
    let (bytes, _) = open(path, budget)?;
    check_text(&bytes)?;
    Ok(bytes)
}

/// Read a file that holds a secret, and say how somebody else can come by it, or change it.
pub(super) fn read_secret(path: &Path, budget: u64) -> Result<(Vec<u8>, Option<&'static str>), FileError> {
    let (bytes, metadata) = open(path, budget).map_err(|error| match error {
        FileError::TooBig => FileError::NoKey,
        error => error,
    })?;
    let stranger = ![0, nix::unistd::geteuid().as_raw()].contains(&metadata.uid());
    let exposed = match metadata.mode() {
        mode if mode & 0o022 != 0 => Some("can be changed by others than its owner"),
        mode if mode & 0o044 != 0 => Some("can be read by others than its owner"),
        _ if stranger => Some("belongs to another user than root and the daemon's"),
        _ => None,
    };
    Ok((bytes, exposed))
}

fn open(path: &Path, budget: u64) -> Result<(Vec<u8>, Metadata), FileError> {
    let mut options = File::options();
    options.read(true).custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC);
    let file = options.open(path)?;
    let metadata = file.metadata()?;
    let kind = metadata.file_type();
    if kind.is_dir() {
        return Err(FileError::Kind("a directory"));
    }
    if !kind.is_file() {
        return Err(FileError::Kind("a pipe, socket or device"));
    }
    let mut bytes = Vec::new();
    file.take(budget.saturating_add(1)).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > budget {
        return Err(FileError::TooBig);
    }
    Ok((bytes, metadata))
}

/// Refuse what is no text. Any encoding is fine, so only NUL gives a binary file away.
pub(super) fn check_text(bytes: &[u8]) -> Result<(), FileError> {
    bytes.iter().position(|byte| *byte == 0).map_or(Ok(()), |at| Err(FileError::Binary(at)))
}

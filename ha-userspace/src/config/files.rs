//! Opening configuration files, with limits.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
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
}

/// Read a regular text file of at most `budget` bytes. Never blocks on a pipe.
pub(super) fn read(path: &Path, budget: u64) -> Result<Vec<u8>, FileError> {
    let mut options = File::options();
    options.read(true).custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC);
    let file = options.open(path)?;
    let kind = file.metadata()?.file_type();
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
    check_text(&bytes)?;
    Ok(bytes)
}

/// Refuse what is no text. Any encoding is fine, so only NUL gives a binary file away.
pub(super) fn check_text(bytes: &[u8]) -> Result<(), FileError> {
    bytes.iter().position(|byte| *byte == 0).map_or(Ok(()), |at| Err(FileError::Binary(at)))
}

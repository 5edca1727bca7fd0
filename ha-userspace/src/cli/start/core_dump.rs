//! Core dumps: `--core-dump` and `--core-dump-pattern`, as keepalived has them.

use std::fs;
use std::io;

use nix::sys::resource::{RLIM_INFINITY, Resource, setrlimit};

/// Says what a core file is called (core(5)); for the whole machine.
const PATTERN: &str = "/proc/sys/kernel/core_pattern";

/// Puts the machine's pattern back when it is dropped.
#[derive(Debug)]
pub(crate) struct CorePattern(String);

/// Allows core dumps of any size.
///
/// # Errors
/// The hard limit is lower and this process may not raise it.
pub(crate) fn allow() -> io::Result<()> {
    Ok(setrlimit(Resource::RLIMIT_CORE, RLIM_INFINITY, RLIM_INFINITY)?)
}

/// Names the core files of the whole machine until the result is dropped.
///
/// # Errors
/// The kernel's setting cannot be read or written.
pub(crate) fn set_pattern(pattern: &str) -> io::Result<CorePattern> {
    let before = fs::read_to_string(PATTERN)?;
    fs::write(PATTERN, pattern)?;
    Ok(CorePattern(before))
}

impl Drop for CorePattern {
    fn drop(&mut self) {
        let _ = fs::write(PATTERN, &self.0);
    }
}

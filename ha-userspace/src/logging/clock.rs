//! The time of day for log lines.

#![expect(unsafe_code, reason = "localtime_r is the C library's, which knows the time zone")]

use std::time::{SystemTime, UNIX_EPOCH};

/// Local time as `HH:MM:SS.mmm`.
pub(super) fn time_of_day(at: SystemTime) -> String {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = libc::time_t::try_from(since.as_secs()).unwrap_or_default();
    // SAFETY: all-zero is a valid `tm` (integers and a pointer that nobody reads).
    let mut local: libc::tm = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to live variables. The C library reads the environment for TZ here; no part of the
    // daemon changes the environment after the start.
    unsafe { libc::localtime_r(&raw const seconds, &raw mut local) };
    format!("{:02}:{:02}:{:02}.{:03}", local.tm_hour, local.tm_min, local.tm_sec, since.subsec_millis())
}

//! Local time, for log lines, mail and dumps.

#![expect(unsafe_code, reason = "localtime_r is the C library's, which knows the time zone")]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Local time as `HH:MM:SS.mmm`.
pub(super) fn time_of_day(at: SystemTime) -> String {
    let (local, since) = local(at);
    format!("{:02}:{:02}:{:02}.{:03}", local.tm_hour, local.tm_min, local.tm_sec, since.subsec_millis())
}

const DAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Local time as RFC 5322 section 3.3 wants it in a mail header.
pub(crate) fn mail_date(at: SystemTime) -> String {
    let (local, _) = local(at);
    let (sign, minutes) =
        if local.tm_gmtoff < 0 { ('-', -local.tm_gmtoff / 60) } else { ('+', local.tm_gmtoff / 60) };
    format!(
        "{}, {:02} {} {} {:02}:{:02}:{:02} {sign}{:02}{:02}",
        name(&DAYS, local.tm_wday),
        local.tm_mday,
        name(&MONTHS, local.tm_mon),
        local.tm_year + 1900,
        local.tm_hour,
        local.tm_min,
        local.tm_sec,
        minutes / 60,
        minutes % 60
    )
}

/// Local time as ctime(3) has it, with microseconds: `Tue Nov 24 09:00:13.742878 2026`.
pub(crate) fn ctime(at: SystemTime) -> String {
    let (local, since) = local(at);
    format!(
        "{} {} {:2} {:02}:{:02}:{:02}.{:06} {}",
        name(&DAYS, local.tm_wday),
        name(&MONTHS, local.tm_mon),
        local.tm_mday,
        local.tm_hour,
        local.tm_min,
        local.tm_sec,
        since.subsec_micros(),
        local.tm_year + 1900
    )
}

fn name<'a>(names: &[&'a str], at: libc::c_int) -> &'a str {
    usize::try_from(at).ok().and_then(|at| names.get(at)).copied().unwrap_or("?")
}

fn local(at: SystemTime) -> (libc::tm, Duration) {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = libc::time_t::try_from(since.as_secs()).unwrap_or_default();
    // SAFETY: all-zero is a valid `tm` (integers and a pointer that nobody reads).
    let mut local: libc::tm = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to live variables. The C library reads the environment for TZ here; no part of the
    // daemon changes the environment after the start.
    unsafe { libc::localtime_r(&raw const seconds, &raw mut local) };
    (local, since)
}

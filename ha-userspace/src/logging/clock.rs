//! Local time, for log lines, mail, dumps and reloads at a time.

#![expect(unsafe_code, reason = "localtime_r and mktime are the C library's, which knows the time zone")]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Local time as `HH:MM:SS.mmm`.
pub(super) fn time_of_day(at: SystemTime) -> String {
    let (local, since) = local(at);
    format!("{:02}:{:02}:{:02}.{:03}", local.tm_hour, local.tm_min, local.tm_sec, since.subsec_millis())
}

/// Whose time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Zone {
    /// This host's.
    Local,
    Utc,
}

/// A time of a day, as people write it: months and days begin with 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Civil {
    pub(crate) year: i32,
    pub(crate) month: i32,
    pub(crate) day: i32,
    pub(crate) hour: i32,
    pub(crate) minute: i32,
    pub(crate) second: i32,
}

/// What the clocks of a zone say at a time.
pub(crate) fn civil(at: SystemTime, zone: Zone) -> Civil {
    let (tm, _) = broken_down(at, zone);
    Civil {
        year: tm.tm_year + 1900,
        month: tm.tm_mon + 1,
        day: tm.tm_mday,
        hour: tm.tm_hour,
        minute: tm.tm_min,
        second: tm.tm_sec,
    }
}

/// When the clocks of a zone say that. A day or an hour that does not exist is another one, as mktime(3) has it;
/// `None` before 1970 and where the C library cannot tell.
pub(crate) fn moment(civil: Civil, zone: Zone) -> Option<SystemTime> {
    // SAFETY: all-zero is a valid `tm` (integers and a pointer that nobody reads).
    let mut tm: libc::tm = unsafe { std::mem::zeroed() };
    (tm.tm_year, tm.tm_mon, tm.tm_mday) = (civil.year - 1900, civil.month - 1, civil.day);
    (tm.tm_hour, tm.tm_min, tm.tm_sec) = (civil.hour, civil.minute, civil.second);
    // Whether it is summer time is for the C library to find out.
    tm.tm_isdst = -1;
    // SAFETY: the pointer is to a live variable. The C library reads the environment for TZ here; no part of the
    // daemon changes the environment after the start.
    let seconds = unsafe {
        match zone {
            Zone::Local => libc::mktime(&raw mut tm),
            Zone::Utc => libc::timegm(&raw mut tm),
        }
    };
    Some(UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).ok()?))
}

/// Local time as `2026-11-24 09:00:13`.
pub(crate) fn second(at: SystemTime) -> String {
    let Civil { year, month, day, hour, minute, second } = civil(at, Zone::Local);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
}

/// Local time as RFC 3339 has it, with microseconds: `2026-11-24T09:00:13.742878+01:00`.
pub(crate) fn rfc3339(at: SystemTime) -> String {
    let (local, since) = local(at);
    let (sign, minutes) =
        if local.tm_gmtoff < 0 { ('-', -local.tm_gmtoff / 60) } else { ('+', local.tm_gmtoff / 60) };
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}{sign}{:02}:{:02}",
        local.tm_year + 1900,
        local.tm_mon + 1,
        local.tm_mday,
        local.tm_hour,
        local.tm_min,
        local.tm_sec,
        since.subsec_micros(),
        minutes / 60,
        minutes % 60
    )
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
    broken_down(at, Zone::Local)
}

fn broken_down(at: SystemTime, zone: Zone) -> (libc::tm, Duration) {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    // The C library's time_t, whose name libc deprecates for musl until its width has changed there.
    let seconds = since.as_secs().try_into().unwrap_or_default();
    // SAFETY: all-zero is a valid `tm` (integers and a pointer that nobody reads).
    let mut local: libc::tm = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to live variables. The C library reads the environment for TZ here; no part of the
    // daemon changes the environment after the start.
    unsafe {
        match zone {
            Zone::Local => libc::localtime_r(&raw const seconds, &raw mut local),
            Zone::Utc => libc::gmtime_r(&raw const seconds, &raw mut local),
        }
    };
    (local, since)
}

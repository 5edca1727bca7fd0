//! Times as people write them: `1h`, `03:12`, `2026-11-24 03:12:44`.

use std::time::{Duration, SystemTime};

use crate::logging::clock::{Civil, Zone, civil, moment};

/// A time that is over: a span before `now`, a time of day (the latest one that has been), or a date with one.
///
/// # Errors
/// A sentence that says what would be understood.
pub fn past(text: &str, now: SystemTime) -> Result<SystemTime, String> {
    let text = text.trim();
    if let Ok(span) = humantime::parse_duration(text) {
        return Ok(now.checked_sub(span).unwrap_or(SystemTime::UNIX_EPOCH));
    }
    let found = match text.split_once([' ', 'T']) {
        Some((date, time)) => day(date).zip(time_of_day(time)).map(|(date, time)| at(date, time)),
        None => match (day(text), time_of_day(text)) {
            (Some(date), _) => Some(at(date, (0, 0, 0))),
            (None, Some(time)) => Some(latest(time, now)),
            (None, None) => None,
        },
    };
    found.flatten().ok_or_else(|| {
        format!("'{text}' is no time: write 30m, 1h or 2days for that long ago, 03:12 or 03:12:44, or 2026-11-24 03:12")
    })
}

type Day = (i32, i32, i32);
type Clock = (i32, i32, i32);

fn at((year, month, day): Day, (hour, minute, second): Clock) -> Option<SystemTime> {
    moment(Civil { year, month, day, hour, minute, second }, Zone::Local)
}

/// The latest time of this name.
fn latest(time: Clock, now: SystemTime) -> Option<SystemTime> {
    let today = |of: SystemTime| {
        let Civil { year, month, day, .. } = civil(of, Zone::Local);
        at((year, month, day), time)
    };
    let found = today(now)?;
    if found <= now { Some(found) } else { today(now.checked_sub(Duration::from_secs(24 * 3600))?) }
}

fn day(text: &str) -> Option<Day> {
    let [year, month, day] = numbers(text, '-')?;
    let real = (1970..=9999).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day);
    real.then_some((year, month, day))
}

fn time_of_day(text: &str) -> Option<Clock> {
    let whole = text.split(['.', '+', 'Z']).next().unwrap_or(text);
    let [hour, minute, second] = numbers(whole, ':').or_else(|| {
        let [hour, minute] = numbers(whole, ':')?;
        Some([hour, minute, 0])
    })?;
    let real = (0..24).contains(&hour) && (0..60).contains(&minute) && (0..=60).contains(&second);
    real.then_some((hour, minute, second))
}

fn numbers<const N: usize>(text: &str, by: char) -> Option<[i32; N]> {
    let parts: Vec<i32> = text
        .split(by)
        .map(|part| part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse().ok()).flatten())
        .collect::<Option<_>>()?;
    parts.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str, now: SystemTime) -> Option<String> {
        past(text, now).ok().map(crate::logging::clock::second)
    }

    #[test]
    fn times_as_people_write_them() {
        let now =
            moment(Civil { year: 2026, month: 11, day: 24, hour: 9, minute: 30, second: 0 }, Zone::Local)
                .expect("a time");
        let is = |text: &str, time: &str| assert_eq!(said(text, now).as_deref(), Some(time), "{text}");
        is("1h", "2026-11-24 08:30:00");
        is("2days", "2026-11-22 09:30:00");
        is("03:12", "2026-11-24 03:12:00");
        is("03:12:44", "2026-11-24 03:12:44");
        is("23:59", "2026-11-23 23:59:00");
        is("2026-11-20 03:12", "2026-11-20 03:12:00");
        is("2026-11-20T03:12:44.123456+01:00", "2026-11-20 03:12:44");
        is("2026-11-20", "2026-11-20 00:00:00");
        for bad in ["", "soon", "25:00", "3:99", "2026-13-01", "-1h", "99999999999999999999", "+5:00"] {
            assert!(past(bad, now).is_err(), "{bad}");
        }
    }
}

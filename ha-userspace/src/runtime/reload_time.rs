//! `reload_time_file`: a file that says when the configuration is to be read again.
//!
//! A thread of its own follows the file, because a disk can hang, and sends SIGHUP to the daemon when the time has
//! come. The timer is one of the wall clock: it follows a clock that is set. Formats and rules are those of
//! keepalived.conf(5); texts that 2.2.7 refuses are refused here.

use std::convert::Infallible;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use nix::sys::signal::{Signal, kill};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use nix::unistd::Pid;

use crate::config::model::Reload;
use crate::logging::clock::{self, Civil, Zone};
use crate::worker::{Inbox, Worker};

/// No time is longer than this, whatever the file is.
const LONGEST: u64 = 64;

/// Follows one file. Dropping it ends that, without waiting: the thread may hang in reading the file.
#[derive(Debug)]
pub(super) struct ReloadTime(#[expect(dead_code, reason = "only the end is told")] Worker<Infallible>);

impl ReloadTime {
    /// Follows the file that the configuration names, if it names one. What goes wrong is logged.
    ///
    /// To be called at start and at every reload: a directory that was not there is looked for again.
    pub(super) fn follow(reload: &Reload) -> Option<Self> {
        let path = reload.time_file.clone()?;
        let repeat = reload.repeat;
        let name = path.display().to_string();
        Follower::new(path, repeat)
            .and_then(|follower| Worker::start_polling("xvrrp-reload", |end| follower.run(&end)))
            .map(Self)
            .map_err(|error| tracing::error!("reload_time_file {name}: {error}; no reload is scheduled"))
            .ok()
    }
}

/// The thread's own.
struct Follower {
    path: PathBuf,
    repeat: bool,
    inotify: Inotify,
    timer: TimerFd,
    due: Option<SystemTime>,
}

impl Follower {
    fn new(path: PathBuf, repeat: bool) -> io::Result<Self> {
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
        let directory = path.parent().filter(|parent| *parent != OsStr::new("")).unwrap_or(Path::new("/"));
        let changes = AddWatchFlags::IN_CLOSE_WRITE
            | AddWatchFlags::IN_MOVED_TO
            | AddWatchFlags::IN_MOVED_FROM
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_DELETE_SELF
            | AddWatchFlags::IN_MOVE_SELF
            | AddWatchFlags::IN_ONLYDIR;
        inotify.add_watch(directory, changes).map_err(|errno| {
            io::Error::new(
                io::Error::from(errno).kind(),
                format!("{} cannot be watched: {errno}", directory.display()),
            )
        })?;
        let timer =
            TimerFd::new(ClockId::CLOCK_REALTIME, TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC)?;
        Ok(Self { path, repeat, inotify, timer, due: None })
    }

    /// `end` becomes readable when it is told to end.
    fn run(mut self, end: &Inbox<Infallible>) {
        self.look();
        loop {
            let fds = [self.inotify.as_fd(), self.timer.as_fd(), end.as_fd()];
            let mut fds = fds.map(|fd| PollFd::new(fd, PollFlags::POLLIN));
            match poll(&mut fds, PollTimeout::NONE) {
                Ok(_) => {}
                Err(Errno::EINTR) => continue,
                Err(error) => return tracing::error!("reload_time_file is not followed any more: {error}"),
            }
            let [changed, expired, stopped] = fds.map(|fd| fd.any() == Some(true));
            if stopped {
                return;
            }
            if changed {
                match self.read_events() {
                    Some(true) => self.look(),
                    Some(false) => {}
                    None => {
                        tracing::warn!(
                            "the directory of reload_time_file {} is gone: no reload is scheduled before the next one \
                             that is asked for",
                            self.path.display()
                        );
                        return;
                    }
                }
            }
            if expired {
                self.expire();
            }
        }
    }

    /// Whether the file may have changed; `None` where the directory has gone.
    fn read_events(&self) -> Option<bool> {
        let mut changed = false;
        while let Ok(events) = self.inotify.read_events() {
            let gone =
                AddWatchFlags::IN_IGNORED | AddWatchFlags::IN_DELETE_SELF | AddWatchFlags::IN_MOVE_SELF;
            if events.iter().any(|event| event.mask.intersects(gone)) {
                return None;
            }
            changed |= events.iter().any(|event| {
                event.name.as_deref() == self.path.file_name()
                    || event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW)
            });
        }
        Some(changed)
    }

    /// Reads the file and sets the timer.
    fn look(&mut self) {
        let now = SystemTime::now();
        let name = self.path.display();
        let due = match first_line(&self.path) {
            Ok(line) => match parse(&line).and_then(|written| due(&written, now)) {
                Ok(due) => Some(due),
                Err(refusal) => {
                    tracing::warn!("reload_time_file {name}: `{}` {refusal}", line.escape_debug());
                    None
                }
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                tracing::warn!("reload_time_file {name} cannot be read: {error}");
                None
            }
        };
        if due != self.due {
            match (due, self.due) {
                (Some(due), _) => tracing::info!("a reload is scheduled for {}", clock::second(due)),
                (None, Some(before)) => {
                    tracing::info!("the reload scheduled for {} is cancelled", clock::second(before));
                }
                (None, None) => {}
            }
        }
        self.arm(due);
    }

    fn arm(&mut self, due: Option<SystemTime>) {
        self.due = due;
        let armed = match due {
            Some(due) => {
                let since = due.duration_since(UNIX_EPOCH).unwrap_or_default();
                let at = TimeSpec::from_duration(since.max(Duration::from_nanos(1)));
                self.timer.set(Expiration::OneShot(at), TimerSetTimeFlags::TFD_TIMER_ABSTIME)
            }
            None => self.timer.unset(),
        };
        if let Err(error) = armed {
            tracing::error!("no reload is scheduled: {error}");
        }
    }

    /// The time has come.
    fn expire(&mut self) {
        // A look at the file may have armed it anew meanwhile.
        if self.due.take_if(|due| *due <= SystemTime::now()).is_none() {
            return;
        }
        let _ = self.timer.wait();
        if !self.repeat
            && let Err(error) = std::fs::remove_file(&self.path)
        {
            tracing::error!("reload_time_file {} cannot be removed: {error}", self.path.display());
        }
        tracing::info!("the time of {} has come: reloading", self.path.display());
        // The reload reads the file again, where it is still there.
        let _ = kill(Pid::this(), Signal::SIGHUP);
    }
}

fn first_line(path: &Path) -> io::Result<String> {
    let file = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no ordinary file"));
    }
    let mut content = Vec::new();
    file.take(LONGEST).read_to_end(&mut content)?;
    let line = content.split(|byte| *byte == b'\n').next().unwrap_or_default();
    Ok(String::from_utf8_lossy(line).into_owned())
}

/// What the file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Written {
    /// Year, month and day; today or tomorrow where absent.
    date: Option<[i32; 3]>,
    /// Hour, minute and second.
    time: [i32; 3],
    zone: Zone,
}

/// Why a text is no time of a reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum Refusal {
    #[error(
        "is none of HH:MM:SS, YY-MM-DD HH:MM:SS and YYYY-MM-DD HH:MM:SS, each with or without a Z at the end; no reload is scheduled"
    )]
    Format,
    #[error("does not exist; no reload is scheduled")]
    NoSuchTime,
    #[error("is in the past; no reload is scheduled")]
    Past,
}

/// `[[YY]YY-MM-DD ]HH:MM:SS[Z]`, exactly.
fn parse(line: &str) -> Result<Written, Refusal> {
    let (text, zone) = line.strip_suffix('Z').map_or((line, Zone::Local), |text| (text, Zone::Utc));
    let (date, time) = match text.split_once(' ') {
        Some((date, time)) => (Some(date), time),
        None => (None, text),
    };
    let date = match date {
        Some(text) => {
            let short = text.len() == 8;
            let [year, month, day] = numbers(text, '-', [if short { 2 } else { 4 }, 2, 2])?;
            Some([if short { 2000 + year } else { year }, month, day])
        }
        None => None,
    };
    Ok(Written { date, time: numbers(time, ':', [2, 2, 2])?, zone })
}

/// Three numbers of so many digits each.
fn numbers(text: &str, between: char, digits: [usize; 3]) -> Result<[i32; 3], Refusal> {
    let mut parts = text.split(between);
    let mut found = [0; 3];
    for (number, digits) in found.iter_mut().zip(digits) {
        let part = parts.next().unwrap_or_default();
        if part.len() != digits || !part.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(Refusal::Format);
        }
        *number = part.parse().map_err(|_| Refusal::Format)?;
    }
    if parts.next().is_some() { Err(Refusal::Format) } else { Ok(found) }
}

/// When that is. Without a date it is the next time that the clock says so.
fn due(written: &Written, now: SystemTime) -> Result<SystemTime, Refusal> {
    let [hour, minute, second] = written.time;
    let at = |[year, month, day]: [i32; 3]| Civil { year, month, day, hour, minute, second };
    if hour > 23 || minute > 59 || second > 59 {
        return Err(Refusal::NoSuchTime);
    }
    if let Some(date) = written.date {
        let due = clock::moment(at(date), written.zone).ok_or(Refusal::NoSuchTime)?;
        // Neither the thirtieth of February nor the hour that is left out in spring.
        return match clock::civil(due, written.zone) == at(date) {
            false => Err(Refusal::NoSuchTime),
            true if due <= now => Err(Refusal::Past),
            true => Ok(due),
        };
    }
    let Civil { year, month, day, .. } = clock::civil(now, written.zone);
    let mut days = (0..2).filter_map(|later| clock::moment(at([year, month, day + later]), written.zone));
    days.find(|due| *due > now).ok_or(Refusal::NoSuchTime)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-24 12:00:00 UTC.
    fn noon() -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_795_521_600)
    }

    fn after(line: &str) -> Result<i64, Refusal> {
        let due = due(&parse(line)?, noon())?;
        Ok(i64::try_from(due.duration_since(noon()).expect("later").as_secs()).expect("small"))
    }

    #[test]
    fn the_three_formats() {
        assert_eq!(after("12:00:01Z"), Ok(1));
        // Now is too late for today.
        assert_eq!(after("12:00:00Z"), Ok(86_400));
        assert_eq!(after("11:59:59Z"), Ok(86_399));
        assert_eq!(after("26-11-24 12:00:10Z"), Ok(10));
        assert_eq!(after("2026-11-25 00:00:00Z"), Ok(43_200));
        assert_eq!(after("2026-12-01 12:00:00Z"), Ok(7 * 86_400));
        assert_eq!(after("2028-02-29 12:00:00Z"), Ok(462 * 86_400));
    }

    #[test]
    fn local_time_has_no_z() {
        let local = clock::civil(noon() + Duration::from_secs(90), Zone::Local);
        let line = format!("{:02}:{:02}:{:02}", local.hour, local.minute, local.second);
        assert_eq!(after(&line), Ok(90));
    }

    #[test]
    fn what_keepalived_refuses_is_refused() {
        for line in [
            "",
            "12:00",
            " 12:00:00",
            "12:00:00 ",
            "12:00:00z",
            "12:00:00ZZ",
            "1:00:00",
            "20-1-1 12:00:00Z",
            "2026-11-25  12:00:00",
            "2026/11/25 12:00:00",
            "026-11-25 12:00:00",
            "+2:00:00",
            "12:00:00:00",
        ] {
            assert_eq!(after(line), Err(Refusal::Format), "{line}");
        }
        for line in ["12:61:00", "24:00:00", "12:00:60Z", "2026-02-30 12:00:00Z", "2026-13-01 12:00:00"] {
            assert_eq!(after(line), Err(Refusal::NoSuchTime), "{line}");
        }
        assert_eq!(after("2020-01-01 12:00:00Z"), Err(Refusal::Past));
        assert_eq!(after("2026-11-24 12:00:00Z"), Err(Refusal::Past));
    }
}

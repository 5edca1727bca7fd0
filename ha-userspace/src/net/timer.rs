//! One absolute timer on `CLOCK_MONOTONIC` for the runtime's next deadline.
//!
//! tokio's own timers round to a millisecond; deadlines here are in nanoseconds (timerfd_create(2)).

use std::io;

use ha_common::time::Time;
use nix::errno::Errno;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use tokio::io::unix::AsyncFd;

use super::clock;
use crate::descriptor::{Owned, watch_readable};

/// A timer that is armed for at most one point in time.
#[derive(Debug)]
pub struct Timer {
    fd: AsyncFd<Owned<TimerFd>>,
    armed: Option<Time>,
}

impl Timer {
    /// A timer that is not armed. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// No file descriptor left, or no runtime.
    pub fn new() -> io::Result<Self> {
        let fd = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC)?;
        Ok(Self { fd: watch_readable(fd)?, armed: None })
    }

    /// Arms the timer for `deadline`, or disarms it for `None` and [`Time::NEVER`].
    ///
    /// A deadline in the past fires at once. Nothing is asked of the kernel where the deadline did not change.
    ///
    /// # Errors
    /// None in practice; the kernel's answer is passed on.
    pub fn arm(&mut self, deadline: Option<Time>) -> io::Result<()> {
        let deadline = deadline.filter(|&deadline| deadline != Time::NEVER);
        if deadline == self.armed {
            return Ok(());
        }
        match deadline {
            // A zero timespec would disarm the timer instead of firing it.
            Some(deadline) => self.fd.get_ref().set(
                Expiration::OneShot(clock::to_timespec(deadline.max(Time(1)))),
                TimerSetTimeFlags::TFD_TIMER_ABSTIME,
            )?,
            None => self.fd.get_ref().unset()?,
        }
        self.armed = deadline;
        Ok(())
    }

    /// What the timer is armed for.
    #[must_use]
    pub fn armed(&self) -> Option<Time> {
        self.armed
    }

    /// Waits until the deadline has passed, then the timer is disarmed. Never returns while it is not armed.
    ///
    /// Cancel-safe: an expiry that nobody waited for is returned by the next call, unless [`Timer::arm`] set
    /// another deadline in between.
    ///
    /// # Errors
    /// None in practice; the kernel's answer is passed on.
    pub async fn expired(&mut self) -> io::Result<()> {
        loop {
            let mut guard = self.fd.readable().await?;
            let mut count = [0_u8; 8];
            match nix::unistd::read(&**guard.get_inner(), &mut count) {
                Ok(_) => {
                    // Spares the next call a read that finds nothing.
                    guard.clear_ready();
                    self.armed = None;
                    return Ok(());
                }
                Err(Errno::EAGAIN) => guard.clear_ready(),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

#[cfg(test)]
mod tests;

//! Descriptors in an event loop: waiting until there is something to read.
//!
//! tokio keeps the number of a descriptor and nothing that keeps it open. Which things can be trusted to do that is said
//! here, and for what aya makes in `xdp`.

#![expect(
    unsafe_code,
    reason = "tokio cannot know that a descriptor stays open; here it is known for each type"
)]

use std::fmt;
use std::io;
use std::ops::{Deref, DerefMut};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;

use nix::sys::eventfd::EventFd;
use nix::sys::inotify::Inotify;
use nix::sys::timerfd::TimerFd;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Something that keeps a descriptor open.
///
/// # Safety
///
/// [`Owner::descriptor`] returns the same number each time; the descriptor is open, means the same open file, and is
/// closed by nothing but the end of the value.
pub(crate) unsafe trait Owner {
    /// The descriptor.
    fn descriptor(&self) -> RawFd;
}

// SAFETY: it is what owning a descriptor means.
unsafe impl Owner for OwnedFd {
    fn descriptor(&self) -> RawFd {
        self.as_raw_fd()
    }
}

// SAFETY: it has an `OwnedFd`, which nothing replaces.
unsafe impl Owner for socket2::Socket {
    fn descriptor(&self) -> RawFd {
        self.as_raw_fd()
    }
}

// SAFETY: it opens a socket once and closes it when it is dropped.
unsafe impl Owner for netlink_sys::Socket {
    fn descriptor(&self) -> RawFd {
        self.as_raw_fd()
    }
}

// SAFETY: it has an `OwnedFd`, which nothing replaces.
unsafe impl Owner for TimerFd {
    fn descriptor(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

// SAFETY: it has an `OwnedFd`, which nothing replaces.
unsafe impl Owner for Inotify {
    fn descriptor(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

// SAFETY: it has an `OwnedFd`, which nothing replaces and nobody takes while it is shared.
unsafe impl Owner for Arc<EventFd> {
    fn descriptor(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

/// What is watched, in the shape that tokio wants.
pub(crate) struct Owned<T>(T);

/// Watches for readability. Must be called inside a tokio runtime.
///
/// # Errors
/// No runtime, or a descriptor that cannot be waited for.
pub(crate) fn watch_readable<T: Owner>(owner: T) -> io::Result<AsyncFd<Owned<T>>> {
    // SAFETY: the result owns the owner, which keeps the descriptor open and always returns the same one.
    Ok(unsafe { AsyncFd::register_with_interest(Owned(owner), Interest::READABLE) }?)
}

impl<T: Owner> AsRawFd for Owned<T> {
    fn as_raw_fd(&self) -> RawFd {
        self.0.descriptor()
    }
}

impl<T> Deref for Owned<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for Owned<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl<T: Owner> fmt::Debug for Owned<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "descriptor {}", self.0.descriptor())
    }
}

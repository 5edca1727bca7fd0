//! Registers the descriptors of BPF ring buffers with tokio.

use std::io;
use std::os::fd::AsRawFd;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Something that owns the descriptor which `as_raw_fd` returns, always the same, for as long as it lives.
pub(super) trait OwnsDescriptor: AsRawFd {}

impl<T> OwnsDescriptor for aya_log::EbpfLogger<T> {}

/// Watches for readability. Must be called inside a tokio runtime.
#[expect(unsafe_code, reason = "tokio cannot know that the descriptor stays open")]
pub(super) fn watch<T: OwnsDescriptor>(owner: T) -> io::Result<AsyncFd<T>> {
    // SAFETY: the descriptor lives as long as its owner, which the result owns.
    unsafe { AsyncFd::register_with_interest(owner, Interest::READABLE) }.map_err(Into::into)
}

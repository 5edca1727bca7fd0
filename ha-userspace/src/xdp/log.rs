//! The XDP program's own messages (`xvrrp run --bpf-log`), forwarded to the `log` crate.

use std::io;

use aya_log::EbpfLogger;
use log::Log;
use tokio::io::unix::AsyncFd;

use crate::descriptor::{Owned, watch_readable};

/// The reading end of the program's messages.
pub struct BpfLog(AsyncFd<Owned<EbpfLogger<&'static dyn Log>>>);

impl std::fmt::Debug for BpfLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("BpfLog")
    }
}

impl BpfLog {
    pub(super) fn new(logger: EbpfLogger<&'static dyn Log>) -> io::Result<Self> {
        watch_readable(logger).map(Self)
    }

    /// Forwards messages for as long as it is polled.
    ///
    /// # Errors
    ///
    /// What tokio's reactor says; it does not recover.
    pub async fn forward(mut self) -> io::Result<std::convert::Infallible> {
        loop {
            let mut guard = self.0.readable_mut().await?;
            guard.clear_ready();
            guard.get_inner_mut().flush();
        }
    }
}

//! What interface numbers and times of one run mean to another: the boot and the network namespace.

use std::os::unix::fs::MetadataExt;

use serde::{Deserialize, Serialize};

/// A boot of a kernel, and a network namespace of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The kernel's id of the boot; empty where it cannot be read.
    pub boot: String,
    /// Inode of the network namespace; zero where it cannot be read.
    pub namespace: u64,
}

impl Place {
    /// Where this process is.
    #[must_use]
    pub fn here() -> Self {
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let namespace = std::fs::metadata("/proc/thread-self/ns/net").map_or(0, |meta| meta.ino());
        Self { boot: boot.trim().to_owned(), namespace }
    }

    /// Whether it tells anything from anything.
    #[must_use]
    pub fn is_known(&self) -> bool {
        !self.boot.is_empty() && self.namespace != 0
    }
}

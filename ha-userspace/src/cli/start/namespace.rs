//! Enters the network namespace that the command line or `net_namespace` names.
//!
//! Called once, before any thread is started and any socket is opened: threads and descriptors keep the namespace that
//! they were born in. Only the network changes; files, `/run` and the BPF file system are those of the host.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sched::{CloneFlags, setns};

/// Where `ip netns` (ip-netns(8)) keeps its namespaces.
const DIRECTORY: &str = "/run/netns";

/// Why a namespace cannot be entered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NamespaceError {
    /// A name that would lead out of the directory.
    #[error("network namespace '{0}': a name is no path; `ip netns list` shows the names")]
    Name(String),
    /// There is none.
    #[error("network namespace '{name}': {}: {source}; `ip netns add {name}` makes it", path.display())]
    Missing {
        /// Its name.
        name: String,
        /// What could not be opened.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The kernel refuses.
    #[error("network namespace '{name}' cannot be entered: {source}; this needs root or CAP_SYS_ADMIN")]
    Refused {
        /// Its name.
        name: String,
        /// Why.
        source: Errno,
    },
}

/// Moves the calling thread, and the threads and processes that it will start, into the namespace `name`.
///
/// # Errors
/// See [`NamespaceError`]; the thread then stays where it was.
pub(crate) fn enter(name: &str) -> Result<(), NamespaceError> {
    if name.is_empty() || name.contains('/') || name.starts_with('.') {
        return Err(NamespaceError::Name(name.to_owned()));
    }
    let path = Path::new(DIRECTORY).join(name);
    let file = File::open(&path).map_err(|source| NamespaceError::Missing {
        name: name.to_owned(),
        path: path.clone(),
        source,
    })?;
    setns(file.as_fd(), CloneFlags::CLONE_NEWNET)
        .map_err(|source| NamespaceError::Refused { name: name.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_the_namespace_and_the_next_step() {
        let text = enter("no-such-namespace").expect_err("there is none").to_string();
        assert!(text.contains("/run/netns/no-such-namespace") && text.contains("ip netns add"), "{text}");
        for name in ["", "..", "../../proc/1/ns/net", ".hidden"] {
            assert!(matches!(enter(name), Err(NamespaceError::Name(_))), "{name}");
        }
    }
}

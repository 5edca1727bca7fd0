//! Whether a path leads where only root can have made it lead.
//!
//! The daemon runs as root and makes, reads and removes files below a run directory and a BPF file system. Whoever can
//! put a link or a directory of his own in the way makes it do that elsewhere. So every component is looked at before
//! anything is done there, those that links lead through as well: it belongs to root (or to the user that the daemon
//! runs as), and nobody else can put another thing in its place. What was found stays true, because only they can
//! change it; a directory that all can write is in order with the sticky bit, which lets nobody touch what is another's.
//!
//! What may be run as a script is [`crate::program::security`]'s question.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use nix::unistd::Uid;

/// The kernel's own limit for symbolic links in one path (path_resolution(7)).
const MAX_LINKS: u32 = 40;
/// Nobody but the owner of a directory, of a file in it or root renames or removes that file.
const STICKY: u32 = 0o1000;

/// Why a path is not used.
#[derive(Debug, thiserror::Error)]
pub enum Distrust {
    /// Somebody else could make it lead elsewhere.
    #[error(
        "{} {what} (owner {uid}, mode {mode:04o}), so that {} can lead anywhere; remove it, or give it to root alone: \
         chown -h root:root {0} && chmod go-w {0}",
        component.display(), path.display()
    )]
    Foreign {
        /// The path.
        path: PathBuf,
        /// What others can change.
        component: PathBuf,
        /// What is wrong with it.
        what: &'static str,
        /// Its owner.
        uid: u32,
        /// Its permission bits.
        mode: u32,
    },
    /// A link where a directory of ours should be, or something else that is none.
    #[error("{} is not a directory; something else is in its place: remove it", path.display())]
    NoDirectory {
        /// The path.
        path: PathBuf,
    },
    /// It cannot be looked at.
    #[error("{}: {source}", component.display())]
    Io {
        /// The component that failed.
        component: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Looks at every component of `path` (made absolute) that exists, links included: nobody but root and the user that
/// this process runs as can make another of it.
///
/// # Errors
/// The first component that is not in order.
pub fn way(path: &Path) -> Result<(), Distrust> {
    let failed = |component: &Path| {
        let component = component.to_owned();
        move |source| Distrust::Io { component, source }
    };
    let absolute = std::path::absolute(path).map_err(failed(path))?;
    let mut todo = names(&absolute);
    let mut here = PathBuf::from("/");
    let mut links = 0;
    in_order(path, &here, &std::fs::symlink_metadata(&here).map_err(failed(&here))?)?;
    while let Some(name) = todo.pop_front() {
        if name == ".." {
            here.pop();
            continue;
        }
        let next = here.join(&name);
        let meta = match std::fs::symlink_metadata(&next) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            found => found.map_err(failed(&next))?,
        };
        in_order(path, &next, &meta)?;
        if !meta.file_type().is_symlink() {
            here = next;
            continue;
        }
        links += 1;
        if links > MAX_LINKS {
            return Err(failed(&next)(io::Error::other("too many symbolic links")));
        }
        let target = std::fs::read_link(&next).map_err(failed(&next))?;
        if target.is_absolute() {
            here = PathBuf::from("/");
        }
        for name in names(&target).into_iter().rev() {
            todo.push_front(name);
        }
    }
    Ok(())
}

/// Whether `path` itself is a directory, no link, into which nobody else can put anything; `None` where there is
/// nothing. The way to it has been looked at ([`way`]).
///
/// # Errors
/// It is anything else.
pub fn directory(path: &Path) -> Result<Option<()>, Distrust> {
    let meta = match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        found => found.map_err(|source| Distrust::Io { component: path.to_owned(), source })?,
    };
    in_order(path, path, &meta)?;
    if !meta.is_dir() {
        return Err(Distrust::NoDirectory { path: path.to_owned() });
    }
    if meta.mode() & 0o022 != 0 {
        return Err(foreign(path, path, "can be written by others", &meta));
    }
    Ok(Some(()))
}

/// Whether nobody else can change what a component leads to.
fn in_order(path: &Path, component: &Path, meta: &Metadata) -> Result<(), Distrust> {
    let writable = meta.mode() & 0o002 != 0 || meta.mode() & 0o020 != 0 && meta.gid() != 0;
    if meta.uid() != 0 && meta.uid() != Uid::effective().as_raw() {
        Err(foreign(path, component, "belongs to another user", meta))
    } else if meta.is_dir() && writable && meta.mode() & STICKY == 0 {
        Err(foreign(path, component, "can be written by others", meta))
    } else {
        Ok(())
    }
}

fn foreign(path: &Path, component: &Path, what: &'static str, meta: &Metadata) -> Distrust {
    Distrust::Foreign {
        path: path.to_owned(),
        component: component.to_owned(),
        what,
        uid: meta.uid(),
        mode: meta.mode() & 0o7777,
    }
}

/// The components of a path without `/` and `.`, in order.
pub(crate) fn names(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter_map(|component| match component {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some(OsString::from("..")),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, create_dir, set_permissions};
    use std::os::unix::fs::{PermissionsExt, lchown, symlink};

    use super::*;

    fn mode(path: &Path, mode: u32) {
        set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_directory_that_others_write_needs_the_sticky_bit() {
        let dir = tempfile::tempdir().unwrap();
        let shared = dir.path().join("shared");
        create_dir(&shared).unwrap();
        let below = shared.join("ours/deep");
        mode(&shared, 0o1777);
        way(&below).unwrap();
        mode(&shared, 0o777);
        let text = way(&below).unwrap_err().to_string();
        assert!(text.contains("shared can be written by others") && text.contains("0777"), "{text}");
        mode(&shared, 0o1777);
        assert!(directory(&shared).is_err(), "its own contents would be anybody's");
        assert!(matches!(directory(&below), Ok(None)));
    }

    #[test]
    fn a_link_counts_by_its_owner_and_by_what_it_leads_through() {
        let dir = tempfile::tempdir().unwrap();
        let (real, shared) = (dir.path().join("real"), dir.path().join("shared"));
        create_dir(&real).unwrap();
        create_dir(&shared).unwrap();
        let link = shared.join("link");
        symlink("../real", &link).unwrap();
        way(&link.join("run")).unwrap();
        assert!(matches!(directory(&link), Err(Distrust::NoDirectory { .. })));
        mode(&shared, 0o777);
        let through = dir.path().join("through");
        symlink("shared/link", &through).unwrap();
        assert!(way(&through.join("run")).unwrap_err().to_string().contains("shared can be written"));
        mode(&shared, 0o1777);
        way(&through.join("run")).unwrap();
        // Only root can give a link away.
        if Uid::effective().is_root() {
            lchown(&link, Some(65_534), None).unwrap();
            let text = way(&through.join("run")).unwrap_err().to_string();
            assert!(text.contains("link belongs to another user (owner 65534"), "{text}");
        }
        symlink("round", dir.path().join("round")).unwrap();
        assert!(matches!(way(&dir.path().join("round/x")), Err(Distrust::Io { .. })));
    }
}

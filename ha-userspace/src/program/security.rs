//! Whether a program may be run: it exists, it is a file that its user can execute, and, where
//! `enable_script_security` asks for it, nobody but root can change what a root-run path leads to.
//!
//! The core walks the path over [`Files`], so tests need no root and no real files. Whoever runs a script repeats the
//! check before **every** run: packages and people replace scripts while the daemon runs. That also closes the gap
//! between check and `execve`: to swap a component in between, one must be able to write a directory that the check
//! has just found to be writable by root alone. Only the program is looked at, not what its arguments name. POSIX ACLs are seen as far as the group bits show their mask.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::trust::names;

/// The kernel's own limit for symbolic links in one path (`path_resolution(7)`).
const MAX_LINKS: u32 = 40;
/// Components of one path that are looked at, links included: `PATH_MAX` holds no more.
const MAX_COMPONENTS: u32 = 4096;

/// What kind of thing a path component is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A directory.
    Directory,
    /// A regular file.
    File,
    /// A symbolic link.
    Link,
    /// A device, FIFO or socket.
    Other,
}

/// The part of `lstat(2)` that matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta {
    /// FileKind of the component.
    pub kind: FileKind,
    /// Permission bits, with the sticky bit (`0o7777`).
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// The file system, as far as the check needs it.
pub trait Files {
    /// `lstat(2)`.
    ///
    /// # Errors
    /// As the system call.
    fn meta(&self, path: &Path) -> io::Result<Meta>;

    /// `readlink(2)`.
    ///
    /// # Errors
    /// As the system call.
    fn link(&self, path: &Path) -> io::Result<PathBuf>;
}

/// The real file system.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealFiles;

impl Files for RealFiles {
    fn meta(&self, path: &Path) -> io::Result<Meta> {
        let meta = std::fs::symlink_metadata(path)?;
        let kind = match meta.file_type() {
            kind if kind.is_dir() => FileKind::Directory,
            kind if kind.is_file() => FileKind::File,
            kind if kind.is_symlink() => FileKind::Link,
            _ => FileKind::Other,
        };
        Ok(Meta { kind, mode: meta.mode() & 0o7777, uid: meta.uid(), gid: meta.gid() })
    }

    fn link(&self, path: &Path) -> io::Result<PathBuf> {
        std::fs::read_link(path)
    }
}

/// Whom a program is to run as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// User name, for messages.
    pub name: String,
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Supplementary groups, the primary one included.
    pub groups: Vec<u32>,
}

impl Identity {
    /// Whether the permission bits let this user execute (or, for a directory, search). Root needs any one bit.
    fn may_execute(&self, meta: Meta) -> bool {
        if self.uid == 0 {
            return meta.kind == FileKind::Directory || meta.mode & 0o111 != 0;
        }
        let bit = if meta.uid == self.uid {
            0o100
        } else if meta.gid == self.gid || self.groups.contains(&meta.gid) {
            0o010
        } else {
            0o001
        };
        meta.mode & bit != 0
    }
}

/// Why a program may not be run. The text names the component, the cause and the command that helps.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The command is empty.
    #[error("no program is given")]
    Empty,
    /// A name without a slash that no directory of `PATH` has.
    #[error("'{name}' is in no directory of PATH ({path}); write its full path")]
    NotInPath {
        /// The name.
        name: String,
        /// What was searched.
        path: String,
    },
    /// A path that is not absolute but has a slash.
    #[error("'{}' is relative to a directory that a daemon does not have; write its full path", path.display())]
    Relative {
        /// The path.
        path: PathBuf,
    },
    /// A component does not exist or cannot be looked at.
    #[error("{} cannot be run: {}: {source}", program.display(), component.display())]
    Unreachable {
        /// What was to be run.
        program: PathBuf,
        /// The component that failed.
        component: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The path goes round in circles.
    #[error("{} cannot be run: too many symbolic links", program.display())]
    TooManyLinks {
        /// What was to be run.
        program: PathBuf,
    },
    /// The path ends at something that is not a file, or goes through something that is not a directory.
    #[error("{} cannot be run: {} is not a {expected}", program.display(), component.display())]
    WrongKind {
        /// What was to be run.
        program: PathBuf,
        /// The component.
        component: PathBuf,
        /// `regular file` or `directory`.
        expected: &'static str,
    },
    /// No permission to execute the file or to search a directory.
    #[error(
        "{} cannot be run by user {user}: {} has mode {mode:04o}; run: chmod {fix} {}",
        program.display(), component.display(), component.display()
    )]
    NotExecutable {
        /// What was to be run.
        program: PathBuf,
        /// The component.
        component: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// Whom it was to run as.
        user: String,
        /// Argument of `chmod` that helps.
        fix: &'static str,
    },
    /// Somebody other than root could change what runs as root.
    #[error(
        "{} is not safe to run as root: {} can be changed by {by} (mode {mode:04o}, owner {uid}, \
         group {gid}); run: {fix} {}",
        program.display(), component.display(), component.display()
    )]
    Unsafe {
        /// What was to be run.
        program: PathBuf,
        /// The component that can be written.
        component: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// Its owner.
        uid: u32,
        /// Its group.
        gid: u32,
        /// Who can change it.
        by: String,
        /// Command that ends this, without the path.
        fix: &'static str,
    },
}

impl Refusal {
    /// Whether this is about safety rather than about a program that is not there.
    #[must_use]
    pub const fn is_security(&self) -> bool {
        matches!(self, Self::Unsafe { .. })
    }
}

/// Finds a program the way `execvp(3)` does: a path with a slash is taken as it is, a plain name is searched for in
/// `path` (a list separated by colons; relative directories in it are ignored).
///
/// # Errors
/// [`Refusal::Empty`], [`Refusal::Relative`] or [`Refusal::NotInPath`].
pub fn find(files: &impl Files, name: &OsStr, path: &str) -> Result<PathBuf, Refusal> {
    if name.is_empty() {
        return Err(Refusal::Empty);
    }
    if Path::new(name).is_absolute() {
        return Ok(PathBuf::from(name));
    }
    if name.as_encoded_bytes().contains(&b'/') {
        return Err(Refusal::Relative { path: PathBuf::from(name) });
    }
    path.split(':')
        .filter(|directory| directory.starts_with('/'))
        .map(|directory| Path::new(directory).join(name))
        .find(|candidate| {
            files.meta(candidate).is_ok_and(|meta| match meta.kind {
                FileKind::Link => true,
                FileKind::File => meta.mode & 0o111 != 0,
                FileKind::Directory | FileKind::Other => false,
            })
        })
        .ok_or_else(|| Refusal::NotInPath {
            name: name.to_string_lossy().into_owned(),
            path: path.to_owned(),
        })
}

/// Checks that `program`, an absolute path, can be run by `user`; with `secure`, that a path run as root is safe.
///
/// Every component is looked at, those that symbolic links lead through as well. A directory that everybody may
/// write but that has the sticky bit is safe as long as what it leads to belongs to root, which is checked next.
///
/// # Errors
/// What is wrong with the first component that is wrong.
pub fn check(files: &impl Files, program: &Path, user: &Identity, secure: bool) -> Result<(), Refusal> {
    if !program.is_absolute() {
        return Err(Refusal::Relative { path: program.to_owned() });
    }
    let mut todo: VecDeque<OsString> = names(program);
    let mut here = PathBuf::from("/");
    let mut links = 0;
    let mut looked_at = 0_u32;
    let unreachable = |component: &Path, source| Refusal::Unreachable {
        program: program.to_owned(),
        component: component.to_owned(),
        source,
    };
    let mut meta = files.meta(&here).map_err(|source| unreachable(&here, source))?;
    loop {
        if secure && user.uid == 0 {
            safe(program, &here, meta)?;
        }
        let Some(name) = todo.pop_front() else { break };
        if meta.kind != FileKind::Directory {
            return Err(Refusal::WrongKind {
                program: program.to_owned(),
                component: here,
                expected: "directory",
            });
        }
        executable(program, &here, meta, user)?;
        looked_at += 1;
        if looked_at > MAX_COMPONENTS {
            return Err(Refusal::TooManyLinks { program: program.to_owned() });
        }
        if name == ".." {
            here.pop();
            meta = files.meta(&here).map_err(|source| unreachable(&here, source))?;
            continue;
        }
        let next = here.join(&name);
        let found = files.meta(&next).map_err(|source| unreachable(&next, source))?;
        if found.kind != FileKind::Link {
            here = next;
            meta = found;
            continue;
        }
        // What a link points to can be changed by its owner in a sticky directory; its mode means nothing.
        if secure && user.uid == 0 {
            safe(program, &next, Meta { mode: 0o755, ..found })?;
        }
        links += 1;
        if links > MAX_LINKS {
            return Err(Refusal::TooManyLinks { program: program.to_owned() });
        }
        let target = files.link(&next).map_err(|source| unreachable(&next, source))?;
        if target.is_absolute() {
            here = PathBuf::from("/");
            meta = files.meta(&here).map_err(|source| unreachable(&here, source))?;
        }
        for name in names(&target).into_iter().rev() {
            todo.push_front(name);
        }
    }
    if meta.kind != FileKind::File {
        return Err(Refusal::WrongKind {
            program: program.to_owned(),
            component: here,
            expected: "regular file",
        });
    }
    executable(program, &here, meta, user)
}

/// May `user` execute (or search) this component?
fn executable(program: &Path, component: &Path, meta: Meta, user: &Identity) -> Result<(), Refusal> {
    if user.may_execute(meta) {
        return Ok(());
    }
    let fix = match (meta.kind, user.uid) {
        (FileKind::Directory, _) => "a+x",
        (_, 0) => "u+x",
        _ => "a+rx",
    };
    Err(Refusal::NotExecutable {
        program: program.to_owned(),
        component: component.to_owned(),
        mode: meta.mode,
        user: user.name.clone(),
        fix,
    })
}

/// Can only root change this component?
fn safe(program: &Path, component: &Path, meta: Meta) -> Result<(), Refusal> {
    let sticky = meta.kind == FileKind::Directory && meta.mode & 0o1000 != 0;
    let (by, fix) = if meta.uid != 0 {
        (format!("its owner, user {}", meta.uid), "chown -h root")
    } else if meta.mode & 0o002 != 0 && !sticky {
        ("everybody".to_owned(), "chmod go-w")
    } else if meta.mode & 0o020 != 0 && meta.gid != 0 && !sticky {
        (format!("its group, {}", meta.gid), "chmod g-w")
    } else {
        return Ok(());
    };
    Err(Refusal::Unsafe {
        program: program.to_owned(),
        component: component.to_owned(),
        mode: meta.mode,
        uid: meta.uid,
        gid: meta.gid,
        by,
        fix,
    })
}

#[cfg(test)]
mod tests;

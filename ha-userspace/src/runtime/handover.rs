//! What a planned restart leaves for the next run: its roles.
//!
//! `restart` in the run directory, written as the last thing that a run does, read once by the next one and removed.
//! It speaks for this boot and this network namespace only, and not for long. What the XDP program knows goes before
//! it ([`ha_common::node`]); where there is no program, it is all that there is. After a crash there is none, and no role
//! to resume without a program: nobody can tell what happened meanwhile.

pub(super) mod figures;

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use ha_common::time::{Span, Time};
use ha_common::types::{Family, Vrid};
use nix::unistd::Uid;
use serde::{Deserialize, Serialize};

use crate::net::clock;
use crate::net::place::Place;
use ha_common::node::LONGEST_WINDOW;

/// Name of the file in the run directory.
const FILE: &str = "restart";
/// Format of the file.
const VERSION: u32 = 1;
/// Some thousands of roles; more is nothing of ours.
const LONGEST: u64 = 1 << 20;

/// A virtual router that was master, and advertised as the file was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Role {
    interface: String,
    /// 4 or 6.
    family: u8,
    vrid: u8,
    /// Priority of its last advert.
    pub(super) priority: u8,
}

impl Role {
    pub(super) fn new(interface: &str, family: Family, vrid: Vrid, priority: u8) -> Self {
        Self { interface: interface.to_owned(), family: number(family), vrid: vrid.get(), priority }
    }
}

const fn number(family: Family) -> u8 {
    match family {
        Family::V4 => 4,
        Family::V6 => 6,
    }
}

/// The contents of the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Handover {
    version: u32,
    place: Place,
    /// When it was written, `CLOCK_BOOTTIME`.
    left_ns: u64,
    roles: Vec<Role>,
}

/// Why a file is not believed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("it is no file of root's own that others cannot change")]
    Unsafe,
    #[error("it is not what xvrrp writes: {0}")]
    Content(#[from] serde_json::Error),
    #[error("its format is {0}, and this program writes {VERSION}")]
    Version(u32),
    #[error("it is of another boot or network namespace")]
    Place,
    #[error("it is {} s old", .0.0 / 1_000_000_000)]
    Age(Span),
    #[error("it is from the future")]
    Future,
}

impl Handover {
    /// To be written now.
    pub(super) fn new(place: Place, roles: Vec<Role>) -> Self {
        Self { version: VERSION, place, left_ns: clock::boottime().0, roles }
    }

    /// Writes the file.
    ///
    /// # Errors
    /// As the system calls. An older file is gone then.
    pub(super) fn write(&self, run_dir: &Path) -> io::Result<()> {
        replace(&run_dir.join(FILE), &serde_json::to_vec(self)?)
    }

    /// What the run before has left, if it was restarted a moment ago. The file is gone afterwards, whatever it was; one
    /// that cannot be believed is one line in the log.
    pub(super) fn take(run_dir: &Path, place: &Place) -> Option<Self> {
        let path = run_dir.join(FILE);
        let taken = read(&path);
        let removed = std::fs::remove_file(&path);
        let believed = taken.and_then(|text| Self::believe(&text, place, clock::boottime()));
        match (believed, removed) {
            (Err(Refusal::Io(error)), _) if error.kind() == io::ErrorKind::NotFound => None,
            // It would be read again.
            (Ok(_), Err(error)) | (Err(Refusal::Io(error)), _) => {
                tracing::warn!("{}: {error}; no role of an earlier run is resumed from it", path.display());
                None
            }
            (Err(refusal), _) => {
                tracing::warn!("{} is ignored: {refusal}", path.display());
                None
            }
            (Ok(handover), Ok(())) => Some(handover),
        }
    }

    fn believe(text: &str, place: &Place, now: Time) -> Result<Self, Refusal> {
        /// What every format begins with.
        #[derive(Deserialize)]
        struct Any {
            version: u32,
        }
        let Any { version } = serde_json::from_str(text)?;
        if version != VERSION {
            return Err(Refusal::Version(version));
        }
        let handover: Self = serde_json::from_str(text)?;
        if handover.place != *place || !place.is_known() {
            return Err(Refusal::Place);
        }
        if handover.left_ns > now.0 {
            return Err(Refusal::Future);
        }
        let age = now.span_since(Time(handover.left_ns));
        if age > LONGEST_WINDOW { Err(Refusal::Age(age)) } else { Ok(handover) }
    }

    /// When it was written, by the clock of everything else.
    pub(super) fn left_at(&self) -> Time {
        let silent = clock::boottime().span_since(Time(self.left_ns));
        Time(clock::now().0.saturating_sub(silent.0))
    }

    /// The virtual routers of an interface.
    pub(super) fn on(&self, interface: &str) -> Vec<(Family, Vrid)> {
        let here = self.roles.iter().filter(|role| role.interface == interface);
        let family = |role: &Role| if role.family == 6 { Family::V6 } else { Family::V4 };
        here.filter_map(|role| Some((family(role), Vrid::new(role.vrid)?))).collect()
    }

    /// What is said of a virtual router.
    pub(super) fn role(&self, interface: &str, family: Family, vrid: Vrid) -> Option<&Role> {
        let wanted = (interface, number(family), vrid.get());
        self.roles.iter().find(|role| (role.interface.as_str(), role.family, role.vrid) == wanted)
    }
}

/// Writes a file in the place of an older one, which is gone if that fails.
fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let new = path.with_added_extension("new");
    for old in [path, &new] {
        match std::fs::remove_file(old) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    let written = file.write_all(content).and_then(|()| std::fs::rename(&new, path));
    if written.is_err() {
        let _ = std::fs::remove_file(&new);
    }
    written
}

/// The text of a file of the run directory, where it is nobody else's.
pub(super) fn read(path: &Path) -> Result<String, Refusal> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_CLOEXEC)
        .open(path)?;
    let meta = file.metadata()?;
    let ours = meta.uid() == 0 || meta.uid() == Uid::effective().as_raw();
    if !meta.is_file() || !ours || meta.mode() & 0o022 != 0 || meta.nlink() != 1 || meta.len() > LONGEST {
        return Err(Refusal::Unsafe);
    }
    let mut text = String::new();
    File::take(file, LONGEST).read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests;

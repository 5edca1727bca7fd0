//! What an operator holds instances to, for as long as it lasts: over reloads in memory, over restarts in a file of the
//! run directory. What a hold does is the node's business ([`ha_common::node::Hold`]).

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ha_common::node::HoldKind;
use serde::{Deserialize, Serialize};

use super::handover::{self, Refusal};

/// Its name.
const FILE: &str = "holds";
/// Longer holds are forgotten holds.
pub(super) const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);

/// A hold on an instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Kept {
    pub(super) instance: String,
    /// [`HoldKind::word`].
    kind: String,
    /// Its end by the wall clock, in seconds since 1970: it goes on while nobody runs.
    until_s: u64,
}

impl Kept {
    pub(super) fn kind(&self) -> Option<HoldKind> {
        kind(&self.kind)
    }

    /// What is left of it.
    pub(super) fn left(&self, now: SystemTime) -> Duration {
        self.until().duration_since(now).unwrap_or_default()
    }

    pub(super) fn until(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(self.until_s)
    }
}

/// The kind of this word.
pub(super) fn kind(word: &str) -> Option<HoldKind> {
    [HoldKind::Resigned, HoldKind::Preferred, HoldKind::Frozen].into_iter().find(|kind| kind.word() == word)
}

/// All holds, and their file.
#[derive(Debug)]
pub(super) struct Holds {
    path: PathBuf,
    kept: Vec<Kept>,
}

impl Holds {
    /// Those of the run before that are not over. A file that cannot be read is one line in the log.
    pub(super) fn open(run_dir: &Path, now: SystemTime) -> Self {
        let path = run_dir.join(FILE);
        let kept = match kept(&path) {
            Ok(kept) => kept,
            Err(Refusal::Io(error)) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(refusal) => {
                tracing::warn!("{}: {refusal}; nothing is held", path.display());
                Vec::new()
            }
        };
        let mut holds = Self { path, kept };
        holds.kept.retain(|kept| kept.kind().is_some() && !kept.left(now).is_zero());
        holds
    }

    /// The hold on an instance.
    pub(super) fn of(&self, instance: &str) -> Option<&Kept> {
        self.kept.iter().find(|kept| kept.instance == instance)
    }

    /// Takes a hold on, in the place of an earlier one; it is no longer than [`LONGEST`].
    pub(super) fn put(&mut self, instance: &str, kind: HoldKind, length: Duration, now: SystemTime) {
        self.kept.retain(|kept| kept.instance != instance);
        let until = now + length.min(LONGEST);
        let until_s = until.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        self.kept.push(Kept { instance: instance.to_owned(), kind: kind.word().to_owned(), until_s });
        self.write();
    }

    /// Lets an instance go. Whether it was held.
    pub(super) fn remove(&mut self, instance: &str) -> bool {
        let before = self.kept.len();
        self.kept.retain(|kept| kept.instance != instance);
        let held = self.kept.len() < before;
        if held {
            self.write();
        }
        held
    }

    /// What cannot be written holds as long as this run.
    fn write(&self) {
        let new = self.path.with_added_extension("new");
        let written = if self.kept.is_empty() {
            fs::remove_file(&self.path)
        } else {
            let _ = fs::remove_file(&new);
            let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new);
            file.and_then(|mut file| file.write_all(&serde_json::to_vec(&self.kept)?))
                .and_then(|()| fs::rename(&new, &self.path))
        };
        match written {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!("{}: {error}; holds end with this run of the daemon", self.path.display());
            }
            Ok(()) | Err(_) => {}
        }
    }
}

fn kept(path: &Path) -> Result<Vec<Kept>, Refusal> {
    Ok(serde_json::from_str(&handover::read(path)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn holds_outlive_the_daemon_but_not_their_time() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut holds = Holds::open(directory.path(), at(1000));
        holds.put("VI_1", HoldKind::Resigned, Duration::from_secs(60), at(1000));
        holds.put("VI_2", HoldKind::Frozen, Duration::from_secs(600), at(1000));
        holds.put("VI_1", HoldKind::Preferred, Duration::from_secs(30), at(1010));
        let again = |now| Holds::open(directory.path(), at(now));
        let preferred = again(1020);
        let kept = preferred.of("VI_1").expect("held");
        assert_eq!((kept.kind(), kept.left(at(1020))), (Some(HoldKind::Preferred), Duration::from_secs(20)));
        assert!(again(1040).of("VI_1").is_none());
        assert!(again(1040).of("VI_2").is_some());
        assert!(holds.remove("VI_2"));
        assert!(!holds.remove("VI_2"));
        assert!(again(1011).of("VI_2").is_none());
        holds.put("VI_3", HoldKind::Frozen, Duration::MAX, at(1000));
        assert_eq!(holds.of("VI_3").map(|kept| kept.left(at(1000))), Some(LONGEST));
    }

    #[test]
    fn a_file_of_somebody_else_holds_nothing() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join(FILE);
        for text in ["", "[]x", "{}", "[{\"instance\":\"VI_1\",\"kind\":\"gone\",\"until_s\":9999999999}]"] {
            fs::write(&path, text).expect("written");
            assert!(Holds::open(directory.path(), at(0)).kept.is_empty(), "{text}");
        }
        fs::remove_file(&path).expect("removed");
        std::os::unix::fs::symlink("/etc/passwd", &path).expect("a link");
        assert!(Holds::open(directory.path(), at(0)).kept.is_empty());
    }
}

//! Kernel parameters of the network, below /proc/sys/net.

use std::io;
use std::path::{Path, PathBuf};

const ROOT: &str = "/proc/sys/net";

/// Name of the file of [`Changed`] in the run directory.
pub const FILE: &str = "sysctls";

/// The value of a parameter, such as `ipv4/conf/eth0/rp_filter`.
///
/// # Errors
/// It does not exist, or may not be read.
pub fn read(path: &Path) -> io::Result<String> {
    Ok(std::fs::read_to_string(Path::new(ROOT).join(path))?.trim().to_owned())
}

/// Sets a parameter.
///
/// # Errors
/// It does not exist, or may not be written.
pub fn write(path: &Path, value: &str) -> io::Result<()> {
    std::fs::write(Path::new(ROOT).join(path), value)
}

/// Parameters of interfaces that were changed, and what they were before.
///
/// Kept in a file as well, because a killed daemon restores nothing: the next run does.
#[derive(Debug, Default)]
pub struct Changed {
    file: Option<PathBuf>,
    before: Vec<(PathBuf, String)>,
    /// Those that cannot be set, which is said once.
    refused: Vec<PathBuf>,
}

impl Changed {
    /// What an earlier run has changed, according to `file`.
    #[must_use]
    pub fn load(file: PathBuf) -> Self {
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        let entry = |line: &str| {
            let (path, value) = line.split_once(" = ")?;
            // Only what this module writes: the file is in a directory of root's, but nothing is trusted.
            let known = path.starts_with("ipv4/conf/") && !path.contains("..");
            known.then(|| (PathBuf::from(path), value.to_owned()))
        };
        Self { file: Some(file), before: text.lines().filter_map(entry).collect(), refused: Vec::new() }
    }

    /// Sets a parameter and remembers what it was.
    pub fn set(&mut self, path: &Path, value: &str) {
        let result = read(path).and_then(|before| {
            if before == value {
                return Ok(());
            }
            if !self.before.iter().any(|(known, _)| known == path) {
                self.before.push((path.to_owned(), before));
                self.save();
            }
            write(path, value)
        });
        match result {
            Ok(()) => self.refused.retain(|known| known != path),
            Err(error) if !self.refused.iter().any(|known| known == path) => {
                self.refused.push(path.to_owned());
                tracing::warn!("cannot set {ROOT}/{} to {value}: {error}", path.display());
            }
            Err(_) => {}
        }
    }

    /// Restores everything that was changed. Parameters of interfaces that are gone are gone too.
    pub fn restore(&mut self) {
        for (path, value) in self.before.drain(..).rev() {
            let _ = write(&path, &value);
        }
        if let Some(file) = &self.file {
            let _ = std::fs::remove_file(file);
        }
    }

    fn save(&self) {
        let Some(file) = &self.file else { return };
        let line = |(path, value): &(PathBuf, String)| format!("{} = {value}\n", path.display());
        let text: String = self.before.iter().map(line).collect();
        // Whoever is killed here leaves the old file or the new one, and no half of either.
        let new = file.with_added_extension("new");
        let written = std::fs::write(&new, text).and_then(|()| std::fs::rename(&new, file));
        if let Err(error) = written {
            tracing::warn!("{}: {error}; kernel parameters are not restored after a crash", file.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_there_before_outlives_a_kill() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("sysctls");
        let before = vec![
            (PathBuf::from("ipv4/conf/eth0.5/arp_announce"), "1".to_owned()),
            (PathBuf::from("ipv4/conf/ens160/arp_announce"), "0".to_owned()),
        ];
        let changed = Changed { file: Some(file.clone()), before: before.clone(), refused: Vec::new() };
        changed.save();
        assert_eq!(Changed::load(file.clone()).before, before);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing but the file is left");
        // What this module does not write is not believed.
        std::fs::write(&file, "ipv4/conf/../../kernel/panic = 1\nkernel/panic = 1\nnonsense\n").unwrap();
        assert_eq!(Changed::load(file).before, []);
    }

    #[test]
    fn what_cannot_be_set_is_not_remembered() {
        let mut changed = Changed::default();
        for _ in 0..2 {
            changed.set(Path::new("ipv4/conf/there-is-no-such/arp_announce"), "2");
        }
        assert_eq!((changed.before.len(), changed.refused.len()), (0, 1));
    }
}

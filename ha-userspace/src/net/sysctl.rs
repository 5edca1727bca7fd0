//! Kernel parameters of the network, below /proc/sys/net.

use std::io;
use std::path::{Path, PathBuf};

const ROOT: &str = "/proc/sys/net";

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
        Self { file: Some(file), before: text.lines().filter_map(entry).collect() }
    }

    /// Sets a parameter and remembers what it was.
    pub fn set(&mut self, path: &Path, value: &str) {
        match read(path) {
            Ok(before) if before == value => {}
            Ok(before) => {
                if !self.before.iter().any(|(known, _)| known == path) {
                    self.before.push((path.to_owned(), before));
                    self.save();
                }
                if let Err(error) = write(path, value) {
                    tracing::warn!("{}/{}: {error}", ROOT, path.display());
                }
            }
            Err(error) => tracing::warn!("{}/{}: {error}", ROOT, path.display()),
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
        if let Err(error) = std::fs::write(file, text) {
            tracing::warn!("{}: {error}; kernel parameters are not restored after a crash", file.display());
        }
    }
}

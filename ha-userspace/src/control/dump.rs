//! Dumps for SIGUSR1 (data), SIGUSR2 (statistics) and keepalived's JSON signal, with keepalived's file names and labels.
//!
//! What lives here: which file, and writing it. The texts are in [`data`], [`json`] and [`stats`], which only turn a
//! [`Content`] into text; `routing` has the words of routes and rules. The main loop hands out what [`super::snapshot`] and the configuration have; the
//! rest happens on another thread.

pub mod data;
pub mod json;
mod routing;
pub mod stats;

use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::protocol::Status;
use crate::config::model::{Config, Global};

/// Where dumps go unless the configuration says otherwise.
const DIRECTORY: &str = "/tmp";

/// Which dump.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DumpKind {
    /// SIGUSR1: configuration and state.
    Data,
    /// SIGUSR2: statistics.
    Statistics,
    /// `keepalived --signum=JSON`, SIGRTMIN + 2: both, for programs.
    Json,
}

/// What a dump shows: the daemon at one moment.
#[derive(Clone, Debug)]
pub struct Content {
    /// As `xvrrp status` has it.
    pub status: Status,
    /// The configuration in force.
    pub config: Config,
    /// Sources of the adverts, in the order of `status.instances`.
    pub sources: Vec<Option<IpAddr>>,
    /// States of the sync groups, in the order of the configuration.
    pub groups: Vec<&'static str>,
    /// When it was taken.
    pub at: SystemTime,
}

/// Writes a dump and says where.
///
/// # Errors
/// The file cannot be written; the text names it.
pub fn write(kind: DumpKind, content: &Content) -> Result<PathBuf, String> {
    let text = match kind {
        DumpKind::Data => data::text(content),
        DumpKind::Statistics => stats::text(content),
        DumpKind::Json => json::text(content),
    };
    let path = path(kind, &content.config.global);
    replace(&path, text.as_bytes(), content.config.global.process.file_mode())
        .map(|()| path.clone())
        .map_err(|error| format!("{} cannot be written: {error}", path.display()))
}

/// The file of a dump. Of the default names, keepalived varies only that of the data (`data_use_instance`).
#[must_use]
pub fn path(kind: DumpKind, global: &Global) -> PathBuf {
    let dump = &global.dump;
    let (configured, name) = match kind {
        DumpKind::Data => (&dump.state_file, "data"),
        DumpKind::Statistics => (&dump.stats_file, "stats"),
        DumpKind::Json => (&dump.json_file, "json"),
    };
    if let Some(path) = configured {
        return path.clone();
    }
    let mut file = "keepalived".to_owned();
    if kind == DumpKind::Data && dump.use_instance {
        for part in [&global.instance, &global.net_namespace].into_iter().flatten() {
            file = format!("{file}.{part}");
        }
    }
    Path::new(DIRECTORY).join(format!("{file}.{name}"))
}

/// Puts a new file into the place of `path`. Anybody may write /tmp: what lies there, a link for
/// instance, is replaced and never followed.
fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new().prefix(".keepalived").tempfile_in(directory)?;
    file.as_file().set_permissions(std::fs::Permissions::from_mode(mode))?;
    file.write_all(bytes)?;
    file.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_keepalived_s() {
        let mut global = Global::default();
        assert_eq!(path(DumpKind::Data, &global), Path::new("/tmp/keepalived.data"));
        assert_eq!(path(DumpKind::Json, &global), Path::new("/tmp/keepalived.json"));
        global.instance = Some("foo".to_owned());
        global.dump.use_instance = true;
        assert_eq!(path(DumpKind::Data, &global), Path::new("/tmp/keepalived.foo.data"));
        assert_eq!(path(DumpKind::Statistics, &global), Path::new("/tmp/keepalived.stats"));
        global.dump.stats_file = Some("/run/stats".into());
        assert_eq!(path(DumpKind::Statistics, &global), Path::new("/run/stats"));
    }

    #[test]
    fn a_link_in_the_place_is_replaced_and_not_followed() {
        let dir = tempfile::tempdir().expect("a directory");
        let (precious, link) = (dir.path().join("precious"), dir.path().join("keepalived.data"));
        std::fs::write(&precious, "precious").expect("written");
        std::os::unix::fs::symlink(&precious, &link).expect("made");
        replace(&link, b"dump", 0o640).expect("written");
        assert_eq!(std::fs::read_to_string(&precious).expect("there"), "precious");
        let meta = std::fs::symlink_metadata(&link).expect("there");
        assert!(meta.is_file() && meta.permissions().mode() & 0o777 == 0o640);
        assert_eq!(std::fs::read_to_string(&link).expect("there"), "dump");
        let left = std::fs::read_dir(dir.path()).expect("readable").count();
        assert_eq!(left, 2, "no temporary file is left");
    }
}

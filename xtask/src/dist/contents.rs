//! What a package installs, and where: the same on Debian and on distributions with RPM.
//!
//! /etc/keepalived/keepalived.conf is nobody's here: it may be keepalived's, or the operator's.

use std::{fs, io::Write as _, path::Path};

use anyhow::{Context as _, Result};
use flate2::{Compression, GzBuilder};

use crate::sys;

use super::pages;

/// Where the program goes.
const PROGRAM: &str = "/usr/sbin/xvrrp";
/// What `packaging/xvrrp.service` has for an installation by hand.
const PROGRAM_BY_HAND: &str = "/usr/local/sbin/xvrrp";
/// All releases of systemd that are supported look there.
const UNIT: &str = "/usr/lib/systemd/system/xvrrp.service";
/// What the operator may change.
pub(crate) const SETTINGS: &str = "/etc/default/xvrrp";
const DOCUMENTS: &str = "/usr/share/doc/xvrrp";

/// Documents, from the workspace's root.
const TEXTS: [&str; 11] = [
    "README.md",
    "LICENSE-MIT",
    "LICENSE-APACHE",
    "LICENSE-NOTE.md",
    "docs/migrate.md",
    "docs/keepalived-compat.md",
    "docs/check.md",
    "docs/liveness.md",
    "docs/metrics.md",
    "packaging/grafana/xvrrp.json",
    "packaging/prometheus/xvrrp.rules.yml",
];

/// A file that is installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct File {
    /// From the root.
    pub(crate) path: String,
    /// Its permissions.
    pub(crate) mode: u16,
    /// What is in it.
    pub(crate) content: Vec<u8>,
}

impl File {
    pub(crate) fn text(path: impl Into<String>, content: impl Into<Vec<u8>>) -> Self {
        Self { path: path.into(), mode: 0o644, content: content.into() }
    }
}

/// All files, sorted. `program` is the release binary, `pages` what a binary that runs here says of itself.
///
/// # Errors
/// When a file cannot be read.
pub(crate) fn files(program: &Path, pages: &pages::Pages) -> Result<Vec<File>> {
    let image = fs::read(program).with_context(|| format!("cannot read {}", program.display()))?;
    let mut files = vec![
        File { path: PROGRAM.to_owned(), mode: 0o755, content: image },
        File::text(UNIT, unit()?),
        File::text(SETTINGS, read("packaging/xvrrp.default")?),
    ];
    for text in TEXTS {
        let name = text.rsplit('/').next().unwrap_or(text);
        files.push(File::text(format!("{DOCUMENTS}/{name}"), read(text)?));
    }
    let changes = compressed(&read("CHANGELOG.md")?)?;
    files.push(File::text(format!("{DOCUMENTS}/changelog.gz"), changes));
    for (name, page) in &pages.manual {
        let section = name.rsplit('.').next().unwrap_or("8");
        files.push(File::text(format!("/usr/share/man/man{section}/{name}.gz"), compressed(page)?));
    }
    for (path, script) in &pages.completions {
        files.push(File::text(*path, script.clone()));
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

/// The unit, for the place where packages put the program.
fn unit() -> Result<String> {
    let text = String::from_utf8(read("packaging/xvrrp.service")?)?;
    Ok(text.replace(PROGRAM_BY_HAND, PROGRAM))
}

fn read(name: &str) -> Result<Vec<u8>> {
    let path = sys::workspace_root().join(name);
    fs::read(&path).with_context(|| format!("cannot read {}", path.display()))
}

/// Without a name and a time, so that the same text is the same file.
fn compressed(text: &[u8]) -> Result<Vec<u8>> {
    let mut writer = GzBuilder::new().write(Vec::new(), Compression::best());
    writer.write_all(text)?;
    Ok(writer.finish()?)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A package's files around a program of some bytes.
    pub(crate) fn some() -> Vec<File> {
        let pages = pages::Pages {
            manual: vec![("xvrrp.8".to_owned(), b".TH xvrrp 8\n".to_vec())],
            completions: vec![("/usr/share/bash-completion/completions/xvrrp", b"complete\n".to_vec())],
        };
        let program = std::env::temp_dir().join(format!("xvrrp-some-{}", std::process::id()));
        fs::write(&program, b"#!/bin/sh\nexit 0\n").expect("a temporary file");
        let files = files(&program, &pages);
        let _ = fs::remove_file(&program);
        files.expect("everything is there")
    }

    #[test]
    fn the_unit_starts_the_program_that_is_installed() {
        let files = some();
        let of = |path: &str| files.iter().find(|file| file.path == path).expect("it is there");
        let unit = String::from_utf8_lossy(&of(UNIT).content).into_owned();
        assert!(unit.contains("\nExecStart=/usr/sbin/xvrrp run") && !unit.contains("/usr/local"), "{unit}");
        assert_eq!(of(PROGRAM).mode, 0o755);
        assert!(unit.contains(&format!("EnvironmentFile=-{SETTINGS}\n")), "{unit}");
        of("/usr/share/man/man8/xvrrp.8.gz");
    }

    #[test]
    fn nobody_owns_the_configuration() {
        assert!(some().iter().all(|file| !file.path.contains("keepalived.conf")));
    }
}

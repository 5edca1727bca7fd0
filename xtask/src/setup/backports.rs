//! A QEMU that is new enough: with that of Debian 12 (7.2) guests with older kernels hang while they boot.
//!
//! It comes from the release's backports, through lists and sources of its own below `target/setup`: the host's apt is
//! not told of them, and takes nothing else from there.

use std::fs;

use anyhow::{Context as _, Result, bail, ensure};

use crate::kernels::{Arch, Mirror, Qemu};
use crate::sys;

/// QEMU for both architectures.
pub(super) const PACKAGES: [&str; 2] = ["qemu-system-x86", "qemu-system-arm"];

/// Whether the installed QEMU is too old. One that is not there is not.
pub(super) fn is_old() -> bool {
    Qemu::find(Arch::Amd64).is_ok_and(|qemu| qemu.is_old())
}

/// Installs QEMU from the backports of this release.
///
/// # Errors
/// Without root, on anything but a release of Debian, or when apt fails.
pub(super) fn install() -> Result<()> {
    ensure!(sys::is_root(), "it needs root");
    let apt = sys::find("apt-get").context("there is no apt-get here")?;
    let mirror = Mirror::of_this_machine().context("apt's sources name no Debian mirror")?;
    let about = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let release = release(&about).context("/etc/os-release names no release of Debian")?;
    let directory = sys::target_dir()?.join("setup").join("apt");
    for part in ["lists/partial", "parts"] {
        fs::create_dir_all(directory.join(part))
            .with_context(|| format!("making {}", directory.display()))?;
    }
    let suite = format!("{release}-backports");
    let list = directory.join("sources.list");
    let entries = [release, &suite].map(|suite| mirror.entry(&mirror.main, suite));
    fs::write(&list, entries.concat())?;
    let command = || {
        let mut command = sys::tool(&apt);
        command.env("DEBIAN_FRONTEND", "noninteractive");
        for (key, value) in [
            ("Dir::Etc::sourcelist", list.clone()),
            ("Dir::Etc::sourceparts", directory.join("parts")),
            ("Dir::State::lists", directory.join("lists")),
            ("Dir::Cache::pkgcache", directory.join("pkgcache.bin")),
            ("Dir::Cache::srcpkgcache", directory.join("srcpkgcache.bin")),
        ] {
            command.arg("-o").arg(format!("{key}={}", value.display()));
        }
        command
    };
    let mut update = command();
    sys::run("Fetching the lists of Debian's backports", update.args(["update", "-q"]))?;
    let mut install = command();
    install.args(["install", "-y", "-q", "--no-install-recommends", "-o", "Dpkg::Use-Pty=0", "-t", &suite]);
    sys::run(&format!("Installing QEMU from {suite}"), install.args(PACKAGES))?;
    if is_old() {
        bail!("{suite} has none that is newer");
    }
    Ok(())
}

/// The name of a release of Debian.
fn release(text: &str) -> Option<&str> {
    let value = |key: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
            .map(|value| value.trim_matches('"'))
    };
    value("VERSION_CODENAME").filter(|name| value("ID") == Some("debian") && !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_release_of_debian_has_debian_s_backports() {
        assert_eq!(release("ID=debian\nVERSION_CODENAME=bookworm\n"), Some("bookworm"));
        assert_eq!(release("ID=ubuntu\nVERSION_CODENAME=noble\n"), None);
        assert_eq!(release("ID=debian\nNAME=sid\n"), None);
    }
}

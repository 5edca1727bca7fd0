//! What a package says of itself, whatever its format.

use anyhow::Result;

use super::needs::{Needs, Version};
use super::target::{Processor, Target};

/// One line for lists of packages.
pub(crate) const SUMMARY: &str = "VRRP daemon with XDP-read liveness that runs keepalived.conf";
/// What follows it.
pub(crate) const DESCRIPTION: &str = "\
xvrrp moves virtual addresses between routers, by VRRPv2 and VRRPv3, with the
configuration that keepalived has. An XDP program watches the master, so that
one that dies is replaced within milliseconds, and closes a fence around a
daemon that dies or freezes. It does not start beside keepalived: see
/usr/share/doc/xvrrp/migrate.md.";
/// Where questions go; also what Debian calls the maintainer.
pub(crate) const HOME: &str = env!("CARGO_PKG_REPOSITORY");
/// As SPDX has it.
pub(crate) const LICENCE: &str = env!("CARGO_PKG_LICENSE");
/// One for the whole workspace.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A package that is to be written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Package {
    /// For whom.
    pub(crate) processor: Processor,
    /// What the program needs of the system.
    pub(crate) needs: Needs,
    /// Of everything in it, in seconds since 1970.
    pub(crate) time: u64,
}

impl Package {
    /// A program for `target` with these needs.
    pub(crate) const fn new(target: Target, needs: Needs, time: u64) -> Self {
        Self { processor: target.processor(), needs, time }
    }

    /// The version of glibc that must be there.
    pub(crate) const fn glibc(&self) -> Option<Version> {
        match self.needs {
            Needs::Glibc(version) => Some(version),
            Needs::Nothing | Needs::Libraries => None,
        }
    }
}

/// The scripts of a package, by what its format calls them.
pub(crate) fn scripts<const N: usize>(
    format: &str,
    names: [&'static str; N],
) -> Result<[(&'static str, String); N]> {
    let mut scripts = names.map(|name| (name, String::new()));
    for (name, text) in &mut scripts {
        let path = crate::sys::workspace_root().join("packaging").join(format).join(*name);
        *text = std::fs::read_to_string(&path)
            .map_err(|error| anyhow::anyhow!("cannot read {}: {error}", path.display()))?;
    }
    Ok(scripts)
}

//! The programs that go into the guests: `/init`, and xvrrp as `cargo xtask dist` builds it.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use anyhow::{Context as _, Result};

use super::initramfs::Ours;
use super::plan::Job;
use crate::dist::{self, Target};
use crate::{setup, sys};

/// Builds what `jobs` need.
///
/// # Errors
/// When something is missing and cannot be had, or does not build.
pub(crate) fn all(jobs: &[Job]) -> Result<BTreeMap<Target, Ours>> {
    let mut built = BTreeMap::new();
    for target in jobs.iter().flat_map(Job::targets) {
        if let Entry::Vacant(entry) = built.entry(target) {
            entry.insert(one(target).with_context(|| format!("no guests for {}", target.triple()))?);
        }
    }
    Ok(built)
}

fn one(target: Target) -> Result<Ours> {
    // The guest's first process needs nothing that a machine of this architecture may not have.
    let with_libc = target.with_glibc();
    setup::ensure_targets(&[target, with_libc])?;
    let mut build = sys::cargo();
    build.args(["build", "--quiet", "--package", "ha-tests", "--bin", "xvrrp-guest"]);
    let guest = dist::place(&mut build, with_libc)?.join("debug/xvrrp-guest");
    sys::run("The guests' first process", &mut build)?;
    Ok(Ours { guest, xvrrp: dist::build(target)? })
}

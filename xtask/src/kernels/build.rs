//! The programs that go into the guests: `/init` and xvrrp, for each architecture that is booted.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use ha_tests::lab;

use super::initramfs::Ours;
use super::name::Arch;
use super::plan::Job;
use crate::{run, sys};

/// Builds what `jobs` need.
///
/// # Errors
/// When something does not build.
pub(crate) fn all(jobs: &[Job]) -> Result<BTreeMap<Arch, Ours>> {
    let mut built = BTreeMap::new();
    for arch in jobs.iter().flat_map(Job::arches) {
        if let Entry::Vacant(entry) = built.entry(arch) {
            entry.insert(one(arch)?);
        }
    }
    Ok(built)
}

fn one(arch: Arch) -> Result<Ours> {
    let target_dir = sys::target_dir()?;
    if Arch::host() == Some(arch) {
        run::build()?;
        let mut build = sys::cargo();
        build.args(["build", "--quiet", "--package", "ha-tests", "--bin", "xvrrp-guest"]);
        sys::run("The guests' first process", &mut build)?;
        return Ok(Ours { guest: target_dir.join("debug/xvrrp-guest"), xvrrp: lab::xvrrp_binary()? });
    }
    let (target, compiler) = match arch {
        Arch::Amd64 => ("x86_64-unknown-linux-gnu", "x86_64-linux-gnu-gcc"),
        Arch::Arm64 => ("aarch64-unknown-linux-gnu", "aarch64-linux-gnu-gcc"),
    };
    if sys::find(compiler).is_none() {
        let package = format!("gcc-{}", compiler.trim_end_matches("-gcc"));
        bail!("`{compiler}` is missing: install {package}; or name no {} kernels", arch.debian());
    }
    let cross = |title: &str, arguments: &[&str]| -> Result<()> {
        let mut build = sys::cargo();
        let variable = target.replace('-', "_");
        build.env(format!("CARGO_TARGET_{}_LINKER", variable.to_uppercase()), compiler);
        build.env(format!("CC_{variable}"), compiler);
        build.args(["build", "--quiet", "--target", target]).args(arguments);
        sys::run(title, &mut build).map(drop)
    };
    cross("The guests' first process", &["--package", "ha-tests", "--bin", "xvrrp-guest"])
        .with_context(|| format!("is the target there? rustup target add {target}"))?;
    let xvrrp = match std::env::var_os("XVRRP_BIN_ARM64") {
        Some(path) => PathBuf::from(path),
        None => {
            cross("xvrrp", &["--release", "--package", "ha-userspace", "--bin", "xvrrp"])?;
            target_dir.join(target).join("release/xvrrp")
        }
    };
    Ok(Ours { guest: target_dir.join(target).join("debug/xvrrp-guest"), xvrrp })
}

//! `cargo xtask dist`: the release binary for other machines, packed with what belongs to it.
//!
//! For each target, in `dist` below cargo's target directory: a directory and an archive of it, a list of what the
//! program is made of, and what its users install: packages for Debian and for RPM with glibc, an image for containers of a
//! static program. Their sums are in `SHA256SUMS`. The same files make the same archives and packages, byte for byte: all
//! times are those of the last commit.

mod check;
mod conf_page;
mod contents;
mod deb;
mod needs;
mod oci;
mod package;
mod pages;
mod rpm;
mod sbom;
mod tar;
mod target;

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use crate::{setup, sys};
use package::Package;
pub(crate) use target::{Compiler, Processor, Target};

/// Arguments of `cargo xtask dist`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What to build for; may be given several times [default: this machine]
    ///
    /// What that takes besides Rust is installed with apt, by root, or named: Rust's standard library for the target
    /// (rustup), and a C compiler. For another processor that is Debian's gcc-aarch64-linux-gnu with
    /// libc6-dev-arm64-cross (or gcc-x86-64-linux-gnu with libc6-dev-amd64-cross), for a static binary for this
    /// processor musl-tools.
    #[arg(long = "target", value_enum, value_name = "TARGET", hide_default_value = true)]
    targets: Vec<Target>,
    /// Also install, run and remove the packages of this machine, in a minimal Debian in the lab
    ///
    /// That takes root, debootstrap, rpm and, the first time, Debian's mirror.
    #[arg(long)]
    check: bool,
}

/// What goes beside the binary, from the workspace's root.
const FILES: [&str; 5] =
    ["README.md", "LICENSE-MIT", "LICENSE-APACHE", "LICENSE-NOTE.md", "packaging/xvrrp.service"];

/// Builds and packs.
///
/// # Errors
/// When something is missing and cannot be had, or a build fails.
pub(crate) fn main(args: &Args) -> Result<()> {
    let targets = match (args.targets.is_empty(), Target::host()) {
        (false, _) => args.targets.clone(),
        (true, Some(host)) => vec![host],
        (true, None) => {
            bail!("this machine is none of those that xvrrp is built for; name one with --target")
        }
    };
    setup::ensure(setup::Need::Build)?;
    setup::ensure_targets(&targets)?;
    let dist = sys::target_dir()?.join("dist");
    let mut lines = Vec::new();
    for target in targets {
        let binary = build(target)?;
        let image = fs::read(&binary).with_context(|| format!("cannot read {}", binary.display()))?;
        let needs = needs::of(&image, target.processor()).with_context(|| binary.display().to_string())?;
        if target.is_static() && needs != needs::Needs::Nothing {
            bail!("{} is not static: it {needs}", binary.display());
        }
        let name = name(target);
        pack(&dist, &name, &binary)?;
        let package = Package::new(target, needs, time_of_commit());
        let mut made = vec![dist.join(archive(&name)), sbom::write(target, &dist)?];
        let packages = install_files(target, &package, &binary, &dist)?;
        if let [deb, rpm] = packages.as_slice()
            && args.check
            && Target::host() == Some(target)
        {
            check::run(deb, rpm, &dist)?;
        }
        made.extend(packages);
        lines.push(format!("{}, {}: {needs}", name, megabytes(image.len() as u64)));
        for file in made {
            let size = file.metadata().map_or(0, |metadata| metadata.len());
            let name = file.file_name().unwrap_or(file.as_os_str()).display().to_string();
            lines.push(format!("  {name:<48} {:>8}", megabytes(size)));
        }
    }
    sum(&dist)?;
    println!("\nIn {}", dist.display());
    lines.iter().for_each(|line| println!("{line}"));
    Ok(())
}

/// What users of `target` install: packages, or an image. The program of the packages is glibc's, because a static one
/// finds users in /etc/passwd only; that of the image is static, because there is nothing else in it.
fn install_files(target: Target, package: &Package, binary: &Path, dist: &Path) -> Result<Vec<PathBuf>> {
    if target.is_static() {
        return Ok(vec![oci::write(package, binary, dist)?]);
    }
    let runs_here = match Target::host() {
        Some(host) if host.processor() == target.processor() => binary.to_owned(),
        Some(host) => build(host)?,
        None => bail!("this machine cannot run xvrrp, which is asked for its manual pages"),
    };
    let pages = pages::of(&runs_here, &dist.join("pages"))?;
    let files = contents::files(binary, &pages)?;
    let made = vec![deb::write(package, &files, dist)?, rpm::write(package, &files, dist)?];
    Ok(made)
}

/// `xvrrp-0.1.0-aarch64-unknown-linux-gnu`.
fn name(target: Target) -> String {
    // One version for the whole workspace.
    format!("xvrrp-{}-{}", env!("CARGO_PKG_VERSION"), target.triple())
}

fn archive(name: &str) -> String {
    format!("{name}.tar.gz")
}

/// Builds the daemon and says where it is.
pub(crate) fn build(target: Target) -> Result<PathBuf> {
    let mut cargo = sys::cargo();
    cargo.args(["build", "--release", "--package", "ha-userspace"]);
    let directory = place(&mut cargo, target)?;
    sys::run(&format!("Building for {}", target.triple()), &mut cargo)?;
    Ok(directory.join("release/xvrrp"))
}

/// Makes a build one for `target`, and says below which directory its results will be.
pub(crate) fn place(build: &mut Command, target: Target) -> Result<PathBuf> {
    build.env_remove("CARGO_BUILD_TARGET");
    let directory = sys::target_dir()?;
    // What is built for this machine is what `cargo build` makes anyway.
    if Target::host() == Some(target) {
        return Ok(directory);
    }
    build.args(["--target", target.triple()]).envs(target.environment(Processor::here()));
    Ok(directory.join(target.triple()))
}

/// Puts the files into a directory of their own and packs it.
fn pack(dist: &Path, name: &str, binary: &Path) -> Result<()> {
    let directory = dist.join(name);
    if directory.exists() {
        fs::remove_dir_all(&directory).with_context(|| format!("cannot remove {}", directory.display()))?;
    }
    fs::create_dir_all(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
    let copy = |from: &Path, mode| {
        let to = directory.join(from.file_name().unwrap_or(from.as_os_str()));
        fs::copy(from, &to)
            .and_then(|_| fs::set_permissions(&to, Permissions::from_mode(mode)))
            .with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))
    };
    copy(binary, 0o755)?;
    for file in FILES {
        copy(&sys::workspace_root().join(file), 0o644)?;
    }
    tar::pack(dist, name, &dist.join(archive(name)), time_of_commit(), tar::Packing::Gzip)
}

/// Seconds since 1970; 0 outside a repository.
fn time_of_commit() -> u64 {
    let text = sys::output(sys::tool("git").args(["log", "-1", "--format=%ct"])).unwrap_or_default();
    text.trim().parse().unwrap_or(0)
}

/// How the names of what is handed on end.
const MADE: [&str; 5] = [".tar.gz", ".deb", ".rpm", ".tar", ".cdx.json"];

/// Writes the sums of all archives that are there, older ones too.
fn sum(dist: &Path) -> Result<()> {
    let entries = fs::read_dir(dist).with_context(|| format!("cannot read {}", dist.display()))?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let is_made = |name: &String| MADE.iter().any(|end| name.ends_with(end));
    let mut names: Vec<String> = names.filter(is_made).collect();
    names.sort();
    let sums = sys::output(sys::tool("sha256sum").current_dir(dist).arg("--").args(&names))?;
    let file = dist.join("SHA256SUMS");
    fs::write(&file, sums).with_context(|| format!("cannot write {}", file.display()))
}

fn megabytes(bytes: u64) -> String {
    format!("{}.{} MB", bytes / 1_000_000, bytes / 100_000 % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_is_packed_is_there() {
        for file in FILES {
            assert!(sys::workspace_root().join(file).is_file(), "{file}");
        }
    }

    #[test]
    fn names_say_version_and_target() {
        let name = name(Target::ArmGnu);
        assert!(name.starts_with("xvrrp-") && name.ends_with("-aarch64-unknown-linux-gnu"), "{name}");
        assert_eq!(archive("a-1.2"), "a-1.2.tar.gz");
    }

    #[test]
    fn sizes_are_readable() {
        assert_eq!(megabytes(7_654_321), "7.6 MB");
        assert_eq!(megabytes(12), "0.0 MB");
    }
}

//! `cargo xtask dist`: the release binary for other machines, packed with what belongs to it.
//!
//! One directory and one archive for each target in `dist` below cargo's target directory, and the archives' sums in
//! `SHA256SUMS`. Archives of the same files are the same: their times are those of the last commit.

mod needs;
mod target;

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use crate::{setup, sys};
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
        let archive = dist.join(archive(&name)).metadata().map_or(0, |metadata| metadata.len());
        let (binary, archive) = (megabytes(image.len() as u64), megabytes(archive));
        lines.push(format!("  {name:<42} {binary:>8} {archive:>8}   {needs}"));
    }
    sum(&dist)?;
    println!("\nIn {}", dist.display());
    println!("  {:<42} {:>8} {:>8}", "", "binary", ".tar.gz");
    lines.iter().for_each(|line| println!("{line}"));
    Ok(())
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
    let time = format!("--mtime=@{}", time_of_commit());
    let mut tar = sys::tool("tar");
    tar.current_dir(dist).args(["--create", "--gzip", "--file"]).arg(archive(name));
    // Whoever packs, and in whatever order the file system has it.
    tar.args(["--sort=name", "--owner=0", "--group=0", "--numeric-owner", &time, "--", name]);
    sys::run("Packing", &mut tar).map(drop)
}

/// Seconds since 1970; 0 outside a repository.
fn time_of_commit() -> u64 {
    let text = sys::output(sys::tool("git").args(["log", "-1", "--format=%ct"])).unwrap_or_default();
    text.trim().parse().unwrap_or(0)
}

/// Writes the sums of all archives that are there, older ones too.
fn sum(dist: &Path) -> Result<()> {
    let entries = fs::read_dir(dist).with_context(|| format!("cannot read {}", dist.display()))?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut names: Vec<String> = names.filter(|name| name.ends_with(".tar.gz")).collect();
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

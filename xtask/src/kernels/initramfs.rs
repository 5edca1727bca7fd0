//! The part of the initramfs that all kernels of an architecture share: `/init`, xvrrp, the lab's programs, their
//! libraries.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::cpio::Archive;
use super::fetch;
use super::name::Arch;
use crate::sys;

/// What the lab runs in a guest, and the Debian packages that have it.
const PROGRAMS: [(&str, &str); 8] = [
    ("sh", "dash"),
    ("sleep", "coreutils"),
    ("mount", "mount"),
    ("ip", "iproute2"),
    ("bridge", "iproute2"),
    ("bpftool", "bpftool"),
    ("ethtool", "ethtool"),
    ("nft", "nftables"),
];

/// Programs of ours for one architecture.
#[derive(Clone, Debug)]
pub(crate) struct Ours {
    /// The first process.
    pub(crate) guest: PathBuf,
    /// The daemon.
    pub(crate) xvrrp: PathBuf,
}

/// Writes the archive for `arch` to `file`.
///
/// # Errors
/// When a program is missing.
pub(crate) fn write(top: &Path, arch: Arch, ours: &Ours, file: &Path) -> Result<()> {
    let mut archive = Archive::default();
    for directory in ["proc", "sys", "dev", "run", "tmp", "root", "var", "etc/keepalived", "usr/lib", "lib64"]
    {
        archive.directory(directory);
    }
    archive.link("var/run", "/run");
    archive.file("etc/passwd", 0o644, b"root:x:0:0:root:/root:/bin/sh\n");
    archive.file("etc/group", 0o644, b"root:x:0:\n");
    archive.file("etc/hosts", 0o644, b"127.0.0.1 localhost\n");
    let mut programs =
        vec![("init".to_owned(), ours.guest.clone()), ("bin/xvrrp".to_owned(), ours.xvrrp.clone())];
    let mut libraries = BTreeSet::new();
    if Arch::host() == Some(arch) {
        for (name, package) in PROGRAMS {
            let path = sys::find(name).with_context(|| {
                format!("`{name}` is missing: install {package}, or run `cargo xtask setup`")
            })?;
            programs.push((format!("bin/{name}"), path));
        }
        for (_, path) in &programs {
            libraries.extend(linked(path)?.into_iter().map(|path| (path.clone(), path)));
        }
    } else {
        let packages: BTreeSet<_> =
            PROGRAMS.iter().map(|(_, package)| *package).chain(["libgcc-s1"]).collect();
        let root = fetch::foreign_root(top, arch, &packages.into_iter().collect::<Vec<_>>())?;
        for (name, package) in PROGRAMS {
            let directories = ["bin", "sbin", "usr/bin", "usr/sbin"];
            let found = directories.iter().map(|dir| root.join(dir).join(name)).find(|path| path.exists());
            let path = found.with_context(|| format!("Debian's package {package} has no `{name}`"))?;
            programs.push((format!("bin/{name}"), path));
        }
        libraries.extend(all_libraries(&root)?);
    }
    for (name, path) in programs {
        let content = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
        archive.file(&name, 0o755, &content);
    }
    for (inside, outside) in libraries {
        let content = fs::read(&outside).with_context(|| format!("reading {}", outside.display()))?;
        archive.file(&inside.to_string_lossy(), 0o755, &content);
    }
    fs::write(file, archive.finish()).with_context(|| format!("writing {}", file.display()))
}

/// The libraries of one of this machine's programs, the dynamic loader included; none of a static one.
fn linked(program: &Path) -> Result<Vec<PathBuf>> {
    let output = sys::tool("ldd").arg(program).output().context("starting ldd")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let path = |line: &str| {
        let before = line.rsplit_once(" (0x")?.0;
        let word = before.rsplit(' ').next()?.trim();
        word.starts_with('/').then(|| PathBuf::from(word))
    };
    Ok(text.lines().filter_map(path).collect())
}

/// All shared libraries of unpacked packages, at the places where the dynamic loader looks.
fn all_libraries(root: &Path) -> Result<Vec<(PathBuf, PathBuf)>> {
    let mut found = Vec::new();
    for top in ["lib", "usr/lib"] {
        let directories =
            fs::read_dir(root.join(top)).into_iter().flatten().flatten().map(|entry| entry.path());
        let inner: Vec<_> = directories.filter(|path| path.is_dir()).collect();
        for directory in [root.join(top)].into_iter().chain(inner) {
            for file in fs::read_dir(&directory).into_iter().flatten().flatten().map(|entry| entry.path()) {
                let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
                let library = name.contains(".so") && !name.ends_with(".conf");
                // Links name a library by its short name; both are the same bytes here.
                let Ok(real) = fs::canonicalize(&file) else { continue };
                if library && real.is_file() && real.metadata()?.permissions().mode() & 0o444 != 0 {
                    let inside = Path::new("/").join(file.strip_prefix(root)?);
                    found.push((inside, real));
                }
            }
        }
    }
    Ok(found)
}

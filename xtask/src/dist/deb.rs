//! Packages for Debian and what descends from it, written by dpkg-deb.

use std::{
    fmt::Write as _,
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use super::contents::{File, SETTINGS};
use super::package::{DESCRIPTION, HOME, LICENCE, Package, SUMMARY, VERSION, scripts};
use super::target::Processor;
use crate::sys;

const SCRIPTS: [&str; 3] = ["postinst", "postrm", "prerm"];

/// Writes the package into `dist`, and says where it is.
///
/// # Errors
/// When files cannot be written, or there is no dpkg-deb.
pub(crate) fn write(package: &Package, files: &[File], dist: &Path) -> Result<PathBuf> {
    let name = format!("xvrrp_{VERSION}_{}", processor(package.processor));
    let root = dist.join(format!("{name}.root"));
    if root.exists() {
        fs::remove_dir_all(&root).with_context(|| format!("cannot remove {}", root.display()))?;
    }
    for file in files {
        put(&root, file)?;
    }
    put(&root, &copyright())?;
    put(&root, &File::text("/DEBIAN/control", control(package, files)))?;
    put(&root, &File::text("/DEBIAN/conffiles", format!("{SETTINGS}\n")))?;
    for (name, text) in scripts("deb", SCRIPTS)? {
        put(&root, &File { path: format!("/DEBIAN/{name}"), mode: 0o755, content: text.into_bytes() })?;
    }
    let archive = dist.join(format!("{name}.deb"));
    let mut dpkg = sys::tool("dpkg-deb");
    // Times are cut to that one; with more threads the result depends on their number.
    dpkg.env("SOURCE_DATE_EPOCH", package.time.to_string()).env("DPKG_DEB_THREADS_MAX", "1");
    dpkg.args(["--root-owner-group", "-Zxz", "--build"]).arg(&root).arg(&archive);
    let written =
        sys::output(&mut dpkg).context("a package for Debian takes dpkg-deb (Debian's package dpkg)");
    fs::remove_dir_all(&root).with_context(|| format!("cannot remove {}", root.display()))?;
    written.map(|_| archive)
}

/// Puts a file below `root`, whatever the umask.
fn put(root: &Path, file: &File) -> Result<()> {
    let path = root.join(file.path.trim_start_matches('/'));
    let context = || format!("cannot write {}", path.display());
    let above: Vec<&Path> = path.ancestors().skip(1).take_while(|above| above.starts_with(root)).collect();
    for directory in above.into_iter().rev().filter(|directory| !directory.exists()) {
        fs::create_dir_all(directory).with_context(context)?;
        fs::set_permissions(directory, Permissions::from_mode(0o755)).with_context(context)?;
    }
    fs::write(&path, &file.content).with_context(context)?;
    fs::set_permissions(&path, Permissions::from_mode(u32::from(file.mode))).with_context(context)
}

const fn processor(processor: Processor) -> &'static str {
    match processor {
        Processor::X86 => "amd64",
        Processor::Arm => "arm64",
    }
}

fn control(package: &Package, files: &[File]) -> String {
    let size: usize = files.iter().map(|file| file.content.len().div_ceil(1024)).sum();
    let mut text = format!(
        "Package: xvrrp\nVersion: {VERSION}\nArchitecture: {}\nMaintainer: xvrrp <{HOME}>\nInstalled-Size: {size}\n",
        processor(package.processor)
    );
    if let Some(version) = package.glibc() {
        let _ = writeln!(text, "Depends: libc6 (>= {version}), libgcc-s1");
    }
    text += "Recommends: iproute2\nSuggests: nftables\nSection: net\nPriority: optional\n";
    let _ = writeln!(text, "Homepage: {HOME}\nDescription: {SUMMARY}");
    for line in DESCRIPTION.lines() {
        let _ = writeln!(text, " {line}");
    }
    text
}

/// Debian's form of the licences, which stand beside it.
fn copyright() -> File {
    File::text(
        "/usr/share/doc/xvrrp/copyright",
        format!(
            "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\nUpstream-Name: xvrrp\n\
             Source: {HOME}\n\nFiles: *\nCopyright: the contributors to xvrrp\nLicense: {LICENCE}\n \
             The texts are in LICENSE-MIT and LICENSE-APACHE beside this file; LICENSE-NOTE.md is about the eBPF object.\n"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::super::contents::tests::some;
    use super::super::needs::{Needs, version};
    use super::*;

    fn package() -> Package {
        let glibc = version(b"GLIBC_2.34").expect("a version");
        Package { processor: Processor::X86, needs: Needs::Glibc(glibc), time: 1_700_000_000 }
    }

    #[test]
    fn the_same_files_make_the_same_package() {
        if sys::find("dpkg-deb").is_none() {
            return;
        }
        let dist = std::env::temp_dir().join(format!("xvrrp-deb-{}", std::process::id()));
        let build = || {
            let archive = write(&package(), &some(), &dist).expect("a package");
            fs::read(archive).expect("readable")
        };
        let first = build();
        // Times of files have whole seconds in an archive.
        std::thread::sleep(std::time::Duration::from_millis(1100));
        let second = build();
        let mut list = sys::tool("dpkg-deb");
        let list = sys::output(list.arg("--contents").arg(dist.join(format!("xvrrp_{VERSION}_amd64.deb"))));
        let _ = fs::remove_dir_all(&dist);
        assert!(first == second, "two runs differ");
        let list = list.expect("a list");
        assert!(list.contains("-rwxr-xr-x root/root") && list.contains(" ./usr/sbin/xvrrp\n"), "{list}");
        assert!(!list.contains("keepalived.conf"), "{list}");
    }

    #[test]
    fn it_says_what_it_depends_on() {
        let text = control(&package(), &[]);
        assert!(text.contains("\nHomepage: https://"), "{text}");
        assert!(text.lines().all(|line| line.len() <= 80), "{text}");
        assert!(
            text.contains("Architecture: amd64\n") && text.contains("Depends: libc6 (>= 2.34), "),
            "{text}"
        );
        let bare = control(&Package { needs: Needs::Nothing, ..package() }, &[]);
        assert!(!bare.contains("Depends"), "{bare}");
    }
}

//! Packages for distributions with RPM.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use rpm::{BuildConfig, CompressionWithLevel, Dependency, FileOptions, PackageBuilder};

use super::contents::{File, SETTINGS};
use super::package::{DESCRIPTION, HOME, LICENCE, Package, SUMMARY, VERSION, scripts};
use super::target::Processor;

/// Counts packages of the same version.
const RELEASE: &str = "1";
/// Where zsh looks on Debian, and elsewhere.
const ZSH_DEBIAN: &str = "/usr/share/zsh/vendor-completions/";
const ZSH: &str = "/usr/share/zsh/site-functions/";

/// Writes the package into `dist`, and says where it is.
///
/// # Errors
/// When a script cannot be read, or the package cannot be written.
pub(crate) fn write(package: &Package, files: &[File], dist: &Path) -> Result<PathBuf> {
    let processor = match package.processor {
        Processor::X86 => "x86_64",
        Processor::Arm => "aarch64",
    };
    let time = u32::try_from(package.time).context("a time after 2106")?;
    let mut builder = PackageBuilder::new("xvrrp", VERSION, LICENCE, processor, SUMMARY);
    builder
        // gzip: every rpm(8) can read it, that of Enterprise Linux 8 too.
        .using_config(BuildConfig::v4().compression(CompressionWithLevel::Gzip(9)).source_date(time))
        .release(RELEASE)
        .description(DESCRIPTION)
        .url(HOME)
        .group("System Environment/Daemons")
        .build_host("localhost");
    let [(_, post), (_, preun), (_, postun)] = scripts("rpm", ["post", "preun", "postun"])?;
    builder.post_install_script(post).pre_uninstall_script(preun).post_uninstall_script(postun);
    builder.requires(Dependency::any("/bin/sh"));
    if let Some(version) = package.glibc() {
        builder.requires(Dependency::any(format!("libc.so.6(GLIBC_{version})(64bit)")));
        builder.requires(Dependency::any("libgcc_s.so.1()(64bit)"));
    }
    builder.suggests(Dependency::any("nftables"));
    for file in files {
        let path = file.path.replace(ZSH_DEBIAN, ZSH);
        let mut options = FileOptions::new(path).permissions(file.mode);
        if file.path == SETTINGS {
            options = options.config().noreplace();
        } else if file.path.starts_with("/usr/share/doc") {
            options = options.doc();
        }
        builder.with_file_contents(file.content.clone(), options).with_context(|| file.path.clone())?;
    }
    let built = builder.build().context("the package cannot be made")?;
    let archive = dist.join(format!("xvrrp-{VERSION}-{RELEASE}.{processor}.rpm"));
    std::fs::create_dir_all(dist).with_context(|| format!("cannot make {}", dist.display()))?;
    built.write_file(&archive).with_context(|| format!("cannot write {}", archive.display()))?;
    Ok(archive)
}

#[cfg(test)]
mod tests {
    use super::super::contents::tests::some;
    use super::super::needs::{Needs, version};
    use super::*;

    #[test]
    fn the_same_files_make_the_same_package() {
        let glibc = version(b"GLIBC_2.34").expect("a version");
        let package = Package { processor: Processor::Arm, needs: Needs::Glibc(glibc), time: 1_700_000_000 };
        let dist = std::env::temp_dir().join(format!("xvrrp-rpm-{}", std::process::id()));
        let build = || {
            let archive = write(&package, &some(), &dist).expect("a package");
            (std::fs::read(&archive).expect("readable"), archive)
        };
        let (first, _) = build();
        std::thread::sleep(std::time::Duration::from_millis(1100));
        let (second, archive) = build();
        let read = rpm::Package::open(&archive).expect("a package");
        let _ = std::fs::remove_dir_all(&dist);
        assert!(first == second, "two runs differ");
        assert_eq!(read.metadata.get_arch().expect("one"), "aarch64");
        let requires = read.metadata.get_requires().expect("some");
        let requires: Vec<String> = requires.iter().map(ToString::to_string).collect();
        assert!(requires.iter().any(|one| one.contains("GLIBC_2.34")), "{requires:?}");
        assert!(
            read.metadata.get_post_install_script().is_ok_and(|script| script.script.contains("keepalived"))
        );
    }
}

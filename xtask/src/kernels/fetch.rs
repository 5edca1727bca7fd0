//! Kernels: the packages, and what of them a guest needs (image and modules), kept below `target/kernels`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use super::apt::Apt;
use super::modules;
use super::name::{Arch, Kernel, Wanted};
use crate::sys;

/// A kernel that can be booted.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    /// Which.
    pub(crate) kernel: Kernel,
    /// The kernel itself.
    pub(crate) vmlinuz: PathBuf,
    /// Its modules, as the second part of an initramfs.
    pub(crate) modules: PathBuf,
}

/// The newest kernel that fits and can be had.
///
/// # Errors
/// When there is none: the list has no such kernel, or the mirror does not have it.
pub(crate) fn image(
    apt: &Apt,
    top: &Path,
    wanted: &Wanted,
    packages: &[String],
    say: &dyn Fn(&str),
) -> Result<Image> {
    let candidates = wanted.choose(packages);
    if candidates.is_empty() {
        bail!(
            "{wanted}: the mirror's lists have no such kernel (`cargo xtask kernels --list` shows what there is)"
        );
    }
    let mut last = None;
    // A list may name packages that the mirror has not got any more.
    for kernel in candidates.iter().take(3) {
        match unpacked(apt, top, kernel, say) {
            Ok(image) => return Ok(image),
            Err(error) => {
                let error = error.context(format!("{wanted}: {} cannot be had", kernel.name()));
                say(&format!("{error:#}"));
                last = Some(error);
            }
        }
    }
    Err(last.unwrap_or_else(|| anyhow::anyhow!("{wanted}: no such kernel")))
}

fn unpacked(apt: &Apt, top: &Path, kernel: &Kernel, say: &dyn Fn(&str)) -> Result<Image> {
    let directory = top.join("images").join(kernel.name());
    let image = Image {
        kernel: kernel.clone(),
        vmlinuz: directory.join("vmlinuz"),
        modules: directory.join("modules.cpio"),
    };
    let made_of = directory.join("made-of");
    if fs::read_to_string(&made_of).is_ok_and(|text| text == modules::choice()) {
        return Ok(image);
    }
    let (arch, name) = (kernel.arch(), kernel.name());
    say(&format!("fetching {name}"));
    let package = format!("linux-image-{name}");
    let parts = [format!("linux-binary-{name}"), format!("linux-modules-{name}")];
    let mut packages = vec![package.clone()];
    packages.extend(apt.depends(&package, arch, &parts)?);
    let debs = apt.download(&packages, arch, &top.join("debs"))?;

    say(&format!("unpacking {name}"));
    let root = directory.join("root");
    let _none = fs::remove_dir_all(&root);
    fs::create_dir_all(&root)?;
    for deb in &debs {
        unpack_deb(deb, &root)?;
    }
    let boot = find(&root, 4, &|name| name.starts_with("vmlinu"))
        .with_context(|| format!("{package} has no kernel image"))?;
    fs::rename(boot, &image.vmlinuz)?;
    let tree = find(&root, 4, &|entry| entry == name).with_context(|| format!("{package} has no modules"))?;
    let (bytes, _count) = modules::archive(&tree)?;
    fs::write(&image.modules, bytes)?;
    fs::remove_dir_all(&root)?;
    fs::write(made_of, modules::choice())?;
    Ok(image)
}

/// Unpacks a package without installing it.
///
/// # Errors
/// Without dpkg-deb, or when the package is damaged; then it is removed, to be downloaded again.
pub(crate) fn unpack_deb(deb: &Path, root: &Path) -> Result<()> {
    let mut dpkg = sys::tool("dpkg-deb");
    let unpacked = sys::output(dpkg.arg("-x").arg(deb).arg(root));
    if let Err(error) = unpacked {
        let _gone = fs::remove_file(deb);
        return Err(error.context(format!("unpacking {}", deb.display())));
    }
    Ok(())
}

/// The first entry below `directory`, at most `depth` deep, whose name is accepted; links are not followed.
fn find(directory: &Path, depth: usize, is: &dyn Fn(&str) -> bool) -> Option<PathBuf> {
    let entries: Vec<_> = fs::read_dir(directory).ok()?.flatten().collect();
    let found = entries.iter().find(|entry| entry.file_name().to_str().is_some_and(is));
    if let Some(entry) = found {
        return Some(entry.path());
    }
    let below = entries.iter().filter(|entry| depth > 0 && entry.file_type().is_ok_and(|kind| kind.is_dir()));
    below.into_iter().find_map(|entry| find(&entry.path(), depth - 1, is))
}

/// Debian's release that has the programs for guests of another architecture than this machine's.
pub(crate) const PROGRAMS_RELEASE: &str = "bookworm";

/// A tree of unpacked packages with the lab's programs for `arch`.
///
/// # Errors
/// When they cannot be had.
pub(crate) fn foreign_root(top: &Path, arch: Arch, packages: &[&str]) -> Result<PathBuf> {
    let root = top.join(format!("root-{}", arch.debian()));
    let made_of = root.join("made-of");
    let wanted = packages.join(" ");
    if fs::read_to_string(&made_of).is_ok_and(|text| text == wanted) {
        return Ok(root);
    }
    println!("==> Programs for {} guests, from Debian's packages", arch.debian());
    let apt = Apt::of_release(top, PROGRAMS_RELEASE, arch)?;
    let debs = apt.download_closure(packages)?;
    let _none = fs::remove_dir_all(&root);
    fs::create_dir_all(&root)?;
    for deb in &debs {
        unpack_deb(deb, &root)?;
    }
    fs::write(made_of, wanted)?;
    Ok(root)
}

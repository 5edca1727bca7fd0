//! The eBPF toolchain: the standard library's source (rust-src) and bpf-linker.
//!
//! First choice: the pinned toolchain with its rust-src from rustup, and the bpf-linker that uses this
//! toolchain's own LLVM. Where rustup has no server to ask, Debian has a matching set (Rust, its source and
//! LLVM 22), which becomes a rustup toolchain of its own that builds the eBPF side only. The build
//! script of ha-userspace reads its name from the environment variable [`VARIABLE`].

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};

use super::{packages, print_row};
use crate::sys;

/// The bpf-linker for the pinned toolchain: newer ones want a newer LLVM than this rustc brings.
const LINKER: &str = "0.10.4";
/// The bpf-linker for Debian's LLVM 22.
const DEBIAN_LINKER: &str = "0.13.0";
/// Read by the build script of ha-userspace: the rustup name of the toolchain for the eBPF side.
const VARIABLE: &str = "XVRRP_RUST_TOOLCHAIN";
/// The name under which rustup knows Debian's Rust.
const DEBIAN_TOOLCHAIN: &str = "xvrrp-bpf";
const DEBIAN_PACKAGES: [&str; 4] = ["rustc-web", "cargo-web", "rust-web-src", "llvm-22-dev"];
const DEBIAN_LLVM: &str = "/usr/lib/llvm-22";
/// Below a sysroot: present if and only if rust-src is.
const STD_SOURCE: &str = "lib/rustlib/src/rust/library/Cargo.lock";

/// Who compiles the eBPF side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// The toolchain that `rust-toolchain.toml` pins.
    Pinned,
    /// Debian's, linked into rustup as [`DEBIAN_TOOLCHAIN`].
    Debian,
}

impl Way {
    /// The bpf-linker that goes with this LLVM.
    fn linker(self) -> &'static str {
        match self {
            Self::Pinned => LINKER,
            Self::Debian => DEBIAN_LINKER,
        }
    }
}

/// The choice as it stands: Debian's only if it was recorded, still is there, and the pinned toolchain has
/// no source.
pub(super) fn way() -> Way {
    let recorded = record_file()
        .is_ok_and(|file| fs::read_to_string(file).is_ok_and(|name| name.trim() == DEBIAN_TOOLCHAIN));
    if recorded && std_source().is_err() && Path::new("/usr").join(STD_SOURCE).exists() {
        Way::Debian
    } else {
        Way::Pinned
    }
}

/// Prints one line for each part.
pub(super) fn print_status() {
    let way = way();
    print_row("rust-src", &source_for(way).map(|path| path.display().to_string()));
    print_row("bpf-linker", &linker(way));
}

/// Gets what is missing and says how the eBPF side will be built.
///
/// # Errors
/// When neither way works here. The message holds the commands for both.
pub(super) fn ensure() -> Result<Way> {
    let mut way = way();
    if let Err(why) = source_for(way) {
        way = get_source(&why)?;
    }
    record(way)?;
    if linker(way).is_err() {
        get_linker(way)?;
    }
    Ok(way)
}

/// Tells every cargo that this xtask starts to build the eBPF side with Debian's Rust.
#[expect(unsafe_code, reason = "set_var: the only way to reach the children of every subcommand")]
pub(super) fn choose_debian() {
    // Who set it by hand knows better.
    if env::var_os(VARIABLE).is_none() {
        println!("note: {VARIABLE}={DEBIAN_TOOLCHAIN}; give it to a plain `cargo build` too");
        // SAFETY: subcommands start threads only after the setup, so this process has one thread.
        unsafe { env::set_var(VARIABLE, DEBIAN_TOOLCHAIN) };
    }
}

/// Where the choice is kept: one line, the name of a rustup toolchain; absent means the pinned one.
fn record_file() -> Result<PathBuf> {
    Ok(sys::target_dir()?.join("bpf-toolchain"))
}

fn record(way: Way) -> Result<()> {
    let file = record_file()?;
    match way {
        Way::Pinned if !file.exists() => Ok(()),
        Way::Pinned => fs::remove_file(&file).with_context(|| format!("cannot remove {}", file.display())),
        Way::Debian => {
            let write = |file: &Path| {
                fs::create_dir_all(file.parent().unwrap_or(file))?;
                fs::write(file, format!("{DEBIAN_TOOLCHAIN}\n"))
            };
            write(&file).with_context(|| format!("cannot write {}", file.display()))
        }
    }
}

/// The standard library's source in the pinned toolchain.
fn std_source() -> Result<PathBuf, String> {
    let sysroot = sys::output(sys::tool("rustc").args(["--print", "sysroot"]));
    let sysroot = sysroot.map_err(|error| format!("{error:#}"))?;
    let path = Path::new(sysroot.trim()).join(STD_SOURCE);
    if path.exists() { Ok(path) } else { Err(format!("not in {}", sysroot.trim())) }
}

fn source_for(way: Way) -> Result<PathBuf, String> {
    match way {
        Way::Pinned => std_source(),
        Way::Debian => Ok(Path::new("/usr").join(STD_SOURCE)),
    }
}

/// Path and version of bpf-linker, or why it will not do.
fn linker(way: Way) -> Result<String, String> {
    let want = way.linker();
    let file = sys::find("bpf-linker").ok_or_else(|| format!("{want} wanted, none found"))?;
    let says = sys::output(sys::tool(&file).arg("--version")).map_err(|error| format!("{error:#}"))?;
    let version = version_in(&says).unwrap_or("an unknown version");
    if version == want {
        Ok(format!("{version} ({})", file.display()))
    } else {
        Err(format!("{want} wanted, {} is {version}", file.display()))
    }
}

/// The version in a line such as `bpf-linker 0.10.4`.
fn version_in(line: &str) -> Option<&str> {
    line.split_whitespace().find(|word| {
        let mut parts = word.split('.');
        parts.by_ref().take(2).filter(|part| part.parse::<u32>().is_ok()).count() == 2
            && parts.next().is_some()
    })
}

fn get_source(why: &str) -> Result<Way> {
    if sys::find("rustup").is_none() {
        bail!(
            "rust-src is {why}, and there is no rustup to add it.\n\
             Install rustup (https://rustup.rs, or your distribution's package), then run\n    \
             rustup component add rust-src\n\
             in this directory, which picks the pinned toolchain. Without rustup: install your \
             distribution's package of the Rust standard library's source (Debian: rust-src) for the rustc \
             that is on the PATH; it must be Rust 1.95 or later."
        );
    }
    let mut add = sys::tool("rustup");
    add.args(["component", "add", "rust-src"]);
    let Err(error) = sys::run("Adding the source of the standard library (rust-src)", &mut add) else {
        return Ok(Way::Pinned);
    };
    println!("    {error:#}");
    println!("    rustup could not get it; trying Debian's Rust and LLVM for the eBPF side instead.");
    get_debian().with_context(|| {
        format!(
            "the eBPF side cannot be built yet. Either, where rustup can reach its server:\n    \
             rustup component add rust-src\nor, on Debian 12 or later, as root:\n    \
             apt-get update && apt-get install --no-install-recommends {}\nand then, as yourself: \
             cargo xtask setup",
            DEBIAN_PACKAGES.join(" ")
        )
    })?;
    println!("    The eBPF side will be built by Debian's Rust, known to rustup as {DEBIAN_TOOLCHAIN}.");
    Ok(Way::Debian)
}

fn get_debian() -> Result<()> {
    let missing = packages::not_installed(&DEBIAN_PACKAGES);
    if !missing.is_empty() {
        packages::install(&missing)?;
    }
    if !Path::new("/usr").join(STD_SOURCE).exists() {
        bail!("the packages are installed, but /usr/{STD_SOURCE} is not there");
    }
    let mut link = sys::tool("rustup");
    link.args(["toolchain", "link", DEBIAN_TOOLCHAIN, "/usr"]);
    sys::run("Making Debian's Rust known to rustup", &mut link)?;
    Ok(())
}

fn get_linker(way: Way) -> Result<()> {
    let mut install = sys::cargo();
    // --force: cargo does not replace a program that it has not installed itself.
    install.args(["install", "bpf-linker", "--force", "--locked", "--version", way.linker()]);
    if way == Way::Debian {
        install.args(["--no-default-features", "--features", "llvm-22"]).env("LLVM_PREFIX", DEBIAN_LLVM);
    }
    if let Err(old) = linker(way)
        && sys::find("bpf-linker").is_some()
    {
        println!("bpf-linker {old}; it will be replaced.");
    }
    sys::run("Installing bpf-linker (a minute or two)", &mut install)?;
    linker(way).map(drop).map_err(|why| {
        anyhow::anyhow!(
            "bpf-linker was installed, but is not the one that is found: {why}.\n\
             Put the directory that cargo named above first on the PATH."
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_what_programs_say() {
        assert_eq!(version_in("bpf-linker 0.10.4\n"), Some("0.10.4"));
        assert_eq!(version_in("bpf-linker 0.11.0-rc.1"), Some("0.11.0-rc.1"));
        assert_eq!(version_in("rustc 1.95.0 (59807616e 2026-04-14)"), Some("1.95.0"));
        assert_eq!(version_in("bpf-linker a.b.c 12 1.2"), None);
        assert_eq!(version_in(""), None);
    }
}

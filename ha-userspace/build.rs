//! Builds the XDP program and leaves the object at `$OUT_DIR/ha-ebpf`, where `src/xdp/loader.rs` embeds it.
//!
//! The nested build uses the toolchain of the outer one (or the one that `cargo xtask setup` chose where that one
//! cannot build for BPF), always optimises, and has a target directory of its own below `OUT_DIR`, so it never
//! waits for the outer build's lock.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Set by `cargo xtask setup` where the pinned toolchain has no rust-src: the rustup name of one that has.
const TOOLCHAIN_VARIABLE: &str = "XVRRP_RUST_TOOLCHAIN";

fn main() {
    let root = Path::new("..");
    for watched in ["ha-ebpf/src", "ha-ebpf/Cargo.toml", "ha-common/src", "ha-common/Cargo.toml"] {
        println!("cargo::rerun-if-changed={}", root.join(watched).display());
    }
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed={}", root.join("Cargo.toml").display());
    println!("cargo::rerun-if-changed={}", root.join("Cargo.lock").display());
    println!("cargo::rerun-if-env-changed={TOOLCHAIN_VARIABLE}");

    let toolchain = [TOOLCHAIN_VARIABLE, "RUSTUP_TOOLCHAIN"]
        .into_iter()
        .find_map(|variable| env::var(variable).ok().filter(|name| !name.is_empty()));
    if let Err(missing) = look_for_bpf_toolchain(toolchain.as_deref()) {
        fail(&format!(
            "the XDP program cannot be built: {missing}. Run `cargo xtask setup`, which installs it"
        ));
        return;
    }

    set_nested_environment();
    let package = aya_build::Package {
        name: "ha-ebpf",
        // Only watched by aya-build; what is compiled is named above.
        root_dir: "../ha-ebpf/src",
        ..Default::default()
    };
    let toolchain = toolchain.as_deref().map_or(aya_build::Toolchain::Nightly, aya_build::Toolchain::Custom);
    if aya_build::build_ebpf([package], toolchain).is_err() {
        // The error is the nested command line; the reason has been passed through.
        fail("the XDP program (package ha-ebpf) does not compile; the compiler's messages are above");
    }
}

/// Fails the build with one line. (cargo prints the whole output of a build script that exits with an error.)
fn fail(message: &str) {
    println!("cargo::error={message}");
}

/// Names what is missing.
fn look_for_bpf_toolchain(toolchain: Option<&str>) -> Result<(), String> {
    let mut rustc = match toolchain {
        Some(name) => {
            let mut rustup = Command::new("rustup");
            rustup.args(["run", name, "rustc"]);
            rustup
        }
        None => Command::new("rustc"),
    };
    let name = toolchain.unwrap_or("the default one");
    let sysroot = match rustc.args(["--print", "sysroot"]).output() {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        _ => return Err(format!("the Rust toolchain {name} does not run")),
    };
    let source = PathBuf::from(sysroot).join("lib/rustlib/src/rust/library/core");
    if !source.join("Cargo.toml").exists() {
        return Err(format!("the Rust toolchain {name} has no rust-src"));
    }
    let linker = Command::new("bpf-linker").arg("--version").output();
    if !linker.is_ok_and(|output| output.status.success()) {
        return Err("bpf-linker is not installed, or does not run".to_owned());
    }
    Ok(())
}

/// What aya-build takes from its own environment, and the nested cargo inherits.
#[expect(unsafe_code, reason = "aya-build has no other way to be told")]
fn set_nested_environment() {
    // SAFETY: this process has one thread at this point.
    unsafe {
        // build-std and the eBPF target need unstable features of the pinned stable compiler.
        env::set_var("RUSTC_BOOTSTRAP", "1");
        // Progress would come out as warnings.
        env::set_var("CARGO_TERM_QUIET", "true");
        env::set_var("CARGO_TERM_COLOR", "never");
    }
}

//! What building for other machines needs: Rust's standard library for them, and a C compiler.

use std::path::Path;

use anyhow::{Context as _, Result, bail};

use super::packages;
use crate::{
    dist::{Compiler, Processor, Target},
    sys,
};

/// Gets what building for `targets` lacks.
///
/// # Errors
/// When something could not be had; the message says what to run by hand.
pub(crate) fn ensure(targets: &[Target]) -> Result<()> {
    let mut missing: Vec<&str> = Vec::new();
    for compiler in targets.iter().filter_map(|target| target.compiler(Processor::here())) {
        if !is_complete(compiler) {
            missing.extend(
                compiler.packages.iter().filter(|package| !missing.contains(package)).collect::<Vec<_>>(),
            );
        }
    }
    if !missing.is_empty() {
        packages::install(&missing)?;
    }
    for target in targets {
        if !has_library(target.triple())? {
            get_library(target.triple())?;
        }
    }
    Ok(())
}

/// Whether the compiler is there with the C library's files, which are a package of their own.
fn is_complete(compiler: Compiler) -> bool {
    let Some(program) = sys::find(compiler.program) else { return false };
    sys::output(sys::tool(program).arg("-print-file-name=crt1.o")).is_ok_and(|answer| is_place(&answer))
}

/// gcc answers with the bare name where it has no such file.
fn is_place(answer: &str) -> bool {
    Path::new(answer.trim()).components().count() > 1
}

/// Whether the pinned toolchain has the standard library of a target.
fn has_library(triple: &str) -> Result<bool> {
    let sysroot = sys::output(sys::tool("rustc").args(["--print", "sysroot"]))?;
    Ok(Path::new(sysroot.trim()).join("lib/rustlib").join(triple).join("lib").is_dir())
}

fn get_library(triple: &str) -> Result<()> {
    if sys::find("rustup").is_none() {
        bail!(
            "the Rust standard library for {triple} is missing, and there is no rustup to add it; install your \
             distribution's package of it for the rustc that is on the PATH (Debian: libstd-rust-dev of that \
             architecture), or rustup"
        );
    }
    let mut add = sys::tool("rustup");
    add.args(["target", "add", triple]);
    let title = format!("Adding the standard library for {triple}");
    sys::run(&title, &mut add).map(drop).with_context(|| {
        format!("where rustup can reach its server, run in this directory:\n    rustup target add {triple}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_name_is_no_place() {
        assert!(is_place(
            "/usr/lib/gcc-cross/aarch64-linux-gnu/12/../../../../aarch64-linux-gnu/lib/crt1.o\n"
        ));
        assert!(!is_place("crt1.o\n"));
        assert!(!is_place(""));
    }
}

//! Manual pages and completions, from the program itself, and the page about the configuration.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};

use crate::sys;

use super::conf_page;

/// What packages bring besides the program.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pages {
    /// Names such as `xvrrp-status.8`, and the pages.
    pub(crate) manual: Vec<(String, Vec<u8>)>,
    /// Where a shell looks, and what it finds there.
    pub(crate) completions: Vec<(&'static str, Vec<u8>)>,
}

/// Shells, and where they look.
const SHELLS: [(&str, &str); 3] = [
    ("bash", "/usr/share/bash-completion/completions/xvrrp"),
    ("fish", "/usr/share/fish/vendor_completions.d/xvrrp.fish"),
    ("zsh", "/usr/share/zsh/vendor-completions/_xvrrp"),
];

/// Asks `program`, which must run on this machine. `directory` is for the pages alone.
///
/// # Errors
/// When the program does not answer, or files cannot be written.
pub(crate) fn of(program: &Path, directory: &Path) -> Result<Pages> {
    if directory.exists() {
        fs::remove_dir_all(directory).with_context(|| format!("cannot remove {}", directory.display()))?;
    }
    fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
    sys::output(sys::tool(program).args(["man", "--dir"]).arg(directory))?;
    fs::write(directory.join(conf_page::NAME), conf_page::page()?)?;
    let mut manual = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        manual.push((entry.file_name().to_string_lossy().into_owned(), fs::read(entry.path())?));
    }
    manual.sort();
    let mut completions = Vec::new();
    for (shell, path) in SHELLS {
        let script = sys::output(sys::tool(program).args(["completions", shell]))?;
        completions.push((path, script.into_bytes()));
    }
    Ok(Pages { manual, completions })
}

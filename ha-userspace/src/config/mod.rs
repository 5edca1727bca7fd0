//! The configuration: keepalived's language in, a typed model out.
//!
//! In layers, one file each: `files` and [`source`] (bytes and places), `reader` (includes, `@id`, definitions,
//! repetitions), [`lexer`] (words), [`tree`] (blocks), [`keywords`] (what exists), `lower` (the model),
//! `analysis` (what is legal but pointless). Every layer reports into [`Diagnostics`] and goes on, so that all
//! problems are shown at once. Nothing here touches the network or runs a script.
//!
//! Called by the daemon at start and on reload, and by `xvrrp check`.

pub mod analysis;
pub mod codes;
pub mod define;
pub mod diag;
pub mod explain;
mod files;
mod include;
pub mod keywords;
pub mod lexer;
mod lookalike;
mod lower;
pub mod model;
pub mod outline;
mod reader;
mod render;
pub mod report;
pub mod sequence;
pub mod source;
pub mod text;
pub mod tree;

#[cfg(test)]
mod tests;

use std::path::Path;

pub use diag::{Diagnostic, Diagnostics, Severity};
use model::{Config, Global, Script};
use outline::Outline;

/// Why a script would not be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// What is wrong, naming the file or the path component.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

/// Says whether a script could be run on this host.
pub type ScriptCheck = Box<dyn Fn(&Script, &Global) -> Result<(), Refused>>;

/// Says whether an interface exists on this host; where it does not, what there is instead.
pub type InterfaceCheck = Box<dyn Fn(&str) -> Result<(), String>>;

/// What the meaning of a file depends on besides its text.
pub struct LoadOptions {
    /// Which `@id` lines apply; `-i`, else the short host name. The id `xvrrp` always applies as well.
    pub config_id: String,
    /// Start of `${_RANDOM}`.
    pub random_seed: u64,
    /// Looks at the files of scripts. Without it, loading never looks at them.
    pub script_check: Option<ScriptCheck>,
    /// Knows which interfaces exist. Without it, loading does not ask: they may come later.
    pub interface_check: Option<InterfaceCheck>,
}

impl LoadOptions {
    /// The options for this host: its short name, and a seed of the moment.
    #[must_use]
    pub fn for_host() -> Self {
        use std::hash::{BuildHasher, Hasher};
        // What uname(2) calls the node name.
        let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let short = name.trim().split('.').next().unwrap_or_default().to_owned();
        let seed = std::collections::hash_map::RandomState::new().build_hasher().finish();
        Self { config_id: short, random_seed: seed, script_check: None, interface_check: None }
    }
}

/// The result of loading.
#[derive(Debug)]
pub struct Loaded {
    /// All that can run. Empty after a fatal problem.
    pub config: Config,
    /// All that was found.
    pub diagnostics: Diagnostics,
    /// Where things stand.
    pub outline: Outline,
    /// The configuration cannot be run; a reload must keep the old one.
    pub fatal: bool,
}

/// Load a file and all that it includes.
#[must_use]
pub fn load(path: &Path, options: &LoadOptions) -> Loaded {
    let mut diags = Diagnostics::default();
    let tree = reader::Reader::new(&mut diags, options).file(path);
    finish(&tree, options, diags)
}

/// Load text from memory; `name` is used in messages, and includes are relative to its directory.
#[must_use]
pub fn load_str(name: &str, bytes: &[u8], options: &LoadOptions) -> Loaded {
    let mut diags = Diagnostics::default();
    let tree = reader::Reader::new(&mut diags, options).bytes(Path::new(name), bytes);
    finish(&tree, options, diags)
}

fn finish(tree: &[tree::Statement], options: &LoadOptions, mut diags: Diagnostics) -> Loaded {
    let mut config = Config::default();
    let outline = Outline::of(tree);
    if !diags.is_fatal() {
        config = lower::lower(tree, options, &mut diags);
        analysis::run(&config, &outline, &mut diags);
        if tree.is_empty() && diags.worst().is_none() {
            reader::note_empty(&mut diags);
        }
    }
    diags.sort();
    let fatal = diags.is_fatal();
    if fatal {
        config = Config::default();
    }
    Loaded { config, diagnostics: diags, outline, fatal }
}

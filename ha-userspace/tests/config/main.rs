//! Whole configuration files: what is found in each, what survives mutation, and what keepalived says.
//!
//! The files beside this one start with `# keepalived: CODE` (what `keepalived -t` 2.2.7 says, by behaviour) and
//! `# expect: CODE XV…` (what is expected here); the tutorial's files are verbatim and listed in [`corpus`].

mod compat;
mod corpus;
mod keepalived;
mod language;
mod mutate;
mod noise;

use std::path::{Path, PathBuf};

use ha_userspace::config::codes::NOT_IMPLEMENTED;
use ha_userspace::config::report::{self, Verdict};
use ha_userspace::config::{Diagnostic, LoadOptions, Loaded, Severity};
use libtest_mimic::{Arguments, Trial};

/// Where the files are.
fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config")
}

/// All files, in order.
fn files() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory()).expect("the corpus directory is there");
    let mut files: Vec<_> = entries.map(|entry| entry.expect("a directory entry").path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "conf"));
    files.sort();
    files
}

/// A host named `host` with the interfaces of the corpus.
fn options() -> LoadOptions {
    LoadOptions {
        config_id: "host".to_owned(),
        random_seed: 1,
        script_check: None,
        interface_check: Some(Box::new(|name| {
            let known = matches!(name, "ens160" | "eth0" | "eth1");
            if known { Ok(()) } else { Err("there are ens160, eth0 and eth1".to_owned()) }
        })),
    }
}

/// The codes of all findings, sorted; without what this build does not do yet, which is no matter of the file.
fn codes(loaded: &Loaded) -> Vec<String> {
    let findings = loaded.diagnostics.iter().filter(|finding| finding.code != NOT_IMPLEMENTED);
    let mut codes: Vec<_> = findings.map(|finding| finding.code.to_string()).collect();
    codes.sort();
    codes
}

/// The verdict, without what this build does not do yet.
fn verdict(loaded: &Loaded) -> Verdict {
    let complains =
        |finding: &Diagnostic| finding.severity >= Severity::Warning && finding.code != NOT_IMPLEMENTED;
    match report::verdict(loaded) {
        Verdict::Complaints if !loaded.diagnostics.iter().any(complains) => Verdict::Good,
        verdict => verdict,
    }
}

/// The value of a `# KEY: value` line at the top of a file.
fn header(text: &[u8], key: &str) -> Option<String> {
    let text = String::from_utf8_lossy(text).into_owned();
    let prefix = format!("# {key}: ");
    let mut lines = text.lines().take_while(|line| line.starts_with("# "));
    lines.find_map(|line| line.strip_prefix(&prefix)).map(|value| value.trim().to_owned())
}

fn main() {
    let mut trials: Vec<Trial> = Vec::new();
    trials.extend(compat::trials());
    trials.extend(corpus::trials());
    trials.extend(mutate::trials());
    trials.extend(noise::trials());
    trials.extend(keepalived::trials());
    trials.extend(language::trials());
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

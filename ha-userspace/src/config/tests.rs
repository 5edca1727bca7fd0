//! Layer by layer, on text in memory.

mod features;
mod hmac;
mod keywords;
mod language;
mod secret;
mod values;
mod webhook;

use std::path::Path;

use super::diag::Severity;
use super::model::{Config, Instance};
use super::{LoadOptions, Loaded, load, load_str};

/// A host named `host`.
fn options() -> LoadOptions {
    LoadOptions { config_id: "host".to_owned(), random_seed: 7, script_check: None, interface_check: None }
}

fn loaded(text: &str) -> Loaded {
    load_str("/nonexistent/test.conf", text.as_bytes(), &options())
}

fn loaded_file(path: &Path) -> Loaded {
    load(path, &options())
}

/// All findings, one a line.
fn findings(loaded: &Loaded) -> Vec<String> {
    loaded.diagnostics.iter().map(|finding| loaded.diagnostics.one_line(finding)).collect()
}

/// The codes of all findings that are more than notes, without what this build does not do yet.
fn complaints(loaded: &Loaded) -> Vec<&'static str> {
    let worse = loaded.diagnostics.iter().filter(|finding| {
        finding.severity > Severity::Note && finding.code != crate::config::codes::NOT_IMPLEMENTED
    });
    worse.map(|finding| finding.code.0).collect()
}

/// A sound instance with `lines` added.
fn instance_with(lines: &str) -> Loaded {
    loaded(&format!(
        "vrrp_instance VI {{\ninterface eth0\nvirtual_router_id 9\nvirtual_ipaddress {{\n10.0.0.1\n}}\n{lines}\n}}\n"
    ))
}

fn only(config: &Config) -> &Instance {
    let [instance] = config.instances.as_slice() else { panic!("not one instance: {config:?}") };
    instance
}

//! Where it was measured.

use std::fs;

use serde::{Deserialize, Serialize};

use crate::sys;

/// What a reader must know to judge absolute figures.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Machine {
    pub(super) kernel: String,
    /// Model and number of processors.
    pub(super) processors: String,
    /// `shared virtual machine (kvm)` or `bare metal`.
    pub(super) kind: String,
    /// UTC.
    pub(super) date: String,
    pub(super) keepalived: String,
    pub(super) xvrrp: String,
    /// Load average before the first measurement.
    pub(super) load: String,
}

impl Machine {
    /// This machine, now.
    pub(super) fn here() -> Self {
        let read = |file| fs::read_to_string(file).unwrap_or_default();
        let say = |words: &[&str]| {
            let output = words.split_first().map(|(program, args)| {
                let output = sys::tool(program).args(args).output();
                output.map(|o| [o.stdout, o.stderr].concat()).unwrap_or_default()
            });
            let text = String::from_utf8_lossy(&output.unwrap_or_default()).into_owned();
            text.lines().next().unwrap_or("unknown").trim().to_owned()
        };
        let cpuinfo = read("/proc/cpuinfo");
        let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let count = cpuinfo.lines().filter(|line| line.starts_with("processor")).count();
        let virtual_machine =
            cpuinfo.lines().any(|line| line.starts_with("flags") && line.contains(" hypervisor"));
        let commit = say(&["git", "rev-parse", "--short=10", "HEAD"]);
        Self {
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            processors: format!("{count} × {}", model.map_or("unknown", |(_, model)| model)),
            kind: if virtual_machine { "shared virtual machine" } else { "bare metal" }.to_owned(),
            date: say(&["date", "-u", "+%Y-%m-%d %H:%M UTC"]),
            keepalived: say(&["keepalived", "--version"]),
            xvrrp: format!("{} ({commit})", env!("CARGO_PKG_VERSION")),
            load: read("/proc/loadavg").split_whitespace().take(3).collect::<Vec<_>>().join(" "),
        }
    }
}

//! The analyses that look beyond the file say nothing without reason: every file of the corpus, on a host that fits
//! and beside a twin.

use std::time::Duration;

use ha_userspace::config::analysis::host::{Host, Interface};
use ha_userspace::config::analysis::{host, peer};
use ha_userspace::config::{self, Loaded, Severity};
use libtest_mimic::{Failed, Trial};

use super::{files, options};

pub(super) fn trials() -> Vec<Trial> {
    vec![
        Trial::test("a_host_that_fits_is_not_talked_about", fitting_host),
        Trial::test("a_file_beside_itself_differs_in_nothing", twins),
    ]
}

/// Codes of group `prefix` in what was found.
fn codes(loaded: &Loaded, prefix: &str) -> Vec<&'static str> {
    let mut codes: Vec<_> = loaded.diagnostics.iter().map(|finding| finding.code.0).collect();
    codes.retain(|code| code.starts_with(prefix));
    codes.sort_unstable();
    codes.dedup();
    codes
}

/// Interfaces whose networks hold every address.
fn fitting_host() -> Result<(), Failed> {
    let interface = |name: &str| Interface {
        name: name.to_owned(),
        up: true,
        facts: None,
        addresses: [("172.16.1.1", 0), ("fd00:16::1", 0), ("fe80::172:1", 64)]
            .iter()
            .map(|(address, prefix)| (address.parse().expect("an address"), *prefix))
            .collect(),
    };
    let fitting = Host {
        interfaces: ["ens160", "eth0", "eth1"].map(interface).to_vec(),
        resolution: Some(Duration::from_nanos(1)),
        no_realtime: Some("refused".to_owned()),
        processors: 2,
        firewall: None,
    };
    let mut problems = Vec::new();
    for path in files() {
        let mut loaded = config::load(&path, &options());
        let worst = loaded.diagnostics.worst().unwrap_or(Severity::Note);
        host::check(&mut loaded, &fitting);
        let name = path.file_name().expect("a file has a name").to_string_lossy().into_owned();
        // A source, or a peer, that belongs to another host; and advert_int 0.01 without SCHED_FIFO.
        let mut found = codes(&loaded, "XV08");
        found.retain(|code| !matches!(*code, "XV0803" | "XV0805" | "XV0807"));
        if !found.is_empty() || loaded.diagnostics.worst().unwrap_or(Severity::Note) != worst {
            problems.push(format!("{name}: {found:?}"));
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(problems.join("\n").into()) }
}

fn twins() -> Result<(), Failed> {
    let mut problems = Vec::new();
    for path in files() {
        let mut loaded = config::load(&path, &options());
        peer::compare(&mut loaded, config::load(&path, &options()));
        let mut found = codes(&loaded, "XV09");
        // Priorities and unicast sources must differ, and do not; what cannot run is compared with nothing.
        found.retain(|code| !matches!(*code, "XV0907" | "XV0908" | "XV0912"));
        if !found.is_empty() {
            let name = path.file_name().expect("a file has a name").to_string_lossy().into_owned();
            problems.push(format!("{name}: {found:?}"));
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(problems.join("\n").into()) }
}

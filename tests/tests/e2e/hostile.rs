//! Bad input of every kind against the real daemon: packets, files, scripts, clients. Each gives a clear
//! message and a defined state; none a panic, a leak or a lost virtual address.
//!
//! Here is what these files share. The `degraded` files are about what the machine withholds or takes away.

#[path = "hostile_control.rs"]
mod control;
#[path = "hostile_files.rs"]
mod files;
#[path = "hostile_flood.rs"]
mod flood;
#[path = "hostile_frames.rs"]
pub(crate) mod frames;
#[path = "hostile_local.rs"]
mod local;
#[path = "hostile_packets.rs"]
mod packets;
#[path = "hostile_scripts.rs"]
mod scripts;
#[path = "hostile_strangers.rs"]
mod strangers;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::process::Output;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use ha_tests::lab::{Host, RUN_DIR, Running, wait_for};
use serde_json::Value;

use crate::harness::Test;

pub(crate) const MASTER: &str = include_str!("../../inputs/two-node/master.conf");
pub(crate) const BACKUP: &str = include_str!("../../inputs/two-node/backup.conf");
pub(crate) const VIP: IpAddr = IpAddr::V4(Ipv4Addr::new(172, 16, 1, 25));

pub(crate) fn tests() -> Vec<Test> {
    [
        packets::tests(),
        flood::tests(),
        files::tests(),
        scripts::tests(),
        control::tests(),
        local::tests(),
        strangers::tests(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Runs `xvrrp` with `arguments` on `host` to its end.
pub(crate) fn xvrrp(host: &Host, arguments: &[&str]) -> Result<Output> {
    host.run_xvrrp(arguments)
}

/// Everything that a program wrote.
pub(crate) fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// `xvrrp status --json` or `counters --json`.
pub(crate) fn json(host: &Host, command: &str) -> Result<Value> {
    let output = xvrrp(host, &[command, "--json", "--run-dir", RUN_DIR])?;
    // The status tells of faults by its exit code, and is there all the same.
    let answered = if command == "status" { 0..=2 } else { 0..=0 };
    let code = output.status.code();
    ensure!(code.is_some_and(|code| answered.contains(&code)), "xvrrp {command}: {}", text(&output));
    serde_json::from_slice(&output.stdout).with_context(|| format!("xvrrp {command}: {}", text(&output)))
}

/// All counters of the host's first interface.
pub(crate) fn counters(host: &Host) -> Result<BTreeMap<String, u64>> {
    let all = json(host, "counters")?;
    let list = all["interfaces"][0]["counters"].as_array().context("no counters")?;
    let pair = |entry: &Value| Some((entry["name"].as_str()?.to_owned(), entry["value"].as_u64()?));
    Ok(list.iter().filter_map(pair).collect())
}

/// State of the instance called `name`; empty where the daemon does not answer.
pub(crate) fn state(host: &Host, name: &str) -> String {
    let status = host.xvrrp_status();
    status.ok().and_then(|s| Some(s.instance(name)?.state.clone())).unwrap_or_default()
}

/// Waits until the instance is in `wanted`.
pub(crate) fn reach(host: &Host, name: &str, wanted: &str, patience: Duration) -> Result<()> {
    wait_for(patience, || (state(host, name) == wanted).then_some(())).with_context(|| {
        format!("{name} on {} is {:?}, not {wanted}, after {patience:?}", host.name(), state(host, name))
    })
}

/// Waits until the daemon has logged all of `words` in one line; the line.
pub(crate) fn logged(daemon: &Running, words: &[&str]) -> Result<String> {
    let found = || {
        let log = daemon.log();
        log.lines().find(|line| words.iter().all(|word| line.contains(word))).map(str::to_owned)
    };
    wait_for(ms(3_000), found)
        .with_context(|| format!("no line with {words:?} in the log:\n{}", daemon.log()))
}

/// A daemon that has not panicked, and a log of a bearable length.
pub(crate) fn sound(daemon: &mut Running, most_lines: usize) -> Result<()> {
    daemon.check_alive()?;
    let log = daemon.log();
    if let Some(line) = log.lines().find(|line| line.contains("panicked")) {
        bail!("{line}");
    }
    let lines = log.lines().count();
    ensure!(lines <= most_lines, "{lines} lines in the log, more than {most_lines}:\n{log}");
    Ok(())
}

pub(crate) const fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

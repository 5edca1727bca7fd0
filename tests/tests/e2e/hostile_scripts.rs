//! Scripts that misbehave: each is told from the others, and no advert is late because of them.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ha_tests::lab::{Daemon, Host, Lab, Moment, Running, Wire, wait_for};
use serde_json::Value;

use super::{VIP, json, logged, ms, reach, sound};
use crate::harness::Test;
use crate::punctual::steady;

const DIR: &str = "/etc/keepalived";
/// Ten adverts a second, and how late the wire may see one.
const LONGEST_PAUSE: Duration = ms(120);

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("hostile::scripts_that_misbehave", misbehave).needs([Daemon::XvrrpRfc]).long(),
        Test::new("hostile::scripts_that_cannot_be_run", cannot_be_run).needs([Daemon::XvrrpRfc]),
        Test::new("hostile::a_failing_script_of_weight_0", weight_zero).needs([Daemon::XvrrpRfc]),
    ]
}

/// An instance that tracks scripts: `(name, weight)`; each runs `DIR/<name>`.
fn config(priority: u8, security: bool, scripts: &[(&str, i16)]) -> String {
    let security = if security { "enable_script_security\n" } else { "" };
    let mut text = format!("global_defs {{\n script_user root\n {security}}}\n");
    for (name, weight) in scripts {
        text += &format!(
            "vrrp_script {name} {{\n script \"{DIR}/{name}\"\n interval 1\n timeout 1\n weight {weight}\n}}\n"
        );
    }
    let names: Vec<_> = scripts.iter().map(|(name, _)| *name).collect();
    text + &format!(
        "vrrp_instance VI_1 {{\n interface ens160\n version 3\n virtual_router_id 9\n priority {priority}\n \
         advert_int 0.1\n virtual_ipaddress {{ {VIP} }}\n track_script {{ {} }}\n}}\n",
        names.join("\n")
    )
}

fn script(host: &Host, name: &str, body: &str, mode: u32) -> Result<()> {
    host.write(format!("{DIR}/{name}"), format!("#!/bin/sh\n{body}\n"), mode)
}

fn entry(host: &Host, name: &str) -> Option<Value> {
    let status = json(host, "status").ok()?;
    status["scripts"].as_array()?.iter().find(|script| script["name"] == name).cloned()
}

/// Waits until the script called `name` is in `wanted`; its entry.
fn becomes(host: &Host, name: &str, wanted: &str) -> Result<Value> {
    wait_for(ms(6_000), || entry(host, name).filter(|entry| entry["state"] == wanted))
        .with_context(|| format!("{name} is {:?}, not {wanted}", entry(host, name)))
}

/// The master's adverts since `from` came without a pause.
fn no_pause(wire: &Wire, from: Moment) -> Result<()> {
    let adverts = wire.filter(|s| s.is_advert_from("r1") && s.at > from);
    let times: Vec<_> = adverts.iter().map(|seen| seen.at).collect();
    let gap = steady("adverts of the master", &times, LONGEST_PAUSE)?;
    println!("longest pause between two of {} adverts: {gap:?}", adverts.len());
    Ok(())
}

fn start(lab: &Lab, security: bool, scripts: &[(&str, i16)]) -> Result<[Running; 2]> {
    let (r1, r2) = (lab.host("r1")?, lab.host("r2")?);
    let backup = r2.start(Daemon::XvrrpRfc, &config(90, false, &[]).replace("track_script {  }", ""))?;
    let master = r1.start(Daemon::XvrrpRfc, &config(200, security, scripts))?;
    Ok([master, backup])
}

/// Hanging, forking and babbling scripts cost their weight or nothing; their processes are not left behind.
fn misbehave(lab: &Lab) -> Result<()> {
    let r1 = lab.host("r1")?;
    script(r1, "hangs", "trap '' TERM; while :; do sleep 100; done", 0o755)?;
    script(r1, "forks", "for i in 1 2 3 4 5 6 7 8; do sleep 100 & done; wait", 0o755)?;
    script(r1, "babbles", "head -c 1000000000 /dev/zero; head -c 1000000 /dev/zero >&2", 0o755)?;
    let [mut master, mut backup] = start(lab, false, &[("hangs", -3), ("forks", -5), ("babbles", -7)])?;
    reach(r1, "VI_1", "MASTER", ms(8_000))?;
    let (wire, begin) = (lab.switch().watch()?, Moment::now());
    for name in ["hangs", "forks"] {
        let entry = becomes(r1, name, "bad")?;
        ensure!(entry["last_result"].as_str().is_some_and(|r| r.contains("timeout")), "{name}: {entry}");
    }
    let babbles = becomes(r1, "babbles", "good")?;
    ensure!(babbles["last_result"] == "exit 0", "{babbles}");
    std::thread::sleep(ms(4_000));
    let priority = r1.xvrrp_status()?.instances[0].priority.effective;
    ensure!(priority == 192, "priority {priority}: 200 less 3 less 5 was expected");
    no_pause(&wire, begin)?;
    // Every second run would leave eight more if they were not ended with their script.
    let sleepers = || -> Result<usize> {
        Ok(r1.output(&["ps", "-e", "-o", "comm="])?.lines().filter(|line| *line == "sleep").count())
    };
    ensure!(sleepers()? <= 11, "{} processes of scripts are left", sleepers()?);
    ensure!(
        r1.holds(VIP)? && lab.host("r2")?.xvrrp_status()?.instances[0].state == "BACKUP",
        "the address moved"
    );
    sound(&mut master, 40)?;
    sound(&mut backup, 20)?;
    master.stop()?.context("the daemon had to be killed")?;
    // The host's own process sleeps too.
    wait_for(ms(2_000), || (sleepers().ok()? <= 1).then_some(())).context("scripts outlive the daemon")
}

/// What cannot be run is disabled, said once with what to do, and costs nothing until it can be run.
fn cannot_be_run(lab: &Lab) -> Result<()> {
    let r1 = lab.host("r1")?;
    script(r1, "plain", "exit 0", 0o644)?;
    script(r1, "writable", "exit 0", 0o777)?;
    r1.output(&["rm", "-f", "/etc/keepalived/missing"])?;
    let [mut master, mut backup] = start(lab, true, &[("plain", -3), ("writable", -5), ("missing", -7)])?;
    reach(r1, "VI_1", "MASTER", ms(8_000))?;
    for (name, words) in [
        ("plain", &["/etc/keepalived/plain", "chmod"][..]),
        ("writable", &["/etc/keepalived/writable", "chmod"]),
        ("missing", &["/etc/keepalived/missing", "No such file"]),
    ] {
        let entry = becomes(r1, name, "disabled")?;
        let result = entry["last_result"].as_str().unwrap_or_default();
        ensure!(words.iter().all(|word| result.contains(word)), "{name}: {entry}");
        println!("{}", logged(&master, words)?);
    }
    ensure!(r1.xvrrp_status()?.instances[0].priority.effective == 200, "a disabled script has a weight");
    // Mended, they are used without a reload.
    r1.output(&["chmod", "755", "/etc/keepalived/plain", "/etc/keepalived/writable"])?;
    script(r1, "missing", "exit 3", 0o755)?;
    becomes(r1, "plain", "good")?;
    becomes(r1, "writable", "good")?;
    becomes(r1, "missing", "bad")?;
    let lowered = || (r1.xvrrp_status().ok()?.instances[0].priority.effective == 193).then_some(());
    wait_for(ms(2_000), lowered).context("the mended script's failure costs nothing")?;
    sound(&mut master, 40)?;
    sound(&mut backup, 20)
}

/// Weight 0: FAULT while it fails, the peer takes over at once, and back when it succeeds.
fn weight_zero(lab: &Lab) -> Result<()> {
    let (r1, r2) = (lab.host("r1")?, lab.host("r2")?);
    script(
        r1,
        "decides",
        "test -e /run/fine || { echo checking; echo the backend is gone >&2; exit 3; }",
        0o755,
    )?;
    r1.write("/run/fine", "", 0o644)?;
    let [mut master, mut backup] = start(lab, false, &[("decides", 0)])?;
    reach(r1, "VI_1", "MASTER", ms(8_000))?;
    r1.output(&["rm", "/run/fine"])?;
    reach(r1, "VI_1", "FAULT", ms(4_000))?;
    let fault = json(r1, "status")?["instances"][0]["fault"].to_string();
    ensure!(fault.contains("decides"), "why: {fault}");
    // Its exit status, how long it took, and what it said last.
    let failed = logged(&master, &["script decides fails (exit 3 after "])?;
    ensure!(failed.contains(": the backend is gone)"), "{failed}");
    reach(r2, "VI_1", "MASTER", ms(1_000))?;
    ensure!(!r1.holds(VIP)? && r2.holds(VIP)?, "the address did not move");
    r1.write("/run/fine", "", 0o644)?;
    reach(r1, "VI_1", "MASTER", ms(4_000))?;
    reach(r2, "VI_1", "BACKUP", ms(1_000))?;
    sound(&mut master, 40)?;
    sound(&mut backup, 20)
}

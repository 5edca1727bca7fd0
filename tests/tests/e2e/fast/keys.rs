//! Keys of probes: the same, different ones, and new ones by a reload of one router after the other.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ha_common::probe::REPLY;
use ha_tests::lab::{Daemon, Lab, Moment, RUN_DIR, wait_for};

use super::cluster::{PING, Router, files, outage, sent, stream};
use crate::harness::Test;
use crate::pair::{INTERVAL, adverts, ms, reload, stdout, xvrrp};
use crate::punctual::within;

pub(super) fn tests() -> Vec<Test> {
    let new = |name: &str, body: fn(&Lab) -> Result<()>| {
        Test::new(format!("fast::{name}"), body).needs([Daemon::Xvrrp])
    };
    vec![
        new("same_key", |lab| keys(lab, ["correct horse battery", "correct horse battery"])).timing(),
        new("different_keys", |lab| keys(lab, ["correct horse battery", "staple correct horse"])),
        new("one_key", |lab| keys(lab, ["correct horse battery", ""])),
        new("a_new_key_at_the_master_first", |lab| renewed(lab, ["r1", "r2"], "")).timing(),
        new("a_new_key_at_the_backup_first", |lab| renewed(lab, ["r2", "r1"], "")).timing(),
        new("a_new_key_without_xdp", |lab| renewed(lab, ["r1", "r2"], "    xdp_mode off\n")),
        new("a_restart_with_a_new_key", restarted),
    ]
}

/// The file of a router with this key.
fn file(name: &str, key: &str, more: &str) -> String {
    let key = if key.is_empty() { String::new() } else { format!("    fast_key \"{key}\"\n") };
    format!("global_defs {{\n{key}{more}}}\n{}", files()[usize::from(name == "r2")])
}

/// With the same key a takeover is fast; with different ones it is the RFC's, and somebody says why.
fn keys(lab: &Lab, keys: [&'static str; 2]) -> Result<()> {
    let wire = lab.switch().watch_probes()?;
    let r1 = Router::start(lab, "r1", &file("r1", keys[0], ""))?;
    r1.says("-> MASTER", ms(5_000))?;
    let r2 = Router::start(lab, "r2", &file("r2", keys[1], ""))?;
    let same = keys[0] == keys[1];
    if same {
        r2.probes()?;
    } else {
        r2.says("answers no probes", ms(8_000))?;
        ensure!(sent(&wire, "r1", REPLY, Moment::from_boot()) == 0, "r1 answers a probe with a wrong tag");
        let said = format!("{}{}", r1.log(), r2.log());
        ensure!(said.contains("fast_key"), "nobody says that the keys differ:\n{said}");
        let status = stdout(&xvrrp(lab.host("r2")?, &["status", "--run-dir", RUN_DIR])?);
        ensure!(status.contains("RFC"), "status does not say that the RFC's timers apply:\n{status}");
    }
    let pinger = stream(lab, PING)?;
    let died = Moment::now();
    lab.switch().silence("r1")?;
    let outage = outage(&pinger, died, ms(3_000)).context("nobody took over")?;
    outage.print("host death");
    if same {
        let start = outage.gap.start;
        within("a fast takeover", start, start.plus(outage.length), INTERVAL)?;
    } else {
        ensure!(outage.length > ms(200), "takeover of a peer that cannot be believed in {:?}", outage.length);
    }
    Ok(())
}

/// Keys that come one after the other: none, one, another, and none again.
const KEYS: [&str; 4] = ["", "correct horse battery", "staple correct horse", ""];

/// Each router reloads when it suits it, and neither judges the other's silence; whoever dies between is found dead as fast
/// as ever.
fn renewed(lab: &Lab, order: [&str; 2], more: &str) -> Result<()> {
    let wire = lab.switch().watch_probes()?;
    // Without XDP only the master is: who probes needs it.
    let text = |name: &str, key| file(name, key, if name == "r1" { more } else { "" });
    let r1 = Router::start(lab, "r1", &text("r1", KEYS[0]))?;
    r1.says("-> MASTER", ms(5_000))?;
    let r2 = Router::start(lab, "r2", &text("r2", KEYS[0]))?;
    r2.probes()?;
    let begin = Moment::now();
    let pinger = stream(lab, PING)?;
    for key in &KEYS[1..] {
        for name in order {
            reload(lab.host(name)?, &text(name, key))?;
            let reloaded = Moment::now();
            // Many probes later everything is as before.
            wait_for(ms(2_000), || (sent(&wire, "r1", REPLY, reloaded) > 100).then_some(()))
                .with_context(|| format!("r1 answers no probes after the reload of {name}\n{}", r2.log()))?;
        }
    }
    let others = adverts(&wire, "r2", 25, begin);
    ensure!(others.is_empty(), "r2 took over from a live master: {others:?}\n{}", r2.log());
    ensure!(r2.log().matches("answers probes").count() == 1, "there was a pause:\n{}", r2.log());
    for gap in pinger.report().gaps().into_iter().filter(|gap| gap.start >= begin) {
        within("the client is answered", gap.start, gap.end.unwrap_or_else(Moment::now), INTERVAL)?;
    }
    drop(pinger);
    // Halfway through the next change.
    reload(lab.host(order[0])?, &text(order[0], KEYS[1]))?;
    std::thread::sleep(ms(200));
    let pinger = stream(lab, PING)?;
    let died = Moment::now();
    lab.switch().silence("r1")?;
    let outage = outage(&pinger, died, ms(3_000)).context("nobody took over")?;
    outage.print("host death between two reloads");
    let most = if more.is_empty() { INTERVAL * 2 } else { INTERVAL * 3 };
    within("the gap", outage.gap.start, outage.gap.start.plus(outage.length), most).map(drop)
}

/// The program that a restart finds has the key of the run before, which the peer still uses.
fn restarted(lab: &Lab) -> Result<()> {
    let wire = lab.switch().watch_probes()?;
    let mut r1 = Router::start(lab, "r1", &file("r1", KEYS[1], ""))?;
    r1.says("-> MASTER", ms(5_000))?;
    let r2 = Router::start(lab, "r2", &file("r2", KEYS[1], ""))?;
    r2.probes()?;
    let begin = Moment::now();
    r1.running.leave_for_restart()?;
    wait_for(ms(2_000), || r1.running.check_alive().is_err().then_some(())).context("r1 does not end")?;
    r1 = Router::start(lab, "r1", &file("r1", KEYS[2], ""))?;
    r1.says("is still MASTER", ms(3_000))?;
    let again = Moment::now();
    wait_for(ms(2_000), || (sent(&wire, "r1", REPLY, again) > 100).then_some(()))
        .context("r1 answers no probes under the old key")?;
    std::thread::sleep(Duration::from_millis(300));
    let others = adverts(&wire, "r2", 25, begin);
    ensure!(others.is_empty(), "r2 took over from a live master: {others:?}\n{}", r2.log());
    reload(lab.host("r2")?, &file("r2", KEYS[2], ""))?;
    let reloaded = Moment::now();
    wait_for(ms(2_000), || (sent(&wire, "r1", REPLY, reloaded) > 100).then_some(()))
        .context("r1 answers no probes under the new key")?;
    let others = adverts(&wire, "r2", 25, begin);
    ensure!(others.is_empty(), "r2 took over from a live master: {others:?}\n{}", r2.log());
    Ok(())
}

//! `fast_failover off` on one side: neither its start, nor a reload, nor a restart of either router changes a role.

use anyhow::{Result, ensure};
use ha_tests::lab::{Daemon, Lab, Moment, wait_for};

use super::cluster::{PING, Router, files, outage, pair, stream};
use crate::harness::Test;
use crate::pair::{INTERVAL, adverts, ms, reload, stdout, xvrrp};
use crate::punctual::within;

/// What a prober says of a router that takes no part.
const APART: &str = "takes no part in fast failover";

pub(super) fn tests() -> Vec<Test> {
    let new = |name: &str, body: fn(&Lab) -> Result<()>| {
        Test::new(format!("fast::{name}"), body).needs([Daemon::Xvrrp])
    };
    vec![
        new("s49_off_beside_a_backup_that_starts", starts),
        new("s49_off_by_reload_and_restart", |lab| switched_off(lab, "")).timing(),
        new("s49_off_by_reload_and_restart_without_xdp", |lab| switched_off(lab, "    xdp_mode off\n"))
            .timing(),
    ]
}

fn with(lines: &str) -> String {
    format!("global_defs {{\n{lines}}}\n{}", files()[0])
}

fn off(more: &str) -> String {
    with(&format!("    fast_failover off\n{more}"))
}

/// Nobody but r1 has advertised since.
fn unchanged(r2: &Router, wire: &ha_tests::lab::Wire, since: Moment, what: &str) -> Result<()> {
    let others = adverts(wire, "r2", 25, since);
    ensure!(others.is_empty(), "{what}: r2 took over from a live master: {others:?}\n{}", r2.log());
    ensure!(!r2.log().contains("BACKUP -> MASTER"), "{what}:\n{}", r2.log());
    Ok(())
}

/// The backup asks a master that does not take part, each time that it starts.
fn starts(lab: &Lab) -> Result<()> {
    let wire = lab.switch().watch()?;
    let r1 = Router::start(lab, "r1", &off(""))?;
    r1.says("-> MASTER", ms(5_000))?;
    let begin = Moment::now();
    for n in 0..3 {
        let mut r2 = Router::start(lab, "r2", files()[1])?;
        r2.says(APART, ms(5_000))?;
        // A verdict takes the window.
        std::thread::sleep(ms(300));
        unchanged(&r2, &wire, begin, &format!("start {n}"))?;
        let status = stdout(&xvrrp(lab.host("r2")?, &["status", "--run-dir", ha_tests::lab::RUN_DIR])?);
        ensure!(status.contains("RFC timers, it has fast_failover off"), "{status}");
        r2.running.kill9()?;
    }
    Ok(())
}

/// A router that was judged by its answers no longer is, and is again when it takes part again.
fn switched_off(lab: &Lab, more: &str) -> Result<()> {
    let wire = lab.switch().watch()?;
    let on = with(more);
    let [mut r1, r2] = pair(lab, [&on, files()[1]])?;
    let host = lab.host("r1")?;
    let begin = Moment::now();
    let pinger = stream(lab, ms(1))?;
    let said = |text: &str, times: usize| {
        let heard = wait_for(ms(12_000), || (r2.log().matches(text).count() >= times).then_some(()));
        ensure!(heard.is_some(), "r2 has not said {text:?} {times} times:\n{}", r2.log());
        Ok(())
    };
    reload(host, &off(more))?;
    said(APART, 1)?;
    std::thread::sleep(ms(300));
    unchanged(&r2, &wire, begin, "off by reload")?;
    reload(host, &on)?;
    said("answers probes", 2)?;
    std::thread::sleep(ms(300));
    unchanged(&r2, &wire, begin, "on by reload")?;
    r1.running.leave_for_restart()?;
    ensure!(
        wait_for(ms(2_000), || r1.running.check_alive().is_err().then_some(())).is_some(),
        "r1 does not end"
    );
    r1 = Router::start(lab, "r1", &off(more))?;
    r1.says("is still MASTER", ms(3_000))?;
    said(APART, 2)?;
    std::thread::sleep(ms(300));
    unchanged(&r2, &wire, begin, "off by restart")?;
    // A takeover that is undone leaves a client with the wrong MAC address for seconds.
    for gap in pinger.report().gaps().into_iter().filter(|gap| gap.start >= begin) {
        within("the client is answered", gap.start, gap.end.unwrap_or_else(Moment::now), INTERVAL)?;
    }
    reload(host, &on)?;
    said("answers probes", 3)?;
    std::thread::sleep(ms(100));
    drop(pinger);
    let pinger = stream(lab, PING)?;
    let died = Moment::now();
    lab.switch().silence("r1")?;
    let outage = outage(&pinger, died, ms(3_000)).expect("nobody took over");
    outage.print("host death after all that");
    // Who advertises that often is given until its next advert. Without XDP its answers need a processor: fast_lease is the
    // window.
    let most = if more.is_empty() { INTERVAL * 2 } else { INTERVAL * 3 };
    within("the gap", outage.gap.start, outage.gap.start.plus(outage.length), most).map(drop)
}

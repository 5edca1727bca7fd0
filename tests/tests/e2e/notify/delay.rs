//! Whatever hangs, no advert is late: scripts, a FIFO that nobody reads, mail servers, webhooks.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ha_tests::lab::{Daemon, Lab, Moment};
use nix::sys::signal::Signal;

use super::advert;
use super::sink::{Manner, Sink};
use crate::harness::Test;
use crate::hostile::{VIP, logged, ms, reach};
use crate::punctual::{steady, within};

/// Adverts leave every 10 ms; the wire must never see a longer pause.
const LONGEST_PAUSE: Duration = ms(15);

pub(super) fn tests() -> Vec<Test> {
    let mut tests = Vec::new();
    for (name, manner) in [("silent", Manner::Silent), ("babbling", Manner::Babbling)] {
        let name = format!("notify::hanging_scripts_and_{name}_servers_delay_no_advert");
        let body = move |lab: &Lab| no_delay(lab, manner);
        tests.push(Test::new(name, body).needs([Daemon::XvrrpRfc]).timing());
    }
    tests
}

fn config(priority: u8) -> String {
    format!(
        "global_defs {{\n script_user root\n vrrp_version 3\n notify_fifo /run/unread\n \
         vrrp_notify_priority_changes on\n notification_email {{ ops@example.org\n }}\n \
         smtp_server 172.16.1.100 2525\n smtp_connect_timeout 3\n smtp_alert on\n \
         notify_webhook http://172.16.1.100:8080/\n}}\n\
         vrrp_instance V1 {{\n interface ens160\n virtual_router_id 51\n priority {priority}\n advert_int 0.01\n \
         virtual_ipaddress {{\n {VIP}\n }}\n notify /etc/keepalived/hangs\n notify_master /etc/keepalived/hangs\n \
         notify_master_rx_lower_pri /etc/keepalived/hangs\n}}\n"
    )
}

fn no_delay(lab: &Lab, manner: Manner) -> Result<()> {
    let (r1, r2) = (lab.host("r1")?, lab.host("r2")?);
    let _sink = Sink::start(lab.host("client")?, 2525, manner)?;
    let _other = Sink::start(lab.host("client")?, 8080, manner)?;
    r1.write("/etc/keepalived/hangs", "#!/bin/sh\ntrap '' TERM\nwhile :; do sleep 100; done\n", 0o755)?;
    // A FIFO with a name so long that the pipe is full after a few hundred lines.
    let mut daemon = r1.start(Daemon::XvrrpRfc, &config(100))?;
    reach(r1, "V1", "MASTER", ms(5_000))?;
    let fill = "head -c 65536 /dev/zero | tr '\\0' x > /run/unread & sleep 0.2; kill $! 2>/dev/null; true";
    r1.output(&["sh", "-c", fill])?;
    let (wire, begin) = (lab.switch().watch()?, Moment::now());
    let injector = r2.injector()?;
    // Five seconds of everything: a script for each claim, priority changes and reloads.
    for round in 0..25_u8 {
        for _ in 0..4 {
            injector.send(&advert(r2.spec(), 51, 50, VIP)?)?;
            std::thread::sleep(ms(50));
        }
        r1.write("/etc/keepalived/keepalived.conf", config(100 + round % 2), 0o644)?;
        daemon.signal(Signal::SIGHUP)?;
    }
    let end = Moment::now();
    let adverts = wire.filter(|seen| seen.is_advert_from("r1") && seen.at > begin && seen.at < end);
    let times: Vec<_> = adverts.iter().map(|seen| seen.at).collect();
    let pause = steady("adverts of the master", &times, LONGEST_PAUSE)?;
    let hanging =
        r1.output(&["ps", "-e", "-o", "args="])?.lines().filter(|line| line.contains("hangs")).count();
    println!("longest pause between two of {} adverts: {pause:?}; {hanging} scripts hang", adverts.len());
    ensure!(hanging > 20, "only {hanging} scripts hang");
    logged(&daemon, &["mail", "was not sent"])?;
    let stop = Moment::now();
    daemon.stop()?.context("the daemon had to be killed")?;
    // Not the hundred seconds of a script.
    let took = within("the stop", stop, Moment::now(), ms(100_000) / 10)?;
    println!("the stop took {took:?}");
    r1.output(&["sh", "-c", "kill -9 $(pidof -x hangs); true"])?;
    Ok(())
}

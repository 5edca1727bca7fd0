//! A backup that gets no CPU does not become master while the master's adverts arrive.

use std::time::Duration;

use anyhow::{Result, ensure};
use ha_tests::lab::{Daemon, Lab, Moment, Topology};
use nix::sys::signal::Signal;

use super::routers::{States, instance, reach};
use crate::harness::Test;

/// One that reads adverts through XDP, and one that reads them from a socket.
const BACKUPS: [(&str, &str, &str); 2] = [("r2", "generic", "generic"), ("r3", "off", "raw-socket")];

pub(crate) fn tests() -> Vec<Test> {
    let test = |name: &str, stall: fn(&[ha_tests::lab::Running]) -> Result<()>| {
        Test::new(name, move |lab: &Lab| stalled(lab, stall))
            .needs([Daemon::Xvrrp])
            .on(|| Topology::routers(3))
    };
    vec![test("load::s41_stalls_of_50ms", often), test("load::s41_stall_of_10s", once)]
}

/// Ten virtual routers at 10 ms and ten at 1 s, on one master and two backups.
fn config(mode: &str, priority: u8) -> String {
    let mut text = format!("global_defs {{\n    vrrp_version 3\n    xdp_mode {mode}\n}}\n");
    for vrid in 1..=20 {
        text += &instance(vrid, if vrid <= 10 { "0.01" } else { "1" }, priority);
    }
    text
}

fn stalled(lab: &Lab, stall: fn(&[ha_tests::lab::Running]) -> Result<()>) -> Result<()> {
    let r1 = lab.host("r1")?;
    let mut master = r1.start(Daemon::Xvrrp, &config("auto", 200))?;
    reach(r1, "MASTER")?;
    let mut backups = Vec::new();
    for (priority, (host, mode, _)) in (100..).zip(BACKUPS) {
        backups.push(lab.host(host)?.start(Daemon::Xvrrp, &config(mode, priority))?);
    }
    for (host, _, receives) in BACKUPS {
        reach(lab.host(host)?, "BACKUP")?;
        let states = States::read(lab.host(host)?)?;
        ensure!(
            states.instances.iter().all(|i| i.receive == receives),
            "{host} does not receive by {receives}"
        );
    }
    std::thread::sleep(Duration::from_millis(500));
    let before = States::read(r1)?.adverts_sent();
    let start = Moment::now();
    stall(&backups)?;
    // A wrong takeover would come within one master-down interval.
    std::thread::sleep(Duration::from_secs(4));
    let sent = States::read(r1)?.adverts_sent() - before;
    println!("{sent} adverts in {:.1} s", Moment::now().since(start).as_secs_f64());
    master.check_alive()?;
    ensure!(States::read(r1)?.times_master() == 20, "the master changed state");
    for ((host, _, _), backup) in BACKUPS.into_iter().zip(&mut backups) {
        backup.check_alive()?;
        States::read(lab.host(host)?)?.never_master()?;
    }
    Ok(())
}

fn once(backups: &[ha_tests::lab::Running]) -> Result<()> {
    backups.iter().try_for_each(|backup| backup.signal(Signal::SIGSTOP))?;
    std::thread::sleep(Duration::from_secs(10));
    backups.iter().try_for_each(|backup| backup.signal(Signal::SIGCONT))
}

/// 50 ms of every 200 ms, for a minute.
fn often(backups: &[ha_tests::lab::Running]) -> Result<()> {
    for _ in 0..300 {
        backups.iter().try_for_each(|backup| backup.signal(Signal::SIGSTOP))?;
        std::thread::sleep(Duration::from_millis(50));
        backups.iter().try_for_each(|backup| backup.signal(Signal::SIGCONT))?;
        std::thread::sleep(Duration::from_millis(150));
    }
    Ok(())
}

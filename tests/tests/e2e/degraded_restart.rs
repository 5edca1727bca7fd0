//! After kill -9: what is left of an earlier run goes, and what somebody else put there stays.

use std::net::IpAddr;

use anyhow::{Result, ensure};
use ha_tests::lab::{Daemon, Host, Lab};

use super::{config, pair, settled};
use crate::harness::Test;
use crate::hostile::{VIP, logged, ms, reach, sound};

const FOREIGN: &str = "172.16.1.50";

pub(crate) fn tests() -> Vec<Test> {
    let mut tests = Vec::new();
    let mut add = |name: &str, body: fn(&Lab) -> Result<()>| {
        tests.push(Test::new(format!("degraded::{name}"), body).needs([Daemon::XvrrpRfc]));
    };
    add("s36_leftovers_of_a_killed_master", leftovers);
    add("s36_leftovers_that_are_no_longer_configured", no_longer_configured);
    add("s37_an_address_that_was_there_before_stays", was_there);
    tests
}

fn has(host: &Host, address: &str) -> Result<bool> {
    host.holds(address.parse::<IpAddr>()?)
}

fn leftovers(lab: &Lab) -> Result<()> {
    let (r1, r2) = (lab.host("r1")?, lab.host("r2")?);
    for host in [r1, r2] {
        host.output(&["ip", "addr", "add", &format!("{FOREIGN}/32"), "dev", "ens160"])?;
    }
    let [mut master, mut backup] = pair(lab)?;
    // Killed and started again at once, before anybody has noticed; then after the peer has taken over.
    for pause in [0, 1_500] {
        master.kill9()?;
        ensure!(r1.holds(VIP)?, "kill -9 was meant to leave the address");
        std::thread::sleep(ms(pause));
        master = r1.start(Daemon::XvrrpRfc, &config(200))?;
        logged(&master, &["removed 172.16.1.25/32", "earlier run"])?;
        settled(r1, r2)?;
    }
    // A backup leaves nothing.
    backup.kill9()?;
    let mut backup = r2.start(Daemon::XvrrpRfc, &config(100))?;
    settled(r1, r2)?;
    ensure!(has(r1, FOREIGN)? && has(r2, FOREIGN)?, "a foreign address is gone");
    master.stop()?;
    reach(r2, "VI_1", "MASTER", ms(2_000))?;
    ensure!(!r1.holds(VIP)? && r2.holds(VIP)?, "the address is not on r2 alone");
    ensure!(has(r1, FOREIGN)?, "a foreign address is gone");
    sound(&mut backup, 60)
}

fn no_longer_configured(lab: &Lab) -> Result<()> {
    let r1 = lab.host("r1")?;
    r1.output(&["ip", "addr", "add", &format!("{FOREIGN}/32"), "dev", "ens160"])?;
    let mut master =
        r1.start(Daemon::XvrrpRfc, &config(200).replace("172.16.1.25", "172.16.1.25\n 172.16.1.26"))?;
    reach(r1, "VI_1", "MASTER", ms(4_000))?;
    ensure!(has(r1, "172.16.1.26")?, "the second address is not there");
    master.kill9()?;
    let mut master = r1.start(Daemon::XvrrpRfc, &config(200))?;
    reach(r1, "VI_1", "MASTER", ms(4_000))?;
    ensure!(r1.holds(VIP)? && !has(r1, "172.16.1.26")? && has(r1, FOREIGN)?, "{:?}", r1.addresses()?);
    sound(&mut master, 60)
}

fn was_there(lab: &Lab) -> Result<()> {
    let r1 = lab.host("r1")?;
    r1.output(&["ip", "addr", "add", "172.16.1.25/32", "dev", "ens160"])?;
    let two = config(200).replace("172.16.1.25", "172.16.1.25\n 172.16.1.26");
    for kill in [true, false] {
        let mut master = r1.start(Daemon::XvrrpRfc, &two)?;
        reach(r1, "VI_1", "MASTER", ms(4_000))?;
        logged(&master, &["172.16.1.25 was on the interface before"])?;
        ensure!(has(r1, "172.16.1.25")? && has(r1, "172.16.1.26")?, "{:?}", r1.addresses()?);
        sound(&mut master, 60)?;
        if kill {
            master.kill9()?;
        } else {
            master.stop()?;
            ensure!(!has(r1, "172.16.1.26")?, "the daemon's own address is left");
        }
        ensure!(has(r1, "172.16.1.25")?, "the operator's address is gone");
    }
    Ok(())
}

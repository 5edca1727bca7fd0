//! A master that lowers its priority below that of a backup that probes it: the address moves at once, and no packet is
//! lost.

use anyhow::{Result, ensure};
use ha_tests::lab::{Daemon, Lab, Moment};

use super::cluster::{pair, stream};
use crate::harness::Test;
use crate::pair::{Conf, INTERVAL, MASTER_DOWN, VIP, await_advert, held_by, ms, script};

pub(super) fn tests() -> Vec<Test> {
    vec![
        Test::new("fast::lowered_priority", lowered).needs([Daemon::Xvrrp]).timing(),
        Test::new("fast::lowered_priority_with_nopreempt", respected).needs([Daemon::Xvrrp]),
    ]
}

/// The first has a script that takes 20 from its priority while a file is there.
fn files(more: &str) -> [String; 2] {
    let tracked = Conf::new(101).with("track_script {\n chk\n }").text();
    [script("weight -20") + &tracked, Conf::new(99).with(more).text()]
}

fn lowered(lab: &Lab) -> Result<()> {
    let (wire, addresses) = (lab.switch().watch()?, lab.watch_addresses()?);
    let [master, backup] = files("");
    let [r1, r2] = pair(lab, [&master, &backup])?;
    held_by(&addresses, VIP, &["r1"], ms(2_000))?;
    let pinger = stream(lab, ms(1))?;
    let before = Moment::now();
    lab.host("r1")?.write("/run/bad", "", 0o644)?;
    let fell = await_advert(&wire, "r1", 25, before, |advert| advert.priority == 81)?;
    let took = await_advert(&wire, "r2", 25, fell.at, |advert| advert.priority == 99)?;
    held_by(&addresses, VIP, &["r2"], ms(1_000))?;
    std::thread::sleep(ms(300));
    let lost = pinger.stop().lost_between(before, Moment::now());
    let waited = took.at.since(fell.at);
    println!("r2 took over {waited:?} after the lowered priority was advertised; {lost} packets lost");
    ensure!(waited < MASTER_DOWN / 2, "r2 waited {waited:?}");
    ensure!(lost == 0, "{lost} packets were lost");
    r2.says("172.16.1.1 lowered its priority 101 -> 81 (ours 99)", INTERVAL)?;
    r1.says("has priority 99, ours is 81; it was 101 until", INTERVAL)
}

/// `nopreempt` on the backup: the lowered master stays.
fn respected(lab: &Lab) -> Result<()> {
    let (wire, addresses) = (lab.switch().watch()?, lab.watch_addresses()?);
    let [master, backup] = files("nopreempt");
    let [_r1, r2] = pair(lab, [&master, &backup])?;
    let before = Moment::now();
    lab.host("r1")?.write("/run/bad", "", 0o644)?;
    await_advert(&wire, "r1", 25, before, |advert| advert.priority == 81)?;
    std::thread::sleep(2 * MASTER_DOWN);
    held_by(&addresses, VIP, &["r1"], ms(100))?;
    ensure!(!r2.log().contains("BACKUP -> MASTER"), "r2 took over:\n{}", r2.log());
    Ok(())
}

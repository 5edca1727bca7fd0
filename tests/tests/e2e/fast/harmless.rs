//! What a wrong verdict costs clients, and what the fence of a dead router leaves alone.

use std::net::IpAddr;

use anyhow::{Context, Result, ensure};
use ha_tests::lab::{Daemon, Lab, Moment};
use nix::sys::signal::Signal;

use super::cluster::{Router, answered, pair, stream};
use crate::harness::Test;
use crate::pair::{Conf, FILE, VIP2, ms};
use crate::punctual::{allowance, within};

const MASTER: &str = include_str!("../../../inputs/two-node/master.conf");
const BACKUP: &str = include_str!("../../../inputs/two-node/backup.conf");

pub(super) fn tests() -> Vec<Test> {
    let new = |name: &str, body: fn(&Lab) -> Result<()>| Test::new(format!("fast::{name}"), body);
    vec![
        new("a_stall_costs_clients_the_stall", stalls),
        new("what_nobody_would_take_over_stays_served", alone),
        new("another_key_on_one_side_is_no_verdict", rekeyed),
        new("a_group_that_cannot_move_at_once_stays_served", group),
    ]
    .into_iter()
    .map(|test| test.needs([Daemon::Xvrrp]))
    .collect()
}

/// The port of the master stands still, and the backup takes over from a router that lives. Clients learn its MAC
/// address; they must learn the master's again as soon as that is master alone.
fn stalls(lab: &Lab) -> Result<()> {
    let [_master, mut backup] = pair(lab, [MASTER, BACKUP])?;
    for stall in [8, 150] {
        let pinger = stream(lab, ms(1))?;
        let start = Moment::now();
        lab.switch().silence("r1")?;
        std::thread::sleep(ms(stall));
        lab.switch().restore("r1")?;
        let stalled = Moment::now().since(start);
        // The master's next adverts, and what follows from them.
        std::thread::sleep(ms(2_500));
        answered(&pinger)?;
        let report = pinger.stop();
        let mut lost = 0;
        for gap in report.gaps().iter().filter(|gap| gap.start.plus(ms(5)) >= start && gap.end.is_some()) {
            lost += gap.lost;
            let end = gap.end.context("it is over")?;
            within("the client's gap", gap.start, end, stalled + ms(50))?;
        }
        println!("a stall of {stalled:?}: {lost} lost");
        // A run that remembers no wrong verdict.
        backup.running.stop()?;
        backup = Router::start(lab, "r2", BACKUP)?;
        backup.probes()?;
    }
    Ok(())
}

/// `fast_key` comes by reload, on the master first and then on the backup: each is silent for the other meanwhile.
fn rekeyed(lab: &Lab) -> Result<()> {
    let [r1, r2] = pair(lab, [MASTER, BACKUP])?;
    let pinger = stream(lab, ms(2))?;
    let start = Moment::now();
    for (router, file) in [(&r1, MASTER), (&r2, BACKUP)] {
        let keyed = format!("global_defs {{\n    fast_key 0123456789abcdef\n}}\n{file}");
        lab.host(router.name)?.write(FILE, keyed, 0o644)?;
        router.running.signal(Signal::SIGHUP)?;
        std::thread::sleep(ms(800));
        ensure!(!r2.log().contains("-> MASTER"), "{} has another key:\n{}", router.name, r2.log());
    }
    let end = Moment::now();
    std::thread::sleep(ms(150));
    let lost = pinger.report().lost_between(start, end);
    ensure!(lost as u128 <= allowance(start, end).as_millis() / 2, "{lost} lost");
    Ok(())
}

fn named(priority: u8, more: &str) -> String {
    let second = Conf::new(priority).named("VI_2", 26).vips([VIP2]);
    second.with(more).text()
}

/// A virtual router that only this host has goes on being served when its daemon is gone, although a neighbour probes for
/// another one.
fn alone(lab: &Lab) -> Result<()> {
    let master = Conf::new(101).text() + &named(101, "");
    let [mut r1, r2] = pair(lab, [&master, &Conf::new(99).text()])?;
    let own = lab.host("client")?.ping(IpAddr::V4(VIP2), ms(2), ms(30_000))?;
    answered(&own)?;
    let killed = Moment::now();
    r1.running.kill9()?;
    r2.says("-> MASTER", ms(2_000))?;
    std::thread::sleep(ms(1_500));
    let end = Moment::now();
    // What is under way is not lost.
    std::thread::sleep(ms(150));
    let lost = own.report().lost_between(killed, end);
    ensure!(
        lost as u128 <= allowance(killed, end).as_millis() / 2,
        "{lost} lost of what nobody would take over"
    );
    Ok(())
}

/// The backup waits for all members of the group, so until then the master's addresses stay served.
fn group(lab: &Lab) -> Result<()> {
    let config = |priority| {
        Conf::new(priority).text()
            + &named(priority, "fast_failover off")
            + "vrrp_sync_group G {\n    group {\n        VI_1\n        VI_2\n    }\n}\n"
    };
    let [mut r1, r2] = pair(lab, [&config(101), &config(99)])?;
    let pinger = stream(lab, ms(2))?;
    let killed = Moment::now();
    r1.running.kill9()?;
    r2.says("-> MASTER", ms(3_000))?;
    std::thread::sleep(ms(500));
    let end = Moment::now();
    std::thread::sleep(ms(150));
    let lost = pinger.report().lost_between(killed, end);
    // The MAC address moves once.
    ensure!(
        lost as u128 <= 5 + allowance(killed, end).as_millis() / 2,
        "{lost} lost although r1 served all the time"
    );
    Ok(())
}

//! Death of the master's host, and of its daemon alone.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ha_tests::lab::{Daemon, Lab, Moment};

use super::cluster::{PING, Router, answered, outage, power_lost, stream, summary};
use crate::harness::Test;
use crate::pair::ms;

const MASTER: &str = include_str!("../../../inputs/two-node/master.conf");
const BACKUP: &str = include_str!("../../../inputs/two-node/backup.conf");
const MASTER_UNICAST: &str = include_str!("../../../inputs/two-node/master-unicast.conf");
const BACKUP_UNICAST: &str = include_str!("../../../inputs/two-node/backup-unicast.conf");

/// Measurements; the median counts.
const DEATHS: usize = 5;
/// Measurements that may be repeated because the client itself was held up.
const REPEATS: usize = 5;

pub(super) fn tests() -> Vec<Test> {
    let files = [("multicast", [MASTER, BACKUP]), ("unicast", [MASTER_UNICAST, BACKUP_UNICAST])];
    files
        .into_iter()
        .map(|(cast, files)| {
            Test::new(format!("fast::{cast}_host_death"), move |lab| host_death(lab, files))
                .needs([Daemon::Xvrrp])
                .timing()
        })
        .collect()
}

/// The tutorial's files, verbatim. Whoever is master dies; the other one takes over and is the next to die, so
/// that nobody waits for a failback.
fn host_death(lab: &Lab, files: [&'static str; 2]) -> Result<()> {
    let start = |n: usize| Router::start(lab, ["r1", "r2"][n], files[n]);
    let mut routers = [start(0)?, start(1)?];
    let pinger = stream(lab, PING)?;
    let (mut gaps, mut repeated, mut master) = (Vec::new(), 0, 0);
    routers[0].says("-> MASTER", ms(8_000))?;
    while gaps.len() < DEATHS {
        routers[1 - master].probes()?;
        answered(&pinger)?;
        let died = Moment::now();
        lab.switch().silence(routers[master].name)?;
        let outage = outage(&pinger, died, ms(8_000)).context("nobody took over")?;
        let length = outage.length.as_secs_f64() * 1e3;
        println!("{} died: {length:.2} ms, stream held up {:?}", routers[master].name, outage.stall);
        if outage.held_up() && repeated < REPEATS {
            repeated += 1;
            println!("repeated");
        } else {
            gaps.push(outage.length);
        }
        routers[master].running.kill9()?;
        power_lost(lab, routers[master].name)?;
        lab.switch().restore(routers[master].name)?;
        routers[master] = start(master)?;
        master = 1 - master;
    }
    let (least, median, most) = summary(&gaps);
    println!(
        "client gap after host death: {least:.2} / {median:.2} / {most:.2} ms (min, median, max of {}, {repeated} repeated)",
        gaps.len()
    );
    ensure!(median <= 5.0, "median of the gap {median:.2} ms, wanted 5 ms");
    Ok(())
}

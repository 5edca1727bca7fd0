//! How much memory a daemon holds, real-time scheduling and locked memory included: it does not grow with what it does
//! again and again, and hardly with its virtual routers. docs/benchmarks.md has the figures.

use std::time::Duration;

use anyhow::{Result, ensure};
use ha_tests::lab::{Daemon, Lab, RUN_DIR, Running, Topology, xvrrp_binary};

use super::meter::Memory;
use super::routers::{Routers, States, pair};
use crate::harness::Test;

pub(crate) fn tests() -> Vec<Test> {
    vec![Test::new("load::memory_of_one_and_of_255", memory).needs([Daemon::XvrrpRfc])]
}

/// Rounds of what it does again and again; the first ones may fill what is kept.
const ROUNDS: [u32; 2] = [5, 20];

fn memory(lab: &Lab) -> Result<()> {
    let other = Lab::new(Topology::two_node())?;
    let (many, one) = (resident(lab, 255)?, resident(&other, 1)?);
    for (many, one) in many.into_iter().zip(one) {
        ensure!(many.resident < one.resident * 2, "of 255: {many}; of one: {one}");
    }
    Ok(())
}

/// Of the master and of the backup.
fn resident(lab: &Lab, count: u8) -> Result<[Memory; 2]> {
    let master = Routers { count, interval: "0.1", priority: 200, xdp: None };
    let backup = Routers { priority: 100, ..master };
    let running = pair(lab, &master.config(), &backup.config())?;
    let [early, late] = [rounds(lab, &running, ROUNDS[0])?, rounds(lab, &running, ROUNDS[1])?];
    println!("{count} virtual routers: master {}, backup {}", late[0], late[1]);
    for ((daemon, early), late) in running.iter().zip(early).zip(late) {
        ensure!(late.locked > 0, "memory is not locked:\n{}", daemon.log());
        ensure!(late.resident * 10 < early.resident * 11, "it grew from {early} to {late}");
    }
    States::read(lab.host("r2")?)?.never_master()?;
    Ok(late)
}

/// Adverts, reloads, status.
fn rounds(lab: &Lab, running: &[Running; 2], count: u32) -> Result<[Memory; 2]> {
    for _ in 0..count {
        std::thread::sleep(Duration::from_millis(100));
        for host in ["r1", "r2"] {
            let host = lab.host(host)?;
            let binary = host.path_of_machine(xvrrp_binary()?).display().to_string();
            host.output(&[&binary, "reload", "--run-dir", RUN_DIR])?;
            States::read(host)?;
        }
    }
    Ok([Memory::of(running[0].pid())?, Memory::of(running[1].pid())?])
}

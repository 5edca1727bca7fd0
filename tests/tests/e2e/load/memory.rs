//! How much memory a daemon holds, real-time scheduling and locked memory included.

use std::time::Duration;

use anyhow::{Result, ensure};
use ha_tests::lab::{Daemon, Lab, RUN_DIR, xvrrp_binary};

use super::meter::Memory;
use super::routers::{Routers, States, pair};
use crate::harness::Test;

pub(crate) fn tests() -> Vec<Test> {
    let test = |name: &str, count, limit| {
        Test::new(name, move |lab: &Lab| resident(lab, count, limit)).needs([Daemon::XvrrpRfc])
    };
    vec![test("load::memory_with_one", 1, 12 * 1024), test("load::memory_with_255", 255, 24 * 1024)]
}

fn resident(lab: &Lab, count: u8, limit: u64) -> Result<()> {
    let master = Routers { count, interval: "0.1", priority: 200, xdp: None };
    let backup = Routers { priority: 100, ..master };
    let running = pair(lab, &master.config(), &backup.config())?;
    // What it does again and again: adverts, reloads, status.
    for _ in 0..20 {
        std::thread::sleep(Duration::from_millis(100));
        for host in ["r1", "r2"] {
            let host = lab.host(host)?;
            let binary = host.path_of_machine(xvrrp_binary()?).display().to_string();
            host.output(&[&binary, "reload", "--run-dir", RUN_DIR])?;
            States::read(host)?;
        }
    }
    let memory = [Memory::of(running[0].pid())?, Memory::of(running[1].pid())?];
    println!("{count} virtual routers: master {}", memory[0]);
    println!("{count} virtual routers: backup {}", memory[1]);
    for (daemon, memory) in running.iter().zip(memory) {
        ensure!(memory.locked > 0, "memory is not locked:\n{}", daemon.log());
        ensure!(memory.resident < limit, "{memory}, wanted less than {limit} kB");
    }
    States::read(lab.host("r2")?)?.never_master()
}

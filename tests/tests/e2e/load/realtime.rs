//! The loop, the prober and the threads that renew leases run in real time where the machine allows it; other threads and scripts do not.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ha_tests::lab::{Daemon, Lab, wait_for};

use super::routers::{Routers, reach};
use crate::harness::Test;

const SCRIPT: &str = "\
vrrp_script waiting {
    script \"/bin/sleep 60\"
    interval 60
    user root
}
";

pub(crate) fn tests() -> Vec<Test> {
    vec![Test::new("load::only_the_loop_is_real_time", scheduling).needs([Daemon::XvrrpRfc])]
}

fn scheduling(lab: &Lab) -> Result<()> {
    let router = Routers { count: 1, interval: "0.1", priority: 200, xdp: None };
    let config = router
        .config()
        .replace("    advert_int", "    track_script {\n        waiting weight 1\n    }\n    advert_int");
    let host = lab.host("r1")?;
    let daemon = host.start(Daemon::XvrrpRfc, &(SCRIPT.to_owned() + &config))?;
    reach(host, "MASTER")?;
    let pid = daemon.pid();
    let script =
        wait_for(Duration::from_secs(5), || children(pid).into_iter().next()).context("no script runs")?;

    let log = daemon.log();
    let refused = log.contains("no real-time scheduling");
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let path = task?.path();
        let is_loop = path.file_name().is_some_and(|name| *name == *pid.to_string());
        let policy = policy(&path.join("stat").to_string_lossy())?;
        println!(
            "thread {}: policy {}, priority {}",
            fs::read_to_string(path.join("comm"))?.trim(),
            policy.0,
            policy.1
        );
        let name = fs::read_to_string(path.join("comm"))?;
        let is_liveness = name.trim() == "xvrrp-liveness" || name.starts_with("xvrrp-lease-");
        let wanted = match (is_loop, is_liveness) {
            _ if refused => (libc::SCHED_OTHER, 0),
            (true, _) => (libc::SCHED_FIFO, 51),
            (_, true) => (libc::SCHED_FIFO, 52),
            _ => (libc::SCHED_OTHER, 0),
        };
        ensure!(policy == wanted, "wanted {wanted:?} ({})", log.lines().next().unwrap_or_default());
    }
    let policy = policy(&format!("/proc/{script}/stat"))?;
    ensure!(policy == (libc::SCHED_OTHER, 0), "the script is scheduled with {policy:?}");
    let status = fs::read_to_string(format!("/proc/{script}/status"))?;
    ensure!(status.lines().any(|line| line.starts_with("VmLck:") && line.contains(" 0 kB")), "{status}");
    let slack = |pid: &str| fs::read_to_string(format!("/proc/{pid}/timerslack_ns"));
    let (script, own) = (slack(&script.to_string())?, slack("self")?);
    ensure!(script == own, "timer slack of the script is {script}, that of its surroundings {own}");
    Ok(())
}

/// Children of all threads.
fn children(pid: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    lists
        .flat_map(|list| list.split_whitespace().filter_map(|word| word.parse().ok()).collect::<Vec<_>>())
        .collect()
}

/// Scheduling policy and real-time priority, from a `stat` file (proc(5)).
fn policy(path: &str) -> Result<(i32, i32)> {
    let stat = fs::read_to_string(path)?;
    let mut fields = stat.rsplit_once(')').context("no command name")?.1.split_whitespace().skip(37);
    let mut next =
        || fields.next().and_then(|word| word.parse().ok()).with_context(|| format!("too short: {stat}"));
    let priority = next()?;
    Ok((next()?, priority))
}

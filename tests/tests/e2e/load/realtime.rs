//! The loop, the prober and the threads that renew leases run in real time where the machine allows it; other threads
//! and scripts do not. What the configuration says of it holds at the start and after a reload.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ha_tests::lab::{Daemon, Lab, RUN_DIR, Running, wait_for};

use super::routers::{Routers, reach};
use crate::harness::Test;
use crate::pair::{FILE, reload, stderr, xvrrp};

const SCRIPT: &str = "\
vrrp_script waiting {
    script \"/bin/sleep 60\"
    interval 60
    user root
}
";

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("load::only_the_loop_is_real_time", scheduling).needs([Daemon::XvrrpRfc]),
        Test::new("load::threads_are_scheduled_as_configured", configured).needs([Daemon::XvrrpRfc]),
    ]
}

/// What each kind of thread is to have: SCHED_FIFO priority (0 for none), nice value and processors.
struct Wanted<'a> {
    main: (i32, i32),
    liveness: i32,
    processors: &'a str,
}

fn configured(lab: &Lab) -> Result<()> {
    let host = lab.host("r1")?;
    let all = allowed("self")?;
    let router = Routers { count: 1, interval: "0.1", priority: 200, xdp: None };
    let config = |globals: &str| {
        let tracked = "    track_script {\n        waiting weight 1\n    }\n    advert_int";
        format!(
            "global_defs {{\n{globals}\n}}\n{SCRIPT}{}",
            router.config().replace("    advert_int", tracked)
        )
    };
    let globals = "vrrp_rt_priority 40\nvrrp_priority -7\nvrrp_cpu_affinity 0 999";
    let mut daemon = host.start(Daemon::XvrrpRfc, &config(globals))?;
    reach(host, "MASTER")?;
    let refused = daemon.log().contains("no real-time scheduling");
    let warnings = host.xvrrp_status()?.warnings.join("\n");
    ensure!(warnings.contains("processor 999 of vrrp_cpu_affinity"), "{warnings}");
    holds(&daemon, refused, &Wanted { main: (40, -7), liveness: 41, processors: "0" })?;
    let script = wait_for(Duration::from_secs(5), || children(daemon.pid()).into_iter().next())
        .context("no script")?;
    let processors = allowed(&script.to_string())?;
    ensure!(processors == all, "the script may use {processors}, its surroundings {all}");
    ensure!(nice(&format!("/proc/{script}/stat"))? == 0, "the script is nice");

    let text = config("vrrp_rt_priority 99\nvrrp_priority 3");
    ensure!(reload(host, &text)? == "reloaded:\n  global settings\n");
    holds(&daemon, refused, &Wanted { main: (98, 3), liveness: 99, processors: &all })?;
    reload(host, &config(""))?;
    holds(&daemon, refused, &Wanted { main: (51, 0), liveness: 52, processors: &all })?;

    // The program that replaces this one does not keep what was this one's.
    reload(host, &config("vrrp_priority 3\nvrrp_cpu_affinity 0"))?;
    holds(&daemon, refused, &Wanted { main: (51, 3), liveness: 52, processors: "0" })?;
    host.write(FILE, config(""), 0o644)?;
    let restarted = xvrrp(host, &["restart", "--run-dir", RUN_DIR])?;
    ensure!(restarted.status.success(), "{}", stderr(&restarted));
    holds(&daemon, refused, &Wanted { main: (51, 0), liveness: 52, processors: &all })?;
    daemon.check_alive()
}

/// The threads are scheduled that way, at the latest in a moment.
fn holds(daemon: &Running, refused: bool, wanted: &Wanted<'_>) -> Result<()> {
    let mut last = Ok(());
    wait_for(Duration::from_secs(2), || {
        last = look(daemon.pid(), refused, wanted);
        last.is_ok().then_some(())
    });
    last
}

fn look(pid: u32, refused: bool, wanted: &Wanted<'_>) -> Result<()> {
    let first = wanted.processors.split([',', '-']).next().unwrap_or_default();
    let last = wanted.processors.split([',', '-']).next_back().unwrap_or_default();
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let path = task?.path();
        let name = fs::read_to_string(path.join("comm"))?.trim().to_owned();
        let id = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        let stat = path.join("stat").to_string_lossy().into_owned();
        let found = (policy(&stat)?.1, nice(&stat)?, allowed(&id)?);
        let is_loop = id == pid.to_string();
        let priority = match name.as_str() {
            _ if is_loop => wanted.main.0,
            "xvrrp-liveness" | "xvrrp-lease-0" | "xvrrp-lease-1" => wanted.liveness,
            _ => 0,
        };
        let processors = match name.as_str() {
            "xvrrp-lease-0" => first,
            "xvrrp-lease-1" => last,
            _ => wanted.processors,
        };
        let nice = if is_loop { wanted.main.1 } else { found.1 };
        let wanted = (if refused { 0 } else { priority }, nice, processors.to_owned());
        ensure!(found == wanted, "{name}: priority, nice value and processors {found:?}, wanted {wanted:?}");
    }
    Ok(())
}

/// The processors that a thread may use, as the kernel writes them.
fn allowed(id: &str) -> Result<String> {
    let status = fs::read_to_string(format!("/proc/{id}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    Ok(line.context("no Cpus_allowed_list")?.trim().to_owned())
}

/// Nice value, from a `stat` file (proc(5)).
fn nice(path: &str) -> Result<i32> {
    let stat = fs::read_to_string(path)?;
    let field = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(16));
    field.and_then(|word| word.parse().ok()).with_context(|| format!("too short: {stat}"))
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

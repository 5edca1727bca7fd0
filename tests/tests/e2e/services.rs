//! The tutorial's two services on two routers, each with a check of its own: a failing check moves its own
//! virtual address and no other, where the weights make that possible.

use std::net::Ipv4Addr;

use anyhow::{Context, Result, ensure};
use ha_tests::lab::{Daemon, Host, Lab, Moment, Running, Topology};

use crate::harness::Test;
use crate::pair::{held_by, instance, ms, stderr, until, xvrrp};

const PUBLISHED: &str = include_str!("../../inputs/multi-service/as-published.conf");
const CORRECTED: &str = include_str!("../../inputs/multi-service/corrected.conf");
const MAX_AUTO_PRIORITY: &str = include_str!("../../inputs/multi-service/max-auto-priority.conf");
const CHECK_A: &str = include_str!("../../inputs/multi-service/check_serviceA.sh");
const CHECK_B: &str = include_str!("../../inputs/multi-service/check_serviceB.sh");

const VIP_A: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 100);
const VIP_B: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 101);

/// Says that a service runs unless the test has stopped it.
const SYSTEMCTL: &str = "#!/bin/sh\n[ \"$1\" = is-active ] && [ ! -e \"/run/stopped/$3\" ]\n";

pub(crate) fn tests() -> Vec<Test> {
    let test = |name, body: fn(&Lab) -> Result<()>| {
        Test::new(name, body).needs([Daemon::XvrrpRfc]).on(Topology::multi_service)
    };
    vec![
        test("services::published_files_are_judged", judged).needs([Daemon::Keepalived]),
        test("services::published_file_runs", published_runs),
        test("services::failing_check_moves_its_address_only", large_weights),
        test("services::failing_check_without_weight_moves_its_address_only", no_weights),
        test("services::published_weights_never_move_it", published_weights),
    ]
}

/// The scripts as published, and a service manager whose answers the test controls.
fn prepare(host: &Host) -> Result<()> {
    host.write("/etc/keepalived/check_serviceA.sh", CHECK_A, 0o755)?;
    host.write("/etc/keepalived/check_serviceB.sh", CHECK_B, 0o755)?;
    host.output(&["mkdir", "-p", "/run/stopped"])?;
    host.output(&["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/usr/local/bin"])?;
    host.write("/usr/local/bin/systemctl", SYSTEMCTL, 0o755)?;
    host.write("/run/probe.sh", "command -v systemctl\n", 0o644)?;
    let found = host.output(&["sh", "/run/probe.sh"])?;
    ensure!(found.trim() == "/usr/local/bin/systemctl", "the real systemctl would answer: {found}");
    Ok(())
}

fn stop_service(host: &Host, service: &str) -> Result<()> {
    host.write(format!("/run/stopped/{service}"), "", 0o644)
}

fn start_service(host: &Host, service: &str) -> Result<()> {
    host.output(&["rm", &format!("/run/stopped/{service}")]).map(drop)
}

/// `r1` with `config`, `r2` with the same but priority 90, both addresses on `r1`.
fn start(lab: &Lab, config: &str) -> Result<[Running; 2]> {
    let (r1, r2) = (lab.host("r1")?, lab.host("r2")?);
    prepare(r1)?;
    prepare(r2)?;
    let second = config.replace("priority 100", "priority 90");
    ensure!(second != config, "the file has no priority 100");
    let routers = [r1.start(Daemon::XvrrpRfc, config)?, r2.start(Daemon::XvrrpRfc, &second)?];
    let addresses = lab.watch_addresses()?;
    for vip in [VIP_A, VIP_B] {
        held_by(&addresses, vip, &["r1"], ms(10_000))?;
    }
    Ok(routers)
}

fn judged(lab: &Lab) -> Result<()> {
    let r1 = lab.host("r1")?;
    prepare(r1)?;
    let behind = "words are left behind the script";
    let fails =
        "script `check_serviceA` with weight 2 can never hand `VI_A` to a peer of priority 98 or less";
    let reach =
        "only if its priority is 99 or more (99 + 2 = 101 > 100); one of priority 90 reaches 92 and never";
    for (name, text, code, count) in
        [("published", PUBLISHED, 5, 1), ("corrected", CORRECTED, 5, 0), ("max", MAX_AUTO_PRIORITY, 0, 0)]
    {
        let file = format!("/etc/keepalived/{name}.conf");
        r1.write(&file, text, 0o644)?;
        let output = xvrrp(r1, &["check", &file])?;
        let found = stderr(&output);
        ensure!(output.status.code() == Some(code), "{name}: {}\n{found}", output.status);
        ensure!(found.matches(behind).count() == count, "{name}: wanted {count} of `{behind}`\n{found}");
        ensure!(!found.contains("would not run"), "{name}: the scripts are there\n{found}");
        if name != "max" {
            ensure!(found.contains(fails) && found.contains(reach), "{name}: no numbers\n{found}");
            ensure!(
                found.contains("the priority is 102 while it succeeds and 100 while it fails"),
                "{found}"
            );
        }
        if count == 1 {
            ensure!(found.contains(&format!("{file}:44:48")), "the place of the words is missing\n{found}");
        }
        let witness = r1.run(&["keepalived", "-t", "-f", &file])?;
        ensure!(
            witness.status.code() == Some(code),
            "{name}: keepalived -t says {}\n{}",
            witness.status,
            stderr(&witness)
        );
    }
    Ok(())
}

fn published_runs(lab: &Lab) -> Result<()> {
    let r1 = lab.host("r1")?;
    prepare(r1)?;
    let addresses = lab.watch_addresses()?;
    let mut daemon = r1.start(Daemon::XvrrpRfc, PUBLISHED)?;
    for vip in [VIP_A, VIP_B] {
        held_by(&addresses, vip, &["r1"], ms(10_000))?;
    }
    let log = daemon.log();
    ensure!(log.matches("words are left behind the script").count() == 1, "one line wanted in\n{log}");
    for name in ["VI_A", "VI_B"] {
        let priority = instance(r1, name)?.priority;
        ensure!(priority.effective == 102, "{name}: the check counts, so 102 is wanted: {priority:?}");
    }
    daemon.check_alive()
}

fn large_weights(lab: &Lab) -> Result<()> {
    let config = CORRECTED.replace("weight 2 ", "weight 20 ").replace("weight 2\n", "weight 20\n");
    ensure!(config.matches("weight 20").count() == 2, "two weights wanted in\n{config}");
    move_one(lab, &config, ms(7_000))
}

/// Without a weight the failure is a FAULT; the master says so at once instead of falling silent.
fn no_weights(lab: &Lab) -> Result<()> {
    let config = CORRECTED.replace("    weight 2", "    # weight 2");
    move_one(lab, &config, ms(3_300))
}

/// The check of service A fails on `r1` and recovers: within `soon` its address moves, and it comes back.
fn move_one(lab: &Lab, config: &str, soon: std::time::Duration) -> Result<()> {
    let mut routers = start(lab, config)?;
    let addresses = lab.watch_addresses()?;
    let r1 = lab.host("r1")?;
    let before = instance(r1, "VI_B")?;
    let failed = Moment::now();
    stop_service(r1, "serviceA")?;
    let moved = held_by(&addresses, VIP_A, &["r2"], soon)?;
    ensure!(addresses.holders(VIP_B.into()) == ["r1"], "B moved: {:?}", addresses.holders(VIP_B.into()));
    let recovered = Moment::now();
    start_service(r1, "serviceA")?;
    let back = held_by(&addresses, VIP_A, &["r1"], ms(9_000))?;
    println!(
        "VIP A moved {:.0} ms after its service stopped, and back {:.0} ms after it was started",
        moved.ms_after(failed),
        back.ms_after(recovered)
    );
    let b = instance(r1, "VI_B")?;
    ensure!(b.state == "MASTER" && b.since_ms > before.since_ms, "B was touched: {before:?} {b:?}");
    let touched = |e: &ha_tests::lab::ChangeAt| {
        use ha_tests::lab::Change::{Added, Removed};
        e.at > failed && (e.change == Added(VIP_B.into()) || e.change == Removed(VIP_B.into()))
    };
    ensure!(!addresses.history().iter().any(touched), "B was touched: {:?}", addresses.history());
    routers.iter_mut().try_for_each(Running::check_alive)
}

fn published_weights(lab: &Lab) -> Result<()> {
    let mut routers = start(lab, CORRECTED)?;
    let addresses = lab.watch_addresses()?;
    let (r1, r2) = (lab.host("r1")?, lab.host("r2")?);
    until(r2, "VI_A", "BACKUP", ms(2_000))?;
    stop_service(r1, "serviceA")?;
    let end = Moment::now().plus(ms(4_000));
    while instance(r1, "VI_A")?.priority.effective != 100 {
        ensure!(Moment::now() < end, "the failing check does not lower the priority to 100");
        std::thread::sleep(ms(50));
    }
    // Longer than the backup would need to lose patience with a master of lower priority.
    std::thread::sleep(ms(5_000));
    let backup = instance(r2, "VI_A")?;
    let master = backup.master.as_ref().context("r2 follows nobody")?;
    ensure!(backup.priority.effective == 92 && master.priority == 100, "{backup:?}");
    for vip in [VIP_A, VIP_B] {
        ensure!(addresses.holders(vip.into()) == ["r1"], "{vip} moved: {:?}", addresses.holders(vip.into()));
    }
    routers.iter_mut().try_for_each(Running::check_alive)
}

//! Maintenance: an operator gives a role away, takes it, or keeps it where it is, for some time.

use anyhow::{Context, Result, ensure};
use ha_tests::lab::{Daemon, Host, Lab, Moment, RUN_DIR, wait_for};

use crate::harness::Test;
use crate::pair::{Conf, MASTER_DOWN, VIP, held_by, ms, probes, script, stderr, stdout, until, xvrrp};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("holds::resign_and_release_lose_nothing", resign).needs([Daemon::Xvrrp]).timing(),
        Test::new("holds::resign_without_a_standby_keeps_the_address", alone).needs([Daemon::Xvrrp]),
        Test::new("holds::freeze_outlives_reload_and_restart", freeze).needs([Daemon::Xvrrp]),
        Test::new("holds::resign_beside_keepalived", beside_keepalived)
            .needs([Daemon::XvrrpRfc, Daemon::Keepalived]),
        Test::new("holds::stop_waits_for_the_end", stop).needs([Daemon::Xvrrp]),
    ]
}

fn order(host: &Host, words: &[&str]) -> Result<String> {
    let mut all = words.to_vec();
    all.extend(["--run-dir", RUN_DIR]);
    let output = xvrrp(host, &all)?;
    ensure!(output.status.success(), "{words:?}: {} {}{}", output.status, stdout(&output), stderr(&output));
    Ok(stdout(&output))
}

/// r1 is master, r2 probes it.
fn probed(lab: &Lab, first: &str, second: &str) -> Result<[ha_tests::lab::Running; 2]> {
    let addresses = lab.watch_addresses()?;
    let (r1, r2) = (lab.host("r1")?, lab.host("r2")?);
    let master = r1.start(Daemon::Xvrrp, first)?;
    held_by(&addresses, VIP, &["r1"], ms(5_000))?;
    let backup = r2.start(Daemon::Xvrrp, second)?;
    probes(r2)?;
    Ok([master, backup])
}

fn resign(lab: &Lab) -> Result<()> {
    let addresses = lab.watch_addresses()?;
    let (r1, client) = (lab.host("r1")?, lab.host("client")?);
    let _pair = probed(lab, &Conf::new(101).text(), &Conf::new(99).text())?;
    let pinger = client.ping(std::net::IpAddr::V4(VIP), ms(1), ms(60_000))?;
    wait_for(ms(8_000), || pinger.is_answered(ms(20)).then_some(())).context("the client is not answered")?;
    let begin = Moment::now();
    let said = order(r1, &["resign", "VI_1", "--for", "30m"])?;
    ensure!(said.contains("VI_1: resigned; the master is 172.16.1.2"), "{said}");
    held_by(&addresses, VIP, &["r2"], ms(1_000))?;
    let status = stdout(&xvrrp(r1, &["status", "--run-dir", RUN_DIR])?);
    ensure!(status.contains("resigned by the operator"), "{status}");
    std::thread::sleep(ms(300));
    let said = order(r1, &["release", "VI_1"])?;
    ensure!(said.contains("VI_1: held no longer"), "{said}");
    held_by(&addresses, VIP, &["r1"], ms(5_000))?;
    std::thread::sleep(ms(300));
    let lost = pinger.stop().lost_between(begin, Moment::now());
    ensure!(lost == 0, "{lost} packets were lost");
    let events = order(r1, &["events", "--kind", "hold"])?;
    ensure!(
        events.contains("(VI_1) is resigned by the operator until") && events.contains("no longer"),
        "{events}"
    );
    Ok(())
}

fn alone(lab: &Lab) -> Result<()> {
    let addresses = lab.watch_addresses()?;
    let r1 = lab.host("r1")?;
    let _r1 = r1.start(Daemon::Xvrrp, &Conf::new(101).text())?;
    held_by(&addresses, VIP, &["r1"], ms(5_000))?;
    let output = xvrrp(r1, &["resign", "--all", "--for", "2s", "--run-dir", RUN_DIR])?;
    // Its time is over before the command has given up.
    ensure!(
        output.status.code() == Some(1) && stdout(&output).contains("nobody takes over"),
        "{}",
        stdout(&output)
    );
    held_by(&addresses, VIP, &["r1"], ms(100))?;
    let status = until(r1, "VI_1", "MASTER", ms(100))?;
    ensure!(status.priority.effective == 101, "{:?}", status.priority);
    let unknown = xvrrp(r1, &["freeze", "VI_2", "--run-dir", RUN_DIR])?;
    ensure!(stderr(&unknown).contains("there is no instance VI_2; there are VI_1"), "{}", stderr(&unknown));
    Ok(())
}

/// A frozen master whose script fails stays, over a reload and a restart; its death is still one.
fn freeze(lab: &Lab) -> Result<()> {
    let addresses = lab.watch_addresses()?;
    let r1 = lab.host("r1")?;
    let first = script("weight -20") + &Conf::new(101).with("track_script {\n chk\n }").text();
    let [mut master, _r2] = probed(lab, &first, &Conf::new(99).text())?;
    for host in ["r1", "r2"] {
        order(lab.host(host)?, &["freeze", "--all", "--for", "1h"])?;
    }
    r1.write("/run/bad", "", 0o644)?;
    std::thread::sleep(2 * MASTER_DOWN);
    held_by(&addresses, VIP, &["r1"], ms(100))?;
    order(r1, &["reload"])?;
    order(r1, &["restart"])?;
    std::thread::sleep(ms(1_500));
    until(r1, "VI_1", "MASTER", ms(5_000))?;
    held_by(&addresses, VIP, &["r1"], ms(100))?;
    let status = stdout(&xvrrp(r1, &["status", "--run-dir", RUN_DIR])?);
    ensure!(status.contains("frozen by the operator"), "{status}");
    master.kill9()?;
    held_by(&addresses, VIP, &["r2"], ms(5_000)).or_else(|_| {
        // The address is left behind the fence of r1.
        held_by(&addresses, VIP, &["r1", "r2"], ms(100))
    })?;
    Ok(())
}

fn beside_keepalived(lab: &Lab) -> Result<()> {
    let addresses = lab.watch_addresses()?;
    let (r1, r2) = (lab.host("r1")?, lab.host("r2")?);
    let _r1 = r1.start(Daemon::XvrrpRfc, &Conf::new(101).text())?;
    held_by(&addresses, VIP, &["r1"], ms(5_000))?;
    let _r2 = r2.start(Daemon::Keepalived, &Conf::new(99).text())?;
    std::thread::sleep(ms(1_500));
    let said = order(r1, &["resign", "VI_1"])?;
    ensure!(said.contains("the master is 172.16.1.2"), "{said}");
    held_by(&addresses, VIP, &["r2"], ms(1_000))?;
    order(r1, &["prefer", "VI_1"])?;
    held_by(&addresses, VIP, &["r1"], ms(3_000))?;
    Ok(())
}

fn stop(lab: &Lab) -> Result<()> {
    let addresses = lab.watch_addresses()?;
    let r1 = lab.host("r1")?;
    let _r1 = r1.start(Daemon::Xvrrp, &Conf::new(101).text())?;
    held_by(&addresses, VIP, &["r1"], ms(5_000))?;
    let said = order(r1, &["stop"])?;
    ensure!(said == "stopped\n", "{said}");
    held_by(&addresses, VIP, &[], ms(100))?;
    Ok(())
}

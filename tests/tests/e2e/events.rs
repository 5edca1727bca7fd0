//! The flight recorder: each move is explained afterwards, on both hosts, from files alone.

use anyhow::{Context, Result, ensure};
use ha_tests::lab::{Daemon, Host, Lab, RUN_DIR, wait_for};

use crate::harness::Test;
use crate::pair::{Conf, VIP, held_by, ms, script, stderr, stdout, xvrrp};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("events::each_move_is_explained_on_both_hosts", explained).needs([Daemon::Xvrrp]),
        Test::new("events::they_outlive_the_daemon_and_full_disks", outlive).needs([Daemon::Xvrrp]),
    ]
}

fn why(host: &Host, more: &[&str]) -> Result<String> {
    let mut words = vec!["why", "VI_1", "--run-dir", RUN_DIR];
    words.extend(more);
    let output = xvrrp(host, &words)?;
    ensure!(output.status.success(), "why on {}: {}", host.name(), stderr(&output));
    Ok(stdout(&output))
}

fn says(text: &str, parts: &[&str]) -> Result<()> {
    for part in parts {
        ensure!(text.contains(part), "no \"{part}\" in:\n{text}");
    }
    Ok(())
}

fn answers_probes(host: &Host) -> Result<()> {
    let answered = || host.read("/run/lab/xvrrp.log").ok()?.contains("answers probes").then_some(());
    wait_for(ms(12_000), answered).with_context(|| format!("{} does not probe", host.name()))?;
    std::thread::sleep(ms(300));
    Ok(())
}

/// A service that fails, then a cable; afterwards nobody runs.
fn explained(lab: &Lab) -> Result<()> {
    let addresses = lab.watch_addresses()?;
    let (r1, r2) = (lab.host("r1")?, lab.host("r2")?);
    let tracked = Conf::new(101).with("track_script {\n chk\n }").text();
    let mut first = r1.start(Daemon::Xvrrp, &(script("weight -20") + &tracked))?;
    held_by(&addresses, VIP, &["r1"], ms(5_000))?;
    let mut second = r2.start(Daemon::Xvrrp, &Conf::new(99).text())?;
    answers_probes(r2)?;

    r1.write("/run/bad", "", 0o644)?;
    held_by(&addresses, VIP, &["r2"], ms(5_000))?;
    std::thread::sleep(ms(200));
    says(
        &why(r2, &[])?,
        &[
            "VI_1 became MASTER at 20",
            "172.16.1.1 lowered its priority 101 -> 81 (ours 99)",
            "handed over",
            "172.16.1.25/32",
        ],
    )?;
    says(
        &why(r1, &[])?,
        &[
            "VI_1 became BACKUP at 20",
            "172.16.1.2 has priority 99, ours is 81; it was 101 until",
            "script chk fails",
            "xvrrp why VI_1 there",
        ],
    )?;

    r1.output(&["rm", "/run/bad"])?;
    held_by(&addresses, VIP, &["r1"], ms(5_000))?;
    std::thread::sleep(ms(1_500));
    lab.switch().unplug("r1")?;
    held_by(&addresses, VIP, &["r2"], ms(5_000))?;
    second.stop()?;
    first.stop()?;
    // The stop of r2 is the latest move; the cable was before.
    let events =
        stdout(&xvrrp(r2, &["events", "--run-dir", RUN_DIR, "--instance", "VI_1", "--kind", "transition"])?);
    let moves: Vec<_> = events.lines().filter(|line| line.contains("-> ")).collect();
    ensure!(moves.len() >= 6, "{events}");
    let told = [
        "172.16.1.1 has priority 101, ours is 99",
        "is unreachable: ",
        "probes unanswered, last reply",
        "MASTER -> LEAVING",
    ];
    says(&events, &told)
}

/// A daemon that is killed leaves its events, and one whose disk is full or missing runs all the same.
fn outlive(lab: &Lab) -> Result<()> {
    let addresses = lab.watch_addresses()?;
    let r1 = lab.host("r1")?;
    let mut daemon = r1.start(Daemon::Xvrrp, &Conf::new(101).text())?;
    held_by(&addresses, VIP, &["r1"], ms(5_000))?;
    std::thread::sleep(ms(200));
    daemon.kill9()?;
    says(&why(r1, &[])?, &["VI_1 became MASTER", "no master heard for"])?;
    let json = why(r1, &["--json"])?;
    says(&json, &["\"reason\": \"no master heard\"", "\"instance\": \"VI_1\""])?;

    // Nothing can be written there, as on a disk that is full or read-only.
    r1.output(&["rm", "-rf", "/run/lab/state"])?;
    r1.write("/run/lab/state", "", 0o644)?;
    let mut daemon = r1.start(Daemon::Xvrrp, &Conf::new(101).text())?;
    let runs = || {
        r1.xvrrp_status()
            .ok()
            .filter(|status| status.instance("VI_1").is_some_and(|one| one.state == "MASTER"))
    };
    wait_for(ms(8_000), runs).context("it does not run without a place for events")?;
    let output = xvrrp(r1, &["events", "--run-dir", RUN_DIR])?;
    ensure!(
        output.status.code() == Some(1) && stderr(&output).contains("events.jsonl"),
        "{}",
        stderr(&output)
    );
    ensure!(daemon.stop()?.is_some_and(|status| status.success()), "{}", daemon.log());
    Ok(())
}

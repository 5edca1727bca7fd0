//! The flight recorder: each move is explained afterwards, on both hosts, from files alone.

use anyhow::{Context, Result, ensure};
use ha_tests::lab::{Daemon, Host, Lab, Moment, RUN_DIR, wait_for};

use crate::harness::Test;
use crate::pair::{Conf, VIP, adverts, held_by, ms, probes, script, stderr, stdout, xvrrp};
use crate::punctual::allowance;

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("events::each_move_is_explained_on_both_hosts", explained).needs([Daemon::Xvrrp]),
        Test::new("events::a_program_without_a_daemon_is_told_of", left).needs([Daemon::Xvrrp]),
        Test::new("events::a_flood_of_them_delays_no_advert", flood).needs([Daemon::Xvrrp]).timing().long(),
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

/// A service that fails, then a cable; afterwards nobody runs.
fn explained(lab: &Lab) -> Result<()> {
    let addresses = lab.watch_addresses()?;
    let (r1, r2) = (lab.host("r1")?, lab.host("r2")?);
    let tracked = Conf::new(101).with("track_script {\n chk\n }").text();
    let mut first = r1.start(Daemon::Xvrrp, &(script("weight -20") + &tracked))?;
    held_by(&addresses, VIP, &["r1"], ms(5_000))?;
    let mut second = r2.start(Daemon::Xvrrp, &Conf::new(99).text())?;
    probes(r2)?;

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

/// What the program of a killed daemon does is in its pins: `status` says so, and the next run records it.
fn left(lab: &Lab) -> Result<()> {
    let addresses = lab.watch_addresses()?;
    let (r1, r2) = (lab.host("r1")?, lab.host("r2")?);
    let mut first = r1.start(Daemon::Xvrrp, &Conf::new(101).text())?;
    held_by(&addresses, VIP, &["r1"], ms(5_000))?;
    let _second = r2.start(Daemon::Xvrrp, &Conf::new(99).text())?;
    probes(r2)?;
    first.kill9()?;
    held_by(&addresses, VIP, &["r1", "r2"], ms(5_000))?;
    std::thread::sleep(ms(500));
    let output = xvrrp(r1, &["status", "--run-dir", RUN_DIR])?;
    ensure!(output.status.code() == Some(3), "{}", output.status);
    says(
        &stdout(&output),
        &[
            "UNKNOWN",
            "ens160: nobody has vouched for its program for",
            "it was master of VRID 25",
            "the fence is closed",
        ],
    )?;
    let _first = r1.start(Daemon::Xvrrp, &Conf::new(101).text())?;
    held_by(&addresses, VIP, &["r1"], ms(8_000))?;
    let events = stdout(&xvrrp(r1, &["events", "--kind", "fence", "--run-dir", RUN_DIR])?);
    says(&events, &["the fence is closed", "another router has taken over VRID 25"])
}

/// Adverts every 10 ms, while a file that is tracked changes all the time: with room for events, on a full disk, and where
/// nothing can be written.
fn flood(lab: &Lab) -> Result<()> {
    let addresses = lab.watch_addresses()?;
    let (r1, wire) = (lab.host("r1")?, lab.switch().watch()?);
    let file = "track_file often {\n file /run/often\n weight 1\n init_file 0\n}\n";
    let conf = Conf::new(101).every("0.01").with("track_file {\n often\n }").text();
    let _daemon = r1.start(Daemon::Xvrrp, &(file.to_owned() + &conf))?;
    held_by(&addresses, VIP, &["r1"], ms(5_000))?;
    let longest = |span: std::time::Duration| {
        let from = Moment::now();
        std::thread::sleep(span);
        let times: Vec<_> = adverts(&wire, "r1", 25, from).iter().map(|advert| advert.at).collect();
        // What the machine withheld is nobody's fault.
        let gaps =
            times.windows(2).map(|pair| pair[1].since(pair[0]).saturating_sub(allowance(pair[0], pair[1])));
        (times.len(), gaps.max().unwrap_or_default())
    };
    let (_, calm) = longest(ms(3_000));
    let words = ["sh", "-c", "while :; do echo 1 > /run/often; echo 2 > /run/often; done"];
    let mut command = std::process::Command::new(words[0]);
    command.args(&words[1..]);
    let mut writer = r1.spawn(command)?;
    let mut worst = Vec::new();
    for place in ["room", "a full disk", "nothing can be written"] {
        match place {
            "a full disk" => {
                r1.output(&["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", "/run/lab/state"])?;
            }
            "nothing can be written" => {
                r1.output(&["mount", "-o", "remount,ro", "/run/lab/state"])?;
            }
            _ => {}
        }
        let (count, gap) = longest(ms(4_000));
        println!("{place}: longest pause {gap:?} of {count} adverts, {calm:?} without events");
        worst.push((place, gap));
    }
    writer.stop(ms(2_000))?;
    let events = stdout(&xvrrp(r1, &["counters", "--run-dir", RUN_DIR])?);
    ensure!(!events.is_empty(), "it does not answer any more");
    for (place, gap) in worst {
        ensure!(gap <= calm * 3, "{place}: {gap:?} between two adverts, {calm:?} without events");
    }
    Ok(())
}

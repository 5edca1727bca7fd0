//! Peers of other kinds: keepalived, several backups, one that was accused wrongly; and a host
//! whose daemon is gone for good.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ha_common::probe::{PROBE, REPLY};
use ha_tests::lab::{Daemon, Lab, Moment, RUN_DIR, Topology, wait_for};

use super::cluster::{PING, Router, files, outage, pair, sent, stream};
use crate::harness::Test;
use crate::pair::{Conf, INTERVAL, MASTER_DOWN, VIP, adverts, held_by, ms, stderr, stdout, xvrrp};
use crate::punctual::{allowance, within};

/// By so much a backup of priority 10 that comes after one of 250 waits longer before a takeover: 240 / 256 of
/// `fast_window`, a probe interval and a millisecond.
const WAIT: Duration = Duration::from_micros(4_343);

pub(super) fn tests() -> Vec<Test> {
    let new = |name: &str, body: fn(&Lab) -> Result<()>| {
        Test::new(format!("fast::{name}"), body).needs([Daemon::Xvrrp])
    };
    vec![
        new("keepalived_is_master", |lab| beside_keepalived(lab, false)).needs([Daemon::Keepalived]),
        new("keepalived_is_backup", |lab| beside_keepalived(lab, true)).needs([Daemon::Keepalived]),
        new("detach_after_a_crash", detach).needs_tool("bpftool"),
        new("three_routers", three_routers).on(|| Topology::routers(3)).timing(),
        new("wrong_verdict_is_damped", wrong_verdict).timing(),
    ]
}

/// keepalived logs nothing because of probes, is asked no more often than a router that may or may not answer, and
/// both take over after the RFC's time. It is watched for 3 s, or `XVRRP_MIXED_SECONDS`.
fn beside_keepalived(lab: &Lab, xvrrp_is_master: bool) -> Result<()> {
    let addresses = lab.watch_addresses()?;
    let wire = lab.switch().watch_probes()?;
    let [high, low] = files();
    let (ours, theirs, config) =
        if xvrrp_is_master { ("r1", "r2", [high, low]) } else { ("r2", "r1", [low, high]) };
    // The master comes first: one that waits to preempt a lower-priority master asks that whether it answers.
    let start = || Router::start(lab, ours, config[0]);
    let first = if xvrrp_is_master { Some(start()?) } else { None };
    if first.is_some() {
        held_by(&addresses, VIP, &["r1"], ms(5_000))?;
    }
    let mut keepalived = lab.host(theirs)?.start(Daemon::Keepalived, config[1])?;
    let mut router = first.map_or_else(start, Ok)?;
    held_by(&addresses, VIP, &["r1"], ms(5_000))?;
    // Whoever is master repeats its gratuitous ARPs after 5 s (garp_master_delay).
    std::thread::sleep(ms(5_300));
    let (before, begin) = (keepalived.log().len(), Moment::now());
    let seconds = std::env::var("XVRRP_MIXED_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(3);
    std::thread::sleep(ms(seconds * 1_000));
    let log = keepalived.log();
    let said = log.get(before..).unwrap_or_default();
    let (probes, answers) =
        (sent(&wire, ours, PROBE, Moment::from_boot()), sent(&wire, theirs, REPLY, begin));
    println!("{probes} probes of {ours} on the wire in {} s", 5 + seconds);
    let held = addresses.holders(VIP.into());
    ensure!(held == ["r1"], "the address is at {held:?}");
    ensure!(said.trim().is_empty(), "keepalived noticed:\n{said}");
    ensure!(answers == 0, "keepalived answers probes?");
    // At 0, 1, 3, 7 and 15 s, and then every ten.
    let most = 4 + usize::try_from(seconds / 10)?;
    ensure!(probes <= most, "{probes} probes in {} s", 5 + seconds);
    ensure!(xvrrp_is_master || probes >= 2, "the master is asked {probes} times whether it answers");
    ensure!(!xvrrp_is_master || probes == 0, "a master probes its backup");
    let died = Moment::now();
    if xvrrp_is_master {
        router.running.kill9()?
    } else {
        keepalived.kill9()?
    }
    let taken = wait_for(ms(2_000), || wire.first_advert_from("r2", died)).context("r2 did not take over")?;
    let last = wire.last_advert_from("r1", taken).context("no advert from r1")?;
    println!("takeover {:.1} ms after the last advert", taken.ms_after(last));
    ensure!(taken.since(last) >= ms(300), "sooner than the RFC's time");
    within("takeover after the last advert", last, taken, MASTER_DOWN).map(drop)
}

/// What a killed daemon leaves in the kernel is removed by hand, but not under a daemon that runs.
fn detach(lab: &Lab) -> Result<()> {
    let host = lab.host("r1")?;
    let run = || xvrrp(host, &["detach", "--bpffs", "/sys/fs/bpf", "--run-dir", RUN_DIR]);
    let attached = || host.output(&["bpftool", "net", "show"]);
    let [mut r1, _r2] = pair(lab, files())?;
    let refused = run()?;
    ensure!(!refused.status.success(), "detach under a running daemon: {}", stdout(&refused));
    ensure!(stderr(&refused).contains("detaches by itself when it stops"), "{}", stderr(&refused));
    ensure!(attached()?.contains("ens160"), "the program is gone:\n{}", attached()?);
    r1.running.kill9()?;
    ensure!(attached()?.contains("ens160"), "the program went with the daemon:\n{}", attached()?);
    let done = run()?;
    ensure!(done.status.success(), "detach: {}", stderr(&done));
    println!("{}", stdout(&done).trim());
    ensure!(!attached()?.contains("ens160"), "the program is still there:\n{}", attached()?);
    let left = host.output(&["find", "/sys/fs/bpf/xvrrp", "-type", "f"]).unwrap_or_default();
    ensure!(left.trim().is_empty(), "pins are left:\n{left}");
    let again = run()?;
    ensure!(again.status.success() && stdout(&again).contains("nothing was left"), "{}", stdout(&again));
    Ok(())
}

/// Of two backups the one with the higher priority takes over; the other hears it in time.
fn three_routers(lab: &Lab) -> Result<()> {
    let wire = lab.switch().watch()?;
    let start = |name, priority| Router::start(lab, name, &Conf::new(priority).text());
    // Far apart, for a machine on which a wake-up may be late.
    let r1 = start("r1", 254)?;
    r1.says("-> MASTER", ms(5_000))?;
    let (r2, r3) = (start("r2", 250)?, start("r3", 10)?);
    r2.probes()?;
    r3.probes()?;
    let census = lab.arp_census("client", VIP, ms(1))?;
    let pinger = stream(lab, PING)?;
    let died = Moment::now();
    lab.switch().silence("r1")?;
    let outage = outage(&pinger, died, ms(3_000)).context("nobody took over")?;
    outage.print("host death with two backups");
    r3.says("172.16.1.2 answers probes", ms(3_000))?;
    std::thread::sleep(ms(500));
    // r3 hears r2, which goes first, unless that was held up.
    let (first, other) = (wire.first_advert_from("r2", died), adverts(&wire, "r3", 25, died));
    let first = first.context("r2 did not take over")?;
    if let Some(other) = other.first() {
        let held_up = allowance(died, first.max(other.at));
        ensure!(held_up > WAIT, "r3 became master too, although nothing held up r2:\n{}", r3.log());
        ensure!(r3.log().trim_end().contains("MASTER -> BACKUP"), "r3 does not give way:\n{}", r3.log());
    }
    let doubles = census.double_answers(died);
    ensure!(doubles.is_empty() || !other.is_empty(), "questions with two answers: {doubles:?}");
    // The next in line is followed as fast.
    let mut r2 = r2;
    let died = Moment::now();
    r2.running.kill9()?;
    let taken = wait_for(ms(1_000), || wire.first_advert_from("r3", died)).context("r3 did not take over")?;
    println!("then kill -9 of r2: r3 takes over after {:.1} ms", taken.ms_after(died));
    within("r3 takes over after kill -9", died, taken, INTERVAL)?;
    let doubles = census.double_answers(died);
    ensure!(doubles.is_empty(), "questions with two answers: {doubles:?}");
    Ok(())
}

/// A switch that loses everything for a moment: the backup takes over, the RFC's rules settle it, and fast verdicts on
/// this peer pause.
fn wrong_verdict(lab: &Lab) -> Result<()> {
    let addresses = lab.watch_addresses()?;
    let wire = lab.switch().watch()?;
    let [_r1, r2] = pair(lab, files())?;
    let cut = Moment::now();
    lab.switch().silence("r1")?;
    wait_for(ms(2_000), || wire.first_advert_from("r2", cut)).context("r2 did not take over")?;
    lab.switch().restore("r1")?;
    r2.says("-> BACKUP 172.16.1.25: 172.16.1.1 has priority 101", ms(1_000))?;
    held_by(&addresses, VIP, &["r1"], ms(1_000))?;
    r2.says("was wrong; only the RFC's timers count", ms(1_000))?;
    let status = stdout(&xvrrp(lab.host("r2")?, &["status", "--run-dir", RUN_DIR])?);
    ensure!(status.contains("after a wrong verdict"), "status says nothing of the pause:\n{status}");
    std::thread::sleep(ms(500));
    let again = Moment::now();
    lab.switch().silence("r1")?;
    let taken =
        wait_for(ms(2_000), || wire.first_advert_from("r2", again)).context("r2 did not take over")?;
    let last = wire.last_advert_delivered(lab.host("r1")?.spec().mac, "r2", taken).context("no advert")?;
    println!("during the pause: takeover {:.1} ms after the last advert", taken.ms_after(last));
    ensure!(taken.since(last) >= ms(300), "a verdict counted during the pause");
    within("takeover during the pause", last, taken, MASTER_DOWN + INTERVAL / 2).map(drop)
}

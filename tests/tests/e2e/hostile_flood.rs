//! Floods: no state changes, and the daemon takes a bounded part of the machine and of the disk.
//!
//! Each lasts 4 s, or `XVRRP_FLOOD_SECONDS`.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ha_tests::lab::{Daemon, Frame, Lab, Moment, Running, wait_for};
use nix::sys::signal::Signal;

use super::frames::{Bad, V3, bad};
use super::packets::Pair;
use super::{ms, sound};
use crate::harness::Test;
use crate::punctual::steady;

const PER_SECOND: u64 = 50_000;
/// Resident memory that a flood may add: what one turn takes from a socket.
const GROWTH_KIB: u64 = 8 * 1024;

pub(crate) fn tests() -> Vec<Test> {
    [("generic", "generic", 0.5), ("sockets", "off", 4.0)]
        .map(|(word, mode, cpu)| {
            let body = move |lab: &Lab| flood(lab, mode, cpu);
            Test::new(format!("hostile::flood_at_master_and_backup_{word}"), body)
                .needs([Daemon::XvrrpRfc])
                .timing()
        })
        .into()
}

/// `cpu` is what each daemon may use of the processor time that its flood takes to send.
fn flood(lab: &Lab, mode: &str, cpu: f64) -> Result<()> {
    let mut pair = Pair::start(lab, mode)?;
    let client = lab.host("client")?;
    let (wire, addresses) = (lab.switch().watch()?, lab.watch_addresses()?);
    let daemons = [("r1", &pair.r1), ("r2", &pair.r2)];
    let before = daemons.map(|(_, daemon)| (processor_time(daemon), memory_kib(daemon)));

    let start = Moment::now();
    let mut floods = Vec::new();
    for (victim, _) in daemons {
        // A neighbour's routers with our VRIDs, other VRIDs, CARP, and the rest of the zoo. Not what is so wrong
        // that the kernel alone deals with it.
        let list = bad(&pair.genuine, lab.host(victim)?.spec().v4, client.spec().v4);
        let of_interest = |b: &&Bad| b.socket.is_some_and(|counter| counter != "accepted");
        let frames = list.iter().filter(of_interest).map(|b| b.packet.bytes()).collect();
        floods.push(lab.switch().injector(victim)?.flood(frames, PER_SECOND)?);
    }
    let seconds = std::env::var("XVRRP_FLOOD_SECONDS").ok().and_then(|text| text.parse().ok());
    std::thread::sleep(Duration::from_secs(seconds.unwrap_or(4)));
    // A signal does not wait for the end of the flood.
    for (victim, daemon) in daemons {
        daemon.signal(Signal::SIGHUP)?;
        wait_for(ms(20_000), || daemon.log().contains("reload: nothing changed").then_some(()))
            .with_context(|| format!("{victim} does not reload in the flood:\n{}", daemon.log()))?;
    }
    let sent: Vec<_> = floods.iter().map(|flood| (flood.sent(), flood.cpu())).collect();
    drop(floods);
    let length = Moment::now().since(start);

    for (((victim, daemon), (used, memory)), (sent, sender)) in daemons.into_iter().zip(before).zip(sent) {
        let used = processor_time(daemon)?.saturating_sub(used?);
        let share = used.as_secs_f64() / sender.as_secs_f64();
        let grown = memory_kib(daemon)?.saturating_sub(memory?);
        let rate = sent as f64 / length.as_secs_f64();
        println!(
            "{victim}: {rate:.0} frames a second, which took {sender:?} to send and {used:?} to receive, {grown} KiB more"
        );
        ensure!(rate > 5_000.0, "only {rate:.0} frames a second");
        ensure!(
            share <= cpu,
            "{victim}: {used:?} of a processor, and the sender {sender:?}; {cpu} of it at most"
        );
        ensure!(grown <= GROWTH_KIB, "{victim}: {grown} KiB more, wanted at most {GROWTH_KIB}");
    }
    let changes = addresses.history().into_iter().filter(|change| change.at > start).collect::<Vec<_>>();
    ensure!(changes.is_empty(), "addresses changed: {changes:?}");
    let adverts = wire.filter(|s| {
        s.is_advert_from("r1") && s.at > start && matches!(s.frame, Frame::Advert { vrid: V3, .. })
    });
    let times: Vec<_> = adverts.iter().map(|seen| seen.at).collect();
    let gap = steady("adverts of the master", &times, ms(1_000) * 21 / 20)?;
    println!("longest pause between two adverts of the master: {gap:?}");
    // Five lines a minute and instance about rejected adverts.
    sound(&mut pair.r1, 60)?;
    sound(&mut pair.r2, 60)?;
    for victim in ["r1", "r2"] {
        let answer = || super::counters(lab.host(victim).ok()?).ok();
        wait_for(ms(2_000), answer).with_context(|| format!("no answer of {victim} after the flood"))?;
    }
    Ok(())
}

/// Processor time of all threads so far.
fn processor_time(daemon: &Running) -> Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", daemon.pid()))?;
    let fields: Vec<&str> = stat.rsplit_once(')').context("stat")?.1.split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
    // USER_HZ is 100 on every architecture that Linux still has.
    Ok(ms(ticks * 10))
}

/// Resident memory.
fn memory_kib(daemon: &Running) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.pid()))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    Ok(line.split_whitespace().next().context("no VmRSS")?.parse()?)
}

//! The lab itself: what the other tests take for granted about it.

use std::io::{BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ha_tests::lab::{
    Change, Daemon, Frame, Impairment, Lab, Moment, PingReport, Topology, tcpdump_complaints, wait_for,
};

use crate::harness::Test;

const VIP: Ipv4Addr = Ipv4Addr::new(172, 16, 1, 25);

/// Makes this program the victim of [`nothing_is_left_after_sigkill`].
const VICTIM: &str = "XVRRP_E2E_VICTIM";

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("lab::cables", cables),
        Test::new("lab::arp_census_counts_every_answer", arp_census),
        Test::new("lab::bad_cable", bad_cable),
        Test::new("lab::sweep_names_who_answers", sweep),
        Test::new("lab::nothing_is_left_after_sigkill", nothing_is_left_after_sigkill),
        Test::new("lab::keepalived_to_tcpdump", keepalived_to_tcpdump)
            .needs([Daemon::Keepalived])
            .needs_tool("tcpdump"),
        Test::new("lab::frr_takes_over", frr_takes_over).needs([Daemon::FrrVrrpd]),
    ]
}

/// Unplugged: the carrier drops. Silenced: it stays, but nothing passes.
fn cables(lab: &Lab) -> Result<()> {
    let (r1, client) = (lab.host("r1")?, lab.host("client")?);
    let addresses = lab.watch_addresses()?;
    let second = Duration::from_secs(1);
    let pings = |target| -> Result<bool> {
        let pinger = client.ping(target, Duration::from_millis(10), second)?;
        Ok(wait_for(second, || pinger.is_answered(second).then_some(())).is_some())
    };
    for target in [IpAddr::V4(r1.spec().v4), IpAddr::V6(r1.spec().v6)] {
        ensure!(pings(target)?, "{target} does not answer in a fresh lab");
        lab.switch().silence("r1")?;
        ensure!(!pings(target)?, "{target} answers through a silenced port");
        ensure!(
            addresses.first("r1", Change::CarrierDown, Moment::from_boot()).is_none(),
            "the carrier dropped"
        );
        lab.switch().restore("r1")?;
        ensure!(pings(target)?, "{target} does not answer after the port was restored");
    }
    let out = Moment::now();
    lab.switch().unplug("r1")?;
    wait_for(second * 3, || addresses.first("r1", Change::CarrierDown, out)).context("the carrier stays")?;
    lab.switch().plug("r1")?;
    wait_for(second * 3, || addresses.first("r1", Change::CarrierUp, out)).context("no carrier again")?;
    ensure!(pings(IpAddr::V4(r1.spec().v4))?, "r1 does not answer after its cable is back");
    Ok(())
}

fn sweep(lab: &Lab) -> Result<()> {
    let [r1, r2] = ["r1", "r2"].map(|name| lab.host(name).map(|host| IpAddr::V4(host.spec().v4)));
    let nobody = IpAddr::V4(Ipv4Addr::new(172, 16, 1, 77));
    let start = Moment::now();
    let targets = vec![r1?, nobody, r2?];
    let sweep = lab.host("client")?.sweep(targets, Duration::from_millis(1), Duration::from_secs(3))?;
    let answered = sweep.finish().answered;
    let [Some(first), None, Some(last)] = answered[..] else {
        anyhow::bail!("answered: {answered:?}");
    };
    ensure!(first > start && last > start, "answered before the start");
    Ok(())
}

fn bad_cable(lab: &Lab) -> Result<()> {
    let target = IpAddr::V4(lab.host("r1")?.spec().v4);
    let stream = || -> Result<PingReport> {
        let pinger = lab.host("client")?.ping(target, Duration::from_millis(2), Duration::from_secs(1))?;
        std::thread::sleep(Duration::from_secs(1));
        Ok(pinger.stop())
    };
    let cable =
        lab.impair("r1", Impairment { delay: Duration::from_millis(10), ..Impairment::default() }, 1)?;
    let delayed = stream()?;
    let trip = delayed.round_trip(50).context("nothing comes through")?;
    // Each direction is delayed.
    ensure!(trip >= Duration::from_millis(19), "round trip {trip:?}");
    ensure!(delayed.lost() * 20 < delayed.sent(), "{} of {} lost", delayed.lost(), delayed.sent());
    cable.change(Impairment { loss: 0.3, ..Impairment::default() });
    let lossy = stream()?;
    // Requests and answers are lost independently: 0.7 × 0.7 come back.
    let share = lossy.lost() as f64 / lossy.sent() as f64;
    ensure!((0.38..0.64).contains(&share), "{share:.2} lost");
    drop(cable);
    let good = stream()?;
    let good_trip = good.round_trip(50).context("nothing comes through a good cable")?;
    ensure!(good_trip * 4 < trip, "round trip {good_trip:?}, and {trip:?} with delays");
    ensure!(good.lost() * 20 < good.sent(), "{} of {} lost", good.lost(), good.sent());
    Ok(())
}

fn arp_census(lab: &Lab) -> Result<()> {
    let census = lab.arp_census("client", VIP, Duration::from_millis(20))?;
    let answers = || census.samples().last().map(|sample| sample.answers.clone());
    let seen = |wanted: &[&str]| {
        wait_for(Duration::from_secs(2), || {
            let mut answers = answers()?;
            answers.sort();
            (answers == wanted).then_some(())
        })
        .with_context(|| format!("wanted {wanted:?}, saw {:?}", answers()))
    };
    seen(&[])?;
    for (host, wanted) in [("r1", &["r1"][..]), ("r2", &["r1", "r2"])] {
        lab.host(host)?.output(&["ip", "addr", "add", "172.16.1.25/32", "dev", "ens160"])?;
        seen(wanted)?;
    }
    ensure!(!census.double_answers(Moment::from_boot()).is_empty(), "double answers are not reported");
    Ok(())
}

fn keepalived_to_tcpdump(lab: &Lab) -> Result<()> {
    let capture = lab.host("r2")?.capture("vrrp or arp", false)?;
    let wire = lab.switch().watch()?;
    let mut router =
        lab.host("r1")?.start(Daemon::Keepalived, include_str!("../../inputs/two-node/master.conf"))?;
    wait_for(Duration::from_secs(8), || wire.first_announcement("r1", VIP.into(), Moment::from_boot()))
        .context("keepalived announces nothing")?;
    router.stop()?;
    let goodbye = |s: &ha_tests::lab::Sighting| {
        s.is_advert_from("r1") && matches!(s.frame, Frame::Advert { priority: 0, .. })
    };
    wait_for(Duration::from_secs(2), || wire.last(goodbye)).context("no advert of priority 0 at the end")?;
    let text = capture.stop()?;
    ensure!(text.contains("VRRPv2, Advertisement, vrid 9, prio 101"), "tcpdump saw:\n{text}");
    ensure!(tcpdump_complaints(&text).is_empty(), "tcpdump complains:\n{text}");
    Ok(())
}

fn frr_takes_over(lab: &Lab) -> Result<()> {
    let wire = lab.switch().watch()?;
    let config = |priority| {
        format!(
            "interface ens160\n vrrp 9 version 3\n vrrp 9 priority {priority}\n \
             vrrp 9 advertisement-interval 100\n vrrp 9 ip {VIP}\n vrrp 9 ipv6 fd00:16::25\n"
        )
    };
    let addresses = [IpAddr::V4(VIP), "fd00:16::25".parse()?];
    let mut routers = Vec::new();
    for (name, priority) in [("r1", 101), ("r2", 99)] {
        let host = lab.host(name)?;
        host.frr_macvlan(9, &addresses)?;
        routers.push(host.start(Daemon::FrrVrrpd, &config(priority))?);
    }
    let advertises = |host: &str, v6: bool, from| {
        wait_for(Duration::from_secs(8), || {
            wire.first_since(from, |s| {
                s.is_advert_from(host)
                    && matches!(s.frame, Frame::Advert { version: 3, source, .. } if source.is_ipv6() == v6)
            })
        })
        .with_context(|| format!("no advert from {host}, IPv6 {v6}"))
    };
    for v6 in [false, true] {
        advertises("r1", v6, Moment::now())?;
    }
    let died = Moment::now();
    lab.switch().silence("r1")?;
    routers[0].kill9()?;
    for v6 in [false, true] {
        advertises("r2", v6, died.plus(Duration::from_millis(200)))?;
    }
    Ok(())
}

/// Everything of a lab ends with the process that built it.
fn nothing_is_left_after_sigkill(_: &Lab) -> Result<()> {
    let mut victim = Command::new(std::env::current_exe()?)
        .env(VICTIM, "1")
        .stdout(Stdio::piped())
        .spawn()
        .context("starting the victim")?;
    let mut line = String::new();
    BufReader::new(victim.stdout.take().context("no pipe")?).read_line(&mut line)?;
    let pids: Vec<u32> = line.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
    let alive = || pids.iter().filter(|pid| Path::new(&format!("/proc/{pid}")).exists()).count();
    ensure!(pids.len() == 5 && alive() == 5, "the victim's lab is not up: {line}");
    victim.kill()?;
    victim.wait()?;
    wait_for(Duration::from_secs(5), || (alive() == 0).then_some(()))
        .with_context(|| format!("{} of {pids:?} are left", alive()))
}

/// Builds a lab with a program in it, prints all process ids, and waits to be killed; if it was asked to.
pub(crate) fn be_a_victim() -> Result<()> {
    if std::env::var_os(VICTIM).is_none() {
        return Ok(());
    }
    let lab = Lab::new(Topology::two_node())?;
    let mut sleep = Command::new("sleep");
    sleep.arg("3600");
    let sleep = lab.host("r1")?.spawn(sleep)?;
    let holders = lab.hosts().iter().map(|host| host.holder_pid());
    let pids = holders.chain([lab.switch().holder_pid(), sleep.pid()]);
    println!("{}", pids.map(|pid| pid.to_string()).collect::<Vec<_>>().join(" "));
    std::thread::sleep(Duration::from_secs(60));
    std::process::exit(1);
}

//! 255 virtual routers on one interface, and the reload of one among many.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ha_tests::lab::{
    Addresses, Change, Daemon, Direction, Frame, Lab, Moment, Running, Topology, Wire, wait_for,
};
use nix::sys::signal::Signal;

use super::meter::Usage;
use super::routers::{Routers, State, States, instance, pair, reach, vip};
use crate::harness::Test;
use crate::punctual::{allowance, on_time, within};

const MASTER: Routers = Routers { count: 255, interval: "0.1", priority: 200, xdp: None };
const BACKUP: Routers = Routers { priority: 100, ..MASTER };

/// Between two adverts of a virtual router.
const INTERVAL: Duration = Duration::from_millis(100);

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("load::takeover_of_255", takeover).needs([Daemon::XvrrpRfc]).timing(),
        Test::new("load::fast_takeover_of_255", fast).needs([Daemon::Xvrrp]).timing(),
        Test::new("load::reload_of_one_of_100_at_10ms", reload).needs([Daemon::XvrrpRfc]).timing(),
        Test::new("load::reload_with_another_interface_at_10ms", another_interface)
            .needs([Daemon::XvrrpRfc])
            .timing(),
    ]
}

fn takeover(lab: &Lab) -> Result<()> {
    let (r1, r2) = (lab.host("r1")?, lab.host("r2")?);
    let (wire, addresses) = (lab.switch().watch()?, lab.watch_addresses()?);
    let started = Moment::now();
    let mut first = r1.start(Daemon::XvrrpRfc, &MASTER.config())?;
    let times = taken(&addresses, &wire, "r1", started)?;
    println!("start to all master: {}", Summary::of(&times, started));
    let _second = r2.start(Daemon::XvrrpRfc, &BACKUP.config())?;
    reach(r2, "BACKUP")?;
    std::thread::sleep(Duration::from_secs(1));

    // Its power fails: silence, and later a start without the virtual addresses. Half an interval after its adverts,
    // so that all virtual routers hear its last ones together.
    let now = Moment::now();
    wait_for(Duration::from_secs(1), || wire.first_advert_from("r1", now))
        .context("r1 has stopped sending adverts")?;
    std::thread::sleep(Duration::from_millis(50));
    let died = Moment::now();
    lab.switch().silence("r1")?;
    first.kill9()?;
    r1.output(&["ip", "addr", "flush", "dev", r1.interface(), "to", "172.16.2.0/24"])?;
    let times = taken(&addresses, &wire, "r2", died)?;
    let takeover = Summary::of(&times, died);
    let together = together(lab, &addresses)?;
    println!("takeover: {takeover}; 255 addresses in one batch of ip(8) take {together:?}");
    let last = last_adverts(&wire, r1.spec().mac)?;
    println!("takeover: after the last advert {}", Summary::of(&times, last[0]));
    println!(
        "takeover, announced: after the first address {}",
        Summary::of(&announced(&wire, "r2", died)?, times[0])
    );
    // One by one, each with its own way through the kernel and the daemon, they would take tens of times as long.
    within("from the first address to the last", times[0], times[times.len() - 1], together * 4)?;
    let down = INTERVAL * 3 + INTERVAL * (256 - 100) / 256;
    on_time("master down after the last advert", last[0], times[0], down, INTERVAL / 5)?;

    std::thread::sleep(Duration::from_secs(1));
    let returned = Moment::now();
    lab.switch().restore("r1")?;
    let _first = r1.start(Daemon::XvrrpRfc, &MASTER.config())?;
    let times = taken(&addresses, &wire, "r1", returned)?;
    reach(r1, "MASTER")?;
    reach(r2, "BACKUP")?;
    let gone = all(|vrid| addresses.first("r2", Change::Removed(address(vrid)), returned))?;
    let failback = Summary::of(&times, returned);
    println!("failback: {failback}");
    println!("failback, removed from r2 after the first was added to r1: {}", Summary::of(&gone, times[0]));
    within("from the first address to the last", times[0], times[times.len() - 1], together * 4)?;
    // What one adds the other removes meanwhile.
    within("both have addresses", times[0], gone[gone.len() - 1], together * 4)?;
    Ok(())
}

/// A reference for a batch of 255 addresses: from the first to the last that ip(8) adds on the client.
fn together(lab: &Lab, addresses: &Addresses) -> Result<Duration> {
    let client = lab.host("client")?;
    let address = |n: u8| IpAddr::V4(Ipv4Addr::new(172, 16, 9, n));
    let lines: String = (1..=MASTER.count).map(|n| format!("addr add {}/32 dev lo\n", address(n))).collect();
    let from = Moment::now();
    client.batch(lines)?;
    let times = all(|n| addresses.first("client", Change::Added(address(n)), from))?;
    Ok(times[times.len() - 1].since(times[0]))
}

fn address(vrid: u8) -> IpAddr {
    IpAddr::V4(vip(vrid))
}

/// Something that must happen for every virtual router within 10 s: when it did, sorted.
fn all(when: impl Fn(u8) -> Option<Moment>) -> Result<Vec<Moment>> {
    let mut times = (1..=MASTER.count)
        .map(|vrid| {
            wait_for(Duration::from_secs(10), || when(vrid))
                .with_context(|| format!("VRID {vrid}: not within 10 s"))
        })
        .collect::<Result<Vec<_>>>()?;
    times.sort_unstable();
    Ok(times)
}

fn taken(addresses: &Addresses, wire: &Wire, host: &str, from: Moment) -> Result<Vec<Moment>> {
    all(|vrid| addresses.taken(wire, host, address(vrid), from))
}

fn announced(wire: &Wire, host: &str, from: Moment) -> Result<Vec<Moment>> {
    all(|vrid| wire.first_announcement(host, address(vrid), from))
}

/// When the last advert of each virtual router was delivered to r2.
fn last_adverts(wire: &Wire, from: [u8; 6]) -> Result<Vec<Moment>> {
    all(|wanted| {
        let last = wire.last(|s| {
            s.direction == Direction::Delivered
                && s.host == "r2"
                && s.source_mac == from
                && matches!(s.frame, Frame::Advert { vrid, .. } if vrid == wanted)
        });
        last.map(|sighting| sighting.at)
    })
}

/// Sorted times after an origin, in milliseconds.
struct Summary([f64; 3]);

impl Summary {
    fn of(sorted: &[Moment], origin: Moment) -> Self {
        let at = |n: usize| sorted.get(n).map_or(f64::NAN, |time| time.ms_after(origin));
        Self([at(0), at(sorted.len() / 2), at(sorted.len().saturating_sub(1))])
    }
}

impl std::fmt::Display for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [first, median, last] = self.0;
        write!(
            f,
            "first {first:.1} ms, median {median:.1} ms, last {last:.1} ms, spread {:.2} ms",
            last - first
        )
    }
}

/// One gets another priority and another address, or the old ones back, five times; none of the others misses an
/// advert.
fn reload(lab: &Lab) -> Result<()> {
    let old = HUNDRED.config();
    let new = old
        .replace(&instance(50, "0.01", 200), &instance(50, "0.01", 210))
        .replace(&format!("        {}\n", vip(50)), &format!("        {}\n        {ANOTHER}\n", vip(50)));
    let r1 = lab.host("r1")?;
    reloads(lab, [&old, &new], |wire, reloaded, in_force| {
        let priority = if in_force { 210 } else { 200 };
        let advertised = || {
            wire.first_since(
                reloaded,
                |s| matches!(s.frame, Frame::Advert { vrid: 50, priority: p, .. } if p == priority),
            )
        };
        wait_for(Duration::from_secs(5), advertised).context("the new priority is not advertised")?;
        std::thread::sleep(Duration::from_millis(500));
        ensure!(r1.holds(IpAddr::V4(ANOTHER))? == in_force, "{ANOTHER} should be there: {in_force}");
        Ok(())
    })
}

/// An instance on an interface of its own comes and goes, five times: its XDP program is loaded and detached, and none
/// of the others misses an advert.
fn another_interface(lab: &Lab) -> Result<()> {
    let r1 = lab.host("r1")?;
    r1.batch(
        "link add ens224 type veth peer name other\naddr add 172.16.9.1/24 dev ens224\nlink set ens224 up\n\
         link set other up\n"
            .to_owned(),
    )?;
    let old = HUNDRED.config();
    let new = old.clone() + &instance(150, "0.01", 200).replace("ens160", "ens224");
    let attached = || Ok::<_, anyhow::Error>(r1.output(&["bpftool", "net"])?.contains("ens224"));
    reloads(lab, [&old, &new], |_, _, in_force| {
        wait_for(Duration::from_secs(5), || (attached().ok()? == in_force).then_some(()))
            .with_context(|| format!("a program should be on the other interface: {in_force}"))?;
        std::thread::sleep(Duration::from_millis(300));
        Ok(())
    })
}

const HUNDRED: Routers = Routers { count: 100, interval: "0.01", priority: 200, xdp: None };

/// Reloads five times, from the first configuration to the second and back, and looks for missing adverts. `done`
/// waits until what was asked for is in force, or was taken back. Judged by the median, without what the machine took.
fn reloads(lab: &Lab, configs: [&str; 2], done: impl Fn(&Wire, Moment, bool) -> Result<()>) -> Result<()> {
    let [first, _second] = pair(lab, configs[0], &Routers { priority: 100, ..HUNDRED }.config())?;
    let (r1, r2) = (lab.host("r1")?, lab.host("r2")?);
    std::thread::sleep(Duration::from_secs(1));
    let wire = lab.switch().watch()?;
    let mut silences = Vec::new();
    for in_force in [true, false, true, false, true] {
        r1.write("/etc/keepalived/keepalived.conf", configs[usize::from(in_force)], 0o644)?;
        let reloaded = Moment::now();
        first.signal(Signal::SIGHUP)?;
        done(&wire, reloaded, in_force)?;
        silences.push(longest_silence(&wire, reloaded, Moment::now()));
    }
    States::read(r2)?.never_master()?;
    let kept = |state: &State| state.stats.become_master == 1 || state.name == "V150";
    ensure!(States::read(r1)?.instances.iter().all(kept), "the master changed state");
    silences.sort_by(f64::total_cmp);
    println!(
        "longest silence of one of 100 at 10 ms in a reload: min {:.1} ms, median {:.1} ms, max {:.1} ms",
        silences[0], silences[2], silences[4]
    );
    // Two intervals.
    ensure!(silences[2] < 20.0, "an advert is missing: {:.1} ms without one", silences[2]);
    Ok(())
}

const ANOTHER: Ipv4Addr = Ipv4Addr::new(172, 16, 3, 50);

/// Longest time between two adverts of one virtual router that were delivered to r2, in milliseconds.
fn longest_silence(wire: &Wire, from: Moment, to: Moment) -> f64 {
    let mut last: BTreeMap<u8, Moment> = BTreeMap::new();
    let mut longest: f64 = 0.0;
    for sighting in wire.filter(|s| s.direction == Direction::Delivered && s.host == "r2") {
        let Frame::Advert { vrid, .. } = sighting.frame else { continue };
        if sighting.at < from || sighting.at > to {
            continue;
        }
        if let Some(previous) = last.insert(vrid, sighting.at) {
            let held_up = allowance(previous, sighting.at).as_secs_f64() * 1e3;
            longest = longest.max(sighting.at.ms_after(previous) - held_up);
        }
    }
    longest
}

/// Fast failover of 255 virtual routers whose host dies. Probing for them costs as much as for one beside them.
fn fast(lab: &Lab) -> Result<()> {
    let client = lab.host("client")?;
    let other = Lab::new(Topology::two_node())?;
    let [_first, second] = probing(lab, 255)?;
    let [_other_first, other_second] = probing(&other, 1)?;
    // Until announcements and discovery are over.
    std::thread::sleep(Duration::from_secs(6));
    let usage = [Usage::of(second.pid())?, Usage::of(other_second.pid())?];
    std::thread::sleep(Duration::from_secs(5));
    let (many, one) = (usage[0].spent(second.pid())?, usage[1].spent(other_second.pid())?);
    println!("probing every millisecond, the backup of 255: {many}; of one: {one}");
    ensure!(
        many.wakeups() <= 1.5 * one.wakeups(),
        "the backup of 255 wakes up too often: {many}; of one: {one}"
    );
    ensure!(many.percent() <= 2.0 * one.percent(), "the backup of 255 uses too much: {many}; of one: {one}");

    let targets: Vec<_> = (1..=MASTER.count).map(address).collect();
    client.output(&["ip", "route", "replace", "172.16.2.0/24", "dev", client.interface()])?;
    let known = client.sweep(targets.clone(), PAUSE, Duration::from_secs(5))?.finish().answered;
    ensure!(known.iter().all(Option::is_some), "not all addresses are answered by r1");
    let died = Moment::now();
    lab.switch().silence("r1")?;
    let answered = client.sweep(targets, PAUSE, Duration::from_secs(5))?.finish().answered;
    let mut times = answered
        .into_iter()
        .collect::<Option<Vec<_>>>()
        .context("not all addresses are answered by r2 within 5 s")?;
    times.sort_unstable();
    println!("answered by r2 after the death of r1: {}", Summary::of(&times, died));
    // Adverts tell nobody anything so soon.
    within("the last address is answered", died, times[times.len() - 1], Duration::from_secs(1)).map(drop)
}

/// As many virtual routers with the interval that people have: r1 is master, and r2 probes it.
fn probing(lab: &Lab, count: u8) -> Result<[Running; 2]> {
    let (r1, r2) = (lab.host("r1")?, lab.host("r2")?);
    let files = |priority| Routers { count, interval: "1", priority, xdp: None }.config();
    let first = r1.start(Daemon::Xvrrp, &files(200))?;
    reach(r1, "MASTER")?;
    let second = r2.start(Daemon::Xvrrp, &files(100))?;
    reach(r2, "BACKUP")?;
    Ok([first, second])
}

/// Between two rounds in which the client asks all that have not answered.
const PAUSE: Duration = Duration::from_millis(1);

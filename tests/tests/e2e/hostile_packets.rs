//! Each reason to reject a frame: its counter moves, nothing else does, and a dead master stays dead.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ha_tests::lab::{Daemon, Host, Injector, Lab, Moment, Running, wait_for};
use serde_json::Value;

use super::frames::{Bad, Genuine, bad, config, unusual};
use super::{counters, json, ms, sound};
use crate::harness::Test;
use crate::punctual::on_time;

const INSTANCES: [&str; 4] = ["VI_2", "VI_3", "VI_U", "VI_6"];
/// Three intervals of one second and the skew of priority 99.
const MASTER_DOWN: Duration = Duration::from_nanos(3_613_281_250);

pub(crate) fn tests() -> Vec<Test> {
    let mut tests = Vec::new();
    for (word, mode) in [("generic", "generic"), ("sockets", "off")] {
        let name = |what: &str| format!("hostile::{what}_{word}");
        let body = move |lab: &Lab| every_reason_has_its_counter(lab, mode);
        tests.push(Test::new(name("every_reason_has_its_counter"), body).needs([Daemon::XvrrpRfc]));
        let body = move |lab: &Lab| unusual_frames_count(lab, mode);
        tests.push(Test::new(name("unusual_frames_are_the_masters"), body).needs([Daemon::XvrrpRfc]));
        let body = move |lab: &Lab| damaged(lab, mode);
        tests.push(Test::new(name("every_bit_and_every_length"), body).needs([Daemon::XvrrpRfc]));
        let body = move |lab: &Lab| the_dead_stay_dead(lab, mode);
        tests.push(
            Test::new(name("s18_bad_frames_keep_no_master_alive"), body).needs([Daemon::XvrrpRfc]).timing(),
        );
    }
    tests.push(Test::new("hostile::oversized_packet", oversized).needs([Daemon::XvrrpRfc]));
    let both = [Daemon::XvrrpRfc, Daemon::Keepalived];
    tests.push(Test::new("hostile::s16_neighbour_with_another_password", neighbour).needs(both).long());
    tests
}

/// A master r1 and a backup r2 of all four instances.
pub(crate) struct Pair {
    pub(crate) r1: Running,
    pub(crate) r2: Running,
    pub(crate) genuine: Genuine,
}

impl Pair {
    pub(crate) fn start(lab: &Lab, mode: &str) -> Result<Self> {
        let (on1, on2) = (lab.host("r1")?, lab.host("r2")?);
        let mut r2 = on2.start(Daemon::XvrrpRfc, &config(99, on1.spec(), mode))?;
        let mut r1 = on1.start(Daemon::XvrrpRfc, &config(255, on2.spec(), mode))?;
        let settled = || {
            let masters = json(on1, "status").ok()?;
            let backups = json(on2, "status").ok()?;
            let all = |status: &Value, word: &str| {
                INSTANCES.iter().all(|name| instance(status, name).is_some_and(|i| i["state"] == word))
            };
            let heard =
                INSTANCES.iter().all(|name| instance(&backups, name).is_some_and(|i| !i["master"].is_null()));
            (all(&masters, "MASTER") && all(&backups, "BACKUP") && heard).then_some(())
        };
        if wait_for(ms(8_000), settled).is_none() {
            r1.check_alive()?;
            r2.check_alive()?;
            anyhow::bail!(
                "the pair does not settle:\n{:#}\n{:#}",
                json(on1, "status")?,
                json(on2, "status")?
            );
        }
        let link_local = on1.addresses()?.into_iter().find_map(|address| match address {
            std::net::IpAddr::V6(v6)
                if v6.is_unicast_link_local() && v6 != "fe80::25".parse::<Ipv6Addr>().ok()? =>
            {
                Some(v6)
            }
            _ => None,
        });
        let link_local = link_local.context("r1 has no link-local address")?;
        Ok(Self { r1, r2, genuine: Genuine::new(on1.spec(), on2.spec(), link_local, 255)? })
    }
}

fn instance<'a>(status: &'a Value, name: &str) -> Option<&'a Value> {
    status["instances"].as_array()?.iter().find(|instance| instance["name"] == name)
}

/// States, priorities and masters: what no bad frame may change.
fn essence(host: &Host) -> Result<Vec<String>> {
    let status = json(host, "status")?;
    let word = |name: &str| {
        let i = instance(&status, name)?;
        let since = i["since_ms"].as_u64()? / 10_000_000;
        Some(format!("{name} {} {} {} {since}", i["state"], i["priority"], i["master"]["address"]))
    };
    Ok(INSTANCES.iter().filter_map(|name| word(name)).collect())
}

/// Sends one frame and waits until `counter` has moved; what moved.
fn effect(
    host: &Host,
    injector: &Injector,
    frame: &[u8],
    counter: Option<&str>,
) -> Result<BTreeMap<String, u64>> {
    let before = counters(host)?;
    injector.send(frame)?;
    let moved = |after: &BTreeMap<String, u64>| -> BTreeMap<String, u64> {
        let grown = after.iter().map(|(name, value)| (name.clone(), value - before.get(name).unwrap_or(&0)));
        // The real master goes on all the time.
        grown
            .filter(|(name, by)| *by > 0 && !["stamped", "accepted", "to_user"].contains(&name.as_str()))
            .collect()
    };
    if let Some(counter) = counter {
        wait_for(ms(1_000), || (counters(host).ok()?.get(counter)? > before.get(counter)?).then_some(()));
    } else {
        std::thread::sleep(ms(50));
    }
    Ok(moved(&counters(host)?))
}

fn every_reason_has_its_counter(lab: &Lab, mode: &str) -> Result<()> {
    let mut pair = Pair::start(lab, mode)?;
    let (r2, client) = (lab.host("r2")?, lab.host("client")?);
    let injector = lab.switch().injector("r2")?;
    let before = essence(r2)?;
    let mut wrong = Vec::new();
    for Bad { name, packet, xdp, socket } in bad(&pair.genuine, r2.spec().v4, client.spec().v4) {
        let counter = if mode == "off" { socket } else { Some(xdp) };
        let moved = effect(r2, &injector, &packet.bytes(), counter)?;
        let wanted: BTreeMap<_, _> =
            counter.iter().filter(|c| **c != "accepted").map(|c| ((*c).to_owned(), 1)).collect();
        if moved != wanted {
            wrong.push(format!("{name}: {moved:?}, wanted {wanted:?}"));
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    ensure!(essence(r2)? == before, "was {before:?}, is {:?}", essence(r2)?);
    // One line per kind would be thirty; the limit is five a minute and instance.
    sound(&mut pair.r2, 60)?;
    sound(&mut pair.r1, 40)
}

/// While the real master is silent, each of these keeps it alive: the state does not change for three intervals more.
fn unusual_frames_count(lab: &Lab, mode: &str) -> Result<()> {
    let mut pair = Pair::start(lab, mode)?;
    let r2 = lab.host("r2")?;
    let injector = lab.switch().injector("r2")?;
    let rejected = |counters: &BTreeMap<String, u64>| {
        let harmless =
            ["stamped", "accepted", "to_user", "priority_zero", "interval_learned", "address_list_mismatch"];
        counters
            .iter()
            .filter(|(name, _)| !harmless.contains(&name.as_str()))
            .map(|(_, value)| value)
            .sum::<u64>()
    };
    let count = |counters: &BTreeMap<String, u64>| counters["stamped"] + counters["accepted"];
    lab.switch().silence("r1")?;
    std::thread::sleep(ms(50));
    for (name, packet) in unusual(&pair.genuine) {
        let before = counters(r2)?;
        injector.send(&packet.bytes())?;
        let counted = || (count(&counters(r2).ok()?) == count(&before) + 1).then_some(());
        wait_for(ms(1_000), counted)
            .with_context(|| format!("{name} is not accepted: {:?}", counters(r2)))?;
        ensure!(rejected(&counters(r2)?) == rejected(&before), "{name} counts as rejected");
    }
    // Accepted as the silent master's: nobody takes over before three intervals have passed since.
    ensure!(essence(r2)?.iter().all(|line| line.contains("BACKUP")), "{:?}", essence(r2)?);
    sound(&mut pair.r2, 60)
}

/// STATEMENT 18, end to end: the master dies while every kind of bad frame keeps coming.
fn the_dead_stay_dead(lab: &Lab, mode: &str) -> Result<()> {
    let mut pair = Pair::start(lab, mode)?;
    let (r1, r2, client) = (lab.host("r1")?, lab.host("r2")?, lab.host("client")?);
    let (wire, addresses) = (lab.switch().watch()?, lab.watch_addresses()?);
    let list = bad(&pair.genuine, r2.spec().v4, client.spec().v4);
    let list = list.iter().filter(|bad| mode != "off" || bad.socket != Some("accepted"));
    let frames: Vec<_> = list.map(|bad| bad.packet.bytes()).collect();
    let before = counters(r2)?;
    // Each kind about six hundred times a second.
    let flood = lab.switch().injector("r2")?.flood(frames, 20_000)?;
    std::thread::sleep(ms(1_200));
    ensure!(essence(r2)?.iter().all(|line| line.contains("BACKUP")), "{:?}", essence(r2)?);
    let died = Moment::now();
    // At once: to silence a port is a command, which takes its time on a busy machine.
    pair.r1.kill9()?;
    lab.switch().silence("r1")?;
    let vips = ["172.16.1.25", "172.16.1.26", "172.16.1.27", "fe80::25"];
    let mut took = Vec::new();
    for vip in vips {
        let vip = vip.parse()?;
        let taken = wait_for(ms(6_000), || addresses.taken(&wire, "r2", vip, died))
            .with_context(|| format!("{vip} is not taken: a bad frame keeps its master alive"))?;
        took.push(taken);
    }
    let last = |vrid: u8| {
        let seen = wire.last(|s| {
            s.is_advert_from("r1")
                && matches!(s.frame, ha_tests::lab::Frame::Advert { vrid: of, .. } if of == vrid)
        });
        seen.map(|s| s.at).context("r1 sent no advert")
    };
    for (taken, vrid) in
        took.iter().zip([super::frames::V2, super::frames::V3, super::frames::UNICAST, super::frames::V6])
    {
        let last = last(vrid)?;
        println!("VRID {vrid}: takeover {:.1} ms after the last advert", taken.ms_after(last));
        on_time(&format!("VRID {vrid}: takeover"), last, *taken, MASTER_DOWN, ms(1_000) / 50)?;
    }
    let sent = flood.sent();
    drop(flood);
    let after = counters(r2)?;
    // Hundreds for each genuine advert.
    ensure!(sent > 2_000, "only {sent} frames were sent");
    let counted = after.values().sum::<u64>() - before.values().sum::<u64>();
    ensure!(counted > sent / 2, "{counted} of {sent} frames counted");
    ensure!(r1.addresses()?.contains(&super::VIP), "kill -9 was meant to leave the address");
    sound(&mut pair.r2, 80)
}

/// A jumbo packet is longer than any advert.
fn oversized(lab: &Lab) -> Result<()> {
    for host in ["r2", "client"] {
        lab.switch().output(&["ip", "link", "set", host, "mtu", "9000"])?;
        lab.host(host)?.output(&["ip", "link", "set", "ens160", "mtu", "9000"])?;
    }
    lab.switch().output(&["ip", "link", "set", "r1", "mtu", "9000"])?;
    let mut pair = Pair::start(lab, "generic")?;
    let r2 = lab.host("r2")?;
    let packet = pair.genuine.v2.content(|pdu| pdu.resize(6_000, 0));
    let moved = effect(r2, &lab.host("client")?.injector()?, &packet.bytes(), Some("oversized"))?;
    ensure!(moved == BTreeMap::from([("oversized".to_owned(), 1)]), "{moved:?}");
    sound(&mut pair.r2, 60)
}

/// Somebody else's virtual router on the same network has the same VRID. Each pair goes its own way, and says so.
fn neighbour(lab: &Lab) -> Result<()> {
    let (r1, r2) = (lab.host("r1")?, lab.host("r2")?);
    let (wire, addresses) = (lab.switch().watch()?, lab.watch_addresses()?);
    let theirs =
        super::MASTER.replace("1111", "2222").replace("172.16.1.25", "172.16.1.99").replace("101", "250");
    let mut stranger = lab.host("client")?.start(Daemon::Keepalived, &theirs)?;
    let mut backup = r2.start(Daemon::XvrrpRfc, super::BACKUP)?;
    let mut master = r1.start(Daemon::XvrrpRfc, super::MASTER)?;
    super::reach(r1, "VI_1", "MASTER", ms(8_000))?;
    super::reach(r2, "VI_1", "BACKUP", ms(3_000))?;
    let begin = Moment::now();
    std::thread::sleep(ms(5_000));
    let changes: Vec<_> = addresses.history().into_iter().filter(|change| change.at > begin).collect();
    ensure!(changes.is_empty(), "{changes:?}");
    ensure!(stranger.keepalived_state() == "MASTER", "keepalived is {}", stranger.keepalived_state());
    for daemon in [&master, &backup] {
        let line = super::logged(daemon, &["172.16.1.100", "auth_failure", "neighbour"])?;
        let count = daemon.log().matches("auth_failure").count();
        ensure!(count == 1, "{count} lines like this: {line}");
    }
    let died = Moment::now();
    lab.switch().silence("r1")?;
    master.kill9()?;
    let taken =
        wait_for(ms(6_000), || addresses.taken(&wire, "r2", super::VIP, died)).context("no takeover")?;
    let last = wire.last_advert_delivered(r1.spec().mac, "r2", taken).context("no advert")?;
    println!("takeover {:.1} ms after the last advert", taken.ms_after(last));
    on_time("takeover after the last advert", last, taken, MASTER_DOWN, ms(1_000) / 50)?;
    ensure!(lab.host("client")?.holds("172.16.1.99".parse()?)?, "the neighbour lost its address");
    stranger.check_alive()?;
    sound(&mut backup, 30)
}

/// The genuine adverts with each bit turned over, and cut off at each length: no panic, no change, and the real
/// master is still the one that is heard.
fn damaged(lab: &Lab, mode: &str) -> Result<()> {
    let mut pair = Pair::start(lab, mode)?;
    let r2 = lab.host("r2")?;
    let injector = lab.switch().injector("r2")?;
    let genuine = &pair.genuine;
    let (mut sent, before, masters) = (0, counters(r2)?, essence(r2)?);
    for packet in [&genuine.v2, &genuine.v3, &genuine.unicast, &genuine.v6] {
        let whole = packet.bytes();
        // A packet socket wants an Ethernet header.
        for length in 14..whole.len() {
            injector.send(&whole[..length])?;
            sent += 1;
        }
        for bit in 0..whole.len() * 8 {
            let mut frame = whole.clone();
            frame[bit / 8] ^= 1 << (bit % 8);
            injector.send(&frame)?;
            sent += 1;
        }
    }
    let states = || -> Result<Vec<String>> {
        let status = json(r2, "status")?;
        let word = |name: &str| Some(instance(&status, name)?["state"].to_string());
        Ok(INSTANCES.iter().filter_map(|name| word(name)).collect())
    };
    ensure!(states()?.iter().all(|state| state == "\"BACKUP\""), "{:?}", states()?);
    let counted = counters(r2)?.values().sum::<u64>() - before.values().sum::<u64>();
    println!("{sent} frames, {counted} counted");
    ensure!(counted > 100, "{counted} of {sent} frames counted");
    // The real master has spoken since.
    let real = || (essence(r2).ok()? == masters).then_some(());
    wait_for(ms(3_000), real).with_context(|| format!("{:?}, not {masters:?}", essence(r2)))?;
    sound(&mut pair.r2, 60)?;
    sound(&mut pair.r1, 60)
}

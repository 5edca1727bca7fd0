//! Virtual addresses on the data plane: who answers for them, how they are announced, how they look on the
//! interface, and that they are there exactly when the state says so.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ha_tests::lab::{Change, Daemon, Direction, Frame, Host, Lab, Moment, Running, wait_for};
use serde_json::Value;

use crate::harness::Test;
use crate::pair::{Conf, MASTER_DOWN, VIP, VIP2, adverts, garps, held_by, instance, ms, reload, until};
use crate::punctual::allowance;

const VIP6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x16, 0, 0, 0, 0, 0, 0x25);

pub(crate) fn tests() -> Vec<Test> {
    let test = |name, body: fn(&Lab) -> Result<()>| Test::new(name, body).needs([Daemon::XvrrpRfc]);
    vec![
        test("addresses::s32_backup_answers_nobody", mute),
        test("addresses::s33_gratuitous_arp", gratuitous).needs_tool("tcpdump"),
        test("addresses::s34_neighbour_advertisement", neighbour).needs_tool("tcpdump"),
        test("addresses::options_are_as_written", options),
        test("addresses::excluded_is_not_advertised", excluded).needs_tool("tcpdump"),
        test("addresses::s36_they_follow_the_state", sequence),
        test("addresses::s36_leftovers_go_at_start", leftovers),
        test("addresses::s36_removed_by_hand_comes_back", removed_by_hand),
        test("addresses::s37_the_operators_own_stays", operators_own),
        test("addresses::crossed_priorities", crossed),
    ]
}

fn routers(lab: &Lab) -> Result<[&Host; 2]> {
    Ok([lab.host("r1")?, lab.host("r2")?])
}

/// The instance of [`Conf`] and one for IPv6, one second apart.
fn dual(priority: u8) -> String {
    let slow = Conf::new(priority).every("1");
    slow.text() + &slow.named("VI_6", 26).vips(["fe80::25", "fd00:16::25/64"]).text()
}

fn mute(lab: &Lab) -> Result<()> {
    let [r1, r2] = routers(lab)?;
    let client = lab.host("client")?;
    let (wire, addresses) = (lab.switch().watch()?, lab.watch_addresses()?);
    let _r1 = r1.start(Daemon::XvrrpRfc, &dual(150))?;
    held_by(&addresses, VIP, &["r1"], ms(6_000))?;
    // The link-local address that its adverts come from may have taken its time.
    held_by_v6(&addresses, &["r1"])?;
    let _r2 = r2.start(Daemon::XvrrpRfc, &dual(100))?;
    until(r2, "VI_1", "BACKUP", ms(3_000))?;
    until(r2, "VI_6", "BACKUP", ms(3_000))?;
    let census = lab.arp_census("client", VIP, ms(20))?;
    let answered = || census.samples().iter().filter(|sample| !sample.answers.is_empty()).count();
    wait_for(ms(5_000), || (answered() > 8).then_some(())).context("r1 does not answer ARP")?;
    let silent = Moment::now();
    lab.switch().silence("r1")?;
    let gone = Moment::now();
    // Nobody is left to resolve the address but the backup. The question goes out at once and once a second.
    client.output(&["ip", "-6", "neigh", "flush", "dev", "ens160"])?;
    let vip6 = VIP6.to_string();
    let _unanswered = client.run(&["ping", "-6", "-c", "1", "-w", "1", &vip6])?;
    held_by(&addresses, VIP, &["r1", "r2"], ms(4_500))?;
    held_by_v6(&addresses, &["r1", "r2"])?;
    let taken = addresses.first("r2", Change::Added(VIP.into()), silent).context("not taken")?;
    let taken6 = addresses.first("r2", Change::Added(VIP6.into()), silent).context("not taken")?;
    let reply = client.run(&["ping", "-6", "-c", "2", "-w", "3", &vip6])?;
    ensure!(reply.status.success(), "r2 does not answer for {vip6} when it is master");
    std::thread::sleep(ms(100));
    let samples = census.samples();
    let answers = |from: Moment, to: Moment| {
        let asked = samples.iter().filter(move |s| s.asked >= from && s.asked.plus(ms(20)) < to);
        asked.flat_map(|s| s.answers.clone()).collect::<Vec<_>>()
    };
    let (before, during) = (answers(Moment::from_boot(), silent), answers(gone, taken));
    let after = answers(taken.plus(ms(20)), Moment::now());
    ensure!(before.len() > 5 && before.iter().all(|who| who == "r1"), "before: {before:?}");
    ensure!(during.is_empty(), "a backup answers ARP: {during:?}");
    ensure!(after.len() > 2 && after.iter().all(|who| who == "r2"), "after: {after:?}");
    let neighbour = wire.filter(|s| {
        s.host == "r2"
            && s.direction == Direction::Sent
            && matches!(s.frame, Frame::NeighbourAdvert { target, .. } if target == VIP6)
    });
    ensure!(neighbour.iter().all(|s| s.at.plus(ms(5)) >= taken6), "a backup answers ND: {neighbour:?}");
    ensure!(!neighbour.is_empty(), "the master announces nothing");
    Ok(())
}

fn held_by_v6(addresses: &ha_tests::lab::Addresses, hosts: &[&str]) -> Result<()> {
    wait_for(ms(4_000), || (addresses.holders(VIP6.into()) == hosts).then_some(()))
        .with_context(|| format!("{VIP6} is on {:?}", addresses.holders(VIP6.into())))
}

fn gratuitous(lab: &Lab) -> Result<()> {
    let r1 = lab.host("r1")?;
    let wire = lab.switch().watch()?;
    let capture = lab.host("client")?.capture("arp", false)?;
    let conf = Conf::new(150)
        .with("garp_master_repeat 3")
        .with("garp_master_delay 1")
        .with("garp_master_refresh 2")
        .with("garp_master_refresh_repeat 2");
    let _r1 = r1.start(Daemon::XvrrpRfc, &conf.text())?;
    until(r1, "VI_1", "MASTER", ms(3_000))?;
    let seen = || garps(&wire, "r1", VIP, Moment::from_boot());
    let first = wait_for(ms(1_000), || seen().first().map(|(at, _)| *at)).context("no gratuitous ARP")?;
    // Each round is a request and a reply. Rounds at 0 s (3), 1 s (3), 2 s (2) and 4 s (2).
    wait_for(ms(5_000), || (seen().len() >= 20).then_some(())).context("too few gratuitous ARPs")?;
    std::thread::sleep(ms(200));
    let seen = seen();
    let offsets: Vec<_> = seen.iter().map(|(at, form)| (at.ms_after(first), *form)).collect();
    for (from, rounds) in [(0.0, 3), (1_000.0, 3), (2_000.0, 2), (4_000.0, 2)] {
        // A small part of the second between two of them, and what the machine took.
        let due = first.plus(Duration::from_secs_f64(from / 1e3));
        let late = 50.0 + allowance(due, due.plus(ms(500))).as_secs_f64() * 1e3;
        for form in [1, 2] {
            let count = offsets
                .iter()
                .filter(|(at, of)| (from - 5.0..from + late).contains(at) && *of == form)
                .count();
            ensure!(count == rounds, "{count} of form {form} at {from} ms, wanted {rounds}: {offsets:?}");
        }
    }
    ensure!(seen.len() == 20, "others between the bursts: {offsets:?}");
    let text = capture.stop()?;
    let ours: Vec<_> = text.lines().filter(|line| line.starts_with(|c: char| c.is_ascii_digit())).collect();
    let announced = ours.iter().filter(|line| line.contains("172.16.1.25"));
    let broadcast = announced.clone().all(|line| line.contains("02:00:00:00:00:01 > ff:ff:ff:ff:ff:ff"));
    ensure!(announced.count() >= 20 && broadcast, "not all broadcast by r1:\n{text}");
    Ok(())
}

fn neighbour(lab: &Lab) -> Result<()> {
    let r1 = lab.host("r1")?;
    let wire = lab.switch().watch()?;
    let capture = lab.host("client")?.capture("icmp6 and ip6[40] == 136", false)?;
    let _r1 = r1.start(Daemon::XvrrpRfc, &dual(150))?;
    until(r1, "VI_6", "MASTER", ms(6_000))?;
    std::thread::sleep(ms(100));
    let frames = wire.filter(|s| s.host == "r1" && s.direction == Direction::Sent);
    let ours: Vec<_> = frames
        .iter()
        .filter_map(|s| match &s.frame {
            Frame::NeighbourAdvert { target, flags, destination } if *target == VIP6 => {
                Some((*flags, *destination))
            }
            _ => None,
        })
        .collect();
    let all_nodes: IpAddr = "ff02::1".parse()?;
    // Router, not solicited, override.
    ensure!(ours.len() == 5 && ours.iter().all(|seen| *seen == (0xa0, all_nodes)), "{ours:?}");
    let text = capture.stop()?;
    ensure!(text.contains("destination link-address option (2), length 8 (1): 02:00:00:00:00:01"), "{text}");
    for address in ["fe80::25", "fd00:16::25"] {
        let entry = entry(r1, address)?;
        ensure!(entry["nodad"] == Value::Bool(true) && entry["tentative"].is_null(), "{entry}");
    }
    Ok(())
}

/// What `ip -j addr` says of an address, wherever it is on the host.
fn entry(host: &Host, address: &str) -> Result<Value> {
    let list: Value = serde_json::from_str(&host.output(&["ip", "-j", "addr"])?)?;
    let mut found = list.as_array().into_iter().flatten().flat_map(|link| {
        let device = link["ifname"].clone();
        link["addr_info"].as_array().into_iter().flatten().map(move |entry| {
            let mut entry = entry.clone();
            entry["device"] = device.clone();
            entry
        })
    });
    found
        .find(|entry| entry["local"] == address)
        .with_context(|| format!("{address} is not on {}", host.name()))
}

fn options(lab: &Lab) -> Result<()> {
    let r1 = lab.host("r1")?;
    r1.output(&["ip", "link", "add", "in0", "type", "veth", "peer", "name", "in1"])?;
    for end in ["in0", "in1"] {
        r1.output(&["ip", "link", "set", end, "up"])?;
    }
    let vips = [
        "172.16.1.25/32 brd 172.16.1.255 dev ens160 scope link label ens160:vip",
        "10.9.0.1/16 brd + dev in0",
        "172.16.1.26",
        "10.9.1.1/30 dev in0 scope global",
    ];
    let daemon = r1.start(Daemon::XvrrpRfc, &Conf::new(150).vips(vips).text())?;
    until(r1, "VI_1", "MASTER", ms(3_000))?;
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let look = |address: &str| -> Result<_> {
        let e = entry(r1, address)?;
        let words = ["device", "broadcast", "scope", "label"].map(|key| text(&e[key]));
        Ok((e["prefixlen"].as_u64(), words))
    };
    let wanted = [
        ("172.16.1.25", 32, ["ens160", "172.16.1.255", "link", "ens160:vip"]),
        ("10.9.0.1", 16, ["in0", "10.9.255.255", "global", "in0"]),
        ("172.16.1.26", 32, ["ens160", "-", "global", "ens160"]),
        ("10.9.1.1", 30, ["in0", "-", "global", "in0"]),
    ];
    for (address, prefix, words) in wanted {
        let found = look(address)?;
        ensure!(found == (Some(prefix), words.map(str::to_owned)), "{address}: {found:?}\n{}", daemon.log());
    }
    // A reload that changes only how an address looks.
    let changed = Conf::new(150).vips([
        "172.16.1.25/32 brd 172.16.1.255 dev ens160 scope global label ens160:new",
        "10.9.0.1/24 dev in0",
        "172.16.1.26",
        "10.9.1.1/30 dev in0 scope global",
    ]);
    reload(r1, &changed.text())?;
    let new = look("172.16.1.25")?.1;
    ensure!((&*new[2], &*new[3]) == ("global", "ens160:new"), "after the reload: {new:?}");
    ensure!(look("10.9.0.1")?.0 == Some(24), "after the reload: {:?}", look("10.9.0.1")?);
    let listing = r1.output(&["ip", "addr", "show", "dev", "in0"])?;
    ensure!(!listing.contains("/16"), "the old prefix is still there\n{listing}");
    Ok(())
}

fn excluded(lab: &Lab) -> Result<()> {
    let r1 = lab.host("r1")?;
    let (wire, addresses) = (lab.switch().watch()?, lab.watch_addresses()?);
    let capture = lab.host("client")?.capture("vrrp", false)?;
    let conf = Conf::new(150)
        .with("virtual_ipaddress_excluded {")
        .with("    172.16.1.26")
        .with("    fd00:16::25/64")
        .with("}");
    let _r1 = r1.start(Daemon::XvrrpRfc, &conf.text())?;
    held_by(&addresses, VIP, &["r1"], ms(3_000))?;
    held_by(&addresses, VIP2, &["r1"], ms(500))?;
    held_by_v6(&addresses, &["r1"])?;
    std::thread::sleep(ms(200));
    let text = capture.stop()?;
    ensure!(text.contains("addrs: 172.16.1.25"), "{text}");
    ensure!(!text.contains("172.16.1.26") && !text.contains("fd00:16::25"), "advertised:\n{text}");
    ensure!(!garps(&wire, "r1", VIP2, Moment::from_boot()).is_empty(), "it is not announced");
    Ok(())
}

/// Addresses of the routers that are not their own, after a moment to settle.
fn exactly(host: &Host, wanted: &[&str], when: &str) -> Result<()> {
    let mut wanted: Vec<IpAddr> = wanted.iter().map(|text| text.parse()).collect::<Result<_, _>>()?;
    wanted.sort();
    let virtual_ones = || -> Result<Vec<IpAddr>> {
        let own = [host.spec().v4.into(), host.spec().v6.into()];
        let mut list = host.addresses()?;
        list.retain(|ip| {
            !own.contains(ip)
                && !ip.is_loopback()
                && !matches!(ip, IpAddr::V6(v6) if v6.is_unicast_link_local())
        });
        list.sort();
        Ok(list)
    };
    let fits = wait_for(ms(1_500), || virtual_ones().ok().filter(|list| *list == wanted));
    ensure!(fits.is_some(), "{when}: {} has {:?}, wanted {wanted:?}", host.name(), virtual_ones()?);
    // And it stays so.
    std::thread::sleep(ms(60));
    ensure!(virtual_ones()? == wanted, "{when}: {} has {:?} now", host.name(), virtual_ones()?);
    Ok(())
}

/// One router through everything that may happen to it; after each step its addresses fit its state.
fn sequence(lab: &Lab) -> Result<()> {
    let r1 = lab.host("r1")?;
    let both = Conf::new(150)
        .vips(["172.16.1.25/24", "172.16.1.26/24", "172.16.1.27"])
        .with("virtual_ipaddress_excluded {\n        fd00:16::25/64\n    }");
    let all = ["172.16.1.25", "172.16.1.26", "172.16.1.27", "fd00:16::25"];
    let start = || r1.start(Daemon::XvrrpRfc, &both.text());
    let mut daemon = start()?;
    exactly(r1, &all, "start")?;
    daemon.stop()?;
    exactly(r1, &[], "stop")?;
    daemon = start()?;
    exactly(r1, &all, "restart")?;
    daemon.kill9()?;
    exactly(r1, &all, "kill -9")?;
    daemon = start()?;
    until(r1, "VI_1", "MASTER", ms(3_000))?;
    exactly(r1, &all, "start after kill -9")?;
    for (how, down, up) in [("link", "down", "up"), ("carrier", "", "")] {
        if how == "link" {
            r1.output(&["ip", "link", "set", "ens160", down])?;
        } else {
            lab.switch().unplug("r1")?;
        }
        exactly(r1, &[], how)?;
        if how == "link" {
            r1.output(&["ip", "link", "set", "ens160", up])?;
            // The kernel has dropped the host's own IPv6 address.
            r1.output(&["ip", "addr", "replace", "fd00:16::1/64", "dev", "ens160", "nodad"])?;
        } else {
            lab.switch().plug("r1")?;
        }
        exactly(r1, &all, &format!("{how} back"))?;
    }
    reload(r1, &Conf::new(150).vips(["172.16.1.26/24", "172.16.1.28"]).text())?;
    exactly(r1, &["172.16.1.26", "172.16.1.28"], "reload")?;
    reload(r1, &both.text())?;
    exactly(r1, &all, "reload back")?;
    // Faster than the daemon can follow one by one.
    for _ in 0..5 {
        lab.switch().unplug("r1")?;
        lab.switch().plug("r1")?;
    }
    until(r1, "VI_1", "MASTER", ms(3_000))?;
    exactly(r1, &all, "flapping")?;
    daemon.check_alive()?;
    daemon.signal(nix::sys::signal::Signal::SIGINT)?;
    exactly(r1, &[], "SIGINT")
}

/// A router that was killed as master, while another has taken over, or with a file that has changed since.
fn leftovers(lab: &Lab) -> Result<()> {
    let [r1, r2] = routers(lab)?;
    let addresses = lab.watch_addresses()?;
    let mut first = r1.start(Daemon::XvrrpRfc, &Conf::new(150).vips([VIP, VIP2]).text())?;
    held_by(&addresses, VIP2, &["r1"], ms(3_000))?;
    let _r2 = r2.start(Daemon::XvrrpRfc, &Conf::new(100).vips([VIP, VIP2]).text())?;
    until(r2, "VI_1", "BACKUP", ms(3_000))?;
    first.kill9()?;
    wait_for(ms(2_000), || addresses.holders(VIP.into()).contains(&"r2".to_owned()).then_some(()))
        .context("r2 does not take over")?;
    let _other = r1.output(&["ip", "addr", "add", "172.16.1.77/24", "dev", "ens160"])?;
    let started = Moment::now();
    let second = r1.start(Daemon::XvrrpRfc, &Conf::new(150).with("nopreempt").text())?;
    // Also the address that the new file does not have any more.
    let gone = held_by(&addresses, VIP, &["r2"], ms(1_000))?;
    held_by(&addresses, VIP2, &["r2"], ms(200))?;
    println!("leftovers gone {:?} after the start", gone.since(started));
    until(r1, "VI_1", "BACKUP", ms(1_000))?;
    exactly(r1, &["172.16.1.77"], "after the start")?;
    ensure!(second.log().contains("left by an earlier run"), "it does not say so\n{}", second.log());
    Ok(())
}

fn removed_by_hand(lab: &Lab) -> Result<()> {
    let r1 = lab.host("r1")?;
    let (wire, addresses) = (lab.switch().watch()?, lab.watch_addresses()?);
    let _r1 = r1.start(Daemon::XvrrpRfc, &Conf::new(150).text())?;
    held_by(&addresses, VIP, &["r1"], ms(3_000))?;
    std::thread::sleep(ms(50));
    let removed = Moment::now();
    r1.output(&["ip", "addr", "del", "172.16.1.25/32", "dev", "ens160"])?;
    let back = wait_for(ms(1_000), || addresses.first("r1", Change::Added(VIP.into()), removed));
    println!("back {:?} after it was removed by hand", back.context("it does not come back")?.since(removed));
    ensure!(instance(r1, "VI_1")?.state == "MASTER");
    ensure!(!adverts(&wire, "r1", 25, removed).iter().any(|advert| advert.priority == 0));
    Ok(())
}

fn operators_own(lab: &Lab) -> Result<()> {
    let r1 = lab.host("r1")?;
    r1.output(&["ip", "addr", "add", "172.16.1.25/32", "dev", "ens160"])?;
    let conf = Conf::new(150).vips([VIP, VIP2]);
    let mut daemon = r1.start(Daemon::XvrrpRfc, &conf.text())?;
    until(r1, "VI_1", "MASTER", ms(3_000))?;
    exactly(r1, &["172.16.1.25", "172.16.1.26"], "master")?;
    ensure!(daemon.log().contains("172.16.1.25 was on the interface before"), "{}", daemon.log());
    reload(r1, &Conf::new(150).vips([VIP2]).text())?;
    exactly(r1, &["172.16.1.25", "172.16.1.26"], "reload without it")?;
    reload(r1, &conf.text())?;
    daemon.stop()?;
    exactly(r1, &["172.16.1.25"], "stop")?;
    let mut daemon = r1.start(Daemon::XvrrpRfc, &conf.text())?;
    until(r1, "VI_1", "MASTER", ms(3_000))?;
    daemon.kill9()?;
    let mut daemon = r1.start(Daemon::XvrrpRfc, &conf.text())?;
    until(r1, "VI_1", "MASTER", ms(3_000))?;
    daemon.stop()?;
    exactly(r1, &["172.16.1.25"], "kill -9, start, stop")
}

/// Each router is master of one address and backup of the other.
fn crossed(lab: &Lab) -> Result<()> {
    let [r1, r2] = routers(lab)?;
    let addresses = lab.watch_addresses()?;
    let conf =
        |first, second| Conf::new(first).text() + &Conf::new(second).named("VI_2", 26).vips([VIP2]).text();
    let mut one = r1.start(Daemon::XvrrpRfc, &conf(150, 100))?;
    let mut two = r2.start(Daemon::XvrrpRfc, &conf(100, 150))?;
    held_by(&addresses, VIP, &["r1"], ms(3_000))?;
    held_by(&addresses, VIP2, &["r2"], ms(3_000))?;
    one.stop()?;
    held_by(&addresses, VIP, &["r2"], ms(1_000))?;
    held_by(&addresses, VIP2, &["r2"], ms(10))?;
    let mut one = r1.start(Daemon::XvrrpRfc, &conf(150, 100))?;
    held_by(&addresses, VIP, &["r1"], ms(3_000))?;
    std::thread::sleep(MASTER_DOWN * 2);
    held_by(&addresses, VIP, &["r1"], ms(10))?;
    held_by(&addresses, VIP2, &["r2"], ms(10))?;
    [&mut one, &mut two].into_iter().try_for_each(Running::check_alive)
}

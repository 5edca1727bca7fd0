//! Routers with a virtual MAC address: what is sent to it is the master's to forward, and what the hosts learn is it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::{Context, Result, ensure};
use ha_common::checksum::Sum;
use ha_common::packet::Endpoints;
use ha_common::types::Family;
use ha_tests::lab::{Daemon, Direction, Frame, Host, Lab, Moment, wait_for};

use crate::harness::Test;
use crate::pair::{Conf, VIP, ms, until};

const VIRTUAL_MAC: [u8; 6] = [0, 0, 0x5e, 0, 1, 25];
const VIRTUAL_MAC_V6: [u8; 6] = [0, 0, 0x5e, 0, 2, 25];
const VIP6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x16, 0, 0, 0, 0, 0, 0x25);
/// In networks behind the routers.
const FAR: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 99);
const FAR6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 9, 0, 0, 0, 0, 0x99);
const FRAMES: u64 = 5;

pub(crate) fn tests() -> Vec<Test> {
    let test = |name, body: fn(&Lab) -> Result<()>| Test::new(name, body).needs([Daemon::XvrrpRfc]);
    vec![
        test("forwarding::the_master_forwards_what_is_for_the_virtual_mac", forwards),
        test("forwarding::nobody_takes_what_is_for_a_virtual_mac_that_is_not_used", without),
        test("forwarding::a_new_router_is_announced_from_the_virtual_mac_alone", announced),
        test("forwarding::no_address_is_made_of_the_virtual_mac", identifiers),
        test("forwarding::a_router_that_is_asked_says_that_it_is_one", asked),
    ]
}

/// Makes a host a router to [`FAR`] and [`FAR6`].
fn router(host: &Host, number: u8) -> Result<()> {
    host.sysctl("net.ipv4.ip_forward", "1")?;
    host.sysctl("net.ipv6.conf.all.forwarding", "1")?;
    host.output(&["ip", "link", "add", "far0", "type", "veth", "peer", "name", "far1"])?;
    host.output(&["ip", "addr", "add", &format!("192.0.2.{number}/24"), "dev", "far0"])?;
    host.output(&["ip", "addr", "add", &format!("2001:db8:9::{number}/64"), "dev", "far0", "nodad"])?;
    for end in ["far0", "far1"] {
        host.output(&["ip", "link", "set", end, "up"])?;
    }
    for far in [IpAddr::V4(FAR), IpAddr::V6(FAR6)] {
        let words = ["ip", "neigh", "add", &far.to_string(), "lladdr", "02:00:00:00:00:63", "dev", "far0"];
        host.output(&words)?;
    }
    Ok(())
}

/// How many packets the host has passed on.
fn forwarded(host: &Host, family: Family) -> Result<u64> {
    if family == Family::V6 {
        let text = host.output(&["cat", "/proc/net/snmp6"])?;
        let line = text.lines().find(|line| line.starts_with("Ip6OutForwDatagrams"));
        let number = line.and_then(|line| line.split_whitespace().last()).context("no such counter")?;
        return Ok(number.parse()?);
    }
    let text = host.output(&["cat", "/proc/net/snmp"])?;
    let mut lines = text.lines().filter(|line| line.starts_with("Ip: ")).map(str::split_whitespace);
    let (names, numbers) = (lines.next().context("no names")?, lines.next().context("no numbers")?);
    let found = names.zip(numbers).find(|(name, _)| *name == "ForwDatagrams");
    Ok(found.context("no such counter")?.1.parse()?)
}

/// A UDP datagram of the client to [`FAR`] or [`FAR6`], for whoever has this MAC address.
fn datagram(client: &Host, mac: [u8; 6], family: Family) -> Vec<u8> {
    const UDP: u8 = 17;
    let spec = client.spec();
    let mut frame = [mac, spec.mac].concat();
    let (source, destination) = match family {
        Family::V4 => {
            let mut header = vec![0x45, 0, 0, 28, 0, 7, 0, 0, 64, UDP, 0, 0];
            header.extend(spec.v4.octets());
            header.extend(FAR.octets());
            let sum = Sum::new().with(&header).checksum();
            header[10..12].copy_from_slice(&sum.to_be_bytes());
            frame.extend([8, 0]);
            frame.extend(header);
            (IpAddr::V4(spec.v4), IpAddr::V4(FAR))
        }
        Family::V6 => {
            frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 8, UDP, 64]);
            frame.extend(spec.v6.octets());
            frame.extend(FAR6.octets());
            (IpAddr::V6(spec.v6), IpAddr::V6(FAR6))
        }
    };
    let mut udp = [0x30, 0x39, 0, 9, 0, 8, 0, 0];
    if let Some(endpoints) = Endpoints::new(source, destination) {
        let sum = Sum::pseudo_header(&endpoints, UDP, udp.len()).with(&udp).checksum();
        udp[6..].copy_from_slice(&sum.to_be_bytes());
    }
    frame.extend(udp);
    frame
}

/// How many of [`FRAMES`] datagrams for `mac`, which only `host` hears, it passes on.
fn passes_on(lab: &Lab, host: &Host, mac: [u8; 6], family: Family) -> Result<u64> {
    let injector = lab.switch().injector(host.name())?;
    let before = forwarded(host, family)?;
    let frame = datagram(lab.host("client")?, mac, family);
    for _ in 0..FRAMES {
        injector.send(&frame)?;
    }
    let passed = || forwarded(host, family).map(|count| count - before);
    wait_for(ms(500), || passed().ok().filter(|count| *count >= FRAMES)).map_or_else(passed, Ok)
}

const BOTH: [(Family, [u8; 6]); 2] = [(Family::V4, VIRTUAL_MAC), (Family::V6, VIRTUAL_MAC_V6)];

fn both(priority: u8) -> String {
    conf(priority).text() + &conf_v6(priority).text()
}

fn reach(host: &Host, state: &str) -> Result<()> {
    ["VI_1", "VI_6"].into_iter().try_for_each(|name| until(host, name, state, ms(6_000)).map(drop))
}

fn conf(priority: u8) -> Conf {
    Conf::new(priority).with("use_vmac")
}

fn conf_v6(priority: u8) -> Conf {
    conf(priority).named("VI_6", 25).vips(["fe80::25/64", "fd00:16::25/64"])
}

fn forwards(lab: &Lab) -> Result<()> {
    let (r1, r2) = (lab.host("r1")?, lab.host("r2")?);
    router(r1, 1)?;
    router(r2, 2)?;
    let mut first = r1.start(Daemon::XvrrpRfc, &both(150))?;
    reach(r1, "MASTER")?;
    let _second = r2.start(Daemon::XvrrpRfc, &both(100))?;
    reach(r2, "BACKUP")?;
    for (family, mac) in BOTH {
        let passed = passes_on(lab, r1, mac, family)?;
        ensure!(passed == FRAMES, "{family:?}: the master passes on {passed} of {FRAMES}");
        // A router all the same.
        let passed = passes_on(lab, r2, r2.spec().mac, family)?;
        ensure!(passed == FRAMES, "{family:?}: the backup passes on {passed} of {FRAMES} of its own");
    }
    for (family, mac) in BOTH {
        let passed = passes_on(lab, r2, mac, family)?;
        ensure!(passed == 0, "{family:?}: the backup passes on {passed} of {FRAMES} in the master's name");
    }
    first.stop()?;
    reach(r2, "MASTER")?;
    for (family, mac) in BOTH {
        let passed = passes_on(lab, r2, mac, family)?;
        ensure!(passed == FRAMES, "{family:?}: the new master passes on {passed} of {FRAMES}");
    }
    Ok(())
}

/// A router that advertises from its own MAC address is not meant by the virtual one, as backup or as master.
fn without(lab: &Lab) -> Result<()> {
    let r1 = lab.host("r1")?;
    router(r1, 1)?;
    let plain = Conf::new(150);
    let text = plain.text() + &plain.named("VI_6", 25).vips(["fe80::25", "fd00:16::25/64"]).text();
    let _daemon = r1.start(Daemon::XvrrpRfc, &text)?;
    for state in ["BACKUP", "MASTER"] {
        if state == "MASTER" {
            reach(r1, state)?;
        }
        for (family, mac) in BOTH {
            let passed = passes_on(lab, r1, mac, family)?;
            ensure!(passed == 0, "{state}, {family:?}: {passed} of {FRAMES}");
            let passed = passes_on(lab, r1, r1.spec().mac, family)?;
            ensure!(passed == FRAMES, "{state}, {family:?}: {passed} of {FRAMES} of its own");
        }
    }
    Ok(())
}

fn announced(lab: &Lab) -> Result<()> {
    let (r1, wire) = (lab.host("r1")?, lab.switch().watch()?);
    // As at boot: the daemon is there before the interface can be used.
    r1.output(&["ip", "link", "set", "ens160", "down"])?;
    let _daemon = r1.start(Daemon::XvrrpRfc, &both(150))?;
    reach(r1, "FAULT")?;
    r1.output(&["ip", "link", "set", "ens160", "up"])?;
    reach(r1, "MASTER")?;
    std::thread::sleep(ms(300));
    let sent = wire.filter(|s| s.host == "r1" && s.direction == Direction::Sent);
    let claims = sent.iter().filter_map(|s| match s.frame {
        Frame::Advert { source, .. } => {
            Some((if source.is_ipv4() { VIRTUAL_MAC } else { VIRTUAL_MAC_V6 }, s))
        }
        Frame::Arp { sender, .. } if sender == VIP => Some((VIRTUAL_MAC, s)),
        Frame::NeighbourAdvert { target, .. } if target == VIP6 => Some((VIRTUAL_MAC_V6, s)),
        _ => None,
    });
    let (mut counted, mut odd) = ([0; 3], Vec::new());
    for (mac, sighting) in claims {
        let inner = match sighting.frame {
            Frame::Arp { sender_mac, .. } => sender_mac,
            _ => mac,
        };
        counted[match sighting.frame {
            Frame::Advert { .. } => 0,
            Frame::Arp { .. } => 1,
            _ => 2,
        }] += 1;
        if (sighting.source_mac, inner) != (mac, mac) {
            odd.push(sighting);
        }
    }
    ensure!(counted.iter().all(|count| *count > 3), "adverts, ARP, advertisements: {counted:?}");
    ensure!(odd.is_empty(), "not from the virtual MAC address: {odd:?}");
    Ok(())
}

/// Every router of the instance would make the same one.
fn identifiers(lab: &Lab) -> Result<()> {
    let (r1, r2) = (lab.host("r1")?, lab.host("r2")?);
    for host in [r1, r2] {
        host.sysctl("net.ipv6.conf.all.forwarding", "1")?;
    }
    let _first = r1.start(Daemon::XvrrpRfc, &conf_v6(150).text())?;
    until(r1, "VI_6", "MASTER", ms(6_000))?;
    let _second = r2.start(Daemon::XvrrpRfc, &conf_v6(100).text())?;
    until(r2, "VI_6", "BACKUP", ms(4_000))?;
    for host in [r1, r2] {
        let made: Vec<_> = host.addresses()?.into_iter().filter(|address| is_made_of(*address)).collect();
        ensure!(made.is_empty(), "{} has {made:?}", host.name());
    }
    ensure!(is_made_of("fe80::200:5eff:fe00:219".parse()?));
    Ok(())
}

/// Whether the interface identifier is that of [`VIRTUAL_MAC_V6`].
fn is_made_of(address: IpAddr) -> bool {
    let [.., e, f] = VIRTUAL_MAC_V6;
    matches!(address, IpAddr::V6(v6) if v6.octets()[8..] == [2, 0, 0x5e, 0xff, 0xfe, 0, e, f])
}

fn asked(lab: &Lab) -> Result<()> {
    let (r1, client, wire) = (lab.host("r1")?, lab.host("client")?, lab.switch().watch()?);
    r1.sysctl("net.ipv6.conf.all.forwarding", "1")?;
    let _daemon = r1.start(Daemon::XvrrpRfc, &conf_v6(150).text())?;
    until(r1, "VI_6", "MASTER", ms(6_000))?;
    client.output(&["ip", "-6", "neigh", "flush", "dev", "ens160"])?;
    let asked = Moment::now();
    let reply = client.run(&["ping", "-6", "-c", "1", "-w", "3", &VIP6.to_string()])?;
    ensure!(reply.status.success(), "no answer");
    const ROUTER: u8 = 0x80;
    const SOLICITED: u8 = 0x40;
    let answers = wire.filter(|s| {
        let advertises = |flags: u8, target| target == VIP6 && flags & SOLICITED != 0;
        let answer =
            matches!(s.frame, Frame::NeighbourAdvert { target, flags, .. } if advertises(flags, target));
        answer && s.at >= asked && s.host == "r1" && s.direction == Direction::Sent
    });
    let answer = answers.first().context("nobody has answered the solicitation")?;
    ensure!(answer.source_mac == VIRTUAL_MAC_V6, "{answer:?}");
    ensure!(
        matches!(answer.frame, Frame::NeighbourAdvert { flags, .. } if flags & ROUTER != 0),
        "{answer:?}"
    );
    Ok(())
}

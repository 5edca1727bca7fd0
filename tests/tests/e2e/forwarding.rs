//! Routers with a virtual MAC address: what is sent to it is the master's to forward, and what the hosts learn is it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::{Context, Result, ensure};
use ha_common::checksum::Sum;
use ha_tests::lab::{Daemon, Direction, Frame, Host, Lab, Moment, wait_for};

use crate::harness::Test;
use crate::pair::{Conf, VIP, ms, until};

const VIRTUAL_MAC: [u8; 6] = [0, 0, 0x5e, 0, 1, 25];
const VIRTUAL_MAC_V6: [u8; 6] = [0, 0, 0x5e, 0, 2, 25];
const VIP6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x16, 0, 0, 0, 0, 0, 0x25);
/// A network behind the routers.
const FAR: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 99);
const FRAMES: u64 = 5;

pub(crate) fn tests() -> Vec<Test> {
    let test = |name, body: fn(&Lab) -> Result<()>| Test::new(name, body).needs([Daemon::XvrrpRfc]);
    vec![
        test("forwarding::the_master_forwards_what_is_for_the_virtual_mac", forwards),
        test("forwarding::a_new_router_is_announced_from_the_virtual_mac_alone", announced),
        test("forwarding::no_address_is_made_of_the_virtual_mac", identifiers),
        test("forwarding::a_router_that_is_asked_says_that_it_is_one", asked),
    ]
}

/// Makes a host a router to [`FAR`], by an interface that counts what it is given.
fn router(host: &Host, address: &str) -> Result<()> {
    host.sysctl("net.ipv4.ip_forward", "1")?;
    host.output(&["ip", "link", "add", "far0", "type", "dummy"])?;
    // It would count what the kernel says of its own accord.
    host.sysctl("net.ipv6.conf.far0.disable_ipv6", "1")?;
    host.output(&["ip", "addr", "add", &format!("{address}/24"), "dev", "far0"])?;
    host.output(&["ip", "link", "set", "far0", "up"]).map(drop)
}

/// How many packets have left by that interface.
fn forwarded(host: &Host) -> Result<u64> {
    let text = host.output(&["ip", "-j", "-s", "link", "show", "far0"])?;
    let links: serde_json::Value = serde_json::from_str(&text)?;
    links[0]["stats64"]["tx"]["packets"].as_u64().with_context(|| format!("no count in {text}"))
}

/// A UDP datagram of the client to [`FAR`], for whoever has this MAC address.
fn datagram(client: &Host, mac: [u8; 6]) -> Vec<u8> {
    const UDP: u8 = 17;
    let mut header = vec![0x45, 0, 0, 28, 0, 7, 0, 0, 64, UDP, 0, 0];
    header.extend(client.spec().v4.octets());
    header.extend(FAR.octets());
    let sum = Sum::new().with(&header).checksum();
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    [&mac[..], &client.spec().mac, &[8, 0], &header, &[0x30, 0x39, 0, 9, 0, 8, 0, 0]].concat()
}

/// How many of [`FRAMES`] datagrams for `mac` that only `host` hears it passes on.
fn passes_on(lab: &Lab, host: &Host, mac: [u8; 6]) -> Result<u64> {
    let injector = lab.switch().injector(host.name())?;
    let before = forwarded(host)?;
    let frame = datagram(lab.host("client")?, mac);
    for _ in 0..FRAMES {
        injector.send(&frame)?;
    }
    let passed = || forwarded(host).map(|count| count - before);
    wait_for(ms(500), || passed().ok().filter(|count| *count >= FRAMES)).map_or_else(passed, Ok)
}

fn conf(priority: u8) -> Conf {
    Conf::new(priority).with("use_vmac")
}

fn conf_v6(priority: u8) -> Conf {
    conf(priority).named("VI_6", 25).vips(["fe80::25/64", "fd00:16::25/64"])
}

fn forwards(lab: &Lab) -> Result<()> {
    let (r1, r2) = (lab.host("r1")?, lab.host("r2")?);
    router(r1, "192.0.2.1")?;
    router(r2, "192.0.2.2")?;
    let mut first = r1.start(Daemon::XvrrpRfc, &conf(150).text())?;
    until(r1, "VI_1", "MASTER", ms(4_000))?;
    let _second = r2.start(Daemon::XvrrpRfc, &conf(100).text())?;
    until(r2, "VI_1", "BACKUP", ms(4_000))?;
    let passed = passes_on(lab, r1, VIRTUAL_MAC)?;
    ensure!(passed == FRAMES, "the master passes on {passed} of {FRAMES}");
    // A router all the same.
    let passed = passes_on(lab, r2, r2.spec().mac)?;
    ensure!(passed == FRAMES, "the backup passes on {passed} of {FRAMES} in its own name");
    let passed = passes_on(lab, r2, VIRTUAL_MAC)?;
    ensure!(passed == 0, "the backup passes on {passed} of {FRAMES} in the master's name");
    first.stop()?;
    until(r2, "VI_1", "MASTER", ms(4_000))?;
    let passed = passes_on(lab, r2, VIRTUAL_MAC)?;
    ensure!(passed == FRAMES, "the new master passes on {passed} of {FRAMES}");
    Ok(())
}

fn announced(lab: &Lab) -> Result<()> {
    let (r1, wire) = (lab.host("r1")?, lab.switch().watch()?);
    // As at boot: the daemon is there before the interface can be used.
    r1.output(&["ip", "link", "set", "ens160", "down"])?;
    let _daemon = r1.start(Daemon::XvrrpRfc, &(conf(150).text() + &conf_v6(150).text()))?;
    until(r1, "VI_1", "FAULT", ms(4_000))?;
    r1.output(&["ip", "link", "set", "ens160", "up"])?;
    until(r1, "VI_1", "MASTER", ms(6_000))?;
    until(r1, "VI_6", "MASTER", ms(6_000))?;
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

//! Virtual MAC addresses: what is on the wire, who is answered, what is made and what is left.

use std::net::{IpAddr, Ipv6Addr};

use anyhow::{Context, Result, ensure};
use ha_tests::lab::{Daemon, Direction, Frame, Host, Lab, Moment, Running, wait_for};

use crate::harness::Test;
use crate::pair::{Conf, VIP, held_by, ms, until};
use crate::punctual::allowance;

pub(crate) fn tests() -> Vec<Test> {
    let test = |name: String, body: fn(&Lab, Cast) -> Result<()>, cast: Cast| {
        Test::new(name, move |lab| body(lab, cast)).needs(cast.daemons)
    };
    let mut tests = Vec::new();
    for (pair, daemons) in [
        ("xvrrp_xvrrp", [Daemon::XvrrpRfc, Daemon::XvrrpRfc]),
        ("xvrrp_keepalived", [Daemon::XvrrpRfc, Daemon::Keepalived]),
        ("keepalived_xvrrp", [Daemon::Keepalived, Daemon::XvrrpRfc]),
    ] {
        for (family, v6) in [("ipv4", false), ("ipv6", true)] {
            tests.push(test(format!("vmac::s35_{pair}_{family}"), switchover, Cast { daemons, v6 }));
        }
    }
    let one = [Daemon::XvrrpRfc; 2];
    tests.push(test("vmac::without_xdp_ipv4".to_owned(), without_xdp, Cast { daemons: one, v6: false }));
    tests.push(test("vmac::without_xdp_ipv6".to_owned(), without_xdp, Cast { daemons: one, v6: true }));
    tests.push(test("vmac::base_interface_comes_later".to_owned(), later, Cast { daemons: one, v6: false }));
    for (family, v6) in [("ipv4", false), ("ipv6", true)] {
        tests.push(test(
            format!("vmac::s36_killed_and_started_again_{family}"),
            killed,
            Cast { daemons: one, v6 },
        ));
    }
    tests.push(test("vmac::xmit_base".to_owned(), xmit_base, Cast { daemons: one, v6: false }));
    tests.push(test(
        "vmac::interface_goes_and_returns".to_owned(),
        returns,
        Cast { daemons: one, v6: false },
    ));
    tests.push(test("vmac::kernel_parameters".to_owned(), parameters, Cast { daemons: one, v6: false }));
    tests
}

/// Daemons on r1 and r2, and the family.
#[derive(Clone, Copy)]
struct Cast {
    daemons: [Daemon; 2],
    v6: bool,
}

const VIP6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x16, 0, 0, 0, 0, 0, 0x25);

impl Cast {
    fn mac(self) -> [u8; 6] {
        [0, 0, 0x5e, 0, if self.v6 { 2 } else { 1 }, 25]
    }

    fn vip(self) -> IpAddr {
        if self.v6 { VIP6.into() } else { VIP.into() }
    }

    fn conf(self, priority: u8) -> Conf {
        let conf = Conf::new(priority).with("use_vmac");
        if self.v6 { conf.vips(["fe80::25/64", "fd00:16::25/64"]) } else { conf }
    }
}

fn states(running: &Running, host: &Host, state: &str) -> Result<()> {
    match running.daemon() {
        Daemon::Keepalived => wait_for(ms(6_000), || (running.keepalived_state() == state).then_some(()))
            .with_context(|| format!("keepalived on {} is not {state}:\n{}", host.name(), running.log())),
        _ => until(host, "VI_1", state, ms(6_000)).map(drop),
    }
}

/// MAC address that the client has for the virtual address.
fn learned(client: &Host, vip: IpAddr) -> Result<String> {
    let text = client.output(&["ip", "neigh", "show", "to", &vip.to_string()])?;
    Ok(text.split("lladdr ").nth(1).unwrap_or("-").split(' ').next().unwrap_or("-").to_owned())
}

/// The client is answered, and by xvrrp from the virtual MAC address. keepalived resolves the client from the base
/// interface and with the virtual address, which the client takes for news.
fn answered_by(lab: &Lab, cast: Cast, which: usize) -> Result<()> {
    let strict = cast.daemons[which] != Daemon::Keepalived || cast.v6;
    check_answer(lab, cast, strict)
}

fn answered(lab: &Lab, cast: Cast) -> Result<()> {
    check_answer(lab, cast, true)
}

fn check_answer(lab: &Lab, cast: Cast, strict: bool) -> Result<()> {
    let client = lab.host("client")?;
    let vip = cast.vip().to_string();
    let mac = cast.mac().map(|byte| format!("{byte:02x}")).join(":");
    let family = if cast.v6 { "-6" } else { "-4" };
    client.output(&["ip", family, "neigh", "flush", "dev", "ens160"])?;
    let output = client.run(&["ping", family, "-c", "3", "-i", "0.05", "-w", "3", &vip])?;
    ensure!(output.status.success(), "no answer:\n{}", String::from_utf8_lossy(&output.stdout));
    ensure!(
        !strict || learned(client, cast.vip())? == mac,
        "the client has {}",
        client.output(&["ip", "neigh"])?
    );
    Ok(())
}

/// All adverts and announcements of `host` from `since` on come from the virtual MAC address; nothing of a backup does.
fn check_wire(wire: &ha_tests::lab::Wire, host: &str, cast: Cast, since: Moment) -> Result<()> {
    let sent = wire.filter(|s| s.at >= since && s.host == host && s.direction == Direction::Sent);
    let mine = sent.iter().filter(|s| match s.frame {
        Frame::Advert { vrid, .. } => vrid == 25,
        Frame::NeighbourAdvert { target, .. } => IpAddr::from(target) == cast.vip(),
        _ => !cast.v6 && s.frame.is_gratuitous_for(VIP),
    });
    let mine: Vec<_> = mine.collect();
    ensure!(mine.len() > 3, "{host} sent little: {mine:?}");
    let odd: Vec<_> = mine.iter().filter(|s| s.source_mac != cast.mac()).collect();
    ensure!(odd.is_empty(), "{host}: not from the virtual MAC address: {odd:?}");
    Ok(())
}

fn switchover(lab: &Lab, cast: Cast) -> Result<()> {
    let (r1, r2) = (lab.host("r1")?, lab.host("r2")?);
    let wire = lab.switch().watch()?;
    // A router: the kernel of one sends more on its own.
    for host in [r1, r2] {
        host.sysctl("net.ipv6.conf.all.forwarding", "1")?;
    }
    let mut first = r1.start(cast.daemons[0], &cast.conf(150).text())?;
    states(&first, r1, "MASTER")?;
    answered_by(lab, cast, 0)?;
    let silent = Moment::now();
    let mut second = r2.start(cast.daemons[1], &cast.conf(100).text())?;
    states(&second, r2, "BACKUP")?;
    let pinger = lab.host("client")?.ping(cast.vip(), ms(2), ms(30_000))?;
    std::thread::sleep(ms(1_500));
    wait_for(ms(2_000), || pinger.is_answered(ms(50)).then_some(())).context("the client is not answered")?;
    let end = Moment::now();
    std::thread::sleep(ms(100));
    check_wire(&wire, "r1", cast, silent)?;
    if cast.daemons[1] != Daemon::Keepalived {
        // One frame of the backup from that address and the switch sends the master's packets to it.
        let spoken = wire.filter(|s| {
            s.at >= silent && s.host == "r2" && s.direction == Direction::Sent && s.source_mac == cast.mac()
        });
        ensure!(spoken.is_empty(), "the backup speaks: {spoken:?}");
        let lost = pinger.report().lost_between(silent, end);
        let more = allowance(silent, end).as_millis() / 2;
        ensure!(lost as u128 <= more, "a backup disturbs: {lost} lost");
    }
    let stopped = Moment::now();
    first.stop()?;
    states(&second, r2, "MASTER")?;
    wait_for(ms(2_000), || pinger.is_answered(ms(50)).then_some(())).context("r2 does not answer")?;
    answered_by(lab, cast, 1)?;
    std::thread::sleep(ms(500));
    let lost = pinger.report().lost_between(stopped, Moment::now());
    if cast.daemons.contains(&Daemon::Keepalived) {
        println!("{lost} lost of a 2 ms stream in the stop");
    } else {
        let more = allowance(stopped, Moment::now()).as_millis() / 2;
        ensure!(lost as u128 <= 5 + more, "{lost} lost of a 2 ms stream in the stop");
    }
    check_wire(&wire, "r2", cast, stopped)?;
    let returned = Moment::now();
    first = r1.start(cast.daemons[0], &cast.conf(150).text())?;
    states(&first, r1, "MASTER")?;
    states(&second, r2, "BACKUP")?;
    answered_by(lab, cast, 0)?;
    println!(
        "lost of a 2 ms stream: {} in the stop, {} in the return",
        pinger.report().lost_between(stopped, returned),
        pinger.report().lost_between(returned, Moment::now())
    );
    second.stop()?;
    first.stop()?;
    for host in [r1, r2] {
        let links = host.output(&["ip", "link"])?;
        ensure!(!links.contains("vrrp"), "left on {}:\n{links}", host.name());
    }
    Ok(())
}

/// The kernel gives frames from the peer's MAC address, which is the macvlan's too, to the macvlan alone.
fn without_xdp(lab: &Lab, cast: Cast) -> Result<()> {
    let (r1, r2) = (lab.host("r1")?, lab.host("r2")?);
    let conf = |priority| cast.conf(priority).with("xdp_mode off").text();
    let mut first = r1.start(Daemon::XvrrpRfc, &conf(150))?;
    until(r1, "VI_1", "MASTER", ms(6_000))?;
    let _second = r2.start(Daemon::XvrrpRfc, &conf(100))?;
    until(r2, "VI_1", "BACKUP", ms(4_000))?;
    std::thread::sleep(ms(1_000));
    until(r2, "VI_1", "BACKUP", ms(10))?;
    until(r1, "VI_1", "MASTER", ms(10))?;
    answered(lab, cast)?;
    first.stop()?;
    until(r2, "VI_1", "MASTER", ms(4_000))?;
    answered(lab, cast)
}

fn later(lab: &Lab, _: Cast) -> Result<()> {
    let r1 = lab.host("r1")?;
    let conf = Conf::new(150).with("use_vmac").text().replace("ens160", "later0");
    let mut daemon = r1.start(Daemon::XvrrpRfc, &conf)?;
    until(r1, "VI_1", "FAULT", ms(4_000))?;
    for _ in 0..2 {
        r1.output(&["ip", "link", "add", "later0", "type", "veth", "peer", "name", "later1"])?;
        r1.output(&["ip", "link", "set", "later1", "up"])?;
        r1.output(&["ip", "link", "set", "later0", "up"])?;
        r1.output(&["ip", "addr", "add", "172.16.9.1/24", "dev", "later0"])?;
        until(r1, "VI_1", "MASTER", ms(6_000))?;
        ensure!(r1.output(&["ip", "addr", "show", "dev", "vrrp.25"])?.contains("172.16.1.25/32"));
        // To another name, which the configuration does not know.
        r1.output(&["ip", "link", "set", "later0", "down"])?;
        r1.output(&["ip", "link", "set", "later0", "name", "renamed0"])?;
        until(r1, "VI_1", "FAULT", ms(2_000))?;
        r1.output(&["ip", "link", "del", "renamed0"])?;
    }
    daemon.stop()?;
    ensure!(!r1.output(&["ip", "link"])?.contains("vrrp.25"), "left");
    Ok(())
}

fn killed(lab: &Lab, cast: Cast) -> Result<()> {
    let r1 = lab.host("r1")?;
    for _ in 0..3 {
        let mut daemon = r1.start(Daemon::XvrrpRfc, &cast.conf(150).text())?;
        until(r1, "VI_1", "MASTER", ms(4_000))?;
        answered(lab, cast)?;
        let links = r1.output(&["ip", "-o", "link"])?;
        ensure!(links.matches("vrrp.25@ens160").count() == 1, "{links}");
        daemon.kill9()?;
    }
    // Another configuration: what the killed run left behind goes.
    let mut daemon = r1.start(Daemon::XvrrpRfc, &Conf::new(150).text())?;
    until(r1, "VI_1", "MASTER", ms(4_000))?;
    let links = r1.output(&["ip", "-o", "link"])?;
    ensure!(!links.contains("vrrp.25"), "left:\n{links}");
    daemon.stop()?;
    Ok(())
}

fn xmit_base(lab: &Lab, cast: Cast) -> Result<()> {
    let (r1, wire) = (lab.host("r1")?, lab.switch().watch()?);
    let conf = Conf::new(150).with("use_vmac vm25").with("vmac_xmit_base").text();
    let mut daemon = r1.start(Daemon::XvrrpRfc, &conf)?;
    until(r1, "VI_1", "MASTER", ms(4_000))?;
    answered(lab, cast)?;
    let adverts = wire.filter(|s| s.is_advert_from("r1"));
    ensure!(!adverts.is_empty() && adverts.iter().all(|s| s.source_mac == r1.spec().mac), "{adverts:?}");
    ensure!(r1.output(&["ip", "-o", "link"])?.contains("vm25@ens160"), "no vm25");
    daemon.stop()?;
    Ok(())
}

fn returns(lab: &Lab, cast: Cast) -> Result<()> {
    let (r1, addresses) = (lab.host("r1")?, lab.watch_addresses()?);
    let mut daemon = r1.start(Daemon::XvrrpRfc, &cast.conf(150).text())?;
    until(r1, "VI_1", "MASTER", ms(4_000))?;
    // The interface below.
    r1.output(&["ip", "link", "set", "ens160", "down"])?;
    until(r1, "VI_1", "FAULT", ms(2_000))?;
    r1.output(&["ip", "link", "set", "ens160", "up"])?;
    until(r1, "VI_1", "MASTER", ms(4_000))?;
    answered(lab, cast)?;
    // The virtual one.
    r1.output(&["ip", "link", "set", "vrrp.25", "down"])?;
    until(r1, "VI_1", "FAULT", ms(2_000))?;
    r1.output(&["ip", "link", "set", "vrrp.25", "up"])?;
    until(r1, "VI_1", "MASTER", ms(4_000))?;
    r1.output(&["ip", "link", "del", "vrrp.25"])?;
    held_by(&addresses, VIP, &["r1"], ms(4_000))?;
    until(r1, "VI_1", "MASTER", ms(4_000))?;
    answered(lab, cast)?;
    daemon.check_alive()
}

fn parameters(lab: &Lab, cast: Cast) -> Result<()> {
    let r1 = lab.host("r1")?;
    let read = || r1.output(&["sysctl", "-a", "-r", r"^net\.ipv4\.conf\.(all|default|ens160|lo)\."]);
    r1.sysctl("net.ipv4.conf.all.rp_filter", "1")?;
    let before = read()?;
    let mut daemon = r1.start(Daemon::XvrrpRfc, &cast.conf(150).text())?;
    until(r1, "VI_1", "MASTER", ms(4_000))?;
    answered(lab, cast)?;
    let during = read()?;
    for line in
        ["all.rp_filter = 0", "ens160.rp_filter = 1", "ens160.arp_ignore = 1", "ens160.arp_filter = 1"]
    {
        ensure!(during.contains(line), "no {line} in\n{during}");
    }
    // Also what a killed run has changed is restored in the end.
    daemon.kill9()?;
    daemon = r1.start(Daemon::XvrrpRfc, &cast.conf(150).text())?;
    until(r1, "VI_1", "MASTER", ms(4_000))?;
    daemon.stop()?;
    let after = read()?;
    ensure!(before == after, "before:\n{before}\nafter:\n{after}");
    Ok(())
}

//! What public reports, guides and templates stumbled over, as clients and operators see it.

use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Context, Result, ensure};
use ha_tests::lab::{Daemon, Frame, Host, Lab, RUN_DIR, Running, wait_for, xvrrp_binary};

use crate::harness::Test;
use crate::pair::{Conf, FILE, INTERVAL, VIP, VIP2, instance, ms, reload, stderr, stdout, until, xvrrp};

pub(crate) fn tests() -> Vec<Test> {
    let test = |name, body: fn(&Lab) -> Result<()>| Test::new(name, body).needs([Daemon::Xvrrp]);
    let beside = |name, body| test(name, body).needs([Daemon::Keepalived]);
    vec![
        test("field::another_service_with_the_same_vrid_changes_nothing", foreign),
        test("field::only_those_of_check_source_are_heard", check_source),
        test("field::unicast_over_ipv6_is_for_the_peer_alone", unicast_v6),
        test("field::no_track_addresses_come_with_their_interface", late),
        test("field::an_address_that_somebody_removed_is_a_warning", removed),
        test("field::an_interface_that_does_not_exist_is_not_called_down", absent),
        beside("field::run_refuses_beside_keepalived", two_daemons),
    ]
}

/// Waits for a line of the log.
fn says(daemon: &Running, text: &str) -> Result<()> {
    let said = wait_for(ms(3_000), || daemon.log().contains(text).then_some(()));
    said.with_context(|| format!("the log does not say `{text}`:\n{}", daemon.log()))
}

/// Sends pings for `beacons` intervals, all of which must be answered.
fn served(lab: &Lab, address: Ipv4Addr, intervals: u32) -> Result<()> {
    let client = lab.host("client")?;
    client.output(&["ip", "neigh", "flush", "dev", "ens160"])?;
    let pings = client.ping(IpAddr::V4(address), ms(20), INTERVAL * intervals)?;
    std::thread::sleep(INTERVAL * intervals);
    let report = pings.stop();
    ensure!(
        report.sent() > 0 && report.lost() == 0,
        "{address}: {} of {} lost",
        report.lost(),
        report.sent()
    );
    Ok(())
}

/// A router with a higher priority serves another address under the same VRID: both serve what is theirs. (keepalived
/// 2.2.7 does so too, but falls silent while it hears more adverts of this kind than it sends itself.)
fn foreign(lab: &Lab) -> Result<()> {
    let (r1, r2) = (lab.host("r1")?, lab.host("r2")?);
    let daemon = r1.start(Daemon::Xvrrp, &Conf::new(100).text())?;
    until(r1, "VI_1", "MASTER", ms(4_000))?;
    let stranger = Conf::new(150).named("other", 25).vips([VIP2]);
    let _stranger = r2.start(Daemon::XvrrpRfc, &stranger.text())?;
    says(&daemon, "dropped: address_list_mismatch")?;
    wait_for(ms(3_000), || r2.holds(IpAddr::V4(VIP2)).ok()?.then_some(()))
        .context("the stranger has no address")?;
    served(lab, VIP, 20)?;
    served(lab, VIP2, 5)?;
    ensure!(instance(r1, "VI_1")?.state == "MASTER");
    ensure!(daemon.log().matches("address_list_mismatch").count() < 5, "{}", daemon.log());
    // Whoever wants the old behaviour, or has changed nothing but some of the addresses, yields.
    reload(r1, &Conf::new(100).with("skip_check_adv_addr").text())?;
    until(r1, "VI_1", "BACKUP", ms(4_000))?;
    reload(r1, &Conf::new(100).text())?;
    until(r1, "VI_1", "MASTER", ms(4_000))?;
    reload(r1, &Conf::new(100).vips([VIP, VIP2]).text())?;
    until(r1, "VI_1", "BACKUP", ms(4_000))?;
    says(&daemon, "advertises other addresses than this router has")
}

fn check_source(lab: &Lab) -> Result<()> {
    let (r1, r2) = (lab.host("r1")?, lab.host("r2")?);
    let of = |source: &str| Conf::new(100).with(&format!("check_source {{\n        {source}\n    }}")).text();
    let daemon = r1.start(Daemon::Xvrrp, &of("172.16.1.99"))?;
    until(r1, "VI_1", "MASTER", ms(4_000))?;
    let _other = r2.start(Daemon::XvrrpRfc, &Conf::new(150).text())?;
    says(&daemon, "dropped: unknown_peer")?;
    ensure!(instance(r1, "VI_1")?.state == "MASTER", "a stranger deposed it");
    reload(r1, &of("172.16.1.2"))?;
    until(r1, "VI_1", "BACKUP", ms(4_000))?;
    Ok(())
}

fn holds(host: &Host, address: &str, wanted: bool) -> Result<()> {
    let address: IpAddr = address.parse()?;
    let there = wait_for(ms(3_000), || (host.holds(address).ok()? == wanted).then_some(()));
    there.with_context(|| format!("{address} is there: {}", !wanted))
}

fn late(lab: &Lab) -> Result<()> {
    let r1 = lab.host("r1")?;
    let conf = Conf::new(150)
        .with("virtual_ipaddress_excluded {\n        203.0.113.5/24 dev late no_track\n    }")
        .with("virtual_routes {\n        192.0.2.0/24 via 203.0.113.1 dev late no_track\n    }");
    let _daemon = r1.start(Daemon::Xvrrp, &conf.text())?;
    until(r1, "VI_1", "MASTER", ms(4_000))?;
    for _ in 0..2 {
        r1.output(&["ip", "link", "add", "late", "type", "veth", "peer", "name", "late2"])?;
        r1.output(&["ip", "link", "set", "late2", "up"])?;
        r1.output(&["ip", "link", "set", "late", "up"])?;
        holds(r1, "203.0.113.5", true)?;
        let route = || r1.output(&["ip", "route", "show", "192.0.2.0/24"]).ok();
        let there = wait_for(ms(3_000), || route()?.contains("dev late").then_some(()));
        there.context("the route is not there")?;
        r1.output(&["ip", "link", "del", "late"])?;
        holds(r1, "203.0.113.5", false)?;
    }
    Ok(())
}

fn removed(lab: &Lab) -> Result<()> {
    let r1 = lab.host("r1")?;
    let daemon = r1.start(Daemon::Xvrrp, &Conf::new(150).vips(["172.16.1.25/24"]).text())?;
    until(r1, "VI_1", "MASTER", ms(4_000))?;
    served(lab, VIP, 5)?;
    r1.output(&["ip", "addr", "del", "172.16.1.25/24", "dev", "ens160"])?;
    says(&daemon, "WARN  (VI_1) 172.16.1.25/24 was removed by somebody; it is there again")?;
    served(lab, VIP, 5)?;
    let log = daemon.log();
    ensure!(log.matches("was removed by somebody").count() == 1, "{log}");
    ensure!(log.matches("virtual address added").count() == 1, "{log}");
    Ok(())
}

fn absent(lab: &Lab) -> Result<()> {
    let r1 = lab.host("r1")?;
    let conf = Conf::new(150).with("track_interface {\n        late\n    }");
    let _daemon = r1.start(Daemon::Xvrrp, &conf.text())?;
    until(r1, "VI_1", "FAULT", ms(4_000))?;
    let fault = |wanted: &str| {
        let status = || xvrrp(r1, &["status", "--run-dir", RUN_DIR]).map(|output| stdout(&output));
        let seen = wait_for(ms(3_000), || status().ok()?.contains(wanted).then_some(()));
        seen.with_context(|| format!("`{wanted}` is not in\n{}", status().unwrap_or_default()))
    };
    fault("interface late does not exist")?;
    r1.output(&["ip", "link", "add", "late", "type", "veth", "peer", "name", "late2"])?;
    fault("interface late is down")?;
    r1.output(&["ip", "link", "set", "late2", "up"])?;
    r1.output(&["ip", "link", "set", "late", "up"])?;
    until(r1, "VI_1", "MASTER", ms(4_000))?;
    r1.output(&["ip", "link", "del", "late"])?;
    fault("interface late does not exist")
}

/// As a distribution starts it: both of its pid files.
fn two_daemons(lab: &Lab) -> Result<()> {
    let r1 = lab.host("r1")?;
    let conf = Conf::new(100).text();
    let mut keepalived = r1.start_with(Daemon::Keepalived, &conf, &["-r", "/run/vrrp.pid"])?;
    holds(r1, "172.16.1.25", true)?;
    let binary = r1.path_of_machine(xvrrp_binary()?);
    let binary = binary.to_str().context("the path of xvrrp is not UTF-8")?;
    // One that does start is ended.
    let output = r1.run(&["timeout", "5", binary, "run", "-f", FILE, "--run-dir", RUN_DIR])?;
    let said = stderr(&output);
    ensure!(output.status.code() == Some(1), "{}: {said}", output.status);
    ensure!(said.contains("/run/vrrp.pid) runs here: two daemons on one configuration fight"), "{said}");
    served(lab, VIP, 5)?;
    keepalived.stop()?;
    let _daemon = r1.start(Daemon::Xvrrp, &conf)?;
    until(r1, "VI_1", "MASTER", ms(4_000))?;
    Ok(())
}

/// Adverts over IPv6 to peers alone: to each in its own packet, with the hop limit of the link, and to no group.
fn unicast_v6(lab: &Lab) -> Result<()> {
    let (r1, r2) = (lab.host("r1")?, lab.host("r2")?);
    let (wire, addresses) = (lab.switch().watch()?, lab.watch_addresses()?);
    let vip: IpAddr = "fd00:16::25".parse()?;
    let conf = |priority, own: &Host, peer: &Host| {
        let lines = format!(
            "unicast_src_ip {}\n    check_unicast_src\n    unicast_peer {{\n        {}\n    }}",
            own.spec().v6,
            peer.spec().v6
        );
        Conf::new(priority).vips(["fe80::25", "fd00:16::25/64"]).with(&lines).text()
    };
    let mut first = r1.start(Daemon::XvrrpRfc, &conf(150, r1, r2))?;
    until(r1, "VI_1", "MASTER", ms(6_000))?;
    let _second = r2.start(Daemon::XvrrpRfc, &conf(100, r2, r1))?;
    let follows = || instance(r2, "VI_1").ok()?.master.is_some().then_some(());
    wait_for(ms(3_000), follows).context("r2 hears no master")?;
    std::thread::sleep(INTERVAL * 5);
    ensure!(instance(r2, "VI_1")?.state == "BACKUP");
    first.kill9()?;
    let taken = || (addresses.holders(vip).contains(&"r2".to_owned())).then_some(());
    wait_for(ms(3_000), taken).context("r2 does not take over from a dead master")?;
    let sent = wire.filter(|s| s.is_advert_from("r1") || s.is_advert_from("r2"));
    let odd: Vec<_> = sent
        .iter()
        .filter(|s| {
            let [own, peer] = if s.host == "r1" { [r1, r2] } else { [r2, r1] };
            let right = |source, destination, ttl| {
                (source, destination, ttl) == (IpAddr::V6(own.spec().v6), IpAddr::V6(peer.spec().v6), 255)
            };
            !matches!(s.frame, Frame::Advert { source, destination, ttl, .. } if right(source, destination, ttl))
        })
        .collect();
    ensure!(sent.len() > 5 && odd.is_empty(), "{} adverts, {odd:?}", sent.len());
    Ok(())
}

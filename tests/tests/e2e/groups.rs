//! Sync groups in namespaces: with keepalived as the other router, and with fast failover.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use ha_tests::lab::{Addresses, Change, Daemon, Lab, Moment, Running, Status, wait_for};

use crate::harness::Test;
use crate::hostile::ms;
use crate::punctual::within;

const VRIDS: [u8; 3] = [51, 52, 53];

pub(crate) fn tests() -> Vec<Test> {
    let mut tests = Vec::new();
    for (name, daemons) in [
        ("xvrrp_and_keepalived", [Daemon::XvrrpRfc, Daemon::Keepalived]),
        ("keepalived_and_xvrrp", [Daemon::Keepalived, Daemon::XvrrpRfc]),
        ("xvrrp_and_xvrrp", [Daemon::Xvrrp, Daemon::Xvrrp]),
    ] {
        let body = move |lab: &Lab| one_faults_all_move(lab, daemons);
        tests.push(Test::new(format!("groups::{name}_move_together"), body).needs(daemons).long());
    }
    let fast = Test::new("groups::a_dead_master_is_succeeded_as_a_whole", death);
    tests.push(fast.needs([Daemon::Xvrrp]).timing());
    tests
}

fn vip(vrid: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(172, 16, 1, 100 + vrid))
}

/// A group of three, of which the second one tracks a script.
fn config(priority: u8) -> String {
    let mut text = "global_defs {\n script_user root\n vrrp_version 3\n}\n\
        vrrp_script chk {\n script \"/usr/bin/test -e /run/ok\"\n interval 1\n}\n\
        vrrp_sync_group G1 {\n group {\n V51\n V52\n V53\n }\n}\n"
        .to_owned();
    for vrid in VRIDS {
        let track = if vrid == 52 { "track_script {\n chk\n }" } else { "" };
        text += &format!(
            "vrrp_instance V{vrid} {{\n interface ens160\n virtual_router_id {vrid}\n priority {priority}\n \
             advert_int 0.2\n virtual_ipaddress {{\n {}\n }}\n {track}\n}}\n",
            vip(vrid)
        );
    }
    text
}

/// Waits until all addresses are on `host` alone; how long after `from` the last one came.
fn all_on(addresses: &Addresses, host: &str, from: Moment) -> Result<f64> {
    let holders = || VRIDS.map(|vrid| addresses.holders(vip(vrid)));
    wait_for(ms(8_000), || holders().iter().all(|holders| holders == &[host]).then_some(()))
        .with_context(|| format!("not all on {host}: {:?}", holders()))?;
    let came = VRIDS.iter().filter_map(|vrid| addresses.first(host, Change::Added(vip(*vrid)), from)).max();
    Ok(came.map_or(0.0, |at| at.ms_after(from)))
}

fn one_faults_all_move(lab: &Lab, daemons: [Daemon; 2]) -> Result<()> {
    let (r1, r2) = (lab.host("r1")?, lab.host("r2")?);
    let addresses = lab.watch_addresses()?;
    for host in [r1, r2] {
        host.write("/run/ok", "", 0o644)?;
    }
    let mut routers = [r1.start(daemons[0], &config(150))?, r2.start(daemons[1], &config(100))?];
    all_on(&addresses, "r1", Moment::from_boot())?;
    std::thread::sleep(ms(1_500));
    let failed = Moment::now();
    r1.output(&["rm", "/run/ok"])?;
    let moved = all_on(&addresses, "r2", failed)?;
    if daemons[0] != Daemon::Keepalived {
        shown(&r1.xvrrp_status()?)?;
    }
    let first =
        VRIDS.iter().filter_map(|vrid| addresses.first("r2", Change::Added(vip(*vrid)), failed)).min();
    let first = first.context("r2 has none of the addresses")?;
    let last = VRIDS.iter().filter_map(|vrid| addresses.first("r2", Change::Added(vip(*vrid)), failed)).max();
    let spread = moved - first.ms_after(failed);
    std::thread::sleep(ms(1_000));
    all_on(&addresses, "r2", failed)?;
    let mended = Moment::now();
    r1.write("/run/ok", "", 0o644)?;
    let back = all_on(&addresses, "r1", mended)?;
    println!("{daemons:?}: moved after {moved:.0} ms within {spread:.1} ms, back after {back:.0} ms");
    // Sooner than by waiting for the silence of each: two intervals and a skew time.
    within("the group moves", first, last.unwrap_or(first), ms(200) * 2)?;
    std::thread::sleep(ms(1_000));
    all_on(&addresses, "r1", mended)?;
    // A graceful stop moves all of them too.
    let stopped = Moment::now();
    routers[0].stop()?.context("killed")?;
    let moved = all_on(&addresses, "r2", stopped)?;
    println!("{daemons:?}: all moved {moved:.0} ms after the stop");
    routers[1].check_alive()
}

/// kill -9: the verdict on the peer moves all three, at once, and no two routers have an address for long.
fn death(lab: &Lab) -> Result<()> {
    let (r1, r2) = (lab.host("r1")?, lab.host("r2")?);
    let addresses = lab.watch_addresses()?;
    for host in [r1, r2] {
        host.write("/run/ok", "", 0o644)?;
    }
    let mut routers = [r1.start(Daemon::Xvrrp, &config(150))?, r2.start(Daemon::Xvrrp, &config(100))?];
    all_on(&addresses, "r1", Moment::from_boot())?;
    let known = || routers_know(&routers[1], "answers probes");
    wait_for(ms(6_000), known).context("the peer does not answer probes")?;
    std::thread::sleep(ms(500));
    let died = Moment::now();
    routers[0].kill9()?;
    let took = || {
        let at = VRIDS.map(|vrid| addresses.first("r2", Change::Added(vip(vrid)), died));
        at.iter()
            .all(Option::is_some)
            .then(|| at.iter().flatten().map(|at| at.ms_after(died)).fold(0.0, f64::max))
    };
    let took = wait_for(ms(5_000), took).context("r2 has not taken all of them")?;
    println!("all three addresses taken {took:.1} ms after kill -9");
    // Adverts say nothing so soon.
    within("the group moves", died, died.plus(Duration::try_from_secs_f64(took / 1e3)?), ms(200))?;
    routers[1].check_alive()
}

fn routers_know(router: &Running, words: &str) -> Option<()> {
    router.log().contains(words).then_some(())
}

/// Status says which member holds the group, and not that the others are held by it.
fn shown(status: &Status) -> Result<()> {
    let [group] = status.groups.as_slice() else { bail!("one group was wanted: {:?}", status.groups) };
    let members: Vec<_> = group.members.iter().map(|member| (&*member.name, &*member.state)).collect();
    ensure!(group.name == "G1" && group.state == "FAULT", "{group:?}");
    ensure!(members == [("V51", "FAULT"), ("V52", "FAULT"), ("V53", "FAULT")], "{group:?}");
    let [fault] = group.fault.as_slice() else { bail!("one cause was wanted: {group:?}") };
    ensure!(fault.starts_with("V52: script chk"), "{fault}");
    Ok(())
}

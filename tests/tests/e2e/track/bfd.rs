//! BFD with FRR's bfdd as the neighbour, both directions; and what a session does to a virtual router.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ha_tests::lab::{Daemon, Host, Lab, Moment, Running, missing_bfdd, wait_for};

use super::becomes;
use crate::harness::Test;
use crate::hostile::{VIP, ms, reach, sound};
use crate::punctual::within;

pub(crate) fn tests() -> Vec<Test> {
    if let Some(reason) = missing_bfdd() {
        eprintln!("ignored: track::bfd: {reason}");
        return Vec::new();
    }
    vec![
        Test::new("track::bfd_with_frr_v4", |lab: &Lab| with_frr(lab, false))
            .needs([Daemon::XvrrpRfc])
            .long(),
        Test::new("track::bfd_with_frr_v6", |lab: &Lab| with_frr(lab, true)).needs([Daemon::XvrrpRfc]).long(),
    ]
}

/// One side's packets every 50 ms, three may be missed.
const FRR: &str = "receive-interval 50\n transmit-interval 50\n detect-multiplier 3";

fn config(neighbor: &str, source: &str, intervals: u32) -> String {
    format!(
        "bfd_instance router {{\n neighbor_ip {neighbor}\n source_ip {source}\n min_rx {intervals}\n min_tx \
         {intervals}\n multiplier 3\n}}\nvrrp_instance VI_1 {{\n interface ens160\n version 3\n virtual_router_id 9\n \
         priority 100\n advert_int 0.1\n virtual_ipaddress {{ {VIP} }}\n track_bfd {{ router }}\n}}\n"
    )
}

/// Waits until bfdd says `wanted` of `field`.
fn bfdd_says(host: &Host, field: &str, wanted: &str, patience: Duration) -> Result<Moment> {
    let is = || host.bfdd_peer().ok().filter(|peer| peer[field] == wanted).map(|_| Moment::now());
    wait_for(patience, is).with_context(|| format!("bfdd: {field} is not {wanted}: {:?}", host.bfdd_peer()))
}

fn with_frr(lab: &Lab, v6: bool) -> Result<()> {
    let (r1, r2) = (lab.host("r1")?, lab.host("r2")?);
    let address = |host: &Host| if v6 { host.spec().v6.to_string() } else { host.spec().v4.to_string() };
    let (ours, theirs) = (address(r1), address(r2));
    let peer = format!("peer {ours} local-address {theirs}");
    let frr = format!("bfd\n {peer}\n {FRR}\n no shutdown\n exit\nexit\n");
    let mut bfdd = r2.bfdd(&frr)?;
    let mut daemon = r1.start(Daemon::XvrrpRfc, &config(&theirs, &ours, 50))?;

    // Up, with the slower wish of each side.
    let entry = becomes(r1, "bfd", "router", "good", ms(8_000))?;
    bfdd_says(r2, "status", "up", ms(2_000))?;
    println!("{entry}");
    reach(r1, "VI_1", "MASTER", ms(4_000))?;

    // Other intervals, by reload: the session stays up, and both sides follow.
    r1.write("/etc/keepalived/keepalived.conf", config(&theirs, &ours, 100), 0o644)?;
    daemon.signal(nix::sys::signal::Signal::SIGHUP)?;
    let slower = || {
        let peer = r2.bfdd_peer().ok()?;
        (peer["remote-transmit-interval"] == 100 && peer["remote-receive-interval"] == 100).then_some(peer)
    };
    let peer_of =
        wait_for(ms(3_000), slower).with_context(|| format!("no new intervals: {:?}", r2.bfdd_peer()))?;
    ensure!(peer_of["status"] == "up", "{peer_of}");
    // And by the neighbour.
    let interval =
        ["configure terminal", "bfd", peer.as_str(), "transmit-interval 200", "receive-interval 200"];
    r2.bfdd_says(&interval)?;
    let longer = || {
        let detail = super::tracker(r1, "bfd", "router")?;
        detail["detail"].as_str()?.contains("within 600 ms").then_some(())
    };
    wait_for(ms(3_000), longer).with_context(|| {
        format!("the detection time does not follow: {:?}", super::tracker(r1, "bfd", "router"))
    })?;
    ensure!(!daemon.log().contains("is down"), "the session flapped:\n{}", daemon.log());
    r2.bfdd_says(&["configure terminal", "bfd", &peer, "transmit-interval 50", "receive-interval 50"])?;
    let shorter = || {
        let detail = super::tracker(r1, "bfd", "router")?;
        detail["detail"].as_str()?.contains("within 300 ms").then_some(())
    };
    wait_for(ms(3_000), shorter).context("the detection time does not follow back")?;

    // Held down by its operator: no failure of the path, but the router behind it is not to be used.
    r2.bfdd_says(&["configure terminal", "bfd", &peer, "shutdown"])?;
    let entry = becomes(r1, "bfd", "router", "bad", ms(1_000))?;
    ensure!(entry["detail"].as_str().is_some_and(|detail| detail.contains("neighbour signalled")), "{entry}");
    reach(r1, "VI_1", "FAULT", ms(1_000))?;
    r2.bfdd_says(&["configure terminal", "bfd", &peer, "no shutdown"])?;
    becomes(r1, "bfd", "router", "good", ms(8_000))?;
    reach(r1, "VI_1", "MASTER", ms(4_000))?;

    // Its death.
    let died = Moment::now();
    bfdd.kill9()?;
    let fault = || daemon.log().contains("control detection time expired").then(Moment::now);
    let noticed = wait_for(ms(2_000), fault).context("its death is not noticed")?;
    println!("bfdd's death was noticed after {:?} (3 × 100 ms)", noticed.since(died));
    within("its death is noticed", died, noticed, ms(100) * 4)?;
    reach(r1, "VI_1", "FAULT", ms(1_000))?;
    drop(bfdd);
    let _bfdd = r2.bfdd(&frr)?;
    becomes(r1, "bfd", "router", "good", ms(8_000))?;
    bfdd_says(r2, "status", "up", ms(2_000))?;

    // Our death.
    daemon.kill9()?;
    bfdd_says(r2, "status", "down", ms(2_000))?;
    ensure!(r2.bfdd_peer()?["diagnostic"] == "control detection time expired", "{:?}", r2.bfdd_peer());
    // Our stop is none: the neighbour is told.
    let mut daemon = r1.start(Daemon::XvrrpRfc, &config(&theirs, &ours, 50))?;
    bfdd_says(r2, "status", "up", ms(8_000))?;
    stop(&mut daemon)?;
    bfdd_says(r2, "status", "down", ms(1_000))?;
    bfdd_says(r2, "remote-diagnostic", "administratively down", ms(2_000))
        .context("the neighbour was not told")?;
    Ok(())
}

fn stop(daemon: &mut Running) -> Result<()> {
    sound(daemon, 60)?;
    daemon.stop()?.context("the daemon had to be killed")?;
    Ok(())
}

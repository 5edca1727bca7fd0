//! Routers without XDP beside routers with it: a master's daemon that answers probes itself, which takes the CPU, so that
//! its silence is given more time; and a whole life of a pair, whichever of the two it is.

use anyhow::{Context, Result, ensure};
use ha_tests::lab::{Daemon, Lab, Moment, RUN_DIR, wait_for};

use super::cluster::{Router, files};
use crate::harness::Test;
use crate::pair::{INTERVAL, VIP, held_by, ms, stdout, xvrrp};
use crate::punctual::within;

pub(super) fn tests() -> Vec<Test> {
    let new = |name: &str, body: fn(&Lab) -> Result<()>| {
        Test::new(format!("fast::{name}"), body).needs([Daemon::Xvrrp]).timing()
    };
    vec![
        new("master_without_xdp", master_without_xdp),
        new("mixed_pair_with_sockets_as_master", |lab| mixed(lab, [true, false])),
        new("mixed_pair_with_sockets_as_backup", |lab| mixed(lab, [false, true])),
    ]
}

fn master_without_xdp(lab: &Lab) -> Result<()> {
    let addresses = lab.watch_addresses()?;
    let wire = lab.switch().watch()?;
    let [master, backup] = files();
    let r1 = Router::start(lab, "r1", &format!("{master}\nglobal_defs {{\n    xdp_mode off\n}}\n"))?;
    held_by(&addresses, VIP, &["r1"], ms(5_000))?;
    let r2 = Router::start(lab, "r2", backup)?;
    r2.probes()?;
    let status = wait_for(ms(2_000), || {
        let output = xvrrp(lab.host("r2").ok()?, &["status", "--run-dir", RUN_DIR]).ok()?;
        let text = stdout(&output);
        text.contains("fast, answers from user space").then_some(text)
    });
    ensure!(status.is_some(), "status of r2 does not say how r1 answers:\n{}", r2.log());

    // It is no false alarm for a while...
    std::thread::sleep(ms(1_000));
    ensure!(addresses.holders(VIP.into()) == ["r1"], "r2 took over from a live master:\n{}", r2.log());
    // ...and a daemon that is dead answers nobody: sooner than the RFC's 360 ms, later than XDP's 2.5 ms.
    let before = Moment::now();
    lab.switch().silence("r1")?;
    let died = Moment::now();
    let taken =
        wait_for(ms(2_000), || wire.first_advert_from("r2", before)).context("r2 did not take over")?;
    println!("takeover {:.1} ms after the death of a master without XDP", taken.ms_after(died));
    within("takeover after the lease of 100 ms", died, taken, ms(100) + INTERVAL)?;
    drop(r1);
    Ok(())
}

/// The life of a pair of which one router has no XDP: start, restart, graceful stop, failback, kill -9, failback.
fn mixed(lab: &Lab, sockets: [bool; 2]) -> Result<()> {
    let (wire, addresses) = (lab.switch().watch()?, lab.watch_addresses()?);
    let texts = [0, 1].map(|n| {
        let mode = if sockets[n] { "off" } else { "auto" };
        format!("{}\nglobal_defs {{\n    xdp_mode {mode}\n}}\n", files()[n])
    });
    let both = [lab.host("r1")?, lab.host("r2")?];
    let held = |host: &str| held_by(&addresses, VIP, &[host], ms(8_000));
    let mut r1 = Router::start(lab, "r1", &texts[0])?;
    held("r1")?;
    let r2 = Router::start(lab, "r2", &texts[1])?;
    r2.says("-> BACKUP", ms(5_000))?;
    for (host, sockets) in both.iter().zip(sockets) {
        let mode = stdout(&xvrrp(host, &["status", "--run-dir", RUN_DIR])?);
        ensure!(mode.contains("raw-socket") == sockets, "{}:\n{mode}", host.name());
    }
    let pinger = super::cluster::stream(lab, ms(1))?;
    let served = || super::cluster::answered(&pinger);
    std::thread::sleep(ms(500));

    let begin = Moment::now();
    ensure!(xvrrp(both[0], &["restart", "--run-dir", RUN_DIR])?.status.success(), "no restart");
    r1.says("is still MASTER", ms(3_000))?;
    std::thread::sleep(ms(600));
    let lost = pinger.report().lost_between(begin, begin.plus(ms(550)));
    println!("restart: {lost} of a 1 ms stream lost");
    ensure!(lost == 0 && addresses.holders(VIP.into()) == ["r1"], "{lost} packets lost at a restart");
    ensure!(!r2.log().contains("-> MASTER"), "r2 took over at a restart:\n{}", r2.log());

    for kill in [false, true] {
        let begin = Moment::now();
        if kill {
            r1.running.kill9()?;
        } else {
            r1.running.stop()?;
            held("r2")?;
        }
        let first = wait_for(ms(3_000), || wire.first_advert_from("r2", begin)).context("no takeover")?;
        served()?;
        let what = if kill { "kill -9" } else { "stop" };
        println!("{what}: r2 is master after {:.1} ms", first.ms_after(begin));
        r1 = Router::start(lab, "r1", &texts[0])?;
        held("r1").with_context(|| format!("no failback after {what}"))?;
        served()?;
        wait_for(ms(3_000), || {
            r2.log().trim_end().lines().any(|line| line.contains("MASTER -> BACKUP")).then_some(())
        })
        .context("r2 does not yield")?;
        std::thread::sleep(ms(500));
        ensure!(addresses.holders(VIP.into()) == ["r1"], "after {what} the address is not on r1 alone");
    }
    drop(r2);
    Ok(())
}

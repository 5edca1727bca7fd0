//! A master without XDP: its daemon answers probes itself, which takes the CPU, so its silence is given more time.

use anyhow::{Context, Result, ensure};
use ha_tests::lab::{Daemon, Lab, Moment, RUN_DIR, wait_for};

use super::cluster::{Router, files};
use crate::harness::Test;
use crate::pair::{INTERVAL, VIP, held_by, ms, stdout, xvrrp};
use crate::punctual::within;

pub(super) fn tests() -> Vec<Test> {
    vec![Test::new("fast::master_without_xdp", master_without_xdp).needs([Daemon::Xvrrp]).timing()]
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

//! After kill -9: what is left of an earlier run goes, and what somebody else put there stays.

use std::net::IpAddr;

use anyhow::{Context, Result, ensure};
use ha_tests::lab::{Daemon, Host, Lab, RUN_DIR, Running};

use super::{config, pair, settled};
use crate::harness::Test;
use crate::hostile::{VIP, logged, ms, reach, sound};

const FOREIGN: &str = "172.16.1.50";
/// Makes the daemon mark no addresses, as kernels before 5.18 make it.
const UNMARKED: (&str, &str) = ("XVRRP_TEST_UNMARKED_ADDRESSES", "1");
/// Where it keeps what those kernels cannot.
const MEMORY: &str = "/run/xvrrp/addresses";

pub(crate) fn tests() -> Vec<Test> {
    let mut tests = Vec::new();
    let mut add = |name: &str, body: fn(&Lab) -> Result<()>| {
        tests.push(Test::new(format!("degraded::{name}"), body).needs([Daemon::XvrrpRfc]));
    };
    add("s36_leftovers_of_a_killed_master", leftovers);
    add("s36_leftovers_that_are_no_longer_configured", no_longer_configured);
    add("s37_an_address_that_was_there_before_stays", |lab| was_there(lab, &[]));
    add("s36_leftovers_on_a_kernel_without_marks", leftovers_without_marks);
    add("s37_an_address_that_was_there_before_stays_without_marks", |lab| was_there(lab, &[UNMARKED]));
    add("s36_a_full_disk_on_a_kernel_without_marks", full_disk_without_marks);
    tests
}

fn has(host: &Host, address: &str) -> Result<bool> {
    host.holds(address.parse::<IpAddr>()?)
}

fn leftovers(lab: &Lab) -> Result<()> {
    let (r1, r2) = (lab.host("r1")?, lab.host("r2")?);
    for host in [r1, r2] {
        host.output(&["ip", "addr", "add", &format!("{FOREIGN}/32"), "dev", "ens160"])?;
    }
    let [mut master, mut backup] = pair(lab)?;
    // Killed and started again at once, before anybody has noticed; then after the peer has taken over.
    for pause in [0, 1_500] {
        master.kill9()?;
        ensure!(r1.holds(VIP)?, "kill -9 was meant to leave the address");
        std::thread::sleep(ms(pause));
        master = r1.start(Daemon::XvrrpRfc, &config(200))?;
        logged(&master, &["removed 172.16.1.25/32", "earlier run"])?;
        settled(r1, r2)?;
    }
    // A backup leaves nothing.
    backup.kill9()?;
    let mut backup = r2.start(Daemon::XvrrpRfc, &config(100))?;
    settled(r1, r2)?;
    ensure!(has(r1, FOREIGN)? && has(r2, FOREIGN)?, "a foreign address is gone");
    master.stop()?;
    reach(r2, "VI_1", "MASTER", ms(2_000))?;
    ensure!(!r1.holds(VIP)? && r2.holds(VIP)?, "the address is not on r2 alone");
    ensure!(has(r1, FOREIGN)?, "a foreign address is gone");
    sound(&mut backup, 60)
}

fn no_longer_configured(lab: &Lab) -> Result<()> {
    let r1 = lab.host("r1")?;
    r1.output(&["ip", "addr", "add", &format!("{FOREIGN}/32"), "dev", "ens160"])?;
    let mut master =
        r1.start(Daemon::XvrrpRfc, &config(200).replace("172.16.1.25", "172.16.1.25\n 172.16.1.26"))?;
    reach(r1, "VI_1", "MASTER", ms(8_000))?;
    ensure!(has(r1, "172.16.1.26")?, "the second address is not there");
    master.kill9()?;
    let mut master = r1.start(Daemon::XvrrpRfc, &config(200))?;
    reach(r1, "VI_1", "MASTER", ms(8_000))?;
    ensure!(r1.holds(VIP)? && !has(r1, "172.16.1.26")? && has(r1, FOREIGN)?, "{:?}", r1.addresses()?);
    sound(&mut master, 60)
}

fn unmarked(host: &Host, config: &str) -> Result<Running> {
    host.start_in(Daemon::XvrrpRfc, config, &[], &[UNMARKED])
}

/// The kernel does not say whose an address is: a file does.
fn leftovers_without_marks(lab: &Lab) -> Result<()> {
    let (r1, r2) = (lab.host("r1")?, lab.host("r2")?);
    r1.output(&["ip", "addr", "add", &format!("{FOREIGN}/32"), "dev", "ens160"])?;
    let mut master = unmarked(r1, &config(200))?;
    let mut backup = r2.start(Daemon::XvrrpRfc, &config(100))?;
    settled(r1, r2)?;
    let marked = r1.output(&["ip", "-d", "addr", "show", "dev", "ens160"])?;
    ensure!(!marked.contains("proto 112"), "it was meant to have no mark:\n{marked}");
    ensure!(r1.read(MEMORY)?.contains("172.16.1.25/32"), "{}", r1.read(MEMORY)?);
    for pause in [0, 1_500] {
        master.kill9()?;
        ensure!(r1.holds(VIP)?, "kill -9 was meant to leave the address");
        std::thread::sleep(ms(pause));
        master = unmarked(r1, &config(200))?;
        logged(&master, &["removed 172.16.1.25/32", "earlier run"])?;
        settled(r1, r2)?;
    }
    master.stop()?;
    reach(r2, "VI_1", "MASTER", ms(2_000))?;
    ensure!(!r1.holds(VIP)? && r2.holds(VIP)?, "the address is not on r2 alone");
    ensure!(has(r1, FOREIGN)?, "a foreign address is gone");
    ensure!(r1.read(MEMORY).is_err(), "nothing is ours any more, and the file is there");
    sound(&mut backup, 60)
}

/// What cannot be written is said, and what was written before holds.
fn full_disk_without_marks(lab: &Lab) -> Result<()> {
    let r1 = lab.host("r1")?;
    r1.output(&["mkdir", "-p", RUN_DIR])?;
    r1.output(&["mount", "-t", "tmpfs", "-o", "size=64k,mode=0755", "tmpfs", RUN_DIR])?;
    let mut master = unmarked(r1, &config(200))?;
    reach(r1, "VI_1", "MASTER", ms(8_000))?;
    ha_tests::lab::wait_for(ms(1_000), || r1.read(MEMORY).ok()).context("no file")?;
    r1.run(&["dd", "if=/dev/zero", "of=/run/xvrrp/full", "bs=4k"])?;
    let two = config(200).replace("172.16.1.25", "172.16.1.25\n 172.16.1.26");
    r1.write("/etc/keepalived/keepalived.conf", &two, 0o644)?;
    master.signal(nix::sys::signal::Signal::SIGHUP)?;
    logged(&master, &["/run/xvrrp/addresses: No space left on device", "make room there"])?;
    ensure!(has(r1, "172.16.1.26")?, "the second address is not there");
    sound(&mut master, 60)?;
    master.kill9()?;
    r1.output(&["rm", "/run/xvrrp/full"])?;
    let mut master = unmarked(r1, &two)?;
    logged(&master, &["removed 172.16.1.25/32", "earlier run"])?;
    logged(&master, &["172.16.1.26 was on the interface before"])?;
    sound(&mut master, 60)?;
    drop(master);
    r1.output(&["umount", "-l", RUN_DIR])?;
    Ok(())
}

fn was_there(lab: &Lab, variables: &[(&str, &str)]) -> Result<()> {
    let r1 = lab.host("r1")?;
    r1.output(&["ip", "addr", "add", "172.16.1.25/32", "dev", "ens160"])?;
    let two = config(200).replace("172.16.1.25", "172.16.1.25\n 172.16.1.26");
    for kill in [true, false] {
        let mut master = r1.start_in(Daemon::XvrrpRfc, &two, &[], variables)?;
        reach(r1, "VI_1", "MASTER", ms(8_000))?;
        logged(&master, &["172.16.1.25 was on the interface before"])?;
        ensure!(has(r1, "172.16.1.25")? && has(r1, "172.16.1.26")?, "{:?}", r1.addresses()?);
        sound(&mut master, 60)?;
        if kill {
            master.kill9()?;
        } else {
            master.stop()?;
            ensure!(!has(r1, "172.16.1.26")?, "the daemon's own address is left");
        }
        ensure!(has(r1, "172.16.1.25")?, "the operator's address is gone");
    }
    Ok(())
}
